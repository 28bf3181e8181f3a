use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field},
};
use arrow_flight::{
    FlightDescriptor, Ticket,
    encode::FlightDataEncoderBuilder,
    sql::{CommandPreparedStatementQuery, CommandPreparedStatementUpdate, DoPutUpdateResult, ProstMessageExt},
};
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use sqe_core::{
    Decision, FieldId,
    policy::Restrictions,
    predicate::{CompareOp, Mask, RowPredicate, Value},
};
use tonic::Code;

use crate::harness::{Raw, code, fetch, numbers, server, server_with, status, texts};

/// Columns named as ADBC names them.
fn row(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns.into_iter().enumerate().map(|(position, column)| (position.to_string(), column));
    RecordBatch::try_from_iter(named).unwrap()
}

fn longs(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

/// What ADBC's `executemany` does: the parameters come with the update itself.
async fn execute_many(client: &mut Raw, handle: &[u8], rows: RecordBatch) -> Result<i64, tonic::Status> {
    let command = CommandPreparedStatementUpdate { prepared_statement_handle: handle.to_vec().into() };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let messages: Vec<_> = FlightDataEncoderBuilder::new()
        .with_schema(rows.schema())
        .with_flight_descriptor(Some(descriptor))
        .build(stream::iter([Ok(rows)]))
        .map(Result::unwrap)
        .collect()
        .await;
    let mut request = tonic::Request::new(stream::iter(messages));
    let header = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    let results: Vec<_> = client.inner_mut().do_put(request).await?.into_inner().try_collect().await?;
    Ok(DoPutUpdateResult::decode(&*results[0].app_metadata).unwrap().record_count)
}

/// The handle inside of the client's statement, which keeps it to itself: the command of its ticket has it.
pub(crate) async fn handle_of(client: &mut Raw, sql: &str) -> Vec<u8> {
    use arrow_flight::{
        Action,
        sql::{ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any},
    };
    let request = ActionCreatePreparedStatementRequest { query: sql.into(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", request.as_any().encode_to_vec());
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    let result: ActionCreatePreparedStatementResult =
        Any::decode(&*results[0].body).unwrap().unpack().unwrap().unwrap();
    result.prepared_statement_handle.to_vec()
}

#[tokio::test]
async fn a_prepared_query_runs_as_often_as_wanted() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT id, word FROM words ORDER BY id".into(), None).await.unwrap();
    let schema = statement.dataset_schema().unwrap().clone();
    assert_eq!(schema.field(1), &Field::new("word", DataType::Utf8, true));
    assert!(statement.parameter_schema().unwrap().fields().is_empty());
    for _ in 0..2 {
        let info = statement.execute().await.unwrap();
        let batches = fetch(&mut client, info).await.unwrap();
        assert_eq!(*batches[0].schema(), schema);
        assert_eq!(numbers(&batches, 0), [1, 2, 3]);
    }
    statement.close().await.unwrap();
}

#[tokio::test]
async fn parameters_bind_in_a_call_of_their_own() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let sql = "SELECT id FROM words WHERE id >= $1 AND id < $2 ORDER BY id";
    let mut statement = client.prepare(sql.into(), None).await.unwrap();
    let parameters = statement.parameter_schema().unwrap();
    assert_eq!(parameters.fields().len(), 2);
    assert_eq!(parameters.field(0).data_type(), &DataType::Int64);
    statement.set_parameters(row(vec![longs(vec![2]), longs(vec![100])])).unwrap();
    let info = statement.execute().await.unwrap();
    assert_eq!(numbers(&fetch(&mut client, info).await.unwrap(), 0), [2, 3]);
    // New values replace the old ones.
    statement.set_parameters(row(vec![longs(vec![1]), longs(vec![2])])).unwrap();
    let info = statement.execute().await.unwrap();
    assert_eq!(numbers(&fetch(&mut client, info).await.unwrap(), 0), [1]);
}

#[tokio::test]
async fn values_of_another_type_are_compared_as_numbers() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT id FROM words WHERE id = $1".into(), None).await.unwrap();
    let int: ArrayRef = Arc::new(Int32Array::from(vec![3]));
    statement.set_parameters(row(vec![int])).unwrap();
    let info = statement.execute().await.unwrap();
    assert_eq!(numbers(&fetch(&mut client, info).await.unwrap(), 0), [3]);
    // Not cut down to 3.
    let half: ArrayRef = Arc::new(Float64Array::from(vec![3.5]));
    statement.set_parameters(row(vec![half])).unwrap();
    let info = statement.execute().await.unwrap();
    assert!(numbers(&fetch(&mut client, info).await.unwrap(), 0).is_empty());
}

