//! Everything that may be done to the files, and that `verify` finds it.

use std::path::Path;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use sqe_audit::{FaultKind, Head, Records, TrailOptions, verify};
use sqe_core::audit::{AuditEvent, AuditSink, EventKind, Outcome, QueryEffect};
use tempfile::TempDir;

use crate::events::{effect, events, faults, intent, kinds, lines, segments, trail_of};

/// A trail of one segment with 2 + 2 × 5 records.
async fn one_segment() -> (TempDir, Head, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let head = trail_of(dir.path(), 5, 1 << 20).await;
    let all = lines(&segments(dir.path())[0]);
    assert_eq!(all.len(), 12);
    assert_eq!(kinds(dir.path(), Some(&head)), []);
    (dir, head, all)
}

fn write(dir: &Path, lines: &[Vec<u8>]) {
    std::fs::write(&segments(dir)[0], lines.concat()).unwrap();
}

#[tokio::test]
async fn one_changed_byte_is_found_wherever_it_is() {
    let (dir, _, all) = one_segment().await;
    let text = String::from_utf8(all[4].clone()).unwrap();
    let at = |part: &str| text.find(part).unwrap() + part.len() - 1;
    for (place, position) in [
        ("the first brace", 0),
        ("a framing key", at("\"s")),
        ("the sequence number", at("\"seq\":5")),
        ("the hash before", at("\"prev\":\"") + 3),
        ("its own hash", at("\"hash\":\"") + 5),
        ("the time", at("\"time\":\"2") + 2),
        ("the subject", at("person-1")),
        ("a table", at("customer")),
        ("a column's id", at("\"field_id\":5")),
        ("a verdict", at("restricted")),
        ("the last brace", text.len() - 2),
    ] {
        let mut changed = all.clone();
        changed[4][position] ^= 1;
        write(dir.path(), &changed);
        let found = faults(dir.path(), None);
        assert_eq!(found.len(), 1, "{place}: {found:?}");
        assert!(matches!(found[0].kind, FaultKind::Changed | FaultKind::Malformed), "{place}: {found:?}");
        assert_eq!(found[0].line, 5, "{place}");
        assert_eq!(found[0].file, "00000000000000000001.jsonl");
    }
}

#[tokio::test]
async fn a_removed_record_is_found() {
    let (dir, _, mut all) = one_segment().await;
    all.remove(6);
    write(dir.path(), &all);
    let found = faults(dir.path(), None);
    assert_eq!((found.len(), found[0].kind, found[0].seq, found[0].line), (1, FaultKind::Removed, Some(7), 7));
}

#[tokio::test]
async fn swapped_records_are_found() {
    let (dir, _, mut all) = one_segment().await;
    all.swap(5, 6);
    write(dir.path(), &all);
    let found = faults(dir.path(), None);
    assert_eq!((found.len(), found[0].kind, found[0].seq, found[0].line), (1, FaultKind::Reordered, Some(6), 7));
}

#[tokio::test]
async fn a_repeated_record_is_found() {
    let (dir, _, mut all) = one_segment().await;
    all.insert(9, all[3].clone());
    write(dir.path(), &all);
    let found = faults(dir.path(), None);
    assert_eq!((found.len(), found[0].kind, found[0].seq, found[0].line), (1, FaultKind::Duplicated, Some(4), 10));
}

#[tokio::test]
async fn a_line_that_is_no_record_is_found() {
    let (dir, _, mut all) = one_segment().await;
    all.insert(4, b"\n".to_vec());
    write(dir.path(), &all);
    let found = faults(dir.path(), None);
    assert_eq!((found.len(), found[0].kind, found[0].line), (1, FaultKind::Malformed, 5));
}

#[tokio::test]
async fn records_cut_from_the_end_are_found_with_a_head_kept_elsewhere_only() {
    let (dir, head, mut all) = one_segment().await;
    all.truncate(9);
    write(dir.path(), &all);
    assert_eq!(kinds(dir.path(), None), [], "nothing in the files tells");
    let found = faults(dir.path(), Some(&head));
    assert_eq!((found.len(), found[0].kind, found[0].seq), (1, FaultKind::Truncated, Some(10)));

    std::fs::remove_file(&segments(dir.path())[0]).unwrap();
    assert_eq!(kinds(dir.path(), Some(&head)), [FaultKind::Truncated], "all of them");
    assert!(verify(dir.path(), None).is_err());
}

