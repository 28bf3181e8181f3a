//! One fetch of a key set.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, StatusCode, redirect::Policy};
use sqe_core::{Error, Result};
use thiserror::Error as ThisError;
use url::{Host, Url};

use super::{
    super::{
        Key, KeyFamily,
        jwk::{self, BadSet, Refused},
    },
    JwksSettings,
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
        let client = client()
            .map_err(|error| Error::internal("the client that fetches keys cannot be built").with_source(error))?;
        let JwksSettings { timeout, max_bytes, max_keys, .. } = *settings;
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

/// Keys decide who everybody is, so whoever can change them on their way can be anybody: https, or this machine.
fn address(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid("the address of the issuer's keys is not a url; configure one that begins with https")
            .with_source(error)
    })?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Error::invalid("the address of the issuer's keys has a user, password or fragment; remove it"));
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(Error::invalid(
            "the issuer's keys are fetched over https, or over http from this machine itself; change their address",
        )),
    }
}

/// A client that follows nothing and reads no environment: no redirects, no proxies, no cookies, and the web's root
/// certificates instead of what happens to be installed. TLS is configured here, so that this crate neither needs nor
/// sets a process-wide provider.
fn client() -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    let client = Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        // The name is allowed over http because it is this machine, so no resolver may say otherwise.
        .resolve_to_addrs("localhost", &here)
        .user_agent(concat!("sqe-auth/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://idp.example/keys", true)]
    #[case("https://10.0.0.1:8443/keys?tenant=a", true)]
    #[case("http://127.0.0.1:8080/keys", true)]
    #[case("http://127.9.9.9/keys", true)]
    #[case("http://[::1]/keys", true)]
    #[case("http://localhost/keys", true)]
    #[case("http://idp.example/keys", false)]
    #[case("http://localhost.evil.example/keys", false)]
    #[case("http://127.0.0.1.evil.example/keys", false)]
    #[case("http://10.0.0.1/keys", false)]
    #[case("http://0.0.0.0/keys", false)]
    #[case("http://169.254.169.254/keys", false)]
    #[case("http://127.0.0.1@evil.example/keys", false)]
    #[case("https://user:secret@idp.example/keys", false)]
    #[case("https://idp.example/keys#a", false)]
    #[case("file:///etc/keys", false)]
    #[case("ftp://127.0.0.1/keys", false)]
    #[case("keys", false)]
    fn keys_come_over_https_or_from_this_machine(#[case] url: &str, #[case] permitted: bool) {
        assert_eq!(address(url).is_ok(), permitted);
    }
}
