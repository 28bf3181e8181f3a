//! The spike behind `docs/adr/0002-distributed-scans.md`: governed scans of Iceberg tables in two workers on loopback,
//! against the answer of this process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod answers;
mod cluster;
mod evolution;
mod kit;
mod refusals;
mod world;
