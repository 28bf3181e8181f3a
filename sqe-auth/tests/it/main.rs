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
mod forge;
mod impersonation;
#[cfg(feature = "jwks")]
mod jwks;
mod kit;
mod logout;
mod proofs;
mod provider;
mod revocation;
mod tokens;
#[cfg(all(feature = "api-tokens", feature = "client-certificates"))]
mod uniform;
