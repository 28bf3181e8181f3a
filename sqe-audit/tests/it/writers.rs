//! One writer, many callers.

use std::{sync::Arc, time::Duration};

use sqe_audit::{Record, Trail, TrailOptions, verify};
use sqe_core::{
    ErrorKind,
    audit::{AuditSink, Outcome},
};

use crate::events::{effect, events, intent, records};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_callers_lose_nothing_and_keep_their_order_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(TrailOptions::new().with_segment_bytes(40_000).open(dir.path()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let trail = Arc::clone(&trail);
        tasks.spawn(async move {
            let mut mine = Vec::new();
            for _ in 0..25 {
                let intent = intent(&format!("caller-{caller}"));
                trail.record(intent.clone()).await.unwrap();
                let effect = effect(&intent, Outcome::Completed);
                trail.record(effect.clone()).await.unwrap();
                mine.extend([intent, effect]);
            }
            mine
        });
    }
    // A verification of the live trail sees a consistent prefix of it.
    for _ in 0..5 {
        let report = verify(dir.path(), Some(&trail.head())).unwrap();
        assert!(report.is_intact(), "{report}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut all = Vec::new();
    while let Some(mine) = tasks.join_next().await {
        all.push(mine.unwrap());
    }
    let held = events(dir.path());
    assert_eq!(held.len(), 64 * 50);
    for mine in all {
        let subject = &mine[0].query.principal.subject;
        let found: Vec<_> = held.iter().filter(|event| event.query.principal.subject == *subject).cloned().collect();
        assert_eq!(found, mine);
    }
    let report = verify(dir.path(), Some(&trail.head())).unwrap();
    assert!(report.is_intact(), "{report}");
    assert!(report.segments > 10, "{report}");
    assert_eq!(report.open_intents, 0);
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = Trail::open(dir.path()).unwrap();
    let error = Trail::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("folder of its own"), "{error}");
    first.record(intent("alice")).await.unwrap();
    drop(first);

    let second = Trail::open(dir.path()).unwrap();
    second.record(intent("bob")).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let beside = Trail::open(other.path()).unwrap();
    beside.record(intent("carol")).await.unwrap();
    assert_ne!(beside.head().chain, second.head().chain);
}

#[tokio::test]
async fn a_verification_at_the_same_time_does_not_keep_a_writer_out() {
    let dir = tempfile::tempdir().unwrap();
    crate::events::trail_of(dir.path(), 3, 1 << 20).await;
    std::thread::scope(|scope| {
        let verifier = scope.spawn(|| (0..200).all(|_| verify(dir.path(), None).is_ok()));
        for _ in 0..20 {
            drop(Trail::open(dir.path()).unwrap());
        }
        assert!(verifier.join().unwrap());
    });
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("audit");
    crate::events::trail_of(&dir, 3, 500).await;
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(&dir).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_first_record_is_the_genesis_and_every_further_segment_has_a_header() {
    let dir = tempfile::tempdir().unwrap();
    let head = crate::events::trail_of(dir.path(), 4, 1000).await;
    let all = records(dir.path());
    assert!(matches!(&all[0], Record::Genesis { chain, format: 1, .. } if *chain == head.chain));
    assert!(matches!(&all[1], Record::Opened { interrupted: 0, .. }));
    let headers = all.iter().filter(|record| matches!(record, Record::Segment(_))).count();
    assert_eq!(headers + 1, crate::events::segments(dir.path()).len());
    assert!(headers > 2);
}
