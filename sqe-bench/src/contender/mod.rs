//! The engines that run side by side.

mod duckdb;
mod plain;

pub use duckdb::DuckDb;
pub use plain::{PlainDataFusion, Settings};

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use sqe_core::Result;

use crate::answer::Answer;

/// An engine in a benchmark.
///
/// A contender runs one query at a time and takes its own time, because only it knows which of what it does is the
/// query and which is this crate's bookkeeping.
#[async_trait]
pub trait Contender: Debug + Send + Sync + 'static {
    /// The engine's key in reports, such as `sqe`.
    fn name(&self) -> &str;

    /// The engine's version.
    fn version(&self) -> String;

    /// Runs a query to its last row.
    ///
    /// # Errors
    /// Whatever the engine says. The benchmark records it and goes on.
    async fn run(&self, sql: &str) -> Result<Timed>;

    /// The most memory, in bytes, that the engine's own process has used; `None` if it runs in this process.
    ///
    /// # Errors
    /// `Unavailable` if the process does not answer.
    async fn peak_memory(&self) -> Result<Option<u64>>;
}

/// An answer and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// The rows.
    pub answer: Answer,
    /// From the query's text to the last row in the form in which the engine's client has it. Turning that into
    /// [`Answer`] is not part of it.
    pub elapsed: Duration,
}
