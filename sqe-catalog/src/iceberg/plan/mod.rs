//! Plans scans: from a snapshot through manifests and pruning to groups of files with statistics.

mod groups;
mod manifests;
mod prune;
mod ranges;
pub(crate) mod scalar;
mod statistics;

use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use chrono::DateTime;
use datafusion::{
    catalog::Session,
    common::{Statistics, stats::Precision},
    datasource::{listing::PartitionedFile, physical_plan::FileGroup},
    logical_expr::Expr,
};
use iceberg::{io::FileIO, spec::TableMetadata};
use object_store::{ObjectMeta, path::Path};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use sqe_core::{Error, Result, catalog::CatalogTable};

use self::{groups::Sized, manifests::Live, prune::Pruner};
use super::{IcebergTable, io::store_path};

/// What to plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) table: &'a IcebergTable,
    /// Conjuncts over the table's columns that every wanted row satisfies.
    pub(crate) filters: &'a [Expr],
    /// No more rows than this are wanted.
    pub(crate) limit: Option<usize>,
    /// Folders that the scan has a lease for.
    pub(crate) prefixes: &'a [String],
}

/// The files to read.
#[derive(Debug)]
pub(crate) struct Planned {
    /// A group for each output partition; none if nothing is to be read.
    pub(crate) groups: Vec<FileGroup>,
    /// Of all files together.
    pub(crate) statistics: Statistics,
}

/// Plans a scan through `io`.
///
/// # Errors
/// `Unsupported` for deletes, encryption and formats other than Parquet; `PermissionDenied` for data files outside of
/// the prefixes; `Unavailable` and `PermissionDenied` from the storage.
pub(crate) async fn plan(wanted: Wanted<'_>, state: &dyn Session, io: &FileIO) -> Result<Planned> {
    let schema = wanted.table.schema();
    let Some(snapshot) = wanted.table.snapshot() else {
        return Ok(Planned { groups: Vec::new(), statistics: empty(&schema) });
    };
    let metadata = wanted.table.metadata();
    let pruner = Pruner::new(wanted.filters, &schema, metadata.current_schema(), state);
    let mut live = manifests::live(metadata, snapshot, io, pruner.as_ref()).await?;
    // Every row of every file counts only where no filter stands above.
    if let (Some(limit), []) = (wanted.limit, wanted.filters) {
        enough(&mut live, limit);
    }
    let mut sized = Vec::with_capacity(live.len());
    let leased: Vec<_> = wanted.prefixes.iter().map(|prefix| place(prefix)).collect::<Result<_>>()?;
    for file in &live {
        // The store refuses other places too. But a footer may come from a cache, which no store guards.
        let (authority, path) = place(file.file().file_path())?;
        if !leased.iter().any(|(leased, folder)| *leased == authority && path.prefix_matches(folder)) {
            return Err(Error::denied("the table refers to a data file outside of its own folders"));
        }
        sized.push(partitioned(file, &schema)?);
    }
    let statistics = match sized.is_empty() {
        true => empty(&schema),
        false => {
            Statistics::try_merge_iter(sized.iter().filter_map(|sized| sized.file.statistics.as_deref()), &schema)?
        }
    };
    let options = state.config_options();
    let split_above = match options.optimizer.repartition_file_scans {
        true => u64::try_from(options.optimizer.repartition_file_min_size).unwrap_or(u64::MAX),
        false => u64::MAX,
    };
    let groups = groups::balance(sized, state.config().target_partitions(), split_above);
    Ok(Planned { groups, statistics })
}

/// Whether each column has the same type in every version of the table's schema, so that no file needs adaptation.
pub(crate) fn settled(metadata: &TableMetadata, schema: &SchemaRef) -> Vec<bool> {
    let current = metadata.current_schema();
    schema
        .fields()
        .iter()
        .map(|field| {
            let Some(now) = field_id(field).and_then(|id| current.field_by_id(id)) else { return false };
            metadata
                .schemas_iter()
                .all(|version| version.field_by_id(now.id).is_some_and(|then| then.field_type == now.field_type))
        })
        .collect()
}

/// A column's field id.
pub(crate) fn field_id(field: &Field) -> Option<i32> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse().ok()
}

/// Drops the files after those that hold `limit` rows.
fn enough(live: &mut Vec<Live>, limit: usize) {
    let mut rows: u64 = 0;
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    live.retain(|file| {
        let needed = rows < limit;
        rows = rows.saturating_add(file.file().record_count());
        needed
    });
}

fn partitioned(live: &Live, schema: &SchemaRef) -> Result<Sized> {
    let data = live.file();
    let file = PartitionedFile::new_from_meta(ObjectMeta {
        location: store_path(data.file_path())?,
        // Data files never change.
        last_modified: DateTime::UNIX_EPOCH,
        size: data.file_size_in_bytes(),
        e_tag: None,
        version: None,
    })
    .with_statistics(Arc::new(statistics::of_file(data, live.spec(), schema)));
    let splits = data.split_offsets().unwrap_or_default();
    let ascending = splits.is_sorted_by(|a, b| a < b);
    let splits = match ascending {
        true => splits.iter().filter_map(|offset| u64::try_from(*offset).ok()).collect(),
        false => Vec::new(),
    };
    Ok(Sized { file, splits })
}

/// Where a location is: scheme and authority, and the path in its store. Local files have several spellings.
fn place(location: &str) -> Result<(&str, Path)> {
    let path = store_path(location)?;
    let trimmed = location.trim_end_matches('/');
    let authority = trimmed.strip_suffix(path.as_ref()).unwrap_or(trimmed).trim_end_matches('/');
    Ok((if matches!(authority, "" | "file:") { "file:" } else { authority }, path))
}

fn empty(schema: &SchemaRef) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    statistics.num_rows = Precision::Exact(0);
    statistics.total_byte_size = Precision::Exact(0);
    statistics
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("file:///w/t/", "file:/w/t/data/a.parquet", true)]
    #[case("/w/t/", "file:///w/t/data/a.parquet", true)]
    #[case("file:///w/t/", "file:///w/t2/data/a.parquet", false)]
    #[case("file:///w/t/", "file:///w/a.parquet", false)]
    #[case("s3://one/w/t/", "s3://one/w/t/data/region=a%2Fb/a.parquet", true)]
    #[case("s3://one/w/t/", "s3://two/w/t/data/a.parquet", false)]
    #[case("s3://one/w/t/", "gs://one/w/t/data/a.parquet", false)]
    #[case("s3://one/w/t/", "file:///w/t/data/a.parquet", false)]
    fn files_lie_within_a_prefix_of_the_same_place_only(
        #[case] prefix: &str,
        #[case] file: &str,
        #[case] within: bool,
    ) {
        let ((leased, folder), (authority, path)) = (place(prefix).unwrap(), place(file).unwrap());
        assert_eq!(leased == authority && path.prefix_matches(&folder), within);
    }
}
