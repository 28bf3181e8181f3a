//! Integration tests: the suite on real engines, and the harness on made-up ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod data;
mod fixture;
mod harness;
mod oracle;
mod suite;
mod tpcds;
