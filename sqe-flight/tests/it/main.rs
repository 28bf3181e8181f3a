//! Flight SQL over loopback, in front of a real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod adbc;
mod certificates;
mod client;
mod drivers;
mod harness;
mod ingest;
mod lake;
mod limits;
mod login;
mod metadata;
mod people;
mod poll;
mod prepared;
mod query;
mod resilience;
mod session;
mod tls;