#[tokio::test]
async fn several_rows_of_parameters_run_the_query_several_times() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT word FROM words WHERE id = $1".into(), None).await.unwrap();
    statement.set_parameters(row(vec![longs(vec![3, 1, 100])])).unwrap();
    let info = statement.execute().await.unwrap();
    let words = texts(&fetch(&mut client, info).await.unwrap(), "word");
    assert_eq!(words, ["three, and long enough", "one"]);
    assert_eq!(server.trail.intents(), 3, "each run is in the audit trail");
}

#[tokio::test]
async fn executemany_runs_an_update_for_each_row() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    server.client("alice").await.execute_update("CREATE TABLE made (a BIGINT, b VARCHAR)").await.unwrap();
    let handle = handle_of(&mut client, "INSERT INTO made VALUES ($1, $2)").await;
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("z")]));
    let rows = row(vec![longs(vec![1, 2, 3]), names]);
    assert_eq!(execute_many(&mut client, &handle, rows.clone()).await.unwrap(), 3);
    assert_eq!(server.lake.rows("made"), Some(3));
    // What was written can be read and written again.
    let again = "INSERT INTO made SELECT a + 10, b FROM made";
    assert_eq!(server.client("alice").await.execute_update(again).await.unwrap(), 3);
    // No rows: nothing happens.
    assert_eq!(execute_many(&mut client, &handle, rows.slice(0, 0)).await.unwrap(), 0);
    assert_eq!(server.lake.rows("made"), Some(6));
}

#[tokio::test]
async fn an_update_may_bind_in_a_call_of_its_own_too() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    server.client("alice").await.execute_update("CREATE TABLE made (a BIGINT)").await.unwrap();
    let mut statement = client.prepare("INSERT INTO made VALUES ($1)".into(), None).await.unwrap();
    assert!(statement.dataset_schema().unwrap().fields().is_empty(), "drivers take it for an update");
    statement.set_parameters(row(vec![longs(vec![1, 2])])).unwrap();
    assert_eq!(statement.execute_update().await.unwrap(), 2);
    assert_eq!(server.lake.rows("made"), Some(2));
}

#[tokio::test]
async fn a_failure_in_the_middle_says_what_is_done_already() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    server.client("alice").await.execute_update("CREATE TABLE made (a BIGINT)").await.unwrap();
    let handle = handle_of(&mut client, "INSERT INTO made VALUES (CAST($1 AS BIGINT))").await;
    let values: ArrayRef = Arc::new(StringArray::from(vec!["1", "x", "3"]));
    let refused = execute_many(&mut client, &handle, row(vec![values])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("row 2 of 3; the 1 rows before it are done"), "{refused}");
    assert_eq!(server.lake.rows("made"), Some(1));
}

#[tokio::test]
async fn missing_and_superfluous_values_are_refused() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT id FROM words WHERE id = $1".into(), None).await.unwrap();
    let error = statement.execute().await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument);
    assert!(status(&error).message().contains("1 parameters"), "{error}");
    statement.set_parameters(row(vec![longs(vec![1]), longs(vec![2])])).unwrap();
    assert_eq!(code(statement.execute().await), Code::InvalidArgument);
    statement.set_parameters(row(vec![longs(vec![1])])).unwrap();
    assert_eq!(code(statement.execute().await), Code::Ok);
}

#[tokio::test]
async fn a_change_prepared_and_sent_like_a_query_runs_once() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("CREATE TABLE made (a BIGINT)".into(), None).await.unwrap();
    assert_eq!(server.lake.rows("made"), None, "preparing does nothing");
    let info = statement.execute().await.unwrap();
    assert_eq!((server.lake.rows("made"), server.trail.intents()), (Some(0), 1));
    fetch(&mut client, info).await.unwrap();
    assert_eq!(server.trail.intents(), 1);
}

