use arrow::{array::AsArray as _, datatypes::Int64Type};
use sqe_core::{ErrorKind, engine::Statement};

use crate::world::{batches, data_files, rows, session, sql_engine};

#[tokio::test]
async fn tables_in_files_are_made_filled_queried_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    let create = "CREATE TABLE t (id BIGINT NOT NULL, name VARCHAR, price DECIMAL(10, 2), day DATE, at TIMESTAMP(6))";
    rows(&alice, create).await.unwrap();
    assert_eq!(rows(&alice, create).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(rows(&alice, "SELECT * FROM t").await.unwrap(), [""; 0]);
    let insert = "INSERT INTO t VALUES
        (1, 'ann', 1.50, DATE '2024-01-02', TIMESTAMP '2024-01-02 03:04:05.123456'), (2, NULL, NULL, NULL, NULL)";
    assert_eq!(rows(&alice, insert).await.unwrap(), ["2"]);
    assert_eq!(
        rows(&alice, "SELECT * FROM t").await.unwrap(),
        ["1|ann|1.50|2024-01-02|2024-01-02T03:04:05.123456", "2|NULL|NULL|NULL|NULL"]
    );
    assert_eq!(rows(&alice, "SELECT name FROM t WHERE price > 1").await.unwrap(), ["ann"]);
    let null = rows(&alice, "INSERT INTO t VALUES (NULL, 'x', NULL, NULL, NULL)").await.unwrap_err();
    assert_eq!(null.kind(), ErrorKind::InvalidInput, "{null}");
    assert_eq!(rows(&alice, "SELECT count(*) FROM t").await.unwrap(), ["2"]);
    assert_eq!(data_files(dir.path()), 1);
    rows(&alice, "DROP TABLE t").await.unwrap();
    assert_eq!(rows(&alice, "SELECT * FROM t").await.unwrap_err().kind(), ErrorKind::NotFound);
    rows(&alice, "DROP SCHEMA s").await.unwrap();
}

#[tokio::test]
async fn a_table_made_from_a_query_is_there_with_its_rows_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    let numbers = "SELECT value AS id, 'row ' || value AS name FROM generate_series(1, 1000)";
    rows(&alice, &format!("CREATE TABLE t PARTITIONED BY (bucket(4, id)) AS {numbers}")).await.unwrap();
    assert_eq!(rows(&alice, "SELECT count(*), min(id), max(name) FROM t").await.unwrap(), ["1000|1|row 999"]);
    assert_eq!(rows(&alice, "SELECT name FROM t WHERE id = 77").await.unwrap(), ["row 77"]);
    assert!(data_files(dir.path()) >= 4);
    let before = data_files(dir.path());
    let failing = "CREATE TABLE broken AS SELECT 10 / (id - 500) AS x FROM t";
    assert!(rows(&alice, failing).await.is_err());
    assert_eq!(rows(&alice, "SELECT * FROM broken").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(data_files(dir.path()), before);
}

