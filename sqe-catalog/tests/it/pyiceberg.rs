//! The engine and PyIceberg on one catalog file, in turns.
//!
//! Needs a Python with `pyiceberg[sql-sqlite,pyarrow]`, named by `SQE_TEST_PYTHON`. Without it this does nothing on a
//! developer's machine, and fails where `CI=true`.

use std::{path::Path, process::Command};

use serde_json::Value;
use sqe_core::{ErrorKind, Session};

use crate::world::{rows, session, sql_engine};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/shared_with_pyiceberg.py");

#[expect(clippy::disallowed_methods, reason = "tests find their tools by environment")]
fn python() -> Option<String> {
    let python = std::env::var("SQE_TEST_PYTHON").ok().filter(|path| !path.is_empty());
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(python.is_some() || !ci, "SQE_TEST_PYTHON must name a Python with PyIceberg");
    python
}

fn run(python: &str, step: &str, root: &Path) -> Value {
    let output = Command::new(python).arg(SCRIPT).arg(step).arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_engine_and_pyiceberg_share_a_catalog_in_turns() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let engine = sql_engine(&root).await;
    let alice = session(&engine, "alice").await;
    for statement in [
        "CREATE SCHEMA s",
        "CREATE TABLE plain (id BIGINT NOT NULL, name VARCHAR)",
        "INSERT INTO plain VALUES (1, 'ann'), (2, NULL)",
        "CREATE TABLE events PARTITIONED BY (day(at), bucket(3, id), truncate(5, name)) AS
         SELECT value AS id, 'row ' || value AS name,
           CASE WHEN value % 10 = 0 THEN NULL ELSE CAST(value AS DECIMAL(12, 2)) / 4 END AS price,
           CAST(to_timestamp_seconds(1704067200 + value * 780) AS TIMESTAMP(6)) AS at,
           CAST(value % 7 AS DOUBLE) AS ratio, value % 2 = 0 AS even, DATE '2023-12-31' AS day
         FROM generate_series(1, 600)",
        "CREATE TABLE nested AS SELECT 1 AS id, make_array(1, NULL, 3) AS list,
           named_struct('a', 7, 'b', make_array('x', 'y')) AS pair, MAP {'k': 5} AS map, X'00FF' AS bytes",
        "INSERT INTO events SELECT id + 1000, name, price, at, ratio, even, day FROM events WHERE id <= 5",
    ] {
        rows(&alice, statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }

    let read = run(&python, "read", &root);
    assert_eq!(read["namespaces"], serde_json::json!(["s"]));
    assert_eq!(read["owner"], "alice");
    assert_eq!(
        read["rows"]["s.plain"],
        serde_json::json!([r#"{"id": 1, "name": "ann"}"#, r#"{"id": 2, "name": null}"#])
    );
    assert_eq!(read["rows"]["s.events"].as_array().unwrap().len(), 605);
    let nested = r#"{"id": 1, "list": [1, null, 3], "pair": {"a": 7, "b": ["x", "y"]}, "map": [["k", 5]], "bytes": "b'\\x00\\xff'"}"#;
    assert_eq!(read["rows"]["s.nested"], serde_json::json!([nested]));
    assert_eq!(read["partitions"], 3 * 605);
    for (filter, sql) in [
        ("id == 77", "id = 77"),
        ("id < 10", "id < 10"),
        ("name == 'row 500'", "name = 'row 500'"),
        ("name > 'row 98'", "name > 'row 98'"),
        ("price is null", "price IS NULL"),
        ("at >= '2024-01-05T00:00:00'", "at >= TIMESTAMP '2024-01-05 00:00:00'"),
    ] {
        let ours = rows(&alice, &format!("SELECT count(*) FROM events WHERE {sql}")).await.unwrap();
        assert_eq!(ours, [read["filtered"][filter].to_string()], "{filter}");
        assert_ne!(ours, ["0"], "{filter}");
    }

    let change = run(&python, "change", &root);
    older_states(&alice, &change["snapshots"]).await;
    assert_eq!(rows(&alice, "SELECT * FROM plain").await.unwrap(), ["1|ann|NULL", "2|NULL|NULL", "3|from python|NULL"]);
    assert_eq!(rows(&alice, "SELECT title FROM plain WHERE id = 3").await.unwrap(), ["from python"]);
    assert_eq!(rows(&alice, "SELECT a, b FROM py.made").await.unwrap(), ["1|x", "2|NULL"]);
    rows(&alice, "INSERT INTO plain VALUES (4, 'again', 44)").await.unwrap();
    rows(&alice, "INSERT INTO py.made VALUES (3, 'ours')").await.unwrap();
    assert_eq!(rows(&alice, "SELECT b FROM py.made WHERE a = 3").await.unwrap(), ["ours"]);
    let read = run(&python, "read", &root);
    assert_eq!(read["rows"]["s.plain"].as_array().unwrap()[3], r#"{"id": 4, "title": "again", "extra": 44}"#);
}

/// Of a table of which PyIceberg renamed a column, dropped another, and added one of the dropped one's name.
async fn older_states(alice: &Session, snapshots: &Value) {
    let of = |at: usize, what: &str| snapshots[at][what].as_i64().unwrap();
    let (first, second) = (of(0, "id"), of(1, "id"));
    let one = ["1|ann|NULL", "2|NULL|NULL"];
    let two = ["1|ann|NULL", "2|NULL|NULL", "3|from python|NULL"];
    let time = |millis: i64| format!("to_timestamp_millis({millis})");
    for (version, expected) in [
        (format!("FOR VERSION AS OF {first}"), one.as_slice()),
        ("FOR VERSION AS OF 'first'".to_owned(), &one),
        (format!("FOR TIMESTAMP AS OF {}", time(of(0, "millis"))), &one),
        (format!("FOR TIMESTAMP AS OF {}", time(of(1, "millis") - 1)), &one),
        (format!("FOR VERSION AS OF {second}"), &two),
        ("FOR VERSION AS OF 'main'".to_owned(), &two),
        (format!("FOR TIMESTAMP AS OF {}", time(of(1, "millis"))), &two),
        ("FOR TIMESTAMP AS OF now()".to_owned(), &two),
    ] {
        let sql = format!("SELECT id, title, extra FROM plain {version}");
        assert_eq!(rows(alice, &sql).await.unwrap(), expected, "{sql}");
    }
    for (version, kind) in [
        (format!("FOR TIMESTAMP AS OF {}", time(of(0, "millis") - 1)), ErrorKind::NotFound),
        ("FOR VERSION AS OF 'last'".to_owned(), ErrorKind::NotFound),
        ("FOR VERSION AS OF 7".to_owned(), ErrorKind::NotFound),
    ] {
        let error = rows(alice, &format!("SELECT id FROM plain {version}")).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("plain has no"), "{error}");
    }
    let zone = "SET TIME ZONE '+05:00'";
    let millis = of(1, "millis");
    let local = format!("CAST(to_timestamp_millis({}) AS TIMESTAMP)", millis + 5 * 3_600_000);
    rows(alice, zone).await.unwrap();
    let sql = format!("SELECT count(*) FROM plain FOR TIMESTAMP AS OF {local}");
    assert_eq!(rows(alice, &sql).await.unwrap(), ["3"], "a time without a zone is one of the session's");
    rows(alice, "RESET TIME ZONE").await.unwrap();
}
