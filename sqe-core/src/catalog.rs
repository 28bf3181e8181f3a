//! SQE's `CatalogProvider`: opened *as a person*, asynchronous. It is not DataFusion's trait of the same name, which is
//! synchronous and knows no identity; never re-export both from one place.

use std::{any::Any, fmt, sync::Arc};

use arrow::{
    datatypes::{DataType, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::{
    catalog::Session as DataFusionSession, common::Statistics, execution::object_store::ObjectStoreUrl,
    logical_expr::Expr, physical_plan::ExecutionPlan,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use object_store::ObjectStore;

use crate::{
    Column, ColumnType, Error, Identity, Principal, Result, TableId, TableName, Verified,
    credentials::{CredentialVendor, Lease},
    govern::{ScanGrant, WriteGrant, field_id},
    policy::TableFacts,
};

/// Builds a store from a lease. The only place where stores are built, so the only one where credentials meet I/O.
#[async_trait]
pub trait StoreOpener: fmt::Debug + Send + Sync + 'static {
    /// A store whose paths are the lease's URLs without scheme and authority (for files: the absolute path without its
    /// leading `/`). Requests outside of the lease's prefixes fail with a permission error; so do writes through a lease
    /// that is not writable. The store asks the lease for fresh credentials when it needs them.
    ///
    /// # Errors
    /// `Unsupported` for a storage that this opener does not know.
    async fn open(&self, lease: &Lease) -> Result<Arc<dyn ObjectStore>>;
}

/// The default opener, for catalogs that keep nothing in a storage: refuses.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefusingStores;

#[async_trait]
impl StoreOpener for RefusingStores {
    async fn open(&self, _lease: &Lease) -> Result<Arc<dyn ObjectStore>> {
        Err(crate::Error::unsupported(
            "no store opener is configured for this catalog; configure one to read its files",
        ))
    }
}

/// How a plan names a lease: by an id-made URL under which the query's own registry holds the store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreRef {
    /// The lease's id.
    pub lease: uuid::Uuid,
    /// The lease's prefixes.
    pub prefixes: Vec<String>,
    /// `sqe-lease-<id>://` under which the query's `RuntimeEnv` finds the store.
    pub url: ObjectStoreUrl,
    /// The store itself, for planning (manifests). Never serialised.
    pub store: Arc<dyn ObjectStore>,
}

/// What a catalog is opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenRequest<'a> {
    /// The name that the engine calls the catalog by; it is the first part of its tables' names.
    pub catalog: &'a str,
    /// As whom.
    pub identity: &'a Verified<Identity>,
    /// For metadata-only leases, where the catalog keeps its metadata in a storage.
    pub vendor: &'a Arc<dyn CredentialVendor>,
    /// Turns such a lease into a store.
    pub stores: &'a Arc<dyn StoreOpener>,
}

impl<'a> OpenRequest<'a> {
    pub(crate) fn new(
        catalog: &'a str,
        identity: &'a Verified<Identity>,
        vendor: &'a Arc<dyn CredentialVendor>,
        stores: &'a Arc<dyn StoreOpener>,
    ) -> Self {
        Self { catalog, identity, vendor, stores }
    }
}

/// A catalog of tables, opened as the person who asks. See the module's first line for what it is not.
#[async_trait]
pub trait CatalogProvider: fmt::Debug + Send + Sync + 'static {
    /// Opens the catalog as `request.identity`: everything that the session does, it does as this person.
    ///
    /// # Errors
    /// `Unauthenticated` if the catalog needs a proof that the identity lacks; `Unavailable` if it does not answer.
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>>;

    /// Encodes the catalog's own plan nodes for other machines. `None`: queries on this catalog run locally.
    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>>;
}

/// Which state of a table to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TableVersion {
    /// The snapshot with this id.
    Snapshot(i64),
    /// What a branch or a tag names.
    Named(String),
    /// What was current at this time.
    At(DateTime<Utc>),
}

/// What a view stands for: one query, read again in each statement, as the person who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewDefinition {
    /// The query, in the SQL of this engine.
    pub sql: String,
    /// The catalog of names in it that say none.
    pub catalog: String,
    /// The schema of names in it that say none.
    pub schema: String,
}

