//! Plans that read the trail.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    error::DataFusionError,
    execution::TaskContext,
    logical_expr::Expr,
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream,
        stream::RecordBatchReceiverStreamBuilder,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use sqe_core::{Result, catalog::CatalogTable as _};
use tokio::sync::mpsc::Sender;

use super::{
    access,
    columns::{Batch, Def},
    events,
    extent::Part,
    range::TimeRange,
    table::{AuditTable, View},
};

/// A batch is handed on when it holds about this much text, however few its rows.
const BATCH_BYTES: usize = 4 << 20;

/// A plan over the segments that may hold rows for `filters`, on up to `partitions` threads.
pub(crate) fn plan(
    table: &AuditTable,
    projection: Option<&[usize]>,
    filters: &[Expr],
    limit: Option<usize>,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = match projection {
        Some(projection) => Arc::new(table.schema().project(projection)?),
        None => table.schema(),
    };
    let range = TimeRange::of(filters);
    // The bounds of a segment are those of queries. The records of `events` are older and younger ones, too.
    let prune = (table.view == View::Access).then_some(&range);
    let mut parts = Vec::new();
    for extent in &table.extents {
        parts.extend(extent.parts(prune)?);
    }
    let mut groups = vec![Vec::new(); partitions.clamp(1, parts.len().max(1))];
    let count = groups.len();
    for (index, part) in parts.into_iter().enumerate() {
        if let Some(group) = groups.get_mut(index % count) {
            group.push(part);
        }
    }
    let streams = groups
        .into_iter()
        .map(|parts| match table.view {
            View::Access => stream(&access::COLUMNS, access::read, projection, &schema, parts, range),
            View::Events => stream(&events::COLUMNS, events::read, projection, &schema, parts, range),
        })
        .collect();
    Ok(Arc::new(StreamingTableExec::try_new(schema, streams, None, [], false, limit)?))
}

type Read<R> = fn(&Part, &TimeRange, &mut dyn FnMut(&R) -> Result<bool>) -> Result<bool>;

fn stream<R: 'static>(
    defs: &'static [Def<R>],
    read: Read<R>,
    projection: Option<&[usize]>,
    schema: &SchemaRef,
    parts: Vec<Part>,
    range: TimeRange,
) -> Arc<dyn PartitionStream> {
    let defs = match projection {
        Some(projection) => projection.iter().filter_map(|index| defs.get(*index)).collect(),
        None => defs.iter().collect(),
    };
    Arc::new(Segments { defs, read, schema: Arc::clone(schema), parts: parts.into(), range })
}

/// Some segments, one after the other.
struct Segments<R: 'static> {
    defs: Vec<&'static Def<R>>,
    read: Read<R>,
    schema: SchemaRef,
    parts: Arc<[Part]>,
    range: TimeRange,
}

impl<R> fmt::Debug for Segments<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").field("segments", &self.parts.len()).field("range", &self.range).finish()
    }
}

impl<R> PartitionStream for Segments<R> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), 2);
        let sender = stream.tx();
        let (parts, range, read) = (Arc::clone(&self.parts), self.range, self.read);
        let (schema, defs) = (Arc::clone(&self.schema), self.defs.clone());
        let batch_size = context.session_config().batch_size();
        stream.spawn_blocking(move || {
            let mut batch = Batch::new(schema, &defs);
            for part in &*parts {
                let on = read(part, &range, &mut |row| {
                    batch.push(row);
                    if batch.rows() >= batch_size || batch.bytes() >= BATCH_BYTES {
                        return Ok(hand_on(&sender, batch.take()?));
                    }
                    Ok(!sender.is_closed())
                });
                if !on.map_err(DataFusionError::from)? || sender.is_closed() {
                    return Ok(());
                }
            }
            if batch.rows() > 0 {
                hand_on(&sender, batch.take().map_err(DataFusionError::from)?);
            }
            Ok(())
        });
        stream.build()
    }
}

/// Whether anybody still listens.
fn hand_on(sender: &Sender<Result<RecordBatch, DataFusionError>>, batch: RecordBatch) -> bool {
    sender.blocking_send(Ok(batch)).is_ok()
}
