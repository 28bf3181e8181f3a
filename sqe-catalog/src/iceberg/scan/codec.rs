//! Scans on the wire.
//!
//! DataFusion's own message for Parquet scans carries neither how columns are found nor what absent ones hold, and its
//! encoder only takes its own source; ours falls through to this codec. The format: four bytes `SQEI`, a version, and a
//! message. Stores are named by URL and found in the reader's own registry: no right travels here.

use std::sync::Arc;

use datafusion::{
    common::{ScalarValue, config::TableParquetOptions, tree_node::TreeNode},
    datasource::{
        physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_expr::{PhysicalExpr, conjunction, split_conjunction, utils::collect_columns},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    physical_plan::{
        DefaultPhysicalExtensionCodec, DefaultPhysicalProtoConverter, PhysicalExtensionCodec,
        PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
        from_proto::{parse_protobuf_file_scan_config, parse_protobuf_file_scan_schema},
        to_proto::serialize_file_scan_config,
    },
    protobuf,
};
use prost::Message;
use sqe_core::Error;

use super::{IcebergSource, adapt::Defaults, pushdown, reader::Footers, resolve::FieldNames, source::Reading};

const MAGIC: &[u8; 4] = b"SQEI";
const VERSION: u8 = 1;

/// A scan. Tags are part of the wire format.
#[derive(Clone, PartialEq, Message)]
struct Scan {
    /// What DataFusion's message can say: files with ranges and statistics, schema with field ids, projection, store;
    /// predicate; options.
    #[prost(message, optional, tag = "1")]
    parquet: Option<protobuf::ParquetScanExecNode>,
    #[prost(string, optional, tag = "2")]
    mapping: Option<String>,
    #[prost(message, repeated, tag = "3")]
    defaults: Vec<Named>,
    #[prost(bool, repeated, tag = "4")]
    settled: Vec<bool>,
    #[prost(string, tag = "5")]
    namespace: String,
    /// The files' own message has only 32 bits for it.
    #[prost(uint64, optional, tag = "6")]
    limit: Option<u64>,
    #[prost(bool, tag = "7")]
    preserve_order: bool,
}

/// A column's initial default.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<protobuf::ScalarValue>,
}

/// See [`super::codec`].
#[derive(Debug)]
pub(crate) struct ScanCodec;

