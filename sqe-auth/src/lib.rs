#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod chain;
#[cfg(feature = "dev-issuer")]
mod dev;
mod jwt;
mod keys;
mod rejection;
mod self_test;

pub use chain::Chain;
#[cfg(feature = "dev-issuer")]
pub use dev::{DevIssuer, DevPerson};
pub use jwt::{JwtVerifier, JwtVerifierBuilder, TokenType};
#[cfg(feature = "jwks")]
pub use keys::JwksSettings;
pub use keys::{KeyFamily, KeySet};
pub use rejection::NOT_ACCEPTED;
pub use self_test::self_test;

/// The issuer of development tokens, `DevIssuer` of feature `dev-issuer`. It vouches for nobody: whoever can read its
/// key file is everybody. A production profile refuses a verifier of it, see [`JwtVerifier::is_development`].
pub const DEVELOPMENT_ISSUER: &str = "urn:sqe:development";
