//! Functions and operators over JSON in text.
//!
//! They are those of the crate `datafusion-functions-json` by name and by what they answer, but for one thing: what has no one
//! SQL type (`json_get`, `->`) is JSON again, in text, and not a union type, which few clients can read and few operators sort.
//!
//! A document is walked once from its beginning to the value that is asked for, without building anything of it, and no
//! further: what is wrong behind that value does not matter, what is wrong before it is NULL.

use std::sync::Arc;

use datafusion::{
    common::{Column, DFSchema},
    error::Result as DataFusionResult,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{
        Expr, ScalarUDF,
        expr::{Alias, ScalarFunction},
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use crate::Result;

mod answer;
mod function;
mod walk;

use function::{JsonFunction, Kind};

/// The names of all of these functions, for their bounds.
pub(super) const NAMES: [&str; 11] = [
    "json_as_text",
    "json_contains",
    "json_get",
    "json_get_array",
    "json_get_bool",
    "json_get_float",
    "json_get_int",
    "json_get_str",
    "json_length",
    "json_object_keys",
    "json_valid",
];

/// Adds functions and operators to a session.
///
/// # Errors
/// `Internal` if they cannot be registered.
pub(super) fn register(state: &mut SessionState) -> Result<()> {
    let function = |kind| Arc::new(ScalarUDF::new_from_impl(JsonFunction::new(kind)));
    for kind in Kind::ALL {
        state.register_udf(function(kind))?;
    }
    state.register_expr_planner(Arc::new(Operators { get: function(Kind::Get), text: function(Kind::Text) }))?;
    Ok(())
}

/// `->` and `->>`. What they become gets its bounds later, as all functions do.
#[derive(Debug)]
struct Operators {
    get: Arc<ScalarUDF>,
    text: Arc<ScalarUDF>,
}

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _schema: &DFSchema,
    ) -> DataFusionResult<PlannerResult<RawBinaryExpr>> {
        let (function, operator) = match expr.op {
            BinaryOperator::Arrow => (&self.get, "->"),
            BinaryOperator::LongArrow => (&self.text, "->>"),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        // As it was written, and not as the function that it means.
        let name = format!("{} {operator} {}", shown(&expr.left), shown(&expr.right));
        let call = ScalarFunction::new_udf(Arc::clone(function), vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(Expr::Alias(Alias::new(Expr::ScalarFunction(call), None::<&str>, name))))
    }
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Column(Column { name, .. }) => name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) => format!("'{text}'"),
            _ => value.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
