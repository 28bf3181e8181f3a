//! Writes to tables in memory: the staged form of a row is the row itself.

use std::sync::Arc;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use sqe_core::{Error, Principal, Result, TableId, TableName, catalog::TableWrite};

use super::{MemoryCatalog, table::fit};

/// Where the rows go.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Append(TableId),
    Create { name: TableName, owner: Principal },
    Replace { id: TableId, snapshot: Option<i64>, owner: Principal },
}

#[derive(Debug)]
pub(super) struct MemoryWrite {
    pub(super) tables: MemoryCatalog,
    pub(super) schema: SchemaRef,
    pub(super) rows: Rows,
}

#[async_trait]
impl TableWrite for MemoryWrite {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn sink(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        fit(&RecordBatch::new_empty(input.schema()), &self.schema)?;
        Ok(input)
    }

    async fn commit(&self, staged: Vec<RecordBatch>) -> Result<u64> {
        let rows = staged.iter().map(|batch| fit(batch, &self.schema)).collect::<Result<Vec<_>>>()?;
        let count = rows.iter().map(|batch| batch.num_rows() as u64).sum();
        match &self.rows {
            Rows::Create { name, owner } => {
                let schema = Arc::clone(&self.schema);
                self.tables.add(&name.schema, name.table.clone(), schema, rows, Some(owner.clone()))?;
            }
            Rows::Replace { id, snapshot, owner } => {
                let schema = Arc::clone(&self.schema);
                self.tables.replace(id, *snapshot, schema, rows, owner.clone())?;
            }
            Rows::Append(id) => {
                let mut schemas = self.tables.schemas.write();
                let missing = || Error::not_found(format!("table {} does not exist any more", id.name));
                let tables = schemas.of_mut(&id.name.schema).map_err(|_| missing())?;
                let table = tables.get(&id.name.table).ok_or_else(missing)?;
                if table.id() != id.uuid {
                    return Err(Error::conflict("the table was replaced by another of the same name; try again"));
                }
                let next = table.with_rows(&rows);
                tables.insert(id.name.table.clone(), Arc::new(next));
            }
        }
        Ok(count)
    }

    /// Staged rows are dropped by their owner.
    async fn abort(&self, _staged: Vec<RecordBatch>) {}
}
