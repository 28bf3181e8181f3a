use std::{sync::atomic::Ordering, time::Duration};

use arrow::{
    array::{Array, AsArray},
    datatypes::{DataType, Int64Type, Schema},
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightInfo, IpcMessage,
    sql::{Any, CommandStatementQuery, CommandStatementSubstraitPlan, ProstMessageExt},
};
use futures::TryStreamExt;
use prost::Message;
use tonic::{Code, IntoRequest, Request};

use crate::harness::{Raw, code, eventually, fetch, numbers, query, server, status};

fn authorized<T>(client: &Raw, message: T) -> Request<T> {
    let mut request = message.into_request();
    let header = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    request
}

#[tokio::test]
async fn rows_come_in_the_announced_schema_and_views_are_flattened() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let info = client.execute("SELECT id, word FROM words ORDER BY id".into(), None).await.unwrap();
    let announced = Schema::try_from(IpcMessage(info.schema.clone())).unwrap();
    assert_eq!(announced.field(0).data_type(), &DataType::Int64);
    assert!(!announced.field(0).is_nullable(), "nullability is kept");
    assert_eq!(announced.field(1).data_type(), &DataType::Utf8);
    assert!(announced.field(0).metadata().is_empty());
    let batches = fetch(&mut client, info).await.unwrap();
    assert_eq!(numbers(&batches, 0), [1, 2, 3]);
    let words = batches[0].column(1).as_string::<i32>();
    assert_eq!((words.value(0), words.is_null(1), words.value(2)), ("one", true, "three, and long enough"));
}

#[tokio::test]
async fn an_empty_answer_still_has_its_schema() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let batches = query(&mut client, "SELECT id, word FROM words WHERE id > 100").await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
}

#[tokio::test]
async fn get_schema_runs_nothing_and_a_poll_starts_its_query_once() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let command = |sql: &str| {
        let query = CommandStatementQuery { query: sql.into(), transaction_id: None };
        FlightDescriptor::new_cmd(query.as_any().encode_to_vec())
    };
    let request = authorized(&client, command("CREATE TABLE described (a BIGINT)"));
    client.inner_mut().get_schema(request).await.unwrap();
    assert_eq!((server.lake.rows("described"), server.trail.intents()), (None, 0));

    let request = authorized(&client, command("SELECT id FROM words"));
    let poll = client.inner_mut().poll_flight_info(request).await.unwrap().into_inner();
    assert!(poll.flight_descriptor.is_none(), "nothing is left to poll for");
    assert_eq!(server.trail.intents(), 1);
    assert_eq!(fetch(&mut client, poll.info.unwrap()).await.unwrap()[0].num_rows(), 3);
    assert_eq!(server.trail.intents(), 1);
}

#[tokio::test]
async fn a_change_sent_like_a_query_runs_exactly_once_even_if_nobody_fetches() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let create = client.execute("CREATE TABLE made (a BIGINT)".into(), None).await.unwrap();
    assert_eq!(server.lake.rows("made"), Some(0));
    let insert = client.execute("INSERT INTO made VALUES (1), (2)".into(), None).await.unwrap();
    assert_eq!((server.lake.rows("made"), server.trail.intents()), (Some(2), 2));
    // Fetching tells what happened and does nothing more.
    fetch(&mut client, create).await.unwrap();
    assert_eq!(numbers(&fetch(&mut client, insert).await.unwrap(), 0), [2]);
    assert_eq!((server.lake.rows("made"), server.trail.intents()), (Some(2), 2));
}

