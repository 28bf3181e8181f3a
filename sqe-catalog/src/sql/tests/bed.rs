//! A catalog in a temporary folder, and what a session does with it.

use std::{path::PathBuf, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    datasource::memory::MemorySourceConfig,
    execution::object_store::ObjectStoreUrl,
    physical_plan::{ExecutionPlan, collect},
    prelude::{SessionConfig, SessionContext},
};
use object_store::ObjectStore;
use sqe_core::{
    Identity, Principal, QueryId, Result, TableName,
    catalog::{CatalogTable, NewTable, StoreOpener, TableWrite},
    credentials::{CredentialVendor, Operation},
};

use crate::{
    LocalVendor, SqlCatalog, SqlOptions, Stores,
    iceberg::{
        IcebergTable,
        scan::{ScanInput, scan_input},
        write::{Destination, IcebergWrite},
    },
    sql::session::SqlSession,
};

pub(super) const URL: &str = "sqe-lease-0://";

/// One process with a catalog open.
pub(super) struct Bed {
    pub(super) catalog: SqlCatalog,
    pub(super) root: PathBuf,
    _dir: Option<tempfile::TempDir>,
}

pub(super) fn name(table: &str) -> TableName {
    TableName::new("lake", "s", table)
}

pub(super) fn alice() -> Principal {
    Principal::new("https://idp", "alice")
}

pub(super) fn columns(fields: &[(&str, DataType)]) -> Arc<Schema> {
    Arc::new(Schema::new(fields.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect::<Vec<_>>()))
}

impl Bed {
    /// A new catalog with the schema `s`.
    pub(super) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut bed = Self::at(root).await;
        bed._dir = Some(dir);
        bed.session().entries().create_schema("s", &alice()).await.unwrap();
        bed
    }

    /// Another opening of a catalog, as another process has it.
    pub(super) async fn at(root: PathBuf) -> Self {
        let options = SqlOptions::new(root.join("catalog.db"), format!("file://{}/wh", root.display()));
        let catalog = SqlCatalog::open(options.create_if_missing()).await.unwrap();
        Self { catalog, root, _dir: None }
    }

    pub(super) fn session(&self) -> SqlSession {
        self.session_with(Arc::new(LocalVendor::new([self.root.join("wh")]).unwrap()))
    }

    pub(super) fn session_with(&self, vendor: Arc<dyn CredentialVendor>) -> SqlSession {
        let stores: Arc<dyn StoreOpener> = Arc::new(Stores);
        let entries = self.catalog.database.entries("lake".to_owned());
        SqlSession::new("lake", &Identity::new(alice()), (&vendor, &stores), entries, &self.catalog.warehouse)
    }

    pub(super) async fn table(&self, table: &str) -> Arc<dyn CatalogTable> {
        self.session().load_one(&name(table)).await.unwrap()
    }

    /// A store for a table's folder.
    pub(super) async fn store(&self, table: &str, operation: Operation) -> Arc<dyn ObjectStore> {
        let prefix = format!("{}/s/{table}/", self.catalog.warehouse);
        self.session().store(&name(table), &[prefix], operation).await.unwrap()
    }

    pub(super) async fn destination(&self, table: &str) -> Destination {
        Destination { store: self.store(table, Operation::Write).await, url: URL.to_owned() }
    }

    pub(super) async fn append(&self, table: &str) -> IcebergWrite {
        let (loaded, destination) = (self.table(table).await, self.destination(table).await);
        self.session().begin_append(&loaded, destination, QueryId::random()).unwrap()
    }

    pub(super) async fn create_as(&self, new: &NewTable) -> Result<IcebergWrite> {
        let destination = self.destination(&new.name.table).await;
        self.session().begin_create(new, destination, QueryId::random()).await
    }

    /// Runs a sink over `parts`, one input partition each.
    pub(super) async fn stage(
        &self,
        table: &str,
        write: &dyn TableWrite,
        parts: &[Vec<RecordBatch>],
    ) -> Result<Vec<RecordBatch>> {
        let parts: Vec<Vec<RecordBatch>> =
            parts.iter().map(|part| part.iter().map(|batch| cast(batch, &write.schema())).collect()).collect();
        let input = MemorySourceConfig::try_new_exec(&parts, parts[0][0].schema(), None).unwrap();
        let plan = write.sink(input)?;
        Ok(collect(plan, self.context(table, Operation::Write).await.task_ctx()).await?)
    }

    pub(super) async fn insert(&self, table: &str, rows: RecordBatch) -> Result<u64> {
        let write = self.append(table).await;
        let staged = self.stage(table, &write, &[vec![rows]]).await?;
        write.commit(staged).await
    }

    pub(super) async fn context(&self, table: &str, operation: Operation) -> SessionContext {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        let url = ObjectStoreUrl::parse(URL).unwrap();
        context.register_object_store(url.as_ref(), self.store(table, operation).await);
        context
    }

    /// All rows, sorted by the first column.
    pub(super) async fn rows(&self, table: &str) -> RecordBatch {
        let loaded = self.table(table).await;
        let context = self.context(table, Operation::Read).await;
        let plan: Arc<dyn ExecutionPlan> = scan_input(ScanInput {
            table: loaded.as_any().downcast_ref::<IcebergTable>().unwrap(),
            projection: None,
            filters: &[],
            limit: None,
            state: &context.state(),
            store_url: ObjectStoreUrl::parse(URL).unwrap(),
            prefixes: &loaded.prefixes(),
            store: self.store(table, Operation::Read).await,
        })
        .await
        .unwrap();
        let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        let all = concat_batches(&plan.schema(), &batches).unwrap();
        let order = arrow::compute::sort_to_indices(all.column(0), None, None).unwrap();
        arrow::compute::take_record_batch(&all, &order).unwrap()
    }

    /// Files below a folder of the warehouse, as paths relative to it.
    pub(super) fn files(&self, folder: &str) -> Vec<String> {
        fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), found) } else { found.push(entry.path()) }
            }
        }
        let (base, mut found) = (self.root.join("wh").join(folder), Vec::new());
        walk(&base, &mut found);
        let mut names: Vec<String> =
            found.iter().map(|path| path.strip_prefix(&base).unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }
}

fn cast(batch: &RecordBatch, schema: &Arc<Schema>) -> RecordBatch {
    let cast =
        |(column, field): (&arrow::array::ArrayRef, &Arc<Field>)| arrow::compute::cast(column, field.data_type());
    let columns: Vec<_> = batch.columns().iter().zip(schema.fields()).map(|pair| cast(pair).unwrap()).collect();
    // Nullable, as what a query yields often is, even where the table requires values.
    let fields: Vec<_> = schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}
