#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod bind;
pub mod client;
mod edge;
mod incoming;
mod metadata;
pub mod protocol;
mod server;
mod service;
mod session;
mod settings;
mod status;
pub mod tls;
mod token;
mod trace;
mod whole;

pub use incoming::{Connection, ConnectionLimits, Incoming, Peer, incoming};
pub use server::{FlightSqlServer, transport};
pub use settings::Settings;
pub use trace::{TraceLayer, Traced};
pub use whole::FlightSqlService;