#[tokio::test]
async fn an_update_tells_how_many_rows_it_touched() {
    let server = server().await;
    let client = server.client("alice").await;
    client.execute_update("CREATE TABLE made (a BIGINT)").await.unwrap();
    assert_eq!(client.execute_update("INSERT INTO made VALUES (1), (2), (3)").await.unwrap(), 3);
    assert_eq!(server.lake.rows("made"), Some(3));
    let refused = client.execute_update("SELECT 1").await.unwrap_err();
    assert_eq!(refused.kind(), sqe_core::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_ticket_is_good_once_and_only_in_its_own_session() {
    let server = server().await;
    let mut alice = server.raw("alice").await;
    let mut bob = server.raw("bob").await;
    let info = alice.execute("SELECT id FROM words".into(), None).await.unwrap();
    assert_eq!(code(fetch(&mut bob, info.clone()).await), Code::NotFound);
    // Bob's attempt took nothing away from alice.
    assert_eq!(fetch(&mut alice, info.clone()).await.unwrap()[0].num_rows(), 3);
    assert_eq!(code(fetch(&mut alice, info.clone()).await), Code::NotFound);
    // Another session of the same person is another session.
    let info = alice.execute("SELECT id FROM words".into(), None).await.unwrap();
    let mut other = server.nobody().await;
    other.handshake("alice", "alice-password").await.unwrap();
    assert_eq!(code(fetch(&mut other, info).await), Code::NotFound);
}

#[tokio::test]
async fn refusals_carry_their_status_beside_what_is_permitted() {
    let server = server().await;
    let mut alice = server.raw("alice").await;
    let mut bob = server.raw("bob").await;
    let mut mallory = server.raw("mallory").await;
    assert_eq!(code(query(&mut alice, "SELECT * FROM secret").await), Code::PermissionDenied);
    assert_eq!(code(query(&mut bob, "SELECT * FROM secret").await), Code::Ok);
    assert_eq!(code(query(&mut mallory, "SELECT * FROM words").await), Code::NotFound);
    assert_eq!(code(query(&mut alice, "SELECT * FROM words").await), Code::Ok);
    assert_eq!(code(query(&mut alice, "SELECT * FROM nowhere").await), Code::NotFound);
    assert_eq!(code(query(&mut alice, "SELEKT 1").await), Code::InvalidArgument);
    let error = query(&mut alice, "SELECT 1 / (id - id) FROM words").await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument, "{error}");
    let create = "CREATE TABLE words (a BIGINT)";
    assert_eq!(code(query(&mut alice, create).await), Code::AlreadyExists);
}

#[tokio::test]
async fn what_is_not_offered_says_so() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    assert_eq!(code(client.begin_transaction().await), Code::Unimplemented);
    let in_transaction = client.execute("SELECT 1".into(), Some("t".into())).await;
    assert_eq!(code(in_transaction), Code::Unimplemented);

    let plan = FlightDescriptor::new_cmd(CommandStatementSubstraitPlan::default().as_any().encode_to_vec());
    let request = authorized(&client, plan);
    let refused = client.inner_mut().get_flight_info(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    assert!(refused.message().contains("Substrait"), "{refused}");

    for action in ["RenewFlightEndpoint", "BeginSavepoint", "EndTransaction", "CreatePreparedSubstraitPlan"] {
        let outcome = client.do_action(Action::new(action, Vec::new())).await;
        assert_eq!(code(outcome.map(|_| ())), Code::Unimplemented, "{action}");
    }

    let unknown = Any { type_url: "type.googleapis.com/arrow.flight.protocol.sql.Future".into(), value: "".into() };
    let request = authorized(&client, FlightDescriptor::new_cmd(unknown.encode_to_vec()));
    let refused = client.inner_mut().get_flight_info(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let request = authorized(&client, FlightDescriptor::new_cmd(vec![0xff; 32]));
    assert_eq!(client.inner_mut().get_flight_info(request).await.unwrap_err().code(), Code::InvalidArgument);
    let request = authorized(&client, FlightDescriptor::new_path(vec!["a".into()]));
    assert_eq!(client.inner_mut().get_flight_info(request).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn dropping_the_rows_stops_the_query() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let info = client.execute("SELECT id FROM endless".into(), None).await.unwrap();
    assert_eq!(server.lake.open.load(Ordering::SeqCst), 0, "a query runs when it is fetched");
    let mut rows = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    rows.try_next().await.unwrap().unwrap();
    assert_eq!(server.lake.open.load(Ordering::SeqCst), 1);
    drop(rows);
    eventually("the scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_client_that_vanishes_while_nothing_is_ready_leaves_nothing_behind() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    // An aggregate over an endless table never gives a row.
    let info = client.execute("SELECT sum(id) FROM endless".into(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let waiting = tokio::spawn(async move {
        let mut rows = client.do_get(ticket).await?;
        rows.try_next().await
    });
    eventually("the scan is open", || server.lake.open.load(Ordering::SeqCst) == 1).await;
    waiting.abort();
    eventually("the scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
}

async fn cancel(client: &mut Raw, info: FlightInfo) -> Result<CancelStatus, tonic::Status> {
    let action = Action::new("CancelFlightInfo", CancelFlightInfoRequest::new(info).encode_to_vec());
    let request = authorized(client, action);
    let results: Vec<_> = client.inner_mut().do_action(request).await?.into_inner().try_collect().await?;
    Ok(CancelFlightInfoResult::decode(&*results[0].body).unwrap().status())
}

#[tokio::test]
async fn a_running_query_can_be_cancelled_by_its_own_session_alone() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut bob = server.raw("bob").await;
    let info = client.execute("SELECT id FROM endless".into(), None).await.unwrap();
    let mut rows = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    rows.try_next().await.unwrap().unwrap();
    assert_eq!(cancel(&mut bob, info.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(cancel(&mut client, info.clone()).await.unwrap(), CancelStatus::Cancelled);
    // The stream ends with an error: nobody may take what came for the whole answer.
    let end = loop {
        match tokio::time::timeout(Duration::from_secs(5), rows.try_next()).await.unwrap() {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert_eq!(status(&end.unwrap_err()).code(), Code::Cancelled);
    eventually("the scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(cancel(&mut client, info).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_waiting_query_can_be_cancelled() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let info = client.execute("SELECT id FROM words".into(), None).await.unwrap();
    assert_eq!(cancel(&mut client, info.clone()).await.unwrap(), CancelStatus::Cancelled);
    assert_eq!(code(fetch(&mut client, info).await), Code::NotFound);
}

#[tokio::test]
async fn an_error_in_the_middle_of_the_rows_is_an_error_and_not_an_end() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let sql = "SELECT CAST(word AS BIGINT) FROM words ORDER BY id";
    let error = query(&mut client, sql).await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument, "{error}");
    assert!(!status(&error).message().contains("Arrow"), "{error}");
}

#[tokio::test]
async fn our_client_reads_rows_and_schema() {
    let server = server().await;
    let client = server.client("bob").await;
    let rows = client.execute("SELECT count(*) AS n FROM words").await.unwrap();
    assert_eq!(rows.schema().field(0).name(), "n");
    let batches = rows.collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 3);
    let denied = client.execute("SELECT * FROM nowhere").await.unwrap_err();
    assert_eq!(denied.kind(), sqe_core::ErrorKind::NotFound);
}
