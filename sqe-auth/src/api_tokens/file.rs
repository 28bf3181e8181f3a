//! The file of tokens, for those who create and revoke them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use chrono::{DateTime, SubsecRound as _, Utc};
use sqe_core::{Error, ErrorKind, Principal, Result, Secret};

use super::{
    hash,
    record::{self, ApiToken, Hash, Record, Table},
    text,
};
use crate::operator_file::{OperatorFile, Protection, Stamp};

/// The longest that a token may live unless set: a year and a day.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A token to be made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewApiToken {
    /// Who it stands for.
    pub principal: Principal,
    /// Its holder's groups.
    pub groups: BTreeSet<String>,
    /// Its holder's roles.
    pub roles: BTreeSet<String>,
    /// Further attributes that policies may use.
    pub attributes: BTreeMap<String, String>,
    /// What it is for.
    pub description: String,
    /// How long it lives.
    pub lifetime: Duration,
}

impl NewApiToken {
    /// A token of somebody without groups, roles and attributes.
    pub fn new(principal: Principal, lifetime: Duration, description: impl Into<String>) -> Self {
        Self {
            principal,
            groups: BTreeSet::new(),
            roles: BTreeSet::new(),
            attributes: BTreeMap::new(),
            description: description.into(),
            lifetime,
        }
    }
}

/// The file that [`ApiTokens`](super::ApiTokens) verifies by: a line of JSON a token, with the token's Argon2id hash and
/// without the token. Only its owner may read it.
///
/// Every change replaces the whole file at once, and changes of several processes wait for each other (by a lock file
/// beside it). Everything here blocks on the file system, and creating also for one hash.
#[derive(Debug, Clone)]
pub struct TokenFile {
    file: OperatorFile,
    longest: Duration,
}

impl TokenFile {
    /// The file at `path`, which need not be there yet.
    pub fn at(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let file = OperatorFile { path, what: "token file", protection: Protection::Private, max_bytes: 64 << 20 };
        Self { file, longest: MAX_LIFETIME }
    }

    /// Sets the longest that a token may live, 366 days unless set. A file with longer ones is refused.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.longest = lifetime;
        self
    }

    /// Makes a token, and the file if it is not there. The token is nowhere but in the answer.
    ///
    /// # Errors
    /// `InvalidInput` if the token could not be used: a wrong issuer, an empty subject, a lifetime that is zero or too
    /// long; errors of reading and writing the file.
    pub fn create(&self, new: NewApiToken) -> Result<(ApiToken, Secret)> {
        let (id, token) = text::generate()?;
        let now = Utc::now().trunc_subsecs(0);
        let lifetime = chrono::Duration::from_std(new.lifetime).ok();
        let expires_at = lifetime.and_then(|lifetime| now.checked_add_signed(lifetime));
        let made = ApiToken {
            id,
            issuer: new.principal.issuer,
            subject: new.principal.subject,
            groups: new.groups,
            roles: new.roles,
            attributes: new.attributes,
            description: new.description,
            created_at: now,
            expires_at: expires_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
            revoked_at: None,
        };
        let unusable = |problem| Error::invalid(format!("the token cannot be made: {problem}"));
        made.check(self.longest()).map_err(unusable)?;
        let made = Record { token: made, hash: Hash(hash::make(token.expose())?) };
        let lock = self.file.lock()?;
        let mut table = match self.read() {
            Ok((table, _)) => table,
            Err(error) if error.kind() == ErrorKind::NotFound => Table::new(),
            Err(error) => return Err(error),
        };
        let listed = made.token.clone();
        table.insert(listed.id.clone(), std::sync::Arc::new(made));
        self.file.replace(&record::write(table.values().map(|record| &**record))?, &lock)?;
        Ok((listed, token))
    }

    /// All tokens, the oldest first.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub fn list(&self) -> Result<Vec<ApiToken>> {
        let mut tokens: Vec<_> = self.read()?.0.into_values().map(|record| record.token.clone()).collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    /// Revokes the token of this id. It stays on the list. A second time changes nothing.
    ///
    /// # Errors
    /// `NotFound` if there is none; errors of reading and writing the file.
    pub fn revoke(&self, id: &str) -> Result<ApiToken> {
        let lock = self.file.lock()?;
        let (mut table, _) = self.read()?;
        let Some(record) = table.get_mut(id) else {
            return Err(Error::not_found(format!(
                "the {} has no token of this id; the id is the part between sqe_pat_ and the next _",
                self.file
            )));
        };
        let record = std::sync::Arc::make_mut(record);
        record.token.revoked_at.get_or_insert_with(|| Utc::now().trunc_subsecs(0));
        let revoked = record.token.clone();
        self.file.replace(&record::write(table.values().map(|record| &**record))?, &lock)?;
        Ok(revoked)
    }

    pub(super) fn read(&self) -> Result<(Table, Stamp)> {
        let (text, stamp) = self.file.read()?;
        Ok((record::parse(&self.file, &text, self.longest())?, stamp))
    }

    fn longest(&self) -> chrono::Duration {
        chrono::Duration::from_std(self.longest).unwrap_or(chrono::Duration::MAX)
    }
}
