//! What drivers do that cannot be had here, call by call: JDBC's (from its source) and ODBC's as Power BI uses it.

use arrow::{
    array::{Array, AsArray},
    datatypes::{Int32Type, Schema, UInt32Type},
};
use arrow_flight::{
    Action, IpcMessage, Ticket,
    sql::{
        ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult,
        Any, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys, CommandGetImportedKeys,
        CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
        CommandPreparedStatementUpdate, DoPutUpdateResult, ProstMessageExt, SqlInfo,
    },
};
use futures::{TryStreamExt, stream};
use prost::Message;
use sqe_flight::protocol::{
    self, CloseSessionRequest, CloseSessionResult, CloseStatus, OptionValue, SessionOptionValue,
    SetSessionOptionsRequest, SetSessionOptionsResult,
};
use tonic::Code;

use crate::harness::{Raw, code, fetch, numbers, query, server, texts};

/// The keys that the JDBC driver asks for at once, when somebody wants any property of the database.
fn jdbc_keys() -> Vec<SqlInfo> {
    let asked = (0..=3).chain(500..=561).map(|key| SqlInfo::try_from(key).unwrap());
    asked.collect()
}

async fn prepare(client: &mut Raw, sql: &str) -> ActionCreatePreparedStatementResult {
    let request = ActionCreatePreparedStatementRequest { query: sql.into(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    Any::decode(&*results[0].body).unwrap().unpack().unwrap().unwrap()
}

async fn close(client: &mut Raw, prepared: &ActionCreatePreparedStatementResult) {
    let handle = prepared.prepared_statement_handle.clone();
    let request = ActionClosePreparedStatementRequest { prepared_statement_handle: handle };
    let action = Action::new("ClosePreparedStatement", request.as_any().encode_to_vec());
    client.do_action(action).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
}

/// `Statement.executeUpdate`: a prepared statement whose data set has no columns.
async fn update(client: &mut Raw, sql: &str) -> i64 {
    let prepared = prepare(client, sql).await;
    assert!(prepared.dataset_schema.is_empty(), "the driver takes it for an update");
    let command =
        CommandPreparedStatementUpdate { prepared_statement_handle: prepared.prepared_statement_handle.clone() };
    let descriptor = arrow_flight::FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let message = arrow_flight::FlightData::new().with_descriptor(descriptor);
    let mut request = tonic::Request::new(stream::iter([message]));
    let header = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    let results: Vec<_> = client.inner_mut().do_put(request).await.unwrap().into_inner().try_collect().await.unwrap();
    close(client, &prepared).await;
    DoPutUpdateResult::decode(&*results[0].app_metadata).unwrap().record_count
}

/// `Statement.executeQuery`.
async fn select(client: &mut Raw, sql: &str) -> Vec<arrow::array::RecordBatch> {
    let prepared = prepare(client, sql).await;
    let told = Schema::try_from(IpcMessage(prepared.dataset_schema.clone())).unwrap();
    let command =
        CommandPreparedStatementQuery { prepared_statement_handle: prepared.prepared_statement_handle.clone() };
    let mut request = tonic::Request::new(arrow_flight::FlightDescriptor::new_cmd(command.as_any().encode_to_vec()));
    let header = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    let info = client.inner_mut().get_flight_info(request).await.unwrap().into_inner();
    assert_eq!(info.clone().try_decode_schema().unwrap(), told, "what was told at preparing is what comes");
    let rows = fetch(client, info).await.unwrap();
    close(client, &prepared).await;
    rows
}

#[tokio::test]
async fn jdbc_connects_looks_around_and_works() {
    let server = server().await;
    let mut client = server.nobody().await;
    // Unknown properties of the URL become headers, and cookies are sent back that nobody set.
    for (name, value) in [("usessl", "false"), ("x-tenant", "a"), ("cookie", "session=1; b=2"), ("threadpoolsize", "1")]
    {
        client.set_header(name, value);
    }
    client.handshake("alice", "alice-password").await.unwrap();
    // `catalog=lake` in the URL.
    let lake = SessionOptionValue { option_value: Some(OptionValue::String("lake".into())) };
    let request = SetSessionOptionsRequest { session_options: [("catalog".to_owned(), lake)].into() };
    let action = Action::new(protocol::SET_SESSION_OPTIONS, request.encode_to_vec());
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    assert!(SetSessionOptionsResult::decode(&*results[0].body).unwrap().errors.is_empty());

    // `DatabaseMetaData`.
    let keys = jdbc_keys();
    assert!(keys.len() >= 65, "{}", keys.len());
    let info = client.get_sql_info(keys.clone()).await.unwrap();
    let batches = fetch(&mut client, info).await.unwrap();
    let told: Vec<u32> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<UInt32Type>().values().to_vec()).collect();
    assert_eq!(told, keys.iter().map(|key| *key as u32).collect::<Vec<_>>(), "no key is missing");
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "catalog_name"), ["lake"]);
    let schemas = CommandGetDbSchemas { catalog: Some("lake".into()), db_schema_filter_pattern: Some("%".into()) };
    let info = client.get_db_schemas(schemas).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "db_schema_name"), ["main", "other"]);
    // Tools escape the underscores of names that they have read before.
    let tables = CommandGetTables {
        db_schema_filter_pattern: Some("main".into()),
        table_name_filter_pattern: Some("word\\_".into()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(tables.clone()).await.unwrap();
    assert!(texts(&fetch(&mut client, info).await.unwrap(), "table_name").is_empty());
    let tables = CommandGetTables { table_name_filter_pattern: Some("word_".into()), ..tables };
    let info = client.get_tables(tables).await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "table_name"), ["words"]);
    let table = || "words".to_owned();
    for info in [
        client.get_primary_keys(CommandGetPrimaryKeys { table: table(), ..Default::default() }).await,
        client.get_imported_keys(CommandGetImportedKeys { table: table(), ..Default::default() }).await,
        client.get_exported_keys(CommandGetExportedKeys { table: table(), ..Default::default() }).await,
        client
            .get_cross_reference(CommandGetCrossReference {
                pk_table: table(),
                fk_table: table(),
                ..Default::default()
            })
            .await,
    ] {
        assert!(fetch(&mut client, info.unwrap()).await.unwrap().iter().all(|batch| batch.num_rows() == 0));
    }

    // Everything is prepared.
    assert_eq!(update(&mut client, "CREATE TABLE made (id BIGINT, word VARCHAR)").await, 0);
    assert_eq!(update(&mut client, "INSERT INTO made VALUES (1, 'a'), (2, NULL)").await, 2);
    let rows = select(&mut client, "SELECT id, word FROM made ORDER BY id").await;
    assert_eq!(numbers(&rows, 0), [1, 2]);
    assert!(rows[0].column(1).is_null(1));
    assert_eq!((server.lake.rows("made"), server.trail.intents()), (Some(2), 3), "each statement ran once");

    let action = Action::new(protocol::CLOSE_SESSION, CloseSessionRequest {}.encode_to_vec());
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    assert_eq!(CloseSessionResult::decode(&*results[0].body).unwrap().status(), CloseStatus::Closed);
    assert_eq!(code(query(&mut client, "SELECT 1").await), Code::Unauthenticated);
}

