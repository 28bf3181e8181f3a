//! `PollFlightInfo`.

use std::{sync::atomic::Ordering, time::Duration};

use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightDescriptor, FlightInfo, PollInfo,
    sql::{CommandGetCatalogs, CommandStatementQuery, ProstMessageExt},
};
use futures::TryStreamExt;
use prost::Message;
use sqe_core::{
    Decision, FieldId,
    policy::Restrictions,
    predicate::{CompareOp, RowPredicate, Value},
};
use sqe_flight::Settings;
use tonic::{Code, Status};

use crate::{
    harness::{Raw, Server, code, eventually, fetch, numbers, query, server_with},
    lake::GATED,
};

/// The sum of all rows of the gated table.
const SUM: i64 = 7 * 10 * GATED as i64;

async fn impatient() -> Server {
    let mut settings = Settings::default();
    settings.poll_wait = Duration::from_millis(100);
    server_with(settings).await
}

fn command(sql: &str) -> FlightDescriptor {
    let query = CommandStatementQuery { query: sql.into(), transaction_id: None };
    FlightDescriptor::new_cmd(query.as_any().encode_to_vec())
}

async fn poll(client: &mut Raw, descriptor: FlightDescriptor) -> Result<PollInfo, Status> {
    let mut request = tonic::Request::new(descriptor);
    let header = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    Ok(client.inner_mut().poll_flight_info(request).await?.into_inner())
}

/// Polls until `is_so`, or fails.
async fn until(client: &mut Raw, mut news: PollInfo, is_so: impl Fn(&PollInfo) -> bool) -> PollInfo {
    for _ in 0..100 {
        if is_so(&news) {
            return news;
        }
        news = poll(client, news.flight_descriptor.expect("it is not done")).await.unwrap();
    }
    panic!("never so: {news:?}");
}

fn is_done(news: &PollInfo) -> bool {
    news.flight_descriptor.is_none()
}

async fn cancel(client: &mut Raw, info: FlightInfo) -> Result<CancelStatus, Status> {
    let action = Action::new("CancelFlightInfo", CancelFlightInfoRequest::new(info).encode_to_vec());
    let mut request = tonic::Request::new(action);
    let header = format!("Bearer {}", client.token().unwrap());
    request.metadata_mut().insert("authorization", header.parse().unwrap());
    let results: Vec<_> = client.inner_mut().do_action(request).await?.into_inner().try_collect().await?;
    Ok(CancelFlightInfoResult::decode(&*results[0].body).unwrap().status())
}

#[tokio::test]
async fn a_long_query_tells_how_far_it_is_and_then_gives_its_rows() {
    let server = impatient().await;
    let mut client = server.raw("alice").await;
    let news = poll(&mut client, command("SELECT sum(id) AS s FROM gated")).await.unwrap();
    let news = until(&mut client, news, |news| !news.info.as_ref().unwrap().schema.is_empty()).await;
    let info = news.info.clone().unwrap();
    assert!(info.endpoint.is_empty(), "nothing to fetch yet");
    assert_eq!(info.flight_descriptor, Some(command("SELECT sum(id) AS s FROM gated")));
    assert!(news.expiration_time.is_some_and(|at| at.seconds > 0));
    server.lake.gate.let_through(1);
    let quarter = 1.0 / GATED as f64;
    let news = until(&mut client, news, |news| news.progress == Some(quarter)).await;
    server.lake.gate.let_through(GATED - 1);
    let news = until(&mut client, news, is_done).await;
    assert_eq!(news.progress, Some(1.0));
    assert_eq!(numbers(&fetch(&mut client, news.info.unwrap()).await.unwrap(), 0), [SUM]);
    assert_eq!(server.trail.intents(), 1, "however often it was asked about");
}

#[tokio::test]
async fn rows_can_be_fetched_before_the_last_is_there() {
    let server = impatient().await;
    let mut client = server.raw("alice").await;
    let news = poll(&mut client, command("SELECT id FROM gated")).await.unwrap();
    server.lake.gate.let_through(1);
    let news = until(&mut client, news, is_done).await;
    let fetching = tokio::spawn(async move { fetch(&mut client, news.info.unwrap()).await });
    server.lake.gate.let_through(GATED - 1);
    assert_eq!(numbers(&fetching.await.unwrap().unwrap(), 0).len(), 10 * GATED);
}

#[tokio::test]
async fn where_rows_are_held_back_nobody_is_told_how_far_a_query_is() {
    let server = impatient().await;
    let mut client = server.raw("alice").await;
    let mut held = Restrictions::default();
    held.filter = Some(RowPredicate::compare(FieldId(1), CompareOp::Gt, Value::Integer(2)));
    *server.rules.gated.lock() = Some(Decision::permit_with(held));
    let news = poll(&mut client, command("SELECT sum(id) AS s FROM gated")).await.unwrap();
    server.lake.gate.let_through(1);
    let mut news = until(&mut client, news, |news| !news.info.as_ref().unwrap().schema.is_empty()).await;
    for _ in 0..5 {
        assert_eq!(news.progress, None);
        news = poll(&mut client, news.flight_descriptor.unwrap()).await.unwrap();
    }
    server.lake.gate.let_through(GATED - 1);
    let news = until(&mut client, news, is_done).await;
    assert_eq!(numbers(&fetch(&mut client, news.info.unwrap()).await.unwrap(), 0), [SUM]);
}

