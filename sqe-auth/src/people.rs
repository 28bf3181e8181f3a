//! People as the operator lists them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use serde::Deserialize;
use sqe_core::{Identity, Principal, Result};

use crate::{
    names::{check_principal, is_name},
    operator_file::{OperatorFile, Protection},
};

/// The most people that a file may list.
const MAX_PEOPLE: usize = 100_000;
/// The most groups, roles and attributes together that somebody may have.
const MAX_NAMES: usize = 1000;

/// The people of a file, with their groups: for credentials that prove a name and nothing else, and for acting as
/// somebody who is not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct People {
    all: HashMap<Principal, Person>,
    /// Those who bear a name, at whatever issuer.
    by_subject: HashMap<String, Vec<Principal>>,
}

/// What the file says about somebody.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    issuer: String,
    subject: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    pub(crate) groups: BTreeSet<String>,
    #[serde(default)]
    roles: BTreeSet<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    people: Vec<Person>,
}

impl People {
    /// The file at `path`.
    pub(crate) fn file(path: &Path) -> OperatorFile {
        let (what, protection) = ("people file", Protection::NotWritable);
        OperatorFile { path: path.to_owned(), what, protection, max_bytes: 32 << 20 }
    }

    /// Reads a file. It blocks on the file system.
    ///
    /// # Errors
    /// Errors of reading it; `InvalidInput` if it says something wrong.
    pub(crate) fn read(file: &OperatorFile) -> Result<Self> {
        let (text, _) = file.read()?;
        Self::parse(file, &text)
    }

    /// Reads a text: TOML with a list `people`.
    ///
    /// # Errors
    /// `InvalidInput` that says where and what is wrong.
    pub(crate) fn parse(file: &OperatorFile, text: &str) -> Result<Self> {
        let document: Document = toml::from_str(text).map_err(|error| file.wrong("somewhere", error.message()))?;
        if document.people.len() > MAX_PEOPLE {
            return Err(file.wrong("all in all", format!("there are more than {MAX_PEOPLE} people")));
        }
        let mut people = Self::default();
        for (number, person) in document.people.into_iter().enumerate() {
            let place = format!("entry {} of people", number + 1);
            let principal = person.principal();
            check_principal(&principal).map_err(|problem| file.wrong(&place, problem))?;
            person.check().map_err(|problem| file.wrong(&place, problem))?;
            people.by_subject.entry(principal.subject.clone()).or_default().push(principal.clone());
            if people.all.insert(principal, person).is_some() {
                return Err(file.wrong(&place, "this person is there twice"));
            }
        }
        Ok(people)
    }

    /// What the file says about somebody.
    pub(crate) fn of(&self, principal: &Principal) -> Option<&Person> {
        self.all.get(principal)
    }

    /// The one who is spelled so: `ISSUER#SUBJECT`, or the subject alone if only one issuer has somebody of that name.
    pub(crate) fn spelled(&self, name: &str) -> Option<&Person> {
        if let Some([only]) = self.by_subject.get(name).map(Vec::as_slice) {
            return self.all.get(only);
        }
        // A subject may hold a # of its own, and so may an issuer.
        let mut borders = name.match_indices('#').map(|(place, _)| name.split_at(place));
        borders.find_map(|(issuer, rest)| self.all.get(&Principal::new(issuer, rest.get(1..)?)))
    }
}

impl Person {
    pub(crate) fn principal(&self) -> Principal {
        Principal::new(&self.issuer, &self.subject)
    }

    /// Gives an identity what the file says about its principal.
    pub(crate) fn complete(&self, identity: &mut Identity) {
        identity.display_name.clone_from(&self.display_name);
        identity.groups.clone_from(&self.groups);
        identity.roles.clone_from(&self.roles);
        identity.attributes.clone_from(&self.attributes);
    }

    fn check(&self) -> Result<(), String> {
        if self.groups.len() + self.roles.len() + self.attributes.len() > MAX_NAMES {
            return Err(format!("more than {MAX_NAMES} groups, roles and attributes"));
        }
        let mut names = self.groups.iter().chain(&self.roles).chain(self.attributes.keys()).chain(&self.display_name);
        if !names.all(|name| is_name(name)) || self.attributes.values().any(|value| value.len() > 4096) {
            return Err("a name is empty, too long, or has control characters".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::ErrorKind;

    use super::*;

    const GOOD: &str = r#"
        [[people]]
        issuer = "https://a"
        subject = "alice"
        display_name = "Alice A."
        groups = ["analysts", "eu"]
        roles = ["reader"]
        attributes = { department = "sales" }
        [[people]]
        issuer = "https://b"
        subject = "alice"
        [[people]]
        issuer = "https://b"
        subject = "bob#1"
    "#;

    fn parse(text: &str) -> Result<People> {
        People::parse(&People::file(Path::new("people.toml")), text)
    }

    #[rstest]
    #[case("https://a#alice", Some("https://a"))]
    #[case("https://b#alice", Some("https://b"))]
    #[case("https://b#bob#1", Some("https://b"))]
    #[case("bob#1", Some("https://b"))]
    #[case::ambiguous("alice", None)]
    #[case("carol", None)]
    #[case("https://c#alice", None)]
    #[case("", None)]
    #[case("#", None)]
    fn people_are_found_by_what_names_them_alone(#[case] name: &str, #[case] issuer: Option<&str>) {
        let people = parse(GOOD).unwrap();
        assert_eq!(people.spelled(name).map(|person| person.issuer.as_str()), issuer);
    }

    #[test]
    fn an_identity_gets_what_the_file_says() {
        let people = parse(GOOD).unwrap();
        let alice = Principal::new("https://a", "alice");
        let mut identity = Identity::new(alice.clone()).with_groups(["from elsewhere"]);
        people.of(&alice).unwrap().complete(&mut identity);
        assert_eq!(identity.groups, BTreeSet::from(["analysts".to_owned(), "eu".to_owned()]));
        assert_eq!(identity.attributes["department"], "sales");
        assert_eq!(identity.display_name.as_deref(), Some("Alice A."));
        assert!(people.of(&Principal::new("https://c", "alice")).is_none());
    }

    #[rstest]
    #[case("subject = \"bob#1\"", "subject = \"alice\"", "twice")]
    #[case("subject = \"bob#1\"", "subject = \"\"", "subject")]
    #[case("subject = \"bob#1\"", "subject = \"bob\"\nadmin = true", "admin")]
    #[case("https://a", "a", "URI")]
    #[case("\"eu\"", "\"\"", "empty")]
    #[case("[[people]]", "[[persons]]", "persons")]
    #[case("[[people]]", "[[", "")]
    fn what_is_wrong_is_refused_as_a_whole(#[case] from: &str, #[case] to: &str, #[case] words: &str) {
        let changed = GOOD.replacen(from, to, 1);
        assert_ne!(changed, GOOD);
        let error = parse(&changed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(words), "{error}");
    }
}
