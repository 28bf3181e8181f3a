use rstest::rstest;
use sqe_core::{
    FieldId, Identity, Principal, QueryId, TableId, TableName,
    audit::{ColumnUse, QueryFacts},
    trace::TraceContext,
};
use uuid::Uuid;

use super::*;
use crate::{
    hash::Hash,
    read::Entry,
    record::{Bounds, OpenIntent, SegmentHeader, Torn},
};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// One record of every kind, and of every outcome, the same in each run.
pub(crate) fn samples() -> Vec<(&'static str, Followed)> {
    let chain = Uuid::from_u128(1);
    let time: DateTime<Utc> = "2026-03-01T12:00:00.123456Z".parse().unwrap();
    let query = QueryId(Uuid::from_u128(2));
    let customer = TableId::new(TableName::new("lake", "sales", "customer"), Uuid::from_u128(3));
    let mut read = TableAccess::new(customer, Action::Select, Verdict::Restricted);
    read.snapshot = Some(9_007_199_254_740_993);
    let mut phone = ColumnUse::new(FieldId(5), "phone");
    phone.masked = true;
    let mut region = ColumnUse::new(FieldId(7), "region");
    region.policy_only = true;
    read.columns = vec![ColumnUse::new(FieldId(1), "name"), phone, region];
    read.policies = vec!["analysts".to_owned()];
    read.decision = "d1".to_owned();
    read.policy_snapshot = "p1".to_owned();
    read.session_name = Some("alice@sqe".to_owned());
    let orders = TableId::new(TableName::new("lake", "sales", "orders"), Uuid::from_u128(4));
    let written = TableAccess::new(orders, Action::Insert, Verdict::Permitted);
    let secret = TableId::new(TableName::new("lake", "hr", "salary"), Uuid::nil());
    let denied = TableAccess::new(secret.clone(), Action::Select, Verdict::Denied);
    let missing = TableAccess::new(secret, Action::Select, Verdict::Missing);

    let mut alice = Identity::new(Principal::new("https://idp.example", "alice"));
    alice.actors =
        vec![Principal::new("https://idp.example", "dashboard"), Principal::new("https://idp.example", "job")];
    let client = ClientInfo::new("flight-sql").with_address("192.0.2.7:40000").with_application("ADBC");
    let facts = QueryFacts::new(query, &alice, client, "SELECT name, phone FROM customer WHERE id = ?");
    let facts = facts.with_trace(TraceContext::from_traceparent(TRACEPARENT).unwrap().trace);
    let at = |mut event: AuditEvent| {
        event.time = time;
        Record::Event(event)
    };
    let event = |kind, tables| at(AuditEvent::now(facts.clone(), kind, tables));
    let effect = |outcome| EventKind::Effect(QueryEffect::new(outcome, 3, 300));
    let refused = |outcome| EventKind::Refused(QueryEffect::new(outcome, 0, 0));
    let torn = Torn {
        segment: "00000000000000000001.jsonl".to_owned(),
        offset: 10,
        bytes: 5,
        sha256: Hash::plain(b"torn"),
        kept_in: "torn-1".to_owned(),
    };
    let open = vec![OpenIntent { query, time, seq: 3, offset: 99 }];
    let header = SegmentHeader { chain, created: time, previous: Some(Bounds { min: time, max: time }), open };
    let bob = Identity::new(Principal::new("urn:x", "bob"));
    let garbage = QueryFacts::new(query, &bob, ClientInfo::default(), "");
    let nobody = at(AuditEvent::now(garbage, refused(Outcome::failed(sqe_core::ErrorKind::InvalidInput)), vec![]));
    let records = [
        ("genesis", Record::Genesis { chain, created: time, format: 1 }),
        ("segment", Record::Segment(header)),
        ("opened", Record::Opened { time, interrupted: 0 }),
        ("opened_after_a_crash", Record::Opened { time, interrupted: 2 }),
        ("recovered", Record::Recovered { time, torn }),
        ("intent", event(EventKind::Intent, vec![read.clone()])),
        ("completed", event(effect(Outcome::Completed), vec![read.clone()])),
        ("written", event(effect(Outcome::Completed), vec![read.clone(), written])),
        ("cancelled", event(effect(Outcome::Cancelled), vec![read.clone()])),
        ("interrupted", event(effect(Outcome::Interrupted), vec![read.clone()])),
        ("failed", event(effect(Outcome::failed(sqe_core::ErrorKind::Unavailable)), vec![read])),
        ("denied", event(refused(Outcome::Denied), vec![denied])),
        ("missing", event(refused(Outcome::failed(sqe_core::ErrorKind::NotFound)), vec![missing])),
        ("unreadable_statement", nobody),
        ("resumed", Record::Resumed { time, refused: 3 }),
    ];
    let numbered = |(index, (name, record)): (usize, (&'static str, Record))| {
        let seq = index as u64 + 1;
        let line = serde_json::to_string(&record).unwrap();
        let entry = Entry { seq, prev: Hash::plain(&[index as u8]), hash: Hash::plain(&[index as u8 + 1]), record };
        (name, Followed { chain, entry, line })
    };
    records.into_iter().enumerate().map(numbered).collect()
}

#[test]
fn a_record_of_every_kind_is_the_event_that_it_was() {
    for (name, record) in samples() {
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&event(&record)).unwrap());
    }
}