impl ViewDefinition {
    /// A definition.
    pub fn new(sql: impl Into<String>, catalog: impl Into<String>, schema: impl Into<String>) -> Self {
        Self { sql: sql.into(), catalog: catalog.into(), schema: schema.into() }
    }
}

/// A table as a catalog session resolved it: one snapshot of it, fixed for the query; or a view, which is named, owned and
/// governed like a table.
pub trait CatalogTable: fmt::Debug + Send + Sync + 'static {
    /// What policies may know.
    fn facts(&self) -> &TableFacts;

    /// All columns in the order of `facts().columns`, with their Arrow types. Each top-level field carries its field id
    /// as metadata `PARQUET:field_id`.
    fn schema(&self) -> SchemaRef;

    /// The snapshot that will be read, of a view the version of its definition; `None` for an empty table or a catalog without
    /// snapshots.
    fn snapshot(&self) -> Option<i64>;

    /// Folders (URLs ending in `/`) that a scan or a write needs a lease for. Empty: none is needed.
    fn prefixes(&self) -> Vec<String>;

    /// Statistics of the whole table without any filter; the raw ones, which the engine blurs where policy restricts.
    fn statistics(&self) -> Option<Statistics>;

    /// For a catalog's own `scan` to find its type again.
    fn as_any(&self) -> &dyn Any;

    /// What the view stands for; `None`: it is a table. The engine never scans a view: it reads its query, as the person
    /// who asks. Its `schema` is that of the query as its creator saw it.
    fn view(&self) -> Option<&ViewDefinition> {
        None
    }

    /// The same table in another of its states, with the facts and the schema of **now**: the name, the owner, the tags and
    /// the columns by which policy decides. What was dropped since then stays away, what was added since then holds its
    /// default or NULL.
    ///
    /// # Errors
    /// `NotFound` if there is no such state (any more); `Unsupported`, which is the default, if the catalog keeps none.
    fn at(&self, version: &TableVersion) -> Result<Arc<dyn CatalogTable>> {
        let _ = version;
        Err(Error::unsupported(format!(
            "the catalog of {} keeps no older versions of its tables",
            self.facts().id.name
        )))
    }
}

/// What policies may know of the columns of an Arrow schema whose fields carry their ids, as [`CatalogTable::schema`]
/// demands. The columns have no tags.
///
/// # Errors
/// `Internal` for a field that carries no id.
pub fn columns(schema: &Schema) -> Result<Vec<Column>> {
    let column = |field: &arrow::datatypes::FieldRef| {
        let id =
            field_id(field).ok_or_else(|| Error::internal(format!("column {:?} has no field id", field.name())))?;
        Ok(Column::new(id, field.name(), column_type(field.data_type()), field.is_nullable()))
    };
    schema.fields().iter().map(column).collect()
}

fn column_type(ty: &DataType) -> ColumnType {
    match ty {
        DataType::Boolean => ColumnType::Boolean,
        DataType::UInt64 => ColumnType::Other,
        ty if ty.is_integer() => ColumnType::Integer,
        ty if ty.is_floating() => ColumnType::Float,
        ty if ty.is_decimal() => ColumnType::Decimal,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Timestamp(..) => ColumnType::Timestamp,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Binary
        }
        _ => ColumnType::Other,
    }
}

