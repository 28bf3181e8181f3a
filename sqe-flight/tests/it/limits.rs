use std::{sync::Arc, time::Duration};

use arrow::array::{ArrayRef, AsArray, Int64Array, NullArray, RecordBatch, StringArray};
use sqe_flight::Settings;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use crate::harness::{code, fetch, query, server, server_with, status};

#[tokio::test]
async fn ten_megabytes_of_sql_are_refused_with_the_limit() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let sql = format!("SELECT '{}'", "x".repeat(10 << 20));
    let error = client.execute(sql.clone(), None).await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument);
    assert!(status(&error).message().contains("1048576"), "{error}");
    assert_eq!(code(client.prepare(sql.clone(), None).await.map(|_| ())), Code::InvalidArgument);
    assert_eq!(code(client.execute_update(sql, None).await), Code::InvalidArgument);
    assert_eq!(server.trail.refusals(), 3, "each is on record");
    // A long statement within the limit, and the connection as such, are fine.
    let sql = format!("SELECT '{}' AS x", "x".repeat(1_000_000));
    let batches = query(&mut client, &sql).await.unwrap();
    assert_eq!(batches[0].column(0).as_string::<i32>().value(0).len(), 1_000_000);
}

#[tokio::test]
async fn the_server_may_accept_less_than_its_engine() {
    let mut settings = Settings::default();
    settings.max_statement_bytes = 64;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let long = format!("SELECT '{}'", "x".repeat(64));
    let error = client.execute(long, None).await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument);
    assert!(status(&error).message().contains("64"), "{error}");
    assert_eq!(server.trail.intents(), 0);
    query(&mut client, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn messages_above_four_megabytes_pass_in_both_directions() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT $1 AS echo".into(), None).await.unwrap();
    // One value is one row, and a row is never cut.
    let text = "y".repeat(6 << 20);
    let value: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
    statement.set_parameters(RecordBatch::try_from_iter([("0", value)]).unwrap()).unwrap();
    let info = statement.execute().await.unwrap();
    let options = sqe_flight::client::ConnectOptions::new(server.uri());
    let ours = sqe_flight::client::Client::connect(&options.with_token("alice-token".into())).await.unwrap();
    let batches = ours.rows(info).await.unwrap().collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_string::<i32>().value(0), text);
}

#[tokio::test]
async fn large_answers_come_in_many_messages() {
    let mut settings = Settings::default();
    settings.target_message_bytes = 64 << 10;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let sql = "SELECT id, repeat('z', 100) AS z FROM endless LIMIT 20000";
    let batches = query(&mut client, sql).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
    assert!(batches.len() > 20, "{}", batches.len());
    assert!(batches.iter().all(|batch| batch.num_rows() < 1_000));
}

