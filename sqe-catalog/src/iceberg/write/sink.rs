//! The plan node that writes.

use std::{fmt, sync::Arc};

use arrow::{
    compute::{CastOptions, cast_with_options},
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use datafusion::{
    common::{DataFusionError, Result as PlanResult, plan_err},
    execution::{SendableRecordBatchStream, TaskContext, object_store::ObjectStoreUrl},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use sqe_core::{Error, Result};

use super::{WriteSpec, fanout::Fanout, staged};
use crate::iceberg::schema::stored_alike;

/// Writes the rows of its input to new data files, one task a partition, and emits a description of each file.
#[derive(Debug)]
pub struct WriteExec {
    input: Arc<dyn ExecutionPlan>,
    spec: Arc<WriteSpec>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl WriteExec {
    /// Writes `input` as `spec` says.
    ///
    /// # Errors
    /// `InvalidInput` if the number or the types of the columns differ from the table's.
    pub fn try_new(input: Arc<dyn ExecutionPlan>, spec: WriteSpec) -> Result<Self> {
        let schema = spec.arrow_schema()?;
        let given = input.schema();
        if given.fields().len() != schema.fields().len() {
            return Err(Error::invalid(format!(
                "the table has {} columns and {} are given",
                schema.fields().len(),
                given.fields().len()
            )));
        }
        for (given, wanted) in given.fields().iter().zip(schema.fields()) {
            if !stored_alike(given.data_type(), wanted.data_type()) {
                return Err(Error::invalid(format!(
                    "column {:?} has the type {} and {} is given",
                    wanted.name(),
                    wanted.data_type(),
                    given.data_type()
                )));
            }
        }
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(staged::schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { input, spec: Arc::new(spec), schema, properties: Arc::new(properties), metrics })
    }

    /// What is written, and where.
    #[must_use]
    pub fn spec(&self) -> &WriteSpec {
        &self.spec
    }
}

impl DisplayAs for WriteExec {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IcebergWriteExec: format=parquet, partitioned={}", !self.spec.partitioning.is_unpartitioned())
    }
}

impl ExecutionPlan for WriteExec {
    fn name(&self) -> &'static str {
        "IcebergWriteExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::try_new(input, self.spec.as_ref().clone())?)),
            _ => plan_err!("a write has exactly one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> PlanResult<SendableRecordBatchStream> {
        let url = ObjectStoreUrl::parse(&self.spec.store)?;
        let store = context.runtime_env().object_store(&url)?;
        let input = self.input.execute(partition, context)?;
        let rows = MetricBuilder::new(&self.metrics).counter("rows_written", partition);
        let files = MetricBuilder::new(&self.metrics).counter("files_written", partition);
        let task = Task {
            spec: Arc::clone(&self.spec),
            schema: Arc::clone(&self.schema),
            input,
            store,
            partition,
            rows,
            files,
        };
        let stream = futures::stream::once(task.run()).map_ok(|files| futures::stream::iter(files.into_iter().map(Ok)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(staged::schema(), stream.try_flatten().boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

struct Task {
    spec: Arc<WriteSpec>,
    schema: SchemaRef,
    input: SendableRecordBatchStream,
    store: Arc<dyn ObjectStore>,
    partition: usize,
    rows: Count,
    files: Count,
}

impl Task {
    /// Descriptions are handed over only after the last row: a statement that fails removes its files by their common
    /// id, described or not.
    async fn run(mut self) -> PlanResult<Vec<RecordBatch>> {
        let mut fanout = Fanout::try_new(self.spec, Arc::clone(&self.schema), self.store, self.partition)?;
        let mut complete = Vec::new();
        while let Some(batch) = self.input.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            let batch = fitted(&batch, &self.schema)?;
            self.rows.add(batch.num_rows());
            complete.extend(fanout.write(&batch).await?);
        }
        complete.extend(fanout.finish().await?);
        self.files.add(complete.len());
        let described = complete.iter().map(|file| staged::encode(file).map_err(DataFusionError::from));
        described.collect()
    }
}

/// The batch under the table's schema, whose field ids the file needs.
fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(Error::invalid(format!("column {:?} must not be NULL", field.name())));
        }
    }
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        // Layout, nested fields' names and their metadata may differ; the cast changes no value.
        match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => {
                cast_with_options(column, field.data_type(), &CastOptions { safe: false, ..CastOptions::default() })
            }
        }
    });
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