/// A wish to read a table. Only the engine makes one, so only the engine has a catalog scan:
///
/// ```no_run
/// use std::sync::Arc;
/// use datafusion::{catalog::Session, physical_plan::ExecutionPlan};
/// use sqe_core::{Result, catalog::{CatalogSession, CatalogTable, ScanRequest}, govern::ScanGrant};
/// async fn scan(
///     catalog: &dyn CatalogSession, table: &Arc<dyn CatalogTable>, grant: &ScanGrant, state: &dyn Session,
///     wish: ScanRequest<'_>,
/// ) -> Result<Arc<dyn ExecutionPlan>> {
///     catalog.scan(wish).await
/// }
/// ```
///
/// Without one there is no scan, not even for a holder of a grant:
///
/// ```compile_fail,E0624
/// use std::sync::Arc;
/// use datafusion::{catalog::Session, physical_plan::ExecutionPlan};
/// use sqe_core::{Result, catalog::{CatalogSession, CatalogTable, ScanRequest}, govern::ScanGrant};
/// async fn scan(
///     catalog: &dyn CatalogSession, table: &Arc<dyn CatalogTable>, grant: &ScanGrant, state: &dyn Session,
///     wish: ScanRequest<'_>,
/// ) -> Result<Arc<dyn ExecutionPlan>> {
///     catalog.scan(ScanRequest::new(grant, table, state)).await
/// }
/// ```
/// ```compile_fail,E0639
/// use std::sync::Arc;
/// use datafusion::{catalog::Session, physical_plan::ExecutionPlan};
/// use sqe_core::{Result, catalog::{CatalogSession, CatalogTable, ScanRequest}, govern::ScanGrant};
/// async fn scan(
///     catalog: &dyn CatalogSession, table: &Arc<dyn CatalogTable>, grant: &ScanGrant, state: &dyn Session,
///     wish: ScanRequest<'_>,
/// ) -> Result<Arc<dyn ExecutionPlan>> {
///     catalog.scan(ScanRequest { table, ..wish }).await
/// }
/// ```
#[non_exhaustive]
pub struct ScanRequest<'a> {
    /// Proof that this read was authorised.
    pub grant: &'a ScanGrant,
    /// The table, as the same session loaded it.
    pub table: &'a Arc<dyn CatalogTable>,
    /// Positions in `table.schema()`, in the wanted order. `None`: all.
    pub projection: Option<&'a [usize]>,
    /// Hints to read less: conjuncts over the table's *raw* columns that every wanted row satisfies. A scan may ignore
    /// them, and may drop only rows for which one of them is not true; all of them are checked again above.
    pub filters: &'a [Expr],
    /// A hint: no more rows than this are wanted. Only ever given when no filter stands above.
    pub limit: Option<usize>,
    /// The planner's session: target partitions, batch size, functions.
    pub state: &'a dyn DataFusionSession,
    /// The lease's store; `None` if the table asked for no prefixes.
    pub store: Option<&'a StoreRef>,
}

impl fmt::Debug for ScanRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanRequest")
            .field("grant", self.grant)
            .field("projection", &self.projection)
            .field("filters", &self.filters)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl<'a> ScanRequest<'a> {
    pub(crate) fn new(
        grant: &'a ScanGrant,
        table: &'a Arc<dyn CatalogTable>,
        state: &'a dyn DataFusionSession,
    ) -> Self {
        Self { grant, table, projection: None, filters: &[], limit: None, state, store: None }
    }
}

/// A new table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewTable {
    /// Its name.
    pub name: TableName,
    /// Its columns; names, types, nullability and comments count, field ids are given by the catalog.
    pub schema: SchemaRef,
    /// How it is partitioned: transform and source column, such as `("bucket[16]", "id")`, `("identity", "region")`.
    pub partitioning: Vec<(String, String)>,
    /// Who creates it and so owns it.
    pub owner: Principal,
    /// Further properties.
    pub properties: Vec<(String, String)>,
}

impl NewTable {
    /// A table without partitioning and further properties.
    #[must_use]
    pub fn new(name: TableName, schema: SchemaRef, owner: Principal) -> Self {
        Self { name, schema, partitioning: Vec::new(), owner, properties: Vec::new() }
    }
}

/// A new view.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewView {
    /// Its name.
    pub name: TableName,
    /// What it stands for.
    pub definition: ViewDefinition,
    /// The columns of its query, as its creator sees them.
    pub schema: SchemaRef,
    /// Who creates it and so owns it.
    pub owner: Principal,
}

impl NewView {
    /// A view.
    #[must_use]
    pub fn new(name: TableName, definition: ViewDefinition, schema: SchemaRef, owner: Principal) -> Self {
        Self { name, definition, schema, owner }
    }
}

/// A change to what a catalog holds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CatalogChange {
    /// Create an empty schema.
    CreateSchema {
        /// Its name.
        schema: String,
        /// Who creates it and so owns it.
        owner: Principal,
    },
    /// Remove an empty schema; one that holds tables is a `Conflict`.
    DropSchema {
        /// Its name.
        schema: String,
    },
    /// Create an empty table.
    CreateTable(NewTable),
    /// Remove a table from the catalog. Its files stay for the catalog's own maintenance. Policy decided about the table
    /// with this uuid; if its name stands for another one by now, that is a `Conflict`, and nothing is removed.
    DropTable {
        /// The table, as it was loaded.
        table: TableId,
    },
    /// Create a view; a table or view of its name is `AlreadyExists`.
    CreateView(NewView),
    /// Give the view that the same session loaded, and that has the new one's name, the definition and the columns of the
    /// new one. It stays the same view: its uuid and its owner remain. If it changed since it was loaded, that is a
    /// `Conflict`, and nothing is changed.
    ReplaceView(Arc<dyn CatalogTable>, NewView),
    /// Remove a view, under the same conditions as a table.
    DropView {
        /// The view, as it was loaded.
        view: TableId,
    },
}

