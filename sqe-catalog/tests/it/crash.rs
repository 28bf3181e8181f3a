//! A process that is killed in the middle of an INSERT: the table is as it was or as it was to be, never between.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::world::{rows, session, sql_engine};

/// Set for the copy of this test that inserts until it is killed.
const VICTIM: &str = "SQE_CATALOG_TEST_VICTIM";
const ROWS: u64 = 20_000;

async fn insert_for_ever(root: &Path) {
    let engine = sql_engine(root).await;
    let alice = session(&engine, "alice").await;
    loop {
        let rows = rows(&alice, &format!("INSERT INTO t SELECT value FROM generate_series(1, {ROWS})")).await;
        assert_eq!(rows.unwrap(), [ROWS.to_string()]);
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the test is its own child")]
async fn a_killed_insert_leaves_the_old_table_or_the_new_one() {
    if let Some(root) = std::env::var_os(VICTIM) {
        insert_for_ever(Path::new(&root)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let engine = sql_engine(dir.path()).await;
    let alice = session(&engine, "alice").await;
    rows(&alice, "CREATE SCHEMA s").await.unwrap();
    rows(&alice, "CREATE TABLE t (id BIGINT)").await.unwrap();
    let mut inserted = 0;
    for round in 0..6 {
        let name = "crash::a_killed_insert_leaves_the_old_table_or_the_new_one";
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Long enough for some statements, and at another point of one each time.
        tokio::time::sleep(Duration::from_millis(900 + 37 * round)).await;
        assert!(victim.try_wait().unwrap().is_none(), "the process ended by itself");
        victim.kill().unwrap();
        victim.wait().unwrap();
        let counted = rows(&alice, "SELECT count(*), sum(id) FROM t").await.unwrap();
        let (count, sum) = counted[0].split_once('|').unwrap();
        let count: u64 = count.parse().unwrap();
        assert!(count >= inserted && count.is_multiple_of(ROWS), "{counted:?}");
        let times = count / ROWS;
        assert!(times == 0 || sum == (times * ROWS * (ROWS + 1) / 2).to_string(), "{counted:?}");
        inserted = count;
    }
    assert!(inserted > 0, "no statement came to its end");
    assert_eq!(rows(&alice, "INSERT INTO t VALUES (1)").await.unwrap(), ["1"]);
}
