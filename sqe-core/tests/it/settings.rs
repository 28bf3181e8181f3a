//! SET, RESET, SHOW and USE: a few settings, each within the operator's.

use std::time::Duration;

use rstest::rstest;
use sqe_core::{
    ErrorKind, Result, Session,
    engine::{Limits, Statement},
};

use crate::people::{Kind, World, text_rows, world, world_with};

async fn rows(session: &Session, sql: &str) -> Result<Vec<String>> {
    let batches = session.query(sql).await?.collect().await?;
    Ok(batches.iter().flat_map(text_rows).collect())
}

/// The value that SHOW shows.
async fn shown(session: &Session, setting: &str) -> String {
    let rows = rows(session, &format!("SHOW {setting}")).await.unwrap();
    rows[0].split('|').nth(1).unwrap().to_owned()
}

fn bounded() -> World {
    world_with(|builder| {
        let mut limits = Limits::default();
        limits.deadline = Duration::from_secs(60);
        let config = datafusion::prelude::SessionConfig::new().with_batch_size(1024).with_target_partitions(3);
        builder.limits(limits).session_config(config)
    })
}

#[rstest]
#[case::batch_size("batch_size", "1024", "SET batch_size = 128", "128")]
#[case::partitions("target_partitions", "3", "SET target_partitions TO '2'", "2")]
#[case::timeout("statement_timeout", "60s", "SET statement_timeout = '1500ms'", "1500ms")]
#[case::timeout_in_milliseconds("statement_timeout", "60s", "SET statement_timeout = 2000", "2s")]
#[case::zone("time_zone", "UTC", "SET TIME ZONE 'Europe/Amsterdam'", "Europe/Amsterdam")]
#[case::zone_by_its_other_name("timezone", "UTC", "SET timezone = '+02:00'", "+02:00")]
#[case::catalog("catalog", "lake", "SET catalog = other", "other")]
#[case::schema("schema", "app", "SET schema TO scratch", "scratch")]
#[case::used("schema", "app", "USE scratch", "scratch")]
#[case::used_in_full("catalog", "lake", "USE other.scratch", "other")]
#[case::folded("schema", "app", "SET SCHEMA = Scratch", "scratch")]
#[case::quoted("schema", "app", "SET schema = \"Scratch\"", "Scratch")]
#[tokio::test]
async fn a_setting_is_set_shown_and_set_back(
    #[case] setting: &str,
    #[case] began: &str,
    #[case] set: &str,
    #[case] then: &str,
) {
    let world = bounded();
    let session = world.session("alice").await;
    assert_eq!(shown(&session, setting).await, began);
    rows(&session, set).await.unwrap();
    assert_eq!(shown(&session, setting).await, then);
    rows(&session, &format!("RESET {setting}")).await.unwrap();
    assert_eq!(shown(&session, setting).await, began);
    rows(&session, set).await.unwrap();
    rows(&session, &format!("SET {setting} = DEFAULT")).await.unwrap();
    assert_eq!(shown(&session, setting).await, began);
    rows(&session, set).await.unwrap();
    assert_eq!(shown(&world.session("alice").await, setting).await, began, "another session of the same person");
    rows(&session, "RESET ALL").await.unwrap();
    assert_eq!(shown(&session, setting).await, began);
}

#[rstest]
#[case::larger_batches("SET batch_size = 1025")]
#[case::tiny_batches("SET batch_size = 1")]
#[case::more_partitions("SET target_partitions = 4")]
#[case::no_partitions("SET target_partitions = 0")]
#[case::words_for_numbers("SET target_partitions = many")]
#[case::longer_timeout("SET statement_timeout = '61s'")]
#[case::no_timeout("SET statement_timeout = 0")]
#[case::no_zone("SET time_zone = 'Mars/Olympus'")]
#[case::empty_name("SET schema = ''")]
#[case::control_characters("SET schema = 'a\u{7}b'")]
#[case::two_values("SET schema = 'a', 'b'")]
#[case::an_expression("SET batch_size = 64 + 64")]
#[case::true_for_a_name("SET schema = true")]
#[case::too_many_parts("USE a.b.c")]
#[tokio::test]
async fn values_that_a_setting_does_not_take_are_refused(#[case] sql: &str) {
    let session = bounded().session("alice").await;
    let before = rows(&session, "SHOW ALL").await.unwrap();
    let refused = rows(&session, sql).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    assert_eq!(rows(&session, "SHOW ALL").await.unwrap(), before);
}

