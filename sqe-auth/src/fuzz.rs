//! The places where this crate reads what others wrote, each as a function of any bytes. Fuzzers call them (see the folder
//! `fuzz`), and so do property tests, so that they are tried also where no fuzzer runs.
//!
//! They are there under `cfg(fuzzing)` and in this crate's own tests, and nowhere else.

use crate::{KeySet, impersonation, jwt, revocation};

/// The text of a bearer token.
pub fn token(bytes: &[u8]) {
    jwt::fuzz::token(&text(bytes));
}

/// The header and the claims of a token whose signature fits: JSON in two lines.
pub fn signed_token(bytes: &[u8]) {
    jwt::fuzz::signed(&text(bytes));
}

/// A JSON Web Key Set.
pub fn key_set(bytes: &[u8]) {
    let _ = KeySet::from_jwks(&text(bytes));
}

/// The text of an API token, and the file that they are kept in.
#[cfg(feature = "api-tokens")]
pub fn api_token(bytes: &[u8]) {
    crate::api_tokens::fuzz(&text(bytes));
}

/// A file of revocations.
pub fn revocations(bytes: &[u8]) {
    revocation::fuzz(&text(bytes));
}

/// A file of people, and one of rules about who may act as whom.
pub fn people(bytes: &[u8]) {
    impersonation::fuzz(&text(bytes));
}

/// A certificate in DER, and files of authorities and of revoked certificates.
#[cfg(feature = "client-certificates")]
pub fn certificate(bytes: &[u8]) {
    crate::client_certificates::fuzz(bytes);
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
