#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod export;
mod follow;
mod hash;
mod memory;
pub mod ocsf;
#[cfg(feature = "otlp")]
#[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
pub mod otlp;
mod read;
mod record;
mod segment;
mod trail;
mod verify;

#[cfg(feature = "sql")]
mod sql;

pub use export::{Bookmark, Destination, Exported, Exporter};
pub use follow::{Followed, Follower};
pub use hash::{Hash, Head};
pub use memory::MemoryTrail;
pub use read::{Entry, Records};
pub use record::{Bounds, OpenIntent, Record, SegmentHeader, Torn};
pub use trail::{Trail, TrailOptions};
pub use verify::{Fault, FaultKind, Report, verify};

#[cfg(feature = "sql")]
pub use sql::AuditCatalog;