/// Where a write goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WriteTarget {
    /// Append to a table that the same session loaded.
    Append(Arc<dyn CatalogTable>),
    /// Create this table with the written rows, in one commit: a failure leaves no table.
    Create(NewTable),
    /// Put this new table with the written rows in the place of the one that the same session loaded and that has its name,
    /// in one commit: a failure leaves the old table. If the old table changed since it was loaded, that is a `Conflict`. The
    /// old table's files stay for the catalog's own maintenance.
    Replace(Arc<dyn CatalogTable>, NewTable),
}

/// A wish to write.
#[derive(Debug)]
#[non_exhaustive]
pub struct WriteRequest<'a> {
    /// Proof that this write was authorised.
    pub grant: &'a WriteGrant,
    /// Where to.
    pub target: WriteTarget,
    /// The lease's store, writable; `None` if no prefixes were asked for.
    pub store: Option<&'a StoreRef>,
}

impl<'a> WriteRequest<'a> {
    pub(crate) fn new(grant: &'a WriteGrant, target: WriteTarget, store: Option<&'a StoreRef>) -> Self {
        Self { grant, target, store }
    }
}

/// A write under way: `sink` runs anywhere, `commit` runs once on the coordinator.
#[async_trait]
pub trait TableWrite: fmt::Debug + Send + Sync + 'static {
    /// The schema that the input must have, in the target's column order.
    fn schema(&self) -> SchemaRef;

    /// A plan that writes the rows of `input` to new files and emits a description of each, in batches whose form only
    /// `commit` and `abort` know. It can be encoded by the catalog's codec.
    ///
    /// # Errors
    /// `InvalidInput` if the schema does not fit.
    fn sink(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>>;

    /// Makes the staged files visible, all or nothing; returns the number of rows.
    ///
    /// # Errors
    /// `Conflict` if somebody else's change stands in the way even after retries, `AlreadyExists` for a table that
    /// appeared meanwhile.
    async fn commit(&self, staged: Vec<RecordBatch>) -> Result<u64>;

    /// Removes staged files after a failure. Never called after a `commit` whose result is unknown.
    async fn abort(&self, staged: Vec<RecordBatch>);
}

/// A catalog as one person sees it.
#[async_trait]
pub trait CatalogSession: fmt::Debug + Send + Sync + 'static {
    /// The schemas that this person may list.
    ///
    /// # Errors
    /// `Unavailable` if the catalog does not answer: never an empty list instead.
    async fn schemas(&self) -> Result<Vec<String>>;

    /// The tables and views of a schema that this person may list.
    ///
    /// # Errors
    /// `NotFound` if there is no such schema; `Unavailable` if the catalog does not answer.
    async fn tables(&self, schema: &str) -> Result<Vec<TableName>>;

    /// Loads all of a statement's tables and views at once, in order. One that does not exist is its own `NotFound`.
    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>>;

    /// A plan that reads the table's raw rows; its schema is the projected `table.schema()`. The engine wraps it in the
    /// decision's barrier.
    ///
    /// # Errors
    /// `Unavailable`, `PermissionDenied` from the storage.
    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>>;

    /// Folders that a write to `target` needs a lease for.
    ///
    /// # Errors
    /// `Unsupported` if the catalog is read-only.
    async fn write_prefixes(&self, target: &WriteTarget) -> Result<Vec<String>>;

    /// Begins a write.
    ///
    /// # Errors
    /// `Unsupported` if the catalog is read-only.
    async fn begin(&self, request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>>;

    /// Changes what the catalog holds.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `Conflict`, `Unsupported` if the catalog is read-only.
    async fn change(&self, change: CatalogChange, grant: &WriteGrant) -> Result<()>;
}
