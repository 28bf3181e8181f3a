//! Records: one line of JSON each, chained by hash.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use sqe_core::{
    Error, QueryId, Result,
    audit::{AuditEvent, EventKind},
};
use uuid::Uuid;

use crate::hash::Hash;

/// What one record of the trail says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// The first record of a chain.
    Genesis {
        /// The chain's id.
        chain: Uuid,
        /// When it began.
        created: DateTime<Utc>,
        /// The version of the format: 1.
        format: u32,
    },
    /// The first record of every further segment file.
    Segment(SegmentHeader),
    /// A writer opened the chain.
    Opened {
        /// When.
        time: DateTime<Utc>,
        /// How many intents were found open and closed as interrupted, right after this record.
        interrupted: u64,
    },
    /// A writer found unfinished bytes behind the last record, which no caller had been told to be durable, and moved
    /// them aside.
    Recovered {
        /// When.
        time: DateTime<Utc>,
        /// What was found.
        torn: Torn,
    },
    /// The trail takes events again. Those in between were refused, and with them their queries.
    Resumed {
        /// When.
        time: DateTime<Utc>,
        /// How many events were refused.
        refused: u64,
    },
    /// What happened to a query.
    Event(AuditEvent),
}

impl Record {
    /// The record's kind in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::Segment(_) => "segment",
            Self::Opened { .. } => "opened",
            Self::Recovered { .. } => "recovered",
            Self::Resumed { .. } => "resumed",
            Self::Event(event) => match event.kind {
                EventKind::Intent => "intent",
                EventKind::Effect(_) => "effect",
                EventKind::Refused(_) => "refused",
                _ => "event",
            },
        }
    }

    /// When it happened.
    #[must_use]
    pub fn time(&self) -> DateTime<Utc> {
        match self {
            Self::Genesis { created, .. } => *created,
            Self::Segment(header) => header.created,
            Self::Opened { time, .. } | Self::Recovered { time, .. } | Self::Resumed { time, .. } => *time,
            Self::Event(event) => event.time,
        }
    }

    /// The event, if it is one.
    #[must_use]
    pub fn into_event(self) -> Option<AuditEvent> {
        match self {
            Self::Event(event) => Some(event),
            _ => None,
        }
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(unwritable)
    }
}

/// An event as the bytes of a [`Record::Event`], without a copy of the event.
pub(crate) fn event_bytes(event: &AuditEvent) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        event: &'a AuditEvent,
    }
    serde_json::to_vec(&Borrowed { event }).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal("the audit event cannot be written as a record; the query is refused").with_source(error)
}

/// Bytes that a crash left unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Torn {
    /// The segment file that they were found in.
    pub segment: String,
    /// Where in it they began, in bytes.
    pub offset: u64,
    /// How many there were.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: Hash,
    /// The file in the trail's folder that keeps them.
    pub kept_in: String,
}

/// What a segment file begins with: all that is needed to read it without the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SegmentHeader {
    /// The chain's id.
    pub chain: Uuid,
    /// When the segment began.
    pub created: DateTime<Utc>,
    /// The range of times in the segment before; `None` if it holds no events.
    pub previous: Option<Bounds>,
    /// Intents of earlier segments that have no effect yet.
    pub open: Vec<OpenIntent>,
}

/// The least and the greatest time that the rows made of a segment have: those of its events and, for an effect, also
/// that of its intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bounds {
    /// The least.
    pub min: DateTime<Utc>,
    /// The greatest.
    pub max: DateTime<Utc>,
}

impl Bounds {
    pub(crate) fn include(bounds: &mut Option<Self>, time: DateTime<Utc>) {
        let old = bounds.unwrap_or(Self { min: time, max: time });
        *bounds = Some(Self { min: old.min.min(time), max: old.max.max(time) });
    }
}

/// Where an intent without an effect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OpenIntent {
    /// The query.
    pub query: QueryId,
    /// When it was authorised.
    pub time: DateTime<Utc>,
    /// The sequence number of the intent.
    pub seq: u64,
    /// Where its line begins in the segment file that holds `seq`, in bytes.
    pub offset: u64,
}

/// What the writer needs to know of an event without parsing it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Not an event of a query.
    System,
    /// An intent.
    Intent(QueryId, DateTime<Utc>),
    /// The effect of an intent.
    Effect(QueryId, DateTime<Utc>),
    /// An event that stands alone.
    Alone(DateTime<Utc>),
}

/// As much of a record as it takes to follow a chain; the rest of the line is skipped.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outline {
    Genesis { chain: Uuid },
    Segment(SegmentHeader),
    Opened {},
    Recovered { torn: Torn },
    Resumed {},
    Event(EventOutline),
}

#[derive(Debug, Deserialize)]
pub(crate) struct EventOutline {
    time: DateTime<Utc>,
    query: QueryOutline,
    kind: KindOutline,
}

