#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod bind;
pub mod client;
mod edge;
mod metadata;
pub mod protocol;
mod server;
mod service;
mod session;
mod settings;
mod status;
mod token;
mod trace;

pub use server::{FlightSqlServer, incoming};
pub use settings::Settings;
pub use trace::{TraceLayer, Traced};
