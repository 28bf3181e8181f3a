//! The catalog as one person's session uses it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use sqe_core::{
    Error, Principal, Result, TableName,
    catalog::{
        CatalogChange, CatalogSession, CatalogTable, NewTable, ScanRequest, TableWrite, WriteRequest, WriteTarget,
    },
    govern::WriteGrant,
};

use super::{
    MemoryCatalog,
    table::{MemoryTable, numbered},
    write::{MemoryWrite, Rows},
};

#[derive(Debug)]
pub(super) struct MemorySession {
    tables: MemoryCatalog,
    catalog: String,
    principal: Principal,
}

impl MemorySession {
    pub(super) fn new(tables: MemoryCatalog, catalog: &str, principal: Principal) -> Self {
        Self { tables, catalog: catalog.to_owned(), principal }
    }

    fn find(&self, name: &TableName) -> Result<Arc<dyn CatalogTable>> {
        let missing = || Error::not_found(format!("table {name} does not exist"));
        let schemas = self.tables.schemas.read();
        let tables = schemas.of(&name.schema).map_err(|_| missing())?;
        let table = tables.get(&name.table).ok_or_else(missing)?;
        Ok(Arc::new(table.of_catalog(&self.catalog)))
    }

    fn own(&self, grant: &WriteGrant) -> Result<()> {
        match grant.principal() == &self.principal {
            true => Ok(()),
            false => Err(Error::internal("a change was to be made with somebody else's grant")),
        }
    }

    pub(super) fn begin_write(&self, target: &WriteTarget) -> Result<MemoryWrite> {
        let (schema, rows) = match target {
            WriteTarget::Append(table) => (table.schema(), Rows::Append(table.facts().id.clone())),
            WriteTarget::Create(new) => {
                let schema = columns(new)?;
                if self.find(&new.name).is_ok() {
                    return Err(Error::already_exists(format!("table {} exists already", new.name)));
                }
                self.tables.schemas.read().of(&new.name.schema)?;
                (schema, Rows::Create { name: new.name.clone(), owner: new.owner.clone() })
            }
            WriteTarget::Replace(old, new) => {
                let id = old.facts().id.clone();
                if id.name != new.name {
                    return Err(Error::internal("a table was to be replaced by one of another name"));
                }
                let memory = old.as_any().downcast_ref::<MemoryTable>();
                let snapshot = memory.ok_or_else(|| Error::internal("the table is another catalog's"))?.snapshot();
                (columns(new)?, Rows::Replace { id, snapshot, owner: new.owner.clone() })
            }
            _ => return Err(Error::unsupported("this kind of write is not offered")),
        };
        Ok(MemoryWrite { tables: self.tables.clone(), schema, rows })
    }

    pub(super) fn apply(&self, change: CatalogChange) -> Result<()> {
        match change {
            CatalogChange::CreateSchema { schema, owner: _ } => self.tables.create_schema(schema),
            CatalogChange::DropSchema { schema } => {
                let mut schemas = self.tables.schemas.write();
                if !schemas.of(&schema)?.is_empty() {
                    return Err(Error::conflict(format!("schema {schema} still holds tables; drop them first")));
                }
                schemas.0.remove(&schema);
                Ok(())
            }
            CatalogChange::CreateTable(new) => {
                let schema = columns(&new)?;
                self.tables.add(&new.name.schema, new.name.table, schema, Vec::new(), Some(new.owner))
            }
            CatalogChange::DropTable { table } => self.tables.remove(&table, false),
            CatalogChange::CreateView(new) => self.tables.add_view(&new),
            CatalogChange::ReplaceView(old, new) => {
                let old = old.as_any().downcast_ref::<MemoryTable>();
                self.tables.replace_view(old.ok_or_else(|| Error::internal("the view is another catalog's"))?, &new)
            }
            CatalogChange::DropView { view } => self.tables.remove(&view, true),
            _ => Err(Error::unsupported("this kind of change is not offered")),
        }
    }
}

/// The columns of a new table.
fn columns(new: &NewTable) -> Result<SchemaRef> {
    if !new.partitioning.is_empty() {
        return Err(Error::unsupported("tables in memory are not partitioned"));
    }
    if new.schema.fields().is_empty() {
        return Err(Error::invalid("a table needs at least one column"));
    }
    Ok(numbered(&new.schema))
}

#[async_trait]
impl CatalogSession for MemorySession {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(self.tables.schemas.read().0.keys().cloned().collect())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        let schemas = self.tables.schemas.read();
        Ok(schemas.of(schema)?.keys().map(|table| TableName::new(&self.catalog, schema, table)).collect())
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        names.iter().map(|name| self.find(name)).collect()
    }

    async fn scan(&self, request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let grant = request.grant;
        if grant.principal() != &self.principal || grant.table() != &request.table.facts().id {
            return Err(Error::internal("a table was to be read with another grant"));
        }
        let table = request.table.as_any().downcast_ref::<MemoryTable>();
        let table = table.ok_or_else(|| Error::internal("the table is another catalog's"))?;
        table.plan(request.state.config().target_partitions(), request.projection)
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn begin(&self, request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        self.own(request.grant)?;
        Ok(Arc::new(self.begin_write(&request.target)?))
    }

    async fn change(&self, change: CatalogChange, grant: &WriteGrant) -> Result<()> {
        self.own(grant)?;
        self.apply(change)
    }
}
