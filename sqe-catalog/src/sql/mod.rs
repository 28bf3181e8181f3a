//! A catalog in an SQLite file, in the layout of PyIceberg's and Iceberg Java's SQL and JDBC catalogs, so that they open
//! the same file.
//!
//! The file says which tables there are and where each one's metadata file is; everything else of a table lies in the
//! storage and is reached through leases of the person who asks. The catalog file itself knows no persons: whoever may
//! see what is the engine's policy.

mod commit;
mod database;
mod names;
mod session;
mod views;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use sqe_core::{
    Error, Result,
    catalog::{CatalogProvider, CatalogSession, OpenRequest},
};

use crate::iceberg::{codec::IcebergCodec, io::store_path};
use database::Database;
use session::SqlSession;

/// Where an SQL catalog is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqlOptions {
    /// The SQLite file.
    pub file: PathBuf,
    /// The URL of the folder below which new tables get theirs, such as `file:///srv/warehouse`.
    pub warehouse: String,
    /// The name under which the file keeps this catalog's entries, PyIceberg's catalog name. `None`: the name that the
    /// engine calls it by.
    pub name: Option<String>,
    /// Create the file and its tables if they are missing. Otherwise a missing file is `Unavailable`.
    pub create: bool,
    /// How long to wait for another process that writes.
    pub busy_timeout: Duration,
}

impl SqlOptions {
    /// A catalog in `file`, which must exist.
    pub fn new(file: impl Into<PathBuf>, warehouse: impl Into<String>) -> Self {
        let busy_timeout = Duration::from_secs(10);
        Self { file: file.into(), warehouse: warehouse.into(), name: None, create: false, busy_timeout }
    }

    /// Creates the file if it is missing.
    #[must_use]
    pub fn create_if_missing(mut self) -> Self {
        self.create = true;
        self
    }

    /// Sets the name under which the file keeps this catalog's entries.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// An Iceberg catalog in an SQLite file, see the [module](self).
#[derive(Debug)]
pub struct SqlCatalog {
    database: Database,
    warehouse: String,
    name: Option<String>,
}

impl SqlCatalog {
    /// Opens the catalog's file. Several processes may have it open.
    ///
    /// # Errors
    /// `Unavailable` if the file is missing, locked or not a catalog; `InvalidInput` for a warehouse that is no URL.
    pub async fn open(options: SqlOptions) -> Result<Self> {
        let warehouse = options.warehouse.trim_end_matches('/').to_owned();
        store_path(&warehouse)?;
        if options.name.as_ref().is_some_and(String::is_empty) {
            return Err(Error::invalid("the name of a catalog must not be empty"));
        }
        let database = Database::open(&options).await?;
        Ok(Self { database, warehouse, name: options.name })
    }
}

#[async_trait]
impl CatalogProvider for SqlCatalog {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        let key = self.name.clone().unwrap_or_else(|| request.catalog.to_owned());
        let (rights, entries) = ((request.vendor, request.stores), self.database.entries(key));
        Ok(Arc::new(SqlSession::new(request.catalog, request.identity, rights, entries, &self.warehouse)))
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        Some(Arc::new(IcebergCodec::default()))
    }
}

#[cfg(test)]
mod tests;
