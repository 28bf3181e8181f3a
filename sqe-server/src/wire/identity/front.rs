//! What stands in front of the chain of providers, and what of all this can change while the server runs.

use std::{fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sqe_auth::{Chain, Impersonation, Revocations, Withdrawn};
use sqe_core::IdentityProvider;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::{Config, ConfigError, ImpersonationConfig, RevocationConfig};

/// Withdrawn rights, and how often their file is looked at.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) every: Duration,
}

impl Watched {
    /// # Errors
    /// The file cannot be used, or is not there: one that is gone is not one that is empty, for who was kept out would be in
    /// again.
    pub(super) fn open(configured: &RevocationConfig, changing: &mut Vec<Changing>) -> Result<Self> {
        if configured.poll_seconds == 0 {
            return Err(ConfigError("revocation.poll_seconds is 0; the least is 1".to_owned()).into());
        }
        let revocations = Revocations::open(&configured.file);
        let revocations =
            Arc::new(revocations.context("revocations cannot be read; `sqe revoke init` makes the file")?);
        changing.push(Changing::new("revocations", &revocations, Revocations::reload));
        Ok(Self { revocations, every: Duration::from_secs(configured.poll_seconds) })
    }
}

/// Files that can be read again while the server runs.
#[derive(Clone)]
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

/// Reads the files as a start does, and says what is wrong with each, without anybody to ask behind them.
pub(crate) fn files(config: &Config) -> Vec<(String, Result<()>)> {
    let mut answers = Vec::new();
    if let Some(configured) = &config.impersonation {
        let ImpersonationConfig { people_file, rules_file } = configured;
        let what = format!("who may act as whom, {} and {}", people_file.display(), rules_file.display());
        answers.push((what, impersonation(Arc::new(Chain::default()), configured, &mut Vec::new()).map(drop)));
    }
    if let Some(configured) = &config.revocation {
        let what = format!("withdrawn rights, {}", configured.file.display());
        answers.push((what, Watched::open(configured, &mut Vec::new()).map(drop)));
    }
    answers
}

/// Acting as others, by the operator's rules.
///
/// # Errors
/// A file cannot be used.
pub(super) fn impersonation(
    own: Arc<dyn IdentityProvider>,
    configured: &ImpersonationConfig,
    changing: &mut Vec<Changing>,
) -> Result<Arc<dyn IdentityProvider>> {
    let acting = Arc::new(Impersonation::open(own, &configured.people_file, &configured.rules_file)?);
    changing.push(Changing::new("who may act as whom", &acting, Impersonation::reload));
    Ok(acting)
}
