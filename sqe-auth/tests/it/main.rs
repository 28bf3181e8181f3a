//! Integration tests of `sqe-auth`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bearer;
mod chain;
#[cfg(feature = "dev-issuer")]
mod dev;
mod forge;
#[cfg(feature = "jwks")]
mod jwks;
mod kit;
mod proofs;
mod provider;
mod tokens;
