//! Things that nobody can guess, and how to look them up without telling how much of a guess was right.

use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest as _, Sha256};
use sqe_core::{Error, Result};

/// 256 bits from the operating system.
pub(crate) fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::internal("the operating system gave no random numbers").with_source(error))?;
    Ok(bytes)
}

/// The SHA-256 of a secret, under a domain so that secrets of different kinds never meet in one map. Maps are keyed by
/// digests: how long a lookup takes then depends on the digest, which an attacker cannot steer, not on the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The digest of `parts`, each with its length, so that parts cannot run into each other.
    pub(crate) fn of<P: AsRef<[u8]>>(domain: &str, parts: impl IntoIterator<Item = P>) -> Self {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(domain.as_bytes());
        parts.into_iter().for_each(|part| add(part.as_ref()));
        Self(hash.finalize().into())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_and_parts_do_not_run_into_each_other() {
        assert_eq!(Digest::of("a", ["b"]), Digest::of("a", ["b"]));
        assert_ne!(Digest::of("a", ["b"]), Digest::of("b", ["a"]));
        assert_ne!(Digest::of("basic", ["ab", "c"]), Digest::of("basic", ["a", "bc"]));
    }

    #[test]
    fn two_random_values_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
