//! The three parts of a compact JWS (RFC 7515, 7.1) and the JSON in two of them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{json::Object, rejection::Rejection};

/// A text that has the shape of a JWT.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    /// What the signature signs: header and claims as they were sent.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Three parts between two dots, the first two not empty; otherwise it is not a JWT. An empty signature is the shape of an
    /// unsecured JWT, which must be recognised to be rejected.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let whole = !header.is_empty() && !claims.is_empty() && !claims.contains('.');
        whole.then_some(Self { header, claims, signed, signature })
    }

    /// The JSON objects of header and claims. `None` if they are not: then it is not a JWT either.
    pub(crate) fn decode(&self) -> Option<RawToken> {
        Some(RawToken { header: decode(self.header)?, claims: decode(self.claims)? })
    }
}

fn decode(part: &str) -> Option<Object> {
    Object::read(&URL_SAFE_NO_PAD.decode(part).ok()?)
}

/// A token whose objects may still name something twice.
pub(crate) struct RawToken {
    header: Object,
    claims: Object,
}

/// A token whose objects name everything once.
pub(crate) struct Token {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl RawToken {
    /// Whether any `iss` names the issuer, be it one of several or in a list. Such a token is this issuer's to reject:
    /// two readers must not disagree about whose it is.
    pub(super) fn names_issuer(&self, issuer: &str) -> bool {
        self.claims.entries.iter().filter(|(name, _)| name == "iss").any(|(_, value)| match value {
            Value::String(text) => text == issuer,
            Value::Array(list) => list.iter().any(|one| one == issuer),
            _ => false,
        })
    }

    pub(crate) fn without_duplicates(self) -> Result<Token, Rejection> {
        Ok(Token {
            header: self.header.unique().ok_or(Rejection::Duplicate("header"))?,
            claims: self.claims.unique().ok_or(Rejection::Duplicate("claims"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("")]
    #[case("a")]
    #[case("a.b")]
    #[case(".b.c")]
    #[case("a..c")]
    #[case("a.b.c.d")]
    #[case("a.b.c.d.e")]
    fn other_shapes_are_not_tokens(#[case] text: &str) {
        assert!(Parts::of(text).is_none());
    }

    #[rstest]
    #[case::padded("e30=")]
    #[case::standard_alphabet("+/+/")]
    #[case::trailing_bits("e31")]
    fn sloppy_base64_is_refused(#[case] part: &str) {
        assert!(decode(part).is_none());
        assert!(decode("e30").is_some(), "the permitted control");
    }
}
