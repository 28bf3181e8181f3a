//! Integration tests of `sqe-auth`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[cfg(feature = "api-tokens")]
mod api_tokens;
#[cfg(feature = "client-certificates")]
mod authority;
mod bearer;
mod chain;
#[cfg(feature = "client-certificates")]
mod client_certificates;
#[cfg(feature = "dev-issuer")]
mod dev;
#[cfg(feature = "oauth")]
mod discovery;
#[cfg(feature = "oauth")]
mod exchange;
#[cfg(feature = "oauth")]
mod fake;
mod forge;
#[cfg(feature = "oauth")]
mod idp;
mod impersonation;
#[cfg(feature = "oauth")]
mod introspection;
#[cfg(feature = "jwks")]
mod jwks;
mod kit;
mod logout;
#[cfg(feature = "oauth")]
mod machines;
mod proofs;
mod provider;
mod revocation;
#[cfg(feature = "oauth")]
mod rotation;
#[cfg(feature = "jwks")]
mod tls;
mod tokens;
#[cfg(all(feature = "api-tokens", feature = "client-certificates"))]
mod uniform;
