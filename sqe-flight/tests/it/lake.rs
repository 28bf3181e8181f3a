//! A catalog in memory, with a table that never ends.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringViewArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    common::{Statistics, stats::Precision},
    datasource::memory::MemorySourceConfig,
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::Stream;
use parking_lot::Mutex;
use sqe_core::{
    Column, ColumnType, Error, FieldId, Result, TableId, TableName,
    catalog::{
        CatalogChange, CatalogProvider, CatalogSession, CatalogTable, NewTable, OpenRequest, ScanRequest, TableWrite,
        WriteRequest, WriteTarget,
    },
    govern::WriteGrant,
    policy::TableFacts,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

#[derive(Debug, Default)]
struct State {
    schemas: BTreeSet<String>,
    tables: BTreeMap<(String, String), Table>,
}

#[derive(Debug, Clone)]
struct Table {
    facts: TableFacts,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    kind: Kind,
}

/// What a table gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its rows.
    Rows,
    /// Rows for ever.
    Endless,
    /// [`GATED`] batches of ten rows, one for each that is let through.
    Gated,
}

/// Batches of the table `gated`.
pub(crate) const GATED: usize = 4;

/// The catalog. Clones share their tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lake {
    state: Arc<Mutex<State>>,
    /// How many streams of the endless table are open at this moment.
    pub(crate) open: Arc<AtomicUsize>,
    /// How many batches of the gated table may pass.
    pub(crate) gate: Gate,
}

/// Lets as many batches pass as it has permits.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    pub(crate) fn let_through(&self, batches: usize) {
        self.0.add_permits(batches);
    }
}

impl Lake {
    /// `main.words` (id, word), `main.secret` (id), `main.endless` (id), `main.gated` (id).
    pub(crate) fn sample() -> Self {
        let lake = Self::default();
        lake.state.lock().schemas.extend(["main".to_owned(), "other".to_owned()]);
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("word", DataType::Utf8View, true),
        ]));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let words: ArrayRef = Arc::new(StringViewArray::from(vec![Some("one"), None, Some("three, and long enough")]));
        let batch = RecordBatch::try_new(with_ids(&schema), vec![ids, words]).unwrap();
        lake.put("words", &schema, vec![batch], Kind::Rows);
        let id = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
        lake.put("secret", &id, vec![], Kind::Rows);
        lake.put("endless", &id, vec![], Kind::Endless);
        lake.put("gated", &id, vec![], Kind::Gated);
        lake
    }

    fn put(&self, table: &str, schema: &Schema, batches: Vec<RecordBatch>, kind: Kind) {
        let name = TableName::new("lake", "main", table);
        self.insert(&name, schema, batches, kind);
    }

    fn insert(&self, name: &TableName, schema: &Schema, batches: Vec<RecordBatch>, kind: Kind) {
        let schema = with_ids(schema);
        let columns = schema.fields().iter().enumerate().map(|(position, field)| {
            let ty = if field.data_type().is_numeric() { ColumnType::Integer } else { ColumnType::Text };
            Column::new(FieldId(i32::try_from(position).unwrap() + 1), field.name(), ty, field.is_nullable())
        });
        let facts = TableFacts::new(TableId::new(name.clone(), Uuid::new_v4()), columns.collect());
        let table = Table { facts, schema: Arc::clone(&schema), batches, kind };
        self.state.lock().tables.insert((name.schema.clone(), name.table.clone()), table);
    }

    /// How many rows a table holds.
    pub(crate) fn rows(&self, table: &str) -> Option<usize> {
        let state = self.state.lock();
        let table = state.tables.get(&("main".to_owned(), table.to_owned()))?;
        Some(table.batches.iter().map(RecordBatch::num_rows).sum())
    }
}

