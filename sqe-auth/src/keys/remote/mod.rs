//! Keys that are fetched from their issuer.

mod cache;
mod fetch;

use std::{sync::Arc, time::Duration, time::Instant};

use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use sqe_core::{Error, Result};

use super::{Key, KeyFamily, MAX_BYTES, MAX_KEYS};
use crate::remote::{Turn, Turns};
use cache::{Answer, Cache};
use fetch::Fetcher;
pub(crate) use fetch::Location;

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
        Ok(())
    }
}

/// An issuer's keys, fetched when they are needed and kept while they can be believed.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    cache: Mutex<Cache>,
    fetcher: Fetcher,
    turns: Arc<Turns>,
}

impl RemoteKeys {
    pub(crate) fn new(location: Location, family: KeyFamily, settings: JwksSettings) -> Result<Arc<Self>> {
        settings.check()?;
        let fetcher = Fetcher::new(location, family, &settings)?;
        let turns = Turns::new(settings.min_interval);
        Ok(Arc::new(Self { cache: Mutex::new(Cache::new(settings)), fetcher, turns }))
    }

    /// The key for a token that says `kid` and `algorithm`, fetching keys if the known ones do not do.
    pub(crate) async fn find(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>> {
        let answer = self.cache.lock().find(Instant::now(), kid, algorithm);
        match answer {
            Answer::Use(key) => return Ok(key),
            Answer::UseAndRefresh(key) => {
                // Nobody waits for it: the key is still good.
                self.turns.begin(|| Fetch::new(self).run());
                return Ok(key);
            }
            Answer::Missed(_) | Answer::TooOld => {}
        }
        if self.refresh().await == Turn::Anothers && !self.knows(kid, algorithm) {
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

    async fn refresh(self: &Arc<Self>) -> Turn {
        self.turns.take(|| Fetch::new(self).run()).await
    }
}

fn unavailable(cache: &Cache) -> Error {
    let reason = cache.failure().unwrap_or("no fetch of the issuer's keys could begin");
    Error::unavailable("tokens cannot be checked now, because their issuer does not answer; try again later")
        .with_source(reason.to_owned())
}

/// One fetch. If it is cut off, it has failed.
struct Fetch {
    keys: Arc<RemoteKeys>,
    decided: bool,
}

impl Fetch {
    fn new(keys: &Arc<RemoteKeys>) -> Self {
        Self { keys: Arc::clone(keys), decided: false }
    }

    async fn run(mut self) {
        let fetcher = &self.keys.fetcher;
        match fetcher.fetch().await {
            Ok(keys) => self.keys.cache.lock().merge(Instant::now(), keys),
            Err(error) => {
                tracing::warn!(host = fetcher.host(), %error, "the keys of a token issuer could not be fetched");
                self.keys.cache.lock().fail(error.to_string());
            }
        }
        self.decided = true;
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        if !self.decided {
            self.keys.cache.lock().fail("the fetch was cut off".into());
        }
    }
}
