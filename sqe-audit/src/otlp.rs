//! Records as OpenTelemetry log records, as OTLP 1 carries them. This module makes messages and sends nothing.
//!
//! Attributes follow OpenTelemetry's semantic conventions where they have a name: `log.record.uid`, `user.id`,
//! `client.address`, `client.port`, `db.system.name`, `db.namespace`, `db.collection.name`, `db.operation.name`,
//! `db.query.text` (without literals), `db.response.returned_rows`, `error.type`. The rest is `sqe.audit.*`. The event's
//! name is `sqe.audit.KIND`. Of several tables the first is the collection; all of them are `sqe.audit.tables`.
//!
//! `log.record.uid` is `CHAIN:SEQ`: a receiver that gets a record twice knows it by that.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, SeverityNumber},
};
use sqe_core::audit::{AuditEvent, EventKind, Outcome, TableAccess};

use crate::{follow::Followed, record::Record};

/// A record as one log record, seen at `observed`.
#[must_use]
pub fn log_record(record: &Followed, observed: DateTime<Utc>) -> LogRecord {
    let kind = record.entry.record.kind();
    let mut attributes = vec![
        text("log.record.uid", format!("{}:{}", record.chain, record.entry.seq)),
        text("sqe.audit.chain", record.chain.to_string()),
        number("sqe.audit.seq", record.entry.seq),
        text("sqe.audit.hash", record.entry.hash.to_string()),
        text("sqe.audit.prev", record.entry.prev.to_string()),
        text("sqe.audit.kind", kind),
    ];
    let mut severity = (SeverityNumber::Info, "INFO");
    let trace = match &record.entry.record {
        Record::Event(event) => event.query.trace,
        _ => None,
    };
    let body = match &record.entry.record {
        Record::Event(event) => {
            if is_refusal(event) {
                severity = (SeverityNumber::Warn, "WARN");
            }
            facts(event, &mut attributes);
            format!("{kind} of a statement of {}", event.query.principal.subject)
        }
        Record::Opened { interrupted, .. } => {
            attributes.push(number("sqe.audit.interrupted", *interrupted));
            "a server opened the audit trail".to_owned()
        }
        Record::Recovered { torn, .. } => {
            severity = (SeverityNumber::Warn, "WARN");
            attributes.push(number("sqe.audit.torn.bytes", torn.bytes));
            attributes.push(text("sqe.audit.torn.sha256", torn.sha256.to_string()));
            attributes.push(text("sqe.audit.torn.segment", torn.segment.clone()));
            "bytes that a crash had left unfinished were moved aside".to_owned()
        }
        Record::Resumed { refused, .. } => {
            severity = (SeverityNumber::Warn, "WARN");
            attributes.push(number("sqe.audit.refused", *refused));
            "the audit trail takes events again".to_owned()
        }
        Record::Genesis { .. } => "an audit trail begins".to_owned(),
        Record::Segment(_) => "the audit trail goes on in a new file".to_owned(),
    };
    LogRecord {
        time_unix_nano: nanoseconds(record.entry.record.time()),
        observed_time_unix_nano: nanoseconds(observed),
        severity_number: severity.0.into(),
        severity_text: severity.1.to_owned(),
        event_name: format!("sqe.audit.{kind}"),
        body: Some(value(Value::StringValue(body))),
        attributes,
        trace_id: trace.map(|trace| trace.to_bytes().to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    }
}

fn is_refusal(event: &AuditEvent) -> bool {
    match &event.kind {
        EventKind::Effect(effect) | EventKind::Refused(effect) => effect.outcome != Outcome::Completed,
        _ => false,
    }
}

fn facts(event: &AuditEvent, attributes: &mut Vec<KeyValue>) {
    let query = &event.query;
    attributes.extend([
        text("sqe.audit.query_id", query.query_id.to_string()),
        text("user.id", query.principal.subject.clone()),
        text("sqe.audit.issuer", query.principal.issuer.clone()),
        texts("sqe.audit.actors", query.actors.iter().map(ToString::to_string)),
        text("db.system.name", "sqe"),
        text("db.query.text", query.statement.clone()),
    ]);
    if let Some(address) = &query.client.address {
        match address.parse::<SocketAddr>() {
            Ok(socket) => {
                attributes.push(text("client.address", socket.ip().to_string()));
                attributes.push(number("client.port", u64::from(socket.port())));
            }
            Err(_) => attributes.push(text("client.address", address.clone())),
        }
    }
    let said =
        [("sqe.audit.client.application", &query.client.application), ("sqe.audit.protocol", &query.client.protocol)];
    attributes.extend(said.into_iter().filter_map(|(key, said)| Some(text(key, said.clone()?))));
    if let EventKind::Effect(effect) | EventKind::Refused(effect) = &event.kind {
        attributes.push(text("sqe.audit.outcome", effect.outcome.as_str()));
        attributes.push(number("db.response.returned_rows", effect.rows));
        attributes.push(number("sqe.audit.bytes", effect.bytes));
        match &effect.outcome {
            Outcome::Completed => {}
            Outcome::Failed(kind) => attributes.push(text("error.type", kind.clone())),
            other => attributes.push(text("error.type", other.as_str())),
        }
    }
    if let Some(access) = event.tables.first() {
        let name = &access.table.name;
        attributes.push(text("db.namespace", format!("{}.{}", name.catalog, name.schema)));
        attributes.push(text("db.collection.name", name.table.clone()));
        attributes.push(text("db.operation.name", access.action.as_str().to_uppercase()));
    }
    let values = event.tables.iter().map(table).collect();
    attributes.push(attribute("sqe.audit.tables", Value::ArrayValue(ArrayValue { values })));
}

fn table(access: &TableAccess) -> AnyValue {
    let columns = |of: &dyn Fn(&sqe_core::audit::ColumnUse) -> bool| {
        access.columns.iter().filter(|column| of(column)).map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    let mut values = vec![
        text("name", access.table.name.to_string()),
        text("uuid", access.table.uuid.to_string()),
        text("action", access.action.as_str()),
        text("decision", access.verdict.as_str()),
        texts("columns", columns(&|column| !column.policy_only)),
        texts("masked_columns", columns(&|column| column.masked)),
        texts("policy_columns", columns(&|column| column.policy_only)),
        texts("policies", access.policies.iter().cloned()),
        text("decision_digest", access.decision.clone()),
        text("policy_snapshot", access.policy_snapshot.clone()),
    ];
    values.extend(access.snapshot.map(|id| attribute("snapshot", Value::IntValue(id))));
    values.extend(access.session_name.as_ref().map(|name| text("session_name", name.clone())));
    value(Value::KvlistValue(KeyValueList { values }))
}

fn nanoseconds(time: DateTime<Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default()
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, of: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value(of)), ..KeyValue::default() }
}

