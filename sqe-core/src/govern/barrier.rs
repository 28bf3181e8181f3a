//! The security barrier: row filter first, then masks, on every batch that leaves a table with restrictions.
//!
//! The optimizer sees an opaque operator: no limit, projection or sort passes through it, and of the predicates above it
//! only leakproof ones on unmasked columns are copied below, as hints. The barrier evaluates these too, and all of them
//! are evaluated again above.
//!
//! What is above must not tell what is below. A scan prunes files and row groups by bounds of hidden rows, and drops
//! visible rows along with them that no predicate wants; since the barrier drops the rest of those rows, the rows that
//! leave it do not depend on what was pruned. Where operators learn what to prune while they run, that cannot be said, and
//! EXPLAIN ANALYZE shows no rows. How many partitions it has does not depend on the data either.

use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arrow::{
    array::{Array, ArrayRef, BooleanArray},
    compute::{BatchCoalescer, and_kleene, cast, filter_record_batch},
    datatypes::SchemaRef,
    record_batch::{RecordBatch, RecordBatchOptions},
};
use datafusion::{
    common::{
        Statistics,
        config::ConfigOptions,
        internal_err,
        stats::Precision,
        tree_node::{Transformed, TreeNode},
    },
    error::{DataFusionError, Result as DataFusionResult},
    execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext},
    physical_expr::{
        EquivalenceProperties, PhysicalExpr,
        expressions::{Column, DynamicFilterPhysicalExpr},
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, ExecutionPlanProperties, Partitioning,
        PlanProperties,
        filter_pushdown::{
            ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase,
            FilterPushdownPropagation,
        },
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet},
    },
};
use futures::{Stream, StreamExt};

use super::{ScanGrant, leakproof, mask::FittedMask};
use crate::Secret;

/// Where a visible column comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// The raw column at this position of the scan's output, as it is.
    Raw(usize),
    /// The raw column at this position, masked.
    Masked(usize, FittedMask),
    /// A mask that needs no raw values.
    Blank(FittedMask),
}

/// What a barrier does to each batch.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// Row filter over the scan's output; rows for which it is not true do not exist.
    pub(super) filter: Option<Arc<dyn PhysicalExpr>>,
    /// One source a column of the visible schema.
    pub(super) sources: Vec<Source>,
    /// The visible, projected schema.
    pub(super) schema: SchemaRef,
    /// Key of keyed hashes.
    pub(super) mask_key: Secret,
    /// Rows that the table seems to have: the total, rounded to a power of ten.
    pub(super) blurred_rows: Option<usize>,
    /// Partitions that the barrier has at least: the session's, so that nobody can count the files below.
    pub(super) partitions: usize,
}

/// Applies a restricted decision to a raw scan. See the module documentation.
#[derive(Debug, Clone)]
pub struct SecurityBarrierExec {
    grant: ScanGrant,
    decision: String,
    policy: Policy,
    /// Leakproof predicates of the statement, over the scan's output; rows for which one is not true do not leave.
    predicates: Vec<Arc<dyn PhysicalExpr>>,
    input: Arc<dyn ExecutionPlan>,
    /// Names of the nodes of the catalog's own scan; nothing else that computes may come to stand below.
    scan_nodes: Arc<[String]>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SecurityBarrierExec {
    pub(super) fn new(grant: ScanGrant, decision: String, policy: Policy, input: Arc<dyn ExecutionPlan>) -> Self {
        let mut names = Vec::new();
        node_names(&input, &mut names);
        Self::around(grant, decision, policy, input, names.into())
    }

    fn around(
        grant: ScanGrant,
        decision: String,
        policy: Policy,
        input: Arc<dyn ExecutionPlan>,
        scan_nodes: Arc<[String]>,
    ) -> Self {
        let partitions = policy.partitions.max(input.output_partitioning().partition_count());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&policy.schema)),
            Partitioning::UnknownPartitioning(partitions),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        let metrics = ExecutionPlanMetricsSet::new();
        let predicates = Vec::new();
        Self { grant, decision, policy, predicates, input, scan_nodes, properties: Arc::new(properties), metrics }
    }

    /// The same barrier with these predicates over the scan's output.
    pub(super) fn with_predicates(mut self, predicates: Vec<Arc<dyn PhysicalExpr>>) -> Self {
        self.predicates = predicates;
        self
    }

    /// Whether the scan below reads less by what operators above learn while they run. How much less it reads depends on
    /// bounds of hidden rows.
    pub(crate) fn follows_learning(&self) -> bool {
        self.predicates.iter().any(learns)
    }

    /// The predicates of the statement that went below. It evaluates those that stand still: what a join or a TopK learns
    /// is a hint, in which a NULL that equals NULL need not be wanted.
    pub(super) fn predicates(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.predicates
    }

    /// The grant that the scan below was made with.
    #[must_use]
    pub fn grant(&self) -> &ScanGrant {
        &self.grant
    }

    /// The digest of the decision that the barrier carries out.
    pub(super) fn decision(&self) -> &str {
        &self.decision
    }

    /// What the barrier does.
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The names of the nodes that the catalog's scan consists of.
    pub(super) fn scan_nodes(&self) -> &[String] {
        &self.scan_nodes
    }

    /// Whether the visible column at `index` shows raw values of a flat type.
    fn is_open(&self, index: usize) -> bool {
        let flat = self.policy.schema.fields().get(index).is_some_and(|field| !field.data_type().is_nested());
        flat && matches!(self.policy.sources.get(index), Some(Source::Raw(_)))
    }

    /// A predicate over open visible columns as one over the scan's output.
    fn below(&self, predicate: &Arc<dyn PhysicalExpr>) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let moved = Arc::clone(predicate).transform_down(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
            match self.policy.sources.get(column.index()) {
                Some(Source::Raw(raw)) => {
                    let raw: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), *raw));
                    Ok(Transformed::yes(raw))
                }
                _ => internal_err!("a predicate on a column that is not open came below a barrier"),
            }
        })?;
        Ok(moved.data)
    }
}

