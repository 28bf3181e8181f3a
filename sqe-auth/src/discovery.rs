//! What an issuer says about itself: OpenID Connect Discovery 1.0 and RFC 8414.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use sqe_core::{Error, Result};
use thiserror::Error as ThisError;
use url::Url;

use crate::{
    RemoteSettings,
    rejection::Shown,
    remote::{Failure, Remote, Turns, address},
};

/// Where an issuer's metadata lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WellKnown {
    /// `ISSUER/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, section 4.1).
    #[default]
    OpenIdConfiguration,
    /// `/.well-known/oauth-authorization-server` between the issuer's host and its path (RFC 8414, section 3.1).
    OAuthAuthorizationServer,
}

/// How metadata is fetched and how long it is believed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DiscoverySettings {
    /// Where it lies. [`WellKnown::OpenIdConfiguration`].
    pub well_known: WellKnown,
    /// Metadata of this age is fetched again, behind those who use it. 1 hour.
    pub refresh_after: Duration,
    /// No two fetches begin within this time, however they end. 10 seconds.
    pub min_interval: Duration,
    /// Metadata of this age is no longer believed, even if the issuer does not answer. 24 hours.
    pub stale_ceiling: Duration,
    /// How the issuer is spoken to.
    pub remote: RemoteSettings,
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        Self {
            well_known: WellKnown::default(),
            refresh_after: Duration::from_secs(60 * 60),
            min_interval: Duration::from_secs(10),
            stale_ceiling: Duration::from_secs(24 * 60 * 60),
            remote: RemoteSettings::default(),
        }
    }
}

/// Addresses that an issuer names in its metadata. Each is https, or http on this machine if the issuer is, too; one that
/// is not is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderMetadata {
    /// `jwks_uri`: its keys.
    pub jwks_uri: Option<Url>,
    /// `authorization_endpoint`: where people log in.
    pub authorization_endpoint: Option<Url>,
    /// `token_endpoint`: where tokens are issued and exchanged.
    pub token_endpoint: Option<Url>,
    /// `device_authorization_endpoint` (RFC 8628, section 4).
    pub device_authorization_endpoint: Option<Url>,
    /// `introspection_endpoint` (RFC 8414, section 2).
    pub introspection_endpoint: Option<Url>,
    /// `end_session_endpoint` (OpenID Connect RP-Initiated Logout 1.0, section 2.1).
    pub end_session_endpoint: Option<Url>,
}

/// An issuer's metadata, fetched when it is first needed and kept while it can be believed. Clones share it.
///
/// The document must name exactly the issuer that it was asked for (Discovery 1.0, section 4.3), or it is not believed.
/// It is fetched over https, or over http from this machine, without following redirects; those who need it at once wait
/// for one fetch; a failed one is not repeated at once. An issuer that does not answer at start is asked again when
/// somebody needs it.
#[derive(Clone)]
pub struct Discovery(Arc<Inner>);

