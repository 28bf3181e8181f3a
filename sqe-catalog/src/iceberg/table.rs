//! One snapshot of one Iceberg table, as a catalog session resolved it.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use datafusion::common::{ColumnStatistics, Statistics, stats::Precision};
use iceberg::{
    TableIdent,
    spec::{NestedFieldRef, PrimitiveType, Schema, SnapshotLog, TableMetadata, Type},
    table::Table,
};
use sqe_core::{
    Column, ColumnType, Error, FieldId, Principal, Result, TableId, TableName,
    catalog::{CatalogTable, TableVersion},
    policy::TableFacts,
};

use super::{error::from_iceberg, schema, write::data_folder};

/// Property that holds the issuer of a table's owner.
pub const OWNER_ISSUER: &str = "sqe.owner.issuer";
/// Property that holds the subject of a table's owner, as its issuer names it.
pub const OWNER_SUBJECT: &str = "sqe.owner.subject";
/// Prefix of the properties that hold a column's tags, a comma list by field id: `sqe.tags.3` = `pii,phone`.
pub const TAGS: &str = "sqe.tags.";
/// Prefix of all properties that this engine gives a meaning; nobody sets them through SQL.
pub const RESERVED: &str = "sqe.";

/// One snapshot of one Iceberg table. The files behind it are reached through leased stores only.
#[derive(Debug, Clone)]
pub struct IcebergTable {
    facts: TableFacts,
    schema: SchemaRef,
    table: Table,
    snapshot_id: Option<i64>,
    location: String,
    prefixes: Vec<String>,
}

impl IcebergTable {
    /// A table at its current snapshot.
    ///
    /// # Arguments
    /// - `name`: as the engine calls it.
    /// - `metadata`: its parsed metadata file, and `metadata_location`, where that file is.
    /// - `file_io`: access to its metadata files, for as long as the session's metadata lease lasts.
    ///
    /// # Errors
    /// `Unsupported` for column types that cannot be read; `Internal` for metadata that contradicts itself.
    pub fn try_new(
        name: TableName,
        metadata: Arc<TableMetadata>,
        metadata_location: &str,
        file_io: iceberg::io::FileIO,
    ) -> Result<Self> {
        let current = metadata.current_schema();
        let schema = schema::arrow_schema(current)?;
        let columns = columns_of(current, |id| tags(&metadata, id));
        let facts = TableFacts::new(TableId::new(name.clone(), metadata.uuid()), columns)
            .with_owner(owner_of(metadata.properties()));
        let snapshot_id = metadata.current_snapshot().map(|snapshot| snapshot.snapshot_id());
        let location = metadata.location().trim_end_matches('/').to_owned();
        let mut prefixes = vec![folder_url(&location)];
        for further in [table_folder(metadata_location)?, folder_url(&data_folder(&metadata))] {
            if !prefixes.iter().any(|prefix| further.starts_with(prefix)) {
                prefixes.push(further);
            }
        }
        let identifier = TableIdent::from_strs(name.schema.split('.').chain([name.table.as_str()]))
            .map_err(|error| from_iceberg(error, "name the table"))?;
        let runtime = iceberg::Runtime::try_current().map_err(|error| from_iceberg(error, "open the table"))?;
        let table = Table::builder()
            .file_io(file_io)
            .metadata(metadata)
            .metadata_location(metadata_location)
            .identifier(identifier)
            .runtime(runtime)
            .disable_cache()
            .build()
            .map_err(|error| from_iceberg(error, "open the table"))?;
        Ok(Self { facts, schema, table, snapshot_id, location, prefixes })
    }

    /// The table's metadata.
    #[must_use]
    pub fn metadata(&self) -> &TableMetadata {
        self.table.metadata()
    }

    /// The table in the format's own type. Its file access is that of the session's metadata lease; a scan brings the
    /// query's leased store instead.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The table's folder, without a trailing `/`.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Where the metadata file is that this table was loaded from.
    #[must_use]
    pub fn metadata_location(&self) -> &str {
        self.table.metadata_location().unwrap_or_default()
    }

    /// A number from the snapshot's summary, such as `total-records`.
    fn total(&self, key: &str) -> Option<usize> {
        let snapshot = self.metadata().snapshot_by_id(self.snapshot_id?)?;
        snapshot.summary().additional_properties.get(key)?.parse().ok()
    }
}

impl CatalogTable for IcebergTable {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn snapshot(&self) -> Option<i64> {
        self.snapshot_id
    }

    fn prefixes(&self) -> Vec<String> {
        self.prefixes.clone()
    }

