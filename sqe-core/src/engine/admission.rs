//! Whose turn it is: a cap on all statements, and one on each person's; the same for statements that are being planned.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::{Error, Principal, Result};

#[derive(Debug)]
pub(super) struct Admission {
    running: Places,
    planning: Places,
    listing: Places,
    queue: Duration,
}

/// Places for all together, of which one person gets some.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    people: Mutex<HashMap<Principal, Arc<Semaphore>>>,
    total: usize,
    per_person: usize,
    waiting: AtomicUsize,
}

/// How many statements have a place, and how many wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) taken: usize,
    pub(super) waiting: usize,
}

/// The right to run, or to plan, one statement; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _person: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        // Planning computes without a pause, so more of it than there are cores helps nobody; a few more places keep one
        // person's large statements from delaying another's small ones.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let planning = (4 * cores).max(8);
        Self {
            running: Places::new(limits.concurrent, limits.concurrent_per_person),
            planning: Places::new(planning, planning / 4),
            // Listing waits for catalogs more than it computes.
            listing: Places::new(4 * planning, planning),
            queue: limits.queue,
        }
    }

    /// Waits for a turn to run.
    ///
    /// # Errors
    /// `ResourceExhausted` if it does not come in time.
    pub(super) async fn admit(&self, principal: &Principal) -> Result<Slot> {
        self.turn(&self.running, principal, "running").await
    }

    /// Waits for a turn to plan.
    ///
    /// # Errors
    /// `ResourceExhausted` if it does not come in time.
    pub(super) async fn admit_planning(&self, principal: &Principal) -> Result<Slot> {
        self.turn(&self.planning, principal, "being planned").await
    }

    /// Waits for a turn to list.
    ///
    /// # Errors
    /// `ResourceExhausted` if it does not come in time.
    pub(super) async fn admit_listing(&self, principal: &Principal) -> Result<Slot> {
        self.turn(&self.listing, principal, "being listed").await
    }

    /// From now on nothing is planned or listed any more, and nobody logs in. What was planned may run.
    pub(super) fn close(&self) {
        self.planning.all.close();
        self.listing.all.close();
    }

    /// # Errors
    /// `Unavailable` once it was closed.
    pub(super) fn check_open(&self) -> Result<()> {
        if self.planning.all.is_closed() { Err(shutting_down()) } else { Ok(()) }
    }

    pub(super) fn running(&self) -> Taken {
        self.running.taken()
    }

    pub(super) fn planning(&self) -> Taken {
        self.planning.taken()
    }

    pub(super) fn listing(&self) -> Taken {
        self.listing.taken()
    }

    async fn turn(&self, places: &Places, principal: &Principal, doing: &str) -> Result<Slot> {
        if places.all.is_closed() {
            return Err(shutting_down());
        }
        match tokio::time::timeout(self.queue, places.take(principal)).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(shutting_down()),
            Err(_) => Err(Error::exhausted(format!(
                "too many statements or lists are {doing}; none ended within {} s; try again later",
                self.queue.as_secs()
            ))),
        }
    }
}

fn shutting_down() -> Error {
    Error::unavailable("the engine is shutting down; try again later, or on another server")
}

/// Counts somebody who waits, for as long as they do.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    fn new(all: usize, per_person: usize) -> Self {
        let semaphore = Arc::new(Semaphore::new(all));
        Self { all: semaphore, people: Mutex::default(), total: all, per_person, waiting: AtomicUsize::new(0) }
    }

    fn taken(&self) -> Taken {
        let taken = self.total.saturating_sub(self.all.available_permits());
        Taken { taken, waiting: self.waiting.load(Ordering::Relaxed) }
    }

    /// First among the person's own statements, then among all, so that one person's queue takes no place from others.
    async fn take(&self, principal: &Principal) -> std::result::Result<Slot, AcquireError> {
        let _waiting = Waiting::among(&self.waiting);
        let person = self.person(principal).acquire_owned().await?;
        let all = Arc::clone(&self.all).acquire_owned().await?;
        Ok(Slot { _person: person, _all: all })
    }

    fn person(&self, principal: &Principal) -> Arc<Semaphore> {
        let mut people = self.people.lock();
        // People without statements need no entry.
        people.retain(|_, places| Arc::strong_count(places) > 1 || places.available_permits() < self.per_person);
        let places = people.entry(principal.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_person)));
        Arc::clone(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { concurrent: 3, concurrent_per_person: 2, queue: Duration::from_millis(20), ..Limits::default() }
    }

    #[tokio::test]
    async fn one_person_cannot_take_all_places() {
        let admission = Admission::new(&limits());
        let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
        let first = admission.admit(&alice).await.unwrap();
        let _second = admission.admit(&alice).await.unwrap();
        let refused = admission.admit(&alice).await.unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::ResourceExhausted);
        let _bob = admission.admit(&bob).await.unwrap();
        assert!(admission.admit(&bob).await.is_err(), "the global cap holds");
        drop(first);
        admission.admit(&alice).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_a_place_and_who_waits_is_counted_also_when_they_give_up() {
        let admission = Arc::new(Admission::new(&Limits { queue: Duration::from_secs(60), ..limits() }));
        let alice = Principal::new("i", "alice");
        let _first = admission.admit(&alice).await.unwrap();
        let _second = admission.admit(&alice).await.unwrap();
        assert_eq!(admission.running(), Taken { taken: 2, waiting: 0 });
        let third = tokio::spawn({
            let (admission, alice) = (Arc::clone(&admission), alice.clone());
            async move { admission.admit(&alice).await }
        });
        while admission.running().waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(admission.running(), Taken { taken: 2, waiting: 1 });
        third.abort();
        assert!(third.await.unwrap_err().is_cancelled());
        assert_eq!(admission.running(), Taken { taken: 2, waiting: 0 });
    }

    #[tokio::test]
    async fn a_closed_engine_plans_nothing_more_and_still_runs_what_was_planned() {
        let admission = Admission::new(&limits());
        let alice = Principal::new("i", "alice");
        admission.check_open().unwrap();
        let planned = admission.admit_planning(&alice).await.unwrap();
        admission.close();
        for refused in [admission.admit_planning(&alice).await, admission.admit_listing(&alice).await] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), crate::ErrorKind::Unavailable);
            assert!(refused.message().contains("shutting down"), "{refused}");
        }
        assert!(admission.check_open().is_err());
        assert_eq!(admission.planning().taken, 1);
        drop(planned);
        admission.admit(&alice).await.unwrap();
    }
}