fn text(key: &str, of: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(of.into()))
}

fn texts(key: &str, of: impl IntoIterator<Item = String>) -> KeyValue {
    let values = of.into_iter().map(|text| value(Value::StringValue(text))).collect();
    attribute(key, Value::ArrayValue(ArrayValue { values }))
}

fn number(key: &str, of: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(of).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsf::tests::samples;

    fn find<'a>(record: &'a LogRecord, key: &str) -> Option<&'a Value> {
        record.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
    }

    fn said(record: &LogRecord, key: &str) -> Option<String> {
        match find(record, key)? {
            Value::StringValue(text) => Some(text.clone()),
            Value::IntValue(number) => Some(number.to_string()),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn sample(name: &str) -> LogRecord {
        let (_, record) = samples().into_iter().find(|(sample, _)| *sample == name).unwrap();
        log_record(&record, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn every_record_names_itself_and_no_attribute_twice() {
        for (name, record) in samples() {
            let log = log_record(&record, DateTime::UNIX_EPOCH);
            let uid = format!("{}:{}", record.chain, record.entry.seq);
            assert_eq!(said(&log, "log.record.uid"), Some(uid), "{name}");
            assert_eq!(log.time_unix_nano, 1_772_366_400_123_456_000, "{name}");
            assert_eq!(log.event_name, format!("sqe.audit.{}", record.entry.record.kind()));
            let mut keys: Vec<_> = log.attributes.iter().map(|attribute| &attribute.key).collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), all, "{name}");
        }
    }

    #[test]
    fn an_effect_says_who_read_what_and_how_it_ended() {
        let log = sample("completed");
        for (key, value) in [
            ("user.id", "alice"),
            ("sqe.audit.issuer", "https://idp.example"),
            ("db.namespace", "lake.sales"),
            ("db.collection.name", "customer"),
            ("db.operation.name", "SELECT"),
            ("db.query.text", "SELECT name, phone FROM customer WHERE id = ?"),
            ("db.response.returned_rows", "3"),
            ("client.address", "192.0.2.7"),
            ("client.port", "40000"),
            ("sqe.audit.outcome", "completed"),
        ] {
            assert_eq!(said(&log, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!((find(&log, "error.type"), log.severity_text.as_str()), (None, "INFO"));
        let Some(Value::ArrayValue(tables)) = find(&log, "sqe.audit.tables") else { panic!("no tables") };
        let Some(Value::KvlistValue(table)) = &tables.values[0].value else { panic!("no table") };
        let of = |key: &str| format!("{:?}", table.values.iter().find(|it| it.key == key).unwrap().value);
        assert!(of("columns").contains("phone") && !of("columns").contains("region"), "{table:?}");
        assert!(of("masked_columns").contains("phone") && of("policy_columns").contains("region"), "{table:?}");
    }

    #[test]
    fn what_was_refused_or_failed_is_a_warning_with_its_kind() {
        for (name, kind) in [("denied", "denied"), ("failed", "unavailable"), ("missing", "not_found")] {
            let log = sample(name);
            assert_eq!(
                (said(&log, "error.type").as_deref(), log.severity_text.as_str()),
                (Some(kind), "WARN"),
                "{name}"
            );
        }
        assert_eq!(
            (sample("intent").severity_text, find(&sample("intent"), "sqe.audit.outcome")),
            ("INFO".to_owned(), None)
        );
    }
}
