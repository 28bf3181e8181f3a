//! Records as events of the [Open Cybersecurity Schema Framework](https://schema.ocsf.io/1.6.0/), version 1.6.0.
//!
//! | record | class | `activity_id` |
//! |---|---|---|
//! | `intent`, `effect`, `refused` | Datastore Activity, 6005 | by what was done: Query 4, Read 1, List 8, Write 5, Update 2, Delete 7, Create 6 |
//! | `genesis`, `segment`, `opened`, `recovered` | Event Log Activity, 1008 | Start 6, Rotate 5, Restart 8, Other 99 |
//!
//! | of a record | is |
//! |---|---|
//! | chain and sequence number | `metadata.uid` (`CHAIN:SEQ`), `metadata.log_name`, `metadata.sequence` |
//! | query | `metadata.correlation_uid`, `query_info.uid` |
//! | trace that the query is a part of | `unmapped.trace_id`: the object `trace` is of a profile that these events do not claim |
//! | time | `time` (milliseconds), `metadata.original_time` (RFC 3339) |
//! | issuer and subject of the person | `actor.user.domain`, `actor.user.uid` and `.name` |
//! | who acted for the person, nearest first | `actor.app_uid` the nearest; all of them in `unmapped.actors` |
//! | statement, without literals | `query_info.query_string` |
//! | outcome | `status_id`: Success 1, Failure 2, Other 99 with the word in `status`; `status_code`, and `status_detail` of a failure |
//! | client | `src_endpoint`; what it says of itself, which nobody verified, in `unmapped.client_application` |
//! | first table | `database.name` (`CATALOG.SCHEMA`), `table.name`, `table.uid`; `type_id` Table 3 |
//! | all tables | `observables`, so that each can be searched for; columns, decision and policies in `unmapped.tables` |
//! | hashes of the chain | `unmapped.hash`, `unmapped.prev` |
//!
//! The trail holds no names and no groups of people besides their subject, so there are none here. A statement without a
//! table is about the engine itself: `database.name` is `sqe`, `type_id` Database 1.

use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use sqe_core::{
    Action,
    audit::{AuditEvent, ClientInfo, EventKind, Outcome, QueryEffect, TableAccess, Verdict},
};

use crate::{follow::Followed, record::Record};

/// The version of the schema.
pub const VERSION: &str = "1.6.0";

/// A record as one event: an object with the attributes that its class requires.
#[must_use]
pub fn event(record: &Followed) -> Value {
    let mut event = match &record.entry.record {
        Record::Event(event) => datastore_activity(event),
        other => event_log_activity(other),
    };
    event.insert("time".into(), milliseconds(record.entry.record.time()));
    let mut metadata = json!({
        "version": VERSION,
        "product": {"name": "SQE", "vendor_name": "SQE", "feature": {"name": "sqe-audit", "version": env!("CARGO_PKG_VERSION")}},
        "uid": format!("{}:{}", record.chain, record.entry.seq),
        "sequence": record.entry.seq,
        "log_name": record.chain,
        "log_provider": "sqe-audit",
        "event_code": record.entry.record.kind(),
        "original_time": exactly(record.entry.record.time()),
    });
    if let (Record::Event(event), Some(metadata)) = (&record.entry.record, metadata.as_object_mut()) {
        metadata.insert("correlation_uid".into(), json!(event.query.query_id));
    }
    event.insert("metadata".into(), metadata);
    if let Some(unmapped) = event.entry("unmapped").or_insert_with(|| json!({})).as_object_mut() {
        unmapped.insert("hash".into(), json!(record.entry.hash));
        unmapped.insert("prev".into(), json!(record.entry.prev));
    }
    Value::Object(event)
}