#[derive(Debug, Deserialize)]
struct QueryOutline {
    query_id: QueryId,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindOutline {
    Intent,
    Effect(IgnoredAny),
    Refused(IgnoredAny),
}

impl EventOutline {
    pub(crate) fn mark(&self) -> Mark {
        match self.kind {
            KindOutline::Intent => Mark::Intent(self.query.query_id, self.time),
            KindOutline::Effect(_) => Mark::Effect(self.query.query_id, self.time),
            KindOutline::Refused(_) => Mark::Alone(self.time),
        }
    }
}

impl Mark {
    pub(crate) fn of(event: &AuditEvent) -> Self {
        match event.kind {
            EventKind::Intent => Self::Intent(event.query.query_id, event.time),
            EventKind::Effect(_) => Self::Effect(event.query.query_id, event.time),
            _ => Self::Alone(event.time),
        }
    }
}

/// One line, taken apart but not believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
    pub(crate) body: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line without its line feed apart. There is exactly one spelling of each record, so that every changed
    /// byte is either noticed here or changes the hash.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"seq\":")?;
        let digits = rest.iter().position(|byte| *byte == b',')?;
        let (digits, rest) = rest.split_at_checked(digits)?;
        let seq: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if seq.to_string().as_bytes() != digits {
            return None;
        }
        let (prev, rest) = rest.strip_prefix(b",\"prev\":\"")?.split_at_checked(64)?;
        let (hash, rest) = rest.strip_prefix(b"\",\"hash\":\"")?.split_at_checked(64)?;
        let body = rest.strip_prefix(b"\",\"record\":")?.strip_suffix(b"}")?;
        Some(Self { seq, prev: Hash::parse(prev)?, hash: Hash::parse(hash)?, body })
    }

    /// Whether the hash is that of the line's own contents.
    pub(crate) fn is_intact(&self) -> bool {
        Hash::chained(&self.prev, self.seq, self.body) == self.hash
    }

    pub(crate) fn record(&self) -> Result<Record> {
        serde_json::from_slice(self.body).map_err(|error| unreadable(self.seq, error))
    }

    pub(crate) fn outline(&self) -> Result<Outline> {
        serde_json::from_slice(self.body).map_err(|error| unreadable(self.seq, error))
    }
}

/// The error of a record that is no JSON of this format.
pub(crate) fn unreadable(seq: u64, error: serde_json::Error) -> Error {
    Error::internal(format!("record {seq} of the audit trail cannot be read; verify the trail")).with_source(error)
}

/// Appends the line of record `seq` to `out` and returns its hash.
pub(crate) fn append_line(out: &mut Vec<u8>, seq: u64, prev: &Hash, body: &[u8]) -> Hash {
    let hash = Hash::chained(prev, seq, body);
    // INVARIANT: `Line::parse` accepts exactly this spelling. Writing to a vector cannot fail.
    let _ = write!(out, "{{\"seq\":{seq},\"prev\":\"{prev}\",\"hash\":\"{hash}\",\"record\":");
    out.extend_from_slice(body);
    out.extend_from_slice(b"}\n");
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_parses_back_and_any_other_spelling_is_refused() {
        let mut bytes = Vec::new();
        let hash = append_line(&mut bytes, 7, &Hash::NONE, br#"{"a":1}"#);
        assert_eq!(bytes.pop(), Some(b'\n'));
        let line = Line::parse(&bytes).unwrap();
        assert_eq!((line.seq, line.prev, line.hash, line.body), (7, Hash::NONE, hash, br#"{"a":1}"#.as_slice()));
        assert!(line.is_intact());

        let text = String::from_utf8(bytes).unwrap();
        for wrong in [
            text.replace("\"seq\":7", "\"seq\":07"),
            text.replace("\"seq\":7", "\"seq\":+7"),
            text.replace("\"seq\":7", "\"seq\": 7"),
            text.replace(&hash.to_string(), &hash.to_string().to_uppercase()),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            String::new(),
        ] {
            assert!(Line::parse(wrong.as_bytes()).is_none_or(|line| !line.is_intact()), "{wrong}");
        }
    }

    #[test]
    fn the_two_ways_to_write_an_event_agree() {
        let identity = sqe_core::Identity::new(sqe_core::Principal::new("i", "s"));
        let facts =
            sqe_core::audit::QueryFacts::new(QueryId::random(), &identity, Default::default(), "SELECT ?\n\"\u{1f980}");
        let event = AuditEvent::now(facts, EventKind::Intent, Vec::new());
        let bytes = event_bytes(&event).unwrap();
        assert_eq!(bytes, Record::Event(event.clone()).to_bytes().unwrap());
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), Record::Event(event));
    }
}