/// Field ids inside of nested types make the scan's orders unusable above it.
#[tokio::test]
async fn tables_of_several_files_with_nested_columns_are_sorted_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    let part = |from: i64| {
        format!("SELECT (value * 7919 + {from}) % 1009 AS id, make_array(value) AS list FROM generate_series(1, 200)")
    };
    rows(&alice, &format!("CREATE TABLE t AS {}", part(0))).await.unwrap();
    for from in 1..6 {
        rows(&alice, &format!("INSERT INTO t {}", part(from))).await.unwrap();
    }
    let ids = async |sql: &str| -> Vec<i64> {
        let batches = batches(&alice, sql).await.unwrap();
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    };
    let mut sorted = ids("SELECT id FROM t").await;
    assert_eq!(sorted.len(), 1_200);
    sorted.sort_unstable();
    assert_eq!(ids("SELECT id, list FROM t ORDER BY id").await, sorted);
    assert_eq!(ids("SELECT id, list FROM t ORDER BY id LIMIT 50").await, sorted[..50]);
    assert_eq!(ids("SELECT id, row_number() OVER (ORDER BY id), list FROM t ORDER BY 2").await, sorted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_engines_inserting_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engines = [sql_engine(dir.path()).await, sql_engine(dir.path()).await];
    let alice = session(&engines[0], "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    rows(&alice, "CREATE TABLE t (id BIGINT)").await.unwrap();
    let tasks = (0..8).map(|task| {
        let engine = engines[task % 2].clone();
        tokio::spawn(async move {
            let person = session(&engine, "alice").await;
            rows(&person, &format!("INSERT INTO t VALUES ({task}), ({})", task + 100)).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap().unwrap(), ["2"]);
    }
    assert_eq!(rows(&alice, "SELECT count(*), count(DISTINCT id) FROM t").await.unwrap(), ["16|16"]);
}

#[tokio::test]
async fn properties_of_the_engine_cannot_be_claimed_and_others_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    for key in ["sqe.owner.subject", "write.data.path"] {
        let claim = format!("CREATE TABLE t (id BIGINT) WITH (\"{key}\" = 'file:///x')");
        assert_eq!(rows(&alice, &claim).await.unwrap_err().kind(), ErrorKind::PermissionDenied, "{key}");
    }
    rows(&alice, "CREATE TABLE t (id BIGINT) WITH (\"write.parquet.compression-codec\" = 'snappy')").await.unwrap();
    assert_eq!(rows(&alice, "INSERT INTO t VALUES (1)").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn nested_columns_are_read_whole_and_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    let create =
        "CREATE TABLE t AS SELECT 1 AS id, make_array(1, NULL, 3) AS list, named_struct('a', 7, 'b', 'x') AS pair";
    rows(&alice, create).await.unwrap();
    assert_eq!(rows(&alice, "SELECT * FROM t").await.unwrap(), ["1|[1, NULL, 3]|{a: 7, b: x}"]);
    assert_eq!(rows(&alice, "SELECT list[3], pair['a'] FROM t WHERE list[1] = 1").await.unwrap(), ["3|7"]);
}

#[tokio::test]
async fn types_that_nest_too_deep_to_be_loaded_again_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    let create = |levels: usize| format!("CREATE TABLE deep{levels} (a INT{})", "[]".repeat(levels));
    for levels in [33, 150, 499, 100_000] {
        let refused = rows(&alice, &create(levels)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{levels}: {refused}");
    }
    let cast = format!("CREATE TABLE deep AS SELECT CAST(NULL AS INT{}) AS a", "[]".repeat(40));
    assert_eq!(rows(&alice, &cast).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    rows(&alice, &create(32)).await.unwrap();
    assert_eq!(rows(&alice, "SELECT * FROM deep32").await.unwrap(), [""; 0]);
    assert_eq!(rows(&alice, "SHOW TABLES").await.unwrap(), ["lake|s|deep32|BASE TABLE"]);
}

#[tokio::test]
async fn a_broken_table_hides_no_other_and_an_outage_is_no_empty_list() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    for sql in ["CREATE SCHEMA s", "CREATE TABLE broken (id BIGINT)", "CREATE TABLE whole AS SELECT 7 AS id"] {
        rows(&alice, sql).await.unwrap();
    }
    let metadata = dir.path().join("wh/s/broken/metadata");
    let file = std::fs::read_dir(&metadata).unwrap().next().unwrap().unwrap().path();
    let content = std::fs::read(&file).unwrap();
    for damage in [&content[..content.len() / 2], b"{}", br#"{"format-version": 99}"#] {
        std::fs::write(&file, damage).unwrap();
        assert_eq!(rows(&alice, "SHOW TABLES").await.unwrap(), ["lake|s|whole|BASE TABLE"]);
        assert_eq!(rows(&alice, "SELECT id FROM whole").await.unwrap(), ["7"]);
        let broken = rows(&alice, "SELECT * FROM broken").await.unwrap_err();
        assert!(matches!(broken.kind(), ErrorKind::Internal | ErrorKind::Unsupported), "{broken}");
    }
    std::fs::write(&file, &content).unwrap();
    assert_eq!(rows(&alice, "SHOW TABLES").await.unwrap().len(), 2);

    let (here, away) = (dir.path().join("wh"), dir.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    for sql in ["SHOW TABLES", "SELECT * FROM information_schema.columns", "SELECT id FROM whole"] {
        assert_eq!(rows(&alice, sql).await.unwrap_err().kind(), ErrorKind::Unavailable, "{sql}");
    }
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(rows(&alice, "SHOW TABLES").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_drop_takes_the_table_that_policy_decided_about() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let (alice, bob) = (session(&engine, "alice").await, session(&engine, "bob").await);
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    rows(&alice, "CREATE TABLE t (id BIGINT)").await.unwrap();
    let late = alice.plan(Statement::new("DROP TABLE t")).await.unwrap();
    rows(&bob, "DROP TABLE t").await.unwrap();
    rows(&bob, "CREATE TABLE t AS SELECT 'bobs' AS whose").await.unwrap();
    assert_eq!(late.run().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(rows(&alice, "SELECT whose FROM t").await.unwrap(), ["bobs"]);
    // A commit in between does not make it another table.
    let late = alice.plan(Statement::new("DROP TABLE t")).await.unwrap();
    rows(&bob, "INSERT INTO t VALUES ('again')").await.unwrap();
    late.run().await.unwrap();
    assert_eq!(rows(&alice, "SELECT whose FROM t").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn views_outlive_the_engine_and_are_metadata_of_the_format() {
    let dir = tempfile::tempdir().unwrap();
    {
        let engine = sql_engine(dir.path()).await;
        let alice = session(&engine, "alice").await;
        for sql in [
            "CREATE SCHEMA s",
            "CREATE SCHEMA \"a.b\"",
            "CREATE TABLE t AS SELECT 1 AS id, 'ann' AS name",
            "CREATE VIEW v AS SELECT name AS who, id FROM t",
            "CREATE VIEW \"a.b\".\"The View\" (\"Who?\") AS SELECT who FROM v",
            "CREATE OR REPLACE VIEW v AS SELECT upper(name) AS who FROM t",
        ] {
            rows(&alice, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
    let engine = sql_engine(dir.path()).await;
    let bob = session(&engine, "bob").await;
    assert_eq!(rows(&bob, "SELECT \"Who?\" FROM \"a.b\".\"The View\"").await.unwrap(), ["ANN"]);
    let files: Vec<_> = std::fs::read_dir(dir.path().join("wh/s/v/metadata")).unwrap().collect();
    assert_eq!(files.len(), 2, "one a version");
    let newest = files.into_iter().map(|file| file.unwrap().path()).max().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&std::fs::read(&newest).unwrap()).unwrap();
    assert_eq!(metadata["format-version"], 1);
    assert_eq!(metadata["versions"].as_array().unwrap().len(), 2);
    let current = &metadata["current-version-id"];
    let version = metadata["versions"].as_array().unwrap().iter().find(|it| it["version-id"] == *current).unwrap();
    assert_eq!(version["representations"][0]["sql"], "SELECT upper(name) AS who FROM t");
    assert_eq!(version["default-namespace"], serde_json::json!(["s"]));
    // A file that cannot be read is neither an empty view nor a missing one.
    std::fs::write(&newest, "{").unwrap();
    let error = rows(&bob, "SELECT * FROM v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    std::fs::remove_file(&newest).unwrap();
    assert_eq!(rows(&bob, "SELECT * FROM v").await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(rows(&bob, "SELECT id FROM t").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn of_people_who_replace_a_view_at_once_none_is_lost_without_being_told() {
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    for sql in ["CREATE SCHEMA s", "CREATE VIEW v AS SELECT -1 AS a"] {
        rows(&alice, sql).await.unwrap();
    }
    let replace = (0..8).map(|at| {
        let session = alice.clone();
        async move { rows(&session, &format!("CREATE OR REPLACE VIEW v AS SELECT {at} AS a")).await }
    });
    let ended = futures::future::join_all(replace).await;
    let made = ended.iter().filter(|one| one.is_ok()).count();
    assert!(made >= 1);
    assert!(
        ended.iter().filter_map(|one| one.as_ref().err()).all(|error| error.kind() == ErrorKind::Conflict),
        "{ended:?}"
    );
    let files: Vec<_> = std::fs::read_dir(dir.path().join("wh/s/v/metadata")).unwrap().collect();
    assert_eq!(files.len(), made + 1, "those that lost left nothing");
    let left = rows(&alice, "SELECT a FROM v").await.unwrap();
    assert_ne!(left, ["-1"]);
}
