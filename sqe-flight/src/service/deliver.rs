//! `DoGet`: rows on their way to the client.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
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
    session::{Answer, FlightSession, Pending},
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

/// Rows on their way. Dropping it stops the query.
struct Delivery {
    steps: Receiver<Step>,
    /// The first message, read ahead so that a failure becomes the call's own status.
    first: Option<Step>,
    task: AbortHandle,
    cancelled: Arc<AtomicBool>,
    session: Arc<FlightSession>,
    handle: Option<[u8; 32]>,
    ended: bool,
}

impl FlightSqlServer {
    /// Starts a query, or hands over rows that are there. A query runs in a task of its own: the engine's work never
    /// holds up the connection that other calls share.
    pub(super) async fn deliver(
        &self,
        session: &Arc<FlightSession>,
        handle: Option<[u8; 32]>,
        pending: Pending,
    ) -> Result<Answers<FlightData>> {
        let (sender, steps) = mpsc::channel(WAITING);
        let target = self.settings.target_message_bytes;
        let task = tokio::spawn(produce(pending, target, sender).in_current_span()).abort_handle();
        let cancelled = Arc::new(AtomicBool::new(false));
        if let Some(handle) = handle {
            let (task, cancelled) = (task.clone(), Arc::clone(&cancelled));
            session.started(
                handle,
                Arc::new(move || {
                    cancelled.store(true, Ordering::Release);
                    task.abort();
                }),
            );
        }
        let session = Arc::clone(session);
        let mut delivery = Delivery { steps, first: None, task, cancelled, session, handle, ended: false };
        match delivery.steps.recv().await {
            Some(Step::Message(Err(status))) => Err(from_status(&status)),
            Some(first) => {
                delivery.first = Some(first);
                Ok(delivery.boxed())
            }
            None => Err(delivery.broken()),
        }
    }
}

impl Delivery {
    fn broken(&self) -> Error {
        match self.cancelled.load(Ordering::Acquire) {
            true => Error::new(ErrorKind::Cancelled, "the query was cancelled"),
            false => Error::internal("the query ended before all of its rows were there"),
        }
    }
}

impl Stream for Delivery {
    type Item = Result<FlightData, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let step = match self.first.take() {
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
                Some(Err(to_status(&self.broken())))
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

async fn produce(pending: Pending, target: usize, sender: Sender<Step>) {
    let Pending { declared, answer, .. } = pending;
    let result = match answer {
        Answer::Done(batches) => send(stream::iter(batches.into_iter().map(Ok)), declared, target, &sender).await,
        Answer::Planned(plans) => {
            let mut plans = plans.into_iter();
            match plans.next() {
                None => send(stream::empty(), declared, target, &sender).await,
                Some(first) => match first.run().await {
                    Err(error) => sender.send(Step::Message(Err(to_status(&error)))).await.ok(),
                    Ok(rows) => {
                        let more = stream::iter(plans).then(|plan| plan.run()).try_flatten();
                        send(rows.chain(more), declared, target, &sender).await
                    }
                },
            }
        }
    };
    if result.is_some() {
        // The client is still there.
        let _gone = sender.send(Step::End).await;
    }
}

/// Encodes and hands over. `None`: nobody takes it any more.
async fn send(
    rows: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    declared: SchemaRef,
    target: usize,
    sender: &Sender<Step>,
) -> Option<()> {
    let schema = Arc::clone(&declared);
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
        sender.send(Step::Message(message.map_err(from_encoder))).await.ok()?;
    }
    Some(())
}
