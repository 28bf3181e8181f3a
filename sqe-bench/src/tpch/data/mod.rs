//! The rows of the eight tables as Arrow batches, generated when asked for and never kept.
//!
//! The same table and scale always give the same rows in the same order: those of the specification's own `dbgen`.
//! The first use in a process builds `dbgen`'s pool of text, 300 MiB that stay for the life of the process.

mod columns;
mod rows;
mod schema;
mod stream;

pub use schema::schema;
pub use stream::{provider, stream, streams};

use std::fmt;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use sqe_core::{Error, Result};

use super::{Scale, Table};

/// The rows of a table at a scale, in batches of `batch_rows` (the last one smaller), in key order.
///
/// Memory: one batch at a time.
///
/// # Errors
/// `InvalidInput` if `batch_rows` is zero.
pub fn batches(table: Table, scale: Scale, batch_rows: usize) -> Result<Batches> {
    part(table, scale, batch_rows, Part::WHOLE)
}

/// The rows of one part of a table. All parts together, in order, are the rows of [`batches`].
///
/// # Errors
/// `InvalidInput` if `batch_rows` is zero.
pub fn part(table: Table, scale: Scale, batch_rows: usize, part: Part) -> Result<Batches> {
    if batch_rows == 0 {
        return Err(Error::invalid("a batch needs at least one row"));
    }
    Ok(Batches { schema: schema(table), rows: rows::generate(table, scale, batch_rows, part) })
}

/// Which share of a table to generate, so that several threads or machines can generate one table together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    number: i32,
    of: i32,
}

impl Part {
    /// The table as one part.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Part `number`, counted from 1, of `of`.
    ///
    /// # Errors
    /// `InvalidInput` unless `1 <= number <= of`.
    pub fn new(number: usize, of: usize) -> Result<Self> {
        match (i32::try_from(number), i32::try_from(of)) {
            (Ok(number), Ok(of)) if number >= 1 && number <= of => Ok(Self { number, of }),
            _ => Err(Error::invalid(format!("there is no part {number} of {of}"))),
        }
    }
}

/// Batches of a table; see [`batches`].
pub struct Batches {
    schema: SchemaRef,
    rows: Box<dyn Iterator<Item = Result<RecordBatch>> + Send>,
}

impl Batches {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("schema", &self.schema).finish_non_exhaustive()
    }
}