/// Whether a predicate changes while a query runs.
pub(super) fn learns(predicate: &Arc<dyn PhysicalExpr>) -> bool {
    predicate.is::<DynamicFilterPhysicalExpr>() || predicate.children().into_iter().any(learns)
}

/// The names of a plan's nodes, from the top.
pub(super) fn node_names(plan: &Arc<dyn ExecutionPlan>, names: &mut Vec<String>) {
    names.push(plan.name().to_owned());
    plan.children().into_iter().for_each(|child| node_names(child, names));
}

impl DisplayAs for SecurityBarrierExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecurityBarrierExec: table={}", self.grant.table().name)
    }
}

impl ExecutionPlan for SecurityBarrierExec {
    fn name(&self) -> &'static str {
        "SecurityBarrierExec"
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
            return internal_err!("a security barrier has exactly one input");
        };
        if input.schema() != self.input.schema() {
            return internal_err!("the input of a security barrier may not change its schema");
        }
        let nodes = Arc::clone(&self.scan_nodes);
        let this = Self::around(self.grant.clone(), self.decision.clone(), self.policy.clone(), input, nodes);
        Ok(Arc::new(this.with_predicates(self.predicates.clone())))
    }

    /// Never: a rule that trusted the order would push a sort below, where it would see raw values of hidden rows.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        if partition >= self.input.output_partitioning().partition_count() {
            return if partition < self.properties.output_partitioning().partition_count() {
                Ok(Box::pin(EmptyRecordBatchStream::new(Arc::clone(&self.policy.schema))))
            } else {
                internal_err!("a security barrier has no partition {partition}")
            };
        }
        let batch_size = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        let passing: Vec<usize> = (self.policy.sources.iter())
            .filter_map(|source| match source {
                Source::Raw(index) | Source::Masked(index, _) => Some(*index),
                Source::Blank(_) => None,
            })
            .collect();
        let passed = Arc::new(self.input.schema().project(&passing)?);
        let mut coalescer = BatchCoalescer::new(passed, batch_size);
        if self.policy.filter.is_none() {
            // No rows are hidden, so that their batches can pass as they are.
            coalescer.set_biggest_coalesce_batch_size(Some(batch_size / 2));
        }
        Ok(Box::pin(BarrierStream {
            policy: self.policy.clone(),
            predicates: self.predicates.iter().filter(|predicate| !learns(predicate)).map(Arc::clone).collect(),
            passing,
            coalescer,
            batch_size,
            counted: 0,
            input: Some(input),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    /// Only a blurred row count: bounds and exact counts would tell about rows behind the policy.
    fn partition_statistics(&self, partition: Option<usize>) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.policy.schema);
        if let Some(rows) = self.policy.blurred_rows {
            let share = match partition {
                Some(_) => rows / self.properties.output_partitioning().partition_count().max(1),
                None => rows,
            };
            statistics.num_rows = Precision::Inexact(share);
        }
        Ok(Arc::new(statistics))
    }

    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterDescription> {
        let open = |column: &Column| self.is_open(column.index());
        // A column at a position that no schema has marks what may not pass.
        let closed: Arc<dyn PhysicalExpr> = Arc::new(Column::new("not leakproof", usize::MAX));
        let sifted: Vec<_> = (parent_filters.into_iter())
            .map(|filter| if leakproof::physical(&filter, &open) { filter } else { Arc::clone(&closed) })
            .collect();
        let allowed: HashSet<usize> = (0..self.policy.sources.len()).filter(|index| self.is_open(*index)).collect();
        let mut child = ChildFilterDescription::from_child_with_allowed_indices(&sifted, allowed, &self.input)?;
        if let (FilterPushdownPhase::Pre, Some(filter)) = (phase, &self.policy.filter) {
            child = child.with_self_filter(Arc::clone(filter));
        }
        Ok(FilterDescription::new().with_child(child))
    }

    /// Whatever the scan promises, the predicates above stay above. Those that went below are evaluated here too.
    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let open = |column: &Column| self.is_open(column.index());
        let mut predicates = self.predicates.clone();
        for given in result.parent_filters.iter().filter(|given| leakproof::physical(&given.filter, &open)) {
            let predicate = self.below(&given.filter)?;
            if !predicates.contains(&predicate) {
                predicates.push(predicate);
            }
        }
        let propagation = FilterPushdownPropagation::all_unsupported(result);
        if predicates.len() == self.predicates.len() {
            return Ok(propagation);
        }
        Ok(propagation.with_updated_node(Arc::new(self.clone().with_predicates(predicates))))
    }
}

