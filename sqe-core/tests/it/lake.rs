//! A catalog in memory, for tests: the smallest honest implementation of the catalog traits.

use std::{any::Any, collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, UInt64Array},
    compute::concat_batches,
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use async_trait::async_trait;
use datafusion::{
    common::{Statistics, stats::Precision},
    datasource::memory::MemorySourceConfig,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::TryStreamExt;
use parking_lot::Mutex;
use sqe_core::{
    Column, ColumnType, Error, FieldId, Principal, Result, TableId, TableName,
    catalog::{
        CatalogChange, CatalogProvider, CatalogSession, CatalogTable, NewTable, NewView, OpenRequest, ScanRequest,
        TableVersion, TableWrite, ViewDefinition, WriteRequest, WriteTarget,
    },
    govern::{FIELD_ID_KEY, WriteGrant, field_id},
    policy::TableFacts,
};
use uuid::Uuid;

#[derive(Debug, Clone)]
struct Stored {
    uuid: Uuid,
    owner: Option<Principal>,
    batch: RecordBatch,
    version: i64,
    view: Option<ViewDefinition>,
    /// The states before this one, from the first, which has the version 1.
    before: Vec<RecordBatch>,
}

impl Stored {
    fn new(owner: Option<Principal>, batch: RecordBatch) -> Self {
        Self { uuid: Uuid::new_v4(), owner, batch, version: 1, view: None, before: Vec::new() }
    }
}

type Tables = Arc<Mutex<BTreeMap<String, BTreeMap<String, Stored>>>>;

/// Tables in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Lake {
    tables: Tables,
    pub outage: Arc<Mutex<bool>>,
}

impl Lake {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a table of one batch; field ids are the positions from 1.
    pub fn put(&self, schema: &str, table: &str, batch: RecordBatch) {
        let batch = with_ids(&batch);
        let stored = Stored::new(None, batch);
        self.tables.lock().entry(schema.to_owned()).or_default().insert(table.to_owned(), stored);
    }

    /// Puts a view that nobody owns.
    pub fn put_view(&self, schema: &str, view: &str, definition: ViewDefinition) {
        let stored =
            Stored { view: Some(definition), ..Stored::new(None, RecordBatch::new_empty(Schema::empty().into())) };
        self.tables.lock().entry(schema.to_owned()).or_default().insert(view.to_owned(), stored);
    }

    /// Puts a state of other rows after the last one of a table.
    pub fn follow(&self, schema: &str, table: &str, batch: &RecordBatch) {
        let mut schemas = self.tables.lock();
        let stored = schemas.get_mut(schema).and_then(|tables| tables.get_mut(table)).unwrap();
        stored.before.push(std::mem::replace(&mut stored.batch, with_ids(batch)));
        stored.version += 1;
    }

    /// Changes a view behind the engine's back.
    pub fn redefine(&self, schema: &str, view: &str, definition: ViewDefinition) {
        let mut schemas = self.tables.lock();
        let stored = schemas.get_mut(schema).and_then(|tables| tables.get_mut(view)).unwrap();
        stored.view = Some(definition);
    }

    /// Puts a view that nobody owns, with columns that nobody looks at.
    pub fn view(&self, schema: &str, view: &str, definition: ViewDefinition) {
        let column = Field::new("c", DataType::Int64, true);
        self.put(schema, view, RecordBatch::new_empty(Arc::new(Schema::new(vec![column]))));
        self.redefine(schema, view, definition);
    }

    pub fn add_schema(&self, schema: &str) {
        self.tables.lock().entry(schema.to_owned()).or_default();
    }
}

fn with_ids(batch: &RecordBatch) -> RecordBatch {
    let schema = schema_with_ids(&batch.schema());
    RecordBatch::try_new(schema, batch.columns().to_vec()).unwrap()
}

fn schema_with_ids(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().zip(1..).map(|(field, id)| {
        let id = field_id(field).map_or(id, |id| id.0);
        let metadata = [(FIELD_ID_KEY.to_owned(), id.to_string())].into();
        Field::new(field.name(), field.data_type().clone(), field.is_nullable()).with_metadata(metadata)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn column_type(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int32 | DataType::Int64 => ColumnType::Integer,
        DataType::Float64 => ColumnType::Float,
        DataType::Utf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Decimal128(..) => ColumnType::Decimal,
        DataType::Date32 => ColumnType::Date,
        _ => ColumnType::Other,
    }
}

#[async_trait]
impl CatalogProvider for Lake {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        Ok(Arc::new(Opened { catalog: request.catalog.to_owned(), lake: self.clone() }))
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None
    }
}

#[derive(Debug)]
struct Opened {
    catalog: String,
    lake: Lake,
}

#[derive(Debug)]
struct Table {
    facts: TableFacts,
    stored: Stored,
}

impl CatalogTable for Table {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        self.stored.batch.schema()
    }

    fn snapshot(&self) -> Option<i64> {
        Some(self.stored.version)
    }

    fn prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.stored.batch.schema());
        statistics.num_rows = Precision::Exact(self.stored.batch.num_rows());
        Some(statistics)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn view(&self) -> Option<&ViewDefinition> {
        self.stored.view.as_ref()
    }

    fn at(&self, version: &TableVersion) -> Result<Arc<dyn CatalogTable>> {
        let TableVersion::Snapshot(id) = version else {
            return Err(Error::unsupported("this lake knows its states by number only"));
        };
        let mut stored = self.stored.clone();
        if *id != stored.version {
            let older = usize::try_from(*id - 1).ok().and_then(|at| stored.before.get(at));
            stored.batch = older.ok_or_else(|| Error::not_found(format!("there is no state {id}")))?.clone();
            stored.version = *id;
        }
        Ok(Arc::new(Self { facts: self.facts.clone(), stored }))
    }
}

