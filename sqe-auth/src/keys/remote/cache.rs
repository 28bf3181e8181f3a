//! What is known of an issuer's keys, and for how long it is believed. It does no input or output and is told the time.

use std::{sync::Arc, time::Instant};

use jsonwebtoken::Algorithm;

use super::{
    super::{Key, Missed, find},
    JwksSettings,
};

/// What the cache says about a token's key.
#[derive(Debug)]
pub(super) enum Answer {
    /// Here it is.
    Use(Arc<Key>),
    /// Here it is, but it should be fetched again.
    UseAndRefresh(Arc<Key>),
    /// Not among the keys that are known.
    Missed(Missed),
    /// Nothing is known, or nothing that can still be believed.
    TooOld,
}

#[derive(Debug)]
pub(super) struct Cache {
    settings: JwksSettings,
    /// The keys of the last answer.
    current: Vec<Arc<Key>>,
    /// Keys of earlier answers that are no longer published, and when they last were.
    retired: Vec<(Arc<Key>, Instant)>,
    /// When the last good answer came.
    fetched: Option<Instant>,
    /// Why the last fetch failed, if it did.
    failure: Option<String>,
}

impl Cache {
    pub(super) fn new(settings: JwksSettings) -> Self {
        Self { settings, current: Vec::new(), retired: Vec::new(), fetched: None, failure: None }
    }

    pub(super) fn find(&self, now: Instant, kid: Option<&str>, algorithm: Algorithm) -> Answer {
        let Some(age) = self.fetched.map(|at| now.saturating_duration_since(at)) else { return Answer::TooOld };
        if age > self.settings.stale_ceiling {
            return Answer::TooOld;
        }
        let found = find(&self.current, kid, algorithm).or_else(|missed| {
            // Retired keys serve only tokens that name them.
            let retired = self.retired.iter().find(|(key, seen)| {
                kid.is_some()
                    && key.id.as_deref() == kid
                    && key.fits(algorithm)
                    && now.saturating_duration_since(*seen) <= self.settings.retire_after
            });
            retired.map(|(key, _)| Arc::clone(key)).ok_or(missed)
        });
        match found {
            Ok(key) if age > self.settings.refresh_after => Answer::UseAndRefresh(key),
            Ok(key) => Answer::Use(key),
            Err(missed) => Answer::Missed(missed),
        }
    }

    /// Takes a good answer over. What it lacks is kept for a while; what it has under an id replaces what had that id.
    pub(super) fn merge(&mut self, now: Instant, keys: Vec<Arc<Key>>) {
        let seen = self.fetched.unwrap_or(now);
        let before = std::mem::replace(&mut self.current, keys);
        self.retired.extend(before.into_iter().map(|key| (key, seen)));
        let Self { current, retired, settings, .. } = self;
        retired.retain(|(key, seen)| {
            key.id.is_some()
                && !current.iter().any(|other| other.id == key.id)
                && now.saturating_duration_since(*seen) <= settings.retire_after
        });
        // Answers that differ every time cannot pile up: the oldest go first.
        let surplus = retired.len().saturating_sub(settings.max_keys);
        retired.drain(..surplus);
        self.fetched = Some(now);
        self.failure = None;
    }

    /// The fetch failed. What is known stays.
    pub(super) fn fail(&mut self, reason: String) {
        self.failure = Some(reason);
    }

    /// Why the last fetch failed, if it did.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::keys::KeySet;

    const ALGORITHM: Algorithm = Algorithm::EdDSA;

    fn key(id: &str) -> Arc<Key> {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let jwks = format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "x": "{x}", "kid": "{id}"}}]}}"#);
        Arc::clone(&KeySet::from_jwks(&jwks).unwrap().keys[0])
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn cache() -> Cache {
        Cache::new(JwksSettings {
            refresh_after: seconds(100),
            min_interval: seconds(10),
            stale_ceiling: seconds(1000),
            retire_after: seconds(50),
            ..JwksSettings::default()
        })
    }

    #[test]
    fn keys_age_from_fresh_to_stale_to_too_old() {
        let (mut cache, start) = (cache(), Instant::now());
        assert!(matches!(cache.find(start, Some("a"), ALGORITHM), Answer::TooOld), "nothing is known yet");
        cache.merge(start, vec![key("a")]);
        assert!(matches!(cache.find(start + seconds(100), Some("a"), ALGORITHM), Answer::Use(_)));
        assert!(matches!(cache.find(start + seconds(101), Some("a"), ALGORITHM), Answer::UseAndRefresh(_)));
        cache.fail("outage".into());
        assert!(matches!(cache.find(start + seconds(1000), Some("a"), ALGORITHM), Answer::UseAndRefresh(_)));
        assert!(matches!(cache.find(start + seconds(1001), Some("a"), ALGORITHM), Answer::TooOld));
    }

    #[test]
    fn a_key_that_is_no_longer_published_is_kept_for_a_while_and_then_forgotten() {
        let (mut cache, start) = (cache(), Instant::now());
        cache.merge(start, vec![key("a")]);
        cache.merge(start + seconds(20), vec![key("b")]);
        assert!(matches!(cache.find(start + seconds(50), Some("a"), ALGORITHM), Answer::Use(_)));
        assert!(matches!(cache.find(start + seconds(51), Some("a"), ALGORITHM), Answer::Missed(Missed::Unknown)));
        assert!(matches!(cache.find(start + seconds(51), Some("b"), ALGORITHM), Answer::Use(_)));
    }

    #[test]
    fn a_retired_key_is_not_the_key_of_a_token_that_names_none() {
        let (mut cache, start) = (cache(), Instant::now());
        cache.merge(start, vec![key("a")]);
        cache.merge(start, vec![key("b")]);
        match cache.find(start, None, ALGORITHM) {
            Answer::Use(found) => assert_eq!(found.id.as_deref(), Some("b")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_published_key_replaces_the_known_one_of_its_id() {
        let (mut cache, start) = (cache(), Instant::now());
        let newer = key("a");
        cache.merge(start, vec![key("a")]);
        cache.merge(start, vec![Arc::clone(&newer)]);
        match cache.find(start, Some("a"), ALGORITHM) {
            Answer::Use(found) => assert!(Arc::ptr_eq(&found, &newer)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn retired_keys_do_not_pile_up() {
        let (mut cache, start) = (cache(), Instant::now());
        for i in 0..1000 {
            cache.merge(start, vec![key(&format!("k{i}"))]);
        }
        assert_eq!(cache.retired.len(), cache.settings.max_keys);
    }
}
