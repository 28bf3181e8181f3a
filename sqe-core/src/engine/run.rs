//! A planned statement → its answer, under deadline, cancellation and audit.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use chrono::Utc;
use datafusion::{
    execution::SendableRecordBatchStream,
    physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter},
};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, future::BoxFuture};
use tokio::time::Sleep;

use super::{
    Expiry, Inner, Session,
    admission::Slot,
    explain::{self, Explain},
    observed::{Begun, in_trace},
    plan::{Planned, Rows, Work, count_batch},
    trail::Case,
    write,
};
use crate::{
    Action, Error, ErrorKind, QueryId, Result,
    audit::Outcome,
    govern::{Authorized, compact, conform},
    observe::{CatalogCall, Room, Turn},
    scheduler::Job,
};

/// The rows of a statement. Dropping it before its end cancels the statement.
///
/// The stream ends only after the audit trail holds the statement's effect; if the trail cannot be written, it ends with
/// an error instead.
pub struct QueryStream {
    schema: SchemaRef,
    query: QueryId,
    state: State,
}

enum State {
    Running(Box<Running>),
    Concluding(BoxFuture<'static, Option<Error>>),
    Done,
}

impl fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryStream").field("query", &self.query).finish_non_exhaustive()
    }
}

/// When a statement must stop: its deadline, the end of the person's credentials, or the end of the session.
pub(super) struct Stop {
    deadline: Pin<Box<Sleep>>,
    expiry: bool,
    closed: BoxFuture<'static, ()>,
    engine: Option<Arc<Inner>>,
}

impl Stop {
    pub(super) fn new(session: &Session, started: Instant) -> Self {
        let mut at = started + session.deadline();
        let mut expiry = false;
        if let Some(end) = session.identity().expires_at {
            let grace = match session.engine().limits.expiry {
                Expiry::Stop => Duration::ZERO,
                Expiry::Finish(grace) => grace,
            };
            let left = (end - Utc::now()).to_std().unwrap_or_default().saturating_add(grace);
            if let Some(end) = Instant::now().checked_add(left).filter(|end| *end < at) {
                at = end;
                expiry = true;
            }
        }
        Self {
            deadline: Box::pin(tokio::time::sleep_until(at.into())),
            expiry,
            closed: session.closed().clone().cancelled_owned().boxed(),
            engine: Some(Arc::clone(session.engine())),
        }
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.closed.poll_unpin(cx).is_ready() {
            let draining = self.engine.as_ref().is_some_and(|engine| engine.admission.check_open().is_err());
            let message = match draining {
                false => "the session was closed while the statement ran",
                true => {
                    "the statement was cancelled: its session was closed, and the engine is shutting down; try again later, \
                     or on another server"
                }
            };
            return Poll::Ready(Error::new(ErrorKind::Cancelled, message));
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(if self.expiry {
            Error::unauthenticated("your credentials expired while the statement ran; log in again")
        } else {
            Error::new(ErrorKind::DeadlineExceeded, "the statement took longer than it may; narrow it down")
        })
    }

    /// Runs `work` until it ends or must stop.
    pub(super) async fn guard<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            error = std::future::poll_fn(|cx| self.poll_stop(cx)) => Err(error),
            result = work => result,
        }
    }
}

/// A statement whose intent is in the trail and whose effect is not.
struct Running {
    input: SendableRecordBatchStream,
    /// Whether its batches may share memory with rows that policy holds back.
    restricted: bool,
    stop: Stop,
    ledger: Option<Ledger>,
}

/// Sees to it that every intent gets its effect, whatever happens to the stream.
pub(super) struct Ledger {
    case: Case,
    rows: u64,
    bytes: u64,
    slot: Option<Slot>,
    open: bool,
    begun: Begun,
}

impl Ledger {
    /// Makes the intent durable. Whoever goes away meanwhile leaves an effect, too: the intent may be on its way.
    pub(super) async fn open(case: Case, slot: Slot) -> Result<Self> {
        let mut ledger = Self { case, rows: 0, bytes: 0, slot: Some(slot), open: true, begun: Begun::now() };
        let intended = ledger.case.intend().await;
        ledger.open = intended.is_ok();
        if let Err(error) = &intended {
            ledger.case.ended(&Outcome::failed(error.kind()), 0, 0, false);
        }
        intended.map(|()| ledger)
    }

