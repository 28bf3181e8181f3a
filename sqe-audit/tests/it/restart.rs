//! What a start finds and makes of it.

use std::{fs::OpenOptions, io::Write as _};

use sqe_audit::{FaultKind, Record, Trail, TrailOptions, verify};
use sqe_core::{
    ErrorKind,
    audit::{AuditSink, EventKind, Outcome},
};

use crate::events::{effect, events, intent, kinds, lines, records, reopen, segments, trail_of};

fn append(dir: &std::path::Path, bytes: &[u8]) {
    let last = segments(dir).pop().unwrap();
    OpenOptions::new().append(true).open(last).unwrap().write_all(bytes).unwrap();
}

#[rstest::rstest]
#[case::in_one_segment(1 << 20)]
#[case::carried_over_many_segments(1000)]
#[tokio::test]
async fn an_intent_that_a_crash_left_open_becomes_interrupted_once(#[case] segment_bytes: u64) {
    let dir = tempfile::tempdir().unwrap();
    let options = TrailOptions::new().with_segment_bytes(segment_bytes);
    let trail = options.open(dir.path()).unwrap();
    let (open, done) = (intent("alice"), intent("bob"));
    trail.record(open.clone()).await.unwrap();
    for _ in 0..10 {
        let other = intent("carol");
        trail.record(other.clone()).await.unwrap();
        trail.record(effect(&other, Outcome::Completed)).await.unwrap();
    }
    trail.record(done.clone()).await.unwrap();
    trail.record(effect(&done, Outcome::Cancelled)).await.unwrap();
    drop(trail);
    assert_eq!(verify(dir.path(), None).unwrap().open_intents, 1);

    for _ in 0..3 {
        drop(options.open(dir.path()).unwrap());
    }
    let held = events(dir.path());
    let closing: Vec<_> = held.iter().filter(|event| event.query.query_id == open.query.query_id).collect();
    assert_eq!(closing.len(), 2, "closed once, by the first start");
    assert_eq!((&closing[1].query, &closing[1].tables), (&open.query, &open.tables));
    assert!(matches!(&closing[1].kind, EventKind::Effect(effect) if effect.outcome == Outcome::Interrupted));
    assert!(closing[1].time >= open.time);
    assert_eq!(held.len(), 24);
    let started: Vec<_> = records(dir.path())
        .into_iter()
        .filter_map(|record| match record {
            Record::Opened { interrupted, .. } => Some(interrupted),
            _ => None,
        })
        .collect();
    assert_eq!(started, [0, 1, 0, 0]);
    let report = verify(dir.path(), None).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.open_intents, 0);
}

#[tokio::test]
async fn a_line_cut_off_anywhere_is_moved_aside_and_the_chain_goes_on() {
    let source = tempfile::tempdir().unwrap();
    trail_of(source.path(), 2, 1 << 20).await;
    let file = segments(source.path()).pop().unwrap();
    let all = lines(&file);
    let (last, before) = all.split_last().unwrap();
    for cut in [1, 2, 10, 80, 160, 200, last.len() - 2, last.len() - 1] {
        let dir = tempfile::tempdir().unwrap();
        let torn = [&before.concat(), &last[..cut]].concat();
        std::fs::write(dir.path().join(file.file_name().unwrap()), torn).unwrap();
        assert_eq!(kinds(dir.path(), None), [FaultKind::Unfinished], "before the start");

        let trail = reopen(dir.path());
        trail.record(intent("later")).await.unwrap();
        drop(trail);
        let report = verify(dir.path(), None).unwrap();
        assert!(report.is_intact(), "{report}");
        assert_eq!(report.recovered.len(), 1);
        assert_eq!(report.recovered[0].bytes as usize, cut);
        assert_eq!(std::fs::read(dir.path().join(&report.recovered[0].kept_in)).unwrap(), &last[..cut]);
        // The effect was lost with the line, so its intent was closed.
        assert_eq!(events(dir.path()).len(), 3 + 1 + 1);
    }
}

#[tokio::test]
async fn bytes_that_the_disk_never_received_are_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let head = trail_of(dir.path(), 2, 1 << 20).await;
    append(dir.path(), &[b"{\"seq\":7,".as_slice(), &[0; 500], b"\n{\"seq\":8,\"prev\"\n"].concat());
    drop(reopen(dir.path()));
    let report = verify(dir.path(), Some(&head)).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.recovered.len(), 1);
    assert_eq!(events(dir.path()).len(), 4);
}

#[tokio::test]
async fn a_changed_record_refuses_the_start_instead_of_being_moved_aside() {
    for line in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        trail_of(dir.path(), 2, 1 << 20).await;
        let file = segments(dir.path()).pop().unwrap();
        let mut all = lines(&file);
        assert_eq!(all.len(), 6);
        let byte = all[line].iter().rposition(|byte| *byte == b'e').unwrap();
        all[line][byte] = b'f';
        std::fs::write(&file, all.concat()).unwrap();
        let error = Trail::open(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(&format!("record {}", line + 1)), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), all.concat(), "the evidence stays as it is");
    }
}

#[tokio::test]
async fn a_crash_while_a_segment_began_lets_the_one_before_go_on() {
    for left in [b"".as_slice(), b"{\"seq\":", &[0; 100]] {
        let dir = tempfile::tempdir().unwrap();
        let head = trail_of(dir.path(), 5, 1500).await;
        let next = dir.path().join(format!("{:020}.jsonl", head.seq + 1));
        std::fs::write(&next, left).unwrap();
        let trail = reopen(dir.path());
        trail.record(intent("later")).await.unwrap();
        drop(trail);
        let report = verify(dir.path(), Some(&head)).unwrap();
        assert!(report.is_intact(), "{report}");
        assert_eq!(report.recovered.len(), usize::from(!left.is_empty()));
        assert_eq!(events(dir.path()).len(), 11);
    }
}

#[tokio::test]
async fn a_crash_while_the_chain_began_begins_it_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{:020}.jsonl", 1)), b"{\"seq\":1,\"prev\":\"00").unwrap();
    let trail = reopen(dir.path());
    trail.record(intent("alice")).await.unwrap();
    let report = verify(dir.path(), Some(&trail.head())).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.recovered.len(), 1);
}

#[tokio::test]
async fn a_segment_removed_between_runs_refuses_the_start() {
    let dir = tempfile::tempdir().unwrap();
    trail_of(dir.path(), 8, 1000).await;
    let files = segments(dir.path());
    std::fs::remove_file(&files[files.len() - 2]).unwrap();
    assert_eq!(Trail::open(dir.path()).unwrap_err().kind(), ErrorKind::Conflict);
}
