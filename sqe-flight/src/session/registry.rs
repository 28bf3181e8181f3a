//! From what a client shows to its session.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Once, Weak},
    time::Duration,
};

use base64::{Engine as _, alphabet, engine::DecodePaddingMode, engine::GeneralPurpose, engine::GeneralPurposeConfig};
use parking_lot::Mutex;
use sqe_core::{
    CertificateChain, Credentials, Engine, Error, ErrorKind, Result, Secret, audit::ClientInfo, engine::SessionOptions,
};
use tonic::metadata::MetadataMap;

use super::{
    budget::{Budget, Share},
    entry::{Ending, FlightSession},
};
use crate::{
    settings::Settings,
    token::{self, Digest},
};

/// Marks the tokens that this front end gives out, so that they are never shown to an identity provider.
const OWN_PREFIX: &str = "sqe_session_";

/// Names whom the caller asks to act as (see [`Credentials::ActingAs`]).
pub(crate) const ACT_AS: &str = "x-sqe-act-as";

/// The longest name that this header may hold, in bytes.
const MAX_NAME: usize = 1024;

/// Go's Flight client leaves the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a client shows: its `authorization` header, else the certificate of its connection.
pub(super) enum Presented {
    /// A token that a handshake gave out.
    Own(Secret),
    /// Something that only an identity provider can judge.
    Foreign(Credentials),
}

/// What became of a session that its client wants closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It is gone.
    Yes,
    /// It belongs to a token that other connections of the person may use at this moment. It ends by itself.
    Shared,
}

/// All sessions of a server.
pub(crate) struct Sessions {
    engine: Engine,
    settings: Arc<Settings>,
    all: Mutex<HashMap<Digest, Arc<FlightSession>>>,
    parameters: Arc<Budget>,
    answers: Arc<Budget>,
    sweeper: Once,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("open", &self.all.lock().len()).finish_non_exhaustive()
    }
}

/// The one answer to every failed authentication, so that it tells nothing about why.
fn unauthenticated() -> Error {
    Error::unauthenticated("not logged in: show a valid token, or log in again")
}

impl Sessions {
    pub(crate) fn new(engine: Engine, settings: Arc<Settings>) -> Self {
        let parameters = Arc::new(Budget::of_parameters(settings.max_parameter_bytes_per_person));
        let answers = Arc::new(Budget::of_answers(settings.max_kept_bytes_per_person));
        Self { engine, settings, all: Mutex::default(), parameters, answers, sweeper: Once::new() }
    }

    /// A share, still of nothing, in what the server holds of parameters for the session's person.
    pub(crate) fn parameters_of(&self, session: &FlightSession) -> Share {
        self.parameters.share(&session.engine.identity().principal)
    }

    /// A share of `bytes` in what the server keeps between calls for the session's person.
    ///
    /// # Errors
    /// `ResourceExhausted` if the person has not so much left.
    pub(crate) fn keep_for(&self, session: &FlightSession, bytes: usize) -> Result<Share> {
        let share = self.answers.share(&session.engine.identity().principal);
        if share.grow_to(bytes).is_err() {
            // What waited for too long takes no room from anybody.
            self.sweep();
            share.grow_to(bytes)?;
        }
        Ok(share)
    }

    /// The session of the caller. Credentials of their own get a session that lives as long as they are used, one for
    /// each distinct token and never one for two.
    ///
    /// # Errors
    /// `Unauthenticated`, the same for every reason; `PermissionDenied` if the caller may not act as whom they ask for;
    /// `InvalidInput` if they name nobody or several; `Unavailable` if the identity provider does not answer;
    /// `ResourceExhausted` if there are too many sessions, or too many log-ins failed.
    pub(crate) async fn authenticate(
        self: &Arc<Self>,
        metadata: &MetadataMap,
        certificates: Option<&CertificateChain>,
        client: impl FnOnce() -> ClientInfo,
    ) -> Result<Arc<FlightSession>> {
        let presented = presented(metadata, certificates)?;
        let subject = act_as(metadata)?;
        match presented {
            Presented::Own(token) => {
                let session = self.known(&own_key(&token)).ok_or_else(unauthenticated)?;
                // A session never changes its person.
                let same = subject.is_none() || subject == session.acting_as.as_deref();
                if same { Ok(session) } else { Err(unauthenticated()) }
            }
            Presented::Foreign(credentials) => {
                let credentials = acting(credentials, subject);
                let key = foreign_key(&credentials)?;
                match self.known(&key) {
                    Some(session) => Ok(session),
                    None => self.open(key, &credentials, client(), false).await,
                }
            }
        }
    }

