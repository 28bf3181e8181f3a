//! Policies as people write them, against the decisions that come out.

mod conformance;
mod demo;
mod differential;
mod latency;
mod loading;
mod ownership;
mod restrictions;
mod typed_partial_evaluation;
mod world;
