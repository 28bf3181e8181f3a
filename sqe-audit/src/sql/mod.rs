//! The trail as read-only SQL tables.

mod access;
mod columns;
mod events;
mod extent;
mod range;
mod scan;
mod table;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use parking_lot::Mutex;
use sqe_core::{
    Error, Result, TableName,
    catalog::{
        CatalogChange, CatalogProvider, CatalogSession, CatalogTable, OpenRequest, ScanRequest, TableWrite,
        WriteRequest, WriteTarget,
    },
    govern::WriteGrant,
};

use self::{
    extent::Source,
    table::{AuditTable, View},
};
use crate::trail::Position;

/// The schema of all tables.
const SCHEMA: &str = "audit";

/// The audit trail as a read-only catalog: schema `audit` with the tables `access` (one row a query and table) and
/// `events` (one row a record). Registered as `system` its main table is `system.audit.access`.
///
/// It shows everything to everybody: who may read it is the policy engine's to decide, as for any table. It reads what
/// the files say and proves nothing; that is what [`verify`](crate::verify()) does.
///
/// A query sees the trail as it was when the query was planned, and streams it from the segment files. A condition on
/// `time` skips segments.
#[derive(Debug, Clone)]
pub struct AuditCatalog {
    sources: Vec<Source>,
}

impl AuditCatalog {
    /// The trail in `dir`, which this process does not write.
    pub fn of_folder(dir: impl Into<PathBuf>) -> Self {
        Self { sources: vec![Source::folder(dir.into())] }
    }

    pub(crate) fn live(dir: PathBuf, position: Arc<Mutex<Position>>) -> Self {
        Self { sources: vec![Source::live(dir, position)] }
    }

    /// Adds the trail of another process. The column `chain` tells rows apart.
    #[must_use]
    pub fn and_folder(mut self, dir: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::folder(dir.into()));
        self
    }

    /// The folders that it reads.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().map(Source::dir)
    }

    /// All of the trail's tables as they are now. Blocks while it lists folders.
    fn load(&self, catalog: &str, view: View) -> Result<AuditTable> {
        let extents: Result<Vec<_>> = self.sources.iter().map(Source::extent).collect();
        Ok(AuditTable::new(TableName::new(catalog, SCHEMA, view.name()), view, extents?))
    }
}

#[async_trait]
impl CatalogProvider for AuditCatalog {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        Ok(Arc::new(AuditSession { catalog: request.catalog.to_owned(), trail: self.clone() }))
    }

    /// None: segment files are on this machine.
    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None
    }
}

#[derive(Debug)]
struct AuditSession {
    catalog: String,
    trail: AuditCatalog,
}

impl AuditSession {
    fn view(&self, name: &TableName) -> Result<View> {
        let view = View::ALL.into_iter().find(|view| view.name() == name.table);
        view.filter(|_| name.catalog == self.catalog && name.schema == SCHEMA)
            .ok_or_else(|| Error::not_found(format!("there is no table {name}")))
    }
}

fn read_only() -> Error {
    Error::unsupported("the audit trail is read-only: only the engine adds to it, and nobody removes from it")
}

#[async_trait]
impl CatalogSession for AuditSession {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        if schema != SCHEMA {
            return Err(Error::not_found(format!("there is no schema {}.{schema}", self.catalog)));
        }
        Ok(View::ALL.into_iter().map(|view| TableName::new(&*self.catalog, SCHEMA, view.name())).collect())
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        let mut tables = Vec::with_capacity(names.len());
        for name in names {
            tables.push(match self.view(name) {
                Err(error) => Err(error),
                Ok(view) => {
                    let (trail, catalog) = (self.trail.clone(), self.catalog.clone());
                    let loaded = tokio::task::spawn_blocking(move || trail.load(&catalog, view)).await;
                    match loaded {
                        Ok(table) => table.map(|table| Arc::new(table) as Arc<dyn CatalogTable>),
                        Err(error) => Err(Error::internal("reading the audit trail failed").with_source(error)),
                    }
                }
            });
        }
        tables
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let table = request.table.as_any().downcast_ref::<AuditTable>();
        let table = table.filter(|table| table.facts().id == *request.grant.table()).ok_or_else(|| {
            Error::internal("a scan of the audit trail was asked for with a table or a grant of something else")
        })?;
        let partitions = request.state.config().target_partitions();
        let (table, projection) = (table.clone(), request.projection.map(<[usize]>::to_vec));
        let (filters, limit) = (request.filters.to_vec(), request.limit);
        // Choosing segments reads the first line of each.
        tokio::task::spawn_blocking(move || scan::plan(&table, projection.as_deref(), &filters, limit, partitions))
            .await
            .map_err(|error| Error::internal("reading the audit trail failed").with_source(error))?
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        Err(read_only())
    }

    async fn begin(&self, _request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        Err(read_only())
    }

    async fn change(&self, _change: CatalogChange, _grant: &WriteGrant) -> Result<()> {
        Err(read_only())
    }
}
