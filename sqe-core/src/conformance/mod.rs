//! Conformance kits: what every implementation of a trait must do, as functions that a test calls.

pub mod audit;
pub mod credentials;
pub mod identity;
pub mod policy;
