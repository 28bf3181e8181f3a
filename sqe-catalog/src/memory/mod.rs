//! Tables of record batches in this process, for tests and embedders: nothing is stored, nothing is leased.

mod session;
mod table;
mod write;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use parking_lot::RwLock;
use sqe_core::{
    Error, Principal, Result, TableId, TableName,
    catalog::{CatalogProvider, CatalogSession, CatalogTable, NewView, OpenRequest},
};

use session::MemorySession;
use table::{MemoryTable, fit, numbered};

/// A catalog that lives and dies with the process. Clones share the same tables.
///
/// Every person sees the same schemas and tables: who may see what is the engine's policy.
#[derive(Debug, Clone, Default)]
pub struct MemoryCatalog {
    schemas: Arc<RwLock<Schemas>>,
}

/// Each table is an immutable state; a change puts another in its place.
type Tables = BTreeMap<String, Arc<MemoryTable>>;

#[derive(Debug, Default)]
struct Schemas(BTreeMap<String, Tables>);

impl Schemas {
    fn of(&self, schema: &str) -> Result<&Tables> {
        self.0.get(schema).ok_or_else(|| no_schema(schema))
    }

    fn of_mut(&mut self, schema: &str) -> Result<&mut Tables> {
        self.0.get_mut(schema).ok_or_else(|| no_schema(schema))
    }
}

fn no_schema(schema: &str) -> Error {
    Error::not_found(format!("schema {schema} does not exist"))
}

impl MemoryCatalog {
    /// A catalog without schemas.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty schema.
    ///
    /// # Errors
    /// `AlreadyExists`; `InvalidInput` for an empty name.
    pub fn create_schema(&self, schema: impl Into<String>) -> Result<()> {
        let schema = schema.into();
        if schema.is_empty() {
            return Err(Error::invalid("the name of a schema must not be empty"));
        }
        let mut schemas = self.schemas.write();
        if schemas.0.contains_key(&schema) {
            return Err(Error::already_exists(format!("schema {schema} exists already")));
        }
        schemas.0.insert(schema, Tables::new());
        Ok(())
    }

    /// Creates a table that holds these batches, at least one of which says its columns.
    ///
    /// # Errors
    /// `NotFound` for the schema, `AlreadyExists`, `InvalidInput` for batches of different columns.
    pub fn insert_table(&self, schema: &str, table: impl Into<String>, batches: Vec<RecordBatch>) -> Result<()> {
        let Some(first) = batches.first() else {
            return Err(Error::invalid("a table needs at least one batch, which may be empty, to know its columns"));
        };
        let columns = numbered(&first.schema());
        self.add(schema, table.into(), columns, batches, None)
    }

    /// Attaches tags to a column of a table, which policies may refer to.
    ///
    /// # Errors
    /// `NotFound` for the schema, the table or the column.
    pub fn tag_column<S: Into<String>>(
        &self,
        schema: &str,
        table: &str,
        column: &str,
        tags: impl IntoIterator<Item = S>,
    ) -> Result<()> {
        let mut schemas = self.schemas.write();
        let tables = schemas.of_mut(schema)?;
        let found =
            tables.get(table).ok_or_else(|| Error::not_found(format!("table {schema}.{table} does not exist")))?;
        let tagged = found.with_tags(column, tags.into_iter().map(Into::into).collect())?;
        tables.insert(table.to_owned(), Arc::new(tagged));
        Ok(())
    }

    fn add(
        &self,
        schema: &str,
        table: String,
        columns: SchemaRef,
        batches: Vec<RecordBatch>,
        owner: Option<Principal>,
    ) -> Result<()> {
        if table.is_empty() {
            return Err(Error::invalid("the name of a table must not be empty"));
        }
        let batches = batches.iter().map(|batch| fit(batch, &columns)).collect::<Result<Vec<_>>>()?;
        let mut schemas = self.schemas.write();
        let tables = schemas.of_mut(schema)?;
        if tables.contains_key(&table) {
            return Err(Error::already_exists(format!("table {schema}.{table} exists already")));
        }
        // The catalog's own name is the engine's to give; sessions put it in.
        let name = TableName::new("", schema, &table);
        tables.insert(table, Arc::new(MemoryTable::new(name, columns, batches, owner)));
        Ok(())
    }
}

impl MemoryCatalog {
    fn add_view(&self, new: &NewView) -> Result<()> {
        if new.name.table.is_empty() {
            return Err(Error::invalid("the name of a view must not be empty"));
        }
        let mut schemas = self.schemas.write();
        let tables = schemas.of_mut(&new.name.schema)?;
        if tables.contains_key(&new.name.table) {
            return Err(Error::already_exists(format!("table {} exists already", new.name)));
        }
        let name = TableName::new("", &new.name.schema, &new.name.table);
        tables.insert(new.name.table.clone(), Arc::new(MemoryTable::view(name, new)));
        Ok(())
    }

    /// Gives exactly this state of a view another query.
    fn replace_view(&self, old: &MemoryTable, new: &NewView) -> Result<()> {
        let changed = || Error::conflict("the view changed while another was to take its place; try again");
        let mut schemas = self.schemas.write();
        let tables = schemas.of_mut(&new.name.schema).map_err(|_| changed())?;
        let present = tables.get(&new.name.table).ok_or_else(changed)?;
        if !present.is_view() || present.id() != old.id() || present.snapshot() != old.snapshot() {
            return Err(changed());
        }
        let next = present.redefined(new);
        tables.insert(new.name.table.clone(), Arc::new(next));
        Ok(())
    }

    /// Removes a table, or a view, if it is still the one that was decided about.
    fn remove(&self, TableId { name, uuid }: &TableId, is_view: bool) -> Result<()> {
        let missing = || Error::not_found(format!("table {name} does not exist"));
        let mut schemas = self.schemas.write();
        let tables = schemas.of_mut(&name.schema).map_err(|_| missing())?;
        let present = tables.get(&name.table).ok_or_else(missing)?;
        if present.id() != *uuid || present.is_view() != is_view {
            return Err(Error::conflict("the table was replaced by another of the same name; try again"));
        }
        tables.remove(&name.table);
        Ok(())
    }

    /// Puts a new table in the place of exactly this state of the old one.
    fn replace(
        &self,
        old: &TableId,
        snapshot: Option<i64>,
        columns: SchemaRef,
        batches: Vec<RecordBatch>,
        owner: Principal,
    ) -> Result<()> {
        let TableName { schema, table, .. } = &old.name;
        let changed = || Error::conflict("the table changed while another was to take its place; try again");
        let mut schemas = self.schemas.write();
        let tables = schemas.of_mut(schema).map_err(|_| changed())?;
        let present = tables.get(table).ok_or_else(changed)?;
        if present.id() != old.uuid || present.snapshot() != snapshot {
            return Err(changed());
        }
        let name = TableName::new("", schema, table);
        tables.insert(table.clone(), Arc::new(MemoryTable::new(name, columns, batches, Some(owner))));
        Ok(())
    }
}

#[async_trait]
impl CatalogProvider for MemoryCatalog {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        Ok(Arc::new(MemorySession::new(self.clone(), request.catalog, request.identity.principal.clone())))
    }

    /// None: the batches are in this process only.
    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None
    }
}

#[cfg(test)]
mod tests;
