//! Who read which data: the events an engine reports, and the trait of what keeps them.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Action, ErrorKind, FieldId, Identity, Principal, QueryId, Result, TableId, trace::TraceId};

/// Where a query came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Network address of the peer, if there is one.
    pub address: Option<String>,
    /// What the client says it is. Not verified.
    pub application: Option<String>,
    /// How it came in, such as `flight-sql`.
    pub protocol: Option<String>,
}

impl ClientInfo {
    /// A client that came in over `protocol`.
    pub fn new(protocol: impl Into<String>) -> Self {
        Self { address: None, application: None, protocol: Some(protocol.into()) }
    }

    /// Sets the peer's address.
    #[must_use]
    pub fn with_address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Sets what the client says it is.
    #[must_use]
    pub fn with_application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }
}

/// How a query uses a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ColumnUse {
    /// The column's stable id.
    pub field_id: FieldId,
    /// Its name when it was read.
    pub name: String,
    /// Whether policy masked it.
    pub masked: bool,
    /// Whether only policy read it (in a row filter or a mask), not the person.
    pub policy_only: bool,
}

impl ColumnUse {
    /// A column that the person's statement reads.
    pub fn new(field_id: FieldId, name: impl Into<String>) -> Self {
        Self { field_id, name: name.into(), masked: false, policy_only: false }
    }
}

/// What was decided about a table of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Permitted without restrictions.
    Permitted,
    /// Permitted with a row filter, masks or hidden columns.
    Restricted,
    /// Denied, whatever the person was told.
    Denied,
    /// There is no such table, or the catalog hides it from this person.
    Missing,
}

impl Verdict {
    /// The verdict as the audit trail spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Restricted => "restricted",
            Self::Denied => "denied",
            Self::Missing => "missing",
        }
    }
}

/// One table of one query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TableAccess {
    /// The table. A missing table has the nil uuid.
    pub table: TableId,
    /// The snapshot that was read, if the catalog has snapshots.
    pub snapshot: Option<i64>,
    /// What was done.
    pub action: Action,
    /// What was decided.
    pub verdict: Verdict,
    /// The columns, by id, that the query uses.
    pub columns: Vec<ColumnUse>,
    /// The ids of the policies that decided.
    pub policies: Vec<String>,
    /// Digest of the whole decision (see [`Decision::digest`](crate::Decision::digest)).
    pub decision: String,
    /// The policy snapshot that decided.
    pub policy_snapshot: String,
    /// The name of the credentials' session at the storage, if there was one.
    pub session_name: Option<String>,
}

impl TableAccess {
    /// An access without columns and policies.
    #[must_use]
    pub fn new(table: TableId, action: Action, verdict: Verdict) -> Self {
        Self {
            table,
            snapshot: None,
            action,
            verdict,
            columns: Vec::new(),
            policies: Vec::new(),
            decision: String::new(),
            policy_snapshot: String::new(),
            session_name: None,
        }
    }
}

/// How a query ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// All rows were handed over, or the change was made.
    Completed,
    /// Refused by policy, before anything was read.
    Denied,
    /// Ended by an error of this kind (an [`ErrorKind`] as text).
    Failed(String),
    /// The client went away or asked to stop.
    Cancelled,
    /// The process ended in mid-query; written by the next start.
    Interrupted,
}

impl Outcome {
    /// The failure of `kind`.
    #[must_use]
    pub fn failed(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::Cancelled => Self::Cancelled,
            kind => Self::Failed(kind.as_str().to_owned()),
        }
    }

    /// One word for the outcome.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Completed => "completed",
            Self::Denied => "denied",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What every event of a query says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueryFacts {
    /// The query.
    pub query_id: QueryId,
    /// Who asked.
    pub principal: Principal,
    /// On whose hands it came, nearest first.
    pub actors: Vec<Principal>,
    /// From where.
    pub client: ClientInfo,
    /// The statement with its literals replaced by `?`; empty if it could not be parsed.
    pub statement: String,
    /// The trace that it is a part of: the client's, if the client named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceId>,
}

impl QueryFacts {
    /// Facts about a query of `identity`.
    pub fn new(query_id: QueryId, identity: &Identity, client: ClientInfo, statement: impl Into<String>) -> Self {
        Self {
            query_id,
            principal: identity.principal.clone(),
            actors: identity.actors.clone(),
            client,
            statement: statement.into(),
            trace: None,
        }
    }

    /// Sets the trace.
    #[must_use]
    pub fn with_trace(mut self, trace: TraceId) -> Self {
        self.trace = Some(trace);
        self
    }
}

/// What a query did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueryEffect {
    /// How it ended.
    pub outcome: Outcome,
    /// Rows handed over to the client, or changed.
    pub rows: u64,
    /// Bytes of Arrow data handed over to the client.
    pub bytes: u64,
}

impl QueryEffect {
    /// An effect.
    #[must_use]
    pub fn new(outcome: Outcome, rows: u64, bytes: u64) -> Self {
        Self { outcome, rows, bytes }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A query was authorised and is about to run. Durable before its first byte leaves.
    Intent,
    /// A query that had an intent ended. Durable before its stream ends.
    Effect(QueryEffect),
    /// A query ended without ever running: refused, wrong, or about missing tables.
    Refused(QueryEffect),
}

/// One event of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEvent {
    /// When it happened, by the engine's clock.
    pub time: DateTime<Utc>,
    /// The query.
    pub query: QueryFacts,
    /// What happened to it.
    pub kind: EventKind,
    /// The tables it touches. An effect repeats those of its intent.
    pub tables: Vec<TableAccess>,
}

impl AuditEvent {
    /// An event that happened now.
    #[must_use]
    pub fn now(query: QueryFacts, kind: EventKind, tables: Vec<TableAccess>) -> Self {
        Self { time: Utc::now(), query, kind, tables }
    }
}

/// Keeps audit events.
#[async_trait]
pub trait AuditSink: fmt::Debug + Send + Sync + 'static {
    /// Returns once the event is durable. Concurrent calls may share one write (group commit); events of one caller
    /// keep their order.
    ///
    /// # Errors
    /// Any error refuses the query, or ends its stream with an error. A sink must never drop an event and return `Ok`.
    async fn record(&self, event: AuditEvent) -> Result<()>;
}
