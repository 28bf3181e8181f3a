//! Which filters the Parquet source may have, and for which of them it may answer alone.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    common::{
        ScalarValue,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, Literal},
        split_conjunction,
    },
};

/// What a scan does with one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Evaluated by the source for each row, if filters are pushed down at all.
    Answer,
    /// Only to skip row groups, pages and rows early; checked again above.
    Hint,
    /// Not given to the source.
    Nothing,
}

/// What to do with `filter`, an expression over the table's columns. `settled` tells for each column whether it has the
/// same type in every version of the table's schema.
///
/// # Errors
/// None in practice; walking an expression can fail by its type.
pub(crate) fn classify(filter: &Arc<dyn PhysicalExpr>, schema: &Schema, settled: &[bool]) -> Result<Use> {
    let mut verdict = Use::Answer;
    let mut floats = false;
    filter.apply(|expr| {
        if let Some(column) = expr.downcast_ref::<Column>() {
            match schema.fields().get(column.index()).map(|field| field.data_type()) {
                None => verdict = Use::Nothing,
                // Adapted nested values cannot be evaluated while decoding, and such a conjunct would vanish silently.
                Some(ty) if ty.is_nested() => verdict = Use::Nothing,
                Some(ty) if is_float(ty) => floats = true,
                Some(_) => {}
            }
            if verdict == Use::Answer && !settled.get(column.index()).copied().unwrap_or(false) {
                verdict = Use::Hint;
            }
        } else if verdict == Use::Answer && !travels(expr) {
            verdict = Use::Hint;
        }
        Ok(match verdict {
            Use::Nothing => TreeNodeRecursion::Stop,
            _ => TreeNodeRecursion::Continue,
        })
    })?;
    if verdict == Use::Nothing || !floats {
        return Ok(verdict);
    }
    // Statistics of floating point columns leave NaN out, which sorts above everything in comparisons.
    Ok(match nan_safe(filter, schema)? {
        true => Use::Hint,
        false => Use::Nothing,
    })
}

/// Whether the filter is there again after its plan was encoded and decoded. Filters that learn while the query runs,
/// and results of subqueries, live in one process; they only ever help.
pub(crate) fn travels(expr: &Arc<dyn PhysicalExpr>) -> bool {
    !expr.is::<DynamicFilterPhysicalExpr>()
        && !expr.is::<datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr>()
}

/// Whether minima and maxima without NaN may prune by `filter`: a container of which every non-NaN row fails must hold
/// no NaN row that passes. True if each conjunct that has a floating point column compares it directly with a constant
/// in a way that no NaN satisfies.
///
/// # Errors
/// None in practice.
pub(crate) fn nan_safe(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    for conjunct in split_conjunction(filter) {
        let mut floats = false;
        conjunct.apply(|expr| {
            floats |= column_type(expr, schema).is_some_and(is_float);
            Ok(if floats { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if floats && !nan_fails(conjunct, schema) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn nan_fails(conjunct: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    if let Some(comparison) = conjunct.downcast_ref::<BinaryExpr>() {
        let (column, op, constant) = match (comparison.left(), comparison.right()) {
            (left, right) if column_type(left, schema).is_some_and(is_float) => (left, *comparison.op(), right),
            (left, right) => match comparison.op().swap() {
                Some(op) => (right, op, left),
                None => return false,
            },
        };
        return column_type(column, schema).is_some_and(is_float)
            && matches!(op, Operator::Lt | Operator::LtEq | Operator::Eq)
            && is_number(constant);
    }
    if let Some(list) = conjunct.downcast_ref::<InListExpr>() {
        return !list.negated()
            && column_type(list.expr(), schema).is_some_and(is_float)
            && list.list().iter().all(is_number);
    }
    false
}

fn column_type<'a>(expr: &Arc<dyn PhysicalExpr>, schema: &'a Schema) -> Option<&'a DataType> {
    let column = expr.downcast_ref::<Column>()?;
    schema.fields().get(column.index()).map(|field| field.data_type())
}

pub(crate) fn is_float(ty: &DataType) -> bool {
    matches!(ty, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

fn is_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| match literal.value() {
        ScalarValue::Float32(Some(value)) => !value.is_nan(),
        ScalarValue::Float64(Some(value)) => !value.is_nan(),
        ScalarValue::Float16(Some(value)) => !value.is_nan(),
        _ => false,
    })
}
