//! Conformance kits: what every implementation of a trait must do, as functions that a test calls.
//!
//! Kits of traits that work on grants and authorised plans (`catalog`, `scheduler`) get theirs as everybody does: by
//! running an `Engine`. No feature opens a constructor.

pub mod audit;
#[cfg(feature = "engine")]
pub mod catalog;
pub mod credentials;
pub mod identity;
pub mod policy;
#[cfg(feature = "engine")]
pub mod scheduler;
#[cfg(feature = "engine")]
mod stage;
