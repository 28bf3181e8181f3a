//! A small table for tests, written with the format's own library into memory.

use std::{collections::HashMap, sync::Arc};

use arrow::{
    datatypes::{Schema as ArrowSchema, SchemaRef as ArrowSchemaRef},
    json::{ArrayWriter, ReaderBuilder},
    record_batch::RecordBatch,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    datasource::TableType,
    error::Result as DataFusionResult,
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::{ExecutionPlan, collect},
    prelude::{SessionConfig, SessionContext},
};
use iceberg::{
    arrow::RecordBatchPartitionSplitter,
    io::FileIO,
    spec::{
        DataContentType, DataFile, FormatVersion, ManifestListWriter, ManifestWriterBuilder, NestedField, Operation,
        PartitionSpec, PrimitiveType, Schema, Snapshot, SortOrder, Struct, Summary, TableMetadata,
        TableMetadataBuilder, Transform, Type,
    },
    writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder},
};
use object_store::{ObjectStore, memory::InMemory};
use parquet::file::properties::WriterProperties;
use serde_json::Value;
use sqe_core::{TableName, catalog::CatalogTable};

use super::super::{IcebergTable, ScanInput, scan_input};
use crate::iceberg::io::file_io;

pub(super) const LOCATION: &str = "file:///lake/t";

/// A table under construction.
#[derive(Debug)]
pub(super) struct Lake {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) io: FileIO,
    pub(super) metadata: TableMetadata,
    pub(super) files: Vec<(Arc<PartitionSpec>, Arc<Schema>, DataFile)>,
    /// Rows in a row group.
    pub(super) group: usize,
    snapshots: i64,
}

pub(super) fn optional(id: i32, name: &str, ty: PrimitiveType) -> NestedField {
    NestedField::optional(id, name, Type::Primitive(ty))
}

pub(super) fn required(id: i32, name: &str, ty: PrimitiveType) -> NestedField {
    NestedField::required(id, name, Type::Primitive(ty))
}

impl Lake {
    pub(super) fn new(fields: Vec<NestedField>, partitioning: &[(&str, Transform)]) -> Self {
        Self::with_version(fields, partitioning, FormatVersion::V2)
    }

    pub(super) fn with_version(
        fields: Vec<NestedField>,
        partitioning: &[(&str, Transform)],
        version: FormatVersion,
    ) -> Self {
        let schema = Schema::builder().with_fields(fields.into_iter().map(Arc::new)).build().unwrap();
        let mut spec = PartitionSpec::builder(schema.clone());
        for (column, transform) in partitioning {
            let name = format!("{column}_{}", transform.to_string().replace(['[', ']'], "_"));
            spec = spec.add_partition_field(*column, name, *transform).unwrap();
        }
        let spec = spec.build().unwrap().into_unbound();
        let order = SortOrder::unsorted_order();
        let metadata = TableMetadataBuilder::new(schema, spec, order, LOCATION.into(), version, HashMap::new())
            .unwrap()
            .build()
            .unwrap()
            .metadata;
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let io = file_io(Arc::clone(&store));
        Self { store, io, metadata, files: Vec::new(), group: 1024 * 1024, snapshots: 0 }
    }

    /// Makes these the table's columns; ids of the builder are kept.
    pub(super) fn evolve(&mut self, fields: Vec<NestedField>) {
        let schema = Schema::builder().with_fields(fields.into_iter().map(Arc::new)).build().unwrap();
        self.change(|builder| builder.add_current_schema(schema).unwrap());
    }

    pub(super) fn change(&mut self, change: impl FnOnce(TableMetadataBuilder) -> TableMetadataBuilder) {
        let builder = TableMetadataBuilder::new_from_metadata(self.metadata.clone(), None);
        self.metadata = change(builder).build().unwrap().metadata;
    }

    /// The Arrow schema that the format's library writes.
    pub(super) fn arrow(&self) -> ArrowSchemaRef {
        Arc::new(iceberg::arrow::schema_to_arrow_schema(self.metadata.current_schema()).unwrap())
    }

    /// Writes rows given as JSON objects, a file for each partition.
    pub(super) async fn rows(&mut self, rows: Value) {
        let batch = from_json(&self.arrow(), &rows);
        self.batch(&batch).await;
    }