    /// Opens a session of its own for the caller and gives its token.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate).
    pub(crate) async fn login(
        self: &Arc<Self>,
        metadata: &MetadataMap,
        certificates: Option<&CertificateChain>,
        client: ClientInfo,
    ) -> Result<Secret> {
        let Presented::Foreign(credentials) = presented(metadata, certificates)? else {
            return Err(unauthenticated());
        };
        let credentials = acting(credentials, act_as(metadata)?);
        let random = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token::random()?);
        let token = Secret::new(format!("{OWN_PREFIX}{random}"));
        self.open(own_key(&token), &credentials, client, true).await?;
        Ok(token)
    }

    /// Closes the session at its client's wish.
    pub(crate) fn close(&self, session: &Arc<FlightSession>) -> Closed {
        if !session.own_token {
            return Closed::Shared;
        }
        self.all.lock().retain(|_, other| !Arc::ptr_eq(other, session));
        session.close(Ending::Cancelled);
        Closed::Yes
    }

    /// Closes all sessions, for the server is stopping.
    pub(crate) fn close_all(&self) {
        let all = std::mem::take(&mut *self.all.lock());
        for session in all.values() {
            session.close(Ending::Stopping);
        }
    }

    fn known(&self, key: &Digest) -> Option<Arc<FlightSession>> {
        let mut all = self.all.lock();
        let session = all.get(key)?;
        if !session.is_current(&self.settings) || session.idle() >= self.settings.session_idle_timeout {
            // A stream that began in time may end; nothing new begins.
            if Arc::strong_count(session) == 1
                && let Some(session) = all.remove(key)
            {
                session.close(Ending::Cancelled);
            }
            return None;
        }
        session.touch();
        Some(Arc::clone(session))
    }

    async fn open(
        self: &Arc<Self>,
        key: Digest,
        credentials: &Credentials,
        client: ClientInfo,
        own_token: bool,
    ) -> Result<Arc<FlightSession>> {
        let engine = self.engine.session(credentials, SessionOptions::new(client)).await.map_err(uniform)?;
        let acting_as = match credentials {
            Credentials::ActingAs { subject, .. } => Some(subject.clone()),
            _ => None,
        };
        let session = Arc::new(FlightSession::new(engine, own_token, acting_as));
        if !session.is_current(&self.settings) {
            session.close(Ending::Cancelled);
            return Err(unauthenticated());
        }
        self.start_sweeper();
        let outcome = self.insert(key, &session);
        // Either there was no room, or another call with the same token came first: its session is the one.
        if !matches!(&outcome, Ok(kept) if Arc::ptr_eq(kept, &session)) {
            session.close(Ending::Cancelled);
        }
        outcome
    }

    fn insert(&self, key: Digest, session: &Arc<FlightSession>) -> Result<Arc<FlightSession>> {
        let full = |limit: usize, whose: &str| {
            Error::new(ErrorKind::ResourceExhausted, format!("{limit} sessions {whose} are open; close some or wait"))
        };
        let principal = &session.engine.identity().principal;
        let mut all = self.all.lock();
        if all.len() >= self.settings.max_sessions {
            self.drop_ended(&mut all);
        }
        if all.len() >= self.settings.max_sessions {
            return Err(full(self.settings.max_sessions, "of this server"));
        }
        let theirs = all.values().filter(|other| other.engine.identity().principal == *principal).count();
        if theirs >= self.settings.max_sessions_per_person && !all.contains_key(&key) {
            return Err(full(self.settings.max_sessions_per_person, "of yours"));
        }
        match all.entry(key) {
            Entry::Vacant(place) => Ok(Arc::clone(place.insert(Arc::clone(session)))),
            // An ended one whose streams still run stays reachable for them, and makes room for the new one.
            Entry::Occupied(mut place) if !place.get().is_current(&self.settings) => {
                place.insert(Arc::clone(session));
                Ok(Arc::clone(session))
            }
            Entry::Occupied(place) => {
                place.get().touch();
                Ok(Arc::clone(place.get()))
            }
        }
    }

    fn drop_ended(&self, all: &mut HashMap<Digest, Arc<FlightSession>>) {
        all.retain(|_, session| {
            // Calls and streams hold the session too: while one is there, it is not idle.
            let unused = Arc::strong_count(session) == 1;
            let ended = !session.is_current(&self.settings) || session.idle() >= self.settings.session_idle_timeout;
            if unused && ended {
                session.close(Ending::Cancelled);
            }
            !(unused && ended)
        });
    }

    /// What nobody asks for again must go too: its plans hold memory and leases.
    pub(super) fn sweep(&self) {
        let mut all = self.all.lock();
        self.drop_ended(&mut all);
        for session in all.values() {
            session.sweep(&self.settings);
        }
    }

    fn start_sweeper(self: &Arc<Self>) {
        self.sweeper.call_once(|| {
            let sessions: Weak<Self> = Arc::downgrade(self);
            let settings = &self.settings;
            let shortest = settings.ticket_ttl.min(settings.session_idle_timeout).min(settings.prepared_idle_timeout);
            let period = (shortest / 4).clamp(Duration::from_millis(50), Duration::from_secs(30));
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(period);
                loop {
                    ticks.tick().await;
                    match sessions.upgrade() {
                        Some(sessions) => sessions.sweep(),
                        None => return,
                    }
                }
            });
        });
    }
}

