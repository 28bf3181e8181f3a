#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod chain;
mod claims;
#[cfg(feature = "dev-issuer")]
mod dev;
#[cfg(feature = "jwks")]
mod discovery;
mod json;
mod jwt;
mod keys;
#[cfg(feature = "oauth")]
mod oauth;
mod rejection;
#[cfg(feature = "jwks")]
mod remote;
mod self_test;

pub use chain::Chain;
pub use claims::ClaimMapping;
#[cfg(feature = "dev-issuer")]
pub use dev::{DevIssuer, DevPerson};
#[cfg(feature = "jwks")]
pub use discovery::{Discovery, DiscoverySettings, ProviderMetadata, WellKnown};
pub use jwt::{JwtVerifier, JwtVerifierBuilder, TokenType};
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
pub use self_test::self_test;

/// The issuer of development tokens, `DevIssuer` of feature `dev-issuer`. It vouches for nobody: whoever can read its
/// key file is everybody. A production profile refuses a verifier of it, see [`JwtVerifier::is_development`].
pub const DEVELOPMENT_ISSUER: &str = "urn:sqe:development";
