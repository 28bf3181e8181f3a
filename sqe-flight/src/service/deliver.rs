//! `DoGet`: rows on their way to the client.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{FlightData, encode::FlightDataEncoderBuilder, error::FlightError};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use sqe_core::{Error, ErrorKind, Result};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::AbortHandle,
};
use tonic::Status;
use tracing::Instrument;

use super::Answers;
use crate::{
    edge::{conform, cut},
    server::FlightSqlServer,
    session::{Answer, Ending, FlightSession, Pending},
    status::{from_encoder, from_status, to_status},
};

/// Messages that wait while the client reads. Two keep the engine and the network busy at once.
const WAITING: usize = 2;

/// What a producer hands over.
enum Step {
    Message(Result<FlightData, Status>),
    /// All rows were handed over. A stream that ends without it did not end well.
    End,
}

/// Why a stream ended before its rows did.
#[derive(Debug, Default)]
struct Stopped(AtomicU8);

impl Stopped {
    const CANCELLED: u8 = 1;
    const NOT_READ: u8 = 2;
    const STOPPING: u8 = 3;

    fn note(&self, why: u8) {
        // The first reason is the one.
        let _other = self.0.compare_exchange(0, why, Ordering::AcqRel, Ordering::Acquire);
    }

    fn error(&self) -> Error {
        match self.0.load(Ordering::Acquire) {
            Self::CANCELLED => Ending::Cancelled.error(),
            Self::STOPPING => Ending::Stopping.error(),
            Self::NOT_READ => Error::new(
                ErrorKind::DeadlineExceeded,
                "the rows were not read for so long that the query was stopped; read them faster, or ask for fewer",
            ),
            _ => Error::internal("the query ended before all of its rows were there"),
        }
    }
}

/// Rows on their way. Dropping it stops the query.
pub(super) struct Delivery {
    steps: Receiver<Step>,
    /// The first messages, read ahead so that a failure becomes the call's own status.
    ahead: VecDeque<Step>,
    task: AbortHandle,
    stopped: Arc<Stopped>,
    session: Arc<FlightSession>,
    handle: Option<[u8; 32]>,
    ended: bool,
}

impl FlightSqlServer {
    /// Starts a query, or hands over rows that are there, or those of a query that was started before.
    pub(super) async fn deliver(
        &self,
        session: &Arc<FlightSession>,
        handle: Option<[u8; 32]>,
        pending: Pending,
    ) -> Result<Answers<FlightData>> {
        let pending = match pending.started() {
            Ok(rows) => return Ok(rows),
            Err(pending) => pending,
        };
        let mut delivery = self.start(session, handle, pending);
        delivery.read_ahead(1).await?;
        Ok(delivery.boxed())
    }

    /// Starts a query in a task of its own: the engine's work never holds up the connection that other calls share.
    pub(super) fn start(&self, session: &Arc<FlightSession>, handle: Option<[u8; 32]>, pending: Pending) -> Delivery {
        let (sender, steps) = mpsc::channel(WAITING);
        let stopped = Arc::new(Stopped::default());
        let taker = Taker {
            sender,
            patience: self.settings.stream_idle_timeout,
            stopped: Arc::clone(&stopped),
            target: self.settings.target_message_bytes,
        };
        let task = tokio::spawn(produce(pending, taker).in_current_span()).abort_handle();
        if let Some(handle) = handle {
            let (task, stopped) = (task.clone(), Arc::clone(&stopped));
            session.started(
                handle,
                Arc::new(move |why| {
                    stopped.note(match why {
                        Ending::Cancelled => Stopped::CANCELLED,
                        Ending::Stopping => Stopped::STOPPING,
                    });
                    task.abort();
                }),
            );
        }
        let session = Arc::clone(session);
        Delivery { steps, ahead: VecDeque::new(), task, stopped, session, handle, ended: false }
    }
}

impl Delivery {
    /// Waits for the first `messages`, of which the first is the schema, or for the end.
    ///
    /// # Errors
    /// What the query meets until then.
    pub(super) async fn read_ahead(&mut self, messages: usize) -> Result<()> {
        while self.ahead.len() < messages {
            match self.steps.recv().await {
                Some(Step::Message(Err(status))) => return Err(from_status(&status)),
                Some(Step::End) => {
                    self.ahead.push_back(Step::End);
                    return Ok(());
                }
                Some(step) => self.ahead.push_back(step),
                None => return Err(self.stopped.error()),
            }
        }
        Ok(())
    }
}

impl Stream for Delivery {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let step = match self.ahead.pop_front() {
            Some(first) => Some(first),
            None => ready!(self.steps.poll_recv(context)),
        };
        Poll::Ready(match step {
            Some(Step::Message(message)) => Some(message),
            Some(Step::End) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(to_status(&self.stopped.error())))
            }
        })
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.task.abort();
        match &self.handle {
            Some(handle) => self.session.ended(handle),
            None => self.session.touch(),
        }
    }
}

/// Who takes the messages of a query, and how long it may take to take one.
struct Taker {
    sender: Sender<Step>,
    patience: Duration,
    stopped: Arc<Stopped>,
    target: usize,
}

impl Taker {
    /// Hands over. `None`: nobody takes it any more, or not in time. A client that is there and does not read keeps what its
    /// query holds, also from everybody else.
    async fn take(&self, step: Step) -> Option<()> {
        match self.sender.send_timeout(step, self.patience).await {
            Ok(()) => Some(()),
            Err(error) => {
                if matches!(error, mpsc::error::SendTimeoutError::Timeout(_)) {
                    self.stopped.note(Stopped::NOT_READ);
                }
                None
            }
        }
    }
}

async fn produce(pending: Pending, taker: Taker) {
    let Pending { declared, answer, .. } = pending;
    let result = match answer {
        Answer::Done(batches) => send(stream::iter(batches.into_iter().map(Ok)), declared, &taker).await,
        Answer::Planned(plans) => {
            let mut plans = plans.into_iter();
            match plans.next() {
                None => send(stream::empty(), declared, &taker).await,
                Some(first) => match first.run().await {
                    Err(error) => taker.take(Step::Message(Err(to_status(&error)))).await,
                    Ok(rows) => {
                        let more = stream::iter(plans).then(|plan| plan.run()).try_flatten();
                        send(rows.chain(more), declared, &taker).await
                    }
                },
            }
        }
        // It has a task already.
        Answer::Started(_) => None,
    };
    if result.is_some() {
        // The client is still there.
        let _gone = taker.take(Step::End).await;
    }
}

/// Encodes and hands over. `None`: nobody takes it any more.
async fn send(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    declared: SchemaRef,
    taker: &Taker,
) -> Option<()> {
    let (schema, target) = (Arc::clone(&declared), taker.target);
    let pieces = rows
        .map_ok(move |batch| {
            let declared = Arc::clone(&schema);
            stream::iter(cut(batch, target).map(move |piece| conform(&piece, &declared)))
        })
        .try_flatten()
        .map_err(|error| FlightError::from(to_status(&error)));
    // The pieces have their size already; see `edge::cut` for why the encoder is not asked to cut.
    let mut messages =
        FlightDataEncoderBuilder::new().with_schema(declared).with_max_flight_data_size(usize::MAX).build(pieces);
    while let Some(message) = messages.next().await {
        taker.take(Step::Message(message.map_err(from_encoder))).await?;
    }
    Some(())
}
