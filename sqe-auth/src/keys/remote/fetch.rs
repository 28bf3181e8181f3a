//! One fetch of a key set.

use std::sync::Arc;

use sqe_core::{Error, Result};
use thiserror::Error as ThisError;
use url::Url;

use super::{
    super::{
        Key, KeyFamily,
        jwk::{self, BadSet, Refused},
    },
    JwksSettings,
};
use crate::{
    RemoteSettings,
    discovery::{Discovery, Undiscovered},
    remote::{self, Remote, address},
};

/// Where an issuer's keys lie.
#[derive(Debug)]
pub(crate) enum Location {
    /// Where an operator says.
    Configured(String),
    /// Where the issuer says.
    Discovered(Discovery),
}

/// Fetches one issuer's keys of one family.
#[derive(Debug)]
pub(super) struct Fetcher {
    source: Source,
    family: KeyFamily,
    remote: Remote,
    max_bytes: usize,
    max_keys: usize,
}

#[derive(Debug)]
enum Source {
    Url(Url),
    Discovery(Discovery),
}

/// Why there are no keys.
#[derive(Debug, ThisError)]
pub(super) enum Failure {
    #[error("{0}")]
    Undiscovered(#[from] Undiscovered),
    #[error("{0}")]
    Remote(#[from] remote::Failure),
    #[error("the answer is not a key set: {0}")]
    BadSet(#[from] BadSet),
    #[error("the answer has no usable {0} key")]
    NoKeys(KeyFamily),
}

impl Fetcher {
    pub(super) fn new(location: Location, family: KeyFamily, settings: &JwksSettings) -> Result<Self> {
        let source = match location {
            Location::Configured(url) => Source::Url(address("keys", &url)?),
            Location::Discovered(discovery) => Source::Discovery(discovery),
        };
        let &JwksSettings { timeout, max_bytes, max_keys, .. } = settings;
        if max_keys == 0 {
            return Err(Error::invalid("the most keys of an issuer cannot be zero"));
        }
        let root_certificates = settings.root_certificates.clone();
        let remote = Remote::new(&RemoteSettings { timeout, max_bytes, root_certificates })?;
        Ok(Self { source, family, remote, max_bytes, max_keys })
    }

    /// The host, for logs.
    pub(super) fn host(&self) -> &str {
        match &self.source {
            Source::Url(url) => url.host_str().unwrap_or_default(),
            Source::Discovery(discovery) => discovery.host(),
        }
    }

    pub(super) async fn fetch(&self) -> Result<Vec<Arc<Key>>, Failure> {
        let keys = match &self.source {
            Source::Url(url) => self.fetch_from(url).await,
            Source::Discovery(discovery) => {
                let metadata = discovery.find().await?;
                let url = metadata.jwks_uri.as_ref().ok_or(Undiscovered::NoEndpoint("jwks_uri"))?;
                // Keys that are not where they were may have moved.
                self.fetch_from(url).await.inspect_err(|_| discovery.doubt())
            }
        }?;
        if keys.is_empty() { Err(Failure::NoKeys(self.family)) } else { Ok(keys) }
    }

    async fn fetch_from(&self, url: &Url) -> Result<Vec<Arc<Key>>, Failure> {
        let body = self.remote.get(url).await?;
        let mut keys: Vec<Arc<Key>> = Vec::new();
        for read in jwk::read(&body, self.max_bytes, self.max_keys)? {
            match read {
                Err(Refused::NotForUs) => {}
                Ok(key) if key.family != self.family => {}
                // Of several keys with one id the first counts; which of them an issuer meant cannot be known.
                Ok(key) if key.id.is_some() && keys.iter().any(|other| other.id == key.id) => {
                    tracing::warn!(host = self.host(), "a token issuer publishes two keys of one id");
                }
                Ok(key) => keys.push(Arc::new(key)),
                // One bad key must not lock out those who use the good ones.
                Err(refused) => tracing::warn!(host = self.host(), %refused, "a token issuer's key is not used"),
            }
        }
        Ok(keys)
    }
}
