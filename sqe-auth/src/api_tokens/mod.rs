//! Tokens that the operator hands out.

mod file;
mod hash;
mod lanes;
mod record;
mod text;
mod verified;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::Utc;
use parking_lot::RwLock;
use sqe_core::{Credentials, Error, Identity, IdentityProvider, Principal, Result, Secret};
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

pub use file::{NewApiToken, TokenFile};
pub use record::ApiToken;

use crate::{Withdrawn, rejection::NOT_ACCEPTED};
use lanes::Lanes;
use record::Table;
use verified::Verified;

/// What bounds an [`ApiTokens`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ApiTokenSettings {
    /// The longest that a token may live from its creation on; a file with longer ones is refused. 366 days unless set.
    pub max_lifetime: Duration,
    /// How long a verified token is remembered, so that it is not hashed at each call. Five minutes unless set; zero
    /// remembers none. A token that is revoked or changed is not remembered, however long this is.
    pub remember: Duration,
    /// How many verified tokens are remembered: 10,000 unless set.
    pub max_remembered: usize,
    /// How many tokens are hashed at once, each of which takes 19 MiB and a core: half of the cores unless set. Tokens of
    /// unknown ids have as many turns of their own.
    pub at_once: usize,
    /// How many wait for their turn before others are refused: 256 unless set.
    pub max_waiting: usize,
    /// Whether a token may also come as the password of a user name, as database drivers send it that know nothing else.
    /// Off unless set. The user name is then ignored.
    pub basic_password: bool,
}

impl Default for ApiTokenSettings {
    fn default() -> Self {
        Self {
            max_lifetime: file::MAX_LIFETIME,
            remember: Duration::from_secs(5 * 60),
            max_remembered: 10_000,
            at_once: std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
            max_waiting: 256,
            basic_password: false,
        }
    }
}

/// Verifies tokens that the operator made with a [`TokenFile`], for programs that have no other way to log in.
///
/// A token is `sqe_pat_`, twelve letters or digits that are its public id, `_`, 43 random ones (256 bits) and six of a
/// checksum. A credential that does not begin with `sqe_pat_` is not its kind (`Ok(None)`). One that does is accepted if
/// its checksum fits, the file has its id, its Argon2id hash fits, and it neither ended nor was revoked; otherwise it is
/// `Unauthenticated`, with one message for every reason. An id that is unknown costs as much time as one that is known.
///
/// The identity is what the file says: principal, groups, roles, attributes, end. It has no proof, so a catalog that
/// wants to see the person's own token refuses it. The id is the credential's
/// [`id`](sqe_core::CredentialRef::id), its creation the time of issue.
///
/// Hashing runs on the blocking threads of the Tokio runtime that asks, a few at once.
#[derive(Debug)]
pub struct ApiTokens {
    file: TokenFile,
    table: RwLock<Arc<Table>>,
    verified: Verified,
    lanes: Lanes,
    basic_password: bool,
}

/// Why a token is not accepted.
#[derive(Debug, ThisError)]
enum Refused {
    #[error("the API token is mistyped, cut off or made up: its form or checksum is wrong")]
    Malformed,
    #[error("the API token's id is unknown")]
    Unknown,
    #[error("the API token {0} exists, and its secret is another")]
    Secret(String),
    #[error("the API token {0} ended")]
    Expired(String),
    #[error("the API token {0} was revoked")]
    Revoked(String),
}

impl From<Refused> for Error {
    fn from(reason: Refused) -> Self {
        Error::unauthenticated(NOT_ACCEPTED).with_source(reason)
    }
}

impl ApiTokens {
    /// Verifies by the file at `path`. It blocks on the file system.
    ///
    /// # Errors
    /// `NotFound` if the file is not there, `PermissionDenied` if others than its owner can read it, `InvalidInput` if a
    /// line of it is wrong, `Unavailable` if it cannot be read.
    pub fn open(path: impl AsRef<Path>, settings: ApiTokenSettings) -> Result<Self> {
        let file = TokenFile::at(path).max_lifetime(settings.max_lifetime);
        let (table, _) = file.read()?;
        Ok(Self {
            file,
            table: RwLock::new(Arc::new(table)),
            verified: Verified::new(settings.remember, settings.max_remembered)?,
            lanes: Lanes::new(settings.at_once, settings.max_waiting),
            basic_password: settings.basic_password,
        })
    }

    /// Reads the file again, and says whose tokens were removed, revoked or changed. It blocks on the file system.
    ///
    /// # Errors
    /// As [`open`](Self::open). What was read before then stays in force.
    pub fn reload(&self) -> Result<Withdrawn> {
        let (table, _) = self.file.read()?;
        let table = Arc::new(table);
        let before = std::mem::replace(&mut *self.table.write(), Arc::clone(&table));
        let gone = before.iter().filter(|(id, record)| table.get(*id) != Some(*record));
        let gone: HashMap<String, Principal> =
            gone.map(|(id, record)| (id.clone(), record.token.principal())).collect();
        Ok(Withdrawn::new(move |identity| {
            // Who acts as somebody else shows up among the actors, with the credential that let them in.
            let holder = identity.credential.id.as_ref().and_then(|id| gone.get(id));
            holder.is_some_and(|holder| *holder == identity.principal || identity.actors.contains(holder))
        }))
    }

    /// How many tokens the file has, revoked and ended ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether the file has no token at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn verify(&self, credential: &Secret) -> Result<Option<Identity>> {
        let Some(parts) = text::parse(credential.expose()) else { return Ok(None) };
        let id = parts.map_err(|text::Malformed| Refused::Malformed)?.id;
        let copy = || Zeroizing::new(credential.expose().to_owned());
        let Some(hash) = self.table.read().get(id).map(|record| record.hash.clone()) else {
            let token = copy();
            self.lanes.unknown.turn().await?.take(move || hash::verify_nothing(&token)).await?;
            return Err(Refused::Unknown.into());
        };
        if !self.verified.knows(credential.expose(), &hash) {
            let turn = self.lanes.known.turn().await?;
            // Whoever opens ten connections at once shows the same token ten times.
            if !self.verified.knows(credential.expose(), &hash) {
                let (token, of) = (copy(), hash.clone());
                if !turn.take(move || hash::verify(&token, &of.0)).await? {
                    return Err(Refused::Secret(id.to_owned()).into());
                }
                self.verified.remember(credential.expose(), &hash);
            }
        }
        // The file may have been read again meanwhile: what counts is what it says now.
        let record = self.table.read().get(id).cloned();
        let record = record.filter(|record| record.hash == hash).ok_or(Refused::Unknown)?;
        if record.token.revoked_at.is_some() {
            return Err(Refused::Revoked(id.to_owned()).into());
        }
        if record.token.expires_at <= Utc::now() {
            return Err(Refused::Expired(id.to_owned()).into());
        }
        Ok(Some(record.token.identity()))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for ApiTokens {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        match credentials {
            Credentials::Bearer(token) => self.verify(token).await,
            Credentials::Basic { password, .. } if self.basic_password => self.verify(password).await,
            _ => Ok(None),
        }
    }
}

/// Reads a text as a token, and as a file of tokens.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &str) {
    use crate::operator_file::{OperatorFile, Protection};

    let _ = text::parse(text);
    let file =
        OperatorFile { path: "fuzz".into(), what: "fuzz file", protection: Protection::Private, max_bytes: u64::MAX };
    if let Ok(table) = record::parse(&file, text, chrono::Duration::MAX) {
        let _ = record::write(table.values().map(|record| &**record));
    }
}