    pub(super) async fn batch(&mut self, batch: &RecordBatch) {
        let schema = Arc::clone(self.metadata.current_schema());
        let spec = Arc::clone(self.metadata.default_partition_spec());
        let parts = if spec.is_unpartitioned() {
            vec![(Struct::empty(), batch.clone())]
        } else {
            RecordBatchPartitionSplitter::try_new_with_computed_values(Arc::clone(&schema), Arc::clone(&spec))
                .unwrap()
                .split(batch)
                .unwrap()
                .into_iter()
                .map(|(key, part)| (key.data().clone(), part))
                .collect()
        };
        for (values, part) in parts {
            let location = format!("{LOCATION}/data/{}.parquet", self.files.len());
            let properties = WriterProperties::builder().set_max_row_group_row_count(Some(self.group)).build();
            let output = self.io.new_output(&location).unwrap();
            let mut writer = ParquetWriterBuilder::new(properties, Arc::clone(&schema)).build(output).await.unwrap();
            writer.write(&part).await.unwrap();
            for mut file in writer.close().await.unwrap() {
                let file = file
                    .content(DataContentType::Data)
                    .partition(values.clone())
                    .partition_spec_id(spec.spec_id())
                    .build()
                    .unwrap();
                self.files.push((Arc::clone(&spec), Arc::clone(&schema), file));
            }
        }
    }

    /// Commits all files, one manifest for each file.
    pub(super) async fn table(&mut self) -> IcebergTable {
        self.snapshots += 1;
        let (id, sequence) = (self.snapshots, self.snapshots);
        let mut manifests = Vec::new();
        for (i, (spec, schema, file)) in self.files.iter().enumerate() {
            let output = self.io.new_output(format!("{LOCATION}/metadata/m{id}-{i}.avro")).unwrap();
            let builder = ManifestWriterBuilder::new(output, Some(id), Arc::clone(schema), spec.as_ref().clone());
            let mut writer = match self.metadata.format_version() {
                FormatVersion::V1 => builder.build_v1(),
                FormatVersion::V2 => builder.build_v2_data(),
                FormatVersion::V3 => builder.build_v3_data(),
            };
            writer.add_file(file.clone(), sequence).unwrap();
            manifests.push(writer.write_manifest_file().await.unwrap());
        }
        self.commit(id, sequence, manifests).await
    }

    pub(super) async fn commit(
        &mut self,
        id: i64,
        sequence: i64,
        manifests: Vec<iceberg::spec::ManifestFile>,
    ) -> IcebergTable {
        let location = format!("{LOCATION}/metadata/snap-{id}.avro");
        let output = self.io.new_output(&location).unwrap().writer().await.unwrap();
        let first = self.metadata.next_row_id();
        let mut list = match self.metadata.format_version() {
            FormatVersion::V1 => ManifestListWriter::v1(output, id, None),
            FormatVersion::V2 => ManifestListWriter::v2(output, id, None, sequence),
            FormatVersion::V3 => ManifestListWriter::v3(output, id, None, sequence, Some(first)),
        };
        list.add_manifests(manifests.into_iter()).unwrap();
        list.close().await.unwrap();
        let summary = Summary { operation: Operation::Append, additional_properties: HashMap::new() };
        let snapshot = Snapshot::builder()
            .with_snapshot_id(id)
            .with_sequence_number(sequence)
            .with_timestamp_ms(self.metadata.last_updated_ms() + id)
            .with_manifest_list(location)
            .with_schema_id(self.metadata.current_schema_id())
            .with_summary(summary);
        let snapshot = match self.metadata.format_version() {
            FormatVersion::V3 => snapshot.with_row_range(first, 1000).build(),
            _ => snapshot.build(),
        };
        self.change(|builder| builder.set_branch_snapshot(snapshot, "main").unwrap());
        self.open()
    }

    /// The table as it was last committed.
    pub(super) fn open(&self) -> IcebergTable {
        let name = TableName::new("lake", "s", "t");
        let at = format!("{LOCATION}/metadata/v{}.metadata.json", self.snapshots);
        IcebergTable::try_new(name, Arc::new(self.metadata.clone()), &at, self.io.clone()).unwrap()
    }
}

