//! `information_schema`, computed for the person who asks: it holds what this person may see and nothing else.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};

use super::{
    ListingRequest, Session,
    listing::{Listing, VIEW},
    resolve::{INFORMATION_SCHEMA, not_found},
    sources::Own,
};
use crate::{Result, TableName, govern::ConstantTable};

/// One table of a catalog's `information_schema`.
///
/// Of the views in it, `Own::Columns` asks for nothing: whoever looks at columns while columns are being listed would never
/// come to an end.
pub(super) async fn table(session: &Session, name: &TableName, own: Own) -> Result<ConstantTable> {
    let build: fn(&Listing) -> Vec<Column> = match name.table.as_str() {
        "catalogs" => catalogs,
        "schemata" => schemata,
        "tables" => tables,
        "columns" => columns,
        "views" => views,
        _ => return Err(not_found(name)),
    };
    let mut request = ListingRequest::default();
    if name.table != "catalogs" {
        request.catalog = Some(name.catalog.clone());
    }
    let listing = match own {
        Own::Rows => session.list(&request, name.table == "columns").await?,
        Own::Columns => Listing::default(),
    };
    let (schema, batch) = batch(build(&listing))?;
    Ok(ConstantTable::new(schema, batch)?)
}

enum Values {
    Text(Vec<Option<String>>),
    Number(Vec<i32>),
}

struct Column(&'static str, Values);

fn text(name: &'static str, values: impl Iterator<Item = String>) -> Column {
    Column(name, Values::Text(values.map(Some).collect()))
}

fn batch(columns: Vec<Column>) -> Result<(SchemaRef, RecordBatch)> {
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for Column(name, values) in columns {
        match values {
            Values::Text(values) => {
                let nullable = matches!(name, "column_default" | "view_definition");
                fields.push(Field::new(name, DataType::Utf8, nullable));
                arrays.push(Arc::new(StringArray::from(values)));
            }
            Values::Number(values) => {
                fields.push(Field::new(name, DataType::Int32, false));
                arrays.push(Arc::new(Int32Array::from(values)));
            }
        }
    }
    let schema = Arc::new(Schema::new(fields));
    Ok((Arc::clone(&schema), RecordBatch::try_new(schema, arrays)?))
}

fn catalogs(listing: &Listing) -> Vec<Column> {
    vec![text("catalog_name", listing.catalogs.iter().cloned())]
}

fn schemata(listing: &Listing) -> Vec<Column> {
    let mut schemas = listing.schemas.clone();
    // Who sees nothing of a catalog does not see its information_schema listed either.
    let with_own: Vec<String> = listing.catalogs.iter().cloned().collect();
    schemas.extend(with_own.into_iter().map(|catalog| (catalog, INFORMATION_SCHEMA.to_owned())));
    vec![
        text("catalog_name", schemas.iter().map(|(catalog, _)| catalog.clone())),
        text("schema_name", schemas.iter().map(|(_, schema)| schema.clone())),
    ]
}

fn tables(listing: &Listing) -> Vec<Column> {
    let tables = || listing.tables.iter();
    vec![
        text("table_catalog", tables().map(|table| table.name.catalog.clone())),
        text("table_schema", tables().map(|table| table.name.schema.clone())),
        text("table_name", tables().map(|table| table.name.table.clone())),
        text("table_type", tables().map(|table| table.table_type.to_owned())),
    ]
}

fn columns(listing: &Listing) -> Vec<Column> {
    let rows = || {
        (listing.tables.iter())
            .flat_map(|table| (1..).zip(table.schema.fields()).map(move |(position, field)| (table, position, field)))
    };
    vec![
        text("table_catalog", rows().map(|(table, _, _)| table.name.catalog.clone())),
        text("table_schema", rows().map(|(table, _, _)| table.name.schema.clone())),
        text("table_name", rows().map(|(table, _, _)| table.name.table.clone())),
        text("column_name", rows().map(|(_, _, field)| field.name().clone())),
        Column("ordinal_position", Values::Number(rows().map(|(_, position, _)| position).collect())),
        Column("column_default", Values::Text(rows().map(|_| None).collect())),
        text("is_nullable", rows().map(|(_, _, field)| if field.is_nullable() { "YES" } else { "NO" }.to_owned())),
        text("data_type", rows().map(|(_, _, field)| type_name(field.data_type()))),
    ]
}

fn views(listing: &Listing) -> Vec<Column> {
    let views = || listing.tables.iter().filter(|table| table.table_type == VIEW);
    let definitions = views().map(|view| view.definition.clone());
    vec![
        text("table_catalog", views().map(|view| view.name.catalog.clone())),
        text("table_schema", views().map(|view| view.name.schema.clone())),
        text("table_name", views().map(|view| view.name.table.clone())),
        Column("view_definition", Values::Text(definitions.collect())),
    ]
}

/// The SQL name of a type.
pub(super) fn type_name(data_type: &DataType) -> String {
    use arrow::datatypes::TimeUnit;
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision},{scale})"),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "VARCHAR".into(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "VARBINARY".into(),
        DataType::FixedSizeBinary(size) => format!("BINARY({size})"),
        DataType::Date32 => "DATE".into(),
        DataType::Time64(_) | DataType::Time32(_) => "TIME".into(),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP(9)".into(),
        DataType::Timestamp(TimeUnit::Nanosecond, Some(_)) => "TIMESTAMP(9) WITH TIME ZONE".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        DataType::List(item) | DataType::LargeList(item) => format!("ARRAY({})", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let parts: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), type_name(field.data_type()))).collect();
            format!("ROW({})", parts.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let parts: Vec<String> = pair.iter().map(|field| type_name(field.data_type())).collect();
                format!("MAP({})", parts.join(", "))
            }
            _ => "MAP".into(),
        },
        other => other.to_string(),
    }
}
