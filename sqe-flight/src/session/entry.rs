//! One session and what it holds: tickets, prepared statements, running queries.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::FlightData;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use parking_lot::Mutex;
use sqe_core::{
    Error, ErrorKind, Result, Session,
    engine::{Planned, StatementKind, StatementShape},
};
use tonic::Status;

use super::{budget::Share, polled::Polled};
use crate::{bind::Parameters, edge::Views, settings::Settings, token};

/// What a ticket stands for.
pub(crate) enum Answer {
    /// Plans that have not run; their rows come one after another.
    Planned(Vec<Planned>),
    /// Rows of something that has run already.
    Done(Vec<RecordBatch>),
    /// Rows of a query that runs already. Dropping them stops it.
    Started(BoxStream<'static, Result<FlightData, Status>>),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Planned(_) => "Planned",
            Self::Done(_) => "Done",
            Self::Started(_) => "Started",
        })
    }
}

/// An answer that waits for its `DoGet`.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The schema that the client was told.
    pub(crate) declared: SchemaRef,
    /// The rows, or what will give them.
    pub(crate) answer: Answer,
    /// Since when it waits.
    since: Instant,
    /// The part of its person's budget that it takes while it waits.
    share: Option<Share>,
}

impl Pending {
    pub(crate) fn new(declared: SchemaRef, answer: Answer) -> Self {
        Self { declared, answer, since: Instant::now(), share: None }
    }

    /// About how many bytes it takes while it waits. What has run already takes next to nothing, and cannot be refused.
    pub(crate) fn bytes(&self) -> usize {
        match &self.answer {
            Answer::Planned(plans) => plans.iter().map(Planned::held_bytes).fold(0, usize::saturating_add),
            Answer::Done(_) | Answer::Started(_) => 0,
        }
    }

    /// The rows of a query that runs already; itself, if there is no such query.
    pub(crate) fn started(self) -> Result<BoxStream<'static, Result<FlightData, Status>>, Self> {
        match self.answer {
            Answer::Started(rows) => Ok(rows),
            answer => Err(Self { answer, ..self }),
        }
    }

    pub(crate) fn with_share(self, share: Share) -> Self {
        Self { share: Some(share), ..self }
    }
}

/// Rows of parameters, and the part of their person's budget that they take.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) parameters: Parameters,
    _share: Share,
}

impl Bound {
    /// # Errors
    /// `ResourceExhausted` if the person's budget is used up.
    pub(crate) fn new(parameters: Parameters, share: Share) -> Result<Self> {
        // Values can take more in the type that is wanted than in that in which they came.
        share.grow_to(parameters.bytes())?;
        Ok(Self { parameters, _share: share })
    }
}

/// A prepared statement.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Its text.
    pub(crate) sql: String,
    /// The schema of its rows as the client was told it.
    pub(crate) declared: SchemaRef,
    /// Its parameters as the engine wants them.
    pub(crate) parameters: SchemaRef,
    /// Whether it reads or changes.
    pub(crate) kind: StatementKind,
    /// What was bound in a call of its own.
    pub(crate) bound: Mutex<Option<Arc<Bound>>>,
    used: Mutex<Instant>,
    _share: Share,
}

impl Prepared {
    /// A statement to which nothing is bound, and the part of its person's budget that it takes.
    pub(crate) fn new(sql: String, shape: StatementShape, declared: SchemaRef, share: Share) -> Self {
        let StatementShape { parameters, kind, .. } = shape;
        let used = Mutex::new(Instant::now());
        Self { sql, declared, parameters, kind, bound: Mutex::default(), used, _share: share }
    }

    /// Notes that it is in use.
    pub(crate) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// Whether nobody uses it, and nobody has for too long.
    fn is_abandoned(self: &Arc<Self>, settings: &Settings) -> bool {
        Arc::strong_count(self) == 1 && self.used.lock().elapsed() >= settings.prepared_idle_timeout
    }
}

/// Stops a running query.
pub(crate) type Stop = Arc<dyn Fn(Ending) + Send + Sync>;

/// Why what runs is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its client asked for that, or its session ended.
    Cancelled,
    /// The server comes to its end.
    Stopping,
}

impl Ending {
    /// What the client is told.
    pub(crate) fn error(self) -> Error {
        let message = match self {
            Self::Cancelled => "the query was cancelled",
            Self::Stopping => "the query was cancelled, for the server is stopping; ask again later, or another server",
        };
        Error::new(ErrorKind::Cancelled, message)
    }
}

/// A handle as it stands on the wire.
type Handle = [u8; 32];

