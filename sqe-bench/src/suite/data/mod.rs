//! The rows of tables as Arrow batches, generated when asked for and never kept.
//!
//! The same table and scale always give the same rows in the same order: those of the specification's own generator.

mod part;
mod stream;

pub use part::Part;
pub use stream::{provider, stream, streams};

use std::fmt;

use arrow::{array::ArrayRef, datatypes::SchemaRef, record_batch::RecordBatch};
use sqe_core::{Error, Result};

use super::{Scale, Table};

/// Batches as a generator makes them.
pub type BoxedBatches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

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
    Ok(Batches { schema: table.schema(), rows: table.generate(scale, batch_rows, part) })
}

/// Batches of a table out of a generator's rows, `batch_rows` at a time: what a [`Generate`](super::Generate) returns.
pub fn batched<R: 'static>(
    table: Table,
    batch_rows: usize,
    mut rows: impl Iterator<Item = R> + Send + 'static,
    mut columns: impl FnMut(&[R]) -> Result<Vec<ArrayRef>> + Send + 'static,
) -> BoxedBatches {
    let schema = table.schema();
    Box::new(std::iter::from_fn(move || {
        let chunk: Vec<R> = rows.by_ref().take(batch_rows).collect();
        if chunk.is_empty() {
            return None;
        }
        let batch = columns(&chunk).and_then(|columns| {
            RecordBatch::try_new(SchemaRef::clone(&schema), columns).map_err(|error| {
                Error::internal(format!("a batch of {table} does not fit its schema")).with_source(error)
            })
        });
        Some(batch)
    }))
}

/// Batches of a table; see [`batches`].
pub struct Batches {
    schema: SchemaRef,
    rows: BoxedBatches,
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
