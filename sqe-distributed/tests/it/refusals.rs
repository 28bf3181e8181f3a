//! What workers refuse, what never reaches them, and what stops: each beside what is permitted.

use std::{error::Error as _, time::Duration};

use futures::StreamExt;
use rstest::rstest;
use sqe_core::{Error, ErrorKind, Secret};

use crate::{
    cluster::{Cluster, Ran},
    world::{Lake, grant_key, rows, session},
};

const SCAN: &str = "SELECT id, name, phone FROM people";

/// An error with all that it was caused by: what its text says to operators.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        text.push_str(&format!(": {found}"));
        cause = found.source();
    }
    text
}

async fn asked(lake: &Lake, cluster: &Cluster, person: &str, sql: &str) -> sqe_core::Result<Vec<String>> {
    rows(&session(&lake.over(cluster.clone()), person).await, sql).await
}

/// The worker's keys, or the order of its codecs, are not the coordinator's.
#[rstest]
#[case::grant_key("x", "the mask key of this test", false, "its seal is not that of this engine's keys")]
#[case::mask_key("k", "another mask key", false, "its seal is not that of this engine's keys")]
#[case::order("k", "the mask key of this test", true, "")]
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_other_keys_or_codecs_refuses_the_plan(
    #[case] grant: &str,
    #[case] mask: &str,
    #[case] turned: bool,
    #[case] said: &str,
) {
    let lake = Lake::filled().await;
    let mut other = lake.codecs(&grant_key(grant), Secret::new(mask));
    if turned {
        other.reverse();
    }
    let (same, other) = (Cluster::start(lake.fitting()).await, Cluster::start(other).await);
    for (person, visible) in [("auditor", 3000), ("analyst", 1000)] {
        assert_eq!(asked(&lake, &same, person, SCAN).await.unwrap().len(), visible);
        let error = asked(&lake, &other, person, SCAN).await.unwrap_err();
        assert!(whole(&error).contains(said), "{person}: {}", whole(&error));
        assert!(other.ran().iter().all(|ran| ran.distributed));
        assert!(other.work().iter().all(|(rows, _)| *rows == 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_reads_nothing_without_the_querys_lease() {
    let lake = Lake::filled().await;
    let (lent, not_lent) = (Cluster::start(lake.fitting()).await, Cluster::without_leases(lake.fitting()).await);
    for person in ["auditor", "analyst"] {
        assert!(asked(&lake, &lent, person, SCAN).await.is_ok());
        let error = asked(&lake, &not_lent, person, SCAN).await.unwrap_err();
        assert!(whole(&error).contains("holds no lease"), "{person}: {}", whole(&error));
        assert!(not_lent.work().iter().all(|(rows, _)| *rows == 0));
    }
    // A lease ends with its query.
    assert_eq!(lent.leases(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_masks_are_applied_where_the_files_are_read() {
    let lake = Lake::filled().await;
    let cluster = Cluster::start(lake.fitting()).await;
    for (person, there, elsewhere) in
        [("auditor", "GrantedScanExec", "SecurityBarrierExec"), ("analyst", "SecurityBarrierExec", "GrantedScanExec")]
    {
        let found = asked(&lake, &cluster, person, SCAN).await.unwrap();
        let open = found.iter().filter(|row| row.contains("person")).count();
        assert_eq!(open, if person == "auditor" { 3000 } else { 0 });
        for (rows, nodes) in cluster.work() {
            assert!(rows > 0);
            let has = |name: &str| nodes.iter().any(|node| node == name);
            assert!(has(there) && !has(elsewhere), "{person}: {nodes:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_is_refused_before_anything_is_sent() {
    let lake = Lake::filled().await;
    let cluster = Cluster::start(lake.fitting()).await;
    for (sql, kind) in [
        ("SELECT id FROM secrets WHERE id > 0", ErrorKind::NotFound),
        ("SELECT id, salary FROM people", ErrorKind::InvalidInput),
        ("SELECT id FROM people WHERE salary > 100", ErrorKind::InvalidInput),
    ] {
        assert!(!asked(&lake, &cluster, "auditor", sql).await.unwrap().is_empty());
        assert_eq!(cluster.ran().len(), 1);
        assert_eq!(asked(&lake, &cluster, "analyst", sql).await.unwrap_err().kind(), kind, "{sql}");
        assert_eq!(cluster.ran(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_over_rows_in_memory_stays_here_and_answers() {
    let lake = Lake::filled().await;
    let cluster = Cluster::start(lake.fitting()).await;
    let here = Ran { distributed: false, boundaries: 0, codecs: 0 };
    for (sql, expected) in [
        ("SELECT id FROM memory.m.chosen", 50),
        ("SELECT p.id FROM people p JOIN memory.m.chosen c ON c.id = p.id", 50),
        ("SELECT id FROM people UNION ALL SELECT id FROM memory.m.chosen", 3050),
    ] {
        assert_eq!(asked(&lake, &cluster, "auditor", sql).await.unwrap().len(), expected, "{sql}");
        assert_eq!(cluster.ran(), [here], "{sql}");
    }
    assert!(cluster.work().iter().all(|(rows, nodes)| *rows == 0 && nodes.is_empty()));
    assert_eq!(asked(&lake, &cluster, "auditor", SCAN).await.unwrap().len(), 3000);
    assert!(cluster.ran().iter().all(|ran| ran.distributed && ran.codecs == 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_key_nothing_leaves_this_process() {
    let lake = Lake::filled().await;
    let cluster = Cluster::start(lake.fitting()).await;
    let engine = lake.unsealed(cluster.clone());
    for (person, visible) in [("auditor", 3000), ("analyst", 1000)] {
        assert_eq!(rows(&session(&engine, person).await, SCAN).await.unwrap().len(), visible);
        assert_eq!(cluster.ran(), [Ran { distributed: false, boundaries: 0, codecs: 0 }]);
    }
}

#[rstest]
#[case::before_the_first_row(0)]
#[case::after_some_rows(1)]
#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_stream_stops_the_workers(#[case] batches: usize) {
    const LONG: &str = "SELECT a.id, b.id FROM orders a JOIN orders b ON md5(concat(a.id, ' ', b.id)) <> b.note";
    let lake = Lake::filled().await;
    let cluster = Cluster::start(lake.fitting()).await;
    let auditor = session(&lake.over(cluster.clone()), "auditor").await;
    // Connections are made, between the workers too, and stay.
    rows(&auditor, &format!("{LONG} WHERE a.id % 3000 = 0")).await.unwrap();
    let runtime = tokio::runtime::Handle::current().metrics();
    cluster.work();
    let idle = settled(|| runtime.num_alive_tasks()).await;

    let mut stream = auditor.query(LONG).await.unwrap();
    for _ in 0..batches {
        assert!(stream.next().await.unwrap().unwrap().num_rows() > 0);
    }
    within("the workers begin", || cluster.begun()).await;
    assert!(runtime.num_alive_tasks() > idle && cluster.leases() > 0);
    drop(stream);
    within("the workers stop", || runtime.num_alive_tasks() <= idle && cluster.leases() == 0).await;

    // An idle worker keeps the plans of its last tasks until there is something else to do.
    let plans = cluster.plans();
    for _ in 0..20 {
        assert_eq!(rows(&auditor, SCAN).await.unwrap().len(), 3000);
        if plans.iter().all(|plan| plan.strong_count() == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("workers keep plans of queries that are over");
}

async fn settled(measure: impl Fn() -> usize) -> usize {
    let mut last = measure();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        match measure() {
            now if now == last => return now,
            now => last = now,
        }
    }
}

async fn within(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 20 s: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_gone_is_an_error_and_not_a_short_answer() {
    let lake = Lake::filled().await;
    let cluster = Cluster::start(lake.fitting()).await;
    assert_eq!(asked(&lake, &cluster, "auditor", SCAN).await.unwrap().len(), 3000);
    cluster.lose_one();
    let error = asked(&lake, &cluster, "auditor", SCAN).await.unwrap_err();
    assert!(cluster.ran().iter().all(|ran| ran.distributed), "{}", whole(&error));
}