#[tokio::test]
async fn tickets_that_nobody_redeems_are_limited_and_end() {
    let mut settings = Settings::default();
    settings.max_tickets = 2;
    settings.ticket_ttl = Duration::from_millis(500);
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let first = client.execute("SELECT 1".into(), None).await.unwrap();
    client.execute("SELECT 2".into(), None).await.unwrap();
    assert_eq!(code(client.execute("SELECT 3".into(), None).await), Code::ResourceExhausted);
    // Another session has its own.
    let mut bob = server.raw("bob").await;
    query(&mut bob, "SELECT 1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(code(fetch(&mut client, first).await), Code::NotFound);
    query(&mut client, "SELECT 3").await.unwrap();
}

#[tokio::test]
async fn changes_whose_rows_nobody_fetches_do_not_use_up_the_tickets() {
    let mut settings = Settings::default();
    settings.max_tickets = 2;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    for number in 0..5 {
        client.execute(format!("CREATE TABLE t{number} (a BIGINT)"), None).await.unwrap();
    }
    assert_eq!(server.lake.rows("t4"), Some(0));
}

#[tokio::test]
async fn too_many_parameters_at_once_are_refused() {
    let mut settings = Settings::default();
    settings.max_parameter_bytes = 1 << 10;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT id FROM words WHERE id = $1".into(), None).await.unwrap();
    let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
    statement.set_parameters(RecordBatch::try_from_iter([("0", many)]).unwrap()).unwrap();
    assert_eq!(code(statement.execute().await), Code::ResourceExhausted);
}

/// About 8 bytes a row.
fn longs(rows: i64) -> RecordBatch {
    let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    RecordBatch::try_from_iter([("0", many)]).unwrap()
}

#[tokio::test]
async fn what_a_person_has_bound_is_limited_over_all_sessions_and_given_back() {
    let mut settings = Settings::default();
    settings.max_parameter_bytes_per_person = 20_000;
    let server = server_with(settings).await;
    let sql = "SELECT id FROM words WHERE id = $1";
    // Two sessions of one person.
    let (mut one, mut two) = (server.nobody().await, server.nobody().await);
    one.handshake("alice", "alice-password").await.unwrap();
    two.handshake("alice", "alice-password").await.unwrap();
    let mut first = one.prepare(sql.into(), None).await.unwrap();
    first.set_parameters(longs(900)).unwrap();
    first.execute().await.unwrap();
    let mut second = one.prepare(sql.into(), None).await.unwrap();
    second.set_parameters(longs(900)).unwrap();
    second.execute().await.unwrap();

    let mut third = two.prepare(sql.into(), None).await.unwrap();
    third.set_parameters(longs(900)).unwrap();
    let error = third.execute().await.unwrap_err();
    assert_eq!(status(&error).code(), Code::ResourceExhausted);
    assert!(status(&error).message().contains("close prepared statements"), "{error}");
    // What fits is accepted, and others have their own.
    third.set_parameters(longs(10)).unwrap();
    third.execute().await.unwrap();
    let mut bob = server.raw("bob").await;
    let mut others = bob.prepare("SELECT $1 AS a".into(), None).await.unwrap();
    others.set_parameters(longs(900)).unwrap();
    others.execute().await.unwrap();

    second.close().await.unwrap();
    third.set_parameters(longs(900)).unwrap();
    third.execute().await.unwrap();
}

/// Plans and texts that wait are memory, too, and their sizes are for whoever sends them to choose.
#[tokio::test]
async fn what_is_kept_for_a_person_is_limited_over_all_sessions_and_given_back() {
    let mut settings = Settings::default();
    settings.max_kept_bytes_per_person = 400_000;
    let server = server_with(settings).await;
    let (mut one, mut two) = (server.nobody().await, server.nobody().await);
    one.handshake("alice", "alice-password").await.unwrap();
    two.handshake("alice", "alice-password").await.unwrap();
    let long = format!("SELECT '{}' AS a", "x".repeat(100_000));
    let waiting = one.execute(long.clone(), None).await.unwrap();
    let error = two.execute(long.clone(), None).await.unwrap_err();
    assert_eq!(status(&error).code(), Code::ResourceExhausted);
    assert!(status(&error).message().contains("fetch the answers that wait"), "{error}");
    // Small statements, and other people, still have room; what was fetched waits no more.
    two.execute("SELECT 1".into(), None).await.unwrap();
    server.raw("bob").await.execute(long.clone(), None).await.unwrap();
    assert_eq!(fetch(&mut one, waiting).await.unwrap()[0].num_rows(), 1);
    two.execute(long.clone(), None).await.unwrap();

    let mut mallory = server.raw("mallory").await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(mallory.prepare(long.clone(), None).await.unwrap());
    }
    assert_eq!(code(mallory.prepare(long.clone(), None).await), Code::ResourceExhausted);
    kept.pop().unwrap().close().await.unwrap();
    mallory.prepare(long, None).await.unwrap();
}

#[tokio::test]
async fn parameters_that_are_small_on_the_wire_alone_are_refused_before_they_are_unpacked() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut statement = client.prepare("SELECT id FROM words WHERE id = $1".into(), None).await.unwrap();
    let nothing = |rows: usize| {
        let column: ArrayRef = Arc::new(NullArray::new(rows));
        RecordBatch::try_from_iter_with_nullable([("0", column, true)]).unwrap()
    };
    statement.set_parameters(nothing(1 << 40)).unwrap();
    assert_eq!(code(statement.execute().await), Code::ResourceExhausted);
    statement.set_parameters(nothing(1)).unwrap();
    assert_eq!(code(statement.execute().await), Code::Ok);
}

#[tokio::test]
async fn statements_of_clients_that_vanished_end_and_used_ones_do_not() {
    let mut settings = Settings::default();
    settings.prepared_idle_timeout = Duration::from_millis(600);
    settings.max_parameter_bytes_per_person = 10_000;
    let server = server_with(settings).await;
    // One token, and so one session, for both: it is never idle.
    let (mut gone, mut here) = (server.raw("alice").await, server.raw("alice").await);
    let sql = "SELECT id FROM words WHERE id = $1";
    let mut forgotten = gone.prepare(sql.into(), None).await.unwrap();
    forgotten.set_parameters(longs(900)).unwrap();
    forgotten.execute().await.unwrap();
    let mut used = here.prepare("SELECT 1".into(), None).await.unwrap();
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        used.execute().await.unwrap();
    }
    assert_eq!(code(forgotten.execute().await), Code::NotFound);
    // What was bound to it is given back.
    let mut next = here.prepare(sql.into(), None).await.unwrap();
    next.set_parameters(longs(900)).unwrap();
    next.execute().await.unwrap();
}

#[tokio::test]
async fn garbage_on_the_port_disturbs_nobody() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[0xff; 512], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"]
    {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        let _closed = tokio::time::timeout(Duration::from_secs(2), socket.read_to_end(&mut answer)).await;
        query(&mut client, "SELECT 1").await.unwrap();
    }
}
