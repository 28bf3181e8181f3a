//! Conformance kits: what every implementation of a trait must do, as functions that a test calls.
