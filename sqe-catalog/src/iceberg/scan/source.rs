//! DataFusion's Parquet source, reading by field id.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{config::ConfigOptions, exec_err},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource},
        table_schema::TableSchema,
    },
    error::Result,
    physical_expr::{
        EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr, projection::ProjectionExprs,
        utils::collect_columns,
    },
    physical_expr_adapter::PhysicalExprAdapterFactory,
    physical_plan::{
        DisplayFormatType, SortOrderPushdownResult,
        filter_pushdown::{FilterPushdownPropagation, PushedDown},
        metrics::ExecutionPlanMetricsSet,
    },
};
use datafusion_datasource::morsel::Morselizer;
#[expect(deprecated, reason = "the trait still names it, and a wrapper forwards the whole trait")]
use datafusion_datasource::schema_adapter::SchemaAdapterFactory;
use object_store::ObjectStore;

use super::{
    adapt::{AdapterFactory, Defaults},
    pushdown::{self, Use},
    reader::{Footers, ReaderFactory},
};

/// What reading a table by field id needs beyond the Parquet source itself.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) footers: Footers,
    /// For files that lack a column.
    pub(crate) defaults: Arc<Defaults>,
    /// For each column, whether it has the same type in every version of the table's schema.
    pub(crate) settled: Arc<[bool]>,
    /// The JSON text of `schema.name-mapping.default`.
    pub(crate) mapping: Option<Arc<str>>,
}

/// A [`ParquetSource`] that finds columns by field id. It forwards everything; what is wrapped stays wrapped.
#[derive(Debug, Clone)]
pub struct IcebergSource {
    parquet: ParquetSource,
    reading: Reading,
}

impl IcebergSource {
    pub(crate) fn new(parquet: ParquetSource, reading: Reading) -> Self {
        Self { parquet, reading }
    }

    pub(crate) fn parquet(&self) -> &ParquetSource {
        &self.parquet
    }

    pub(crate) fn reading(&self) -> &Reading {
        &self.reading
    }

    pub(crate) fn adapter(&self) -> Arc<dyn PhysicalExprAdapterFactory> {
        Arc::new(AdapterFactory { defaults: Arc::clone(&self.reading.defaults) })
    }

    fn schema(&self) -> &SchemaRef {
        self.parquet.table_schema().table_schema()
    }

    /// Wraps what the Parquet source made of itself.
    fn wrap(&self, inner: &Arc<dyn FileSource>) -> Result<Arc<dyn FileSource>> {
        match inner.downcast_ref::<ParquetSource>() {
            Some(parquet) => Ok(Arc::new(Self { parquet: parquet.clone(), reading: self.reading.clone() })),
            None => exec_err!("the Parquet source became {:?}", inner.file_type()),
        }
    }

    fn wrap_sorted(
        &self,
        result: SortOrderPushdownResult<Arc<dyn FileSource>>,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match result {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.wrap(&inner)? },
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: self.wrap(&inner)? }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl FileSource for IcebergSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.parquet.create_file_opener(object_store, base_config, partition)
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let footers = self.reading.footers.clone();
        let readers = Arc::new(ReaderFactory { footers, store: Arc::clone(&object_store) });
        let parquet = self.parquet.clone().with_parquet_file_reader_factory(readers);
        if base_config.expr_adapter_factory.is_some() {
            return parquet.create_morselizer(object_store, base_config, partition);
        }
        // Somebody made the configuration anew around this source. Without the adapter, columns that a file lacks would
        // read as NULL whatever their default is.
        let config = FileScanConfigBuilder::from(base_config.clone()).with_expr_adapter(Some(self.adapter())).build();
        parquet.create_morselizer(object_store, &config, partition)
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let inner = self.parquet.with_batch_size(batch_size);
        match inner.downcast_ref::<ParquetSource>() {
            Some(parquet) => Arc::new(Self { parquet: parquet.clone(), reading: self.reading.clone() }),
            None => Arc::new(self.clone()),
        }
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        self.parquet.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parquet.fmt_extra(t, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.parquet.supports_repartitioning()
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        repartition_file_min_size: usize,
        output_ordering: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        // Works on `config`, whose source is the wrapped one.
        self.parquet.repartitioned(target_partitions, repartition_file_min_size, output_ordering, config)
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let uses = filters
            .iter()
            .map(|filter| pushdown::classify(filter, self.schema(), &self.reading.settled))
            .collect::<Result<Vec<_>>>()?;
        let given = filters.into_iter().zip(&uses).filter(|(_, used)| **used != Use::Nothing);
        let given: Vec<_> = given.map(|(filter, _)| filter).collect();
        let result = self.parquet.try_pushdown_filters(given, config)?;
        let mut answers = result.filters.into_iter();
        let filters = uses
            .iter()
            .map(|used| {
                let answer = if *used == Use::Nothing { None } else { answers.next() };
                match (used, answer) {
                    (Use::Answer, Some(PushedDown::Yes)) => PushedDown::Yes,
                    _ => PushedDown::No,
                }
            })
            .collect();
        let updated_node = result.updated_node.map(|inner| self.wrap(&inner)).transpose()?;
        Ok(FilterPushdownPropagation { filters, updated_node })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        self.wrap_sorted(self.parquet.try_pushdown_sort(order, eq_properties)?)
    }

    #[expect(deprecated, reason = "forwarded like everything else")]
    fn try_reverse_output(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        self.wrap_sorted(self.parquet.try_reverse_output(order, eq_properties)?)
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.parquet.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let below = self.parquet.projection().map_or(self.schema().fields().len(), |current| current.as_ref().len());
        let within = |expr: &Arc<dyn PhysicalExpr>| collect_columns(expr).iter().all(|column| column.index() < below);
        if !projection.as_ref().iter().all(|projected| within(&projected.expr)) {
            return exec_err!("a projection names columns that the scan does not have");
        }
        self.parquet.try_pushdown_projection(projection)?.map(|inner| self.wrap(&inner)).transpose()
    }

    #[expect(deprecated, reason = "forwarded like everything else")]
    fn with_schema_adapter_factory(&self, factory: Arc<dyn SchemaAdapterFactory>) -> Result<Arc<dyn FileSource>> {
        let inner = self.parquet.with_schema_adapter_factory(factory)?;
        self.wrap(&inner)
    }

    #[expect(deprecated, reason = "forwarded like everything else")]
    fn schema_adapter_factory(&self) -> Option<Arc<dyn SchemaAdapterFactory>> {
        self.parquet.schema_adapter_factory()
    }
}
