//! Talking to an OpenID provider: https, or http on this machine; no redirects, no proxies, answers of bounded size.
//!
//! `sqe-auth` keeps the same rules and lends nothing of its client: it asks as a confidential client and never shows what an
//! issuer writes into an error, and here a person logs in by a public client and is to read just that. Its client in common
//! would make `reqwest` a part of that crate's interface.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use reqwest::{Response, StatusCode, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use serde::{Deserialize, de::DeserializeOwned};
use sqe_core::{Error, Result};
use url::{Host, Url};
use zeroize::Zeroizing;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const LARGEST: usize = 1 << 20;

/// A client for one provider.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
}

/// `error` and `error_description` of RFC 6749, section 5.2.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    pub(super) error_description: Option<String>,
}

impl Refusal {
    /// What a provider said, as far as people read it.
    pub(super) fn words(&self) -> String {
        match &self.error_description {
            Some(description) => format!("{}: {description:.300}", self.error),
            None => self.error.clone(),
        }
    }
}

/// A form's answer.
pub(super) enum Answer<T> {
    Granted(T),
    Refused(Refusal),
}

impl Http {
    /// A client that trusts the authority of this file, or the public ones.
    ///
    /// # Errors
    /// `InvalidInput` if the file cannot be used.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self> {
        let broken = |error| Error::internal("the client for the provider cannot be built").with_source(error);
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal("there is no version of TLS").with_source(error))?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        // Plain http is for this machine, so no resolver may say where that is.
        let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .resolve_to_addrs("localhost", &here)
            .timeout(PATIENCE)
            .user_agent(concat!("sqe/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(broken)?;
        Ok(Self { client })
    }

    /// A JSON document.
    ///
    /// # Errors
    /// `Unavailable` if there is no such answer; `InvalidInput` for an address that is not to be asked.
    pub(super) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        let url = permitted(url)?;
        let response = self.client.get(url.clone()).header("accept", "application/json").send().await;
        let response = response.map_err(|error| unreachable(&url, error))?;
        match response.status() {
            StatusCode::OK => read(&body(&url, response).await?, &url),
            status => Err(Error::unavailable(format!("{} answers with status {status}", shown(&url)))),
        }
    }

    /// Sends a form and reads the JSON that comes back.
    ///
    /// # Errors
    /// `Unavailable` if there is neither a grant nor a refusal; `InvalidInput` for an address that is not to be asked.
    pub(super) async fn form<T: DeserializeOwned>(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer<T>> {
        let url = permitted(url)?;
        let form = Zeroizing::new(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish());
        let request = self.client.post(url.clone()).header("accept", "application/json");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_string());
        let response = request.send().await.map_err(|error| unreachable(&url, error))?;
        let status = response.status();
        let body = body(&url, response).await?;
        match status {
            status if status.is_success() => Ok(Answer::Granted(read(&body, &url)?)),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Ok(Answer::Refused(read(&body, &url)?))
            }
            status => Err(Error::unavailable(format!("{} answers with status {status}", shown(&url)))),
        }
    }

    /// Sends a form whose answer does not matter beyond that there is one (RFC 7009, section 2.2).
    ///
    /// # Errors
    /// `Unavailable` if it was not accepted.
    pub(super) async fn tell(&self, url: &str, fields: &[(&str, &str)]) -> Result<()> {
        let url = permitted(url)?;
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(url.clone()).header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(form).send().await.map_err(|error| unreachable(&url, error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(Error::unavailable(format!("{} answers with status {status}", shown(&url)))),
        }
    }
}

/// Whoever can read or change what is said can be the person: https, or this machine.
fn permitted(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid(format!("the provider's address {text:.200} is no url; is the issuer right?")).with_source(error)
    })?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let clean = url.username().is_empty() && url.password().is_none();
    match url.scheme() {
        "https" if clean => Ok(url),
        "http" if clean && loopback => Ok(url),
        _ => Err(Error::invalid(format!(
            "the provider is asked over https, or over http on this machine, and not at {}",
            shown(&url)
        ))),
    }
}

/// The address without what could be secret in it.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn unreachable(url: &Url, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let what = if error.is_timeout() { "does not answer in time" } else { "does not answer" };
    // The innermost cause says what happened; the outer ones repeat that a request failed.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Error::unavailable(format!("the provider {what} at {}: {cause}", shown(url)))
}

async fn body(url: &Url, mut response: Response) -> Result<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(Error::unavailable(format!("{} answers with more than {LARGEST} bytes", shown(url))));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn read<T: DeserializeOwned>(body: &[u8], url: &Url) -> Result<T> {
    // The cause may repeat a piece of the answer, and that may be a secret.
    serde_json::from_slice(body)
        .map_err(|_| Error::unavailable(format!("the answer of {} is not what OpenID says it is", shown(url))))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore> {
    let Some(path) = ca_file else { return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }) };
    let refused = || Error::invalid(format!("{} holds no certificate in PEM", path.display()));
    let pem = std::fs::read(path)
        .map_err(|error| Error::invalid(format!("cannot read the certificate {}: {error}", path.display())))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused().with_source(error))?;
        roots.add(certificate).map_err(|error| refused().with_source(error))?;
    }
    if roots.is_empty() { Err(refused()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::permitted;

    #[rstest]
    #[case("https://idp.example/token", true)]
    #[case("http://127.0.0.1:8080/token", true)]
    #[case("http://[::1]:8080/token", true)]
    #[case("http://localhost/token", true)]
    #[case("http://idp.example/token", false)]
    #[case("http://localhost.evil.example/token", false)]
    #[case("http://127.0.0.1@evil.example/token", false)]
    #[case("https://user:secret@idp.example/token", false)]
    #[case("file:///etc/passwd", false)]
    #[case("token", false)]
    fn a_provider_is_asked_over_https_or_on_this_machine(#[case] url: &str, #[case] expected: bool) {
        let answer = permitted(url);
        assert_eq!(answer.is_ok(), expected);
        assert!(!answer.is_err_and(|error| error.message().contains("secret")));
    }
}