/// An activity of a class.
fn classified(class: u64, class_name: &str, activity: u64, activity_name: &str) -> Map<String, Value> {
    let category = if class / 1000 == 6 { "Application Activity" } else { "System Activity" };
    let fields = [
        ("category_uid", json!(class / 1000)),
        ("category_name", json!(category)),
        ("class_uid", json!(class)),
        ("class_name", json!(class_name)),
        ("activity_id", json!(activity)),
        ("activity_name", json!(activity_name)),
        ("type_uid", json!(class * 100 + activity)),
        ("type_name", json!(format!("{class_name}: {activity_name}"))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn severity(event: &mut Map<String, Value>, id: u64) {
    let name = match id {
        1 => "Informational",
        2 => "Low",
        _ => "Medium",
    };
    event.insert("severity_id".into(), json!(id));
    event.insert("severity".into(), json!(name));
}

fn event_log_activity(record: &Record) -> Map<String, Value> {
    let (activity, name, level, message, told) = match record {
        Record::Genesis { format, .. } => {
            (6, "Start", 1, "an audit trail begins".to_owned(), json!({"format": format}))
        }
        Record::Segment(header) => {
            let open = header.open.len();
            (5, "Rotate", 1, "the audit trail goes on in a new file".to_owned(), json!({"open_queries": open}))
        }
        Record::Opened { interrupted, .. } => (
            8,
            "Restart",
            if *interrupted > 0 { 2 } else { 1 },
            format!("a server opened the audit trail; {interrupted} queries had been interrupted"),
            json!({"interrupted": interrupted}),
        ),
        Record::Recovered { torn, .. } => {
            let message = "bytes that a crash had left unfinished were moved aside".to_owned();
            (99, "Recovered", 3, message, json!({"torn": torn}))
        }
        Record::Resumed { refused, .. } => {
            let message =
                format!("the audit trail takes events again; {refused} were refused, and their queries with them");
            (99, "Resumed", 3, message, json!({"refused": refused}))
        }
        Record::Event(_) => (99, "Other", 1, String::new(), json!({})),
    };
    let mut event = classified(1008, "Event Log Activity", activity, name);
    severity(&mut event, level);
    event.insert("status_id".into(), json!(1));
    event.insert("status".into(), json!("Success"));
    event.insert("message".into(), json!(message));
    event.insert("log_name".into(), json!("audit trail"));
    event.insert("log_provider".into(), json!("sqe-audit"));
    event.insert("unmapped".into(), told);
    event
}

fn datastore_activity(event: &AuditEvent) -> Map<String, Value> {
    let (activity, name) = activity(&event.tables);
    let mut fields = classified(6005, "Datastore Activity", activity, name);
    let effect = match &event.kind {
        EventKind::Effect(effect) | EventKind::Refused(effect) => Some(effect),
        _ => None,
    };
    status(&mut fields, effect);
    let principal = &event.query.principal;
    let mut actor = json!({
        "user": {"uid": principal.subject, "name": principal.subject, "domain": principal.issuer, "type_id": 0, "type": "Unknown"},
        "idp": {"name": principal.issuer},
    });
    if let (Some(nearest), Some(actor)) = (event.query.actors.first(), actor.as_object_mut()) {
        actor.insert("app_uid".into(), json!(nearest.to_string()));
    }
    fields.insert("actor".into(), actor);
    fields.insert("src_endpoint".into(), endpoint(&event.query.client));
    match event.tables.first() {
        Some(access) => {
            let name = &access.table.name;
            fields.insert("type_id".into(), json!(3));
            fields.insert("type".into(), json!("Table"));
            fields.insert(
                "database".into(),
                json!({"name": format!("{}.{}", name.catalog, name.schema), "type_id": 99, "type": "Iceberg"}),
            );
            let mut table = json!({"name": name.table});
            if let (false, Some(table)) = (access.table.uuid.is_nil(), table.as_object_mut()) {
                table.insert("uid".into(), json!(access.table.uuid));
            }
            fields.insert("table".into(), table);
        }
        None => {
            fields.insert("type_id".into(), json!(1));
            fields.insert("type".into(), json!("Database"));
            fields.insert("database".into(), json!({"name": "sqe", "type_id": 99, "type": "SQL engine"}));
        }
    }
    let mut query = json!({"uid": event.query.query_id, "query_string": event.query.statement});
    if let (Some(effect), Some(query)) = (effect, query.as_object_mut()) {
        query.insert("bytes".into(), json!(effect.bytes));
    }
    fields.insert("query_info".into(), query);
    let observables: Vec<_> = event
        .tables
        .iter()
        .map(|access| json!({"name": "table.name", "type_id": 99, "type": "Table", "value": access.table.name.to_string()}))
        .collect();
    if !observables.is_empty() {
        fields.insert("observables".into(), json!(observables));
    }
    fields.insert("message".into(), json!(message(event, effect)));
    fields.insert(
        "unmapped".into(),
        json!({
            "tables": event.tables.iter().map(table).collect::<Vec<_>>(),
            "actors": event.query.actors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "client_application": event.query.client.application,
            "rows": effect.map(|effect| effect.rows),
            "trace_id": event.query.trace.map(|trace| trace.to_string()),
        }),
    );
    fields
}

/// The activity that changes most; of several that only read, the first.
fn activity(tables: &[TableAccess]) -> (u64, &'static str) {
    let named = |action: Action| match action {
        Action::Select => (4, "Query"),
        Action::Insert => (5, "Write"),
        Action::Update | Action::Alter => (2, "Update"),
        Action::Delete | Action::Drop => (7, "Delete"),
        Action::Create => (6, "Create"),
        Action::Discover => (8, "List"),
        Action::Describe | Action::ReadMetadata => (1, "Read"),
        // An action of a later engine.
        _ => (99, "Other"),
    };
    let reads =
        |action: Action| matches!(action, Action::Select | Action::Discover | Action::Describe | Action::ReadMetadata);
    let change = tables.iter().find(|access| !reads(access.action));
    change.or(tables.first()).map_or((4, "Query"), |access| named(access.action))
}

fn status(fields: &mut Map<String, Value>, effect: Option<&QueryEffect>) {
    let Some(effect) = effect else {
        severity(fields, 1);
        fields.insert("status_id".into(), json!(99));
        fields.insert("status".into(), json!("Authorized"));
        fields.insert("status_code".into(), json!("authorized"));
        return;
    };
    let (id, word, level) = match &effect.outcome {
        Outcome::Completed => (1, "Success", 1),
        Outcome::Denied => (2, "Failure", 3),
        Outcome::Failed(_) | Outcome::Interrupted => (2, "Failure", 2),
        Outcome::Cancelled => (99, "Cancelled", 1),
        _ => (99, "Other", 1),
    };
    severity(fields, level);
    fields.insert("status_id".into(), json!(id));
    fields.insert("status".into(), json!(word));
    fields.insert("status_code".into(), json!(effect.outcome.as_str()));
    if let Outcome::Failed(kind) = &effect.outcome {
        fields.insert("status_detail".into(), json!(kind));
    }
}

/// Where a client is. An endpoint names at least something: the protocol is there if nothing else is.
fn endpoint(client: &ClientInfo) -> Value {
    let mut endpoint = Map::new();
    endpoint.insert("svc_name".into(), json!(client.protocol.as_deref().unwrap_or("unknown")));
    if let Some(address) = &client.address {
        if let Ok(socket) = address.parse::<SocketAddr>() {
            endpoint.insert("ip".into(), json!(socket.ip()));
            endpoint.insert("port".into(), json!(socket.port()));
        } else if let Ok(ip) = address.parse::<IpAddr>() {
            endpoint.insert("ip".into(), json!(ip));
        } else {
            endpoint.insert("name".into(), json!(address));
        }
    }
    Value::Object(endpoint)
}

fn table(access: &TableAccess) -> Value {
    let names = |of: &dyn Fn(&sqe_core::audit::ColumnUse) -> bool| {
        access.columns.iter().filter(|column| of(column)).map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    json!({
        "name": access.table.name.to_string(),
        "uid": if access.table.uuid.is_nil() { Value::Null } else { json!(access.table.uuid) },
        "snapshot": access.snapshot.map(|id| id.to_string()),
        "action": access.action.as_str(),
        "decision": access.verdict.as_str(),
        "columns": names(&|column| !column.policy_only),
        "column_ids": access.columns.iter().filter(|it| !it.policy_only).map(|it| it.field_id.0).collect::<Vec<_>>(),
        "masked_columns": names(&|column| column.masked),
        "policy_columns": names(&|column| column.policy_only),
        "policies": access.policies,
        "decision_digest": access.decision,
        "policy_snapshot": access.policy_snapshot,
        "session_name": access.session_name,
    })
}

fn message(event: &AuditEvent, effect: Option<&QueryEffect>) -> String {
    let who = &event.query.principal.subject;
    let what = match event.tables.as_slice() {
        [] => "a statement without tables".to_owned(),
        tables => tables.iter().map(|access| access.table.name.to_string()).collect::<Vec<_>>().join(", "),
    };
    let denied = event.tables.iter().any(|access| access.verdict == Verdict::Denied);
    match effect {
        None => format!("{who} may use {what}"),
        Some(effect) if denied => format!("{who} was refused {what}: {}", effect.outcome.as_str()),
        Some(effect) => format!("{who} used {what}: {}, {} rows", effect.outcome.as_str(), effect.rows),
    }
}

fn milliseconds(time: DateTime<Utc>) -> Value {
    json!(time.timestamp_millis())
}

fn exactly(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
pub(crate) mod tests;