/// One person's session, as this front end keeps it.
pub(crate) struct FlightSession {
    pub(crate) engine: Session,
    /// Whether a handshake made it, so that it has a token of its own and can be closed.
    pub(crate) own_token: bool,
    /// The name of whom its caller acts as, as they spelled it.
    pub(super) acting_as: Option<String>,
    /// The catalog and the schema that it began with.
    initial: (String, String),
    expires_at: Option<DateTime<Utc>>,
    opened: Instant,
    used: Mutex<Instant>,
    views: Mutex<Views>,
    tickets: Mutex<HashMap<Handle, Pending>>,
    prepared: Mutex<HashMap<Handle, Arc<Prepared>>>,
    polled: Mutex<HashMap<Handle, Arc<Polled>>>,
    running: Mutex<HashMap<Handle, Stop>>,
}

impl std::fmt::Debug for FlightSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlightSession").field("own_token", &self.own_token).finish_non_exhaustive()
    }
}

impl FlightSession {
    pub(crate) fn new(engine: Session, own_token: bool, acting_as: Option<String>) -> Self {
        let now = Instant::now();
        Self {
            initial: engine.defaults(),
            expires_at: engine.identity().expires_at,
            engine,
            own_token,
            acting_as,
            opened: now,
            used: Mutex::new(now),
            views: Mutex::default(),
            tickets: Mutex::default(),
            prepared: Mutex::default(),
            polled: Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// Whether the credentials are still good, nobody ended the session, and it is not too old.
    pub(crate) fn is_current(&self, settings: &Settings) -> bool {
        let ended = self.expires_at.is_some_and(|end| end <= Utc::now()) || self.engine.is_closed();
        !ended && self.opened.elapsed() < settings.session_max_age
    }

    /// Notes that the client is there.
    pub(crate) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// How long nothing was asked of it.
    pub(crate) fn idle(&self) -> Duration {
        self.used.lock().elapsed()
    }

    /// Whether views reach this client.
    pub(crate) fn views(&self) -> Views {
        *self.views.lock()
    }

    pub(crate) fn set_views(&self, views: Views) {
        *self.views.lock() = views;
    }

    /// The catalog and the schema that it began with.
    pub(crate) fn initial_defaults(&self) -> (String, String) {
        self.initial.clone()
    }

    /// Keeps an answer until its `DoGet`, and gives the ticket. Only this session can redeem it, once.
    ///
    /// # Errors
    /// `ResourceExhausted` if too many tickets wait.
    pub(crate) fn keep(&self, pending: Pending, settings: &Settings) -> Result<Handle> {
        let handle = token::random()?;
        self.keep_as(handle, pending, settings)?;
        Ok(handle)
    }

    /// The same, under a handle that its client has already.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub(crate) fn keep_as(&self, handle: Handle, pending: Pending, settings: &Settings) -> Result<()> {
        let mut tickets = self.tickets.lock();
        if tickets.len() >= settings.max_tickets {
            tickets.retain(|_, pending| pending.since.elapsed() < settings.ticket_ttl);
        }
        if tickets.len() >= settings.max_tickets {
            // Rows of a finished change are a courtesy that many clients never fetch.
            let oldest = tickets
                .iter()
                .filter(|(_, pending)| matches!(pending.answer, Answer::Done(_)))
                .min_by_key(|(_, pending)| pending.since)
                .map(|(handle, _)| *handle);
            match oldest {
                Some(handle) => tickets.remove(&handle),
                None => {
                    return Err(Error::new(
                        ErrorKind::ResourceExhausted,
                        format!("{} answers of this session wait to be fetched; fetch them first", tickets.len()),
                    ));
                }
            };
        }
        tickets.insert(handle, pending);
        Ok(())
    }

    /// Redeems a ticket.
    ///
    /// # Errors
    /// `NotFound` if this session has no such ticket: never had, redeemed already, or too late.
    pub(crate) fn redeem(&self, handle: &[u8], settings: &Settings) -> Result<(Handle, Pending)> {
        let unknown =
            || Error::not_found("this ticket is unknown here: used already, too old, or of another session; ask again");
        let handle = Handle::try_from(handle).map_err(|_| unknown())?;
        let mut pending = self.tickets.lock().remove(&handle).ok_or_else(unknown)?;
        self.polled.lock().remove(&handle);
        pending.share = None;
        if pending.since.elapsed() >= settings.ticket_ttl {
            return Err(unknown());
        }
        Ok((handle, pending))
    }

    /// Makes a running query stoppable by its ticket.
    pub(crate) fn started(&self, handle: Handle, stop: Stop) {
        self.running.lock().insert(handle, stop);
    }

    /// Forgets a query that ended.
    pub(crate) fn ended(&self, handle: &Handle) {
        self.running.lock().remove(handle);
        self.touch();
    }

    /// Stops a query by its ticket, waiting or running.
    ///
    /// # Errors
    /// `NotFound` if this session has no such query.
    pub(crate) fn cancel(&self, handle: &[u8]) -> Result<()> {
        let unknown = || Error::not_found("no query of this session waits or runs under this ticket");
        let handle = Handle::try_from(handle).map_err(|_| unknown())?;
        // What is dropped here is dropped outside of the locks.
        let waiting = self.tickets.lock().remove(&handle);
        let running = self.running.lock().remove(&handle);
        let polled = self.polled.lock().remove(&handle);
        if let Some(stop) = &running {
            stop(Ending::Cancelled);
        }
        if let Some(polled) = &polled {
            polled.stop(Ending::Cancelled);
        }
        match waiting.is_some() || running.is_some() || polled.is_some() {
            true => Ok(()),
            false => Err(unknown()),
        }
    }

    /// Keeps a statement that its client will ask about.
    ///
    /// # Errors
    /// `ResourceExhausted` if too many work or wait.
    pub(crate) fn begin_poll(&self, handle: Handle, polled: Arc<Polled>, settings: &Settings) -> Result<()> {
        let mut all = self.polled.lock();
        if all.len() >= settings.max_tickets {
            polled.stop(Ending::Cancelled);
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("{} statements of this session work or wait to be fetched; fetch some first", all.len()),
            ));
        }
        all.insert(handle, polled);
        Ok(())
    }

    /// A statement that its client asks about.
    ///
    /// # Errors
    /// `NotFound` if this session has no such statement.
    pub(crate) fn polled(&self, handle: &[u8]) -> Result<(Handle, Arc<Polled>)> {
        let unknown = || {
            Error::not_found(
                "this statement is unknown here: fetched, cancelled, too old, or of another session; ask again",
            )
        };
        let handle = Handle::try_from(handle).map_err(|_| unknown())?;
        let polled = self.polled.lock().get(&handle).map(Arc::clone).ok_or_else(unknown)?;
        polled.touch();
        Ok((handle, polled))
    }

    /// Forgets a statement whose client knows how it ended.
    pub(crate) fn end_poll(&self, handle: &Handle) {
        self.polled.lock().remove(handle);
    }

    /// Keeps a prepared statement and gives its handle.
    ///
    /// # Errors
    /// `ResourceExhausted` if too many are open.
    pub(crate) fn prepare(&self, prepared: Prepared, settings: &Settings) -> Result<Handle> {
        let handle = token::random()?;
        let mut all = self.prepared.lock();
        if all.len() >= settings.max_prepared_statements {
            all.retain(|_, prepared| !prepared.is_abandoned(settings));
        }
        if all.len() >= settings.max_prepared_statements {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!("{} prepared statements are open in this session; close some", all.len()),
            ));
        }
        all.insert(handle, Arc::new(prepared));
        Ok(handle)
    }

    /// A prepared statement of this session.
    ///
    /// # Errors
    /// `NotFound` if this session has no such statement, or it was not used for too long.
    pub(crate) fn prepared(&self, handle: &[u8], settings: &Settings) -> Result<Arc<Prepared>> {
        let unknown = || Error::not_found("this session has no such prepared statement; prepare it again");
        let handle = Handle::try_from(handle).map_err(|_| unknown())?;
        let mut all = self.prepared.lock();
        let prepared = all.get(&handle).ok_or_else(unknown)?;
        if prepared.is_abandoned(settings) {
            all.remove(&handle);
            return Err(unknown());
        }
        prepared.touch();
        Ok(Arc::clone(prepared))
    }

    /// Closes a prepared statement, if it is open.
    pub(crate) fn unprepare(&self, handle: &[u8]) {
        if let Ok(handle) = Handle::try_from(handle) {
            self.prepared.lock().remove(&handle);
        }
    }

    /// Drops the tickets that nobody redeemed in time, and the prepared statements that nobody uses any more.
    pub(crate) fn sweep(&self, settings: &Settings) {
        self.tickets.lock().retain(|_, pending| pending.since.elapsed() < settings.ticket_ttl);
        self.polled.lock().retain(|_, polled| {
            let wanted = polled.idle() < settings.ticket_ttl;
            if !wanted {
                polled.stop(Ending::Cancelled);
            }
            wanted
        });
        self.prepared.lock().retain(|_, prepared| !prepared.is_abandoned(settings));
    }

    /// Ends everything that belongs to the session.
    pub(crate) fn close(&self, why: Ending) {
        self.tickets.lock().clear();
        self.prepared.lock().clear();
        for polled in std::mem::take(&mut *self.polled.lock()).values() {
            polled.stop(why);
        }
        let running = std::mem::take(&mut *self.running.lock());
        for stop in running.values() {
            stop(why);
        }
        self.engine.close();
    }
}