#[tokio::test]
async fn an_older_head_still_fits_a_trail_that_went_on() {
    let (dir, head, _) = one_segment().await;
    let trail = crate::events::reopen(dir.path());
    trail.record(intent("later")).await.unwrap();
    assert_eq!(kinds(dir.path(), Some(&head)), []);
    assert_eq!(kinds(dir.path(), Some(&trail.head())), []);
}

/// The line of record `seq`, made by somebody who knows the format.
fn forge(seq: u64, prev: &str, body: &str) -> (Vec<u8>, String) {
    let hash = Sha256::digest(format!("sqe-audit-1\n{prev}\n{seq}\n{body}"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{{\"seq\":{seq},\"prev\":\"{prev}\",\"hash\":\"{hash}\",\"record\":{body}}}\n");
    (line.into_bytes(), hash)
}

fn body(line: &[u8]) -> String {
    let text = std::str::from_utf8(line).unwrap().trim_end();
    let start = text.find("\"record\":").unwrap() + "\"record\":".len();
    text[start..text.len() - 1].to_owned()
}

fn hash_of(line: &[u8]) -> String {
    let text = std::str::from_utf8(line).unwrap();
    let start = text.find("\"hash\":\"").unwrap() + "\"hash\":\"".len();
    text[start..start + 64].to_owned()
}

#[tokio::test]
async fn a_record_rewritten_with_its_hash_breaks_the_chain_behind_it() {
    let (dir, head, mut all) = one_segment().await;
    let (forged, _) = forge(5, &hash_of(&all[3]), &body(&all[4]).replace("person-1", "person-2"));
    all[4] = forged;
    write(dir.path(), &all);
    for head in [None, Some(&head)] {
        let found = faults(dir.path(), head);
        assert_eq!((found.len(), found[0].kind, found[0].line), (1, FaultKind::Forked, 6));
    }
}

#[tokio::test]
async fn a_chain_rewritten_to_its_end_is_found_with_a_head_kept_elsewhere_only() {
    let (dir, head, mut all) = one_segment().await;
    let mut prev = hash_of(&all[3]);
    for (index, line) in all.iter_mut().enumerate().skip(4) {
        let body = body(line).replace("person-1", "person-2");
        (*line, prev) = forge(index as u64 + 1, &prev, &body);
    }
    write(dir.path(), &all);
    assert_eq!(kinds(dir.path(), None), [], "the chain itself is consistent");
    assert_eq!(kinds(dir.path(), Some(&head)), [FaultKind::Rewritten]);
}

#[tokio::test]
async fn two_writers_that_went_different_ways_are_found() {
    let (dir, _, mut all) = one_segment().await;
    let (other, _) = forge(8, &hash_of(&all[6]), &body(&all[5]));
    all.insert(8, other);
    write(dir.path(), &all);
    let found = faults(dir.path(), None);
    assert_eq!((found.len(), found[0].kind, found[0].line), (1, FaultKind::Forked, 9));
}

#[tokio::test]
async fn a_missing_segment_is_found_wherever_it_was() {
    for position in ["first", "middle", "last"] {
        let dir = tempfile::tempdir().unwrap();
        let head = trail_of(dir.path(), 12, 2000).await;
        let files = segments(dir.path());
        assert!(files.len() >= 4);
        let (index, kind) = match position {
            "first" => (0, FaultKind::MissingSegment),
            "middle" => (files.len() / 2, FaultKind::MissingSegment),
            _ => (files.len() - 1, FaultKind::Truncated),
        };
        std::fs::remove_file(&files[index]).unwrap();
        assert_eq!(kinds(dir.path(), Some(&head)), [kind], "{position}");
    }
}

#[tokio::test]
async fn a_segment_of_another_chain_or_under_another_name_is_found() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let head = trail_of(dir.path(), 12, 2000).await;
    let other_head = trail_of(other.path(), 12, 2000).await;
    let (mine, theirs) = (segments(dir.path()), segments(other.path()));
    assert_eq!(mine[1].file_name(), theirs[1].file_name());
    assert_eq!(kinds(dir.path(), Some(&other_head))[0], FaultKind::Rewritten);

    let original = std::fs::read(&mine[1]).unwrap();
    std::fs::copy(&theirs[1], &mine[1]).unwrap();
    let found = kinds(dir.path(), Some(&head));
    assert!(found.contains(&FaultKind::OtherChain) && found.contains(&FaultKind::Forked), "{found:?}");

    std::fs::write(&mine[1], original).unwrap();
    assert_eq!(kinds(dir.path(), Some(&head)), [], "put back");
    let renamed = dir.path().join("00000000000000000004.jsonl");
    std::fs::rename(&mine[1], renamed).unwrap();
    assert!(!kinds(dir.path(), Some(&head)).is_empty());
}

#[tokio::test]
async fn a_report_prints_what_a_person_needs_and_serialises() {
    let (dir, head, mut all) = one_segment().await;
    let report = verify(dir.path(), Some(&head)).unwrap();
    let text = report.to_string();
    assert!(text.contains(&format!("head {head}")) && text.contains("intact: 12 records"), "{text}");
    assert_eq!(report.head, Some(head));

    all.remove(6);
    write(dir.path(), &all);
    let report = verify(dir.path(), None).unwrap();
    let text = report.to_string();
    assert!(text.contains("00000000000000000001.jsonl:7: removed: record 7 is missing"), "{text}");
    assert!(text.contains("NOT INTACT"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["faults"][0]["kind"], "removed");
}

/// What one query does, as far as chance decides it.
fn any_query() -> impl Strategy<Value = (AuditEvent, Option<AuditEvent>)> {
    let outcome = prop_oneof![
        Just(Outcome::Completed),
        Just(Outcome::Denied),
        Just(Outcome::Cancelled),
        "[a-z_]{1,12}".prop_map(Outcome::Failed),
    ];
    (any::<String>(), any::<String>(), any::<i64>(), any::<u64>(), outcome, 0..4).prop_map(
        |(subject, statement, snapshot, rows, outcome, kind)| {
            let mut first = intent(&subject);
            first.query.statement = statement;
            first.tables[0].snapshot = Some(snapshot);
            let effect_of_it = effect(&first, outcome.clone());
            match kind {
                0 => (first, None),
                1 => {
                    first.kind = EventKind::Refused(QueryEffect::new(outcome, rows, 0));
                    first.tables.clear();
                    (first, None)
                }
                _ => (first, Some(effect_of_it)),
            }
        },
    )
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_events_come_back_as_they_were_and_any_changed_byte_is_found(
        queries in proptest::collection::vec(any_query(), 1..12),
        segment_bytes in 200u64..20_000,
        where_to in any::<proptest::sample::Index>(),
        change in prop_oneof![Just(None), (1u8..=255).prop_map(Some)],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut recorded: Vec<AuditEvent> = queries.iter().map(|(first, _)| first.clone()).collect();
        recorded.extend(queries.into_iter().filter_map(|(_, second)| second));
        let head = runtime().block_on(async {
            let trail = TrailOptions::new().with_segment_bytes(segment_bytes).open(dir.path()).unwrap();
            for event in &recorded {
                trail.record(event.clone()).await.unwrap();
            }
            trail.head()
        });
        prop_assert_eq!(&events(dir.path()), &recorded);
        let report = verify(dir.path(), Some(&head)).unwrap();
        prop_assert!(report.is_intact(), "{}", report);
        prop_assert_eq!(report.records, head.seq);

        // One byte somewhere changes, or goes.
        let files = segments(dir.path());
        let total: usize = files.iter().map(|file| std::fs::metadata(file).unwrap().len() as usize).sum();
        let mut position = where_to.index(total);
        for file in files {
            let mut bytes = std::fs::read(&file).unwrap();
            if position >= bytes.len() {
                position -= bytes.len();
                continue;
            }
            match change {
                Some(change) => bytes[position] ^= change,
                None => drop(bytes.remove(position)),
            }
            std::fs::write(&file, bytes).unwrap();
            break;
        }
        prop_assert!(!verify(dir.path(), None).unwrap().is_intact(), "byte {} of {}", position, total);
    }
}

#[tokio::test]
async fn reading_a_changed_trail_never_panics_and_ends_with_its_first_error() {
    let (dir, _, mut all) = one_segment().await;
    all[4] = b"{\"seq\":5}\n".to_vec();
    write(dir.path(), &all);
    let read: Vec<_> = Records::open(dir.path()).unwrap().collect();
    assert_eq!(read.len(), 5);
    assert!(read[4].is_err() && read[..4].iter().all(Result::is_ok));
}