#[async_trait]
impl CatalogSession for Opened {
    async fn schemas(&self) -> Result<Vec<String>> {
        self.up()?;
        Ok(self.lake.tables.lock().keys().cloned().collect())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        self.up()?;
        let tables = self.lake.tables.lock();
        let tables = tables.get(schema).ok_or_else(|| Error::not_found("no such schema"))?;
        Ok(tables.keys().map(|table| TableName::new(&self.catalog, schema, table)).collect())
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        names.iter().map(|name| self.find(name)).collect()
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = request.table.as_any().downcast_ref::<Table>().unwrap();
        assert_eq!(request.grant.table(), &table.facts.id);
        let batch = &table.stored.batch;
        let parts = request.state.config().target_partitions().min(batch.num_rows()).max(1);
        let size = batch.num_rows().div_ceil(parts).max(1);
        let partitions: Vec<Vec<RecordBatch>> = (0..parts)
            .map(|part| {
                let start = (part * size).min(batch.num_rows());
                vec![batch.slice(start, size.min(batch.num_rows() - start))]
            })
            .collect();
        let projection = request.projection.map(<[usize]>::to_vec);
        Ok(MemorySourceConfig::try_new_exec(&partitions, batch.schema(), projection)?)
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn begin(&self, request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        let (name, schema, create) = match request.target {
            WriteTarget::Append(table) => (table.facts().id.name.clone(), table.schema(), None),
            WriteTarget::Create(new) => (new.name.clone(), schema_with_ids(&new.schema), Some(new)),
            _ => return Err(Error::unsupported("this lake only appends and creates")),
        };
        Ok(Arc::new(Append { name, schema, create, tables: Arc::clone(&self.lake.tables), staged: Arc::default() }))
    }

    async fn change(&self, change: CatalogChange, _grant: &WriteGrant) -> Result<()> {
        let mut schemas = self.lake.tables.lock();
        match change {
            CatalogChange::CreateSchema { schema, .. } => {
                if schemas.contains_key(&schema) {
                    return Err(Error::already_exists(format!("schema {schema} exists")));
                }
                schemas.insert(schema, BTreeMap::new());
            }
            CatalogChange::DropSchema { schema } => {
                let tables = schemas.get(&schema).ok_or_else(|| Error::not_found("no such schema"))?;
                if !tables.is_empty() {
                    return Err(Error::conflict(format!("schema {schema} holds tables")));
                }
                schemas.remove(&schema);
            }
            CatalogChange::CreateTable(new) => create(&mut schemas, &new, &schema_with_ids(&new.schema), Vec::new())?,
            CatalogChange::CreateView(new) => {
                let tables = schemas.get_mut(&new.name.schema).ok_or_else(|| Error::not_found("no such schema"))?;
                if tables.contains_key(&new.name.table) {
                    return Err(Error::already_exists(format!("table {} exists", new.name)));
                }
                tables.insert(new.name.table.clone(), view(&new));
            }
            CatalogChange::ReplaceView(old, new) => {
                let tables = schemas.get_mut(&new.name.schema).ok_or_else(|| Error::not_found("no such schema"))?;
                let known = tables.get(&new.name.table).filter(|stored| stored.uuid == old.facts().id.uuid);
                let known = known.ok_or_else(|| Error::conflict("the view changed"))?;
                let version = known.version + 1;
                let next = Stored { uuid: known.uuid, owner: known.owner.clone(), version, ..view(&new) };
                tables.insert(new.name.table.clone(), next);
            }
            CatalogChange::DropTable { table: TableId { name, uuid, .. } }
            | CatalogChange::DropView { view: TableId { name, uuid, .. } } => {
                let tables = schemas.get_mut(&name.schema).ok_or_else(|| Error::not_found("no such schema"))?;
                let stored = tables.get(&name.table).ok_or_else(|| Error::not_found("no such table"))?;
                if stored.uuid != uuid {
                    return Err(Error::conflict("another table has this name by now"));
                }
                tables.remove(&name.table);
            }
            _ => return Err(Error::unsupported("this lake does not do that")),
        }
        Ok(())
    }
}

impl Opened {
    fn up(&self) -> Result<()> {
        if *self.lake.outage.lock() { Err(Error::unavailable("the lake does not answer")) } else { Ok(()) }
    }

