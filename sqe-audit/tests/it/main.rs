//! The audit crate from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod child;
#[cfg(feature = "sql")]
mod engine;
mod events;
mod kit;
mod restart;
mod tamper;
mod writers;
