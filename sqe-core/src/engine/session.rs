//! Credentials → a person's session.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use chrono::Utc;
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::{
    Inner,
    builder::CatalogBinding,
    prepared::{Prepared, PreparedStatements},
    settings::{Change, Settings},
};
use crate::{
    Credentials, Error, Identity, Result, Verified,
    audit::ClientInfo,
    catalog::{CatalogSession, OpenRequest},
    observe::{CatalogCall, Room},
};

/// How a session begins.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Where it comes from, for the audit trail.
    pub client: ClientInfo,
    /// The catalog of names without one. `None`: the engine's default.
    pub catalog: Option<String>,
    /// The schema of names without one. `None`: the engine's default.
    pub schema: Option<String>,
}

impl SessionOptions {
    /// A session of `client` with the engine's defaults.
    #[must_use]
    pub fn new(client: ClientInfo) -> Self {
        Self { client, catalog: None, schema: None }
    }
}

/// One person's session. Cheap to clone; clones are the same session.
#[derive(Clone)]
pub struct Session(Arc<SessionInner>);

struct SessionInner {
    engine: Arc<Inner>,
    identity: Verified<Identity>,
    client: ClientInfo,
    /// The catalog and the schema with which the session began.
    began: (String, String),
    defaults: Mutex<(String, String)>,
    settings: Mutex<Settings>,
    prepared: Mutex<PreparedStatements>,
    opened: HashMap<String, OnceCell<Arc<dyn CatalogSession>>>,
    closed: CancellationToken,
}

/// What a statement changes of its session.
#[derive(Debug)]
pub(super) enum SessionChange {
    Set(Vec<Change>),
    Keep(String, Arc<Prepared>),
    Forget(Option<String>),
}

impl SessionChange {
    /// About how many bytes it takes until it is made.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Keep(name, prepared) => name.len() + prepared.sql.len(),
            Self::Set(_) | Self::Forget(_) => 0,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("identity", self.identity()).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) async fn open(engine: Arc<Inner>, credentials: &Credentials, options: SessionOptions) -> Result<Self> {
        let asked = Arc::clone(&engine);
        asked.watch(Room::Login, Self::authenticate(engine, credentials, options)).await
    }

    async fn authenticate(engine: Arc<Inner>, credentials: &Credentials, options: SessionOptions) -> Result<Self> {
        engine.admission.check_open()?;
        loop {
            let endings = engine.sessions.endings();
            let attempt = engine.logins.begin(credentials, &options.client)?;
            let answer = engine.identity.authenticate(credentials).await;
            attempt.ended(&answer);
            let Some(identity) = answer? else {
                return Err(Error::unauthenticated("the credentials were not accepted; log in again"));
            };
            let session = Self::begin(Arc::clone(&engine), identity, options.clone())?;
            // Whose right was withdrawn while the provider looked is asked once more.
            if engine.sessions.add(&session, endings) {
                return Ok(session);
            }
        }
    }

    fn begin(engine: Arc<Inner>, identity: Identity, options: SessionOptions) -> Result<Self> {
        let (catalog, schema) = engine.defaults.clone();
        let defaults = (options.catalog.unwrap_or(catalog), options.schema.unwrap_or(schema));
        let opened = engine.catalogs.keys().map(|name| (name.clone(), OnceCell::new())).collect();
        let session = Self(Arc::new(SessionInner {
            engine,
            identity: Verified::new(identity),
            client: options.client,
            began: defaults.clone(),
            defaults: Mutex::new(defaults),
            settings: Mutex::default(),
            prepared: Mutex::default(),
            opened,
            closed: CancellationToken::new(),
        }));
        session.check_alive()?;
        Ok(session)
    }

    /// Who this session runs as.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The catalog and the schema of names that have none.
    #[must_use]
    pub fn defaults(&self) -> (String, String) {
        self.0.defaults.lock().clone()
    }

    /// Sets the catalog, the schema, or both. They need not exist.
    pub fn set_defaults(&self, catalog: Option<String>, schema: Option<String>) {
        let mut defaults = self.0.defaults.lock();
        if let Some(catalog) = catalog {
            defaults.0 = catalog;
        }
        if let Some(schema) = schema {
            defaults.1 = schema;
        }
    }

    /// Ends the session: its running statements stop, and later calls are `Unauthenticated`.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Whether it was ended, by [`close`](Self::close) or by [`Engine::end_sessions`](super::Engine::end_sessions).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// What was set for this session.
    pub(super) fn settings(&self) -> Settings {
        self.0.settings.lock().clone()
    }

    /// How long a statement of this session may take.
    pub(super) fn deadline(&self) -> Duration {
        self.0.settings.lock().deadline(self.engine().limits.deadline)
    }

    /// Changes what the session keeps.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound`, `ResourceExhausted` for prepared statements.
    pub(super) fn change(&self, change: SessionChange) -> Result<()> {
        match change {
            SessionChange::Set(changes) => {
                self.set(changes);
                Ok(())
            }
            SessionChange::Keep(name, prepared) => self.0.prepared.lock().add(name, prepared),
            SessionChange::Forget(name) => self.0.prepared.lock().forget(name.as_deref()),
        }
    }

    fn set(&self, changes: Vec<Change>) {
        for change in changes {
            match self.0.settings.lock().take(change) {
                Some(Change::Catalog(name)) => {
                    self.set_defaults(Some(name.unwrap_or_else(|| self.0.began.0.clone())), None);
                }
                Some(Change::Schema(name)) => {
                    self.set_defaults(None, Some(name.unwrap_or_else(|| self.0.began.1.clone())));
                }
                _ => {}
            }
        }
    }

    /// # Errors
    /// `NotFound`.
    pub(super) fn prepared(&self, name: &str) -> Result<Arc<Prepared>> {
        self.0.prepared.lock().find(name)
    }

    pub(super) fn engine(&self) -> &Arc<Inner> {
        &self.0.engine
    }

    pub(super) fn client(&self) -> &ClientInfo {
        &self.0.client
    }

    pub(super) fn closed(&self) -> &CancellationToken {
        &self.0.closed
    }

    /// Whether the session was closed or its credentials ended.
    pub(super) fn check_alive(&self) -> Result<()> {
        if self.0.closed.is_cancelled() {
            return Err(Error::unauthenticated("the session was closed; log in again"));
        }
        if self.0.identity.expires_at.is_some_and(|at| at <= Utc::now()) {
            return Err(Error::unauthenticated("your credentials have expired; log in again"));
        }
        Ok(())
    }

    /// The binding of a catalog that the engine knows.
    pub(super) fn binding(&self, catalog: &str) -> Option<&CatalogBinding> {
        self.0.engine.catalogs.get(catalog)
    }

    /// The catalog, opened once a session as its person. `None` if the engine knows no such catalog.
    pub(super) async fn catalog(&self, name: &str) -> Result<Option<Arc<dyn CatalogSession>>> {
        let (Some(binding), Some(cell)) = (self.binding(name), self.0.opened.get(name)) else { return Ok(None) };
        let room = Room::Catalog { catalog: name, call: CatalogCall::Open };
        let open = || self.engine().watch(room, binding_open(binding, name, &self.0.identity));
        cell.get_or_try_init(open).await.map(|session| Some(Arc::clone(session)))
    }
}

