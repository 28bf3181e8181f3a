//! The verifier: whatever built a plan, it runs only if every way from data to the person is governed.
//!
//! It trusts no rule, planner or optimizer. It knows the decisions of the query, and which node types neither read by
//! themselves nor write.

use std::{any::Any, collections::HashMap, sync::Arc};

use datafusion::{
    catalog::cte_worktable::CteWorkTable,
    common::tree_node::TreeNodeRecursion,
    datasource::{DefaultTableSource, memory::MemorySourceConfig, source::DataSourceExec},
    functions_table::generate_series::GenerateSeriesTable,
    logical_expr::{LogicalPlan, TableSource},
    physical_plan::{
        ExecutionPlan, empty::EmptyExec, memory::LazyMemoryExec, placeholder_row::PlaceholderRowExec,
        work_table::WorkTableExec,
    },
};
use uuid::Uuid;

use super::{
    Authorized, GovernedTable, GrantedScanExec, SecurityBarrierExec, constant::ConstantTable, table::governed,
};
use crate::{Error, Result, scheduler::Scheduler};

/// The decisions of one query, by the grants that were minted for it.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    tables: HashMap<Uuid, Arc<GovernedTable>>,
}

impl Decisions {
    pub(crate) fn new(tables: impl IntoIterator<Item = Arc<GovernedTable>>) -> Self {
        Self { tables: tables.into_iter().map(|table| (table.grant().id(), table)).collect() }
    }