#[tokio::test]
async fn a_client_that_starts_again_goes_on_asking_and_nobody_else_does() {
    let server = impatient().await;
    let mut first = server.raw("alice").await;
    let news = poll(&mut first, command("SELECT sum(id) AS s FROM gated")).await.unwrap();
    let token = news.flight_descriptor.unwrap();
    drop(first);
    let mut bob = server.raw("bob").await;
    assert_eq!(poll(&mut bob, token.clone()).await.unwrap_err().code(), Code::NotFound);
    let mut other = server.nobody().await;
    other.handshake("alice", "alice-password").await.unwrap();
    assert_eq!(poll(&mut other, token.clone()).await.unwrap_err().code(), Code::NotFound, "another session of hers");
    // The same token, and so the same session.
    let mut again = server.raw("alice").await;
    server.lake.gate.let_through(GATED);
    let news = poll(&mut again, token.clone()).await.unwrap();
    let news = until(&mut again, news, is_done).await;
    let once_more = poll(&mut again, token.clone()).await.unwrap();
    assert_eq!(once_more.info, news.info, "an answer that was lost comes again");
    assert_eq!(numbers(&fetch(&mut again, news.info.unwrap()).await.unwrap(), 0), [SUM]);
    assert_eq!(poll(&mut again, token.clone()).await.unwrap_err().code(), Code::NotFound, "its rows were fetched");
    // A server that starts again knows nothing of it.
    let restarted = impatient().await;
    let refused = poll(&mut restarted.raw("alice").await, token).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("ask again"), "{refused}");
}

#[tokio::test]
async fn it_is_cancelled_by_what_the_polls_gave() {
    let server = impatient().await;
    let mut client = server.raw("alice").await;
    let news = poll(&mut client, command("SELECT sum(id) FROM endless")).await.unwrap();
    eventually("the scan is open", || server.lake.open.load(Ordering::SeqCst) == 1).await;
    let info = news.info.unwrap();
    let mut bob = server.raw("bob").await;
    assert_eq!(cancel(&mut bob, info.clone()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(cancel(&mut client, info.clone()).await.unwrap(), CancelStatus::Cancelled);
    eventually("the scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(poll(&mut client, news.flight_descriptor.unwrap()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(cancel(&mut client, info).await.unwrap_err().code(), Code::NotFound);

    // Also once its rows are there.
    let news = poll(&mut client, command("SELECT id FROM endless")).await.unwrap();
    let info = until(&mut client, news, is_done).await.info.unwrap();
    assert_eq!(cancel(&mut client, info.clone()).await.unwrap(), CancelStatus::Cancelled);
    eventually("the scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(code(fetch(&mut client, info).await), Code::NotFound);
}

#[tokio::test]
async fn a_statement_that_nobody_asks_about_ends() {
    let mut settings = Settings::default();
    settings.poll_wait = Duration::from_millis(50);
    settings.ticket_ttl = Duration::from_millis(400);
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let working = poll(&mut client, command("SELECT sum(id) FROM endless")).await.unwrap();
    let ready = poll(&mut client, command("SELECT id FROM endless")).await.unwrap();
    let ready = until(&mut client, ready, is_done).await;
    eventually("both scans are open", || server.lake.open.load(Ordering::SeqCst) == 2).await;
    eventually("both scans were closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(poll(&mut client, working.flight_descriptor.unwrap()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(code(fetch(&mut client, ready.info.unwrap()).await), Code::NotFound);
}

#[tokio::test]
async fn a_change_runs_once_however_often_it_is_asked_about() {
    let server = impatient().await;
    let mut client = server.raw("alice").await;
    let news = poll(&mut client, command("CREATE TABLE made (a BIGINT)")).await.unwrap();
    until(&mut client, news, is_done).await;
    let news = poll(&mut client, command("INSERT INTO made VALUES (1), (2)")).await.unwrap();
    let news = until(&mut client, news, is_done).await;
    assert_eq!((server.lake.rows("made"), server.trail.intents()), (Some(2), 2), "nobody fetched anything");
    let info = news.info.unwrap();
    assert_eq!(info.total_records, 1);
    assert_eq!(numbers(&fetch(&mut client, info).await.unwrap(), 0), [2]);
    assert_eq!((server.lake.rows("made"), server.trail.intents()), (Some(2), 2));
}

#[tokio::test]
async fn failures_are_the_calls_own_and_metadata_is_done_at_once() {
    let server = impatient().await;
    let mut client = server.raw("alice").await;
    for (sql, expected) in [
        ("SELEKT 1", Code::InvalidArgument),
        ("SELECT * FROM nowhere", Code::NotFound),
        ("SELECT * FROM secret", Code::PermissionDenied),
        ("SELECT CAST(word AS BIGINT) FROM words", Code::InvalidArgument),
    ] {
        assert_eq!(poll(&mut client, command(sql)).await.unwrap_err().code(), expected, "{sql}");
    }
    let catalogs = FlightDescriptor::new_cmd(CommandGetCatalogs {}.as_any().encode_to_vec());
    let news = poll(&mut client, catalogs).await.unwrap();
    assert!(is_done(&news));
    fetch(&mut client, news.info.unwrap()).await.unwrap();
    let garbage = FlightDescriptor::new_cmd(vec![0xff; 9]);
    assert_eq!(poll(&mut client, garbage).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn statements_that_work_are_limited_and_end_with_their_session() {
    let mut settings = Settings::default();
    settings.poll_wait = Duration::from_millis(50);
    settings.max_tickets = 2;
    let server = server_with(settings).await;
    let mut client = server.nobody().await;
    client.handshake("alice", "alice-password").await.unwrap();
    for _ in 0..2 {
        poll(&mut client, command("SELECT sum(id) FROM endless")).await.unwrap();
    }
    let refused = poll(&mut client, command("SELECT sum(id) FROM endless")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    eventually("both scans are open", || server.lake.open.load(Ordering::SeqCst) == 2).await;
    server.flight.close();
    eventually("both scans were closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    let mut bob = server.raw("bob").await;
    query(&mut bob, "SELECT 1").await.unwrap();
}
