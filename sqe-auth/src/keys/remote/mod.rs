//! Keys that are fetched from their issuer.

mod cache;
mod client;
mod fetch;

use std::{sync::Arc, time::Duration, time::Instant};

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use sqe_core::{Error, Result};
use tokio::{runtime::Handle, sync::watch};

use super::{Key, KeyFamily, MAX_BYTES, MAX_KEYS};
use cache::{Answer, Cache};
use fetch::Fetcher;

/// How keys are fetched and how long they are believed.
///
/// The keys that are known stay in use while newer ones are fetched, and while the issuer does not answer. Times are
/// measured on a clock that no administrator turns back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JwksSettings {
    /// Keys of this age are fetched again, behind the tokens that use them. 10 minutes.
    pub refresh_after: Duration,
    /// No two fetches begin within this time, whatever tokens say and however fetches end: unknown key ids cannot be
    /// used to flood the issuer. So a key that an issuer uses in the second of its publication may be unknown here for
    /// this long. 10 seconds.
    pub min_interval: Duration,
    /// Keys of this age are no longer believed, even if the issuer does not answer: then every token is answered with
    /// `Unavailable`. It is the longest time that a stolen key which its issuer withdrew can be used by somebody who
    /// also keeps the issuer from answering. 24 hours.
    pub stale_ceiling: Duration,
    /// A key that its issuer no longer publishes is kept this long, because an issuer of several machines may answer
    /// with the old set after it answered with the new one. 5 minutes.
    pub retire_after: Duration,
    /// The longest that a fetch may take, from connecting to the last byte. 5 seconds.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes. 256 KiB.
    pub max_bytes: usize,
    /// The most keys that an answer may hold, usable or not. 100.
    pub max_keys: usize,
    /// Certificates in PEM, to one of which the server's certificate must lead, and to no others: an issuer inside an
    /// organisation often has that organisation's own. `None`: the roots of the web, as Mozilla lists them.
    pub root_certificates: Option<String>,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            refresh_after: Duration::from_secs(10 * 60),
            min_interval: Duration::from_secs(10),
            stale_ceiling: Duration::from_secs(24 * 60 * 60),
            retire_after: Duration::from_secs(5 * 60),
            timeout: Duration::from_secs(5),
            max_bytes: MAX_BYTES,
            max_keys: MAX_KEYS,
            root_certificates: None,
        }
    }
}

impl JwksSettings {
    fn check(&self) -> Result<()> {
        if self.refresh_after > self.stale_ceiling {
            return Err(Error::invalid("keys must be refreshed before they are too old; raise the stale ceiling"));
        }
        if self.timeout.is_zero() || self.max_bytes == 0 || self.max_keys == 0 {
            return Err(Error::invalid("timeout and caps of fetching keys cannot be zero"));
        }
        Ok(())
    }
}

/// An issuer's keys, fetched when they are needed and kept while they can be believed.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    cache: Mutex<Cache>,
    fetcher: Fetcher,
    /// Counts the fetches that ended, so that whoever needs one can wait for it.
    ended: watch::Sender<u64>,
}

impl RemoteKeys {
    pub(crate) fn new(url: &str, family: KeyFamily, settings: JwksSettings) -> Result<Arc<Self>> {
        settings.check()?;
        let fetcher = Fetcher::new(url, family, &settings)?;
        Ok(Arc::new(Self { cache: Mutex::new(Cache::new(settings)), fetcher, ended: watch::Sender::new(0) }))
    }

    /// The key for a token that says `kid` and `algorithm`, fetching keys if the known ones do not do.
    pub(crate) async fn find(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>> {
        let answer = self.cache.lock().find(Instant::now(), kid, algorithm);
        match answer {
            Answer::Use(key) => return Ok(key),
            Answer::UseAndRefresh(key) => {
                // Nobody waits for it: the key is still good.
                drop(self.start());
                return Ok(key);
            }
            Answer::Missed(_) | Answer::TooOld => {}
        }
        if self.refresh().await == Refreshed::ByAnother && !self.knows(kid, algorithm) {
            // That fetch may have begun before the key was published.
            self.refresh().await;
        }
        let cache = self.cache.lock();
        match cache.find(Instant::now(), kid, algorithm) {
            Answer::Use(key) | Answer::UseAndRefresh(key) => Ok(key),
            // The issuer's word is needed for "no such key". Without it the answer is "cannot tell".
            Answer::Missed(missed) if cache.failure().is_none() => Err(missed.reject(kid, algorithm).into()),
            Answer::Missed(_) | Answer::TooOld => Err(unavailable(&cache)),
        }
    }

    pub(crate) async fn warm_up(self: &Arc<Self>) -> Result<()> {
        self.refresh().await;
        let cache = self.cache.lock();
        if cache.failure().is_some() { Err(unavailable(&cache)) } else { Ok(()) }
    }

    fn knows(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        matches!(self.cache.lock().find(Instant::now(), kid, algorithm), Answer::Use(_) | Answer::UseAndRefresh(_))
    }

    /// Waits for a fetch, if one is under way or may begin.
    async fn refresh(self: &Arc<Self>) -> Refreshed {
        let Some((mut ended, by)) = self.start() else { return Refreshed::TooSoon };
        // It ends: the fetch has a deadline, and its flight says so even when it is dropped.
        let _ = ended.changed().await;
        by
    }

    /// Begins a fetch unless one is under way, or one began too recently (then `None`). The fetch belongs to nobody:
    /// a client that goes away cannot end it, and so cannot use up the one attempt of an interval.
    fn start(self: &Arc<Self>) -> Option<(watch::Receiver<u64>, Refreshed)> {
        // Subscribed before the cache is looked at, so that no end can be missed in between.
        let ended = self.ended.subscribe();
        let mut cache = self.cache.lock();
        if cache.in_flight() {
            return Some((ended, Refreshed::ByAnother));
        }
        let runtime = Handle::try_current().ok()?;
        if !cache.begin(Instant::now()) {
            return None;
        }
        // A runtime that shuts down drops the flight at once, and that needs the lock.
        drop(cache);
        runtime.spawn(Flight(Arc::clone(self)).fly());
        Some((ended, Refreshed::ByUs))
    }
}

/// Whose fetch was waited for.
#[derive(Debug, PartialEq, Eq)]
enum Refreshed {
    ByUs,
    ByAnother,
    TooSoon,
}

fn unavailable(cache: &Cache) -> Error {
    let reason = cache.failure().unwrap_or("no fetch of the issuer's keys could begin");
    Error::unavailable("tokens cannot be checked now, because their issuer does not answer; try again later")
        .with_source(reason.to_owned())
}

/// The one fetch under way. However it ends, those who wait for it learn of it.
struct Flight(Arc<RemoteKeys>);

impl Flight {
    async fn fly(self) {
        let fetcher = &self.0.fetcher;
        match fetcher.fetch().await {
            Ok(keys) => self.0.cache.lock().merge(Instant::now(), keys),
            Err(error) => {
                tracing::warn!(host = fetcher.host(), %error, "the keys of a token issuer could not be fetched");
                self.0.cache.lock().fail(error.to_string());
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.cache.lock().end();
        self.0.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}
