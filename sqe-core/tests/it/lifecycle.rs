//! Sessions, audit, deadlines, cancellation, caps.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{ColumnarValue, Volatility, create_udf},
};
use futures::StreamExt;
use sqe_core::{
    Credentials, Decision, ErrorKind, Secret,
    audit::{EventKind, Outcome},
    engine::{Limits, SessionOptions, Statement},
};

use crate::people::{analyst, world, world_with};

const SLOW: &str = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8";

#[tokio::test]
async fn nobody_gets_in_without_credentials_that_some_provider_accepts() {
    let world = world();
    for credentials in [
        Credentials::Bearer(Secret::new("expired")),
        Credentials::Basic { username: "root".into(), password: Secret::new("root") },
    ] {
        let error = world.engine.session(&credentials, SessionOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(world.session("root").await.identity().principal.subject, "root");
}

#[tokio::test]
async fn the_trail_holds_the_intent_before_the_first_row_and_the_effect_before_the_end() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    let mut stream = world.session("alice").await.query("SELECT name, phone FROM people WHERE id > 0").await.unwrap();
    {
        let events = world.trail.events.lock();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].kind, EventKind::Intent);
        assert_eq!(events[0].query.principal.subject, "alice");
        assert_eq!(events[0].query.statement, "SELECT name, phone FROM people WHERE id > ?");
        let access = &events[0].tables[0];
        assert_eq!(access.verdict.as_str(), "restricted");
        assert_eq!(access.policies, ["rule"]);
        let mut columns: Vec<_> = access.columns.iter().map(|c| (c.name.as_str(), c.masked, c.policy_only)).collect();
        columns.sort_unstable();
        let expected = [("id", false, false), ("name", false, false), ("phone", true, false), ("segment", false, true)];
        assert_eq!(columns, expected);
    }
    while let Some(batch) = stream.next().await {
        batch.unwrap();
    }
    let events = world.trail.events.lock();
    let EventKind::Effect(effect) = &events[1].kind else { panic!("no effect") };
    assert_eq!((&effect.outcome, effect.rows), (&Outcome::Completed, 3));
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_refuses_queries_and_ends_streams_with_an_error() {
    let world = world();
    *world.trail.full.lock() = true;
    let session = world.session("root").await;
    assert_eq!(session.query("SELECT * FROM people").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.query("SELECT * FROM nothing").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.query("INSERT INTO orders VALUES (9, 9, 1)").await.unwrap_err().kind(), ErrorKind::Unavailable);
    *world.trail.full.lock() = false;
    assert_eq!(world.rows("root", "SELECT count(*) FROM orders").await.unwrap(), ["5"], "nothing was inserted");
    let stream = session.query("SELECT * FROM people").await.unwrap();
    *world.trail.full.lock() = true;
    assert_eq!(stream.collect().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stream_is_cancelled_and_told_to_the_trail() {
    let world = world();
    let stream = world.session("root").await.query(SLOW).await.unwrap();
    drop(stream);
    for _ in 0..200 {
        if world.trail.events.lock().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let events = world.trail.events.lock();
    let EventKind::Effect(effect) = &events[1].kind else { panic!("no effect") };
    assert_eq!(effect.outcome, Outcome::Cancelled);
}

/// Constants are computed while a statement is planned.
#[tokio::test]
async fn a_statement_on_which_planning_panics_is_on_record() {
    let number = |args: &[ColumnarValue]| match &args[0] {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(13))) => panic!("of this test"),
        other => Ok(other.clone()),
    };
    let number = create_udf("number", vec![DataType::Int64], DataType::Int64, Volatility::Immutable, Arc::new(number));
    let world = world_with(|builder| builder.function(number));
    assert_eq!(world.rows("root", "SELECT number(12)").await.unwrap(), ["12"]);
    let before = world.trail.events.lock().len();
    let error = world.rows("root", "SELECT number(13)").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(!error.message().contains("of this test"), "{error}");
    let events = world.trail.events.lock().split_off(before);
    assert_eq!(events.len(), 1);
    assert!(matches!(events[0].kind, EventKind::Refused(_)), "{:?}", events[0].kind);
    assert_eq!(world.rows("root", "SELECT number(12)").await.unwrap(), ["12"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_and_a_closed_session_stop_a_running_statement() {
    let world = world_with(|builder| {
        let mut limits = Limits::default();
        limits.deadline = Duration::from_millis(300);
        builder.limits(limits)
    });
    let error = world.rows("root", SLOW).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(world.rows("root", "SELECT 1").await.unwrap(), ["1"]);

    let world = crate::people::world();
    let session = world.session("root").await;
    let stream = session.query(SLOW).await.unwrap();
    let running = tokio::spawn(stream.collect());
    tokio::time::sleep(Duration::from_millis(50)).await;
    session.close();
    assert_eq!(running.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(session.query("SELECT 1").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_session_is_closed_is_told_so_and_whether_the_engine_is_shutting_down() {
    for drains in [false, true] {
        let world = world();
        let session = world.session("root").await;
        let stream = session.query(SLOW).await.unwrap();
        if drains {
            world.engine.drain();
        }
        session.close();
        let error = stream.collect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(error.message().contains("session was closed"), "{error}");
        assert_eq!(error.message().contains("shutting down"), drains, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_on_one_person_leaves_room_for_another() {
    let world = world_with(|builder| {
        let mut limits = Limits::default();
        limits.concurrent_per_person = 1;
        limits.queue = Duration::from_millis(50);
        builder.limits(limits)
    });
    let held = world.session("root").await.query(SLOW).await.unwrap();
    assert_eq!(world.rows("root", "SELECT 1").await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    assert_eq!(world.rows("bob", "SELECT 1").await.unwrap(), ["1"]);
    drop(held);
    for _ in 0..100 {
        if world.rows("root", "SELECT 1").await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the slot was not given back");
}

#[tokio::test]
async fn a_policy_change_holds_from_the_next_statement_on() {
    let world = world();
    let session = world.session("alice").await;
    world.rules.select("alice", "people", Decision::permit());
    session.query("SELECT * FROM people").await.unwrap().collect().await.unwrap();
    world.rules.select("alice", "people", Decision::deny());
    assert_eq!(session.query("SELECT * FROM people").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn statements_of_every_length_get_an_answer() {
    let world = world();
    let session = world.session("root").await;
    let long = format!("SELECT 1 -- {}", "x".repeat(10 << 20));
    assert_eq!(session.plan(Statement::new(long)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert_eq!(session.plan(Statement::new(deep)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    for link in ["+", " OR 1 = ", " UNION SELECT "] {
        let endless = format!("SELECT {}", vec!["1"; 100_000].join(link));
        assert_eq!(session.plan(Statement::new(endless)).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{link}");
    }
    let sum = format!("SELECT sum(id{}) FROM orders", "+id".repeat(450));
    assert_eq!(world.rows("root", &sum).await.unwrap(), [(15 * 451).to_string()]);
    let any = format!("SELECT count(*) FROM orders WHERE id = 1{}", " OR id + 1 = 3".repeat(150));
    assert_eq!(world.rows("root", &any).await.unwrap(), ["2"]);
}

#[tokio::test]
async fn two_engines_in_one_process_share_nothing() {
    let (one, two) = (world(), world());
    one.rules.select("alice", "people", Decision::permit());
    assert_eq!(one.rows("alice", "SELECT count(*) FROM people").await.unwrap(), ["6"]);
    assert_eq!(two.rows("alice", "SELECT count(*) FROM people").await.unwrap_err().kind(), ErrorKind::NotFound);
    one.rows("root", "INSERT INTO orders VALUES (9, 9, 1)").await.unwrap();
    assert_eq!(two.rows("root", "SELECT count(*) FROM orders").await.unwrap(), ["5"]);
    assert!(two.trail.events.lock().iter().all(
        |event| event.query.statement != "SELECT count(*) FROM people" || event.query.principal.subject == "alice"
    ));
}

/// A program that runs a hundred statements at once must not need a hundred times a planner's stack.
#[tokio::test]
async fn a_statement_under_way_takes_little_room_where_it_is_awaited() {
    let world = world();
    let session = world.session("root").await;
    let query = session.query("SELECT 1");
    assert!(size_of_val(&query) < 4096, "{} bytes", size_of_val(&query));
    assert_eq!(query.await.unwrap().collect().await.unwrap()[0].num_rows(), 1);
    let planned = session.plan(Statement::new("SELECT 1")).await.unwrap();
    assert!(size_of_val(&planned) < 4096, "{} bytes", size_of_val(&planned));
}

#[tokio::test]
async fn a_drop_that_was_decided_about_one_table_does_not_take_another_of_its_name() {
    let world = world();
    world.rows("alice", "CREATE TABLE scratch.mine AS SELECT 1 AS a").await.unwrap();
    let late = world.session("alice").await.plan(Statement::new("DROP TABLE scratch.mine")).await.unwrap();
    world.rows("alice", "DROP TABLE scratch.mine").await.unwrap();
    world.rows("bob", "CREATE TABLE scratch.mine AS SELECT 2 AS a").await.unwrap();
    assert_eq!(late.run().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(world.rows("bob", "SELECT a FROM scratch.mine").await.unwrap(), ["2"]);
    let refused = world.rows("alice", "DROP TABLE scratch.mine").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    world.rows("bob", "DROP TABLE scratch.mine").await.unwrap();
}
