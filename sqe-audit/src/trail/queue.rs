//! Group commit: callers queue up, one thread writes.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};
use sqe_core::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::chain::{Chain, Draft};

/// A write of one group holds no more than about this many bytes.
const GROUP_BYTES: usize = 4 << 20;

/// Callers' events on their way to the writing thread.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// One permit a KiB.
    room: Arc<Semaphore>,
    permits: u32,
    /// Callers whose events are being written.
    writing: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    drafts: Vec<Draft>,
    done: oneshot::Sender<Result<()>>,
    /// Given back when the drafts are written or refused.
    _room: OwnedSemaphorePermit,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.drafts.iter().map(|draft| draft.body.len()).sum()
    }
}

impl Queue {
    /// A queue that holds about `bytes` bytes; more callers wait.
    pub(crate) fn new(bytes: u64) -> Self {
        let permits = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX >> 4).clamp(1, u32::MAX >> 4);
        let room = Arc::new(Semaphore::new(permits as usize));
        Self { state: Mutex::default(), wake: Condvar::new(), room, permits, writing: AtomicUsize::new(0) }
    }

    /// Returns when all drafts are durable, next to each other and in this order, or none of them is.
    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> Result<()> {
        let bytes: usize = drafts.iter().map(|draft| draft.body.len()).sum();
        let permits = u32::try_from(bytes.div_ceil(1024)).unwrap_or(self.permits).clamp(1, self.permits);
        // Permits are given in the order of asking, so one caller's events keep their order here, too.
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| stopped())?;
        let (done, answer) = oneshot::channel();
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(stopped());
            }
            state.waiting.push_back(Waiting { drafts, done, _room: room });
        }
        self.wake.notify_one();
        // The thread that answers may be gone; then nothing is known to be durable.
        answer.await.map_err(|_| stopped())?
    }

    /// Callers whose events are not durable yet.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len() + self.writing.load(Ordering::Relaxed)
    }

    /// No more events: the thread writes what waits and ends.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.wake.notify_one();
    }

    /// The next group; `None` when the queue is closed and empty.
    fn group(&self) -> Option<Vec<Waiting>> {
        let mut state = self.state.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            self.wake.wait(&mut state);
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        while bytes < GROUP_BYTES
            && let Some(next) = state.waiting.pop_front()
        {
            bytes += next.bytes();
            group.push(next);
        }
        self.writing.store(group.len(), Ordering::Relaxed);
        Some(group)
    }
}

/// Whatever ends the thread, nobody waits for it forever.
struct Ending<'a>(&'a Queue);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.close();
        self.0.state.lock().waiting.clear();
    }
}

/// The writing thread: an idle trail writes an event at once, a busy one writes all that came during the last sync.
pub(crate) fn write_groups(queue: &Queue, chain: &mut Chain) {
    let _ending = Ending(queue);
    while let Some(group) = queue.group() {
        let mut drafts = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for waiting in group {
            drafts.extend(waiting.drafts);
            answers.push((waiting.done, waiting._room));
        }
        let outcome = chain.append(&drafts);
        queue.writing.store(0, Ordering::Relaxed);
        for (done, room) in answers {
            drop(room);
            // A caller that went away has its event in the trail all the same.
            let _ = done.send(outcome.clone());
        }
    }
}

fn stopped() -> Error {
    Error::unavailable("the audit trail is closed, so nothing may run")
}
