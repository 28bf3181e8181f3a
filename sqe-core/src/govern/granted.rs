//! The mark on an unrestricted scan: it carries the grant and costs nothing.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{Statistics, config::ConfigOptions, internal_err},
    error::Result as DataFusionResult,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, SortOrderPushdownResult,
        execution_plan::CardinalityEffect,
        filter_pushdown::{ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation},
        projection::ProjectionExec,
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

use super::{
    ScanGrant,
    plain::{conform, plain},
};

/// Marks a raw scan that policy permits without restrictions, so that the verifier finds its grant. Everything that
/// the optimizer asks is passed on to the scan, and its batches are handed through untouched.
///
/// A grant alone does not make one:
///
/// ```no_run
/// use std::sync::Arc;
/// use datafusion::physical_plan::ExecutionPlan;
/// use sqe_core::govern::{GrantedScanExec, ScanGrant};
/// fn granted(grant: ScanGrant, raw: Arc<dyn ExecutionPlan>, made: GrantedScanExec) -> GrantedScanExec {
///     made
/// }
/// ```
///
/// To make one of the two does not compile:
///
/// ```compile_fail,E0624
/// use std::sync::Arc;
/// use datafusion::physical_plan::ExecutionPlan;
/// use sqe_core::govern::{GrantedScanExec, ScanGrant};
/// fn granted(grant: ScanGrant, raw: Arc<dyn ExecutionPlan>, made: GrantedScanExec) -> GrantedScanExec {
///     GrantedScanExec::new(grant, raw).unwrap()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct GrantedScanExec {
    grant: ScanGrant,
    input: Arc<dyn ExecutionPlan>,
    /// Those of the scan, with a schema that carries no field ids: they are the catalog's business.
    properties: Arc<PlanProperties>,
    /// The orders that the scan promises are still promised here.
    ordered: bool,
}

impl GrantedScanExec {
    pub(super) fn new(grant: ScanGrant, input: Arc<dyn ExecutionPlan>) -> DataFusionResult<Self> {
        let (raw, schema) = (input.properties(), plain(&input.schema()));
        // The field ids inside of nested types make them other types, for which equivalences cannot be carried over.
        let alike = (input.schema().fields().iter().zip(schema.fields()))
            .all(|(raw, shown)| raw.data_type() == shown.data_type());
        let properties = PlanProperties::new(
            match alike {
                true => raw.eq_properties.clone().with_new_schema(schema)?,
                false => EquivalenceProperties::new(schema),
            },
            raw.partitioning.clone(),
            raw.emission_type,
            raw.boundedness,
        )
        .with_evaluation_type(raw.evaluation_type)
        .with_scheduling_type(raw.scheduling_type);
        Ok(Self { grant, input, properties: Arc::new(properties), ordered: alike })
    }

    /// The grant that the scan was made with.
    #[must_use]
    pub fn grant(&self) -> &ScanGrant {
        &self.grant
    }

    fn around(&self, input: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.grant.clone(), input)?))
    }
}

impl DisplayAs for GrantedScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantedScanExec: table={}", self.grant.table().name)
    }
}

impl ExecutionPlan for GrantedScanExec {
    fn name(&self) -> &'static str {
        "GrantedScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return internal_err!("a granted scan has exactly one input");
        };
        self.around(input)
    }

    /// As its properties say: a rule that was told of an order that they have not could drop a sort for it.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![self.ordered]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        config: &ConfigOptions,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        self.input.repartitioned(target_partitions, config)?.map(|input| self.around(input)).transpose()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let schema = Arc::clone(self.properties.eq_properties.schema());
        if input.schema() == schema {
            return Ok(input);
        }
        let announced = Arc::clone(&schema);
        let batches = input.map(move |batch| conform(&batch?, &announced));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> DataFusionResult<Arc<Statistics>> {
        self.input.partition_statistics(partition)
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.input.with_fetch(limit).and_then(|input| self.around(input).ok())
    }

    fn fetch(&self) -> Option<usize> {
        self.input.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        self.input.try_swapping_with_projection(projection)?.map(|input| self.around(input)).transpose()
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> DataFusionResult<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        if !self.ordered {
            return Ok(SortOrderPushdownResult::Unsupported);
        }
        Ok(match self.input.try_pushdown_sort(order)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.around(inner)? },
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: self.around(inner)? }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn with_preserve_order(&self, preserve_order: bool) -> Option<Arc<dyn ExecutionPlan>> {
        self.input.with_preserve_order(preserve_order).and_then(|input| self.around(input).ok())
    }
}
