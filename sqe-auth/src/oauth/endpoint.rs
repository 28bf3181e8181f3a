//! Where an issuer is asked.

use serde_json::Value;
use sqe_core::{Error, Result};
use thiserror::Error as ThisError;
use url::Url;

use crate::{
    Discovery, OAuthClient, RemoteSettings,
    discovery::Undiscovered,
    json::Object,
    remote::{Failure, Remote, address},
};

/// Where an issuer is asked: at an address that is configured, or where its metadata says.
#[derive(Debug, Clone)]
pub struct Endpoint {
    issuer: String,
    location: Location,
    remote: Remote,
}

#[derive(Debug, Clone)]
enum Location {
    Configured(Url),
    Discovered(Discovery),
}

/// Which endpoint of the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Token,
    Introspection,
}

/// Why there is no answer, or none of use.
#[derive(Debug, Clone, ThisError)]
pub(super) enum Unanswered {
    #[error("{0}")]
    Undiscovered(#[from] Undiscovered),
    #[error("{0}")]
    Failure(#[from] Failure),
    #[error("its answer is not a JSON object that names everything once")]
    NotAnObject,
    #[error("its answer is missing {0}, or has it in the wrong form")]
    Wrong(&'static str),
}

impl Endpoint {
    /// `url`, an endpoint of `issuer`.
    ///
    /// # Errors
    /// `InvalidInput` if the issuer is empty, `url` is neither https nor on this machine, or a setting is out of range.
    pub fn configured(issuer: impl Into<String>, url: &str, settings: &RemoteSettings) -> Result<Self> {
        let issuer = issuer.into();
        if issuer.is_empty() {
            return Err(Error::invalid("an endpoint needs its issuer; name it exactly as tokens do"));
        }
        Ok(Self { issuer, location: Location::Configured(address("endpoint", url)?), remote: Remote::new(settings)? })
    }

    /// That which the issuer's metadata names for what is asked.
    #[must_use]
    pub fn discovered(discovery: &Discovery) -> Self {
        let (issuer, remote) = (discovery.issuer().to_owned(), discovery.remote().clone());
        Self { issuer, location: Location::Discovered(discovery.clone()), remote }
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) async fn warm_up(&self, which: Which) -> Result<()> {
        self.url(which).await.map(drop).map_err(|reason| unavailable(&reason.into()))
    }

    /// What the endpoint answers to a form that `client` sends.
    pub(super) async fn ask(
        &self,
        which: Which,
        client: &OAuthClient,
        form: &[(&str, &str)],
    ) -> Result<Value, Unanswered> {
        let url = self.url(which).await?;
        let body = self.remote.post(&url, client, form).await.inspect_err(|failure| {
            // An endpoint that is not where it was may have moved.
            if let (Location::Discovered(discovery), Failure::Connection(_) | Failure::Redirect | Failure::Status(_)) =
                (&self.location, failure)
            {
                discovery.doubt();
            }
        })?;
        Object::read(&body).and_then(Object::unique).ok_or(Unanswered::NotAnObject)
    }

    async fn url(&self, which: Which) -> Result<Url, Undiscovered> {
        match &self.location {
            Location::Configured(url) => Ok(url.clone()),
            Location::Discovered(discovery) => {
                let metadata = discovery.find().await?;
                let (url, name) = match which {
                    Which::Token => (&metadata.token_endpoint, "token_endpoint"),
                    Which::Introspection => (&metadata.introspection_endpoint, "introspection_endpoint"),
                };
                url.clone().ok_or(Undiscovered::NoEndpoint(name))
            }
        }
    }
}

/// What a client is told; the reason is for operators.
pub(super) fn unavailable(reason: &Unanswered) -> Error {
    Error::unavailable("the issuer of tokens cannot be asked now; try again later").with_source(reason.clone())
}