/// Makes a table reachable by SQL, with everything that DataFusion's optimizer then does to its scans.
#[derive(Debug)]
pub(super) struct Reachable {
    pub(super) table: IcebergTable,
    pub(super) store: Arc<dyn ObjectStore>,
    /// Whether filters reach the planner.
    pub(super) prune: bool,
}

pub(super) fn url() -> ObjectStoreUrl {
    ObjectStoreUrl::parse("sqe-lease-test://").unwrap()
}

#[async_trait]
impl TableProvider for Reachable {
    fn schema(&self) -> ArrowSchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let plan = scan_input(ScanInput {
            table: &self.table,
            projection: projection.map(Vec::as_slice),
            filters: if self.prune { filters } else { &[] },
            limit: limit.filter(|_| filters.is_empty()),
            state,
            prefixes: &self.table.prefixes(),
            store_url: url(),
            store: Arc::clone(&self.store),
        })
        .await?;
        Ok(plan)
    }
}

/// How a query is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) pushdown: bool,
    pub(super) prune: bool,
    pub(super) partitions: usize,
}

impl Default for How {
    fn default() -> Self {
        Self { pushdown: false, prune: true, partitions: 2 }
    }
}

/// All ways that must give the same rows.
pub(super) const WAYS: [How; 4] = [
    How { pushdown: false, prune: false, partitions: 1 },
    How { pushdown: false, prune: true, partitions: 2 },
    How { pushdown: true, prune: true, partitions: 3 },
    How { pushdown: true, prune: false, partitions: 1 },
];

/// A session in which the table is called `t`.
pub(super) fn session(table: &IcebergTable, store: &Arc<dyn ObjectStore>, how: How) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(how.partitions);
    config.options_mut().execution.parquet.pushdown_filters = how.pushdown;
    config.options_mut().optimizer.repartition_file_min_size = 1;
    let context = SessionContext::new_with_config(config);
    context.register_object_store(url().as_ref(), Arc::clone(store));
    let (table, store) = (table.clone(), Arc::clone(store));
    context.register_table("t", Arc::new(Reachable { table, store, prune: how.prune })).unwrap();
    context
}

pub(super) async fn plan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    context.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

pub(super) async fn query(table: &IcebergTable, store: &Arc<dyn ObjectStore>, how: How, sql: &str) -> Vec<RecordBatch> {
    let context = session(table, store, how);
    let plan = plan(&context, sql).await;
    collect(plan, context.task_ctx()).await.unwrap()
}

/// The rows of a query as JSON objects, after every way gave the same.
pub(super) async fn rows(table: &IcebergTable, store: &Arc<dyn ObjectStore>, sql: &str) -> Vec<Value> {
    let mut results = Vec::new();
    for how in WAYS {
        let mut found = to_json(&query(table, store, how, sql).await);
        if !sql.contains("ORDER BY") {
            found.sort_by_key(Value::to_string);
        }
        results.push((how, found));
    }
    let (_, first) = results.remove(0);
    for (how, other) in results {
        assert_eq!(first, other, "{sql} run with {how:?}");
    }
    first
}

/// Data files in a plan, as often as they are opened.
pub(super) fn files(plan: &Arc<dyn ExecutionPlan>) -> Vec<String> {
    scans(plan).iter().flat_map(|group| group.iter().map(|file| file.path().to_string())).collect()
}

pub(super) fn scans(plan: &Arc<dyn ExecutionPlan>) -> Vec<datafusion::datasource::physical_plan::FileGroup> {
    let mut found = Vec::new();
    if let Some(exec) = plan.downcast_ref::<datafusion::datasource::source::DataSourceExec>()
        && let Some((config, _)) = exec.downcast_to_file_source::<super::super::IcebergSource>()
    {
        found.extend(config.file_groups.iter().cloned());
    }
    for child in plan.children() {
        found.extend(scans(child));
    }
    found
}

pub(super) fn from_json(schema: &Arc<ArrowSchema>, rows: &Value) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(1 << 20).build_decoder().unwrap();
    decoder.serialize(rows.as_array().unwrap()).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema)))
}

pub(super) fn to_json(batches: &[RecordBatch]) -> Vec<Value> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let bytes = writer.into_inner();
    if bytes.is_empty() { Vec::new() } else { serde_json::from_slice(&bytes).unwrap() }
}
