//! What strangers can make a verifier read: texts of tokens, and the JSON inside of them.

use std::{
    future::Future,
    pin::pin,
    sync::OnceLock,
    task::{Context, Poll, Waker},
};

use sqe_core::{Credentials, Identity, IdentityProvider as _, Result, Secret};

use super::{JwtVerifier, header, logout};
use crate::{KeyFamily, KeySet, TokenType, claims};

/// A text as a bearer token. Nothing that was not signed is accepted.
pub(crate) fn token(text: &str) {
    let Some(verifier) = verifier() else { return };
    let credentials = Credentials::Bearer(Secret::new(text));
    // Its keys are configured, so it never waits.
    let answer: Poll<Result<Option<Identity>>> =
        pin!(verifier.authenticate(&credentials)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(!matches!(answer, Poll::Ready(Ok(Some(_)))), "a token that nobody signed was accepted");
}

/// JSON in two lines, as the header and the claims of a token whose signature fits.
pub(crate) fn signed(text: &str) {
    let Some(verifier) = verifier() else { return };
    let Some((header, claims)) = text.split_once('\n') else { return };
    let (Ok(header), Ok(claims)) = (serde_json::from_str(header), serde_json::from_str(claims)) else { return };
    let _ = header::check(&header, &claims, &verifier.rules);
    if let Ok(registered) = claims::check(&claims, &verifier.rules.claims, chrono::Utc::now()) {
        let _ = verifier.mapping.identity(&claims, registered);
    }
    logout::fuzz(&header, &claims, &verifier.rules);
}

fn verifier() -> Option<&'static JwtVerifier> {
    static VERIFIER: OnceLock<Option<JwtVerifier>> = OnceLock::new();
    let key = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let build = || {
        let builder = JwtVerifier::builder("https://idp.example").audience("sqe").family(KeyFamily::Ed);
        let types = [TokenType::AccessToken, TokenType::Jwt, TokenType::Missing];
        builder.types(types).attributes(["a", "/b/c"]).key_set(KeySet::from_jwks(key).ok()?).build().ok()
    };
    VERIFIER.get_or_init(build).as_ref()
}
