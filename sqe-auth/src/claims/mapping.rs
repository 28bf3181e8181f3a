//! Claims that become parts of an identity.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqe_core::{Error, Identity, Principal};

use super::registered::{Registered, claim, is_name};
use crate::rejection::{Rejection, Shown};

/// The longest chain of actors. Nobody needs more, and each costs every audit record.
const MAX_ACTORS: usize = 8;

/// Which claims become groups, roles, attributes and a name to read.
///
/// A claim is named by its top-level name, dots and slashes included, or, if the name begins with `/`, by a JSON pointer
/// (RFC 6901), such as `/realm_access/roles`.
///
/// ```
/// use sqe_auth::ClaimMapping;
///
/// let mapping = ClaimMapping::default()
///     .groups_claim(Some("/realm_access/groups"))
///     .rename_groups([("/Sales EMEA", "sales")])
///     .roles_of_groups([("/Sales EMEA", "analyst"), ("dba", "operator")]);
/// ```
#[derive(Debug, Clone)]
pub struct ClaimMapping {
    groups: Option<String>,
    roles: Option<String>,
    display_names: Vec<String>,
    attributes: Vec<String>,
    renames: BTreeMap<String, String>,
    roles_of_groups: BTreeMap<String, BTreeSet<String>>,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            groups: Some("groups".into()),
            roles: Some("roles".into()),
            display_names: vec!["name".into(), "preferred_username".into()],
            attributes: Vec::new(),
            renames: BTreeMap::new(),
            roles_of_groups: BTreeMap::new(),
        }
    }
}

impl ClaimMapping {
    /// The claim that lists a person's groups, `groups` unless set. It is a list of texts or one text with spaces
    /// between the names; who has something else there is rejected. `None`: no groups are taken.
    #[must_use]
    pub fn groups_claim(mut self, claim: Option<&str>) -> Self {
        self.groups = claim.map(str::to_owned);
        self
    }

    /// The claim that lists a person's roles, `roles` unless set; like [`groups_claim`](Self::groups_claim).
    #[must_use]
    pub fn roles_claim(mut self, claim: Option<&str>) -> Self {
        self.roles = claim.map(str::to_owned);
        self
    }

