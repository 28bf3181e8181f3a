//! The three parts of a compact JWS (RFC 7515, 7.1) and the JSON in two of them.

use std::{collections::HashSet, fmt};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::rejection::Rejection;

/// A text that has the shape of a JWT.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    /// What the signature signs: header and claims as they were sent.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
}

impl<'a> Parts<'a> {
    /// Three parts between two dots, the first two not empty; otherwise it is not a JWT. An empty signature is the shape of an
    /// unsecured JWT, which must be recognised to be rejected.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let whole = !header.is_empty() && !claims.is_empty() && !claims.contains('.');
        whole.then_some(Self { header, claims, signed, signature })
    }

    /// The JSON objects of header and claims. `None` if they are not: then it is not a JWT either.
    pub(super) fn decode(&self) -> Option<RawToken> {
        Some(RawToken { header: Object::decode(self.header)?, claims: Object::decode(self.claims)? })
    }
}

/// A token whose objects may still name something twice.
pub(super) struct RawToken {
    header: Object,
    claims: Object,
}

/// A token whose objects name everything once.
pub(super) struct Token {
    pub(super) header: Value,
    pub(super) claims: Value,
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

    pub(super) fn without_duplicates(self) -> Result<Token, Rejection> {
        Ok(Token {
            header: self.header.unique().ok_or(Rejection::Duplicate("header"))?,
            claims: self.claims.unique().ok_or(Rejection::Duplicate("claims"))?,
        })
    }
}

/// A JSON object with all its members as they were written, duplicates included.
struct Object {
    entries: Vec<(String, Value)>,
    /// Whether no object inside it, itself included, names anything twice.
    unique: bool,
}

impl Object {
    fn decode(part: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        let Entries(entries) = serde_json::from_slice(&json).ok()?;
        // It is JSON, so this can fail for one reason only.
        let unique = serde_json::from_slice::<Unique>(&json).is_ok();
        Some(Self { entries, unique })
    }

    fn unique(self) -> Option<Value> {
        self.unique.then(|| Value::Object(Map::from_iter(self.entries)))
    }
}

struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = Vec<(String, Value)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(All).map(Self)
    }
}

/// Any JSON in which no object names anything twice. It keeps nothing.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without duplicate names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name) {
                        return Err(A::Error::custom("duplicate name"));
                    }
                    map.next_value::<Unique>()?;
                }
                Ok(Unique)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
                while seq.next_element::<Unique>()?.is_some() {}
                Ok(Unique)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Unique, D::Error> {
                IgnoredAny::deserialize(inner).map(|_| Unique)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn encoded(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

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
    #[case(r#"{"a": 1}"#, true)]
    #[case(r#"{"a": {"b": [{"c": null}, {"c": true}], "d": -1.5, "e": "x"}}"#, true)]
    #[case(r#"{"a": 1, "a": 1}"#, false)]
    #[case(r#"{"a": 1, "\u0061": 1}"#, false)]
    #[case(r#"{"a": {"b": 1, "b": 2}}"#, false)]
    #[case(r#"{"a": [[{"b": 1, "b": 2}]]}"#, false)]
    fn duplicate_names_are_found_at_every_depth(#[case] json: &str, #[case] unique: bool) {
        assert_eq!(Object::decode(&encoded(json)).unwrap().unique, unique);
    }

    #[rstest]
    #[case::not_json("hello")]
    #[case::a_list("[]")]
    #[case::a_text("\"a\"")]
    #[case::more_than_one("{} {}")]
    #[case::deep(&"[".repeat(100_000))]
    fn other_json_is_not_an_object(#[case] json: &str) {
        assert!(Object::decode(&encoded(json)).is_none());
    }

    #[rstest]
    #[case::padded("e30=")]
    #[case::standard_alphabet("+/+/")]
    #[case::trailing_bits("e31")]
    fn sloppy_base64_is_refused(#[case] part: &str) {
        assert!(Object::decode(part).is_none());
        assert!(Object::decode("e30").is_some(), "the permitted control");
    }
}
