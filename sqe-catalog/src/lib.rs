#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod iceberg;
pub mod memory;
pub mod sql;
pub mod store;
pub mod vend;

pub use memory::MemoryCatalog;
pub use sql::{SqlCatalog, SqlOptions};
pub use store::Stores;
pub use vend::LocalVendor;
