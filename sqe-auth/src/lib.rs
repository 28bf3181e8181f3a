#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

#[cfg(feature = "api-tokens")]
mod api_tokens;
mod chain;
mod claims;
#[cfg(feature = "client-certificates")]
mod client_certificates;
#[cfg(feature = "dev-issuer")]
mod dev;
#[cfg(feature = "jwks")]
mod discovery;
#[cfg(any(fuzzing, test))]
#[doc(hidden)]
pub mod fuzz;
mod impersonation;
mod json;
mod jwt;
mod keys;
mod names;
#[cfg(feature = "oauth")]
mod oauth;
mod operator_file;
mod people;
mod rejection;
#[cfg(feature = "jwks")]
mod remote;
mod revocation;
mod self_test;
mod withdrawn;

#[cfg(feature = "api-tokens")]
pub use api_tokens::{ApiToken, ApiTokenSettings, ApiTokens, NewApiToken, TokenFile};
pub use chain::Chain;
pub use claims::ClaimMapping;
#[cfg(feature = "client-certificates")]
pub use client_certificates::{CertificateSubject, ClientCertificateSettings, ClientCertificates};
#[cfg(feature = "dev-issuer")]
pub use dev::{DevIssuer, DevPerson};
#[cfg(feature = "jwks")]
pub use discovery::{Discovery, DiscoverySettings, ProviderMetadata, WellKnown};
pub use impersonation::{Impersonation, MAY_NOT_ACT};
pub use jwt::{JwtVerifier, JwtVerifierBuilder, Logout, LogoutVerifier, TokenType};
#[cfg(feature = "jwks")]
pub use keys::JwksSettings;
pub use keys::{KeyFamily, KeySet};
#[cfg(feature = "oauth")]
pub use oauth::{
    ClientCredentials, ClientCredentialsBuilder, ClientIds, Endpoint, ExchangeSettings, ExchangeTarget, Introspection,
    IntrospectionBuilder, IntrospectionSettings, OAuthExchange, OAuthExchangeBuilder, OpaqueTokens,
};
pub use rejection::NOT_ACCEPTED;
#[cfg(feature = "oauth")]
pub use remote::OAuthClient;
#[cfg(feature = "jwks")]
pub use remote::RemoteSettings;
pub use revocation::{NotRevoked, Revocation, RevocationFile, Revocations, Revoked};
pub use self_test::self_test;
pub use withdrawn::Withdrawn;

/// The issuer of development tokens, `DevIssuer` of feature `dev-issuer`. It vouches for nobody: whoever can read its
/// key file is everybody. A production profile refuses a verifier of it, see [`JwtVerifier::is_development`].
pub const DEVELOPMENT_ISSUER: &str = "urn:sqe:development";
