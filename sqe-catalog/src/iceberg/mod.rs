//! Apache Iceberg tables: their metadata, planned scans, writes and commits; and views. Which catalog they come from does not
//! matter here.

pub mod codec;
pub mod commit;
pub mod definition;
pub mod io;
pub mod plan;
pub mod scan;
pub mod schema;
pub mod table;
pub mod view;
pub mod write;

pub(crate) mod error;

pub use table::IcebergTable;
pub use view::IcebergView;
