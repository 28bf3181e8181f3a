//! Tables of facts that the engine itself computed for the person who asks, such as `information_schema`.

use std::{any::Any, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, Session as DataFusionSession, TableProvider},
    error::Result as DataFusionResult,
    logical_expr::{Expr, TableSource, TableType},
    physical_plan::ExecutionPlan,
};

/// Rows that were computed as the person who asks, and so hold only what this person may see.
#[derive(Debug)]
pub(crate) struct ConstantTable(MemTable);

impl ConstantTable {
    pub(crate) fn new(schema: SchemaRef, batch: RecordBatch) -> DataFusionResult<Self> {
        Ok(Self(MemTable::try_new(schema, vec![vec![batch]])?))
    }

    /// Whether a scan of a logical plan is of such a table.
    pub(super) fn is_source(source: &Arc<dyn TableSource>) -> bool {
        let Some(source) = source.downcast_ref::<datafusion::datasource::DefaultTableSource>() else { return false };
        let provider: &dyn Any = &*source.table_provider;
        provider.is::<Self>()
    }
}

#[async_trait]
impl TableProvider for ConstantTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}
