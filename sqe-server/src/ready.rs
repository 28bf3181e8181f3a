//! Whether the server should be asked anything.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Serialize;
use sqe_core::{
    ErrorKind,
    observe::{Event, Observer, Room},
};
use tokio::time::timeout;

use crate::metrics::Sources;

/// How long the trail's disk may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer is good: whoever asks all the time asks the disk no more often.
const FRESH: Duration = Duration::from_millis(500);

/// What there is to say of something that the server needs. It names no machine and no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Ok,
    /// It did not answer when it was last asked.
    Unavailable,
    /// Nobody has asked it yet.
    Unknown,
}

/// What the server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// Whether statements can run here.
    pub(crate) ready: bool,
    /// Why not.
    pub(crate) missing: Vec<&'static str>,
    /// Whether the audit trail takes records.
    pub(crate) audit: State,
    /// Whether those who vouch for people answered when somebody logged in last.
    pub(crate) identity: State,
    /// Whether catalogs answered when they were last asked.
    pub(crate) catalogs: BTreeMap<String, State>,
}

/// Who answered when they were last asked: by what statements and log-ins met, not by asking on purpose.
#[derive(Debug)]
pub(crate) struct Reached(Mutex<(State, BTreeMap<String, State>)>);

impl Reached {
    /// Nobody has been asked yet.
    pub(crate) fn new<'a>(catalogs: impl IntoIterator<Item = &'a String>) -> Self {
        Self(Mutex::new((State::Unknown, catalogs.into_iter().map(|name| (name.clone(), State::Unknown)).collect())))
    }
}

impl Observer for Reached {
    fn observe(&self, event: &Event<'_>) {
        let Event::Step(step) = event else { return };
        // Everything but silence is an answer.
        let state = match step.failure {
            Some(ErrorKind::Unavailable | ErrorKind::DeadlineExceeded) => State::Unavailable,
            _ => State::Ok,
        };
        match step.room {
            Room::Login => self.0.lock().0 = state,
            Room::Catalog { catalog, .. } => {
                if let Some(known) = self.0.lock().1.get_mut(catalog) {
                    *known = state;
                }
            }
            _ => {}
        }
    }
}

/// Knows whether the server is ready.
///
/// A catalog or an issuer that does not answer is told and does not make the server unready: all servers would then be taken
/// out of service at once, and people would meet a closed door instead of an error that says what is wrong.
#[derive(Debug)]
pub(crate) struct Readiness {
    sources: Arc<Sources>,
    reached: Arc<Reached>,
    last: tokio::sync::Mutex<Option<(Instant, Report)>>,
}

impl Readiness {
    pub(crate) fn new(sources: Arc<Sources>, reached: Arc<Reached>) -> Self {
        Self { sources, reached, last: tokio::sync::Mutex::default() }
    }

    /// What is so now. Asks the audit trail whether it takes records.
    pub(crate) async fn look(&self) -> Report {
        let mut last = self.last.lock().await;
        let stopping = self.sources.engine.lock().as_ref().is_some_and(|(engine, _)| engine.is_draining());
        if let Some((at, report)) = &*last
            && at.elapsed() < FRESH
            // Nobody may be sent here any more from that moment on.
            && stopping == report.missing.contains(&STOPPING)
        {
            return report.clone();
        }
        let report = self.ask(stopping).await;
        self.sources.ready.store(usize::from(report.ready), Ordering::Relaxed);
        *last = Some((Instant::now(), report.clone()));
        report
    }

    async fn ask(&self, stopping: bool) -> Report {
        let (identity, catalogs) = self.reached.0.lock().clone();
        let mut report = Report { ready: false, missing: Vec::new(), audit: State::Unknown, identity, catalogs };
        let engine = self.sources.engine.lock().clone();
        match engine {
            None => report.missing.push("the server is still starting"),
            Some((_, trail)) => {
                report.audit = match timeout(PATIENCE, trail.check()).await {
                    Ok(Ok(())) => State::Ok,
                    _ => State::Unavailable,
                };
                if report.audit != State::Ok {
                    report.missing.push("the audit trail cannot be written");
                }
            }
        }
        if stopping {
            report.missing.push(STOPPING);
        }
        report.ready = report.missing.is_empty();
        report
    }
}

const STOPPING: &str = "the server is shutting down";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_has_not_started_is_not_ready_and_says_so() {
        let names = ["lake".to_owned()];
        let readiness = Readiness::new(Arc::default(), Arc::new(Reached::new(&names)));
        let report = readiness.look().await;
        assert!(!report.ready);
        let text: serde_json::Value = serde_json::from_str(&report.to_string()).unwrap();
        let expected = serde_json::json!({
            "ready": false,
            "missing": ["the server is still starting"],
            "audit": "unknown",
            "identity": "unknown",
            "catalogs": { "lake": "unknown" },
        });
        assert_eq!(text, expected);
    }
}
