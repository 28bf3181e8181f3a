//! Commits to one table of the catalog: a complete metadata file first, then one compare-and-swap of its entry.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use futures::StreamExt;
use iceberg::{MetadataLocation, spec::TableMetadata};
use object_store::{ObjectStore, ObjectStoreExt};
use sqe_core::{Error, ErrorKind, Result, TableName};

use super::database::{Entries, InsertError, Kind};
use crate::iceberg::{
    commit::{Base, Change, CommitClient, Outcome},
    error::from_iceberg,
    io::{file_io, store_path},
    table::table_folder,
};

/// One table's entry, with a store that reaches the table's files.
pub(super) struct SqlTable {
    pub(super) entries: Entries,
    pub(super) name: TableName,
    pub(super) store: Arc<dyn ObjectStore>,
    /// The metadata file of the table whose place a new one takes.
    pub(super) replaces: Option<String>,
}

impl fmt::Debug for SqlTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads and understands a table's metadata file. A storage that does not answer is `Unavailable`; a file that was read and
/// says nothing that can be understood is `Internal`: this table is broken, and no other.
///
/// A file that is not there is `Internal` if other files of the table are, and otherwise `Unavailable`: a storage that is
/// not mounted looks like that too.
pub(super) async fn read_metadata(store: &Arc<dyn ObjectStore>, location: &str) -> Result<TableMetadata> {
    let read = TableMetadata::read_from(&file_io(Arc::clone(store)), location).await;
    match read.map_err(|error| from_iceberg(error, "read the table's metadata")) {
        Ok(metadata) => Ok(metadata),
        Err(error) => Err(unread(error, store, location).await),
    }
}

/// Why the metadata file of a table or a view was not read, as [`read_metadata`] tells it.
pub(super) async fn unread(error: Error, store: &Arc<dyn ObjectStore>, location: &str) -> Error {
    match error.kind() {
        ErrorKind::Unavailable if is_missing_alone(store, location).await => {
            Error::internal("the table's metadata file is missing; repair the table or the catalog's entry of it")
                .with_source(error)
        }
        ErrorKind::Internal => {
            Error::internal("the table's metadata file cannot be understood; repair the table").with_source(error)
        }
        _ => error,
    }
}

/// Whether a metadata file is not there, and other files of its table are.
async fn is_missing_alone(store: &Arc<dyn ObjectStore>, location: &str) -> bool {
    let (Ok(file), Ok(folder)) = (store_path(location), table_folder(location)) else { return false };
    let Ok(folder) = store_path(&folder) else { return false };
    matches!(store.head(&file).await, Err(object_store::Error::NotFound { .. }))
        && matches!(store.list(Some(&folder)).next().await, Some(Ok(_)))
}

impl SqlTable {
    fn next_location(metadata: &TableMetadata, base: Option<&str>) -> MetadataLocation {
        match base.map(MetadataLocation::from_str) {
            Some(Ok(base)) => base.with_next_version().with_new_metadata(metadata),
            // Another naming, such as `v3.metadata.json`: its own numbers end here.
            _ => MetadataLocation::new_with_metadata(metadata.location().trim_end_matches('/'), metadata),
        }
    }

    async fn settled(&self, next: &str, error: Error) -> Result<Outcome> {
        match self.entries.location(&self.name.schema, &self.name.table).await {
            Ok(Some(now)) if now == next => Ok(Outcome::Committed),
            // A statement that failed was rolled back: SQLite leaves nothing under way.
            Ok(_) => Err(error),
            Err(_) => Ok(Outcome::Unknown(error)),
        }
    }

    async fn swap(&self, base: Option<&str>, next: &str) -> Result<Outcome> {
        let (schema, table) = (&self.name.schema, &self.name.table);
        match (base, &self.replaces) {
            (Some(base), _) => match self.entries.swap(Kind::Table, schema, table, base, next).await {
                Ok(true) => Ok(Outcome::Committed),
                Ok(false) => Ok(Outcome::Conflict),
                Err(error) => self.settled(next, error).await,
            },
            (None, Some(old)) => match self.entries.swap(Kind::Table, schema, table, old, next).await {
                Ok(true) => Ok(Outcome::Committed),
                Ok(false) => Err(Error::conflict("the table changed while another was to take its place; try again")),
                Err(error) => self.settled(next, error).await,
            },
            (None, None) => match self.entries.insert(Kind::Table, schema, table, next).await {
                Ok(()) => Ok(Outcome::Committed),
                Err(InsertError::Exists) => Err(Error::already_exists(format!("table {} exists already", self.name))),
                Err(InsertError::NoSchema) => {
                    Err(Error::not_found(format!("schema {}.{schema} does not exist", self.name.catalog)))
                }
                Err(InsertError::Failed(error)) => self.settled(next, error).await,
            },
        }
    }
}

#[async_trait]
impl CommitClient for SqlTable {
    async fn load(&self) -> Result<Base> {
        let found = self.entries.location(&self.name.schema, &self.name.table).await?;
        let location = found.ok_or_else(|| Error::not_found(format!("table {} does not exist", self.name)))?;
        let metadata = read_metadata(&self.store, &location).await?;
        Ok(Base::new(Arc::new(metadata), location))
    }

    async fn commit(&self, base: Option<&Base>, change: Change) -> Result<Outcome> {
        for requirement in &change.requirements {
            if requirement.check(base.map(|base| base.metadata.as_ref())).is_err() {
                return Ok(Outcome::Conflict);
            }
        }
        let base = base.map(|base| base.location.as_str());
        let location = Self::next_location(&change.metadata, base);
        let io = file_io(Arc::clone(&self.store));
        let written = change.metadata.write_to(&io, &location).await;
        written.map_err(|error| from_iceberg(error, "write the table's metadata"))?;
        let next = location.to_string();
        let outcome = self.swap(base, &next).await;
        // Not in effect for certain: nobody ever reads this file.
        if matches!(outcome, Ok(Outcome::Conflict) | Err(_))
            && let Err(error) = io.delete(&next).await
        {
            tracing::warn!(%error, location = %next, "the metadata file of a lost commit was left behind");
        }
        outcome
    }
}
