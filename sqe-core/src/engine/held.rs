//! What a planned statement takes until it runs.

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Expr, LogicalPlan},
};

use super::plan::{Planned, Work};

/// A node of a plan, logical and physical.
const NODE: usize = 4 << 10;
/// A part of an expression. Its literal comes on top.
const PART: usize = 512;

impl Planned {
    /// About how many bytes it takes until it runs: for front ends that keep it for a client who may never fetch it.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        NODE + match &self.work {
            Work::Rows(rows) => of_plan(&rows.logical),
            Work::Explain(explain) => of_plan(&explain.rows.logical),
            Work::Write(write) => of_plan(write.logical()),
            Work::Ready(batch) => batch.get_array_memory_size(),
            Work::Change(_) => 0,
            Work::Session(change) => change.held_bytes(),
        }
    }
}

fn of_plan(plan: &LogicalPlan) -> usize {
    let mut bytes = 0_usize;
    let counted = plan.apply_with_subqueries(|node| {
        bytes += NODE;
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                // The logical and the physical plan have one each.
                let literal = if let Expr::Literal(value, _) = part { 2 * value.size() } else { 0 };
                bytes = bytes.saturating_add(PART + literal);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    // Counting does not fail; if it did, the plan would be taken for one that is too large.
    if counted.is_ok() { bytes } else { usize::MAX / 2 }
}
