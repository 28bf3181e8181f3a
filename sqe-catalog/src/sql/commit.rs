//! Commits to one table of the catalog: a complete metadata file first, then one compare-and-swap of its entry.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use iceberg::{MetadataLocation, spec::TableMetadata};
use object_store::ObjectStore;
use sqe_core::{Error, ErrorKind, Result, TableName};

use super::database::{Entries, InsertError};
use crate::iceberg::{
    commit::{Base, Change, CommitClient, Outcome},
    error::from_iceberg,
    io::file_io,
};

/// One table's entry, with a store that reaches the table's files.
pub(super) struct SqlTable {
    pub(super) entries: Entries,
    pub(super) name: TableName,
    pub(super) store: Arc<dyn ObjectStore>,
}

impl fmt::Debug for SqlTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlTable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads and understands a metadata file. One that is missing or broken is `Unavailable`: there is a table, and nobody
/// can say what is in it.
pub(super) async fn read_metadata(store: &Arc<dyn ObjectStore>, location: &str) -> Result<TableMetadata> {
    let what = "read the table's metadata";
    let io = file_io(Arc::clone(store));
    let read = TableMetadata::read_from(&io, location).await;
    read.map_err(|error| match from_iceberg(error, what) {
        denied if denied.kind() == ErrorKind::PermissionDenied => denied,
        unsupported if unsupported.kind() == ErrorKind::Unsupported => unsupported,
        other => Error::unavailable("the table's metadata file is missing or cannot be understood").with_source(other),
    })
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
        match base {
            Some(base) => match self.entries.swap(schema, table, base, next).await {
                Ok(true) => Ok(Outcome::Committed),
                Ok(false) => Ok(Outcome::Conflict),
                Err(error) => self.settled(next, error).await,
            },
            None => match self.entries.insert(schema, table, next).await {
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
