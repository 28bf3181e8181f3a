//! Views in the catalog's file: an entry like a table's, of the kind `VIEW`, that names a file of view metadata.

use std::sync::Arc;

use bytes::Bytes;
use iceberg::spec::ViewMetadata;
use object_store::ObjectStore;
use sqe_core::{
    Error, Result, TableName,
    catalog::{CatalogTable, NewView},
    credentials::Operation,
};
use uuid::Uuid;

use super::{
    commit::unread,
    database::{InsertError, Kind},
    session::SqlSession,
};
use crate::iceberg::{
    IcebergView,
    error::from_iceberg,
    io::file_io,
    table::{folder_url, table_folder},
    view::{new_view, replaced_view},
};

/// Reads and understands a view's metadata file; fails as a table's does.
pub(super) async fn read(store: &Arc<dyn ObjectStore>, location: &str) -> Result<ViewMetadata> {
    let what = "read the view's metadata";
    let file = file_io(Arc::clone(store)).new_input(location).map_err(|error| from_iceberg(error, what))?;
    let error = match file.read().await {
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => Error::internal("the view's metadata file is damaged").with_source(error),
        },
        Err(error) => from_iceberg(error, what),
    };
    Err(unread(error, store, location).await)
}

pub(super) fn iceberg_view(view: &Arc<dyn CatalogTable>) -> Result<&IcebergView> {
    let found = view.as_any().downcast_ref::<IcebergView>();
    found.ok_or_else(|| Error::conflict("the view was replaced by a table of the same name; try again"))
}

impl SqlSession {
    pub(super) async fn create_view(&self, new: &NewView) -> Result<()> {
        let location = self.new_location(&new.name)?;
        let metadata = new_view(new, &location)?;
        self.refuse_existing(&new.name).await?;
        let (schema, view) = (&new.name.schema, &new.name.table);
        self.commit(&new.name, &location, &metadata, async |next: &str| {
            match self.entries.insert(Kind::View, schema, view, next).await {
                Ok(()) => Ok(()),
                Err(InsertError::Exists) => {
                    Err(Failure::Certain(Error::already_exists(format!("table {} exists already", new.name))))
                }
                Err(InsertError::NoSchema) => Err(Failure::Certain(Error::not_found(format!(
                    "schema {}.{schema} does not exist",
                    new.name.catalog
                )))),
                Err(InsertError::Failed(error)) => Err(Failure::Open(error)),
            }
        })
        .await
    }

    /// Swaps the entry, if it is still the one that was loaded.
    pub(super) async fn replace_view(&self, old: &Arc<dyn CatalogTable>, new: &NewView) -> Result<()> {
        let old = iceberg_view(old)?;
        if old.facts().id.name != new.name {
            return Err(Error::internal("a view was to be replaced by one of another name"));
        }
        let metadata = replaced_view(old.metadata(), new)?;
        let folder = table_folder(old.metadata_location())?;
        let (schema, view, base) = (&new.name.schema, &new.name.table, old.metadata_location());
        self.commit(&new.name, folder.trim_end_matches('/'), &metadata, async |next: &str| {
            match self.entries.swap(Kind::View, schema, view, base, next).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(Failure::Certain(Error::conflict(
                    "the view changed while another was to take its place; try again",
                ))),
                Err(error) => Err(Failure::Open(error)),
            }
        })
        .await
    }

    /// Writes a metadata file and makes it the view's.
    async fn commit(
        &self,
        name: &TableName,
        folder: &str,
        metadata: &ViewMetadata,
        enter: impl AsyncFnOnce(&str) -> Result<(), Failure>,
    ) -> Result<()> {
        let text = serde_json::to_vec(metadata)
            .map_err(|error| Error::internal("the view's metadata cannot be written").with_source(error))?;
        let next = format!("{folder}/metadata/{:05}-{}.metadata.json", metadata.current_version_id(), Uuid::new_v4());
        let io = file_io(self.store(name, &[folder_url(folder)], Operation::Write).await?);
        let file = io.new_output(&next).map_err(|error| from_iceberg(error, "write the view's metadata"))?;
        file.write(Bytes::from(text)).await.map_err(|error| from_iceberg(error, "write the view's metadata"))?;
        let error = match enter(&next).await {
            Ok(()) => return Ok(()),
            Err(Failure::Certain(error)) => error,
            Err(Failure::Open(error)) => match self.entries.location(&name.schema, &name.table).await {
                Ok(Some(now)) if now == next => return Ok(()),
                // A statement that failed was rolled back: SQLite leaves nothing under way.
                Ok(_) => error,
                // The file stays: it may be the view's.
                Err(_) => return Err(error),
            },
        };
        if let Err(error) = io.delete(&next).await {
            tracing::warn!(%error, location = %next, "the metadata file of a lost commit was left behind");
        }
        Err(error)
    }
}

/// Why an entry was not made: for certain, or with an outcome that has to be looked for.
enum Failure {
    Certain(Error),
    Open(Error),
}
