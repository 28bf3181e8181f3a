//! The public keys of an issuer.

mod jwk;
#[cfg(feature = "jwks")]
mod remote;

use std::{fmt, sync::Arc};

use jsonwebtoken::{Algorithm, DecodingKey};
use sqe_core::{Error, Result};

#[cfg(feature = "jwks")]
pub use remote::JwksSettings;
#[cfg(feature = "jwks")]
pub(crate) use remote::{Location, RemoteKeys};

use crate::rejection::{Rejection, Shown};
use jwk::Refused;

/// The largest key set that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// The most keys that a key set may hold, usable or not.
pub(crate) const MAX_KEYS: usize = 100;

/// The algorithms that an issuer may sign with. There is one family an issuer, so that a key of one kind can never be
/// taken for a key of another, and none with shared secrets: whoever verifies such tokens can also forge them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KeyFamily {
    /// RSA with keys of 2048 to 4096 bits: RS256, RS384, RS512, PS256, PS384, PS512 (RFC 7518, 3.3 and 3.5). The
    /// default, because RS256 is what every OpenID provider supports (OpenID Connect Core 1.0, 15.1).
    #[default]
    Rsa,
    /// Elliptic curves: ES256 with P-256, ES384 with P-384 (RFC 7518, 3.4).
    Ec,
    /// Ed25519, as `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    Ed,
}

impl KeyFamily {
    /// What `alg` of a token's header stands for, if it is one of this family's. Case matters (RFC 7515, 4.1.1).
    pub(crate) fn algorithm(self, alg: &str) -> Option<Algorithm> {
        Some(match (self, alg) {
            (Self::Rsa, "RS256") => Algorithm::RS256,
            (Self::Rsa, "RS384") => Algorithm::RS384,
            (Self::Rsa, "RS512") => Algorithm::RS512,
            (Self::Rsa, "PS256") => Algorithm::PS256,
            (Self::Rsa, "PS384") => Algorithm::PS384,
            (Self::Rsa, "PS512") => Algorithm::PS512,
            (Self::Ec, "ES256") => Algorithm::ES256,
            (Self::Ec, "ES384") => Algorithm::ES384,
            (Self::Ed, "EdDSA" | "Ed25519") => Algorithm::EdDSA,
            _ => return None,
        })
    }
}

impl fmt::Display for KeyFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::Ec => "EC",
            Self::Ed => "Ed25519",
        })
    }
}

/// One public key that verifies signatures.
pub(crate) struct Key {
    id: Option<String>,
    family: KeyFamily,
    /// The algorithms it may be used with: those of its kind, or the one that its `alg` names.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl Key {
    pub(crate) fn verify(&self, algorithm: Algorithm, message: &str, signature: &str) -> Result<(), Rejection> {
        match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Rejection::Signature),
        }
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

/// Public keys that an operator configures, for an issuer whose keys are not fetched.
#[derive(Debug, Clone)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

impl KeySet {
    /// Reads a JSON Web Key Set (RFC 7517, section 5).
    ///
    /// Keys of unknown kinds and keys for encryption are passed over, as the RFC asks.
    ///
    /// # Errors
    /// `InvalidInput` if the text is not a key set, is larger than 256 KiB or has more than 100 keys; if a key is
    /// malformed, weak (RSA below 2048 bits), secret (a private or symmetric key), or shares its `kid` with another
    /// of its family.
    pub fn from_jwks(json: &str) -> Result<Self> {
        let read = jwk::read(json.as_bytes(), MAX_BYTES, MAX_KEYS).map_err(|error| {
            Error::invalid(format!("the key set cannot be read: {error}; configure a JSON Web Key Set"))
        })?;
        let mut keys: Vec<Arc<Key>> = Vec::with_capacity(read.len());
        for key in read {
            match key {
                Ok(key) => {
                    if key.id.is_some() && keys.iter().any(|other| other.family == key.family && other.id == key.id) {
                        return Err(Error::invalid("the key set has two keys of one id; give each its own"));
                    }
                    keys.push(Arc::new(key));
                }
                Err(Refused::NotForUs) => {}
                Err(refused) => {
                    return Err(Error::invalid(format!("the key set holds a key that is refused: {refused}")));
                }
            }
        }
        Ok(Self { keys })
    }

    /// Keeps the keys of one family.
    pub(crate) fn of(mut self, family: KeyFamily) -> Self {
        self.keys.retain(|key| key.family == family);
        self
    }

    /// The key of a set of one.
    pub(crate) fn only(&self) -> Option<&Key> {
        match self.keys.as_slice() {
            [key] => Some(key),
            _ => None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Where a verifier finds its issuer's keys.
#[derive(Debug)]
pub(crate) enum KeySource {
    Fixed(KeySet),
    #[cfg(feature = "jwks")]
    Remote(Arc<RemoteKeys>),
}

impl KeySource {
    /// The key for a token whose header says `kid` and `algorithm`.
    ///
    /// # Errors
    /// A rejection if there is none, `Unavailable` if that cannot be known now.
    pub(crate) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>> {
        match self {
            Self::Fixed(set) => Ok(find(&set.keys, kid, algorithm).map_err(|missed| missed.reject(kid, algorithm))?),
            #[cfg(feature = "jwks")]
            Self::Remote(keys) => keys.find(kid, algorithm).await,
        }
    }
}

/// Why no key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missed {
    /// No key has this id, or none is there at all: newer keys may help.
    Unknown,
    /// The key of this id is not for this algorithm.
    WrongAlgorithm,
    /// No id was given, and there are several keys.
    Several,
}

impl Missed {
    pub(crate) fn reject(self, kid: Option<&str>, algorithm: Algorithm) -> Rejection {
        match (self, kid) {
            (Self::Unknown, Some(kid)) => Rejection::UnknownKey(Shown::new(kid)),
            (Self::WrongAlgorithm, _) => Rejection::KeyAlgorithm(Shown::new(&format!("{algorithm:?}"))),
            (Self::Unknown | Self::Several, _) => Rejection::NoKeyNamed,
        }
    }
}

/// A token that names a key gets that key or none. One that names none gets the only key that fits it, or none.
fn find(keys: &[Arc<Key>], kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Missed> {
    if let Some(kid) = kid {
        let key = keys.iter().find(|key| key.id.as_deref() == Some(kid)).ok_or(Missed::Unknown)?;
        return if key.fits(algorithm) { Ok(Arc::clone(key)) } else { Err(Missed::WrongAlgorithm) };
    }
    let mut fitting = keys.iter().filter(|key| key.fits(algorithm));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(Arc::clone(key)),
        (None, _) => Err(Missed::Unknown),
        (Some(_), Some(_)) => Err(Missed::Several),
    }
}