    /// Makes the effect durable. Returns the error that the person is told, if any.
    pub(super) async fn conclude(mut self, failure: Option<Error>) -> Option<Error> {
        self.open = false;
        let outcome = failure.as_ref().map_or(Outcome::Completed, |error| Outcome::failed(error.kind()));
        if let Some(error) = &failure {
            let _entered = self.case.place.span.enter();
            tracing::debug!(query = %self.case.query, ?error, "a statement failed");
        }
        self.ran(failure.as_ref().map(Error::kind));
        let recorded = self.case.conclude(outcome, self.rows, self.bytes).await;
        self.slot = None;
        failure.map(|error| self.case.told(error)).or(recorded.err())
    }

    pub(super) fn count(&mut self, rows: u64) {
        self.rows += rows;
    }

    fn ran(&self, failure: Option<ErrorKind>) {
        let case = &self.case;
        case.session.engine().tell(Room::Run, Some(case.place.context), self.begun, failure);
    }

    /// Lets a catalog commit what this statement changes.
    pub(super) async fn commit<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let changed = self.case.tables.iter().find(|access| access.action != Action::Select);
        let catalog = changed.map_or("", |access| access.table.name.catalog.as_str());
        let room = Room::Catalog { catalog, call: CatalogCall::Commit };
        in_trace(self.case.place.context, self.case.session.engine().watch(room, work)).await
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (case, rows, bytes) = (self.case.clone(), self.rows, self.bytes);
        let kind = if std::thread::panicking() { ErrorKind::Internal } else { ErrorKind::Cancelled };
        self.ran(Some(kind));
        let outcome = Outcome::failed(kind);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                runtime.spawn(async move { case.conclude(outcome, rows, bytes).await });
            }
            // Without a runtime the intent stays open, and the next start closes it as interrupted.
            Err(_) => tracing::warn!(query = %case.query, "a statement was dropped outside of its runtime"),
        }
    }
}

/// Runs a planned statement.
pub(super) async fn run(planned: Planned) -> Result<QueryStream> {
    let Planned { case, schema, work, started, .. } = planned;
    let session = case.session.clone();
    session.check_alive()?;
    let query = case.query;
    let turn = session.engine().admission.admit(&session.identity().principal);
    let slot = match in_trace(case.place.context, session.engine().watch(Room::Turn(Turn::Running), turn)).await {
        Ok(slot) => slot,
        Err(error) => return Err(case.refuse(error).await),
    };
    let stop = Stop::new(&session, started);
    let ledger = Ledger::open(case, slot).await?;
    let restricted = matches!(&work, Work::Rows(rows) if rows.restricted);
    let (input, ledger) = match work {
        Work::Rows(rows) => match start(&session, query, *rows).await {
            Ok(input) => (driven(input), ledger),
            Err(error) => return Err(concluded(ledger, error).await),
        },
        Work::Ready(batch) => (once(batch), ledger),
        Work::Explain(explain) => {
            let mut stop = Stop::new(&session, started);
            match stop.guard(run_explain(&session, query, explain)).await {
                Ok(batch) => (once(batch), ledger),
                Err(error) => return Err(concluded(ledger, error).await),
            }
        }
        Work::Write(write) => {
            let rows = write::run_write(&session, query, *write, stop, ledger).await?;
            return finished(query, count_batch(rows)?);
        }
        Work::Session(change) => {
            match session.change(change) {
                Ok(()) => ledger.conclude(None).await.map_or(Ok(()), Err)?,
                Err(error) => return Err(concluded(ledger, error).await),
            }
            return finished(query, count_batch(0)?);
        }
        Work::Change(change) => {
            write::run_change(change, stop, ledger).await?;
            return finished(query, count_batch(0)?);
        }
    };
    let running = Running { input, restricted, stop, ledger: Some(ledger) };
    Ok(QueryStream { schema, query, state: State::Running(Box::new(running)) })
}

