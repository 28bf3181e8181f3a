//! `CommandGetTables`.

use std::collections::HashMap;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::sql::CommandGetTables;
use sqe_core::{
    Result, Session, TableName,
    engine::{ListingRequest, VisibleTable},
};

use super::{broken, types::sql_name};
use crate::edge::{Views, declare};

/// The types of table that there are. `FlightSql.proto` names "TABLE" where `information_schema` says "BASE TABLE".
pub(super) const TABLE_TYPES: [&str; 2] = ["TABLE", "VIEW"];

pub(super) async fn answer(session: &Session, mut command: CommandGetTables) -> Result<RecordBatch> {
    let mut request = ListingRequest::default();
    // Narrowed once, where names are that nobody is shown: the builder would do it again, and in its own way.
    request.catalog = command.catalog.take();
    request.schema_pattern = command.db_schema_filter_pattern.take();
    request.table_pattern = command.table_name_filter_pattern.take();
    request.names_only = !command.include_schema;
    for name in &mut command.table_types {
        *name = flight_type(name).to_owned();
    }
    let mut builder = command.into_builder();
    for VisibleTable { name, table_type, schema, .. } in session.tables(&request).await? {
        let columns = describe(&name, &schema);
        builder.append(&name.catalog, &name.schema, &name.table, flight_type(table_type), &columns).map_err(broken)?;
    }
    builder.build().map_err(broken)
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn flight_type(name: &str) -> &str {
    if name.eq_ignore_ascii_case("BASE TABLE") { "TABLE" } else { name }
}

/// The columns as a client will see them, each with the metadata that drivers look for (`FlightSql.proto`, "column
/// metadata" at `CommandGetTables`).
fn describe(table: &TableName, schema: &Schema) -> Schema {
    let declared = declare(schema, Views::Flatten);
    let fields: Vec<Field> = declared
        .fields()
        .iter()
        .map(|field| {
            let mut metadata: HashMap<String, String> = field.metadata().clone();
            let mut set = |key: &str, value: String| metadata.insert(format!("ARROW:FLIGHT:SQL:{key}"), value);
            set("CATALOG_NAME", table.catalog.clone());
            set("SCHEMA_NAME", table.schema.clone());
            set("TABLE_NAME", table.table.clone());
            set("TYPE_NAME", sql_name(field.data_type()));
            set("IS_AUTO_INCREMENT", "0".to_owned());
            set("IS_CASE_SENSITIVE", u8::from(is_text(field.data_type())).to_string());
            set("IS_READ_ONLY", "0".to_owned());
            set("IS_SEARCHABLE", "1".to_owned());
            if let DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) = field.data_type() {
                set("PRECISION", precision.to_string());
                set("SCALE", scale.to_string());
            }
            field.as_ref().clone().with_metadata(metadata)
        })
        .collect();
    Schema::new(fields)
}
