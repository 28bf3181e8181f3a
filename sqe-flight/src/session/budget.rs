//! How much is held for each person.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use sqe_core::{Error, ErrorKind, Principal, Result};

/// Bytes held, by person.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    /// What it is a budget of, and what to do when it is used up.
    what: &'static str,
    advice: &'static str,
    held: Mutex<HashMap<Principal, usize>>,
}

impl Budget {
    /// A budget of `limit` bytes of parameters a person.
    pub(crate) fn of_parameters(limit: usize) -> Self {
        let advice = "close prepared statements, or bind fewer rows at once";
        Self { limit, what: "parameters", advice, held: Mutex::default() }
    }

    /// A budget of `limit` bytes a person of what is kept between calls.
    pub(crate) fn of_answers(limit: usize) -> Self {
        let advice = "fetch the answers that wait, or close prepared statements";
        Self { limit, what: "statements and answers", advice, held: Mutex::default() }
    }

    /// A share of a person's budget, still of nothing.
    pub(crate) fn share(self: &Arc<Self>, person: &Principal) -> Share {
        Share(Arc::new(Held { budget: Arc::clone(self), person: person.clone(), bytes: Mutex::new(0) }))
    }
}

/// Bytes that are held for a person. Clones are the same bytes; they are given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Share(Arc<Held>);

#[derive(Debug)]
struct Held {
    budget: Arc<Budget>,
    person: Principal,
    bytes: Mutex<usize>,
}

impl Share {
    /// Makes it one of `bytes`, if it is smaller.
    ///
    /// # Errors
    /// `ResourceExhausted` if the person has not so much left; it then stays as it was.
    pub(crate) fn grow_to(&self, bytes: usize) -> Result<()> {
        let mut mine = self.0.bytes.lock();
        let more = bytes.saturating_sub(*mine);
        if more == 0 {
            return Ok(());
        }
        let Budget { limit, what, advice, held } = &*self.0.budget;
        let mut held = held.lock();
        let all = held.get(&self.0.person).copied().unwrap_or(0).saturating_add(more);
        if all > *limit {
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                format!(
                    "more than {limit} bytes of {what} would be held for you, in all of your sessions together; {advice}"
                ),
            ));
        }
        held.insert(self.0.person.clone(), all);
        *mine = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mine = *self.bytes.get_mut();
        if mine == 0 {
            return;
        }
        if let Entry::Occupied(mut held) = self.budget.held.lock().entry(self.person.clone()) {
            *held.get_mut() = held.get().saturating_sub(mine);
            if *held.get() == 0 {
                // People for whom nothing is held need no entry.
                held.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_shares_are_added_up_and_given_back() {
        let budget = Arc::new(Budget::of_parameters(100));
        let (alice, bob) = (Principal::new("idp", "alice"), Principal::new("idp", "bob"));
        let first = budget.share(&alice);
        first.grow_to(60).unwrap();
        // Growing says how much there is, not how much more.
        first.grow_to(60).unwrap();
        first.grow_to(10).unwrap();
        let second = budget.share(&alice);
        let refused = second.grow_to(41).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
        assert!(refused.message().contains("100 bytes"), "{refused}");
        second.grow_to(40).unwrap();
        budget.share(&bob).grow_to(100).unwrap();
        let clone = first.clone();
        drop(first);
        assert!(second.grow_to(41).is_err(), "a clone still holds it");
        drop(clone);
        second.grow_to(100).unwrap();
        drop(second);
        assert!(budget.held.lock().is_empty());
    }
}