/// The sessions that are open, so that those of a person whose right was withdrawn can be ended.
#[derive(Debug, Default)]
pub(super) struct OpenSessions {
    all: Mutex<Registry>,
}

#[derive(Debug, Default)]
struct Registry {
    sessions: Vec<Weak<SessionInner>>,
    /// How many there may be before those that are gone are looked for.
    tidy_at: usize,
    /// How often sessions were ended.
    endings: u64,
}

impl OpenSessions {
    fn endings(&self) -> u64 {
        self.all.lock().endings
    }

    /// Takes in a session that was authenticated when sessions had been ended so often. `false`: they were again since.
    fn add(&self, session: &Session, endings: u64) -> bool {
        let mut all = self.all.lock();
        if all.endings != endings {
            return false;
        }
        if all.sessions.len() >= all.tidy_at {
            all.sessions.retain(|session| session.strong_count() > 0);
            all.tidy_at = (2 * all.sessions.len()).max(64);
        }
        all.sessions.push(Arc::downgrade(&session.0));
        true
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let all = self.all.lock();
        let open = |session: &&Weak<SessionInner>| session.upgrade().is_some_and(|it| !it.closed.is_cancelled());
        all.sessions.iter().filter(open).count()
    }

    /// Closes the sessions whose identity `ends`. Gives their number.
    pub(super) fn end(&self, ends: impl Fn(&Identity) -> bool) -> usize {
        let open: Vec<_> = {
            let mut all = self.all.lock();
            all.endings += 1;
            all.sessions.iter().filter_map(Weak::upgrade).collect()
        };
        // Nothing of others' runs under the lock.
        let ended = open.into_iter().filter(|session| !session.closed.is_cancelled() && ends(&session.identity));
        ended.inspect(|session| session.closed.cancel()).count()
    }
}

impl fmt::Debug for SessionInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionInner").field("identity", &self.identity).finish_non_exhaustive()
    }
}

async fn binding_open(
    binding: &CatalogBinding,
    name: &str,
    identity: &Verified<Identity>,
) -> Result<Arc<dyn CatalogSession>> {
    binding.provider.open(&OpenRequest::new(name, identity, &binding.vendor, &binding.stores)).await
}