    fn find(&self, name: &TableName) -> Result<Arc<dyn CatalogTable>> {
        self.up()?;
        let schemas = self.lake.tables.lock();
        let stored = schemas.get(&name.schema).and_then(|tables| tables.get(&name.table));
        let stored = stored.ok_or_else(|| Error::not_found("no such table"))?.clone();
        let columns = (stored.batch.schema().fields().iter())
            .map(|field| {
                let id = field_id(field).unwrap_or(FieldId(0));
                Column::new(id, field.name(), column_type(field.data_type()), field.is_nullable())
            })
            .collect();
        let id = TableId::new(name.clone(), stored.uuid);
        let facts = TableFacts::new(id, columns).with_owner(stored.owner.clone());
        Ok(Arc::new(Table { facts, stored }))
    }
}

fn view(new: &NewView) -> Stored {
    let batch = RecordBatch::new_empty(schema_with_ids(&new.schema));
    Stored { view: Some(new.definition.clone()), ..Stored::new(Some(new.owner.clone()), batch) }
}

fn create(
    schemas: &mut BTreeMap<String, BTreeMap<String, Stored>>,
    new: &NewTable,
    schema: &SchemaRef,
    rows: Vec<RecordBatch>,
) -> Result<()> {
    let tables = schemas.get_mut(&new.name.schema).ok_or_else(|| Error::not_found("no such schema"))?;
    if tables.contains_key(&new.name.table) {
        return Err(Error::already_exists(format!("table {} exists", new.name)));
    }
    let batch = concat_batches(schema, &rows)?;
    tables.insert(new.name.table.clone(), Stored::new(Some(new.owner.clone()), batch));
    Ok(())
}

#[derive(Debug)]
struct Append {
    name: TableName,
    schema: SchemaRef,
    create: Option<NewTable>,
    tables: Tables,
    staged: Arc<Mutex<Vec<RecordBatch>>>,
}

#[async_trait]
impl TableWrite for Append {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn sink(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Stage::new(input, Arc::clone(&self.schema), Arc::clone(&self.staged))))
    }

    async fn commit(&self, _staged: Vec<RecordBatch>) -> Result<u64> {
        let rows = std::mem::take(&mut *self.staged.lock());
        let count = rows.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let mut schemas = self.tables.lock();
        if let Some(new) = &self.create {
            create(&mut schemas, new, &self.schema, rows)?;
            return Ok(count);
        }
        let stored = schemas.get_mut(&self.name.schema).and_then(|tables| tables.get_mut(&self.name.table));
        let stored = stored.ok_or_else(|| Error::conflict("the table was dropped"))?;
        let next = concat_batches(&self.schema, std::iter::once(&stored.batch).chain(&rows))?;
        stored.before.push(std::mem::replace(&mut stored.batch, next));
        stored.version += 1;
        Ok(count)
    }

    async fn abort(&self, _staged: Vec<RecordBatch>) {
        self.staged.lock().clear();
    }
}

#[derive(Debug)]
struct Stage {
    input: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    staged: Arc<Mutex<Vec<RecordBatch>>>,
    properties: Arc<PlanProperties>,
}

impl Stage {
    fn new(input: Arc<dyn ExecutionPlan>, schema: SchemaRef, staged: Arc<Mutex<Vec<RecordBatch>>>) -> Self {
        let output = Arc::new(Schema::new(vec![Field::new("rows", DataType::UInt64, false)]));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(output),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, schema, staged, properties: Arc::new(properties) }
    }
}

impl DisplayAs for Stage {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stage")
    }
}

impl ExecutionPlan for Stage {
    fn name(&self) -> &'static str {
        "Stage"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.remove(0), Arc::clone(&self.schema), Arc::clone(&self.staged))))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> datafusion::error::Result<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, context)?;
        let (schema, staged) = (Arc::clone(&self.schema), Arc::clone(&self.staged));
        let output = ExecutionPlan::schema(self);
        let work = async move {
            let mut rows = 0;
            while let Some(batch) = input.try_next().await? {
                rows += batch.num_rows() as u64;
                staged.lock().push(RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec())?);
            }
            let column: ArrayRef = Arc::new(UInt64Array::from(vec![rows]));
            Ok(RecordBatch::try_new(output, vec![column])?)
        };
        let output = ExecutionPlan::schema(self);
        Ok(Box::pin(RecordBatchStreamAdapter::new(output, futures::stream::once(work))))
    }
}
