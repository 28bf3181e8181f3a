//! What plans and measurements over real files could tell about hidden rows.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionStateBuilder},
    physical_plan::ExecutionPlan,
};
use parking_lot::Mutex;
use sqe_core::{
    Engine, ErrorKind, Result, Session,
    engine::EngineBuilder,
    scheduler::{Job, LocalScheduler, Scheduler},
};

use crate::{
    governed::{Rule, config, governed_engine, only},
    world::{data_files, rows, session, timeless},
};

/// Runs here, and keeps the last plan.
#[derive(Debug, Clone, Default)]
struct Keeper(Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>);

#[async_trait]
impl Scheduler for Keeper {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        LocalScheduler.configure(builder)
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        *self.0.lock() = Some(Arc::clone(&*job.plan));
        LocalScheduler.execute(job).await
    }
}

impl Keeper {
    /// How many rows the scan of the last plan gave.
    fn scanned(&self) -> usize {
        fn leaves(plan: &Arc<dyn ExecutionPlan>) -> usize {
            let children = plan.children();
            if children.is_empty() {
                return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0);
            }
            children.into_iter().map(leaves).sum()
        }
        leaves(self.0.lock().as_ref().unwrap())
    }
}

/// `t(k, seg)` of two files: 1 to 10 and 20 to 30, of which the last file has a hidden row with k = 5000.
async fn two_files(dir: &Path, pushdown: bool, change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Engine {
    let rule = Rule::default();
    rule.set(only(2, "A"));
    let engine = governed_engine(dir, &rule, config(4, 8192, pushdown), change).await;
    let root = session(&engine, "root").await;
    for sql in [
        "CREATE SCHEMA s",
        "CREATE TABLE t (k BIGINT NOT NULL, seg VARCHAR)",
        "INSERT INTO t SELECT value, 'A' FROM generate_series(1, 10)",
        "INSERT INTO t SELECT value, 'A' FROM generate_series(20, 30) UNION ALL SELECT 5000, 'B' ORDER BY 1",
    ] {
        rows(&root, sql).await.unwrap();
    }
    assert_eq!(data_files(dir), 2);
    engine
}

/// The plan without the one number that differs, and without times.
async fn shown(session: &Session, explain: &str, condition: &str, number: &str) -> String {
    let sql = format!("{explain} SELECT k FROM t WHERE {}", condition.replace('#', number));
    let text = rows(session, &sql).await.unwrap().join("\n");
    timeless(&text.replace(number, "#"))
}

#[tokio::test]
async fn plans_and_measured_rows_do_not_follow_the_bounds_of_hidden_rows() {
    for pushdown in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let engine = two_files(dir.path(), pushdown, |builder| builder).await;
        let (alice, root) = (session(&engine, "alice").await, session(&engine, "root").await);
        for condition in ["k < 11 OR k > #", "k > #", "k >= # OR k = 3", "k IN (3, #)", "k NOT BETWEEN 11 AND #"] {
            for explain in ["EXPLAIN", "EXPLAIN ANALYZE"] {
                // With 4999 the hidden row is within its file's bounds, with 5001 it is not.
                let one = shown(&alice, explain, condition, "4999").await;
                assert_eq!(one, shown(&alice, explain, condition, "5001").await, "{explain} {condition}");
                assert!(one.contains("SecurityBarrierExec"), "{one}");
            }
        }
        let condition = "k < 11 OR k > #";
        let (open, other) =
            (shown(&root, "EXPLAIN", condition, "4999").await, shown(&root, "EXPLAIN", condition, "5001").await);
        assert_ne!(open, other, "the control must differ, or the test shows nothing");
    }
}

