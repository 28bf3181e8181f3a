//! What issuers said, kept for a while under a digest of what they were asked.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use sqe_core::{Error, ErrorKind, Result};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
};

/// Makes digests with a key that only this process knows and forgets, so that a memory dump does not tell whether some
/// password was used.
#[derive(Clone)]
pub(crate) struct Digester([u8; 32]);

/// Stands for secrets without being one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digester {
    pub(crate) fn new() -> Self {
        Self(rand::random())
    }

    /// The digest of some texts in this order. Where one ends and the next begins makes a difference.
    pub(crate) fn of(&self, parts: &[&str]) -> Digest {
        // HMAC takes keys of every length, so there is no other branch.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Digest([0; 32]) };
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        Digest(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester(redacted)")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(redacted)")
    }
}

/// An answer, and for how long it may be used.
#[derive(Debug, Clone)]
pub(crate) struct Answer<V> {
    pub(crate) value: V,
    /// So long it is used without asking again.
    pub(crate) fresh: Duration,
    /// So long it is used while the issuer does not answer. Not shorter than `fresh`.
    pub(crate) good: Duration,
}

/// How much is kept, and how much is asked at once.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// The most answers that are kept. Refusals have as many places of their own: they push no answer out.
    pub(crate) most: usize,
    /// How long a refusal is kept. What the issuer could not answer is not kept.
    pub(crate) refused: Duration,
    /// The most questions under way at once.
    pub(crate) at_once: usize,
    /// How long a question waits until fewer are under way.
    pub(crate) patience: Duration,
}

/// Answers by digest: each is asked for once, however many wait for it, and a client that goes away ends no question.
#[derive(Debug)]
pub(crate) struct Kept<V> {
    bounds: Bounds,
    room: Semaphore,
    state: Mutex<State<V>>,
}

type Waiting<V> = watch::Receiver<Option<Result<V>>>;

#[derive(Debug)]
struct State<V> {
    answers: HashMap<Digest, Held<V>>,
    refusals: HashMap<Digest, (Error, Instant)>,
    under_way: HashMap<Digest, Waiting<V>>,
}

#[derive(Debug)]
struct Held<V> {
    value: V,
    fresh_until: Instant,
    good_until: Instant,
}

enum Found<V> {
    Now(Result<V>),
    Wait(Waiting<V>),
}

impl<V: Clone + fmt::Debug + Send + Sync + 'static> Kept<V> {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        let room = Semaphore::new(bounds.at_once);
        let state = State { answers: HashMap::new(), refusals: HashMap::new(), under_way: HashMap::new() };
        Arc::new(Self { bounds, room, state: Mutex::new(state) })
    }

    /// The answer kept under `key`, or that which `ask` gives.
    pub(crate) async fn get<F>(self: &Arc<Self>, key: Digest, ask: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<Answer<V>>> + Send + 'static,
    {
        let mut waiting = match self.find(key, ask) {
            Found::Now(answer) => return answer,
            Found::Wait(waiting) => waiting,
        };
        match waiting.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(cut_off())),
            Err(_) => Err(cut_off()),
        }
    }

    /// Forgets what is kept under `key`.
    pub(crate) fn forget(&self, key: Digest) {
        let mut state = self.state.lock();
        state.answers.remove(&key);
        state.refusals.remove(&key);
    }

    fn find<F>(self: &Arc<Self>, key: Digest, ask: impl FnOnce() -> F) -> Found<V>
    where
        F: Future<Output = Result<Answer<V>>> + Send + 'static,
    {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some(held) = state.answers.get(&key).filter(|held| now < held.fresh_until) {
            return Found::Now(Ok(held.value.clone()));
        }
        if let Some((error, _)) = state.refusals.get(&key).filter(|(_, until)| now < *until) {
            return Found::Now(Err(error.clone()));
        }
        if let Some(waiting) = state.under_way.get(&key) {
            return Found::Wait(waiting.clone());
        }
        let Ok(runtime) = Handle::try_current() else { return Found::Now(Err(cut_off())) };
        if state.under_way.len() >= self.bounds.most {
            return Found::Now(Err(busy()));
        }
        let (tell, waiting) = watch::channel(None);
        state.under_way.insert(key, waiting.clone());
        // A runtime that shuts down drops the question at once, and that needs the lock.
        drop(state);
        let question = Question { kept: Arc::clone(self), key, tell };
        let asked = ask();
        runtime.spawn(async move { question.run(asked).await });
        Found::Wait(waiting)
    }

    fn settle(&self, key: Digest, outcome: Result<Answer<V>>) -> Result<V> {
        let now = Instant::now();
        let most = self.bounds.most;
        let mut state = self.state.lock();
        match outcome {
            Ok(Answer { value, fresh, good }) => {
                state.refusals.remove(&key);
                let (fresh_until, good_until) = (now + fresh, now + good.max(fresh));
                insert(
                    &mut state.answers,
                    most,
                    now,
                    key,
                    |held| held.good_until,
                    Held { value: value.clone(), fresh_until, good_until },
                );
                Ok(value)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::PermissionDenied) => {
                state.answers.remove(&key);
                let until = now + self.bounds.refused;
                insert(&mut state.refusals, most, now, key, |(_, until)| *until, (error.clone(), until));
                Err(error)
            }
            // The issuer's word is needed for a refusal as well: what it said before still counts for a while.
            Err(error) => match state.answers.get(&key).filter(|held| now < held.good_until) {
                Some(held) => Ok(held.value.clone()),
                None => Err(error),
            },
        }
    }
}

