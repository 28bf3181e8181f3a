//! One INSERT or CREATE TABLE AS, from its first row to its commit.

use std::{collections::HashMap, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use iceberg::spec::TableMetadata;
use object_store::ObjectStore;
use parking_lot::Mutex;
use sqe_core::{
    Error, Result,
    catalog::{StoreRef, TableWrite},
    govern::WriteGrant,
};

use super::WriteSpec;
use crate::iceberg::{
    commit::{Append, CommitClient, CommitFailure, append, create},
    io::file_io,
};

/// Where the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Append,
    Create,
}

/// How far the commit got. Files may be removed only as long as it is certain that no snapshot refers to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Kept,
}

/// One statement's write to an Iceberg table.
#[derive(Debug)]
pub struct IcebergWrite {
    target: Target,
    metadata: TableMetadata,
    spec: WriteSpec,
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    client: Arc<dyn CommitClient>,
    summary: HashMap<String, String>,
    fate: Mutex<Fate>,
}

impl IcebergWrite {
    /// Rows for a table with this metadata.
    ///
    /// # Errors
    /// As [`WriteSpec::try_new`].
    pub fn append(
        metadata: TableMetadata,
        client: Arc<dyn CommitClient>,
        store: &StoreRef,
        grant: &WriteGrant,
    ) -> Result<Self> {
        Self::new(Target::Append, metadata, client, store, grant)
    }

    /// Rows for a table that this metadata describes and that the commit creates.
    ///
    /// # Errors
    /// As [`WriteSpec::try_new`].
    pub fn create(
        metadata: TableMetadata,
        client: Arc<dyn CommitClient>,
        store: &StoreRef,
        grant: &WriteGrant,
    ) -> Result<Self> {
        Self::new(Target::Create, metadata, client, store, grant)
    }

    fn new(
        target: Target,
        metadata: TableMetadata,
        client: Arc<dyn CommitClient>,
        store: &StoreRef,
        grant: &WriteGrant,
    ) -> Result<Self> {
        let spec = WriteSpec::try_new(&metadata, store.url.as_str())?;
        let schema = spec.arrow_schema()?;
        let summary = HashMap::from([
            ("engine-name".to_owned(), "sqe".to_owned()),
            ("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("sqe.query-id".to_owned(), grant.query().to_string()),
        ]);
        let (store, fate) = (Arc::clone(&store.store), Mutex::new(Fate::Open));
        Ok(Self { target, metadata, spec, schema, store, client, summary, fate })
    }

    async fn try_commit(&self, append_files: Append) -> Result<(), CommitFailure> {
        let io = file_io(Arc::clone(&self.store));
        match self.target {
            Target::Append if append_files.files.is_empty() => Ok(()),
            Target::Append => append(self.client.as_ref(), &io, append_files).await,
            Target::Create => {
                create(self.client.as_ref(), &io, self.metadata.clone(), Some(append_files)).await
            }
        }
    }
}

#[async_trait]
impl TableWrite for IcebergWrite {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn sink(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        self.spec.sink(input)
    }

    async fn commit(&self, staged: Vec<RecordBatch>) -> Result<u64> {
        let files = self.spec.data_files(&staged)?;
        let rows = files.iter().map(|file| file.record_count()).sum();
        // INVARIANT: from here on files stay unless it is certain that the commit is not in effect; a caller that goes
        // away in the middle leaves it open, which is not certain.
        if std::mem::replace(&mut *self.fate.lock(), Fate::Kept) == Fate::Kept {
            return Err(Error::internal("this write was committed before"));
        }
        let change = Append {
            written_for: self.metadata.clone(),
            id: self.spec.id,
            files,
            summary: self.summary.clone(),
        };
        match self.try_commit(change).await {
            Ok(()) => Ok(rows),
            Err(failure) => {
                if failure.certain {
                    *self.fate.lock() = Fate::Open;
                }
                Err(failure.error)
            }
        }
    }

    async fn abort(&self, _staged: Vec<RecordBatch>) {
        if *self.fate.lock() == Fate::Open {
            self.spec.remove_files(&self.store).await;
        }
    }
}