#[rstest]
#[case("SET datafusion.optimizer.skip_failed_rules = true")]
#[case("SET datafusion.execution.batch_size = 1")]
#[case("SET datafusion.runtime.memory_limit = '1T'")]
#[case("SET information_schema = true")]
#[case("SET search_path = app")]
#[case("SET LOCAL schema = app")]
#[case("SET SESSION AUTHORIZATION root")]
#[case("SET ROLE root")]
#[case("SET NAMES utf8")]
#[case("SET TRANSACTION READ ONLY")]
#[case("SET (schema, catalog) = ('a', 'b')")]
#[case("RESET datafusion.execution.batch_size")]
#[case("SHOW datafusion.execution.batch_size")]
#[case("SHOW sqe_bounded")]
#[tokio::test]
async fn anything_else_is_refused_with_what_there_is(#[case] sql: &str) {
    let session = bounded().session("root").await;
    let refused = rows(&session, sql).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{sql}: {refused}");
    let all = "batch_size, catalog, schema, statement_timeout, target_partitions, time_zone";
    assert!(refused.message().contains(all), "{refused}");
}

#[tokio::test]
async fn all_that_is_shown_can_be_set() {
    let session = bounded().session("alice").await;
    let shown: Vec<String> = (rows(&session, "SHOW ALL").await.unwrap().iter())
        .map(|row| row.split('|').take(2).collect::<Vec<_>>().join("="))
        .collect();
    let expected = [
        "batch_size=1024",
        "catalog=lake",
        "schema=app",
        "statement_timeout=60s",
        "target_partitions=3",
        "time_zone=UTC",
    ];
    assert_eq!(shown, expected);
    let missing = rows(&session, "SELECT * FROM information_schema.df_settings").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_shorter_timeout_stops_a_statement_and_does_not_lock_anybody_in() {
    let world = bounded();
    let session = world.session("root").await;
    let long = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    rows(&session, "SET statement_timeout = '50ms'").await.unwrap();
    assert_eq!(rows(&session, long).await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    rows(&session, "SET statement_timeout = 1").await.unwrap();
    rows(&session, "RESET statement_timeout").await.unwrap();
    assert_eq!(rows(&session, "SELECT count(*) FROM people").await.unwrap(), ["6"]);
}

#[tokio::test]
async fn a_time_zone_is_that_of_times_without_one() {
    let session = world().session("alice").await;
    let noon =
        "SELECT TIMESTAMP WITH TIME ZONE '2024-07-01 12:00:00' = TIMESTAMP WITH TIME ZONE '2024-07-01 10:00:00Z'";
    assert_eq!(rows(&session, noon).await.unwrap(), ["false"]);
    rows(&session, "SET TIME ZONE 'Europe/Amsterdam'").await.unwrap();
    assert_eq!(rows(&session, noon).await.unwrap(), ["true"]);
    assert_eq!(rows(&session, "SELECT arrow_typeof(now())").await.unwrap(), ["Timestamp(ns, \"Europe/Amsterdam\")"]);
    rows(&session, "RESET TIME ZONE").await.unwrap();
    assert_eq!(rows(&session, noon).await.unwrap(), ["false"]);
}

#[rstest]
#[tokio::test]
async fn no_setting_shows_more_than_policy_does(
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
) {
    let world = bounded();
    world.rules.select("alice", "people", kind.decision());
    let session = world.session("alice").await;
    for set in ["SET batch_size = 64", "SET target_partitions = 1", "SET time_zone = '+05:30'", "USE lake.app"] {
        rows(&session, set).await.unwrap();
        let mut seen = rows(&session, "SELECT name FROM people").await.unwrap_or_default();
        seen.sort();
        assert_eq!(seen, kind.names(), "{set}");
    }
    rows(&session, "USE nosuch.app").await.unwrap();
    let hidden = rows(&session, "SELECT name FROM people").await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn settings_are_on_record_and_set_when_they_run() {
    let world = bounded();
    let session = world.session("alice").await;
    let planned = session.plan(Statement::new("SET batch_size = 128")).await.unwrap();
    assert_eq!(shown(&session, "batch_size").await, "1024");
    planned.run().await.unwrap();
    assert_eq!(shown(&session, "batch_size").await, "128");
    let statements: Vec<String> = world.trail.events.lock().iter().map(|event| event.query.statement.clone()).collect();
    assert!(statements.contains(&"SET batch_size = ?".to_owned()), "{statements:?}");
    *world.trail.full.lock() = true;
    assert_eq!(rows(&session, "SET batch_size = 256").await.unwrap_err().kind(), ErrorKind::Unavailable);
    *world.trail.full.lock() = false;
    assert_eq!(shown(&session, "batch_size").await, "128", "what is not on record does not happen");
}
