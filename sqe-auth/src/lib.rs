#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(feature = "api-tokens")]
mod api_tokens;
mod chain;
#[cfg(feature = "client-certificates")]
mod client_certificates;
#[cfg(feature = "dev-issuer")]
mod dev;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzz;
mod impersonation;
mod jwt;
mod keys;
mod names;
mod operator_file;
mod people;
mod rejection;
mod revocation;
mod self_test;
mod withdrawn;

#[cfg(feature = "api-tokens")]
pub use api_tokens::{ApiToken, ApiTokenSettings, ApiTokens, NewApiToken, TokenFile};
pub use chain::Chain;
#[cfg(feature = "client-certificates")]
pub use client_certificates::{CertificateSubject, ClientCertificateSettings, ClientCertificates};
#[cfg(feature = "dev-issuer")]
pub use dev::{DevIssuer, DevPerson};
pub use impersonation::{Impersonation, MAY_NOT_ACT};
pub use jwt::{JwtVerifier, JwtVerifierBuilder, Logout, LogoutVerifier, TokenType};
#[cfg(feature = "jwks")]
pub use keys::JwksSettings;
pub use keys::{KeyFamily, KeySet};
pub use rejection::NOT_ACCEPTED;
pub use revocation::{NotRevoked, Revocation, RevocationFile, Revocations, Revoked};
pub use self_test::self_test;
pub use withdrawn::Withdrawn;

/// The issuer of development tokens, `DevIssuer` of feature `dev-issuer`. It vouches for nobody: whoever can read its
/// key file is everybody. A production profile refuses a verifier of it, see [`JwtVerifier::is_development`].
pub const DEVELOPMENT_ISSUER: &str = "urn:sqe:development";
