//! How often optimizers write out the parts of an expression.

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{Case, Expr, ExprSchemable, Operator},
};

use super::Input;

/// How often each child stands in what simplification makes of `expr`, in the order in which children are visited; where
/// there is no entry, once. A shorthand is replaced by its definition, in which an operand stands several times.
pub(super) fn copies(expr: &Expr, inputs: &[Input<'_>]) -> Vec<u64> {
    match expr {
        // x >= low AND x <= high
        Expr::Between(_) => vec![2],
        // x = 1 OR x = 2 OR x = 3, for no more than three and columns only, or functions that have ranges.
        Expr::InList(list) if list.list.len() <= 3 => {
            let items = u64::try_from(list.list.len()).unwrap_or(1);
            match list.expr.as_ref() {
                Expr::Column(_) => vec![items],
                other if has_range(other) => vec![items * 2],
                _ => Vec::new(),
            }
        }
        Expr::BinaryExpr(binary) => {
            use Operator as Op;
            match binary.op {
                // x >= 1 AND x < 2, for floor(x) = 1; a column may turn out to be such a function.
                Op::Eq | Op::NotEq => vec![side(&binary.left, 2), side(&binary.right, 2)],
                Op::IsDistinctFrom | Op::IsNotDistinctFrom => vec![side(&binary.left, 3), side(&binary.right, 3)],
                Op::RegexMatch | Op::RegexIMatch | Op::RegexNotMatch | Op::RegexNotIMatch => {
                    vec![alternatives(&binary.right)]
                }
                _ => Vec::new(),
            }
        }
        Expr::ScalarFunction(function) => match function.func.name() {
            // CASE WHEN x IS NOT NULL THEN x ELSE y END, and more if that is a condition.
            "coalesce" | "nvl" => {
                let times = if is_condition(expr, inputs) { 4 } else { 2 };
                vec![times; function.args.len().saturating_sub(1)]
            }
            "nvl2" if is_condition(expr, inputs) => vec![2],
            "regexp_like" => vec![function.args.get(1).map_or(1, alternatives)],
            _ => Vec::new(),
        },
        Expr::Case(case) if case.expr.is_none() && is_condition(expr, inputs) => conditions(case),
        _ => Vec::new(),
    }
}

/// `CASE` with true and false as its results becomes `a AND x OR NOT a AND b AND y OR NOT (a OR b) AND z`.
fn conditions(case: &Case) -> Vec<u64> {
    let arms = &case.when_then_expr;
    let literals = |value: bool| {
        let wanted = Expr::Literal(ScalarValue::Boolean(Some(value)), None);
        arms.iter().filter(|(_, then)| **then == wanted).count()
    };
    let (yes, no) = (literals(true), literals(false));
    // What is no literal yet may become one. Many results of either kind are left alone.
    if arms.len() >= 3 && yes + no == arms.len() && yes >= 3 && no >= 3 {
        return Vec::new();
    }
    (1..=arms.len()).rev().flat_map(|left| [u64::try_from(left).unwrap_or(u64::MAX).saturating_add(1), 1]).collect()
}

fn side(expr: &Expr, times: u64) -> u64 {
    if matches!(expr, Expr::Column(_)) || has_range(expr) { times } else { 1 }
}

/// Functions that are compared by what is between two limits.
fn has_range(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if matches!(function.func.name(), "floor" | "date_part"))
}

/// Into how many patterns without alternatives a regular expression may be split; it is left alone if that are too many.
fn alternatives(pattern: &Expr) -> u64 {
    const MOST: usize = 4;
    let bars = match pattern {
        Expr::Literal(value, _) => value.try_as_str().flatten().map_or(0, |text| text.matches('|').count()),
        _ => MOST,
    };
    u64::try_from((bars + 1).min(MOST)).unwrap_or(1)
}

/// Whether the type of an expression is Boolean, or not known.
fn is_condition(expr: &Expr, inputs: &[Input<'_>]) -> bool {
    let known = inputs.iter().find_map(|(input, _)| expr.get_type(input.schema()).ok());
    known.is_none_or(|data_type| matches!(data_type, DataType::Boolean | DataType::Null))
}