struct BarrierStream {
    policy: Policy,
    predicates: Vec<Arc<dyn PhysicalExpr>>,
    /// Positions in the scan's output of the columns that visible ones are made of, in visible order.
    passing: Vec<usize>,
    /// Makes batches of one size, which would otherwise count the hidden rows between the visible ones.
    coalescer: BatchCoalescer,
    batch_size: usize,
    /// Rows that passed, if no column does.
    counted: usize,
    input: Option<SendableRecordBatchStream>,
    metrics: BaselineMetrics,
}

impl BarrierStream {
    fn take(&mut self, batch: &RecordBatch) -> DataFusionResult<()> {
        let verdicts = match &self.policy.filter {
            Some(filter) => Some(verdicts_of(filter, batch)?),
            None => None,
        };
        if self.predicates.is_empty() {
            return self.keep(batch, verdicts.as_ref());
        }
        // The policy first: what a person asks is asked of visible rows.
        let visible = match &verdicts {
            Some(verdicts) => &filter_record_batch(batch, verdicts)?,
            None => batch,
        };
        let mut wanted: Option<BooleanArray> = None;
        for predicate in &self.predicates {
            let answers = verdicts_of(predicate, visible)?;
            wanted = Some(match wanted {
                Some(wanted) => and_kleene(&wanted, &answers)?,
                None => answers,
            });
        }
        self.keep(visible, wanted.as_ref())
    }

    /// Takes the rows for which the verdict is true.
    fn keep(&mut self, batch: &RecordBatch, verdicts: Option<&BooleanArray>) -> DataFusionResult<()> {
        let batch = batch.project(&self.passing)?;
        if self.passing.is_empty() {
            let kept = match verdicts {
                Some(verdicts) => filter_record_batch(&batch, verdicts)?.num_rows(),
                None => batch.num_rows(),
            };
            self.counted += kept;
            return Ok(());
        }
        match verdicts {
            Some(verdicts) => self.coalescer.push_batch_with_filter(batch, verdicts)?,
            None => self.coalescer.push_batch(batch)?,
        }
        Ok(())
    }

    fn next(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        if self.passing.is_empty() {
            let rows = self.counted.min(self.batch_size);
            if rows == 0 || (rows < self.batch_size && self.input.is_some()) {
                return Ok(None);
            }
            self.counted -= rows;
            return self.show(&[], rows).map(Some);
        }
        match self.coalescer.next_completed_batch() {
            Some(batch) => self.show(batch.columns(), batch.num_rows()).map(Some),
            None => Ok(None),
        }
    }

    /// The visible form of rows that passed the filter.
    fn show(&self, passed: &[ArrayRef], rows: usize) -> DataFusionResult<RecordBatch> {
        let mut passed = passed.iter();
        let mut next = || passed.next().ok_or_else(|| DataFusionError::Internal("a passed column is missing".into()));
        let columns = (self.policy.sources.iter())
            .zip(self.policy.schema.fields())
            .map(|(source, field)| match source {
                Source::Raw(_) => {
                    let column = next()?;
                    let fits = column.data_type() == field.data_type();
                    if fits { Ok(Arc::clone(column)) } else { Ok(cast(column, field.data_type())?) }
                }
                Source::Masked(_, mask) => Ok(mask.apply(next()?, &self.policy.mask_key)?),
                Source::Blank(mask) => Ok(mask.constant_array(field.data_type(), rows)?),
            })
            .collect::<DataFusionResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.policy.schema), columns, &options)?)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<DataFusionResult<RecordBatch>>> {
        loop {
            let timer = self.metrics.elapsed_compute().clone();
            let timer = timer.timer();
            if let Some(batch) = self.next().transpose() {
                return Poll::Ready(Some(batch));
            }
            timer.done();
            let Some(input) = &mut self.input else { return Poll::Ready(None) };
            match ready!(input.poll_next_unpin(cx)) {
                Some(Ok(batch)) => {
                    let timer = self.metrics.elapsed_compute().clone();
                    let timer = timer.timer();
                    self.take(&batch)?;
                    timer.done();
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.input = None;
                    self.coalescer.finish_buffered_batch()?;
                }
            }
        }
    }
}

/// For which rows a condition is true.
fn verdicts_of(condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> DataFusionResult<BooleanArray> {
    let array = condition.evaluate(batch)?.into_array(batch.num_rows())?;
    match array.as_any().downcast_ref::<BooleanArray>() {
        Some(verdicts) => Ok(verdicts.clone()),
        None => internal_err!("a row filter is not a boolean"),
    }
}

impl Stream for BarrierStream {
    type Item = DataFusionResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let poll = self.poll(cx);
        self.metrics.record_poll(poll)
    }
}

impl RecordBatchStream for BarrierStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.policy.schema)
    }
}

#[cfg(test)]
mod tests;