/// Puts something in; if there is no room, what ends first goes.
fn insert<T>(
    into: &mut HashMap<Digest, T>,
    most: usize,
    now: Instant,
    key: Digest,
    ends: impl Fn(&T) -> Instant,
    value: T,
) {
    if into.len() >= most && !into.contains_key(&key) {
        into.retain(|_, held| now < ends(held));
        if into.len() >= most
            && let Some(first) = into.iter().min_by_key(|(_, held)| ends(held)).map(|(key, _)| *key)
        {
            into.remove(&first);
        }
    }
    into.insert(key, value);
}

/// One question under way. However it ends, those who wait for it learn of it.
struct Question<V: Clone + fmt::Debug + Send + Sync + 'static> {
    kept: Arc<Kept<V>>,
    key: Digest,
    tell: watch::Sender<Option<Result<V>>>,
}

impl<V: Clone + fmt::Debug + Send + Sync + 'static> Question<V> {
    async fn run(self, asked: impl Future<Output = Result<Answer<V>>>) {
        let outcome = match tokio::time::timeout(self.kept.bounds.patience, self.kept.room.acquire()).await {
            Ok(Ok(_permit)) => asked.await,
            Ok(Err(_)) | Err(_) => Err(busy()),
        };
        self.tell.send_replace(Some(self.kept.settle(self.key, outcome)));
    }
}

impl<V: Clone + fmt::Debug + Send + Sync + 'static> Drop for Question<V> {
    fn drop(&mut self) {
        self.kept.state.lock().under_way.remove(&self.key);
    }
}

fn cut_off() -> Error {
    Error::unavailable("the issuer could not be asked; try again later")
}

fn busy() -> Error {
    Error::unavailable("too many questions to the issuer are under way; try again later")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn kept(most: usize) -> Arc<Kept<u32>> {
        Kept::new(Bounds { most, refused: HOUR, at_once: 2, patience: HOUR })
    }

    fn key(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn answer(value: u32, fresh: Duration, good: Duration) -> Result<Answer<u32>> {
        Ok(Answer { value, fresh, good })
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_once_and_kept_while_it_is_fresh() {
        let (kept, asked) = (kept(9), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let asked = Arc::clone(&asked);
            async move {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::SeqCst);
                answer(7, HOUR, HOUR)
            }
        };
        let all = futures::future::join_all((0..50).map(|_| kept.get(key(1), ask))).await;
        assert!(all.into_iter().all(|answer| answer.unwrap() == 7));
        assert_eq!(kept.get(key(1), ask).await.unwrap(), 7);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        kept.forget(key(1));
        kept.get(key(1), ask).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_refusal_is_kept_and_an_outage_is_not() {
        let kept = kept(9);
        let error = kept.get(key(1), || async { Err(Error::unavailable("down")) }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = kept.get(key(1), || async { Err(Error::unauthenticated("no")) }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        let error = kept.get(key(1), || async { answer(1, HOUR, HOUR) }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "it is not asked again");
    }

    #[tokio::test]
    async fn an_answer_that_is_still_good_bridges_an_outage_but_no_refusal() {
        let kept = kept(9);
        kept.get(key(1), || async { answer(1, Duration::ZERO, HOUR) }).await.unwrap();
        assert_eq!(kept.get(key(1), || async { Err(Error::unavailable("down")) }).await.unwrap(), 1);
        kept.get(key(1), || async { Err(Error::denied("no")) }).await.unwrap_err();
        kept.get(key(1), || async { answer(2, HOUR, HOUR) }).await.unwrap_err();
        kept.get(key(2), || async { answer(1, Duration::ZERO, Duration::ZERO) }).await.unwrap();
        kept.get(key(2), || async { Err(Error::unavailable("down")) }).await.unwrap_err();
    }

    #[tokio::test]
    async fn refusals_push_no_answer_out_and_both_are_bounded() {
        let kept = kept(3);
        for number in 0..3 {
            kept.get(key(number), || async { answer(1, HOUR, HOUR) }).await.unwrap();
        }
        for number in 100..200 {
            kept.get(key(number), || async { Err(Error::unauthenticated("no")) }).await.unwrap_err();
        }
        {
            let state = kept.state.lock();
            assert_eq!((state.answers.len(), state.refusals.len(), state.under_way.len()), (3, 3, 0));
        }
        kept.get(key(9), || async { answer(1, 2 * HOUR, 2 * HOUR) }).await.unwrap();
        let state = kept.state.lock();
        assert!(state.answers.len() == 3 && state.answers.contains_key(&key(9)));
    }

    #[tokio::test]
    async fn a_client_that_goes_away_ends_no_question_and_a_defect_is_an_outage() {
        let kept = kept(9);
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer(3, HOUR, HOUR)
        };
        assert!(tokio::time::timeout(Duration::from_millis(1), kept.get(key(1), slow)).await.is_err());
        assert_eq!(kept.get(key(1), || async { answer(4, HOUR, HOUR) }).await.unwrap(), 3);
        let error = kept.get(key(2), || async { panic!("a defect") }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(kept.get(key(2), || async { answer(5, HOUR, HOUR) }).await.unwrap(), 5);
    }

    #[tokio::test]
    async fn no_more_questions_than_allowed_are_under_way() {
        let (kept, now, most) = (kept(99), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                answer(1, HOUR, HOUR)
            }
        };
        futures::future::join_all((0..20).map(|number| kept.get(key(number), ask))).await;
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn digests_tell_texts_and_processes_apart() {
        let digester = Digester::new();
        assert_eq!(digester.of(&["a", "b"]), digester.of(&["a", "b"]));
        assert_ne!(digester.of(&["a", "b"]), digester.of(&["ab", ""]));
        assert_ne!(digester.of(&["a"]), Digester::new().of(&["a"]));
    }
}