    /// Verifies a logical plan: every scan is of a table governed for this very query, and no node writes, defines or
    /// comes from outside.
    pub(crate) fn verify_logical(&self, plan: LogicalPlan) -> Result<Authorized<LogicalPlan>> {
        let mut refusal = None;
        plan.apply_with_subqueries(|node| {
            if let Err(error) = self.verify_node(node) {
                refusal = Some(error);
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        match refusal {
            Some(error) => Err(error),
            None => Ok(Authorized::new(plan)),
        }
    }

    fn verify_node(&self, node: &LogicalPlan) -> Result<()> {
        match node {
            LogicalPlan::TableScan(scan) => {
                if let Some(table) = governed(&scan.source) {
                    let known = self.tables.get(&table.grant().id());
                    if known.is_some_and(|known| known.digest() == table.digest()) {
                        return if table.is_readable() {
                            Ok(())
                        } else {
                            Err(Error::denied(format!("you may not read {}", table.grant().table().name)))
                        };
                    }
                } else if ConstantTable::is_source(&scan.source) || is_made_of_arguments(&scan.source) {
                    return Ok(());
                }
                Err(refused("a scan that was not authorised for this query"))
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::Repartition(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Values(_)
            | LogicalPlan::Distinct(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::RecursiveQuery(_) => Ok(()),
            other => Err(Error::unsupported(format!("{} is not allowed in a query", node_word(other)))),
        }
    }

    /// Verifies a physical plan: below every path from the root stands a granted scan or a barrier of this query, or a
    /// leaf that only holds constants; all other nodes are of known types.
    pub(crate) fn verify_physical(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        extra_nodes: &[String],
        scheduler: &dyn Scheduler,
    ) -> Result<Authorized<Arc<dyn ExecutionPlan>>> {
        self.verify_exec(&plan, extra_nodes, scheduler)?;
        Ok(Authorized::new(plan))
    }

    fn verify_exec(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        extra_nodes: &[String],
        scheduler: &dyn Scheduler,
    ) -> Result<()> {
        if let Some(scan) = plan.downcast_ref::<GrantedScanExec>() {
            let table = self.tables.get(&scan.grant().id()).filter(|table| table.grant() == scan.grant());
            return match table {
                Some(table) if table.is_readable() && table.grant().is_unconditional() => Ok(()),
                _ => Err(refused("a scan without a grant of this query")),
            };
        }
        if let Some(barrier) = plan.downcast_ref::<SecurityBarrierExec>() {
            let table = self.tables.get(&barrier.grant().id()).filter(|table| table.grant() == barrier.grant());
            return match table {
                Some(table) if table.is_readable() && table.digest() == barrier.decision() => {
                    below(plan, barrier.scan_nodes(), scheduler)
                }
                _ => Err(refused("a barrier of another decision")),
            };
        }
        let slices = slices(plan, scheduler);
        let children = if slices.is_empty() { plan.children() } else { slices.iter().collect() };
        if children.is_empty() {
            return if is_constant_leaf(&**plan) { Ok(()) } else { Err(refused("a raw scan outside of its barrier")) };
        }
        let name = plan.name();
        let known = KNOWN_NODES.contains(&name) || scheduler.nodes().contains(&name);
        if !known && !extra_nodes.iter().any(|extra| extra == name) {
            return Err(refused(&format!("a node of an unknown kind ({})", plan.name())));
        }
        children.into_iter().try_for_each(|child| self.verify_exec(child, extra_nodes, scheduler))
    }
}

/// What a leaf stands for, if the scheduler's planner made it.
fn slices(plan: &Arc<dyn ExecutionPlan>, scheduler: &dyn Scheduler) -> Vec<Arc<dyn ExecutionPlan>> {
    if plan.children().is_empty() { scheduler.slices(plan) } else { Vec::new() }
}

/// What may stand between a raw scan and its barrier: the scan's own nodes, and what only moves batches. A filter, a
/// sort or a limit of the person's that some rule moved below would see hidden rows.
pub(super) fn below(plan: &Arc<dyn ExecutionPlan>, scan_nodes: &[String], scheduler: &dyn Scheduler) -> Result<()> {
    plan.children().into_iter().try_for_each(|child| belongs(child, scan_nodes, scheduler))
}

fn belongs(node: &Arc<dyn ExecutionPlan>, scan_nodes: &[String], scheduler: &dyn Scheduler) -> Result<()> {
    let slices = slices(node, scheduler);
    if !slices.is_empty() {
        return slices.iter().try_for_each(|slice| belongs(slice, scan_nodes, scheduler));
    }
    if !scan_nodes.iter().any(|name| name == node.name()) && !MOVES_BATCHES.contains(&node.name()) {
        return Err(refused(&format!("a node that does not belong below a barrier ({})", node.name())));
    }
    below(node, scan_nodes, scheduler)
}

const MOVES_BATCHES: &[&str] = &["BufferExec", "CoalesceBatchesExec", "CooperativeExec", "RepartitionExec"];

const KNOWN_NODES: &[&str] = &[
    "AggregateExec",
    "BoundedWindowAggExec",
    "BufferExec",
    "CoalesceBatchesExec",
    "CoalescePartitionsExec",
    "CooperativeExec",
    "CrossJoinExec",
    "DealtExec",
    "FilterExec",
    "GlobalLimitExec",
    "HashJoinExec",
    "InterleaveExec",
    "LocalLimitExec",
    "MeteredExec",
    "NestedLoopJoinExec",
    "PartialSortExec",
    "PartitionedTopKExec",
    "PiecewiseMergeJoinExec",
    "ProjectionExec",
    "RecursiveQueryExec",
    "RepartitionExec",
    "ScalarSubqueryExec",
    "SortExec",
    "SortExec(TopK)",
    "SortMergeJoinExec",
    "SortPreservingMergeExec",
    "SymmetricHashJoinExec",
    "UnionExec",
    "UnnestExec",
    "WindowAggExec",
];

/// Leaves that hold nothing but constants of the statement, or rows made of its arguments.
pub(super) fn is_constant_leaf(plan: &dyn ExecutionPlan) -> bool {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        return source.data_source().downcast_ref::<MemorySourceConfig>().is_some();
    }
    plan.is::<EmptyExec>()
        || plan.is::<PlaceholderRowExec>()
        || plan.is::<LazyMemoryExec>()
        || plan.is::<WorkTableExec>()
}

/// Whether a scan is of rows that the statement itself makes: a recursive query's own, or a series.
fn is_made_of_arguments(source: &Arc<dyn TableSource>) -> bool {
    let Some(source) = source.downcast_ref::<DefaultTableSource>() else { return false };
    let provider: &dyn Any = &*source.table_provider;
    provider.is::<CteWorkTable>() || provider.is::<GenerateSeriesTable>()
}

fn refused(what: &str) -> Error {
    Error::internal(format!("the plan was refused: it holds {what}"))
}

fn node_word(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Dml(_) => "a change of rows",
        LogicalPlan::Ddl(_) => "a change of definitions",
        LogicalPlan::Copy(_) => "COPY",
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_) => {
            "a nested EXPLAIN or DESCRIBE"
        }
        LogicalPlan::Statement(_) => "a session statement",
        LogicalPlan::Extension(_) => "an extension node",
        _ => "this kind of node",
    }
}
