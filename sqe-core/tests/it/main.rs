//! The engine over a catalog in memory: governance, statements, life and death of queries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod endings;
mod explanations;
mod governance;
#[cfg(feature = "conformance")]
mod kits;
mod lake;
mod layers;
mod lifecycle;
mod memory;
mod observer;
mod paths;
mod people;
mod planners;
mod prepared;
mod properties;
mod settings;
mod side_channels;
mod statements;
mod versions;
mod views;
mod views_attacked;
mod writes;
