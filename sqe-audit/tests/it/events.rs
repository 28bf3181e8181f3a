//! Events and trails to test with.

use std::path::{Path, PathBuf};

use sqe_audit::{Fault, FaultKind, Head, Record, Records, Trail, TrailOptions, verify};
use sqe_core::{
    Action, FieldId, Identity, Principal, QueryId, TableId, TableName,
    audit::{
        AuditEvent, AuditSink, ClientInfo, ColumnUse, EventKind, Outcome, QueryEffect, QueryFacts, TableAccess, Verdict,
    },
};
use uuid::Uuid;

pub(crate) fn intent(subject: &str) -> AuditEvent {
    let identity = Identity::new(Principal::new("https://idp.example", subject));
    let facts = QueryFacts::new(QueryId::random(), &identity, ClientInfo::new("test"), "SELECT c_phone FROM customer");
    let id = TableId::new(TableName::new("lake", "tpch", "customer"), Uuid::new_v4());
    let mut access = TableAccess::new(id, Action::Select, Verdict::Restricted);
    access.columns = vec![ColumnUse::new(FieldId(5), "c_phone")];
    AuditEvent::now(facts, EventKind::Intent, vec![access])
}

pub(crate) fn effect(intent: &AuditEvent, outcome: Outcome) -> AuditEvent {
    let effect = EventKind::Effect(QueryEffect::new(outcome, 3, 300));
    AuditEvent::now(intent.query.clone(), effect, intent.tables.clone())
}

/// Records intent and effect of `queries` queries in a new trail; gives its head.
pub(crate) async fn trail_of(dir: &Path, queries: usize, segment_bytes: u64) -> Head {
    let trail = TrailOptions::new().with_segment_bytes(segment_bytes).open(dir).unwrap();
    for number in 0..queries {
        let intent = intent(&format!("person-{number}"));
        trail.record(intent.clone()).await.unwrap();
        trail.record(effect(&intent, Outcome::Completed)).await.unwrap();
    }
    trail.head()
}

pub(crate) fn records(dir: &Path) -> Vec<Record> {
    Records::open(dir).unwrap().map(|entry| entry.unwrap().record).collect()
}

pub(crate) fn events(dir: &Path) -> Vec<AuditEvent> {
    records(dir).into_iter().filter_map(Record::into_event).collect()
}

pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    found.sort();
    found
}

pub(crate) fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

pub(crate) fn faults(dir: &Path, head: Option<&Head>) -> Vec<Fault> {
    verify(dir, head).unwrap().faults
}

pub(crate) fn kinds(dir: &Path, head: Option<&Head>) -> Vec<FaultKind> {
    faults(dir, head).into_iter().map(|fault| fault.kind).collect()
}

pub(crate) fn reopen(dir: &Path) -> Trail {
    Trail::open(dir).unwrap()
}
