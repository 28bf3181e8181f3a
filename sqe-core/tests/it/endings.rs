//! Rights that end: credentials that expire under a running statement, and sessions that somebody else ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::Utc;
use futures::FutureExt;
use sqe_core::{
    Credentials, ErrorKind, Identity, IdentityProvider, Principal, Result, Secret,
    engine::{Expiry, Limits, SessionOptions},
};
use tokio::sync::Notify;

use crate::people::{world, world_with};

const SLOW: &str = "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8";

/// Everybody is `root`, for so long.
#[derive(Debug)]
struct ShortLived(Duration);

#[async_trait]
impl IdentityProvider for ShortLived {
    async fn authenticate(&self, _: &Credentials) -> Result<Option<Identity>> {
        Ok(Some(Identity::new(Principal::new("test", "root")).with_expiry(Utc::now() + self.0)))
    }
}

fn root() -> Credentials {
    Credentials::Bearer(Secret::new("root"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_stops_when_its_credentials_end_unless_it_was_given_time_to_finish() {
    for (expiry, expected) in [
        (Expiry::Stop, ErrorKind::Unauthenticated),
        // The deadline comes first: had the end of the credentials stopped it, the answer would be another.
        (Expiry::Finish(Duration::from_secs(3600)), ErrorKind::DeadlineExceeded),
        (Expiry::Finish(Duration::from_millis(100)), ErrorKind::Unauthenticated),
    ] {
        let world = world_with(|builder| {
            let mut limits = Limits::default();
            limits.deadline = Duration::from_secs(2);
            limits.expiry = expiry;
            builder.limits(limits).identity(ShortLived(Duration::from_millis(700)))
        });
        let session = world.engine.session(&root(), SessionOptions::default()).await.unwrap();
        let rows = session.query("SELECT 1").await.unwrap().collect().await.unwrap();
        assert_eq!(rows[0].num_rows(), 1, "the permitted control");
        let stopped = session.query(SLOW).await.unwrap().collect().await.unwrap_err();
        assert_eq!(stopped.kind(), expected, "{expiry:?}: {stopped}");
        let later = session.query("SELECT 1").await.unwrap_err();
        assert_eq!(later.kind(), ErrorKind::Unauthenticated, "{expiry:?}: nothing new begins");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_one_person_end_with_their_statements_and_those_of_others_go_on() {
    let world = world();
    let (alice, again, bob) = (world.session("alice").await, world.session("alice").await, world.session("bob").await);
    let running = tokio::spawn(alice.query(SLOW).await.unwrap().collect());
    let others = tokio::spawn(bob.query(SLOW).await.unwrap().collect());
    let ended = world.engine.end_sessions(|identity| identity.principal.subject == "alice");
    assert_eq!(ended, 2);
    assert_eq!(running.await.unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    for session in [&alice, &again] {
        assert_eq!(session.query("SELECT 1").await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(bob.query("SELECT 1").await.unwrap().collect().await.unwrap()[0].num_rows(), 1);
    assert!(others.now_or_never().is_none(), "bob's statement still runs");
    assert_eq!(world.engine.end_sessions(|identity| identity.principal.subject == "alice"), 0, "once is enough");
    assert_eq!(world.rows("alice", "SELECT 1").await.unwrap(), ["1"], "whom the provider still accepts comes in again");
}

/// Accepts until it is told not to, and says when somebody waits in it.
#[derive(Debug, Default)]
struct Withdrawn {
    withdrawn: AtomicBool,
    asked: AtomicUsize,
    inside: Notify,
    go_on: Notify,
}

#[derive(Debug)]
struct Slow(Arc<Withdrawn>);

#[async_trait]
impl IdentityProvider for Slow {
    async fn authenticate(&self, _: &Credentials) -> Result<Option<Identity>> {
        let accepted = !self.0.withdrawn.load(Ordering::SeqCst);
        if self.0.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.inside.notify_one();
            self.0.go_on.notified().await;
        }
        Ok(accepted.then(|| Identity::new(Principal::new("test", "root"))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_in_while_the_right_is_withdrawn_does_not_get_in() {
    for withdraw in [true, false] {
        let state = Arc::new(Withdrawn::default());
        let world = world_with(|builder| builder.identity(Slow(Arc::clone(&state))));
        let engine = world.engine.clone();
        let login = tokio::spawn(async move { engine.session(&root(), SessionOptions::default()).await });
        state.inside.notified().await;
        // The provider has said yes in its mind, and nobody has a session yet.
        state.withdrawn.store(withdraw, Ordering::SeqCst);
        assert_eq!(world.engine.end_sessions(|_| true), 0);
        state.go_on.notify_one();
        match (withdraw, login.await.unwrap()) {
            (true, answer) => assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unauthenticated),
            (false, answer) => assert_eq!(answer.unwrap().identity().principal.subject, "root"),
        }
        assert_eq!(state.asked.load(Ordering::SeqCst), 2, "asked once more");
    }
}
