//! What waits for a receiver: never more than fits, and never in anybody's way.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Items that wait at most.
const WAITING: usize = 8192;

/// Items that are sent at once at most.
const TOGETHER: usize = 512;

/// How often a batch is sent again, each time after twice as long.
const AGAIN: u32 = 3;

/// How things are timed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long the first of a batch waits for others.
    gather: Duration,
    /// How long a receiver may take.
    patience: Duration,
    /// After how long a batch is sent again first.
    again: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let gather = Duration::from_millis(500);
        Self { gather, patience: Duration::from_secs(10), again: Duration::from_secs(1) }
    }
}

/// Where things go that are to be sent.
#[derive(Debug)]
pub(super) struct Queue<T> {
    sender: Sender<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Queue<T> {
    /// Takes one more, or counts it as dropped. Never waits.
    pub(super) fn push(&self, item: T) {
        if self.sender.try_send(item).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What waits.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    receiver: Receiver<T>,
    dropped: Arc<AtomicU64>,
    pace: Pace,
}

#[cfg(test)]
impl<T> Waiting<T> {
    /// All that waits.
    pub(super) fn take(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.receiver.try_recv().ok()).collect()
    }
}

/// A queue, and its other end.
pub(super) fn queue<T>(dropped: Arc<AtomicU64>) -> (Queue<T>, Waiting<T>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Queue { sender, dropped: Arc::clone(&dropped) }, Waiting { receiver, dropped, pace: Pace::default() })
}

/// Sends what comes, until it is told to stop and nothing waits any more. A batch that is not taken is sent again a few
/// times and then given up: what waits behind it is newer.
pub(super) async fn send<T, F, E>(mut waiting: Waiting<T>, stop: CancellationToken, send: impl Fn(Arc<Vec<T>>) -> F)
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let pace = waiting.pace;
    let mut silent = false;
    loop {
        let mut batch = Vec::new();
        let came = tokio::select! {
            biased;
            came = waiting.receiver.recv_many(&mut batch, TOGETHER) => came,
            () = stop.cancelled() => 0,
        };
        if came == 0 {
            return;
        }
        let full = async {
            while batch.len() < TOGETHER {
                let room = TOGETHER - batch.len();
                if waiting.receiver.recv_many(&mut batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::select! {
            _ = timeout(pace.gather, full) => {}
            () = stop.cancelled() => {}
        }
        let count = batch.len() as u64;
        match persist(Arc::new(batch), pace, &stop, &send).await {
            Ok(()) => {
                if std::mem::take(&mut silent) {
                    tracing::info!(target: "sqe::telemetry", "the OTLP receiver takes spans and log lines again");
                }
            }
            Err(error) => {
                waiting.dropped.fetch_add(count, Ordering::Relaxed);
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!(target: "sqe::telemetry", %error, "the OTLP receiver takes nothing; spans and log lines are given up");
                }
            }
        }
    }
}

async fn persist<T, F, E>(
    batch: Arc<Vec<T>>,
    pace: Pace,
    stop: &CancellationToken,
    send: &impl Fn(Arc<Vec<T>>) -> F,
) -> Result<(), String>
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut problem = String::new();
    for attempt in 0..=AGAIN {
        if attempt > 0 {
            tokio::select! {
                () = sleep(pace.again * (1 << (attempt - 1))) => {}
                // There is no time to wait for a better moment.
                () = stop.cancelled() => return Err(problem),
            }
        }
        problem = match timeout(pace.patience, send(Arc::clone(&batch))).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer in time".to_owned(),
        };
    }
    Err(problem)
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn what_is_pushed_is_sent_in_order_and_the_last_of_it_at_the_end() {
        let (queue, waiting) = queue(Arc::default());
        let (sent, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let to = Arc::clone(&sent);
        let task = tokio::spawn(send(waiting, stop.clone(), move |batch: Arc<Vec<u32>>| {
            to.lock().push(batch.to_vec());
            async { Ok::<_, String>(()) }
        }));
        (0..1000).for_each(|item| queue.push(item));
        stop.cancel();
        task.await.unwrap();
        let batches = sent.lock();
        assert!(batches.iter().all(|batch| batch.len() <= TOGETHER));
        assert_eq!(batches.concat(), (0..1000).collect::<Vec<_>>());
    }

    /// Hardly any time at all.
    fn hurried<T>((queue, mut waiting): (Queue<T>, Waiting<T>)) -> (Queue<T>, Waiting<T>) {
        let short = Duration::from_millis(1);
        waiting.pace = Pace { gather: short, again: short, ..Pace::default() };
        (queue, waiting)
    }

    async fn until(is_so: impl Fn() -> bool) {
        while !is_so() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_costs_what_does_not_fit_and_nobody_waits() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (queue, waiting) = hurried(queue(Arc::clone(&dropped)));
        (0..10_000).for_each(|item| queue.push(item));
        assert_eq!(dropped.load(Ordering::Relaxed), 10_000 - WAITING as u64);
        let stop = CancellationToken::new();
        let tries = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&tries);
        let task = tokio::spawn(send(waiting, stop.clone(), move |_: Arc<Vec<u32>>| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Err("no") }
        }));
        until(|| dropped.load(Ordering::Relaxed) == 10_000).await;
        let batches = WAITING.div_ceil(TOGETHER) as u64;
        assert_eq!(
            tries.load(Ordering::Relaxed),
            batches * (1 + u64::from(AGAIN)),
            "each is sent again, then given up"
        );
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_receiver_that_comes_back_in_time_costs_nothing() {
        let dropped = Arc::new(AtomicU64::new(0));
        let (queue, waiting) = hurried(queue(Arc::clone(&dropped)));
        let stop = CancellationToken::new();
        let tries = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&tries);
        let task = tokio::spawn(send(waiting, stop.clone(), move |_: Arc<Vec<u32>>| {
            let answer = if counted.fetch_add(1, Ordering::Relaxed) < 2 { Err("no") } else { Ok(()) };
            async move { answer }
        }));
        queue.push(1);
        until(|| tries.load(Ordering::Relaxed) == 3).await;
        queue.push(2);
        until(|| tries.load(Ordering::Relaxed) == 4).await;
        assert_eq!((tries.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed)), (4, 0));
        stop.cancel();
        task.await.unwrap();
    }
}
