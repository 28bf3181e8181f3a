//! Apache Iceberg tables: their metadata, planned scans, writes and commits. Which catalog they come from does not
//! matter here.

pub mod codec;
pub mod commit;
pub mod definition;
pub mod io;
pub mod plan;
pub mod scan;
pub mod schema;
pub mod table;
pub mod write;

pub(crate) mod error;

pub use table::IcebergTable;
