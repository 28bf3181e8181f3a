//! A stream of rows → a table, through the same rooms as a statement.

mod fit;

use std::{fmt, sync::Arc, time::Instant};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::{
    error::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::LogicalPlan,
    physical_plan::{
        ExecutionPlan,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use futures::{Stream, TryStreamExt};
use parking_lot::Mutex;

use super::{
    Session,
    observed::in_trace,
    plan::Rows,
    run::{Ledger, Stop},
    trail::Case,
    write::{Write, permit_create, run_write, to_drop, writable, write_to},
};
use crate::{
    ErrorKind, Result, TableName,
    catalog::{CatalogSession, NewTable, WriteTarget},
    govern::{Authorized, plain},
    observe::{Room, Turn},
};

/// What becomes of the table that is loaded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IngestMode {
    /// It is created; there must be none.
    Create,
    /// The rows are added; it must be there.
    Append,
    /// The rows are added, and the table is created if there is none.
    CreateOrAppend,
    /// A new table of the same name takes its place, which is one change; it must be there.
    Replace,
    /// A new table of the same name takes its place, or is created if there is none.
    CreateOrReplace,
}

impl IngestMode {
    /// What it does, for those who count statements.
    fn operation(self) -> &'static str {
        match self {
            Self::Append | Self::CreateOrAppend => "INSERT",
            Self::Create | Self::Replace | Self::CreateOrReplace => "CREATE TABLE",
        }
    }
}

/// What to load into a table, through the same rooms as a statement.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ingest {
    /// The table.
    pub table: TableName,
    /// What becomes of it.
    pub mode: IngestMode,
    /// How a new table is partitioned, as in [`NewTable::partitioning`].
    pub partitioning: Vec<(String, String)>,
}

impl Ingest {
    /// Loads into `table`.
    #[must_use]
    pub fn new(table: TableName, mode: IngestMode) -> Self {
        Self { table, mode, partitioning: Vec::new() }
    }

    /// Creates `table` with the loaded rows.
    #[must_use]
    pub fn create(table: TableName) -> Self {
        Self::new(table, IngestMode::Create)
    }

    /// Appends to `table`.
    #[must_use]
    pub fn append(table: TableName) -> Self {
        Self::new(table, IngestMode::Append)
    }

    /// What the trail calls it.
    fn statement(&self) -> String {
        let word = match self.mode {
            IngestMode::Create => "CREATE TABLE",
            IngestMode::Append => "INSERT INTO",
            IngestMode::CreateOrAppend => "CREATE TABLE IF NOT EXISTS AND INSERT INTO",
            IngestMode::Replace => "REPLACE TABLE",
            IngestMode::CreateOrReplace => "CREATE OR REPLACE TABLE",
        };
        format!("{word} {} /* loaded as a stream */", self.table)
    }
}

impl Session {
    /// Loads the rows of a stream into a table, as this person: policy decides, the trail records, and the rows are
    /// visible all at once or not at all. Returns the number of rows.
    ///
    /// Columns find those of an existing table by their names, in any order; columns of the table that the stream lacks are
    /// NULL. Values take the table's types if none of them changes by it. A new table has the stream's columns, in types that
    /// tables hold: times of nanoseconds become microseconds, unsigned numbers of 64 bits become decimals, likewise if no
    /// value changes by it.
    ///
    /// The stream is read once it is this statement's turn, batch by batch, and no further once something is wrong.
    ///
    /// # Errors
    /// Those of an INSERT or a CREATE TABLE AS; `InvalidInput` if the columns do not fit; those of the stream.
    pub async fn ingest(&self, ingest: Ingest, rows: SendableRecordBatchStream) -> Result<u64> {
        self.check_alive()?;
        let started = Instant::now();
        let mut case = Case::new(self, &ingest.statement());
        case.does(ingest.mode.operation());
        let context = case.place.context;
        // Loads take no turn for planning, at which others learn it.
        if let Err(error) = self.engine().admission.check_open() {
            return Err(case.refuse(error).await);
        }
        let planned = Box::pin(in_trace(context, plan(&mut case, ingest, rows))).await;
        let write = match planned {
            Ok(write) => write,
            Err(error) => return Err(case.refuse(error).await),
        };
        let query = case.query;
        let turn = self.engine().admission.admit(&self.identity().principal);
        let slot = match in_trace(context, self.engine().watch(Room::Turn(Turn::Running), turn)).await {
            Ok(slot) => slot,
            Err(error) => return Err(case.refuse(error).await),
        };
        let stop = Stop::new(self, started);
        let ledger = Ledger::open(case, slot).await?;
        Box::pin(run_write(self, query, write, stop, ledger)).await
    }
}

