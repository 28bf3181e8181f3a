//! Decisions by [Cedar](https://docs.cedarpolicy.com) policies.
//!
//! Rows and columns are Cedar resources of their own: a row is visible if `select` on that row is allowed, a column if
//! `select` on that column is. What is known when somebody asks is evaluated at once; what depends on a row's values
//! is left over by Cedar's typed partial evaluation and becomes the row filter.

mod bundle;
mod cache;
mod decide;
mod entities;
mod load;
mod mask;
mod names;
mod rows;
mod scope;
mod source;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use parking_lot::RwLock;
use sqe_core::{Decision, PolicyEngine, PolicyRequest, Result};

use self::{bundle::Bundle, source::Source};

/// The Cedar schema that every policy is validated against, in Cedar's schema syntax.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// A policy by which who created a table may discover, describe, read, fill and drop it. It is not in force by itself.
pub const OWNERSHIP_POLICY: &str = include_str!("ownership.cedar");

/// A [`PolicyEngine`] over a bundle of Cedar policies.
///
/// Nothing is allowed that no policy permits, and an empty bundle permits nothing. A bundle is accepted as a whole or
/// refused as a whole; the bundle in force never changes while a batch is decided.
#[derive(Debug)]
pub struct CedarPolicy {
    source: Source,
    current: RwLock<Arc<Bundle>>,
}

impl CedarPolicy {
    /// Loads all `*.cedar` files of a directory, without its subdirectories.
    ///
    /// # Errors
    /// `Unavailable` if the directory cannot be read, `InvalidInput` if any policy is refused; the message names every
    /// refused policy, why it was refused and what to do.
    pub fn from_dir(directory: impl AsRef<Path>) -> Result<Self> {
        Self::load(Source::Directory(directory.as_ref().to_path_buf()))
    }

    /// Loads policies from texts; the name of a text stands where the name of a file would.
    ///
    /// # Errors
    /// `InvalidInput` as for [`CedarPolicy::from_dir`].
    pub fn from_sources<N, T>(texts: impl IntoIterator<Item = (N, T)>) -> Result<Self>
    where
        N: Into<String>,
        T: Into<String>,
    {
        Self::load(Source::Texts(texts.into_iter().map(|(name, text)| (name.into(), text.into())).collect()))
    }

    fn load(source: Source) -> Result<Self> {
        let bundle = Bundle::load(source.read()?)?;
        Ok(Self { source, current: RwLock::new(Arc::new(bundle)) })
    }

    /// Reads the policies again where they came from, and returns the hash of the snapshot now in force.
    ///
    /// The change is atomic: each batch is decided wholly by the old or wholly by the new bundle. It blocks on files.
    ///
    /// # Errors
    /// As for [`CedarPolicy::from_dir`]; the old bundle then stays in force.
    pub fn reload(&self) -> Result<String> {
        let bundle = Bundle::load(self.source.read()?)?;
        let snapshot = bundle.snapshot().to_owned();
        *self.current.write() = Arc::new(bundle);
        Ok(snapshot)
    }

    /// The hash of the policy snapshot in force: SHA-256 over the schema and all sources, in lower-case hexadecimal.
    #[must_use]
    pub fn snapshot(&self) -> String {
        self.current.read().snapshot().to_owned()
    }
}

#[async_trait]
impl PolicyEngine for CedarPolicy {
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
        let bundle = Arc::clone(&self.current.read());
        request.accesses.iter().map(|access| bundle.decide(request.identity, access)).collect()
    }
}
