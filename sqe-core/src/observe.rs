//! What an engine does, told as it does it: what metrics and traces are made of.
//!
//! Events are plain data. They name no person and no table, so whoever makes labels of them cannot give away what policy
//! hides.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    ErrorKind, QueryId,
    audit::Outcome,
    trace::{SpanId, TraceContext},
};

/// Watches an engine at work. Nothing that it does changes what the engine does.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Is called where it happens, on the statement's own way: it must return at once, and wait for nothing.
    fn observe(&self, event: &Event<'_>);
}

/// Watches nothing.
impl Observer for () {
    fn observe(&self, _event: &Event<'_>) {}
}

/// Whoever watches may be asked elsewhere, too.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &Event<'_>) {
        (**self).observe(event);
    }
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something went through one room.
    Step(Step<'a>),
    /// A statement ended.
    Statement(StatementEnd<'a>),
}

/// A room that a statement, a log-in or a listing has left.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Step<'a> {
    /// Which one.
    pub room: Room<'a>,
    /// The span of the statement that it was for; of a log-in that of the caller. `None`: of no trace.
    pub within: Option<TraceContext>,
    /// When it entered.
    pub started: SystemTime,
    /// How long it stayed.
    pub took: Duration,
    /// Why it did not get what it wanted.
    pub failure: Option<ErrorKind>,
}

/// The rooms that are told about, and what is worth telling of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Room<'a> {
    /// Credentials became a session.
    Login,
    /// Waited for its turn.
    Turn(Turn),
    /// A catalog was asked.
    Catalog {
        /// The catalog, as the engine was told to call it.
        catalog: &'a str,
        /// What for.
        call: CatalogCall,
    },
    /// The policy engine was asked for a batch of decisions. The numbers are those of decisions; all are 0 if it failed.
    Decide {
        /// Permitted without restrictions.
        permitted: usize,
        /// Permitted with a row filter, masks or hidden columns.
        restricted: usize,
        /// Denied.
        denied: usize,
    },
    /// A vendor was asked for a lease.
    Vend {
        /// The catalog whose files it is for.
        catalog: &'a str,
    },
    /// The bound statement became a verified physical plan; leases included.
    Plan,
    /// Ran, from its durable intent to its last row.
    Run,
    /// The audit trail took an event, or did not.
    Record,
}

impl Room<'_> {
    /// The room in one word.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Turn(_) => "wait",
            Self::Catalog { call, .. } => call.as_str(),
            Self::Decide { .. } => "decide",
            Self::Vend { .. } => "vend",
            Self::Plan => "plan",
            Self::Run => "run",
            Self::Record => "record",
        }
    }
}

/// What a statement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Turn {
    /// To be planned.
    Planning,
    /// To run.
    Running,
    /// To be answered with a list.
    Listing,
}

impl Turn {
    /// What is waited for, in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Listing => "listing",
        }
    }
}

/// What a catalog is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CatalogCall {
    /// To be opened as a person.
    Open,
    /// To load tables. One that is not there is an answer, not a failure.
    Resolve,
    /// To list schemas or tables.
    List,
    /// To commit rows, or a change of definitions.
    Commit,
}

impl CatalogCall {
    /// The call in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolve => "resolve",
            Self::List => "list",
            Self::Commit => "commit",
        }
    }
}

/// The end of a statement, as the audit trail has it. A statement that is planned and never run has none.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatementEnd<'a> {
    /// The query, as in the audit trail.
    pub query: QueryId,
    /// Its span. The trace is the one in the audit trail.
    pub context: TraceContext,
    /// The caller's span, if the caller takes part in a trace.
    pub parent: Option<SpanId>,
    /// What it did, as one or two words of SQL such as `SELECT` or `CREATE TABLE`; of a fixed set. Empty if it could not
    /// be parsed.
    pub operation: &'static str,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// Rows handed over to the client, or changed.
    pub rows: u64,
    /// Bytes of Arrow data handed over to the client.
    pub bytes: u64,
    /// When it arrived.
    pub started: SystemTime,
    /// From its arrival to its end: of a query also the time in which it waited to be fetched.
    pub took: Duration,
    /// Whether its end is durable in the trail. If it is not, the client was told an error.
    pub recorded: bool,
}
