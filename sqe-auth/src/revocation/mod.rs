//! Rights that end before their time.

mod entry;
mod file;
mod list;

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use chrono::Utc;
use parking_lot::{Mutex, RwLock};
use sqe_core::{Credentials, Error, Identity, IdentityProvider, Result};
use thiserror::Error as ThisError;

pub use entry::{Revocation, Revoked};
pub use file::RevocationFile;
#[cfg(any(fuzzing, test))]
pub(crate) use file::fuzz;

use crate::{Withdrawn, operator_file::Stamp, rejection::NOT_ACCEPTED};
use list::List;

/// Withdrawn rights: credentials, log-ins, and whatever was issued to somebody up to a moment.
///
/// It is asked in two places. A [`NotRevoked`] in front of the other providers lets nobody in whom it covers. And after
/// each change whoever keeps sessions ends those that it covers, so that what runs stops: the changing methods say
/// [`Withdrawn`].
///
/// From a file, a change is found by [`reload_if_changed`](Self::reload_if_changed), which is cheap enough to be called
/// every second. A file that cannot be read, or is gone, changes nothing: whose right was withdrawn stays out.
#[derive(Debug)]
pub struct Revocations {
    file: Option<RevocationFile>,
    list: RwLock<Arc<List>>,
    /// The stamp of what was read. Held while the file is read or written, so that readings do not overtake each other.
    read: Mutex<Option<Stamp>>,
}

impl Revocations {
    /// Rights that are withdrawn in this process alone, and again valid after its end.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { file: None, list: RwLock::default(), read: Mutex::default() }
    }

    /// Those of a file. It blocks on the file system.
    ///
    /// # Errors
    /// `NotFound` if the file is not there ([`RevocationFile::create`] makes one), `PermissionDenied` if others than its
    /// owner can change it, `InvalidInput` if a line of it is wrong, `Unavailable` if it cannot be read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let file = RevocationFile::at(path);
        let (list, stamp) = file.read()?;
        Ok(Self { file: Some(file), list: RwLock::new(Arc::new(list)), read: Mutex::new(Some(stamp)) })
    }

    /// Reads the file again. It blocks on the file system.
    ///
    /// # Errors
    /// As [`open`](Self::open). What was read before then stays in force.
    pub fn reload(&self) -> Result<Withdrawn> {
        let mut read = self.read.lock();
        let Some(file) = &self.file else { return Ok(self.withdrawn()) };
        let (list, stamp) = file.read()?;
        *self.list.write() = Arc::new(list);
        *read = Some(stamp);
        drop(read);
        Ok(self.withdrawn())
    }

    /// Reads the file again if it is not the one that was read: younger, of another length, or another file. `None` if it
    /// is the same. It blocks on the file system.
    ///
    /// # Errors
    /// As [`open`](Self::open). What was read before then stays in force, and the next call tries again.
    pub fn reload_if_changed(&self) -> Result<Option<Withdrawn>> {
        let Some(RevocationFile(file)) = &self.file else { return Ok(None) };
        let now = file.stamp();
        if now.is_some() && *self.read.lock() == now {
            return Ok(None);
        }
        self.reload().map(Some)
    }

    /// Withdraws a right now: in memory, and for good if there is a file. It blocks on the file system.
    ///
    /// # Errors
    /// `InvalidInput` if it cannot be used, `ResourceExhausted` if too many are remembered, `Unavailable` if the file
    /// cannot be written; then it is withdrawn in memory alone, and sessions that it [`covers`](Self::covers) still are to
    /// be ended.
    pub fn add(&self, revocation: &Revocation) -> Result<Withdrawn> {
        revocation.check().map_err(|problem| Error::invalid(format!("this cannot be revoked: {problem}")))?;
        let read = self.read.lock();
        {
            let mut list = self.list.write();
            if list.len() >= file::MAX_ENTRIES {
                return Err(Error::exhausted("too many revocations are remembered; remove those that are over"));
            }
            Arc::make_mut(&mut list).add(revocation, Utc::now());
        }
        let outcome = self.file.as_ref().map_or(Ok(()), |file| file.append(revocation));
        drop(read);
        outcome.map(|()| self.withdrawn())
    }

    /// Whether the right of an identity, or of somebody who acts for it, is withdrawn.
    #[must_use]
    pub fn covers(&self, identity: &Identity) -> bool {
        self.list.read().covers(identity)
    }

    /// How many rights are withdrawn.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.read().len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn withdrawn(&self) -> Withdrawn {
        let list = Arc::clone(&self.list.read());
        Withdrawn::new(move |identity| list.covers(identity))
    }
}

/// Lets nobody in whose right is withdrawn, whoever vouches for them.
#[derive(Debug, Clone)]
pub struct NotRevoked {
    inner: Arc<dyn IdentityProvider>,
    revocations: Arc<Revocations>,
}

/// Why credentials are not accepted that would be otherwise.
#[derive(Debug, ThisError)]
#[error("the right of {0} was withdrawn")]
struct Refused(String);

impl NotRevoked {
    /// Asks `inner`, and then `revocations`. It belongs in front of everything else, so that also those are found who act
    /// for somebody.
    #[must_use]
    pub fn new(inner: Arc<dyn IdentityProvider>, revocations: Arc<Revocations>) -> Self {
        Self { inner, revocations }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for NotRevoked {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let identity = self.inner.authenticate(credentials).await?;
        match identity {
            Some(identity) if self.revocations.covers(&identity) => {
                let who = Refused(identity.principal.to_string());
                Err(Error::unauthenticated(NOT_ACCEPTED).with_source(who))
            }
            known => Ok(known),
        }
    }
}
