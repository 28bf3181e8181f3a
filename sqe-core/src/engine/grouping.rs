//! Columns that `ROLLUP`, `CUBE` and `GROUPING SETS` group by.
//!
//! DataFusion 54.1 takes a column for constant above such an aggregation if it was constant below, and two for equal that were
//! equal, though the aggregation makes NULLs of them; it then leaves them out of an ORDER BY. Above the aggregation they are
//! written as what they are: values that depend on the set.

use datafusion::{
    common::{config::ConfigOptions, tree_node::Transformed},
    error::{DataFusionError, Result},
    logical_expr::{Aggregate, Expr, LogicalPlan, Projection, col, lit, when},
    optimizer::AnalyzerRule,
    scalar::ScalarValue,
};

/// Writes what aggregations by several sets yield as depending on the set. The last of the analyzer's rules: another one needs
/// the aggregation as it was, for `grouping(…)`.
#[derive(Debug)]
pub(super) struct BySet;

impl AnalyzerRule for BySet {
    fn name(&self) -> &'static str {
        "sqe_by_set"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let plan = plan.transform_up_with_subqueries(|node| match &node {
            LogicalPlan::Aggregate(aggregate) if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) => {
                Ok(Transformed::yes(above(node)?))
            }
            _ => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

fn above(aggregation: LogicalPlan) -> Result<LogicalPlan> {
    let LogicalPlan::Aggregate(aggregate) = &aggregation else { return Ok(aggregation) };
    let schema = aggregate.schema.clone();
    let grouped = schema.fields().len() - aggregate.aggr_expr.len();
    let sets = schema.iter().map(|(_, field)| field).find(|field| field.name() == Aggregate::INTERNAL_GROUPING_ID);
    let sets = sets.ok_or_else(|| DataFusionError::Internal("an aggregation by sets does not say by which".into()))?;
    let first = lit(ScalarValue::new_zero(sets.data_type())?);
    let columns = schema.iter().enumerate().map(|(at, (qualifier, field))| {
        let column = Expr::from((qualifier, field));
        if at >= grouped || field.name() == Aggregate::INTERNAL_GROUPING_ID {
            return Ok(column);
        }
        // True of every set, which no optimizer knows.
        let of_a_set = col(Aggregate::INTERNAL_GROUPING_ID).gt_eq(first.clone());
        let value = when(of_a_set, column).end()?;
        Ok(match qualifier {
            Some(qualifier) => value.alias_qualified(Some(qualifier.clone()), field.name()),
            None => value.alias(field.name()),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(LogicalPlan::Projection(Projection::try_new(columns, aggregation.into())?))
}
