//! The catalogs of this crate behind an engine, as people use them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod crash;
mod credentials;
mod governed;
mod kit;
mod memory;
mod properties;
mod pyiceberg;
mod side_channels;
mod sql;
mod versions;
mod world;
