//! The people of the demo.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use sqe_auth::{DevIssuer, DevPerson};
use sqe_core::Secret;

/// How long a token of the demo is good.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Name and group of each; a name is also a subject.
const PEOPLE: [(&str, Option<&str>); 3] = [("alice", Some("analyst")), ("bob", Some("auditor")), ("mallory", None)];

/// Who loads the data: a person like others, with policies of its own, and on record like others.
const STEWARD: (&str, Option<&str>) = ("steward", Some("steward"));

/// A token for each of alice, bob and mallory.
pub(super) fn tokens(issuer: &DevIssuer) -> Result<BTreeMap<&'static str, Secret>> {
    PEOPLE.into_iter().map(|person| Ok((person.0, issuer.issue(&known(person), LIFETIME)?))).collect()
}

/// A token for who loads the data. It is never written anywhere.
pub(super) fn steward(issuer: &DevIssuer) -> Result<Secret> {
    Ok(issuer.issue(&known(STEWARD), Duration::from_secs(60 * 60))?)
}

fn known((name, group): (&str, Option<&str>)) -> DevPerson {
    DevPerson::new(name).with_groups(group)
}
