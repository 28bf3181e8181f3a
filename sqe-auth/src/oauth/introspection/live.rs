//! The tokens that are in use, so that they can be asked about again.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use chrono::Utc;
use parking_lot::Mutex;
use sqe_core::{ErrorKind, Identity, Result, Secret};

use super::{IntrospectionSettings, too_many};
use crate::remote::Digest;

/// A token, and whom it stood for when it was last asked about.
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) identity: Identity,
}

/// Tokens that were accepted and have not expired: at most so many, and so many of each person.
pub(super) struct Live {
    every: Duration,
    ceiling: Duration,
    most: usize,
    most_of_one: usize,
    tokens: Mutex<HashMap<Digest, Entry>>,
}

struct Entry {
    token: Token,
    /// When the issuer last said that it is good.
    good: Instant,
    /// When it was last tried to be asked.
    tried: Instant,
}

impl Live {
    pub(super) fn new(every: Duration, settings: &IntrospectionSettings) -> Self {
        Self {
            every,
            ceiling: settings.unchecked_ceiling,
            most: settings.most_live,
            most_of_one: settings.most_live_of_one,
            tokens: Mutex::default(),
        }
    }

    /// Takes in a token that was just accepted. One for which there is no room could not be watched, so it is refused.
    pub(super) fn add(&self, key: Digest, token: impl FnOnce() -> Token) -> Result<()> {
        let mut tokens = self.tokens.lock();
        if tokens.contains_key(&key) {
            return Ok(());
        }
        let token = token();
        if tokens.len() >= self.most {
            drop_expired(&mut tokens);
        }
        let of_one = || tokens.values().filter(|entry| entry.token.identity.principal == token.identity.principal);
        if tokens.len() >= self.most || (tokens.len() >= self.most_of_one && of_one().count() >= self.most_of_one) {
            return Err(too_many());
        }
        let now = Instant::now();
        tokens.insert(key, Entry { token, good: now, tried: now });
        Ok(())
    }

    /// Those that were not asked about for long enough.
    pub(super) fn due(&self) -> Vec<(Digest, Secret)> {
        let now = Instant::now();
        let mut tokens = self.tokens.lock();
        // The engine ends what has expired by itself.
        drop_expired(&mut tokens);
        let due = tokens.iter_mut().filter(|(_, entry)| now.saturating_duration_since(entry.tried) >= self.every);
        due.map(|(key, entry)| {
            entry.tried = now;
            (*key, entry.token.secret.clone())
        })
        .collect()
    }

    /// How long until the next is due.
    pub(super) fn until_due(&self) -> Duration {
        let next = self.tokens.lock().values().map(|entry| entry.tried).min();
        // What comes in meanwhile is not due sooner. Never at once, or this would spin while the issuer is down.
        let wait = next.map_or(self.every, |tried| (tried + self.every).saturating_duration_since(Instant::now()));
        wait.max(Duration::from_millis(10))
    }

    /// Takes the issuer's answer over. Gives whom the token stood for, with the token as proof, if it ends.
    pub(super) fn settle(&self, key: Digest, answer: Result<Identity>) -> Option<Identity> {
        let now = Instant::now();
        let mut tokens = self.tokens.lock();
        let entry = tokens.get_mut(&key)?;
        let ends = match answer {
            Ok(identity) => {
                entry.good = now;
                let changed = !same_rights(&entry.token.identity, &identity);
                entry.token.identity.expires_at = identity.expires_at;
                changed
            }
            Err(error) if error.kind() == ErrorKind::Unauthenticated => true,
            Err(_) => now.saturating_duration_since(entry.good) >= self.ceiling,
        };
        if !ends {
            return None;
        }
        let Token { secret, mut identity } = tokens.remove(&key)?.token;
        identity.proof = Some(secret);
        Some(identity)
    }
}

fn drop_expired(tokens: &mut HashMap<Digest, Entry>) {
    let now = Utc::now();
    tokens.retain(|_, entry| entry.token.identity.expires_at.is_none_or(|at| at > now));
}

fn same_rights(before: &Identity, now: &Identity) -> bool {
    before.principal == now.principal
        && before.groups == now.groups
        && before.roles == now.roles
        && before.attributes == now.attributes
        && before.actors == now.actors
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sqe_core::{Error, Principal};

    use super::*;
    use crate::remote::Digester;

    fn live(change: impl FnOnce(&mut IntrospectionSettings)) -> Live {
        let mut settings = IntrospectionSettings::default();
        change(&mut settings);
        Live::new(Duration::ZERO, &settings)
    }

    fn person(name: &str) -> Identity {
        Identity::new(Principal::new("https://idp.example", name)).with_groups(["eu"])
    }

    fn add(live: &Live, digester: &Digester, token: &str, identity: Identity) -> Result<Digest> {
        let key = digester.of(&[token]);
        live.add(key, || Token { secret: Secret::new(token), identity })?;
        Ok(key)
    }

    #[test]
    fn a_token_ends_when_its_issuer_says_so_or_says_something_else() {
        let (live, digester) = (live(|_| {}), Digester::new());
        let key = add(&live, &digester, "t", person("alice")).unwrap();
        assert_eq!(live.due().len(), 1);
        assert_eq!(live.settle(key, Ok(person("alice"))), None);
        assert_eq!(live.settle(key, Err(Error::unavailable("down"))), None, "an outage ends nothing at once");
        let ended = live.settle(key, Err(Error::unauthenticated("inactive"))).unwrap();
        assert_eq!((ended.principal.subject.as_str(), ended.proof), ("alice", Some(Secret::new("t"))));
        assert_eq!(live.settle(key, Err(Error::unauthenticated("inactive"))), None, "once is enough");
        for changed in [
            person("alice").with_groups(["us"]),
            person("alice").with_roles(["admin"]),
            person("alice").with_attribute("level", "7"),
            person("bob"),
        ] {
            let key = add(&live, &digester, "t", person("alice")).unwrap();
            assert!(live.settle(key, Ok(changed)).is_some());
        }
        assert!(live.due().is_empty());
    }

    #[test]
    fn a_token_that_could_not_be_asked_about_for_too_long_ends() {
        let (live, digester) = (live(|settings| settings.unchecked_ceiling = Duration::ZERO), Digester::new());
        let key = add(&live, &digester, "t", person("alice")).unwrap();
        assert!(live.settle(key, Err(Error::unavailable("down"))).is_some());
    }

    #[test]
    fn tokens_are_bounded_in_all_and_for_each_person_and_expired_ones_make_room() {
        let (live, digester) =
            (live(|settings| (settings.most_live, settings.most_live_of_one) = (3, 2)), Digester::new());
        let expired = person("bob").with_expiry(Utc::now() - chrono::Duration::seconds(1));
        add(&live, &digester, "old", expired).unwrap();
        add(&live, &digester, "1", person("alice")).unwrap();
        add(&live, &digester, "2", person("alice")).unwrap();
        let refused = add(&live, &digester, "3", person("alice")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
        add(&live, &digester, "2", person("alice")).unwrap();
        add(&live, &digester, "4", person("bob")).unwrap();
        add(&live, &digester, "5", person("carol")).unwrap_err();
    }
}
