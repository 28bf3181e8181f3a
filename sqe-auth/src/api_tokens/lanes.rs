//! How many tokens are hashed at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sqe_core::{Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Each hash takes 19 MiB and a core for a while, so there are never many at once. Tokens whose id is known wait in
/// another line than all others: strangers who make up tokens wait for each other, and nobody waits for them.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) known: Lane,
    pub(super) unknown: Lane,
}

impl Lanes {
    /// So many at once in each of the two lines, and so many that wait there.
    pub(super) fn new(at_once: usize, waiting: usize) -> Self {
        Self { known: Lane::new(at_once, waiting), unknown: Lane::new(at_once, waiting) }
    }
}

/// A line, and the turns that are given out at its end.
#[derive(Debug)]
pub(super) struct Lane {
    turns: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    room: usize,
}

impl Lane {
    fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self { turns: Arc::new(Semaphore::new(at_once)), inside: Arc::default(), room: at_once.saturating_add(waiting) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// `ResourceExhausted` if too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn> {
        let inside = Inside::enter(&self.inside, self.room).ok_or_else(|| {
            Error::exhausted("too many tokens are being checked at this moment; try again in a few seconds")
        })?;
        let permit = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| broken().with_source(error))?;
        Ok(Turn { _permit: permit, _inside: inside })
    }
}

/// The right to hash one token.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _inside: Inside,
}

impl Turn {
    /// Uses it. A client that goes away does not end the work, so the turn lasts as long as the work does.
    ///
    /// # Errors
    /// `Internal`: a defect, or the runtime is about to end.
    pub(super) async fn take<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let working = tokio::task::spawn_blocking(move || {
            let _turn = self;
            work()
        });
        working.await.map_err(|error| broken().with_source(error))
    }
}

fn broken() -> Error {
    Error::internal("a token could not be checked")
}

/// Somebody who waits or works.
#[derive(Debug)]
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn enter(inside: &Arc<AtomicUsize>, room: usize) -> Option<Self> {
        let enters = |now: usize| (now < room).then_some(now + 1);
        inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, enters).ok().map(|_| Self(Arc::clone(inside)))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sqe_core::ErrorKind;

    use super::*;

    /// Takes a turn of a lane and keeps it until told otherwise.
    async fn busy(lane: &Lane) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (end, wait) = mpsc::channel::<()>();
        let turn = lane.turn().await.unwrap();
        (end, tokio::spawn(async move { turn.take(move || wait.recv().unwrap()).await.unwrap() }))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_lane_refuses_and_the_other_goes_on() {
        let lanes = Lanes::new(1, 1);
        let (end, working) = busy(&lanes.unknown).await;
        let mut waiting = Box::pin(lanes.unknown.turn());
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(lanes.unknown.turn().await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert_eq!(lanes.known.turn().await.unwrap().take(|| 7).await.unwrap(), 7);
        end.send(()).unwrap();
        working.await.unwrap();
        waiting.await.unwrap().take(|| ()).await.unwrap();
        assert_eq!(lanes.unknown.inside.load(Ordering::Acquire), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_goes_away_while_waiting_leaves_room() {
        let lanes = Lanes::new(1, 1);
        let (end, working) = busy(&lanes.known).await;
        for _ in 0..3 {
            let mut waiting = Box::pin(lanes.known.turn());
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        end.send(()).unwrap();
        working.await.unwrap();
        assert_eq!(lanes.known.inside.load(Ordering::Acquire), 0);
    }
}
