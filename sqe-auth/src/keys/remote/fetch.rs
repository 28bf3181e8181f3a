//! One fetch of a key set.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, StatusCode};
use sqe_core::Result;
use thiserror::Error as ThisError;
use url::Url;

use super::{
    super::{
        Key, KeyFamily,
        jwk::{self, BadSet, Refused},
    },
    JwksSettings,
    client::{address, client},
};

/// Fetches one URL's keys of one family.
#[derive(Debug)]
pub(super) struct Fetcher {
    url: Url,
    family: KeyFamily,
    client: Client,
    timeout: Duration,
    max_bytes: usize,
    max_keys: usize,
}

/// Why there are no keys. The URL is the operator's own and is not repeated.
#[derive(Debug, ThisError)]
pub(super) enum Failure {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("no connection: {0}")]
    Connection(String),
    #[error("it redirects elsewhere, which is not followed; configure the address of the keys themselves")]
    Redirect,
    #[error("it answers with status {0}")]
    Status(StatusCode),
    #[error("the answer is not a key set: {0}")]
    BadSet(#[from] BadSet),
    #[error("the answer has no usable {0} key")]
    NoKeys(KeyFamily),
}

impl Fetcher {
    pub(super) fn new(url: &str, family: KeyFamily, settings: &JwksSettings) -> Result<Self> {
        let url = address(url)?;
        let client = client(settings.root_certificates.as_deref())?;
        let &JwksSettings { timeout, max_bytes, max_keys, .. } = settings;
        Ok(Self { url, family, client, timeout, max_bytes, max_keys })
    }

    /// The host, for logs.
    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) async fn fetch(&self) -> Result<Vec<Arc<Key>>, Failure> {
        let body =
            tokio::time::timeout(self.timeout, self.body()).await.map_err(|_| Failure::Timeout(self.timeout))??;
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
        if keys.is_empty() { Err(Failure::NoKeys(self.family)) } else { Ok(keys) }
    }

    async fn body(&self) -> Result<Vec<u8>, Failure> {
        let request = self.client.get(self.url.clone()).header(reqwest::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(connection)?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(Failure::Redirect),
            status => return Err(Failure::Status(status)),
        }
        let too_large = || Failure::BadSet(BadSet::TooLarge(self.max_bytes));
        if response.content_length().is_some_and(|length| length > self.max_bytes as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(connection)? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn connection(error: reqwest::Error) -> Failure {
    // The innermost cause says what happened; the outer ones repeat that a request failed.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Failure::Connection(cause.to_string())
}