impl Session {
    /// [`ingest`](Self::ingest) for front ends, which know no DataFusion: `rows` are batches of `schema`.
    ///
    /// # Errors
    /// As [`ingest`](Self::ingest).
    pub async fn ingest_batches(
        &self,
        ingest: Ingest,
        schema: SchemaRef,
        rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    ) -> Result<u64> {
        let rows = RecordBatchStreamAdapter::new(schema, rows.map_err(DataFusionError::from));
        self.ingest(ingest, Box::pin(rows)).await
    }
}

async fn plan(case: &mut Case, ingest: Ingest, rows: SendableRecordBatchStream) -> Result<Write> {
    let Ingest { table: name, mode, partitioning } = ingest;
    let may_create = !matches!(mode, IngestMode::Append | IngestMode::Replace);
    match mode {
        IngestMode::Create => {}
        IngestMode::Append | IngestMode::CreateOrAppend => match writable(case, &name).await {
            Ok((loaded, _)) => {
                let rows = leaf(case, fit::to_table(rows, &loaded.table.schema())?)?;
                return write_to(case, rows, WriteTarget::Append(loaded.table), &name, loaded.session).await;
            }
            Err(error) if may_create && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        },
        IngestMode::Replace | IngestMode::CreateOrReplace => match to_drop(case, &name).await {
            Ok(loaded) => {
                let catalog = permit_create(case, &name).await?;
                let rows = leaf(case, fit::to_new(rows)?)?;
                let new = new_table(case, &name, &rows, partitioning);
                return write_to(case, rows, WriteTarget::Replace(loaded.table, new), &name, catalog).await;
            }
            Err(error) if may_create && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        },
    }
    let catalog: Arc<dyn CatalogSession> = permit_create(case, &name).await?;
    let rows = leaf(case, fit::to_new(rows)?)?;
    let new = new_table(case, &name, &rows, partitioning);
    write_to(case, rows, WriteTarget::Create(new), &name, catalog).await
}

fn new_table(case: &Case, name: &TableName, rows: &Rows, partitioning: Vec<(String, String)>) -> NewTable {
    let owner = case.session.identity().principal.clone();
    NewTable { partitioning, ..NewTable::new(name.clone(), Arc::clone(&rows.schema), owner) }
}

/// A plan of the stream alone. There is nothing in it to govern: the rows are the person's own, and where they go was decided.
fn leaf(case: &Case, rows: SendableRecordBatchStream) -> Result<Rows> {
    let schema = plain(&rows.schema());
    let context = Arc::new(TaskContext::from(&case.session.engine().template));
    let plan: Arc<dyn ExecutionPlan> = Arc::new(single_use(rows)?);
    Ok(Rows {
        plan: Authorized::new(plan),
        logical: LogicalPlan::default(),
        stores: Vec::new(),
        context,
        codecs: Vec::new(),
        schema,
        restricted: false,
    })
}

/// A leaf over a stream that can be read once.
fn single_use(rows: SendableRecordBatchStream) -> Result<StreamingTableExec> {
    #[derive(Debug)]
    struct Once(SchemaRef, Mutex<Option<Slot>>);
    struct Slot(SendableRecordBatchStream);
    impl fmt::Debug for Slot {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a stream")
        }
    }
    impl PartitionStream for Once {
        fn schema(&self) -> &SchemaRef {
            &self.0
        }

        fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
            match self.1.lock().take() {
                Some(Slot(rows)) => rows,
                None => {
                    let again = DataFusionError::Internal("a loaded stream was read twice".into());
                    let error = futures::stream::iter([Err(again)]);
                    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), error))
                }
            }
        }
    }
    let schema = rows.schema();
    let once: Arc<dyn PartitionStream> = Arc::new(Once(Arc::clone(&schema), Mutex::new(Some(Slot(rows)))));
    Ok(StreamingTableExec::try_new(schema, vec![once], None, Vec::new(), false, None)?)
}