    /// Claims that become attributes of these names, for policies. Texts stay as they are, everything else becomes
    /// JSON text; a claim that is missing or null becomes no attribute.
    #[must_use]
    pub fn attributes<S: Into<String>>(mut self, claims: impl IntoIterator<Item = S>) -> Self {
        self.attributes = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Claims to take a name for people to read from, in order. `name`, then `preferred_username` unless set.
    #[must_use]
    pub fn display_name_claims<S: Into<String>>(mut self, claims: impl IntoIterator<Item = S>) -> Self {
        self.display_names = claims.into_iter().map(Into::into).collect();
        self
    }

    /// Other names for groups: (as the issuer writes it, as policies do). Names are compared letter by letter; a group
    /// that is not in the table keeps its name. Do not rename to a name that the issuer gives to another group.
    #[must_use]
    pub fn rename_groups<A: Into<String>, B: Into<String>>(mut self, names: impl IntoIterator<Item = (A, B)>) -> Self {
        self.renames = names.into_iter().map(|(from, to)| (from.into(), to.into())).collect();
        self
    }

    /// Roles that members of groups have, beside those that the roles claim lists: (the group as the issuer writes it, a
    /// role). A group may be there several times.
    #[must_use]
    pub fn roles_of_groups<A: Into<String>, B: Into<String>>(
        mut self,
        table: impl IntoIterator<Item = (A, B)>,
    ) -> Self {
        self.roles_of_groups = BTreeMap::new();
        for (group, role) in table {
            self.roles_of_groups.entry(group.into()).or_default().insert(role.into());
        }
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let Self { groups, roles, display_names, attributes, renames, roles_of_groups } = self;
        if groups.iter().chain(roles).chain(display_names).chain(attributes).any(String::is_empty) {
            return Err(Error::invalid("the name of a claim is empty; name a claim or leave it out"));
        }
        let tables = renames.iter().flat_map(|(from, to)| [from, to]);
        let tables = tables.chain(roles_of_groups.keys()).chain(roles_of_groups.values().flatten());
        if tables.into_iter().any(|name| !is_name(name)) {
            return Err(Error::invalid("a group or role in a mapping has no name that can be used; name it"));
        }
        if groups.is_none() && !(renames.is_empty() && roles_of_groups.is_empty()) {
            return Err(Error::invalid("groups are mapped and none are taken; name the claim that lists them"));
        }
        Ok(())
    }

    pub(crate) fn identity(&self, claims: &Value, registered: Registered) -> Result<Identity, Rejection> {
        let principal = Principal::new(registered.issuer, registered.subject);
        let actors = actors(claims, &principal)?;
        let mut identity = Identity::new(principal).with_expiry(registered.expires_at);
        identity.credential = registered.credential;
        identity.actors = actors;
        if let Some(roles) = &self.roles {
            identity.roles = names(claims, roles)?;
        }
        if let Some(groups) = &self.groups {
            let groups = names(claims, groups)?;
            let roles = groups.iter().filter_map(|group| self.roles_of_groups.get(group)).flatten();
            identity.roles.extend(roles.cloned());
            identity.groups =
                groups.into_iter().map(|group| self.renames.get(&group).cloned().unwrap_or(group)).collect();
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

    fn mapped(mapping: &ClaimMapping, groups: &[&str]) -> Identity {
        let claims =
            json!({"iss": "i", "sub": "s", "aud": "a", "exp": 4_000_000_000_u32, "roles": ["r"], "groups": groups});
        let expected = crate::claims::Expected {
            issuer: "i".into(),
            audiences: vec!["a".into()],
            leeway: chrono::Duration::zero(),
        };
        let registered = crate::claims::check(&claims, &expected, chrono::Utc::now()).unwrap();
        mapping.identity(&claims, registered).unwrap()
    }

    #[test]
    fn groups_get_other_names_and_roles_by_the_names_that_the_issuer_writes() {
        let mapping = ClaimMapping::default()
            .rename_groups([("/EMEA/Sales", "sales"), ("swap", "other"), ("other", "swap")])
            .roles_of_groups([
                ("/EMEA/Sales", "analyst"),
                ("/EMEA/Sales", "reader"),
                ("sales", "nobody's"),
                ("swap", "s"),
            ]);
        let identity = mapped(&mapping, &["/EMEA/Sales", "dba", "swap"]);
        assert_eq!(identity.groups.iter().collect::<Vec<_>>(), ["dba", "other", "sales"]);
        assert_eq!(identity.roles.iter().collect::<Vec<_>>(), ["analyst", "r", "reader", "s"]);
        let stranger = mapped(&mapping, &["/EMEA/SALES", "/EMEA/Sales/x", "/EMEA"]);
        assert_eq!(stranger.roles.iter().collect::<Vec<_>>(), ["r"], "a name is its letters");
        assert!(!stranger.groups.contains("sales"));
    }

    #[rstest]
    #[case(ClaimMapping::default().rename_groups([("", "a")]))]
    #[case(ClaimMapping::default().rename_groups([("a", "")]))]
    #[case(ClaimMapping::default().rename_groups([("a", "b\nc")]))]
    #[case(ClaimMapping::default().roles_of_groups([("a", "")]))]
    #[case(ClaimMapping::default().groups_claim(None).roles_of_groups([("a", "b")]))]
    #[case(ClaimMapping::default().groups_claim(Some("")))]
    fn a_mapping_that_cannot_be_meant_is_refused(#[case] mapping: ClaimMapping) {
        assert!(mapping.check().is_err());
        assert!(ClaimMapping::default().roles_of_groups([("a", "b")]).check().is_ok());
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
