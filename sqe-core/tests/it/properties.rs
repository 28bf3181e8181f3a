//! P1 to P3 over random policies, data and queries come here.
