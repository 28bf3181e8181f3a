//! The engine: one query, room by room.
//!
//! | room | takes → gives | leaves the process |
//! |---|---|---|
//! | `session` | credentials → a session with a verified identity | identity provider |
//! | `statement` | SQL → a statement of a known kind | – |
//! | `resolve` | names → tables, as the person | catalogs |
//! | `sources` | the same again for what views name, until they name nothing new | – |
//! | `decide` | accesses → decisions, one batch | policy engine |
//! | `bind` | SQL against visible schemas → a verified logical plan | – |
//! | `vend` | permitted tables → leases → stores | vendors |
//! | `plan` | → a verified physical plan on the query's own runtime | storage (manifests) |
//! | `run` | scheduler → stream, with deadline and cancellation | workers |
//! | `trail` | a durable intent before the first byte, the effect before the end | audit sink |
//!
//! What a person may ask for at all is bounded first: `ignored` refuses what the planner would leave out, `shape` what is
//! larger than it looks, and `bounded` functions whose answers explode. `metered` counts what operators hold by themselves.
//!
//! `write`, `views`, `ingest` and `explain` are the ways of what does not simply return rows; `prepared` and `settings` are what a
//! session keeps for its next statements; `listing` answers what a person may see at all. `observed` tells who watches, and
//! `drain` lets the engine come to its end.

mod admission;
mod bind;
mod bounded;
mod builder;
mod constants;
mod decide;
mod drain;
mod error;
mod explain;
mod grouping;
mod held;
mod ignored;
mod information_schema;
mod ingest;
mod json;
mod listing;
mod login;
mod metered;
mod observed;
mod plan;
mod prepared;
mod progress;
mod recursive;
mod resolve;
mod run;
mod session;
mod settings;
mod shape;
mod sources;
mod statement;
mod trail;
mod vend;
mod versions;
mod views;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use datafusion::execution::SessionState;

pub use builder::{EngineBuilder, Expiry, Limits};
pub use drain::Activity;
pub use ingest::{Ingest, IngestMode};
pub use listing::{ListingRequest, VisibleTable};
pub use login::{FailureRate, LoginLimits};
pub use observed::in_trace;
pub use plan::{Planned, Statement, StatementKind, StatementShape};
pub use progress::Progress;
pub use run::QueryStream;
pub use session::{Session, SessionOptions};

use crate::{
    Credentials, Identity, IdentityProvider, PolicyEngine, Result, Secret, audit::AuditSink, govern::GovernedCodec,
    observe::Observer, scheduler::Scheduler,
};

/// A sovereign SQL engine: every query runs as the person who asks. Cheap to clone; clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    identity: Arc<dyn IdentityProvider>,
    policy: Arc<dyn PolicyEngine>,
    audit: Arc<dyn AuditSink>,
    scheduler: Arc<dyn Scheduler>,
    catalogs: BTreeMap<String, builder::CatalogBinding>,
    defaults: (String, String),
    admission: admission::Admission,
    logins: login::Logins,
    limits: Limits,
    template: SessionState,
    table_functions: BTreeSet<String>,
    runtime: builder::SharedRuntime,
    mask_key: Secret,
    codec: Option<GovernedCodec>,
    nodes: Vec<String>,
    sessions: session::OpenSessions,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("catalogs", &self.0.catalogs.keys()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Begins to put an engine together.
    #[must_use]
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Authenticates and opens a session.
    ///
    /// # Errors
    /// `Unauthenticated` for credentials that are rejected or that no provider knows, `PermissionDenied` for good ones of
    /// somebody who may not act as whom they ask for, `Unavailable` if a provider cannot decide now, `ResourceExhausted` if
    /// too many attempts failed before (see [`LoginLimits`]).
    pub async fn session(&self, credentials: &Credentials, options: SessionOptions) -> Result<Session> {
        Session::open(Arc::clone(&self.0), credentials, options).await
    }

    /// Ends the open sessions whose identity `ends`: their running statements stop, and later calls on them are
    /// `Unauthenticated`. Gives the number of sessions that were ended.
    ///
    /// This reaches who is in already. That nobody comes in again with a withdrawn credential is the identity
    /// provider's part, and has to be done first: a log-in between the two would otherwise be missed.
    pub fn end_sessions(&self, ends: impl Fn(&Identity) -> bool) -> usize {
        self.0.sessions.end(ends)
    }

    /// The names of the configured catalogs, for operators. People are shown [`Session::catalogs`].
    #[must_use]
    pub fn catalog_names(&self) -> Vec<String> {
        self.0.catalogs.keys().cloned().collect()
    }
}
