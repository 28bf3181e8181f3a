//! Flight SQL over loopback, in front of a real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod acting;
mod adbc;
mod harness;
mod lake;
mod limits;
mod login;
mod login_limits;
mod metadata;
mod people;
mod prepared;
mod query;
mod session;