struct Inner {
    issuer: String,
    url: Url,
    remote: Remote,
    settings: DiscoverySettings,
    state: Mutex<State>,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct State {
    known: Option<(Arc<ProviderMetadata>, Instant)>,
    /// Whether something that it names was not there.
    doubted: bool,
    failure: Option<Undiscovered>,
}

/// Why there is no metadata.
#[derive(Debug, Clone, ThisError)]
pub(crate) enum Undiscovered {
    #[error("the issuer's metadata cannot be fetched: {0}")]
    Failure(#[from] Failure),
    #[error("the issuer's metadata is not a JSON object")]
    NotMetadata,
    #[error("the issuer's metadata names no issuer")]
    NoIssuer,
    #[error("the issuer's metadata is that of {0}; configure exactly that issuer, or another address")]
    AnotherIssuer(Shown),
    #[error("the issuer's metadata names no {0} that can be used; configure its address")]
    NoEndpoint(&'static str),
    #[error("no fetch of the issuer's metadata could begin")]
    TooSoon,
    #[error("the fetch of the issuer's metadata was cut off")]
    CutOff,
}

impl Discovery {
    /// Of `issuer`, exactly as tokens name it. Nothing is fetched yet.
    ///
    /// # Errors
    /// `InvalidInput` if the issuer is not an address that can be asked (https, or http on this machine, without query or
    /// fragment), or a setting is out of range.
    pub fn new(issuer: impl Into<String>, settings: DiscoverySettings) -> Result<Self> {
        let issuer = issuer.into();
        let url = well_known(&issuer, settings.well_known)?;
        if settings.refresh_after > settings.stale_ceiling {
            return Err(Error::invalid("metadata must be refreshed before it is too old; raise the stale ceiling"));
        }
        let remote = Remote::new(&settings.remote)?;
        let turns = Turns::new(settings.min_interval);
        Ok(Self(Arc::new(Inner { issuer, url, remote, settings, state: Mutex::default(), turns })))
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The issuer's metadata.
    ///
    /// # Errors
    /// `Unavailable` if nothing is known, or nothing that can still be believed, and it cannot be fetched.
    pub async fn metadata(&self) -> Result<Arc<ProviderMetadata>> {
        self.find().await.map_err(|reason| {
            Error::unavailable("the issuer of tokens cannot be asked now; try again later").with_source(reason)
        })
    }

    /// Fetches it now, so that a wrong address shows at start.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be fetched. It is tried again when somebody needs it.
    pub async fn warm_up(&self) -> Result<()> {
        self.metadata().await.map(drop)
    }

    pub(crate) async fn find(&self) -> Result<Arc<ProviderMetadata>, Undiscovered> {
        let Inner { settings, turns, .. } = &*self.0;
        let known = || {
            let state = self.0.state.lock();
            let (metadata, at) = state.known.as_ref()?;
            let age = at.elapsed();
            let stale = age > settings.refresh_after || state.doubted;
            (age <= settings.stale_ceiling).then(|| (Arc::clone(metadata), stale))
        };
        if let Some((metadata, stale)) = known() {
            if stale {
                turns.begin(|| Attempt(self.clone()).run());
            }
            return Ok(metadata);
        }
        turns.take(|| Attempt(self.clone()).run()).await;
        known()
            .map(|(metadata, _)| metadata)
            .ok_or_else(|| self.0.state.lock().failure.clone().unwrap_or(Undiscovered::TooSoon))
    }

    /// Something that the metadata names was not there, so it may have moved: the next who asks begins a new fetch.
    pub(crate) fn doubt(&self) {
        self.0.state.lock().doubted = true;
    }

    #[cfg(feature = "oauth")]
    pub(crate) fn remote(&self) -> &Remote {
        &self.0.remote
    }

    pub(crate) fn host(&self) -> &str {
        self.0.url.host_str().unwrap_or_default()
    }

    async fn fetch(&self) -> Result<ProviderMetadata, Undiscovered> {
        let body = self.0.remote.get(&self.0.url).await?;
        read(&body, &self.0.issuer)
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("issuer", &self.0.issuer).finish_non_exhaustive()
    }
}

/// One fetch. If it is cut off, those who wait learn that it failed.
struct Attempt(Discovery);

impl Attempt {
    async fn run(self) {
        let outcome = self.0.fetch().await;
        let mut state = self.0.0.state.lock();
        match outcome {
            Ok(metadata) => *state = State { known: Some((Arc::new(metadata), Instant::now())), ..State::default() },
            Err(reason) => {
                tracing::warn!(host = self.0.host(), %reason, "the metadata of a token issuer could not be fetched");
                state.failure = Some(reason);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock();
        if state.known.is_none() {
            state.failure.get_or_insert(Undiscovered::CutOff);
        }
    }
}

fn well_known(issuer: &str, kind: WellKnown) -> Result<Url> {
    let mut url = address("metadata", issuer)?;
    if url.query().is_some() {
        return Err(Error::invalid("an issuer has no query; configure it exactly as its tokens name it"));
    }
    let path = url.path().trim_end_matches('/');
    let path = match kind {
        WellKnown::OpenIdConfiguration => format!("{path}/.well-known/openid-configuration"),
        WellKnown::OAuthAuthorizationServer => format!("/.well-known/oauth-authorization-server{path}"),
    };
    url.set_path(&path);
    Ok(url)
}

fn read(body: &[u8], issuer: &str) -> Result<ProviderMetadata, Undiscovered> {
    let document: Value = serde_json::from_slice(body).map_err(|_| Undiscovered::NotMetadata)?;
    let document = document.as_object().ok_or(Undiscovered::NotMetadata)?;
    let named = document.get("issuer").and_then(Value::as_str).ok_or(Undiscovered::NoIssuer)?;
    if named != issuer {
        return Err(Undiscovered::AnotherIssuer(Shown::new(named)));
    }
    // An issuer that is reached over https does not send us, or our secrets, to a plain address of this machine.
    let plain = issuer.starts_with("http:");
    let endpoint = |name: &'static str| {
        let text = document.get(name)?.as_str()?;
        let url = address(name, text).ok().filter(|url| plain || url.scheme() == "https");
        if url.is_none() {
            tracing::warn!(name, "an issuer's metadata names an address that is not https; it is not used");
        }
        url
    };
    Ok(ProviderMetadata {
        jwks_uri: endpoint("jwks_uri"),
        authorization_endpoint: endpoint("authorization_endpoint"),
        token_endpoint: endpoint("token_endpoint"),
        device_authorization_endpoint: endpoint("device_authorization_endpoint"),
        introspection_endpoint: endpoint("introspection_endpoint"),
        end_session_endpoint: endpoint("end_session_endpoint"),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("https://idp.example", "https://idp.example/.well-known/openid-configuration")]
    #[case("https://idp.example/", "https://idp.example/.well-known/openid-configuration")]
    #[case("https://idp.example/realms/a", "https://idp.example/realms/a/.well-known/openid-configuration")]
    #[case("https://idp.example/realms/a/", "https://idp.example/realms/a/.well-known/openid-configuration")]
    #[case("http://127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/openid-configuration")]
    fn the_path_of_openid_is_appended(#[case] issuer: &str, #[case] expected: &str) {
        assert_eq!(well_known(issuer, WellKnown::OpenIdConfiguration).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("https://idp.example", "https://idp.example/.well-known/oauth-authorization-server")]
    #[case("https://idp.example/a/b", "https://idp.example/.well-known/oauth-authorization-server/a/b")]
    fn the_path_of_oauth_is_inserted(#[case] issuer: &str, #[case] expected: &str) {
        assert_eq!(well_known(issuer, WellKnown::OAuthAuthorizationServer).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("http://idp.example")]
    #[case("https://idp.example?tenant=a")]
    #[case("https://idp.example#a")]
    #[case("https://user:secret@idp.example")]
    #[case("idp.example")]
    #[case("urn:idp")]
    #[case("")]
    fn an_issuer_that_cannot_be_asked_safely_is_refused(#[case] issuer: &str) {
        let error = Discovery::new(issuer, DiscoverySettings::default()).unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
        Discovery::new("https://idp.example", DiscoverySettings::default()).unwrap();
    }

    #[rstest]
    #[case("https://other.example")]
    #[case("https://idp.example/")]
    #[case("https://IDP.example")]
    #[case("https://idp.example/a")]
    #[case("http://idp.example")]
    #[case("")]
    fn metadata_of_another_issuer_is_not_believed(#[case] named: &str) {
        let document = |issuer: &str| json!({"issuer": issuer, "jwks_uri": "https://idp.example/keys"}).to_string();
        let read = |issuer: &str| read(document(issuer).as_bytes(), "https://idp.example");
        assert!(matches!(read(named), Err(Undiscovered::AnotherIssuer(_))), "{named}");
        assert!(read("https://idp.example").unwrap().jwks_uri.is_some());
    }

    #[rstest]
    #[case("[]")]
    #[case("{}")]
    #[case("<html>")]
    #[case(r#"{"issuer": ["https://idp.example"]}"#)]
    fn what_is_no_metadata_is_not_read(#[case] body: &str) {
        read(body.as_bytes(), "https://idp.example").unwrap_err();
    }

    #[rstest]
    #[case("https://idp.example", "https://keys.example/keys", true)]
    #[case("https://idp.example", "http://keys.example/keys", false)]
    #[case("https://idp.example", "http://127.0.0.1/keys", false)]
    #[case("https://idp.example", "https://user:password@keys.example/", false)]
    #[case("https://idp.example", "file:///keys", false)]
    #[case("https://idp.example", "/keys", false)]
    #[case("http://127.0.0.1:1", "http://127.0.0.1:1/keys", true)]
    #[case("http://127.0.0.1:1", "http://keys.example/keys", false)]
    fn addresses_that_are_not_safe_are_left_out(#[case] issuer: &str, #[case] keys: &str, #[case] used: bool) {
        let document = json!({"issuer": issuer, "jwks_uri": keys, "token_endpoint": "https://idp.example/token"});
        let metadata = read(document.to_string().as_bytes(), issuer).unwrap();
        assert_eq!(metadata.jwks_uri.is_some(), used);
        assert!(metadata.token_endpoint.is_some(), "the permitted control");
    }
}
