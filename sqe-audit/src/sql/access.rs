//! `audit.access`: one row a query and table.

use std::{borrow::Cow, collections::HashMap};

use chrono::{DateTime, Utc};
use sqe_core::{
    QueryId, Result,
    audit::{AuditEvent, ColumnUse, EventKind, Outcome, QueryEffect, TableAccess},
};
use uuid::Uuid;

use super::{
    columns::{Cell, Def, Kind},
    extent::Part,
    range::TimeRange,
};
use crate::{
    record::{Mark, OpenIntent, Outline},
    trail::read_intent,
};

/// A query and one of its tables.
#[derive(Debug)]
pub(crate) struct AccessRow {
    chain: Uuid,
    event: AuditEvent,
    began: DateTime<Utc>,
    /// Which of the event's tables; beyond the last for a query without tables.
    table: usize,
}

impl AccessRow {
    fn access(&self) -> Option<&TableAccess> {
        self.event.tables.get(self.table)
    }

    fn effect(&self) -> Option<&QueryEffect> {
        match &self.event.kind {
            EventKind::Effect(effect) | EventKind::Refused(effect) => Some(effect),
            _ => None,
        }
    }

    fn columns(&self, which: impl Fn(&ColumnUse) -> bool) -> Cell<'_> {
        self.of_table(|access| {
            let named = access.columns.iter().filter(|column| which(column));
            Cell::Texts(named.map(|column| Cow::from(&*column.name)).collect())
        })
    }

    fn of_table<'a>(&'a self, cell: impl FnOnce(&'a TableAccess) -> Cell<'a>) -> Cell<'a> {
        self.access().map_or(Cell::Null, cell)
    }

    fn of_effect<'a>(&'a self, cell: impl FnOnce(&'a QueryEffect) -> Cell<'a>) -> Cell<'a> {
        self.effect().map_or(Cell::Null, cell)
    }
}

/// The columns. Times are UTC; `rows` and `bytes` are those of the whole query; lists are empty rather than NULL for a
/// table of which no column fits.
pub(crate) static COLUMNS: [Def<AccessRow>; 31] = [
    Def::new(1, "time", Kind::Time, |row| Cell::Time(row.began)),
    Def::new(2, "query_id", Kind::Text, |row| Cell::text(row.event.query.query_id.to_string())),
    Def::new(3, "issuer", Kind::Text, |row| Cell::text(&*row.event.query.principal.issuer)),
    Def::new(4, "subject", Kind::Text, |row| Cell::text(&*row.event.query.principal.subject)),
    Def::maybe(5, "catalog", Kind::Text, |row| row.of_table(|a| Cell::some_text(&a.table.name.catalog))),
    Def::maybe(6, "schema", Kind::Text, |row| row.of_table(|a| Cell::some_text(&a.table.name.schema))),
    Def::maybe(7, "table", Kind::Text, |row| row.of_table(|a| Cell::some_text(&a.table.name.table))),
    Def::maybe(8, "columns", Kind::Texts, |row| row.columns(|column| !column.policy_only)),
    Def::maybe(9, "decision", Kind::Text, |row| row.of_table(|a| Cell::text(a.verdict.as_str()))),
    Def::new(10, "outcome", Kind::Text, |row| {
        Cell::text(row.effect().map_or("running", |effect| effect.outcome.as_str()))
    }),
    Def::maybe(11, "rows", Kind::Integer, |row| row.of_effect(|effect| Cell::count(effect.rows))),
    Def::maybe(12, "end_time", Kind::Time, |row| row.of_effect(|_| Cell::Time(row.event.time))),
    Def::maybe(13, "action", Kind::Text, |row| row.of_table(|a| Cell::text(a.action.as_str()))),
    Def::maybe(14, "masked_columns", Kind::Texts, |row| row.columns(|column| column.masked)),
    Def::maybe(15, "policy_columns", Kind::Texts, |row| row.columns(|column| column.policy_only)),
    Def::maybe(16, "policies", Kind::Texts, |row| {
        row.of_table(|a| Cell::Texts(a.policies.iter().map(Cow::from).collect()))
    }),
    Def::maybe(17, "policy_snapshot", Kind::Text, |row| row.of_table(|a| Cell::some_text(&a.policy_snapshot))),
    Def::maybe(18, "decision_digest", Kind::Text, |row| row.of_table(|a| Cell::some_text(&a.decision))),
    Def::maybe(19, "statement", Kind::Text, |row| Cell::some_text(&row.event.query.statement)),
    Def::maybe(20, "client_address", Kind::Text, |row| Cell::optional(row.event.query.client.address.as_deref())),
    Def::maybe(21, "client_application", Kind::Text, |row| {
        Cell::optional(row.event.query.client.application.as_deref())
    }),
    Def::maybe(22, "protocol", Kind::Text, |row| Cell::optional(row.event.query.client.protocol.as_deref())),
    Def::maybe(23, "error", Kind::Text, |row| {
        row.of_effect(|effect| match &effect.outcome {
            Outcome::Failed(kind) => Cell::text(kind),
            _ => Cell::Null,
        })
    }),
    Def::maybe(24, "bytes", Kind::Integer, |row| row.of_effect(|effect| Cell::count(effect.bytes))),
    Def::maybe(25, "snapshot_id", Kind::Integer, |row| row.of_table(|a| a.snapshot.map_or(Cell::Null, Cell::Integer))),
    Def::maybe(26, "table_uuid", Kind::Text, |row| {
        row.of_table(|a| if a.table.uuid.is_nil() { Cell::Null } else { Cell::text(a.table.uuid.to_string()) })
    }),
    Def::maybe(27, "session_name", Kind::Text, |row| row.of_table(|a| Cell::optional(a.session_name.as_deref()))),
    Def::new(28, "actors", Kind::Texts, |row| {
        Cell::Texts(row.event.query.actors.iter().map(|actor| actor.to_string().into()).collect())
    }),
    Def::maybe(29, "column_ids", Kind::Ids, |row| {
        row.of_table(|a| {
            let read = a.columns.iter().filter(|column| !column.policy_only);
            Cell::Ids(read.map(|column| column.field_id.0).collect())
        })
    }),
    Def::new(30, "chain", Kind::Text, |row| Cell::text(row.chain.to_string())),
    Def::maybe(31, "trace_id", Kind::Text, |row| {
        row.event.query.trace.map_or(Cell::Null, |trace| Cell::text(trace.to_string()))
    }),
];

