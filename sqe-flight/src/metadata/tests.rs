use std::collections::BTreeSet;

use arrow::{
    array::AsArray,
    datatypes::{DataType, Field, Int32Type, UInt32Type},
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
    use DataType::{Int32, UInt8, Utf8};
    let primary = columns(Command::CommandGetPrimaryKeys(CommandGetPrimaryKeys::default()));
    let wanted = [
        ("catalog_name", Utf8, true),
        ("db_schema_name", Utf8, true),
        ("table_name", Utf8, false),
        ("column_name", Utf8, false),
        ("key_name", Utf8, true),
        ("key_sequence", Int32, false),
    ];
    assert_eq!(primary, expect(&wanted));
    let imported = columns(Command::CommandGetImportedKeys(CommandGetImportedKeys::default()));
    let wanted = [
        ("pk_catalog_name", Utf8, true),
        ("pk_db_schema_name", Utf8, true),
        ("pk_table_name", Utf8, false),
        ("pk_column_name", Utf8, false),
        ("fk_catalog_name", Utf8, true),
        ("fk_db_schema_name", Utf8, true),
        ("fk_table_name", Utf8, false),
        ("fk_column_name", Utf8, false),
        ("key_sequence", Int32, false),
        ("fk_key_name", Utf8, true),
        ("pk_key_name", Utf8, true),
        ("update_rule", UInt8, false),
        ("delete_rule", UInt8, false),
    ];
    assert_eq!(imported, expect(&wanted));
    assert_eq!(columns(Command::CommandGetExportedKeys(CommandGetExportedKeys::default())), imported);
    assert_eq!(columns(Command::CommandGetCrossReference(CommandGetCrossReference::default())), imported);
}

#[test]
fn the_schemas_of_types_and_of_the_server_are_those_of_the_specification() {
    use DataType::{Boolean, Int32, Int64, UInt32, Utf8};
    let params = DataType::List(Field::new_list_field(Utf8, false).into());
    let wanted = [
        ("type_name", Utf8, false),
        ("data_type", Int32, false),
        ("column_size", Int32, true),
        ("literal_prefix", Utf8, true),
        ("literal_suffix", Utf8, true),
        ("create_params", params, true),
        ("nullable", Int32, false),
        ("case_sensitive", Boolean, false),
        ("searchable", Int32, false),
        ("unsigned_attribute", Boolean, true),
        ("fixed_prec_scale", Boolean, false),
        ("auto_increment", Boolean, true),
        ("local_type_name", Utf8, true),
        ("minimum_scale", Int32, true),
        ("maximum_scale", Int32, true),
        ("sql_data_type", Int32, false),
        ("datetime_subcode", Int32, true),
        ("num_prec_radix", Int32, true),
        ("interval_precision", Int32, true),
    ];
    assert_eq!(columns(Command::CommandGetXdbcTypeInfo(CommandGetXdbcTypeInfo::default())), expect(&wanted));

    let info = columns(Command::CommandGetSqlInfo(CommandGetSqlInfo::default()));
    let [(name, UInt32, false), (value, DataType::Union(kinds, arrow::datatypes::UnionMode::Dense), false)] = &info[..]
    else {
        panic!("{info:?}");
    };
    assert_eq!((name.as_str(), value.as_str()), ("info_name", "value"));
    let kinds: Vec<_> = kinds.iter().map(|(id, field)| (id, field.name().as_str(), field.data_type())).collect();
    let plain: Vec<_> = kinds.iter().map(|(id, name, _)| (*id, *name)).collect();
    let wanted = [
        (0, "string_value"),
        (1, "bool_value"),
        (2, "bigint_value"),
        (3, "int32_bitmask"),
        (4, "string_list"),
        (5, "int32_to_int32_list_map"),
    ];
    assert_eq!(plain, wanted);
    assert_eq!([kinds[0].2, kinds[1].2, kinds[2].2, kinds[3].2], [&Utf8, &Boolean, &Int64, &Int32]);
    assert!(matches!(kinds[4].2, DataType::List(item) if *item.data_type() == Utf8), "{kinds:?}");
    let DataType::Map(entries, _) = kinds[5].2 else { panic!("{kinds:?}") };
    let DataType::Struct(pair) = entries.data_type() else { panic!("{kinds:?}") };
    assert_eq!(pair[0].data_type(), &Int32);
    assert!(matches!(pair[1].data_type(), DataType::List(item) if *item.data_type() == Int32), "{kinds:?}");
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
    assert!(value(SqlInfo::FlightSqlServerBulkIngestion).as_boolean().value(0));
    assert!(!value(SqlInfo::SqlTransactionsSupported).as_boolean().value(0));
    let transaction = value(SqlInfo::FlightSqlServerTransaction);
    assert_eq!(transaction.as_primitive::<Int32Type>().value(0), 0);
}

#[test]
fn type_info_can_be_asked_for_one_type() {
    let data = metadata();
    let all = data.types.record_batch(None).unwrap();
    // ODBC's codes of what a column can be (`SQLGetTypeInfo`), each at least once, in order.
    let codes = all.column(1).as_primitive::<Int32Type>().values().to_vec();
    assert!(codes.is_sorted(), "{codes:?}");
    let wanted = [-7, -6, -5, -3, -1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 91, 92, 93];
    assert_eq!(codes.iter().copied().collect::<BTreeSet<_>>(), wanted.into());
    for code in wanted {
        assert!(data.types.record_batch(code).unwrap().num_rows() > 0, "{code}");
    }
    assert_eq!(data.types.record_batch(4711).unwrap().num_rows(), 0);
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
