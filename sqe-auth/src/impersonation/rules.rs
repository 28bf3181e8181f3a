//! Who may act as whom, in the operator's words.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
};

use serde::Deserialize;
use sqe_core::{Principal, Result};

use crate::{
    names::check_principal,
    operator_file::{OperatorFile, Protection},
    people::{People, Person},
};

/// The most rules that a file may hold.
const MAX_RULES: usize = 10_000;

/// Who may act as whom.
#[derive(Debug, Default)]
pub(super) struct Rules {
    by_actor: HashMap<Principal, Targets>,
    /// Groups whose members nobody reaches by a group.
    administrators: BTreeSet<String>,
}

/// As whom somebody may act.
#[derive(Debug, Default)]
struct Targets {
    named: HashSet<Principal>,
    groups: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    administrators: BTreeSet<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    actor: Actor,
    /// People by their names.
    #[serde(default)]
    people: Vec<String>,
    /// Everybody in one of these groups.
    #[serde(default)]
    groups: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    issuer: String,
    subject: String,
}

impl Rules {
    /// The file at `path`.
    pub(super) fn file(path: &Path) -> OperatorFile {
        let (what, protection) = ("file of who may act as whom", Protection::NotWritable);
        OperatorFile { path: path.to_owned(), what, protection, max_bytes: 8 << 20 }
    }

    /// Reads a text: TOML with a list `rules`. Names of people that are not in `people` permit nothing, with a warning:
    /// somebody who was taken off that list must not keep both files from being read.
    ///
    /// # Errors
    /// `InvalidInput` that says where and what is wrong.
    pub(super) fn parse(file: &OperatorFile, text: &str, people: &People) -> Result<Self> {
        let document: Document = toml::from_str(text).map_err(|error| file.wrong("somewhere", error.message()))?;
        if document.rules.len() > MAX_RULES {
            return Err(file.wrong("all in all", format!("there are more than {MAX_RULES} rules")));
        }
        let mut rules = Self { by_actor: HashMap::new(), administrators: document.administrators };
        for (number, rule) in document.rules.into_iter().enumerate() {
            let place = format!("entry {} of rules", number + 1);
            let actor = Principal::new(rule.actor.issuer, rule.actor.subject);
            check_principal(&actor).map_err(|problem| file.wrong(&place, problem))?;
            if rule.people.is_empty() && rule.groups.is_empty() {
                return Err(file.wrong(&place, "it names neither people nor groups"));
            }
            let targets = rules.by_actor.entry(actor).or_default();
            targets.groups.extend(rule.groups);
            for name in rule.people {
                match people.spelled(&name) {
                    Some(person) => drop(targets.named.insert(person.principal())),
                    None => tracing::warn!(file = %file, place, name, "nobody, or nobody alone, has this name"),
                }
            }
        }
        Ok(rules)
    }

    /// Whether `actor` may act as `target`. Whoever may act as others, and whoever is an administrator, is reached by
    /// name alone: being in a group that others may act as does not hand out what they may do.
    pub(super) fn permit(&self, actor: &Principal, target: &Person) -> bool {
        let Some(targets) = self.by_actor.get(actor) else { return false };
        let principal = target.principal();
        if principal == *actor {
            return false;
        }
        if targets.named.contains(&principal) {
            return true;
        }
        let is_protected = self.by_actor.contains_key(&principal) || !self.administrators.is_disjoint(&target.groups);
        !is_protected && !targets.groups.is_disjoint(&target.groups)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::ErrorKind;

    use super::*;

    const PEOPLE: &str = r#"
        people = [
            { issuer = "https://idp", subject = "alice", groups = ["analysts"] },
            { issuer = "https://idp", subject = "bob", groups = ["analysts", "eu"] },
            { issuer = "https://idp", subject = "root", groups = ["analysts", "admins"] },
            { issuer = "https://idp", subject = "gateway", groups = ["analysts"] },
            { issuer = "https://idp", subject = "carol" },
            { issuer = "urn:apps", subject = "dashboard", groups = ["analysts"] },
        ]
    "#;

    const RULES: &str = r#"
        administrators = ["admins"]
        [[rules]]
        actor = { issuer = "urn:apps", subject = "dashboard" }
        groups = ["analysts"]
        [[rules]]
        actor = { issuer = "https://idp", subject = "gateway" }
        people = ["carol", "https://idp#root", "urn:apps#dashboard", "nobody"]
    "#;

    fn people() -> People {
        People::parse(&People::file(Path::new("people.toml")), PEOPLE).unwrap()
    }

    fn parse(text: &str) -> Result<Rules> {
        Rules::parse(&Rules::file(Path::new("rules.toml")), text, &people())
    }

    #[rstest]
    #[case::of_a_group("dashboard", "alice", true)]
    #[case::of_a_group_too("dashboard", "bob", true)]
    #[case::of_no_group("dashboard", "carol", false)]
    #[case::an_administrator_in_the_group("dashboard", "root", false)]
    #[case::another_actor_in_the_group("dashboard", "gateway", false)]
    #[case::oneself("dashboard", "dashboard", false)]
    #[case::named("gateway", "carol", true)]
    #[case::a_named_administrator("gateway", "root", true)]
    #[case::a_named_actor("gateway", "dashboard", true)]
    #[case::not_named("gateway", "alice", false)]
    #[case::without_a_rule("alice", "bob", false)]
    fn rules_permit_what_they_say_and_nothing_else(#[case] actor: &str, #[case] target: &str, #[case] expected: bool) {
        let (people, rules) = (people(), parse(RULES).unwrap());
        let principal = |name: &str| people.spelled(name).unwrap().principal();
        assert_eq!(rules.permit(&principal(actor), people.spelled(target).unwrap()), expected);
    }

    #[test]
    fn an_actor_is_one_of_its_issuer_alone() {
        let (people, rules) = (people(), parse(RULES).unwrap());
        let alice = people.spelled("alice").unwrap();
        assert!(rules.permit(&Principal::new("urn:apps", "dashboard"), alice));
        assert!(!rules.permit(&Principal::new("https://idp", "dashboard"), alice));
    }

    #[rstest]
    #[case("groups = [\"analysts\"]", "", "neither people nor groups")]
    #[case("groups = [\"analysts\"]", "group = [\"analysts\"]", "group")]
    #[case("issuer = \"urn:apps\"", "issuer = \"apps\"", "URI")]
    #[case("[[rules]]", "[[rule]]", "rule")]
    fn what_is_wrong_is_refused_as_a_whole(#[case] from: &str, #[case] to: &str, #[case] words: &str) {
        let changed = RULES.replacen(from, to, 1);
        assert_ne!(changed, RULES);
        let error = parse(&changed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(words), "{error}");
    }
}
