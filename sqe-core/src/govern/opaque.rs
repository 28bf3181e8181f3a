//! A leaf that hides a catalog's in-memory plan.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Statistics, internal_err},
    error::Result as DataFusionResult,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties},
};

/// Hides a raw plan whose own leaves look like constants of a statement (`VALUES`), which the verifier lets pass.
/// Inside of this leaf no such rows can be taken for constants if an optimizer rule loses the node above.
#[derive(Debug, Clone)]
pub(crate) struct OpaqueScanExec(Arc<dyn ExecutionPlan>);

impl OpaqueScanExec {
    pub(super) fn new(inner: Arc<dyn ExecutionPlan>) -> Self {
        Self(inner)
    }
}

impl DisplayAs for OpaqueScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpaqueScanExec")
    }
}

impl ExecutionPlan for OpaqueScanExec {
    fn name(&self) -> &'static str {
        "OpaqueScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("an opaque scan has no inputs") }
    }

    fn reset_state(self: Arc<Self>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self(Arc::clone(&self.0).reset_state()?)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }

    fn partition_statistics(&self, partition: Option<usize>) -> DataFusionResult<Arc<Statistics>> {
        self.0.partition_statistics(partition)
    }
}
