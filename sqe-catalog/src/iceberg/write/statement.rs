//! One INSERT or CREATE TABLE AS, from its first row to its commit.

use std::{collections::HashMap, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use iceberg::spec::TableMetadata;
use object_store::ObjectStore;
use parking_lot::Mutex;
use sqe_core::{Error, QueryId, Result, catalog::TableWrite};

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

/// Whose the written files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// This statement's, which removes them unless it commits.
    Open,
    /// The commit's, or nobody's any more.
    Settled,
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

/// The writable store of a statement's lease.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    /// The store itself, for the commit.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The URL under which the query's registry holds it, for the machines that write.
    pub(crate) url: String,
}

impl IcebergWrite {
    /// Rows for a table with this metadata. Whoever calls this saw the grant for it.
    ///
    /// # Errors
    /// As [`WriteSpec::try_new`].
    pub(crate) fn append(
        metadata: TableMetadata,
        client: Arc<dyn CommitClient>,
        destination: Destination,
        query: QueryId,
    ) -> Result<Self> {
        Self::new(Target::Append, metadata, client, destination, query)
    }

    /// Rows for a table that this metadata describes and that the commit creates. Whoever calls this saw the grant for it.
    ///
    /// # Errors
    /// As [`WriteSpec::try_new`].
    pub(crate) fn create(
        metadata: TableMetadata,
        client: Arc<dyn CommitClient>,
        destination: Destination,
        query: QueryId,
    ) -> Result<Self> {
        Self::new(Target::Create, metadata, client, destination, query)
    }

    fn new(
        target: Target,
        metadata: TableMetadata,
        client: Arc<dyn CommitClient>,
        Destination { store, url }: Destination,
        query: QueryId,
    ) -> Result<Self> {
        let spec = WriteSpec::try_new(&metadata, &url)?;
        let schema = spec.arrow_schema()?;
        let summary = HashMap::from([
            ("engine-name".to_owned(), "sqe".to_owned()),
            ("engine-version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("sqe.query-id".to_owned(), query.to_string()),
        ]);
        Ok(Self { target, metadata, spec, schema, store, client, summary, fate: Mutex::new(Fate::Open) })
    }

    #[cfg(test)]
    pub(crate) fn spec(&self) -> &WriteSpec {
        &self.spec
    }

    async fn try_commit(&self, append_files: Append) -> Result<(), CommitFailure> {
        let io = file_io(Arc::clone(&self.store));
        match self.target {
            Target::Append if append_files.files.is_empty() => Ok(()),
            Target::Append => append(self.client.as_ref(), &io, append_files).await,
            Target::Create => create(self.client.as_ref(), &io, self.metadata.clone(), Some(append_files)).await,
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
        if std::mem::replace(&mut *self.fate.lock(), Fate::Settled) == Fate::Settled {
            return Err(Error::internal("this write was committed or given up before"));
        }
        let change =
            Append { written_for: self.metadata.clone(), id: self.spec.id, files, summary: self.summary.clone() };
        match self.try_commit(change).await {
            Ok(()) => Ok(rows),
            Err(failure) => {
                if failure.certain {
                    self.spec.remove_files(&self.store).await;
                }
                Err(failure.error)
            }
        }
    }

    async fn abort(&self, _staged: Vec<RecordBatch>) {
        if std::mem::replace(&mut *self.fate.lock(), Fate::Settled) == Fate::Open {
            self.spec.remove_files(&self.store).await;
        }
    }
}

/// A statement that was stopped or whose client went away is neither committed nor aborted.
impl Drop for IcebergWrite {
    fn drop(&mut self) {
        if *self.fate.get_mut() == Fate::Settled {
            return;
        }
        let (spec, store) = (self.spec.clone(), Arc::clone(&self.store));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { spec.remove_files(&store).await });
        }
    }
}
