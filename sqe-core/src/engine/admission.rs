//! Whose turn it is: a cap on all statements, and one on each person's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Limits;
use crate::{Error, Principal, Result};

#[derive(Debug)]
pub(super) struct Admission {
    all: Arc<Semaphore>,
    people: Mutex<HashMap<Principal, Arc<Semaphore>>>,
    per_person: usize,
    queue: Duration,
}

/// The right to run one statement; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    _person: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.concurrent)),
            people: Mutex::new(HashMap::new()),
            per_person: limits.concurrent_per_person,
            queue: limits.queue,
        }
    }

    /// Waits for a turn: first among the person's own statements, then among all, so that one person's queue takes no
    /// place from others.
    pub(super) async fn admit(&self, principal: &Principal) -> Result<Slot> {
        let person = self.person(principal);
        let turns = async {
            let person = person.acquire_owned().await;
            let all = Arc::clone(&self.all).acquire_owned().await;
            person.and_then(|person| Ok((person, all?)))
        };
        match tokio::time::timeout(self.queue, turns).await {
            Ok(Ok((person, all))) => Ok(Slot { _person: person, _all: all }),
            Ok(Err(_)) => Err(Error::unavailable("the engine is shutting down")),
            Err(_) => Err(Error::exhausted(format!(
                "too many statements are running; none ended within {} s; try again later",
                self.queue.as_secs()
            ))),
        }
    }

    fn person(&self, principal: &Principal) -> Arc<Semaphore> {
        let mut people = self.people.lock();
        // People without running statements need no entry.
        people.retain(|_, slots| Arc::strong_count(slots) > 1 || slots.available_permits() < self.per_person);
        let slots = people.entry(principal.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_person)));
        Arc::clone(slots)
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
