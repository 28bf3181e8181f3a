//! Tokens that were verified a short while ago.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use sqe_core::Result;
use zeroize::Zeroizing;

use super::{record::Hash, text::random_bytes};

/// What is remembered of a token: its digest under a key that lives in this process alone.
type Digest = [u8; 32];

/// Remembers which token belongs to which hash, so that a token shown with every call is not hashed with every call.
///
/// It answers one question: is this the token of this hash? Whether its record still is there, and what it says, is asked
/// anew each time. The map is keyed by digests that nobody outside can compute, so how long a look-up takes tells nothing.
pub(super) struct Verified {
    key: Zeroizing<[u8; 32]>,
    lifetime: Duration,
    capacity: usize,
    known: Mutex<HashMap<Digest, (Hash, Instant)>>,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("known", &self.known.lock().len()).finish_non_exhaustive()
    }
}

impl Verified {
    /// # Errors
    /// `Internal` if the operating system gives no random numbers.
    pub(super) fn new(lifetime: Duration, capacity: usize) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        random_bytes(&mut *key)?;
        Ok(Self { key, lifetime, capacity, known: Mutex::default() })
    }

    /// Whether `token` was found to be the one of `hash` a short while ago.
    pub(super) fn knows(&self, token: &str, hash: &Hash) -> bool {
        let Some(digest) = self.digest(token) else { return false };
        let known = self.known.lock();
        known.get(&digest).is_some_and(|(of, since)| of == hash && since.elapsed() < self.lifetime)
    }

    /// Remembers that `token` is the one of `hash`.
    pub(super) fn remember(&self, token: &str, hash: &Hash) {
        let Some(digest) = self.digest(token) else { return };
        let mut known = self.known.lock();
        if known.len() >= self.capacity {
            known.retain(|_, (_, since)| since.elapsed() < self.lifetime);
        }
        if known.len() >= self.capacity
            && let Some(oldest) = known.iter().min_by_key(|(_, (_, since))| *since).map(|(digest, _)| *digest)
        {
            known.remove(&oldest);
        }
        if known.len() < self.capacity {
            known.insert(digest, (hash.clone(), Instant::now()));
        }
    }

    fn digest(&self, token: &str) -> Option<Digest> {
        // Every length of key will do, so there is always one.
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.key).ok()?;
        mac.update(token.as_bytes());
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Hash {
        Hash(text.to_owned())
    }

    #[test]
    fn a_token_is_known_for_a_while_and_with_its_hash_alone() {
        let verified = Verified::new(Duration::from_secs(3600), 10).unwrap();
        assert!(!verified.knows("one", &hash("h1")));
        verified.remember("one", &hash("h1"));
        assert!(verified.knows("one", &hash("h1")));
        assert!(!verified.knows("one", &hash("h2")), "its record changed");
        assert!(!verified.knows("two", &hash("h1")));

        let forgetful = Verified::new(Duration::ZERO, 10).unwrap();
        forgetful.remember("one", &hash("h1"));
        assert!(!forgetful.knows("one", &hash("h1")));
    }

    #[test]
    fn it_stays_bounded_and_forgets_the_oldest() {
        let verified = Verified::new(Duration::from_secs(3600), 3).unwrap();
        for token in ["a", "b", "c", "d", "e"] {
            verified.remember(token, &hash("h"));
        }
        assert_eq!(verified.known.lock().len(), 3);
        assert!(verified.knows("e", &hash("h")) && !verified.knows("a", &hash("h")));
        let nothing = Verified::new(Duration::from_secs(3600), 0).unwrap();
        nothing.remember("a", &hash("h"));
        assert!(!nothing.knows("a", &hash("h")));
    }

    #[test]
    fn two_processes_have_other_digests_and_nothing_prints() {
        let (one, two) = (Verified::new(Duration::ZERO, 1).unwrap(), Verified::new(Duration::ZERO, 1).unwrap());
        assert_ne!(one.digest("token"), two.digest("token"));
        one.remember("token", &hash("h"));
        assert_eq!(format!("{one:?}"), "Verified { known: 1, .. }");
    }
}
