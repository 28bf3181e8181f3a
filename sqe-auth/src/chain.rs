//! Several providers, asked in order.

use std::sync::Arc;

use async_trait::async_trait;
use sqe_core::{Credentials, Identity, IdentityProvider, Result};

/// Asks providers in order until one knows the credential.
///
/// The first provider that proves an identity decides. `Ok(None)` passes the credential on to the next. An error ends
/// the chain, be it a rejection or an outage: a credential that belongs to one provider is never tried on another. If
/// nobody knows the credential, the chain does not either and answers `Ok(None)`, which an engine treats as
/// unauthenticated.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    providers: Vec<Arc<dyn IdentityProvider>>,
}

impl Chain {
    /// A chain of `providers`, asked in this order. An empty chain knows nobody.
    #[must_use]
    pub fn new(providers: impl IntoIterator<Item = Arc<dyn IdentityProvider>>) -> Self {
        Self { providers: providers.into_iter().collect() }
    }

    /// Adds a provider that is asked last.
    #[must_use]
    pub fn then(mut self, provider: impl IdentityProvider) -> Self {
        self.providers.push(Arc::new(provider));
        self
    }

    /// Adds a provider that others hold, too, and that is asked last.
    #[must_use]
    pub fn then_shared(mut self, provider: Arc<dyn IdentityProvider>) -> Self {
        self.providers.push(provider);
        self
    }

    /// How many providers it asks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.providers.len()
    }

    /// Whether it asks nobody, and so knows nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for Chain {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        for provider in &self.providers {
            if let Some(identity) = provider.authenticate(credentials).await? {
                return Ok(Some(identity));
            }
        }
        Ok(None)
    }
}
