//! Reads planned files: DataFusion's Parquet source, with columns found by field id, and a codec for other machines.

mod adapt;
mod codec;
mod nested;
mod pushdown;
mod reader;
mod resolve;
mod source;

use std::{fmt, sync::Arc};

use datafusion::{
    catalog::Session,
    common::config::TableParquetOptions,
    datasource::{
        physical_plan::{FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    execution::object_store::ObjectStoreUrl,
    logical_expr::Expr,
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use iceberg::spec::{DEFAULT_SCHEMA_NAME_MAPPING, Literal};
use object_store::ObjectStore;
use sqe_core::{
    Error, Result,
    catalog::{CatalogTable, ScanRequest},
};

pub use self::source::IcebergSource;
use self::{adapt::Defaults, reader::Footers, resolve::FieldNames, source::Reading};
use super::{
    IcebergTable,
    io::{file_io, store_path},
    plan::{self, Wanted, field_id, scalar},
};

/// A scan without the proof that it is allowed, for those who hold it already.
#[derive(Clone)]
pub(crate) struct ScanInput<'a> {
    pub(crate) table: &'a IcebergTable,
    /// Positions in the table's schema.
    pub(crate) projection: Option<&'a [usize]>,
    /// Conjuncts over the table's columns that every wanted row satisfies.
    pub(crate) filters: &'a [Expr],
    pub(crate) limit: Option<usize>,
    pub(crate) state: &'a dyn Session,
    /// Folders that the store was leased for.
    pub(crate) prefixes: &'a [String],
    /// Where the plan finds the store when it runs.
    pub(crate) store_url: ObjectStoreUrl,
    /// The same store, for planning.
    pub(crate) store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for ScanInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScanInput")
            .field("projection", &self.projection)
            .field("filters", &self.filters)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// A plan that reads a table's rows as an authorised request wants them. Its schema is the projected table schema.
///
/// Filters only narrow what is read; all of them are to be checked again above. The limit is a hint.
///
/// # Errors
/// `Unsupported` for tables with row-level deletes, encryption, or data files other than Parquet; `PermissionDenied` for
/// data files outside of the lease's prefixes and from the storage; `Unavailable` from the storage.
pub async fn scan(request: &ScanRequest<'_>, table: &IcebergTable) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(store) = request.store else {
        if table.snapshot().is_none() {
            return empty(table, request.projection);
        }
        return Err(Error::denied("the table's files cannot be read without a lease for their storage"));
    };
    scan_input(ScanInput {
        table,
        projection: request.projection,
        filters: request.filters,
        limit: request.limit,
        state: request.state,
        prefixes: &store.prefixes,
        store_url: store.url.clone(),
        store: Arc::clone(&store.store),
    })
    .await
}

/// Encodes and decodes scans of Iceberg tables.
#[must_use]
pub fn codec() -> Arc<dyn PhysicalExtensionCodec> {
    Arc::new(codec::ScanCodec)
}

pub(crate) async fn scan_input(input: ScanInput<'_>) -> Result<Arc<dyn ExecutionPlan>> {
    let io = file_io(Arc::clone(&input.store));
    let wanted = Wanted { table: input.table, filters: input.filters, limit: input.limit, prefixes: input.prefixes };
    let planned = plan::plan(wanted, input.state, &io).await?;
    if planned.groups.is_empty() {
        return empty(input.table, input.projection);
    }
    let global = input.state.config_options().execution.parquet.clone();
    let options = TableParquetOptions { global, ..TableParquetOptions::default() };
    let schema = input.table.schema();
    let mut parquet = ParquetSource::new(TableSchema::from_file_schema(Arc::clone(&schema)));
    if let Some(hint) = options.global.metadata_size_hint {
        parquet = parquet.with_metadata_size_hint(hint);
    }
    let source = IcebergSource::new(parquet.with_table_parquet_options(options), reading(&input)?);
    let adapter = source.adapter();
    let config = FileScanConfigBuilder::new(input.store_url, Arc::new(source))
        .with_file_groups(planned.groups)
        .with_statistics(planned.statistics)
        .with_expr_adapter(Some(adapter))
        .with_projection_indices(input.projection.map(<[usize]>::to_vec))?
        .with_limit(input.limit.filter(|_| input.filters.is_empty()))
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn reading(input: &ScanInput<'_>) -> Result<Reading> {
    let metadata = input.table.metadata();
    let schema = input.table.schema();
    let mapping = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING).map(String::as_str);
    let names = FieldNames::try_new(&schema, mapping)
        .map_err(|error| Error::internal("the table's name mapping cannot be read").with_source(error))?;
    let mut defaults = Defaults::new();
    for field in schema.fields() {
        let found = field_id(field).and_then(|id| metadata.current_schema().field_by_id(id));
        if let Some(default) = found.and_then(|found| found.initial_default.as_ref()) {
            let value = match default {
                Literal::Primitive(literal) => scalar::default(literal, field.data_type()),
                _ => None,
            };
            let value = value.ok_or_else(|| {
                Error::unsupported(format!("the initial default of column {:?} cannot be read", field.name()))
            })?;
            defaults.insert(field.name().clone(), value);
        }
    }
    Ok(Reading {
        footers: Footers {
            names: Arc::new(names),
            cache: input.state.runtime_env().cache_manager.get_file_metadata_cache(),
            namespace: namespace(input.table).into(),
        },
        defaults: Arc::new(defaults),
        settled: plan::settled(metadata, &schema).into(),
        mapping: mapping.map(Into::into),
    })
}

/// The table's uuid, and the scheme and authority of its folder, which paths lack.
fn namespace(table: &IcebergTable) -> String {
    let location = table.location();
    let path = store_path(location).map(|path| path.to_string()).unwrap_or_default();
    let authority = location.strip_suffix(&path).unwrap_or(location);
    format!("{}@{authority}", table.metadata().uuid())
}

fn empty(table: &IcebergTable, projection: Option<&[usize]>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = table.schema();
    let schema = match projection {
        Some(positions) => Arc::new(schema.project(positions)?),
        None => schema,
    };
    Ok(Arc::new(EmptyExec::new(schema)))
}

#[cfg(test)]
mod tests;
