//! One attempt at a time, and not too often.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

/// Attempts at one thing: never two at once, and none sooner after another began than an interval, however it ended.
///
/// An attempt belongs to nobody: a client that goes away cannot end it, and so cannot use up the one of an interval.
#[derive(Debug)]
pub(crate) struct Turns {
    interval: Duration,
    state: Mutex<State>,
    /// Counts the attempts that ended, so that whoever needs one can wait for it.
    ended: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    under_way: bool,
}

/// Whose attempt was waited for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Ours,
    Anothers,
    /// Nobody's: one began too recently.
    TooSoon,
}

impl Turns {
    pub(crate) fn new(interval: Duration) -> Arc<Self> {
        Arc::new(Self { interval, state: Mutex::default(), ended: watch::Sender::new(0) })
    }

    /// Waits for an attempt, if one is under way or may begin.
    pub(crate) async fn take<F>(self: &Arc<Self>, attempt: impl FnOnce() -> F) -> Turn
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some((mut ended, whose)) = self.start(attempt) else { return Turn::TooSoon };
        // It ends: an attempt has a deadline, and says that it ended even when it is dropped.
        let _ = ended.changed().await;
        whose
    }

    /// Begins an attempt if one may begin. Nobody waits for it.
    pub(crate) fn begin<F>(self: &Arc<Self>, attempt: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(self.start(attempt));
    }

    fn start<F>(self: &Arc<Self>, attempt: impl FnOnce() -> F) -> Option<(watch::Receiver<u64>, Turn)>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Subscribed before the state is looked at, so that no end can be missed in between.
        let ended = self.ended.subscribe();
        let mut state = self.state.lock();
        if state.under_way {
            return Some((ended, Turn::Anothers));
        }
        let runtime = Handle::try_current().ok()?;
        let now = Instant::now();
        if state.began.is_some_and(|began| now.saturating_duration_since(began) < self.interval) {
            return None;
        }
        *state = State { began: Some(now), under_way: true };
        // A runtime that shuts down drops the attempt at once, and that needs the lock.
        drop(state);
        let end = End(Arc::clone(self));
        let attempt = attempt();
        runtime.spawn(async move {
            let _end = end;
            attempt.await;
        });
        Some((ended, Turn::Ours))
    }
}

/// However an attempt ends, those who wait for it learn of it.
struct End(Arc<Turns>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.state.lock().under_way = false;
        self.0.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted(count: &Arc<AtomicUsize>) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let count = Arc::clone(count);
        move || {
            let count = Arc::clone(&count);
            Box::pin(async move {
                tokio::task::yield_now().await;
                count.fetch_add(1, Ordering::SeqCst);
            })
        }
    }

    #[tokio::test]
    async fn those_who_ask_at_once_share_an_attempt_and_the_next_is_too_soon() {
        let (turns, count) = (Turns::new(Duration::from_secs(60)), Arc::default());
        let attempt = counted(&count);
        let (one, other) = tokio::join!(turns.take(&attempt), turns.take(&attempt));
        assert_eq!((one, other), (Turn::Ours, Turn::Anothers));
        assert_eq!(turns.take(&attempt).await, Turn::TooSoon);
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn without_an_interval_each_has_its_turn() {
        let (turns, count) = (Turns::new(Duration::ZERO), Arc::default());
        let attempt = counted(&count);
        for _ in 0..3 {
            assert_eq!(turns.take(&attempt).await, Turn::Ours);
        }
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn an_attempt_that_panics_has_ended() {
        let turns = Turns::new(Duration::ZERO);
        let broken = || async { panic!("a defect") };
        assert_eq!(turns.take(broken).await, Turn::Ours);
        assert_eq!(turns.take(|| async {}).await, Turn::Ours);
    }

    #[test]
    fn a_runtime_that_ends_releases_those_who_wait() {
        let turns = Turns::new(Duration::ZERO);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { turns.begin(std::future::pending) });
        drop(runtime);
        assert!(!turns.state.lock().under_way);
    }
}
