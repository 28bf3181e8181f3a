//! The one room that speaks to other machines: to whom, for how long, and how much of the answer it reads.
//!
//! Nothing here follows redirects, uses proxies or reads the environment. What an issuer writes into the body of an error
//! is never shown and never logged, save a short code out of a fixed alphabet: it may repeat what was sent, and secrets
//! were sent.

mod client;
#[cfg(feature = "oauth")]
mod kept;
#[cfg(feature = "oauth")]
mod oauth;
mod turns;

use std::time::Duration;

use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, HeaderValue},
};
use sqe_core::{Error, Result};
use thiserror::Error as ThisError;
use url::Url;

pub(crate) use client::address;
#[cfg(feature = "oauth")]
pub(crate) use kept::{Answer, Bounds, Digest, Digester, Kept};
#[cfg(feature = "oauth")]
pub use oauth::OAuthClient;
pub(crate) use turns::{Turn, Turns};

/// How an issuer's machines are spoken to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RemoteSettings {
    /// The longest that one request may take, from connecting to the last byte. 5 seconds.
    pub timeout: Duration,
    /// The largest answer that is read, in bytes. 256 KiB.
    pub max_bytes: usize,
    /// Certificates in PEM, to one of which the server's certificate must lead, and to no others: an issuer inside an
    /// organisation often has that organisation's own. `None`: the roots of the web, as Mozilla lists them.
    pub root_certificates: Option<String>,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), max_bytes: 256 * 1024, root_certificates: None }
    }
}

/// Asks issuers.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    client: Client,
    timeout: Duration,
    max_bytes: usize,
}

/// Why there is no answer, or none of use. Addresses are the operator's own and are not repeated.
#[derive(Debug, Clone, ThisError)]
pub(crate) enum Failure {
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("no connection: {0}")]
    Connection(String),
    #[error("it redirects elsewhere, which is not followed; configure the address itself")]
    Redirect,
    #[error("it answers with status {0}")]
    Status(StatusCode),
    #[error("its answer is larger than {0} bytes")]
    TooLarge(usize),
    /// An error response of OAuth (RFC 6749, 5.2): its status and its code.
    #[cfg(feature = "oauth")]
    #[error("it answers with status {0} and the error {1}")]
    Refused(StatusCode, String),
}

impl Remote {
    pub(crate) fn new(settings: &RemoteSettings) -> Result<Self> {
        let &RemoteSettings { timeout, max_bytes, .. } = settings;
        if timeout.is_zero() || max_bytes == 0 {
            return Err(Error::invalid("timeout and size of an issuer's answers cannot be zero"));
        }
        Ok(Self { client: client::client(settings.root_certificates.as_deref())?, timeout, max_bytes })
    }

    /// What lies at `url`.
    pub(crate) async fn get(&self, url: &Url) -> Result<Vec<u8>, Failure> {
        let (status, body) = self.send(self.client.get(url.clone())).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(Failure::Status(status)) }
    }

    /// Sends a form as `client` (`client_secret_basic`, RFC 6749, 2.3.1) and gives the answer.
    #[cfg(feature = "oauth")]
    pub(crate) async fn post(
        &self,
        url: &Url,
        client: &OAuthClient,
        form: &[(&str, &str)],
    ) -> Result<Vec<u8>, Failure> {
        use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};

        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url.clone()).header(AUTHORIZATION, client.basic());
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        let (status, body) = self.send(request).await?;
        match (status, oauth::error_code(&body)) {
            (StatusCode::OK, _) => Ok(body),
            (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(code)) => {
                Err(Failure::Refused(status, code))
            }
            _ => Err(Failure::Status(status)),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Failure> {
        let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        let exchange = async {
            let response = request.send().await.map_err(connection)?;
            let status = response.status();
            if status.is_redirection() {
                return Err(Failure::Redirect);
            }
            Ok((status, self.body(response).await?))
        };
        tokio::time::timeout(self.timeout, exchange).await.map_err(|_| Failure::Timeout(self.timeout))?
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        if response.content_length().is_some_and(|length| length > self.max_bytes as u64) {
            return Err(Failure::TooLarge(self.max_bytes));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(connection)? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(Failure::TooLarge(self.max_bytes));
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
