//! Hashes of records, and heads: what to keep elsewhere to notice a cut or rewritten trail.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use sqe_core::Error;
use uuid::Uuid;

/// What every hash of a chain begins with; it names the format.
const DOMAIN: &[u8] = b"sqe-audit-1\n";

/// SHA-256 of a record and, through it, of everything before it. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub(crate) [u8; 32]);

impl Hash {
    /// The `prev` of a chain's first record.
    pub const NONE: Self = Self([0; 32]);

    /// The hash of record `seq`, whose text is `body`, after a record with hash `prev`:
    /// SHA-256 over `sqe-audit-1`, `prev`, `seq` and `body`, separated by line feeds.
    #[must_use]
    pub fn chained(prev: &Self, seq: u64, body: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(DOMAIN);
        digest.update(prev.to_string().as_bytes());
        digest.update(format!("\n{seq}\n").as_bytes());
        digest.update(body);
        Self(digest.finalize().into())
    }

    /// SHA-256 of plain bytes.
    pub(crate) fn plain(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads exactly 64 lower-case hexadecimal digits.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0u8; 32];
        for (into, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *into = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'?');
        let mut text = [0u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).ok_or_else(|| de::Error::custom("expected 64 lower-case hexadecimal digits"))
    }
}

/// The end of a chain at some moment. Kept where the trail's writer cannot reach it, it proves later that nothing up
/// to here was cut off or rewritten.
///
/// Its text form is `chain:seq:hash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// The chain's id, from its genesis record.
    pub chain: Uuid,
    /// The sequence number of its last durable record.
    pub seq: u64,
    /// The hash of that record.
    pub hash: Hash,
}

impl Head {
    /// A head.
    #[must_use]
    pub fn new(chain: Uuid, seq: u64, hash: Hash) -> Self {
        Self { chain, seq, hash }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.chain, self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let mut parts = text.trim().split(':');
            let head = Self {
                chain: parts.next()?.parse().ok()?,
                seq: parts.next()?.parse().ok()?,
                hash: Hash::parse(parts.next()?.as_bytes())?,
            };
            parts.next().is_none().then_some(head)
        };
        parse().ok_or_else(|| Error::invalid("a head is written chain:seq:hash, as an audit trail prints it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_survives_its_text_form() {
        let head = Head::new(Uuid::new_v4(), 42, Hash::plain(b"x"));
        assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
        for wrong in ["", "x", "a:b:c", &format!("{head}:1"), &head.to_string().to_uppercase()] {
            assert!(wrong.parse::<Head>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_hash_is_what_sha256sum_says() {
        // printf 'sqe-audit-1\n%064d\n1\n{}' 0 | sha256sum
        assert_eq!(
            Hash::chained(&Hash::NONE, 1, b"{}").to_string(),
            "50a1cb1d8893bbcb8c2840307fac9142e3844d1c22a1133e2709f0c68007c762"
        );
    }
}
