//! Generation beside the async runtime: blocking threads that wait while nobody reads.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::{TableProvider, streaming::StreamingTable},
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchReceiverStreamBuilder, streaming::PartitionStream},
};
use sqe_core::{Error, Result};

use super::{Part, part};
use crate::suite::{Scale, Table};

/// Rows of a batch in a stream: DataFusion's own default.
const BATCH_ROWS: usize = 8192;

/// How many finished batches may wait for a reader.
const BATCHES_AHEAD: usize = 2;

/// All rows of a table as one stream in key order, generated on one blocking thread. Dropping it ends the generation.
///
/// Needs a Tokio runtime. Memory: a few batches of 8192 rows.
#[must_use]
pub fn stream(table: Table, scale: Scale) -> SendableRecordBatchStream {
    stream_part(table, scale, Part::WHOLE)
}

/// A table as `parts` streams that together have its rows; each is in key order and generates on a thread of its own.
///
/// # Errors
/// `InvalidInput` if `parts` is zero.
pub fn streams(table: Table, scale: Scale, parts: usize) -> Result<Vec<SendableRecordBatchStream>> {
    let parts = divide(parts)?;
    Ok(parts.into_iter().map(|part| stream_part(table, scale, part)).collect())
}

/// A table as something to select from, with `parts` partitions that generate their rows when scanned: any engine
/// built on DataFusion can load it with `INSERT INTO … SELECT * FROM …`, or plan it and run the plan.
///
/// # Errors
/// `InvalidInput` if `parts` is zero.
pub fn provider(table: Table, scale: Scale, parts: usize) -> Result<Arc<dyn TableProvider>> {
    let schema = table.schema();
    let partitions = divide(parts)?
        .into_iter()
        .map(|part| Arc::new(Generated { table, scale, part, schema: schema.clone() }) as Arc<dyn PartitionStream>)
        .collect();
    Ok(Arc::new(StreamingTable::try_new(schema, partitions)?))
}

fn divide(parts: usize) -> Result<Vec<Part>> {
    if parts == 0 {
        return Err(Error::invalid("a table needs at least one part"));
    }
    (1..=parts).map(|number| Part::new(number, parts)).collect()
}

fn stream_part(table: Table, scale: Scale, share: Part) -> SendableRecordBatchStream {
    let mut stream = RecordBatchReceiverStreamBuilder::new(table.schema(), BATCHES_AHEAD);
    let rows = stream.tx();
    // Also the generator's construction belongs here: the first one in a process builds the pool of text.
    stream.spawn_blocking(move || {
        for batch in part(table, scale, BATCH_ROWS, share)? {
            if rows.blocking_send(batch.map_err(DataFusionError::from)).is_err() {
                break;
            }
        }
        Ok(())
    });
    stream.build()
}

#[derive(Debug)]
struct Generated {
    table: Table,
    scale: Scale,
    part: Part,
    schema: SchemaRef,
}

impl PartitionStream for Generated {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        stream_part(self.table, self.scale, self.part)
    }
}
