//! Integration tests of `sqe-auth`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bearer;
mod chain;
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
#[cfg(feature = "oauth")]
mod introspection;
#[cfg(feature = "jwks")]
mod jwks;
mod kit;
#[cfg(feature = "oauth")]
mod machines;
mod proofs;
mod provider;
#[cfg(feature = "oauth")]
mod rotation;
#[cfg(feature = "jwks")]
mod tls;
mod tokens;
