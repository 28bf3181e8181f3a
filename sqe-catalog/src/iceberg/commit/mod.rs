//! Commits: data files become a snapshot, and the snapshot the table's current one, all or nothing.
//!
//! What differs between catalogs is a [`CommitClient`]; what is the same is here: building manifests on top of the
//! present state, trying again on top of a newer one, and never touching a file while it is not known what became of a
//! commit.

mod append;
mod snapshot;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use iceberg::{TableRequirement, TableUpdate, spec::TableMetadata};
use sqe_core::{Error, Result};

pub use append::{Append, CommitFailure, append, create};

/// A table's state that a change is built on.
#[derive(Debug, Clone)]
pub struct Base {
    /// Its metadata.
    pub metadata: Arc<TableMetadata>,
    /// Where the metadata file is.
    pub location: String,
}

/// A change of one table's metadata.
#[derive(Debug)]
#[non_exhaustive]
pub struct Change {
    /// What must still be true of the table (REST catalog specification, `CommitTableRequest`).
    pub requirements: Vec<TableRequirement>,
    /// What is changed.
    pub updates: Vec<TableUpdate>,
    /// The base with the updates applied.
    pub metadata: TableMetadata,
}

/// What became of a change.
#[derive(Debug)]
pub enum Outcome {
    /// It is in effect.
    Committed,
    /// It is not: the table is no longer in the state that the change was built on.
    Conflict,
    /// Nobody knows: the catalog did not answer. The files of the change must stay.
    Unknown(Error),
}

/// How one table of a catalog is committed to.
#[async_trait]
pub trait CommitClient: fmt::Debug + Send + Sync + 'static {
    /// The table's present state.
    ///
    /// # Errors
    /// `NotFound` if the table is gone, `Unavailable`.
    async fn load(&self) -> Result<Base>;

    /// Puts `change` into effect if the table is still in the state `base`; without a base, if there is no such table.
    ///
    /// # Errors
    /// Only for changes that are certainly not in effect; `AlreadyExists` if a table to be created exists.
    async fn commit(&self, base: Option<&Base>, change: Change) -> Result<Outcome>;
}

#[cfg(test)]
mod tests;