#[tokio::test]
async fn odbc_asks_for_types_before_each_preview() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    for _preview in 0..2 {
        let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: None }).await.unwrap();
        let types = fetch(&mut client, info).await.unwrap();
        assert!(types[0].num_rows() > 15);
        // SQL_VARCHAR and SQL_TYPE_TIMESTAMP by themselves.
        for (ty, name) in [(12, "VARCHAR"), (93, "TIMESTAMP")] {
            let info = client.get_xdbc_type_info(CommandGetXdbcTypeInfo { data_type: Some(ty) }).await.unwrap();
            let batches = fetch(&mut client, info).await.unwrap();
            assert!(texts(&batches, "type_name").contains(&name.to_owned()));
            let codes = batches[0].column_by_name("data_type").unwrap().as_primitive::<Int32Type>().clone();
            assert!(codes.values().iter().all(|code| *code == ty));
        }
        let tables = CommandGetTables { table_types: vec!["TABLE".into()], include_schema: true, ..Default::default() };
        let info = client.get_tables(tables).await.unwrap();
        assert!(texts(&fetch(&mut client, info).await.unwrap(), "table_name").contains(&"words".to_owned()));
        let rows =
            query(&mut client, "SELECT \"id\", \"word\" FROM \"lake\".\"main\".\"words\" LIMIT 1000").await.unwrap();
        assert_eq!(numbers(&rows, 0).len(), 3);
    }
}

/// What the plugin for Grafana reads of an answer.
#[tokio::test]
async fn the_first_endpoint_has_all_rows() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let info = client.execute("SELECT id FROM endless LIMIT 100000".into(), None).await.unwrap();
    assert_eq!(info.endpoint.len(), 1);
    let ticket: Ticket = info.endpoint[0].ticket.clone().unwrap();
    let batches: Vec<_> = client.do_get(ticket).await.unwrap().try_collect().await.unwrap();
    assert_eq!(numbers(&batches, 0).len(), 100_000);
}
