//! How many tokens are hashed at once.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sqe_core::{Error, Result};
use tokio::sync::Semaphore;

use super::hash;

/// Each hash takes 19 MiB and a core for a while, so there are never many at once. Tokens whose id is known wait in
/// another line than all others: strangers who make up tokens wait for each other, and nobody waits for them.
#[derive(Debug)]
pub(super) struct Lanes {
    known: Lane,
    unknown: Lane,
}

impl Lanes {
    /// So many at once in each of the two lines, and so many that wait there.
    pub(super) fn new(at_once: usize, waiting: usize) -> Self {
        Self { known: Lane::new(at_once, waiting), unknown: Lane::new(at_once, waiting) }
    }

    /// Whether `hash` is that of `token`.
    ///
    /// # Errors
    /// `ResourceExhausted` if too many wait already.
    pub(super) async fn verify(&self, token: zeroize::Zeroizing<String>, hash: String) -> Result<bool> {
        self.known.run(move || hash::verify(&token, &hash)).await
    }

    /// Takes as long, for a token that has no hash.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub(super) async fn verify_nothing(&self, token: zeroize::Zeroizing<String>) -> Result<()> {
        self.unknown.run(move || hash::verify_nothing(&token)).await
    }
}

#[derive(Debug)]
struct Lane {
    turns: Arc<Semaphore>,
    inside: AtomicUsize,
    room: usize,
}

impl Lane {
    fn new(at_once: usize, waiting: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        let turns = Arc::new(Semaphore::new(at_once));
        Self { turns, inside: AtomicUsize::new(0), room: at_once.saturating_add(waiting) }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _inside = Inside::enter(&self.inside, self.room).ok_or_else(|| {
            Error::exhausted("too many tokens are being checked at this moment; try again in a few seconds")
        })?;
        let broken = || Error::internal("a token could not be checked");
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| broken().with_source(error))?;
        let working = tokio::task::spawn_blocking(move || {
            // A client that goes away does not end the work, so its turn lasts as long as the work does.
            let _turn = turn;
            work()
        });
        working.await.map_err(|error| broken().with_source(error))
    }
}

/// Somebody who waits or works.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(inside: &'a AtomicUsize, room: usize) -> Option<Self> {
        let enters = |now: usize| (now < room).then_some(now + 1);
        inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, enters).ok().map(|_| Self(inside))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sqe_core::ErrorKind;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_lane_refuses_and_the_other_goes_on() {
        let lanes = Arc::new(Lanes::new(1, 1));
        let (end, wait) = mpsc::channel::<()>();
        let working = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.unknown.run(move || wait.recv()).await.map(drop) }
        });
        let waiting = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.unknown.run(|| ()).await }
        });
        while lanes.unknown.inside.load(Ordering::Acquire) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lanes.unknown.run(|| ()).await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
        lanes.known.run(|| ()).await.unwrap();
        end.send(()).unwrap();
        working.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();
        lanes.unknown.run(|| ()).await.unwrap();
        assert_eq!(lanes.unknown.inside.load(Ordering::Acquire), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_goes_away_while_waiting_leaves_room() {
        let lanes = Arc::new(Lanes::new(1, 1));
        let (end, wait) = mpsc::channel::<()>();
        let working = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.known.run(move || wait.recv()).await.map(drop) }
        });
        while lanes.known.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            let mut waiting = Box::pin(lanes.known.run(|| ()));
            assert!(futures::poll!(&mut waiting).is_pending());
        }
        end.send(()).unwrap();
        working.await.unwrap().unwrap();
        assert_eq!(lanes.known.inside.load(Ordering::Acquire), 0);
    }
}