#[tokio::test]
async fn above_a_barrier_only_rows_and_times_are_measured() {
    let dir = tempfile::tempdir().unwrap();
    let engine = two_files(dir.path(), false, |builder| builder).await;
    let sql = "EXPLAIN ANALYZE SELECT seg, count(*) FROM t WHERE k > 3 GROUP BY seg";
    let measured = |text: &str| -> Vec<String> {
        let lists = text.split("metrics=[").skip(1).filter_map(|rest| rest.split(']').next());
        let names = lists.flat_map(|list| list.split(", ")).filter_map(|part| part.split('=').next());
        names.map(str::to_owned).collect()
    };
    let text = rows(&session(&engine, "alice").await, sql).await.unwrap().join("\n");
    let names = measured(&text);
    assert!(names.iter().any(|name| name == "output_rows"), "{text}");
    assert!(names.iter().all(|name| ["output_rows", "elapsed_compute"].contains(&name.as_str())), "{text}");
    let text = rows(&session(&engine, "root").await, sql).await.unwrap().join("\n");
    assert!(measured(&text).iter().any(|name| name == "output_batches"), "{text}");
}

/// A condition that fails is the person's mistake, wherever it is evaluated.
#[tokio::test]
async fn a_condition_that_fails_while_decoding_is_told_as_one_that_fails_later() {
    for pushdown in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let engine = two_files(dir.path(), pushdown, |builder| builder).await;
        let root = session(&engine, "root").await;
        for (condition, words) in [("10 / (k - 4) > 1", "division by zero"), ("CAST(seg AS INT) = 1", "cast")] {
            let error = rows(&root, &format!("SELECT k FROM t WHERE {condition}")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{pushdown} {condition}: {error}");
            assert!(error.message().to_lowercase().contains(words), "{pushdown} {condition}: {error}");
        }
        assert_eq!(rows(&root, "SELECT k FROM t WHERE 10 / (k - 400) >= 1").await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn predicates_still_prune_files_below_the_barrier_while_the_plan_runs() {
    for pushdown in [false, true] {
        let (dir, keeper) = (tempfile::tempdir().unwrap(), Keeper::default());
        let engine = two_files(dir.path(), pushdown, |builder| builder.scheduler(keeper.clone())).await;
        let alice = session(&engine, "alice").await;
        assert_eq!(rows(&alice, "SELECT count(*) FROM t").await.unwrap(), ["21"]);
        let all = keeper.scanned();
        assert_eq!(all, if pushdown { 21 } else { 22 }, "the policy's filter is part of the scan where it may be");
        for (condition, visible, file) in [("k < 8", 7, 10), ("k > 28", 2, 12), ("k > 28 AND seg LIKE 'A%'", 2, 12)] {
            let sql = format!("SELECT count(*) FROM t WHERE {condition}");
            assert_eq!(rows(&alice, &sql).await.unwrap(), [visible.to_string()]);
            assert_eq!(keeper.scanned(), if pushdown { visible } else { file }, "{condition}");
        }
        let join = "SELECT count(*) FROM t JOIN (VALUES (25), (26)) v(k) ON t.k = v.k";
        assert_eq!(rows(&alice, join).await.unwrap(), ["2"]);
        assert!(keeper.scanned() <= 2 + 12, "what a join learns prunes too: {}", keeper.scanned());
    }
}

/// A comparison with a hidden row cannot be seen in whether a visible row was looked at.
#[tokio::test]
async fn errors_do_not_tell_whether_a_file_was_pruned_by_a_hidden_row() {
    for pushdown in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let engine = two_files(dir.path(), pushdown, |builder| builder).await;
        let alice = session(&engine, "alice").await;
        for number in ["4999", "5001"] {
            // 25 is visible, in the file of the hidden row, and fails if it is looked at.
            let sql = format!("SELECT k FROM t WHERE (k < 11 OR k > {number}) AND 1 / (k - 25) < 1");
            assert_eq!(rows(&alice, &sql).await.unwrap().len(), 10, "{sql}");
        }
        assert!(rows(&alice, "SELECT k FROM t WHERE k < 30 AND 1 / (k - 25) < 1").await.is_err());
    }
}
