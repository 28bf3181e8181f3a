//! What stands in front of the chain of providers, and what of all this can change while the server runs.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sqe_auth::{Impersonation, NotRevoked, Revocations, Withdrawn};
use sqe_core::IdentityProvider;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::{Config, ConfigError};

/// Who is believed about who somebody is.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) provider: Arc<dyn IdentityProvider>,
    pub(crate) changing: Vec<Changing>,
    pub(crate) revoked: Option<Watched>,
}

/// Withdrawn rights, and how often their file is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) every: Duration,
}

/// Files that can be read again while the server runs.
pub(crate) struct Changing {
    /// What they hold, for the log.
    pub(crate) what: &'static str,
    reload: Arc<dyn Fn() -> sqe_core::Result<Withdrawn> + Send + Sync>,
}

impl Changing {
    pub(super) fn new<T: Send + Sync + 'static>(
        what: &'static str,
        of: &Arc<T>,
        reload: impl Fn(&T) -> sqe_core::Result<Withdrawn> + Send + Sync + 'static,
    ) -> Self {
        let of = Arc::clone(of);
        Self { what, reload: Arc::new(move || reload(&of)) }
    }

    /// Reads them again, on a thread that may wait for files.
    pub(crate) fn reload(&self) -> JoinHandle<sqe_core::Result<Withdrawn>> {
        let reload = Arc::clone(&self.reload);
        spawn_blocking(move || reload())
    }
}

impl fmt::Debug for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changing").field("what", &self.what).finish_non_exhaustive()
    }
}

/// The chain of providers; in front of it acting as others; and in front of all that revocation, so that also those are
/// found who act for somebody.
///
/// # Errors
/// One of them cannot be built, or the profile does not accept it.
pub(crate) fn wire(config: &Config) -> Result<Identities> {
    let mut changing = Vec::new();
    let chain = super::chain(&config.identity, config.server.profile, &mut changing)?;
    let mut provider: Arc<dyn IdentityProvider> = Arc::new(chain);
    if let Some(configured) = &config.impersonation {
        let acting = Impersonation::open(provider, &configured.people_file, &configured.rules_file)?;
        let acting = Arc::new(acting);
        changing.push(Changing::new("who may act as whom", &acting, Impersonation::reload));
        provider = acting;
    }
    let mut revoked = None;
    if let Some(configured) = &config.revocation {
        if configured.poll_seconds == 0 {
            return Err(ConfigError("revocation.poll_seconds is 0; the least is 1".to_owned()).into());
        }
        // A file that is gone is not one that is empty: who was kept out would be in again.
        let revocations = Revocations::open(&configured.file);
        let revocations =
            Arc::new(revocations.context("revocations cannot be read; `sqe revoke init` makes the file")?);
        changing.push(Changing::new("revocations", &revocations, Revocations::reload));
        provider = Arc::new(NotRevoked::new(provider, Arc::clone(&revocations)));
        revoked = Some(Watched { revocations, every: Duration::from_secs(configured.poll_seconds) });
    }
    Ok(Identities { provider, changing, revoked })
}
