//! The real provider of the test kit, and what asks it.

use std::{sync::OnceLock, time::Duration};

use serde_json::json;
use sqe_auth::{Discovery, DiscoverySettings, Endpoint, JwksSettings, JwtVerifier, OAuthClient, RemoteSettings};
use sqe_core::{Credentials, Error, ErrorKind, Identity, IdentityProvider, Result, Secret};
use sqe_testkit::idp::Idp;

/// One for all tests that change nothing about it. `None`: skipped.
pub(crate) fn shared() -> Option<&'static Idp> {
    static SHARED: OnceLock<Option<Idp>> = OnceLock::new();
    SHARED.get_or_init(own).as_ref()
}

/// One of its own, for a test that makes it fail.
pub(crate) fn own() -> Option<Idp> {
    Idp::start().unwrap()
}

/// Short times, so that tests do not wait.
pub(crate) fn discovery(issuer: &str) -> Discovery {
    let mut settings = DiscoverySettings::default();
    settings.min_interval = Duration::ZERO;
    settings.remote = remote();
    Discovery::new(issuer, settings).unwrap()
}

pub(crate) fn remote() -> RemoteSettings {
    let mut settings = RemoteSettings::default();
    settings.timeout = Duration::from_secs(1);
    settings
}

pub(crate) fn jwks(change: impl FnOnce(&mut JwksSettings)) -> JwksSettings {
    let mut settings = JwksSettings::default();
    settings.min_interval = Duration::ZERO;
    settings.timeout = Duration::from_secs(2);
    change(&mut settings);
    settings
}

/// A verifier of an issuer's tokens for `sqe`, by its metadata.
pub(crate) fn verifier_of(issuer: &str, change: impl FnOnce(&mut JwksSettings)) -> JwtVerifier {
    JwtVerifier::builder(issuer).audience(Idp::AUDIENCE).discover(&discovery(issuer), jwks(change)).build().unwrap()
}

pub(crate) fn verifier(idp: &Idp) -> JwtVerifier {
    verifier_of(idp.issuer(), |_| {})
}

pub(crate) fn endpoint(issuer: &str) -> Endpoint {
    Endpoint::discovered(&discovery(issuer))
}

pub(crate) fn client() -> OAuthClient {
    OAuthClient::new(Idp::CLIENT, Secret::new(Idp::SECRET)).unwrap()
}

pub(crate) fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.into(), password: Secret::new(password) }
}

/// Who `user` is to `provider` with a new token.
pub(crate) async fn logged_in(idp: &Idp, provider: &dyn IdentityProvider, user: &str) -> Identity {
    let token = idp.login(user).unwrap().access_token;
    accepted(provider, &Credentials::Bearer(Secret::new(token))).await
}

pub(crate) async fn accepted(provider: &dyn IdentityProvider, credentials: &Credentials) -> Identity {
    let identity = provider.authenticate(credentials).await.unwrap_or_else(|error| panic!("{error:?}"));
    identity.expect("the credentials are recognised")
}

/// The reason of a rejection, after all that must not be said was not said.
pub(crate) async fn rejected(provider: &dyn IdentityProvider, credentials: &Credentials) -> String {
    let error = refused(provider.authenticate(credentials).await, credentials);
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, sqe_auth::NOT_ACCEPTED), "{error:?}");
    crate::forge::cause(&error)
}

/// The reason of an outage, which is no rejection.
pub(crate) async fn unavailable(provider: &dyn IdentityProvider, credentials: &Credentials) -> String {
    let error = refused(provider.authenticate(credentials).await, credentials);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    crate::forge::cause(&error)
}

fn refused(answer: Result<Option<Identity>>, credentials: &Credentials) -> Error {
    let error = answer.expect_err("nobody is let in");
    let (Credentials::Bearer(secret) | Credentials::Basic { password: secret, .. }) = credentials else {
        panic!("no secret")
    };
    let printed = format!("{error:?} {error} {}", crate::forge::cause(&error));
    for secret in [secret.expose(), Idp::SECRET] {
        assert!(!printed.contains(secret), "an error shows a secret: {printed}");
    }
    error
}

/// The claims of a JWT, unverified.
pub(crate) fn claims(token: &str) -> serde_json::Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let part = token.split('.').nth(1).unwrap_or_else(|| panic!("not a JWT"));
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap_or(json!(null))
}
