//! `audit.events`: one row a record, as it stands in the trail.

use chrono::{DateTime, Utc};
use sqe_core::Result;
use uuid::Uuid;

use super::{
    columns::{Cell, Def, Kind},
    extent::Part,
    range::TimeRange,
};
use crate::{
    hash::Hash,
    record::{Record, unreadable},
};

/// A record.
#[derive(Debug)]
pub(crate) struct EventRow {
    chain: Uuid,
    seq: u64,
    prev: Hash,
    hash: Hash,
    time: DateTime<Utc>,
    record: Record,
    text: String,
}

impl EventRow {
    fn of_event<'a>(&'a self, cell: impl FnOnce(&'a sqe_core::audit::QueryFacts) -> Cell<'a>) -> Cell<'a> {
        match &self.record {
            Record::Event(event) => cell(&event.query),
            _ => Cell::Null,
        }
    }
}

/// The columns. `record` is the JSON text that `hash` is made of, together with `prev` and `seq`.
pub(crate) static COLUMNS: [Def<EventRow>; 10] = [
    Def::new(1, "time", Kind::Time, |row| Cell::Time(row.time)),
    Def::new(2, "chain", Kind::Text, |row| Cell::text(row.chain.to_string())),
    Def::new(3, "seq", Kind::Integer, |row| Cell::count(row.seq)),
    Def::new(4, "kind", Kind::Text, |row| Cell::text(row.record.kind())),
    Def::maybe(5, "query_id", Kind::Text, |row| row.of_event(|query| Cell::text(query.query_id.to_string()))),
    Def::maybe(6, "issuer", Kind::Text, |row| row.of_event(|query| Cell::text(&*query.principal.issuer))),
    Def::maybe(7, "subject", Kind::Text, |row| row.of_event(|query| Cell::text(&*query.principal.subject))),
    Def::new(8, "prev", Kind::Text, |row| Cell::text(row.prev.to_string())),
    Def::new(9, "hash", Kind::Text, |row| Cell::text(row.hash.to_string())),
    Def::new(10, "record", Kind::Text, |row| Cell::text(&*row.text)),
];

/// Calls `push` with the rows of one segment until it says `false`.
pub(crate) fn read(part: &Part, range: &TimeRange, push: &mut dyn FnMut(&EventRow) -> Result<bool>) -> Result<bool> {
    let mut chain = Uuid::nil();
    part.for_each(|line, _| {
        let record = line.record()?;
        match &record {
            Record::Genesis { chain: id, .. } => chain = *id,
            Record::Segment(header) => chain = header.chain,
            _ => {}
        }
        let time = record.time();
        if !range.contains(time) {
            return Ok(true);
        }
        let text =
            std::str::from_utf8(line.body).map_err(|_| unreadable(line.seq, serde::de::Error::custom("not UTF-8")))?;
        let text = text.to_owned();
        push(&EventRow { chain, seq: line.seq, prev: line.prev, hash: line.hash, time, record, text })
    })
}
