//! Older states of Iceberg tables: what newer states know must not answer for them.

use std::path::Path;

use sqe_core::ErrorKind;

use crate::world::{rows, session, sql_engine};

/// The snapshots of `s.t` in the order in which they were made.
fn snapshots(root: &Path) -> Vec<i64> {
    let files = std::fs::read_dir(root.join("wh/s/t/metadata")).unwrap().map(|file| file.unwrap().path());
    let newest = files.filter(|file| file.to_string_lossy().ends_with(".metadata.json")).max().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(newest).unwrap()).unwrap();
    let mut found: Vec<(i64, i64)> = (metadata["snapshots"].as_array().unwrap().iter())
        .map(|one| (one["sequence-number"].as_i64().unwrap(), one["snapshot-id"].as_i64().unwrap()))
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, id)| id).collect()
}

#[tokio::test]
async fn statistics_partitions_and_limits_are_those_of_the_state_that_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    for sql in [
        "CREATE SCHEMA s",
        "CREATE TABLE t (id BIGINT, k BIGINT, name VARCHAR) PARTITIONED BY (k, truncate(2, name))",
        "INSERT INTO t SELECT value, value % 2, 'a' || value FROM generate_series(1, 10)",
        "INSERT INTO t SELECT value, 2, 'b' || value FROM generate_series(11, 30)",
        "INSERT INTO t SELECT value, 0, NULL FROM generate_series(-5, 0)",
    ] {
        rows(&alice, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let states = snapshots(dir.path());
    assert_eq!(states.len(), 3);
    for (sql, expected) in [
        ("SELECT count(*) FROM {t}", ["10", "30", "36"]),
        ("SELECT min(id), max(id), count(name) FROM {t}", ["1|10|10", "1|30|30", "-5|30|30"]),
        ("SELECT count(*) FROM {t} WHERE k = 2", ["0", "20", "20"]),
        ("SELECT count(*) FROM {t} WHERE name IS NULL", ["0", "0", "6"]),
        ("SELECT count(*) FROM {t} WHERE name LIKE 'b%'", ["0", "20", "20"]),
        ("SELECT count(DISTINCT k) FROM {t}", ["2", "3", "3"]),
        ("SELECT id FROM {t} ORDER BY id DESC LIMIT 1", ["10", "30", "30"]),
        ("SELECT count(*) FROM (SELECT id FROM {t} LIMIT 33)", ["10", "30", "33"]),
        ("SELECT count(*) FROM t WHERE id NOT IN (SELECT id FROM {t})", ["26", "6", "0"]),
        ("SELECT count(*) FROM {t} AS old JOIN t ON old.k = t.k AND old.id = t.id", ["10", "30", "36"]),
    ] {
        for (state, expected) in states.iter().zip(expected) {
            let sql = sql.replace("{t}", &format!("t FOR VERSION AS OF {state}"));
            assert_eq!(rows(&alice, &sql).await.unwrap(), [expected], "{sql}");
        }
    }
}

#[tokio::test]
async fn views_of_states_stay_what_they_are_and_a_table_of_the_same_name_has_none_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    for sql in ["CREATE SCHEMA s", "CREATE TABLE t AS SELECT 1 AS id"] {
        rows(&alice, sql).await.unwrap();
    }
    let first = snapshots(dir.path())[0];
    for sql in [
        format!("CREATE VIEW v AS SELECT id FROM t FOR VERSION AS OF {first}"),
        "CREATE VIEW w AS SELECT id FROM t FOR VERSION AS OF 'main'".to_owned(),
        "INSERT INTO t VALUES (2)".to_owned(),
    ] {
        rows(&alice, &sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(rows(&alice, "SELECT id FROM v").await.unwrap(), ["1"]);
    assert_eq!(rows(&alice, "SELECT id FROM w").await.unwrap(), ["1", "2"]);
    for sql in ["DROP TABLE t", "CREATE TABLE t AS SELECT 3 AS id"] {
        rows(&alice, sql).await.unwrap();
    }
    assert_eq!(rows(&alice, "SELECT id FROM v").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rows(&alice, "SELECT id FROM w").await.unwrap(), ["3"]);
}
