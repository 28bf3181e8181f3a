#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod audit;
pub mod credentials;
pub mod error;
pub mod identity;
pub mod names;
pub mod observe;
pub mod policy;
pub mod predicate;
pub mod secret;
pub mod trace;

#[cfg(feature = "engine")]
pub mod catalog;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "engine")]
pub mod govern;
#[cfg(feature = "engine")]
pub mod scheduler;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use error::{Error, ErrorKind, Result};
pub use identity::{CertificateChain, CredentialRef, Credentials, Identity, IdentityProvider, Principal, Verified};
pub use names::{Column, ColumnType, FieldId, QueryId, TableId, TableName};
pub use policy::{Access, Action, Decision, PolicyEngine, PolicyRequest, Resource};
pub use secret::Secret;

#[cfg(feature = "engine")]
pub use engine::{Engine, Session};
