//! Whose turn it is: a cap on all statements, and one on each person's; the same for statements that are being planned.

use std::{collections::HashMap, sync::Arc, time::Duration};

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
    per_person: usize,
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

    async fn turn(&self, places: &Places, principal: &Principal, doing: &str) -> Result<Slot> {
        match tokio::time::timeout(self.queue, places.take(principal)).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) => Err(Error::unavailable("the engine is shutting down")),
            Err(_) => Err(Error::exhausted(format!(
                "too many statements or lists are {doing}; none ended within {} s; try again later",
                self.queue.as_secs()
            ))),
        }
    }
}

impl Places {
    fn new(all: usize, per_person: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), people: Mutex::new(HashMap::new()), per_person }
    }

    /// First among the person's own statements, then among all, so that one person's queue takes no place from others.
    async fn take(&self, principal: &Principal) -> std::result::Result<Slot, AcquireError> {
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
}