fn with_ids(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(position, field)| {
        let id = HashMap::from([("PARQUET:field_id".to_owned(), (position + 1).to_string())]);
        field.as_ref().clone().with_metadata(id)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl CatalogTable for Table {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn snapshot(&self) -> Option<i64> {
        None
    }

    fn prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[async_trait]
impl CatalogProvider for Lake {
    async fn open(&self, _request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        Ok(Arc::new(self.clone()))
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None
    }
}

#[async_trait]
impl CatalogSession for Lake {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(self.state.lock().schemas.iter().cloned().collect())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        let state = self.state.lock();
        Ok(state
            .tables
            .keys()
            .filter(|key| key.0 == schema)
            .map(|key| TableName::new("lake", &key.0, &key.1))
            .collect())
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        let state = self.state.lock();
        let load = |name: &TableName| match state.tables.get(&(name.schema.clone(), name.table.clone())) {
            Some(table) => Ok(Arc::new(table.clone()) as Arc<dyn CatalogTable>),
            None => Err(Error::not_found(format!("table {name} does not exist"))),
        };
        names.iter().map(load).collect()
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = request.table.as_any().downcast_ref::<Table>().expect("a table of ours");
        let projection = request.projection.map(<[usize]>::to_vec);
        if table.kind != Kind::Rows {
            let schema = match &projection {
                Some(columns) => Arc::new(table.schema.project(columns).unwrap()),
                None => Arc::clone(&table.schema),
            };
            let gate = (table.kind == Kind::Gated).then(|| self.gate.clone());
            return Ok(Arc::new(Endless::new(schema, Arc::clone(&self.open), gate)));
        }
        let batches = [table.batches.clone()];
        Ok(MemorySourceConfig::try_new_exec(&batches, Arc::clone(&table.schema), projection).unwrap())
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn begin(&self, request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        Ok(Arc::new(Write { lake: self.clone(), target: request.target }))
    }

    async fn change(&self, change: CatalogChange, _grant: &WriteGrant) -> Result<()> {
        match change {
            CatalogChange::CreateTable(NewTable { name, schema, .. }) => {
                if self.rows(&name.table).is_some() {
                    return Err(Error::already_exists(format!("table {name} exists already")));
                }
                self.insert(&name, &schema, vec![], Kind::Rows);
                Ok(())
            }
            CatalogChange::DropTable { table } => {
                self.state.lock().tables.remove(&(table.name.schema, table.name.table));
                Ok(())
            }
            _ => Err(Error::unsupported("not in this lake")),
        }
    }
}

/// A write whose "files" are the rows themselves.
#[derive(Debug)]
struct Write {
    lake: Lake,
    target: WriteTarget,
}

#[async_trait]
impl TableWrite for Write {
    fn schema(&self) -> SchemaRef {
        match &self.target {
            WriteTarget::Append(table) => table.schema(),
            WriteTarget::Create(table) | WriteTarget::Replace(_, table) => with_ids(&table.schema),
            _ => unreachable!(),
        }
    }

    fn sink(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(input)
    }

    async fn commit(&self, staged: Vec<RecordBatch>) -> Result<u64> {
        let rows: usize = staged.iter().map(RecordBatch::num_rows).sum();
        match &self.target {
            WriteTarget::Append(table) => {
                let name = table.facts().id.name.clone();
                let mut state = self.lake.state.lock();
                state.tables.get_mut(&(name.schema, name.table)).unwrap().batches.extend(staged);
            }
            WriteTarget::Create(table) if self.lake.rows(&table.name.table).is_some() => {
                return Err(Error::already_exists(format!("table {} exists already", table.name)));
            }
            WriteTarget::Create(table) | WriteTarget::Replace(_, table) => {
                self.lake.insert(&table.name, &table.schema, staged, Kind::Rows);
            }
            _ => unreachable!(),
        }
        Ok(rows as u64)
    }

    async fn abort(&self, _staged: Vec<RecordBatch>) {}
}

/// Gives rows for ever, or as many as a gate lets through, and counts its open streams.
struct Endless {
    properties: Arc<PlanProperties>,
    schema: SchemaRef,
    open: Arc<AtomicUsize>,
    gate: Option<Gate>,
    metrics: ExecutionPlanMetricsSet,
}

impl Endless {
    fn new(schema: SchemaRef, open: Arc<AtomicUsize>, gate: Option<Gate>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            // Said to be bounded, so that it may stand below a sort.
            Boundedness::Bounded,
        );
        Self { properties: Arc::new(properties), schema, open, gate, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl fmt::Debug for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endless")
    }
}

impl DisplayAs for Endless {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endless")
    }
}

impl ExecutionPlan for Endless {
    fn name(&self) -> &str {
        "Endless"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, _: Option<usize>) -> datafusion::error::Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if self.gate.is_some() {
            statistics.num_rows = Precision::Exact(10 * GATED);
        }
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> datafusion::error::Result<SendableRecordBatchStream> {
        self.open.fetch_add(1, Ordering::SeqCst);
        if let Some(Gate(gate)) = self.gate.clone() {
            let (schema, open) = (Arc::clone(&self.schema), Open(Arc::clone(&self.open)));
            let baseline = BaselineMetrics::new(&self.metrics, partition);
            let batches = futures::stream::unfold((0, open), move |(given, open)| {
                let (gate, schema, baseline) = (Arc::clone(&gate), Arc::clone(&schema), baseline.clone());
                async move {
                    if given == GATED {
                        return None;
                    }
                    gate.acquire().await.unwrap().forget();
                    baseline.record_output(10);
                    Some((sevens(&schema, 10), (given + 1, open)))
                }
            });
            return Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)));
        }
        Ok(Box::pin(Rows { schema: Arc::clone(&self.schema), open: Arc::clone(&self.open) }))
    }
}

/// An open stream.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn sevens(schema: &SchemaRef, rows: usize) -> datafusion::error::Result<RecordBatch> {
    let columns = schema.fields().iter().map(|_| Arc::new(Int64Array::from(vec![7; rows])) as ArrayRef);
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options)?)
}

struct Rows {
    schema: SchemaRef,
    open: Arc<AtomicUsize>,
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Stream for Rows {
    type Item = datafusion::error::Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(sevens(&self.schema, 8192)))
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