    /// From the snapshot's summary. Row counts of other writers are estimates: the summary is optional and unchecked.
    fn statistics(&self) -> Option<Statistics> {
        let columns = vec![ColumnStatistics::new_unknown(); self.schema.fields().len()];
        if self.snapshot_id.is_none() {
            let (num_rows, total_byte_size) = (Precision::Exact(0), Precision::Exact(0));
            return Some(Statistics { num_rows, total_byte_size, column_statistics: columns });
        }
        let inexact = |value: Option<usize>| value.map_or(Precision::Absent, Precision::Inexact);
        Some(Statistics {
            num_rows: inexact(self.total("total-records")),
            total_byte_size: inexact(self.total("total-files-size")),
            column_statistics: columns,
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    /// Snapshots that have expired are not there. Times are those of the table's own history (Iceberg specification, "Table
    /// metadata", `snapshot-log`), in which the clocks of its writers count.
    fn at(&self, version: &TableVersion) -> Result<Arc<dyn CatalogTable>> {
        let (metadata, name) = (self.metadata(), &self.facts.id.name);
        let found = match version {
            TableVersion::Snapshot(id) => metadata.snapshot_by_id(*id).map(|snapshot| snapshot.snapshot_id()),
            TableVersion::Named(reference) => {
                metadata.snapshot_for_ref(reference).map(|snapshot| snapshot.snapshot_id())
            }
            TableVersion::At(time) => {
                let before = |entry: &&SnapshotLog| entry.timestamp_ms() <= time.timestamp_millis();
                let entry = metadata.history().iter().filter(before).max_by_key(|entry| entry.timestamp_ms());
                entry.and_then(|entry| metadata.snapshot_by_id(entry.snapshot_id)).map(|it| it.snapshot_id())
            }
            _ => return Err(Error::unsupported("this kind of version is not offered")),
        };
        let shown = match version {
            TableVersion::Snapshot(id) => format!("snapshot {id}"),
            TableVersion::Named(reference) => format!("branch or tag {reference:?}"),
            TableVersion::At(time) => format!("state of {}", time.to_rfc3339()),
            _ => "such state".to_owned(),
        };
        let id = found.ok_or_else(|| Error::not_found(format!("table {name} has no {shown}, or it has expired")))?;
        Ok(Arc::new(Self { snapshot_id: Some(id), ..self.clone() }))
    }
}

/// The folder of a table whose metadata file is at `metadata_location`, ending in `/`: the parent of `metadata/`.
///
/// # Errors
/// `Internal` if the file is not in a folder `metadata`: the catalog's entry is corrupt.
pub fn table_folder(metadata_location: &str) -> Result<String> {
    metadata_location
        .rsplit_once('/')
        .and_then(|(folder, _)| folder.strip_suffix("/metadata"))
        .filter(|folder| !folder.is_empty())
        .map(folder_url)
        .ok_or_else(|| Error::internal("the catalog's entry of this table names no metadata file; repair the catalog"))
}

/// A folder as a URL that ends in `/`. Plain absolute paths and `file:/` are files of this machine.
pub(crate) fn folder_url(folder: &str) -> String {
    let folder = folder.trim_end_matches('/');
    match folder.strip_prefix("file:").filter(|path| !path.starts_with("//")) {
        Some(path) => format!("file://{path}/"),
        None if folder.starts_with('/') => format!("file://{folder}/"),
        None => format!("{folder}/"),
    }
}

/// What policies may know of the columns of a schema.
pub(super) fn columns_of(schema: &Schema, tags: impl Fn(i32) -> BTreeSet<String>) -> Vec<Column> {
    let column = |field: &NestedFieldRef| {
        let mut column = Column::new(FieldId(field.id), &field.name, column_type(&field.field_type), !field.required);
        column.tags = tags(field.id);
        column
    };
    schema.as_struct().fields().iter().map(column).collect()
}

/// Who owns what has these properties.
pub(super) fn owner_of(properties: &HashMap<String, String>) -> Option<Principal> {
    Some(Principal::new(properties.get(OWNER_ISSUER)?, properties.get(OWNER_SUBJECT)?))
}

fn tags(metadata: &TableMetadata, field_id: i32) -> BTreeSet<String> {
    let listed = metadata.properties().get(&format!("{TAGS}{field_id}"));
    let parts = listed.map(String::as_str).unwrap_or_default().split(',');
    parts.map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

fn column_type(ty: &Type) -> ColumnType {
    let Type::Primitive(primitive) = ty else { return ColumnType::Other };
    match primitive {
        PrimitiveType::Boolean => ColumnType::Boolean,
        PrimitiveType::Int | PrimitiveType::Long => ColumnType::Integer,
        PrimitiveType::Float | PrimitiveType::Double => ColumnType::Float,
        PrimitiveType::Decimal { .. } => ColumnType::Decimal,
        PrimitiveType::Date => ColumnType::Date,
        PrimitiveType::Time => ColumnType::Time,
        PrimitiveType::Timestamp
        | PrimitiveType::Timestamptz
        | PrimitiveType::TimestampNs
        | PrimitiveType::TimestamptzNs => ColumnType::Timestamp,
        PrimitiveType::String => ColumnType::Text,
        PrimitiveType::Uuid | PrimitiveType::Fixed(_) | PrimitiveType::Binary => ColumnType::Binary,
    }
}