/// What OCSF 1.6.0 requires: of every event, and of each class and object that is used here.
const REQUIRED: [(&str, &[&str]); 7] = [
    ("", &["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"]),
    ("/metadata", &["product", "version"]),
    ("/metadata/product", &["vendor_name", "name"]),
    ("/actor", &["user"]),
    ("/query_info", &["query_string", "uid"]),
    ("/database", &["name", "type_id"]),
    ("/src_endpoint", &["svc_name"]),
];

#[test]
fn every_event_has_the_attributes_that_its_class_requires() {
    for (name, record) in samples() {
        let event = event(&record);
        for (object, required) in REQUIRED {
            let Some(object) = event.pointer(object) else { continue };
            for attribute in required {
                assert!(object.get(attribute).is_some_and(|value| !value.is_null()), "{name}: {attribute}");
            }
        }
        let number = |attribute: &str| event[attribute].as_u64().unwrap();
        let class = number("class_uid");
        assert_eq!(number("type_uid"), class * 100 + number("activity_id"), "{name}");
        assert_eq!(number("category_uid"), class / 1000, "{name}");
        assert!(number("time") > 1_700_000_000_000 && number("time") < 10_000_000_000_000, "{name}: milliseconds");
        match class {
            6005 => {
                for attribute in ["actor", "src_endpoint", "database"] {
                    assert!(event[attribute].is_object(), "{name}: {attribute}");
                }
            }
            1008 => assert!(event["log_name"].is_string(), "{name}"),
            other => panic!("{name}: class {other}"),
        }
        // A number that JavaScript would round is written as text.
        let text = event.to_string();
        assert!(!text.contains(":9007199254740993"), "{name}");
    }
}

#[rstest]
#[case("completed", 1, 1)]
#[case("intent", 99, 1)]
#[case("denied", 2, 3)]
#[case("missing", 2, 2)]
#[case("failed", 2, 2)]
#[case("cancelled", 99, 1)]
#[case("interrupted", 2, 2)]
fn outcomes_are_told_apart(#[case] name: &str, #[case] status: u64, #[case] severity: u64) {
    let (_, record) = samples().into_iter().find(|(sample, _)| *sample == name).unwrap();
    let event = event(&record);
    assert_eq!((event["status_id"].as_u64(), event["severity_id"].as_u64()), (Some(status), Some(severity)));
}

#[test]
fn an_event_names_the_trace_of_its_query_if_there_is_one() {
    let event = |name: &str| event(&samples().into_iter().find(|(sample, _)| *sample == name).unwrap().1);
    for name in ["intent", "completed", "denied"] {
        assert_eq!(event(name)["unmapped"]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736", "{name}");
    }
    assert_eq!(event("unreadable_statement")["unmapped"]["trace_id"], Value::Null);
    assert_eq!(event("opened")["unmapped"].get("trace_id"), None);
}