/// Calls `push` with the rows of one segment until it says `false`.
///
/// A query's rows are made of its effect, wherever that stands; the header of each segment says when the queries began
/// that have their intents in earlier ones. So segments can be read by themselves, in any order. What is still open at
/// the end of the last one is running.
pub(crate) fn read(part: &Part, range: &TimeRange, push: &mut dyn FnMut(&AccessRow) -> Result<bool>) -> Result<bool> {
    let mut chain = Uuid::nil();
    let mut open: HashMap<QueryId, OpenIntent> = HashMap::new();
    let whole = part.for_each(|line, offset| {
        let mark = match line.outline()? {
            Outline::Genesis { chain: id } => {
                chain = id;
                Mark::System
            }
            Outline::Segment(header) => {
                chain = header.chain;
                open.extend(header.open.into_iter().map(|intent| (intent.query, intent)));
                Mark::System
            }
            Outline::Opened {} | Outline::Recovered { .. } | Outline::Resumed {} => Mark::System,
            Outline::Event(event) => event.mark(),
        };
        let began = match mark {
            Mark::System => return Ok(true),
            Mark::Intent(query, time) => {
                open.insert(query, OpenIntent { query, time, seq: line.seq, offset });
                return Ok(true);
            }
            Mark::Effect(query, time) => open.remove(&query).map_or(time, |intent| intent.time),
            Mark::Alone(time) => time,
        };
        match line.record()?.into_event().filter(|_| range.contains(began)) {
            Some(event) => rows(chain, event, began, push),
            None => Ok(true),
        }
    })?;
    if !whole || !part.last {
        return Ok(whole);
    }
    let mut running: Vec<_> = open.into_values().filter(|intent| range.contains(intent.time)).collect();
    running.sort_by_key(|intent| intent.seq);
    for intent in running {
        if !rows(chain, read_intent(part.segments(), &intent)?, intent.time, push)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn rows(
    chain: Uuid,
    event: AuditEvent,
    began: DateTime<Utc>,
    push: &mut dyn FnMut(&AccessRow) -> Result<bool>,
) -> Result<bool> {
    let mut row = AccessRow { chain, event, began, table: 0 };
    loop {
        if !push(&row)? {
            return Ok(false);
        }
        row.table += 1;
        if row.table >= row.event.tables.len() {
            return Ok(true);
        }
    }
}