/// Drives a stream from a task of its own, so that a batch that takes long to compute does not keep a statement from
/// being stopped. Dropping the result stops the task at its next await.
fn driven(mut input: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = input.schema();
    let mut driver = RecordBatchReceiverStreamBuilder::new(schema, 2);
    let batches = driver.tx();
    driver.spawn(async move {
        while let Some(batch) = input.next().await {
            if batches.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    driver.build()
}

pub(super) async fn concluded(ledger: Ledger, error: Error) -> Error {
    let fallback = Error::internal("the statement failed");
    ledger.conclude(Some(error)).await.unwrap_or(fallback)
}

/// The answer of a change that was made, and whose effect is durable.
fn finished(query: QueryId, batch: RecordBatch) -> Result<QueryStream> {
    let schema = batch.schema();
    let ready =
        State::Running(Box::new(Running { input: once(batch), restricted: false, stop: Stop::never(), ledger: None }));
    Ok(QueryStream { schema, query, state: ready })
}

impl Stop {
    fn never() -> Self {
        let far = Instant::now() + std::time::Duration::from_secs(24 * 3600);
        Self {
            deadline: Box::pin(tokio::time::sleep_until(far.into())),
            expiry: false,
            closed: std::future::pending().boxed(),
            engine: None,
        }
    }
}

fn once(batch: RecordBatch) -> SendableRecordBatchStream {
    let schema = batch.schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)])))
}

/// Hands the plan to the scheduler.
pub(super) async fn start(session: &Session, query: QueryId, rows: Rows) -> Result<SendableRecordBatchStream> {
    let job = Job { query, plan: rows.plan, context: rows.context, codecs: rows.codecs };
    session.engine().scheduler.execute(job).await
}

async fn run_explain(session: &Session, query: QueryId, explain: Explain) -> Result<RecordBatch> {
    let Explain { rows, options } = explain;
    let logical = rows.logical.clone();
    let physical = Arc::clone(&*rows.plan);
    if options.analyze {
        let mut stream = start(session, query, *rows).await?;
        while stream.try_next().await?.is_some() {}
    }
    explain::answer(&logical, &physical, options)
}

impl QueryStream {
    /// The columns: those that [`Planned::schema`] announced.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The query's id, as in the audit trail.
    #[must_use]
    pub fn query_id(&self) -> QueryId {
        self.query
    }

    /// All batches.
    ///
    /// # Errors
    /// The first error of the stream.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.try_collect().await
    }

    fn conclude(&mut self, failure: Option<Error>) {
        let State::Running(running) = std::mem::replace(&mut self.state, State::Done) else { return };
        let Running { input, ledger, .. } = *running;
        // The plan's memory and tasks are given back before the effect is written.
        drop(input);
        self.state = match ledger {
            Some(ledger) => State::Concluding(ledger.conclude(failure).boxed()),
            None => State::Concluding(futures::future::ready(failure).boxed()),
        };
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let schema = Arc::clone(&self.schema);
            match &mut self.state {
                State::Done => return Poll::Ready(None),
                State::Concluding(future) => {
                    let failure = ready!(future.poll_unpin(cx));
                    self.state = State::Done;
                    return Poll::Ready(failure.map(Err));
                }
                State::Running(running) => {
                    if let Poll::Ready(error) = running.stop.poll_stop(cx) {
                        self.conclude(Some(error));
                        continue;
                    }
                    match ready!(running.input.poll_next_unpin(cx)) {
                        Some(Ok(batch)) if batch.num_rows() == 0 => {}
                        Some(Ok(batch)) => match leaving(&batch, &schema, running.restricted) {
                            Ok(batch) => {
                                if let Some(ledger) = &mut running.ledger {
                                    ledger.rows += batch.num_rows() as u64;
                                    ledger.bytes += batch.get_array_memory_size() as u64;
                                }
                                return Poll::Ready(Some(Ok(batch)));
                            }
                            Err(error) => self.conclude(Some(error)),
                        },
                        Some(Err(error)) => self.conclude(Some(error.into())),
                        None => self.conclude(None),
                    }
                }
            }
        }
    }
}

/// A batch as a person gets it: with the announced columns, and nothing of others behind them.
fn leaving(batch: &RecordBatch, schema: &SchemaRef, restricted: bool) -> Result<RecordBatch> {
    let batch = conform(batch, schema)?;
    if restricted { compact(&batch) } else { Ok(batch) }
}

/// A plan around an authorised one, made by the engine itself; it is authorised because its input is.
pub(super) fn wrap<T, U>(plan: Authorized<T>, around: impl FnOnce(T) -> Result<U>) -> Result<Authorized<U>> {
    Ok(Authorized::new(around(plan.into_inner())?))
}
