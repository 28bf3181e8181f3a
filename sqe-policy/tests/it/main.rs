//! Policies as people write them, against the decisions that come out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod conformance;
mod demo;
mod differential;
mod latency;
mod loading;
mod ownership;
mod restrictions;
mod typed_partial_evaluation;
mod world;
