use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Schema, UInt32Type},
};
use arrow_flight::{
    FlightDescriptor, IpcMessage,
    sql::{
        CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
        CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
        CommandGetXdbcTypeInfo, CommandStatementQuery, CommandStatementUpdate, ProstMessageExt, SqlInfo,
    },
};
use bytes::Bytes;
use prost::Message;
use tonic::Code;

use crate::harness::{Raw, code, fetch, query, server, status, texts};

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
    assert_eq!(texts(&seen, "table_name"), ["endless", "gated", "secret", "words"], "ordered by name");
    assert_eq!(texts(&seen, "table_type"), ["TABLE"; 4]);

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
async fn what_the_server_says_of_types_is_true() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
    let batches = fetch(&mut client, info).await.unwrap();
    let (names, prefixes) = (batches[0].column(0).as_string::<i32>(), batches[0].column(3).as_string::<i32>());
    for row in 0..batches[0].num_rows() {
        let name = names.value(row);
        query(&mut client, &format!("SELECT CAST(NULL AS {name}) AS a")).await.unwrap();
        let literal = match name {
            "DATE" => "2024-02-29",
            "TIME" => "12:34:56",
            "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE" => "2024-02-29T12:34:56",
            "INTERVAL" => "1 day",
            "BYTEA" => "CAFE",
            _ => "text",
        };
        if prefixes.is_valid(row) {
            let sql = format!("SELECT {}{literal}' AS a", prefixes.value(row));
            query(&mut client, &sql).await.unwrap();
        }
    }
}

#[tokio::test]
async fn every_function_that_the_server_names_is_there() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let kinds = [
        SqlInfo::SqlNumericFunctions,
        SqlInfo::SqlStringFunctions,
        SqlInfo::SqlSystemFunctions,
        SqlInfo::SqlDatetimeFunctions,
    ];
    let info = client.get_sql_info(kinds.to_vec()).await.unwrap();
    let batches = fetch(&mut client, info).await.unwrap();
    let mut named = 0;
    for row in 0..batches[0].num_rows() {
        let list = batches[0].column(1).as_union().value(row);
        let names = list.as_list::<i32>().value(0);
        for name in names.as_string::<i32>().iter().flatten() {
            named += 1;
            // Whether its arguments are right is another matter.
            if let Err(error) = query(&mut client, &format!("SELECT {name}()")).await {
                let message = status(&error).message();
                assert!(!message.contains("Invalid function"), "{name}: {message}");
            }
        }
    }
    assert!(named > 90, "{named}");
    let error = query(&mut client, "SELECT no_such_function()").await.unwrap_err();
    assert!(status(&error).message().contains("Invalid function"), "{error}");
}

#[tokio::test]
async fn get_schema_tells_what_each_command_will_answer_with() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let commands = [
        CommandGetCatalogs {}.as_any(),
        CommandGetDbSchemas::default().as_any(),
        CommandGetTables { include_schema: true, ..Default::default() }.as_any(),
        CommandGetTables::default().as_any(),
        CommandGetTableTypes {}.as_any(),
        CommandGetPrimaryKeys { table: "words".into(), ..Default::default() }.as_any(),
        CommandGetImportedKeys { table: "words".into(), ..Default::default() }.as_any(),
        CommandGetExportedKeys { table: "words".into(), ..Default::default() }.as_any(),
        CommandGetCrossReference::default().as_any(),
        CommandGetXdbcTypeInfo::default().as_any(),
        CommandGetSqlInfo::default().as_any(),
        CommandStatementQuery { query: "SELECT id, word FROM words".into(), transaction_id: None }.as_any(),
    ];
    let header: tonic::metadata::AsciiMetadataValue = "Bearer alice-token".parse().unwrap();
    for command in commands {
        let name = command.type_url.clone();
        let descriptor = FlightDescriptor::new_cmd(command.encode_to_vec());
        let mut request = tonic::Request::new(descriptor.clone());
        request.metadata_mut().insert("authorization", header.clone());
        let told = client.inner_mut().get_schema(request).await.unwrap().into_inner();
        let told = Schema::try_from(&told).unwrap();
        let mut request = tonic::Request::new(descriptor);
        request.metadata_mut().insert("authorization", header.clone());
        let info = client.inner_mut().get_flight_info(request).await.unwrap().into_inner();
        assert_eq!(info.clone().try_decode_schema().unwrap(), told, "{name}");
        // And so it comes.
        fetch(&mut client, info).await.unwrap();
    }
    let update = CommandStatementUpdate { query: "SELECT 1".into(), transaction_id: None };
    let mut request = tonic::Request::new(FlightDescriptor::new_cmd(update.as_any().encode_to_vec()));
    request.metadata_mut().insert("authorization", header);
    assert_eq!(client.inner_mut().get_schema(request).await.unwrap_err().code(), Code::InvalidArgument);
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
        // Of a table that is not there neither.
        client.get_primary_keys(CommandGetPrimaryKeys { table: "nowhere".into(), ..Default::default() }).await,
    ];
    for info in infos {
        let batches = fetch(&mut client, info.unwrap()).await.unwrap();
        assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
    }
}
