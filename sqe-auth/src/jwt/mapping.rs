//! Claims that become parts of an identity.

use std::collections::BTreeSet;

use serde_json::Value;
use sqe_core::{Identity, Principal};

use super::claims::{Registered, claim, is_name};
use crate::rejection::{Rejection, Shown};

/// The longest chain of actors. Nobody needs more, and each costs every audit record.
const MAX_ACTORS: usize = 8;

/// Which claims become what. A name that begins with `/` is a JSON pointer (RFC 6901), all others are names of
/// top-level claims, dots and slashes included.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    pub(super) groups: Option<String>,
    pub(super) roles: Option<String>,
    pub(super) display_names: Vec<String>,
    pub(super) attributes: Vec<String>,
}

impl Mapping {
    pub(super) fn identity(&self, claims: &Value, registered: Registered) -> Result<Identity, Rejection> {
        let principal = Principal::new(registered.issuer, registered.subject);
        let actors = actors(claims, &principal)?;
        let mut identity = Identity::new(principal).with_expiry(registered.expires_at);
        identity.actors = actors;
        if let Some(groups) = &self.groups {
            identity.groups = names(claims, groups)?;
        }
        if let Some(roles) = &self.roles {
            identity.roles = names(claims, roles)?;
        }
        let mut display_names = self.display_names.iter().filter_map(|name| at(claims, name)?.as_str());
        identity.display_name = display_names.find(|name| is_name(name)).map(str::to_owned);
        for name in &self.attributes {
            match at(claims, name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => drop(identity.attributes.insert(name.clone(), text.clone())),
                Some(other) => drop(identity.attributes.insert(name.clone(), other.to_string())),
            }
        }
        Ok(identity)
    }
}

fn at<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) }
}

/// A list of texts, or one text with spaces between the names. Anything else is refused rather than taken for "none":
/// a policy may forbid something to a group.
fn names(claims: &Value, name: &str) -> Result<BTreeSet<String>, Rejection> {
    // A distributed claim (OpenID Connect Core 1.0, 5.6.2) is left out of the token and kept elsewhere, for example
    // when somebody has too many groups. Whoever has many groups must not look like one who has none.
    let first = name.trim_start_matches('/').split('/').next().unwrap_or(name);
    let elsewhere =
        claims.get("_claim_names").is_some_and(|names| names.get(name).or_else(|| names.get(first)).is_some());
    if elsewhere {
        return Err(Rejection::LeftOut(Shown::new(name)));
    }
    match at(claims, name) {
        None | Some(Value::Null) => Ok(BTreeSet::new()),
        Some(Value::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Some(Value::Array(list)) => list
            .iter()
            .map(|one| one.as_str().filter(|one| is_name(one)).map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| claim(name)),
        Some(_) => Err(claim(name)),
    }
}

/// The actors, nearest first (RFC 8693, 4.1). An actor without `iss` is the token's issuer's. A chain that names
/// somebody twice, or its own subject, was not made by exchanges that anybody asked for.
fn actors(claims: &Value, subject: &Principal) -> Result<Vec<Principal>, Rejection> {
    let mut actors: Vec<Principal> = Vec::new();
    let mut next = claims.get("act");
    while let Some(actor) = next {
        let text = |name: &str| {
            actor.get(name).map(|value| value.as_str().filter(|text| is_name(text)).ok_or_else(|| claim("act")))
        };
        let name = text("sub").ok_or_else(|| claim("act"))??;
        let issuer = text("iss").transpose()?.unwrap_or(&subject.issuer);
        let principal = Principal::new(issuer, name);
        if actors.len() == MAX_ACTORS || principal == *subject || actors.contains(&principal) {
            return Err(Rejection::Actors);
        }
        actors.push(principal);
        next = actor.get("act");
    }
    Ok(actors)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(json!({"groups": ["a", "b c"]}), "groups", &["a", "b c"])]
    #[case(json!({"groups": "a b"}), "groups", &["a", "b"])]
    #[case(json!({"groups": ""}), "groups", &[])]
    #[case(json!({"groups": null}), "groups", &[])]
    #[case(json!({}), "groups", &[])]
    #[case(json!({"realm_access": {"roles": ["a"]}}), "/realm_access/roles", &["a"])]
    #[case(json!({"https://example.com/roles": ["a"]}), "https://example.com/roles", &["a"])]
    fn names_are_read_from_lists_texts_and_pointers(
        #[case] claims: Value,
        #[case] name: &str,
        #[case] expected: &[&str],
    ) {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names(&claims, name).unwrap(), expected);
    }

    #[rstest]
    #[case(json!({"groups": 7}))]
    #[case(json!({"groups": {"a": true}}))]
    #[case(json!({"groups": ["a", 7]}))]
    #[case(json!({"groups": ["a", ""]}))]
    #[case(json!({"groups": ["a\nb"]}))]
    #[case(json!({"_claim_names": {"groups": "src1"}}))]
    fn groups_that_cannot_be_known_are_not_no_groups(#[case] claims: Value) {
        assert!(names(&claims, "groups").is_err());
    }

    #[rstest]
    #[case::none(json!({}), Some(0))]
    #[case::one(json!({"act": {"sub": "app"}}), Some(1))]
    #[case::two(json!({"act": {"sub": "app", "act": {"sub": "app", "iss": "https://other"}}}), Some(2))]
    #[case::loop_of_actors(json!({"act": {"sub": "app", "act": {"sub": "b", "act": {"sub": "app"}}}}), None)]
    #[case::the_subject_itself(json!({"act": {"sub": "alice"}}), None)]
    #[case::without_name(json!({"act": {"client_id": "app"}}), None)]
    #[case::not_an_object(json!({"act": "app"}), None)]
    #[case::name_is_a_number(json!({"act": {"sub": 1}}), None)]
    fn actor_chains_are_kept_and_loops_refused(#[case] claims: Value, #[case] length: Option<usize>) {
        let found = actors(&claims, &Principal::new("https://idp", "alice")).ok();
        assert_eq!(found.map(|actors| actors.len()), length);
    }

    #[test]
    fn a_chain_of_actors_has_a_longest_length() {
        let chain = |length: usize| {
            (0..length).fold(json!({}), |act, i| json!({"act": {"sub": format!("a{i}"), "act": act.get("act").cloned().unwrap_or(json!({"sub": "root"}))}}))
        };
        let subject = Principal::new("https://idp", "alice");
        assert_eq!(actors(&chain(MAX_ACTORS - 1), &subject).unwrap().len(), MAX_ACTORS);
        assert!(actors(&chain(MAX_ACTORS), &subject).is_err());
    }
}