impl PhysicalExtensionCodec for ScanCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let body = match buf.strip_prefix(MAGIC).and_then(<[u8]>::split_first) {
            Some((&VERSION, body)) => body,
            Some(_) => return Err(refused("it is of another version of this engine")),
            None => return Err(refused("it is none")),
        };
        if !inputs.is_empty() {
            return Err(refused("it has inputs"));
        }
        decode(Scan::decode(body).map_err(|_| refused("it is damaged"))?, ctx)
    }

    fn try_encode(&self, node: Arc<dyn ExecutionPlan>, buf: &mut Vec<u8>) -> Result<()> {
        let found =
            node.downcast_ref::<DataSourceExec>().and_then(|exec| exec.downcast_to_file_source::<IcebergSource>());
        let Some((config, source)) = found else {
            return Err(Error::unsupported("this is no scan of an iceberg table").into());
        };
        let scan = encode(config, source)?;
        buf.extend_from_slice(MAGIC);
        buf.push(VERSION);
        scan.encode(buf).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

fn encode(config: &FileScanConfig, source: &IcebergSource) -> Result<Scan> {
    let codec = DefaultPhysicalExtensionCodec {};
    let converter = DefaultPhysicalProtoConverter {};
    let reading = source.reading();
    let predicate = config.file_source().filter().map(portable).transpose()?.flatten();
    let predicate = predicate.map(|predicate| converter.physical_expr_to_proto(&predicate, &codec)).transpose()?;
    let defaults = reading
        .defaults
        .iter()
        .map(|(name, value)| Ok(Named { name: name.clone(), value: Some(value.try_into()?) }))
        .collect::<Result<_>>()?;
    Ok(Scan {
        parquet: Some(protobuf::ParquetScanExecNode {
            base_conf: Some(serialize_file_scan_config(config, &codec, &converter)?),
            predicate,
            parquet_options: Some(source.parquet().table_parquet_options().try_into()?),
        }),
        mapping: reading.mapping.as_deref().map(str::to_owned),
        defaults,
        settled: reading.settled.to_vec(),
        namespace: reading.footers.namespace.to_string(),
        limit: config.limit.and_then(|limit| u64::try_from(limit).ok()),
        preserve_order: config.preserve_order,
    })
}

/// The part of a predicate that means the same elsewhere. What is dropped was never answered for: it is checked above.
fn portable(predicate: Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let mut kept = Vec::new();
    for conjunct in split_conjunction(&predicate) {
        let travels = !conjunct.exists(|expr| Ok(!pushdown::travels(expr)))?;
        if travels {
            kept.push(Arc::clone(conjunct));
        }
    }
    Ok((!kept.is_empty()).then(|| conjunction(kept)))
}

fn decode(scan: Scan, ctx: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let codec = DefaultPhysicalExtensionCodec {};
    let converter = DefaultPhysicalProtoConverter {};
    let context = PhysicalPlanDecodeContext::new(ctx, &codec);
    let node = scan.parquet.ok_or_else(|| refused("it reads nothing"))?;
    let mut files = node.base_conf.ok_or_else(|| refused("it has no files"))?;
    let schema = parse_protobuf_file_scan_schema(&files)?;
    if !files.table_partition_cols.is_empty() || scan.settled.len() != schema.fields().len() {
        return Err(refused("its columns do not fit together"));
    }
    let options: TableParquetOptions =
        node.parquet_options.as_ref().ok_or_else(|| refused("it has no options"))?.try_into()?;
    let mut parquet = ParquetSource::new(TableSchema::from_file_schema(Arc::clone(&schema)));
    if let Some(hint) = options.global.metadata_size_hint {
        parquet = parquet.with_metadata_size_hint(hint);
    }
    parquet = parquet.with_table_parquet_options(options);
    if let Some(predicate) = &node.predicate {
        let predicate = converter.proto_to_physical_expr(predicate, &schema, &context)?;
        if collect_columns(&predicate).iter().any(|column| column.index() >= schema.fields().len()) {
            return Err(refused("its predicate names columns that it does not have"));
        }
        parquet = parquet.with_predicate(predicate);
    }
    let mut defaults = Defaults::new();
    for Named { name, value } in &scan.defaults {
        let value: ScalarValue = value.as_ref().ok_or_else(|| refused("a default is missing"))?.try_into()?;
        defaults.insert(name.clone(), value);
    }
    let names = FieldNames::try_new(&schema, scan.mapping.as_deref())?;
    let reading = Reading {
        footers: Footers {
            names: Arc::new(names),
            cache: ctx.runtime_env().cache_manager.get_file_metadata_cache(),
            namespace: scan.namespace.into(),
        },
        defaults: Arc::new(defaults),
        settled: scan.settled.into(),
        mapping: scan.mapping.map(Into::into),
    };
    let source = IcebergSource::new(parquet, reading);
    let adapter = source.adapter();
    files.limit = None;
    let config = parse_protobuf_file_scan_config(&files, &context, &converter, Arc::new(source))?;
    let columns = schema.fields().len();
    let stray = config.file_groups.iter().flat_map(|group| group.iter()).any(|file| {
        let statistics = file.statistics.as_ref().is_some_and(|found| found.column_statistics.len() != columns);
        let range = file.range.as_ref().is_some_and(|range| range.start < 0 || range.end < range.start);
        statistics || range || !file.partition_values.is_empty()
    });
    if stray || config.statistics().column_statistics.len() != columns {
        return Err(refused("its files do not fit its columns"));
    }
    let limit = scan.limit.map(usize::try_from).transpose().map_err(|_| refused("its limit is too large"))?;
    let config = FileScanConfigBuilder::from(config)
        .with_expr_adapter(Some(adapter))
        .with_limit(limit)
        .with_preserve_order(scan.preserve_order)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn refused(why: &str) -> DataFusionError {
    Error::invalid(format!("a scan from another process cannot be read: {why}")).into()
}