#[tokio::test]
async fn a_prepared_statement_belongs_to_its_session_and_ends_when_closed() {
    let server = server().await;
    let mut alice = server.raw("alice").await;
    let mut bob = server.raw("bob").await;
    let handle = handle_of(&mut alice, "SELECT id FROM words").await;
    let ticket = |handle: &[u8]| {
        let command = CommandPreparedStatementQuery { prepared_statement_handle: handle.to_vec().into() };
        Ticket::new(command.as_any().encode_to_vec())
    };
    assert_eq!(code(bob.do_get(ticket(&handle)).await), Code::NotFound);
    let rows: Vec<_> = alice.do_get(ticket(&handle)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(numbers(&rows, 0).len(), 3);

    use arrow_flight::{Action, sql::ActionClosePreparedStatementRequest};
    let close = |handle: &[u8]| {
        let request = ActionClosePreparedStatementRequest { prepared_statement_handle: handle.to_vec().into() };
        Action::new("ClosePreparedStatement", request.as_any().encode_to_vec())
    };
    // Bob's attempt closes nothing of alice's.
    bob.do_action(close(&handle)).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(code(alice.do_get(ticket(&handle)).await), Code::Ok);
    alice.do_action(close(&handle)).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(code(alice.do_get(ticket(&handle)).await), Code::NotFound);
}

#[tokio::test]
async fn each_execution_is_decided_and_planned_anew() {
    let server = server().await;
    let (mut client, mut bob) = (server.raw("alice").await, server.raw("bob").await);
    let sql = "SELECT id, word FROM words WHERE id >= $1 ORDER BY id";
    let mut statement = client.prepare(sql.into(), None).await.unwrap();
    statement.set_parameters(row(vec![longs(vec![1])])).unwrap();
    let mut others = bob.prepare(sql.into(), None).await.unwrap();
    others.set_parameters(row(vec![longs(vec![1])])).unwrap();

    let info = statement.execute().await.unwrap();
    assert_eq!(numbers(&fetch(&mut client, info).await.unwrap(), 0), [1, 2, 3]);
    let restricted = |change: fn(&mut Restrictions)| {
        let mut held = Restrictions::default();
        change(&mut held);
        *server.rules.words.lock() = Some(Decision::permit_with(held));
    };
    restricted(|held| held.filter = Some(RowPredicate::compare(FieldId(1), CompareOp::Gt, Value::Integer(2))));
    let info = statement.execute().await.unwrap();
    let rows = fetch(&mut client, info).await.unwrap();
    assert_eq!((numbers(&rows, 0), texts(&rows, "word")), (vec![3], vec!["three, and long enough".to_owned()]));
    restricted(|held| drop(held.masks.insert(FieldId(2), Mask::Constant(Value::Text("masked".into())))));
    let info = statement.execute().await.unwrap();
    assert_eq!(texts(&fetch(&mut client, info).await.unwrap(), "word"), ["masked"; 3]);
    restricted(|held| held.hidden = [FieldId(2)].into());
    assert_eq!(code(statement.execute().await), Code::InvalidArgument, "the column is not there any more");
    *server.rules.words.lock() = Some(Decision::deny());
    assert_eq!(code(statement.execute().await), Code::PermissionDenied);
    let info = others.execute().await.unwrap();
    assert_eq!(numbers(&fetch(&mut bob, info).await.unwrap(), 0), [1, 2, 3], "bob's is decided for bob");
    *server.rules.words.lock() = None;
    let info = statement.execute().await.unwrap();
    assert_eq!(numbers(&fetch(&mut client, info).await.unwrap(), 0), [1, 2, 3]);
}

#[tokio::test]
async fn preparing_what_is_wrong_or_hidden_fails_at_once() {
    let server = server().await;
    let mut mallory = server.raw("mallory").await;
    assert_eq!(code(mallory.prepare("SELECT id FROM words".into(), None).await.map(|_| ())), Code::NotFound);
    let mut alice = server.raw("alice").await;
    assert_eq!(code(alice.prepare("SELECT id FROM words".into(), None).await.map(|_| ())), Code::Ok);
    assert_eq!(code(alice.prepare("SELECT nothing FROM words".into(), None).await.map(|_| ())), Code::InvalidArgument);
    assert_eq!(code(alice.prepare("SELECT * FROM secret".into(), None).await.map(|_| ())), Code::PermissionDenied);
}

#[tokio::test]
async fn open_statements_and_rows_of_parameters_are_limited() {
    let mut settings = sqe_flight::Settings::default();
    settings.max_prepared_statements = 2;
    settings.max_query_parameter_rows = 2;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT id FROM words WHERE id = $1".into(), None).await.unwrap();
    let other = client.prepare("SELECT 2".into(), None).await.unwrap();
    assert_eq!(code(client.prepare("SELECT 3".into(), None).await.map(|_| ())), Code::ResourceExhausted);
    other.close().await.unwrap();
    assert_eq!(code(client.prepare("SELECT 3".into(), None).await.map(|_| ())), Code::Ok);
    statement.set_parameters(row(vec![longs(vec![1, 2, 3])])).unwrap();
    assert_eq!(code(statement.execute().await), Code::ResourceExhausted);
    statement.set_parameters(row(vec![longs(vec![1, 2])])).unwrap();
    assert_eq!(code(statement.execute().await), Code::Ok);
}

#[tokio::test]
async fn texts_as_parameters_are_values_and_never_sql() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT $1 AS echo".into(), None).await.unwrap();
    let text = "'; DROP TABLE words; --";
    let value: ArrayRef = Arc::new(StringArray::from(vec![text]));
    statement.set_parameters(row(vec![value])).unwrap();
    let info = statement.execute().await.unwrap();
    let batches = fetch(&mut client, info).await.unwrap();
    assert_eq!(batches[0].column(0).as_string::<i32>().value(0), text);
    assert_eq!(server.lake.rows("words"), Some(3));
}
