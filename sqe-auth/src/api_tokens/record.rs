//! What is kept of a token: who it stands for, how long, and a hash.

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map::Entry};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use sqe_core::{CredentialRef, Identity, Principal, Result};

use super::{hash, text};
use crate::{
    names::{check_principal, is_name},
    operator_file::OperatorFile,
};

/// The most tokens that a file may hold.
const MAX_TOKENS: usize = 100_000;
/// The most groups, roles and attributes together that a token may have.
const MAX_NAMES: usize = 1000;

/// A token as its operator sees it: everything but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ApiToken {
    /// Its public name: the part of the token before the secret.
    pub id: String,
    /// Who vouches for its holder: a URI of the operator's choice, or the issuer that knows the person otherwise.
    pub issuer: String,
    /// Its holder's name at that issuer.
    pub subject: String,
    /// Its holder's groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Its holder's roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
    /// Further attributes that policies may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What it is for, in the operator's words.
    pub description: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it was revoked, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiToken {
    /// Who it stands for.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::new(&self.issuer, &self.subject)
    }

    pub(super) fn identity(&self) -> Identity {
        let mut identity = Identity::new(self.principal()).with_expiry(self.expires_at);
        identity.groups.clone_from(&self.groups);
        identity.roles.clone_from(&self.roles);
        identity.attributes.clone_from(&self.attributes);
        let mut credential = CredentialRef::default();
        credential.id = Some(self.id.clone());
        credential.issued_at = Some(self.created_at);
        identity.credential = credential;
        identity
    }

    /// Why it cannot be used by anybody, if it cannot.
    pub(super) fn check(&self, longest: Duration) -> Result<(), String> {
        check_principal(&self.principal())?;
        let names = self.groups.iter().chain(&self.roles).chain(self.attributes.keys());
        if self.groups.len() + self.roles.len() + self.attributes.len() > MAX_NAMES {
            return Err(format!("it has more than {MAX_NAMES} groups, roles and attributes"));
        }
        let values = self.attributes.values().all(|value| value.len() <= 4096);
        if !names.into_iter().all(|name| is_name(name)) || !values {
            return Err("a group, role or attribute is empty, too long, or has control characters".to_owned());
        }
        if self.description.len() > 4096 || self.description.chars().any(char::is_control) {
            return Err("its description is too long, or has control characters".to_owned());
        }
        if self.expires_at <= self.created_at {
            return Err("it ends before it begins".to_owned());
        }
        if self.expires_at - self.created_at > longest {
            return Err(format!("it lives longer than {} days, which is the longest", longest.num_days()));
        }
        Ok(())
    }
}

/// A token and its hash, as a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) token: ApiToken,
    pub(super) hash: Hash,
}

/// A PHC string. It is no secret like a token, and still nobody's business.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Hash(pub(super) String);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash(redacted)")
    }
}

/// All tokens of a file, by id.
pub(super) type Table = HashMap<String, Arc<Record>>;

/// Reads the lines of a file. It is taken as a whole: one wrong line is an error, for it may be the one that revokes.
///
/// # Errors
/// `InvalidInput` that names the line and says what is wrong.
pub(super) fn parse(file: &OperatorFile, text: &str, longest: Duration) -> Result<Table> {
    let mut table = Table::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("line {}", number + 1);
        // What the reader says about a line may quote it.
        let record: Record = serde_json::from_str(line)
            .map_err(|error| file.wrong(&place, format!("not a token (column {})", error.column())))?;
        if !text::is_id(&record.token.id) {
            return Err(file.wrong(&place, "its id is none"));
        }
        record.token.check(longest).map_err(|problem| file.wrong(&place, problem))?;
        hash::check(&record.hash.0).map_err(|problem| file.wrong(&place, problem))?;
        if table.len() == MAX_TOKENS {
            return Err(file.wrong(&place, format!("there are more than {MAX_TOKENS} tokens; remove old ones")));
        }
        match table.entry(record.token.id.clone()) {
            Entry::Vacant(place) => drop(place.insert(Arc::new(record))),
            Entry::Occupied(_) => return Err(file.wrong(&place, "its id is there twice")),
        }
    }
    Ok(table)
}

/// Writes the lines of a file, the oldest token first.
///
/// # Errors
/// `Internal`: a defect.
pub(super) fn write<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<String> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_by(|a, b| (a.token.created_at, &a.token.id).cmp(&(b.token.created_at, &b.token.id)));
    let mut text = String::new();
    for record in records {
        let line = serde_json::to_string(record)
            .map_err(|error| sqe_core::Error::internal("a token cannot be written down").with_source(error))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}
