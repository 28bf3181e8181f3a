//! The edge between the engine's Arrow and the clients' Arrow.
//!
//! Many clients know neither view types nor dictionaries inside of nested types, and some reject a stream whose schema
//! differs from the announced one. So one schema is declared for every answer, derived from the planned one, and every
//! batch is brought to it before it leaves.

mod cut;
mod schema;
mod unpacked;

pub(crate) use cut::{batch_bytes, cut};
pub(crate) use schema::{Views, declare, ipc_bytes};
pub(crate) use unpacked::unpacked_bytes;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options},
    datatypes::SchemaRef,
};
use sqe_core::{Error, Result};

/// Brings a batch to the declared schema: names, types, nullability, metadata.
///
/// # Errors
/// `Internal` if the engine gave something else than it planned: fewer columns, a type that cannot be turned into the
/// declared one, or NULL in a column that was declared without.
pub(crate) fn conform(batch: &RecordBatch, declared: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == declared {
        return Ok(batch.clone());
    }
    if batch.num_columns() != declared.fields().len() {
        return Err(Error::internal("the engine answered with other columns than it planned"));
    }
    let columns = batch
        .columns()
        .iter()
        .zip(declared.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(ArrayRef::clone(column)),
            false => cast_with_options(column, field.data_type(), &CastOptions { safe: false, ..Default::default() }),
        })
        .collect::<std::result::Result<Vec<_>, _>>();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    columns
        .and_then(|columns| RecordBatch::try_new_with_options(declared.clone(), columns, &options))
        .map_err(|error| Error::internal("the engine answered with other columns than it planned").with_source(error))
}

#[cfg(test)]
mod tests;
