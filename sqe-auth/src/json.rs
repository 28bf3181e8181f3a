//! JSON objects in which it matters whether something is named twice: two readers of such an object may disagree about
//! what it says.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// A JSON object with all its members as they were written, duplicates included.
pub(crate) struct Object {
    pub(crate) entries: Vec<(String, Value)>,
    /// Whether no object inside it, itself included, names anything twice.
    unique: bool,
}

impl Object {
    /// `None`: it is not a JSON object.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        let Entries(entries) = serde_json::from_slice(json).ok()?;
        // It is JSON, so this can fail for one reason only.
        let unique = serde_json::from_slice::<Unique>(json).is_ok();
        Some(Self { entries, unique })
    }

    /// `None`: something is named twice.
    pub(crate) fn unique(self) -> Option<Value> {
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

    #[rstest]
    #[case(r#"{"a": 1}"#, true)]
    #[case(r#"{"a": {"b": [{"c": null}, {"c": true}], "d": -1.5, "e": "x"}}"#, true)]
    #[case(r#"{"a": 1, "a": 1}"#, false)]
    #[case(r#"{"a": 1, "\u0061": 1}"#, false)]
    #[case(r#"{"a": {"b": 1, "b": 2}}"#, false)]
    #[case(r#"{"a": [[{"b": 1, "b": 2}]]}"#, false)]
    fn duplicate_names_are_found_at_every_depth(#[case] json: &str, #[case] unique: bool) {
        assert_eq!(Object::read(json.as_bytes()).unwrap().unique, unique);
    }

    #[rstest]
    #[case::not_json("hello")]
    #[case::a_list("[]")]
    #[case::a_text("\"a\"")]
    #[case::more_than_one("{} {}")]
    #[case::deep(&"[".repeat(100_000))]
    fn other_json_is_not_an_object(#[case] json: &str) {
        assert!(Object::read(json.as_bytes()).is_none());
    }
}
