use arrow::{
    array::AsArray,
    datatypes::{DataType, Schema, UInt32Type},
};
use arrow_flight::{
    IpcMessage,
    sql::{
        CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
        CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
    },
};
use bytes::Bytes;
use tonic::Code;

use crate::harness::{Raw, code, fetch, server, texts};

async fn tables(client: &mut Raw, request: CommandGetTables) -> Vec<arrow::array::RecordBatch> {
    let info = client.get_tables(request).await.unwrap();
    fetch(client, info).await.unwrap()
}

#[tokio::test]
async fn everybody_is_shown_what_they_may_see_and_nothing_else() {
    let server = server().await;
    let mut bob = server.raw("bob").await;
    let mut mallory = server.raw("mallory").await;

    let info = bob.get_catalogs().await.unwrap();
    assert!(texts(&fetch(&mut bob, info).await.unwrap(), "catalog_name").contains(&"lake".to_owned()));
    let info = bob.get_db_schemas(CommandGetDbSchemas::default()).await.unwrap();
    assert!(texts(&fetch(&mut bob, info).await.unwrap(), "db_schema_name").contains(&"main".to_owned()));
    let request = CommandGetTables { catalog: Some("lake".into()), ..Default::default() };
    let seen = tables(&mut bob, request.clone()).await;
    assert_eq!(texts(&seen, "table_name"), ["endless", "secret", "words"], "ordered by name");
    assert_eq!(texts(&seen, "table_type"), ["TABLE"; 3]);

    assert!(texts(&tables(&mut mallory, request).await, "table_name").is_empty());
    let request = CommandGetDbSchemas { catalog: Some("lake".into()), ..Default::default() };
    let info = mallory.get_db_schemas(request).await.unwrap();
    let schemas = texts(&fetch(&mut mallory, info).await.unwrap(), "db_schema_name");
    assert!(!schemas.contains(&"main".to_owned()), "{schemas:?}");
}

#[tokio::test]
async fn tables_are_narrowed_by_pattern_catalog_and_type() {
    let server = server().await;
    let mut client = server.raw("bob").await;
    let request = |pattern: &str| CommandGetTables {
        catalog: Some("lake".into()),
        db_schema_filter_pattern: Some("m_in".into()),
        table_name_filter_pattern: Some(pattern.into()),
        ..Default::default()
    };
    assert_eq!(texts(&tables(&mut client, request("%r%")).await, "table_name"), ["secret", "words"]);
    assert_eq!(texts(&tables(&mut client, request("word_")).await, "table_name"), ["words"]);
    assert!(texts(&tables(&mut client, request("word")).await, "table_name").is_empty());
    let views = CommandGetTables { table_types: vec!["VIEW".into()], ..request("%") };
    assert!(texts(&tables(&mut client, views).await, "table_name").is_empty());
    let base = CommandGetTables { table_types: vec!["TABLE".into(), "VIEW".into()], ..request("words") };
    assert_eq!(texts(&tables(&mut client, base).await, "table_name"), ["words"]);
    let nowhere = CommandGetTables { catalog: Some("nowhere".into()), ..request("%") };
    assert!(texts(&tables(&mut client, nowhere).await, "table_name").is_empty());
    let without_catalog = CommandGetTables { catalog: Some(String::new()), ..request("%") };
    assert!(texts(&tables(&mut client, without_catalog).await, "table_name").is_empty());
}

#[tokio::test]
async fn a_pattern_that_is_longer_than_any_name_is_refused() {
    let server = server().await;
    let mut client = server.raw("bob").await;
    for (bytes, expected) in [(1024, Code::Ok), (1025, Code::InvalidArgument), (1 << 20, Code::InvalidArgument)] {
        let pattern = Some("_".repeat(bytes));
        let schemas = CommandGetDbSchemas { db_schema_filter_pattern: pattern.clone(), ..Default::default() };
        let info = client.get_db_schemas(schemas).await.unwrap();
        assert_eq!(code(fetch(&mut client, info).await), expected, "{bytes}");
        let tables = CommandGetTables { table_name_filter_pattern: pattern, ..Default::default() };
        let info = client.get_tables(tables).await.unwrap();
        assert_eq!(code(fetch(&mut client, info).await), expected, "{bytes}");
    }
}

#[tokio::test]
async fn columns_come_with_the_types_that_queries_give() {
    let server = server().await;
    let mut client = server.raw("bob").await;
    let request = CommandGetTables {
        catalog: Some("lake".into()),
        table_name_filter_pattern: Some("words".into()),
        include_schema: true,
        ..Default::default()
    };
    let batches = tables(&mut client, request).await;
    let encoded = batches[0].column_by_name("table_schema").unwrap().as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(IpcMessage(Bytes::from(encoded))).unwrap();
    assert_eq!(schema.field(0).data_type(), &DataType::Int64);
    assert!(!schema.field(0).is_nullable());
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    let metadata = schema.field(1).metadata();
    assert_eq!(metadata["ARROW:FLIGHT:SQL:TYPE_NAME"], "VARCHAR");
    assert_eq!(metadata["ARROW:FLIGHT:SQL:TABLE_NAME"], "words");
    assert!(!metadata.contains_key("PARQUET:field_id"));
}

#[tokio::test]
async fn the_server_describes_itself() {
    let server = server().await;
    let mut client = server.raw("mallory").await;
    let info = client.get_sql_info(vec![SqlInfo::FlightSqlServerName, SqlInfo::SqlIdentifierQuoteChar]).await.unwrap();
    let batches = fetch(&mut client, info).await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<UInt32Type>().values().to_vec(), [0, 504]);
    assert_eq!(batches[0].column(1).as_union().value(1).as_string::<i32>().value(0), "\"");
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(fetch(&mut client, info).await.unwrap()[0].num_rows() > 80);
    let info = client.get_table_types().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "table_type"), ["TABLE", "VIEW"]);
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    assert!(texts(&fetch(&mut client, info).await.unwrap(), "type_name").contains(&"VARCHAR".to_owned()));
}

#[tokio::test]
async fn there_are_no_keys() {
    let server = server().await;
    let mut client = server.raw("bob").await;
    let infos = [
        client.get_primary_keys(CommandGetPrimaryKeys { table: "words".into(), ..Default::default() }).await,
        client.get_imported_keys(CommandGetImportedKeys { table: "words".into(), ..Default::default() }).await,
        client.get_exported_keys(CommandGetExportedKeys { table: "words".into(), ..Default::default() }).await,
        client.get_cross_reference(CommandGetCrossReference::default()).await,
    ];
    for info in infos {
        let batches = fetch(&mut client, info.unwrap()).await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
    }
}