fn uniform(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unauthenticated => unauthenticated().with_source(error),
        _ => error,
    }
}

fn own_key(token: &Secret) -> Digest {
    Digest::of("session", [token.expose()])
}

fn foreign_key(credentials: &Credentials) -> Result<Digest> {
    match credentials {
        Credentials::Bearer(token) => Ok(Digest::of("bearer", [token.expose()])),
        Credentials::Basic { username, password } => Ok(Digest::of("basic", [username, password.expose()])),
        // Each connection that shows it has proved to hold its key.
        Credentials::ClientCertificate(chain) => Ok(Digest::of("certificate", chain.certificates())),
        // As two people one caller has two sessions.
        Credentials::ActingAs { actor, subject } => Ok(foreign_key(actor)?.acting_as(subject)),
        // A kind that this front end never makes.
        _ => Err(unauthenticated()),
    }
}

/// Reads the header [`ACT_AS`]. Which of several people is meant, nobody could say, so there is one or none.
pub(super) fn act_as(metadata: &MetadataMap) -> Result<Option<&str>> {
    let mut headers = metadata.get_all(ACT_AS).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    let name = header.to_str().ok().filter(|name| !name.is_empty() && name.len() <= MAX_NAME);
    match (name, headers.next()) {
        (Some(name), None) => Ok(Some(name)),
        _ => Err(Error::invalid(format!(
            "the header {ACT_AS} names one person, in visible ASCII characters, at most {MAX_NAME} of them"
        ))),
    }
}

fn acting(actor: Credentials, subject: Option<&str>) -> Credentials {
    match subject {
        None => actor,
        Some(subject) => Credentials::ActingAs { actor: Box::new(actor), subject: subject.to_owned() },
    }
}

/// Reads the `authorization` header (RFC 9110, section 11.6.2). Anything but exactly one well-formed header is refused, also
/// beside a certificate: a header wins over it. Without a header the certificate of the connection speaks for its client.
pub(super) fn presented(metadata: &MetadataMap, certificates: Option<&CertificateChain>) -> Result<Presented> {
    let mut headers = metadata.get_all("authorization").iter();
    let Some(header) = headers.next() else {
        let chain = certificates.ok_or_else(unauthenticated)?.clone();
        return Ok(Presented::Foreign(Credentials::ClientCertificate(chain)));
    };
    let header = header.to_str().map_err(|_| unauthenticated())?;
    if headers.next().is_some() {
        return Err(unauthenticated());
    }
    let (scheme, rest) = header.trim().split_once(' ').ok_or_else(unauthenticated)?;
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(unauthenticated());
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(match rest.starts_with(OWN_PREFIX) {
            true => Presented::Own(Secret::new(rest)),
            false => Presented::Foreign(Credentials::Bearer(Secret::new(rest))),
        });
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let bytes = BASE64.decode(rest).map_err(|_| unauthenticated())?;
        let text = String::from_utf8(bytes).map_err(|_| unauthenticated())?;
        let (username, password) = text.split_once(':').ok_or_else(unauthenticated)?;
        let credentials = Credentials::Basic { username: username.to_owned(), password: Secret::new(password) };
        return Ok(Presented::Foreign(credentials));
    }
    Err(unauthenticated())
}
