use std::collections::BTreeSet;

use arrow::{
    array::AsArray,
    datatypes::{DataType, Field, UInt32Type},
};
use arrow_flight::sql::{
    CommandGetCrossReference, CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};

use super::*;

fn metadata() -> Metadata {
    Metadata::new(&Settings::default()).unwrap()
}

/// (name, type, nullable) of each column.
fn columns(command: Command) -> Vec<(String, DataType, bool)> {
    let schema = metadata().schema(&command).unwrap();
    let column = |field: &std::sync::Arc<Field>| (field.name().clone(), field.data_type().clone(), field.is_nullable());
    schema.fields().iter().map(column).collect()
}

fn expect(columns: &[(&str, DataType, bool)]) -> Vec<(String, DataType, bool)> {
    columns.iter().map(|(name, ty, nullable)| ((*name).to_owned(), ty.clone(), *nullable)).collect()
}

#[test]
fn listing_schemas_are_those_of_the_specification() {
    use DataType::Utf8;
    assert_eq!(columns(Command::CommandGetCatalogs(CommandGetCatalogs {})), expect(&[("catalog_name", Utf8, false)]));
    assert_eq!(
        columns(Command::CommandGetDbSchemas(CommandGetDbSchemas::default())),
        expect(&[("catalog_name", Utf8, true), ("db_schema_name", Utf8, false)])
    );
    let tables = [
        ("catalog_name", Utf8, true),
        ("db_schema_name", Utf8, true),
        ("table_name", Utf8, false),
        ("table_type", Utf8, false),
        ("table_schema", DataType::Binary, false),
    ];
    let with_schema = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    assert_eq!(columns(Command::CommandGetTables(with_schema)), expect(&tables));
    assert_eq!(columns(Command::CommandGetTables(CommandGetTables::default())), expect(&tables[..4]));
    assert_eq!(columns(Command::CommandGetTableTypes(CommandGetTableTypes {})), expect(&[("table_type", Utf8, false)]));
}

#[test]
fn key_schemas_are_those_of_the_specification() {
    let primary = columns(Command::CommandGetPrimaryKeys(CommandGetPrimaryKeys::default()));
    assert_eq!(primary[4], ("key_name".to_owned(), DataType::Utf8, true));
    assert_eq!(primary[5], ("key_sequence".to_owned(), DataType::Int32, false));
    let imported = columns(Command::CommandGetImportedKeys(CommandGetImportedKeys::default()));
    assert_eq!(imported.len(), 13);
    assert_eq!(imported[12], ("delete_rule".to_owned(), DataType::UInt8, false));
    assert_eq!(columns(Command::CommandGetExportedKeys(CommandGetExportedKeys::default())), imported);
    assert_eq!(columns(Command::CommandGetCrossReference(CommandGetCrossReference::default())), imported);
}

#[test]
fn every_key_that_the_specification_knows_has_a_value() {
    let data = metadata();
    let all = sql_info::answer(&data.sql_info, &[]).unwrap();
    let known: BTreeSet<u32> = all.column(0).as_primitive::<UInt32Type>().values().iter().copied().collect();
    let wanted: BTreeSet<u32> =
        (0..2_000_i32).filter_map(|id| SqlInfo::try_from(id).ok()).map(|key| key as u32).collect();
    assert!(wanted.len() > 80, "the range above no longer covers the keys");
    assert_eq!(known, wanted);
    assert_eq!(all.schema(), data.schema(&Command::CommandGetSqlInfo(CommandGetSqlInfo::default())).unwrap());
    assert!(!all.schema().field(0).is_nullable() && !all.schema().field(1).is_nullable());
}

#[test]
fn wanted_keys_alone_are_given_and_unknown_ones_have_no_row() {
    let data = metadata();
    let name = SqlInfo::FlightSqlServerName as u32;
    let some = sql_info::answer(&data.sql_info, &[name, 4_000_000, name]).unwrap();
    assert_eq!(some.column(0).as_primitive::<UInt32Type>().values().to_vec(), [name]);
    let value = some.column(1).as_union().value(0);
    assert_eq!(value.as_string::<i32>().value(0), "SQE");
    assert_eq!(sql_info::answer(&data.sql_info, &[4_000_000]).unwrap().num_rows(), 0);
}

#[test]
fn substrait_and_transactions_are_not_claimed() {
    let data = metadata();
    let value = |key: SqlInfo| {
        let row = sql_info::answer(&data.sql_info, &[key as u32]).unwrap();
        row.column(1).as_union().value(0)
    };
    assert!(!value(SqlInfo::FlightSqlServerSubstrait).as_boolean().value(0));
    assert!(!value(SqlInfo::FlightSqlServerBulkIngestion).as_boolean().value(0));
    assert!(!value(SqlInfo::SqlTransactionsSupported).as_boolean().value(0));
    let transaction = value(SqlInfo::FlightSqlServerTransaction);
    assert_eq!(transaction.as_primitive::<arrow::datatypes::Int32Type>().value(0), 0);
}

#[test]
fn type_info_can_be_asked_for_one_type() {
    let data = metadata();
    let all = data.types.record_batch(None).unwrap();
    assert!(all.num_rows() >= 14);
    let varchar = data.types.record_batch(12).unwrap();
    assert_eq!(varchar.num_rows(), 1);
    assert_eq!(varchar.column(0).as_string::<i32>().value(0), "VARCHAR");
    assert_eq!(data.schema(&Command::CommandGetXdbcTypeInfo(CommandGetXdbcTypeInfo::default())).unwrap(), all.schema());
}

#[test]
fn sql_names_of_types_are_what_a_column_is_declared_as() {
    assert_eq!(types::sql_name(&DataType::Decimal128(15, 2)), "DECIMAL(15, 2)");
    assert_eq!(types::sql_name(&DataType::Utf8View), "VARCHAR");
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    assert_eq!(types::sql_name(&words), "VARCHAR");
}

#[test]
fn other_commands_are_no_metadata() {
    assert!(metadata().schema(&Command::CommandStatementQuery(Default::default())).is_none());
}
