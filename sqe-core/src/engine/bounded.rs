//! Functions whose answer, or whose work, can be far larger than their arguments. They allocate at once and outside of
//! every memory pool, also while a statement is planned, and nothing interrupts them, so what they would need is
//! estimated before they are called.
//!
//! Not all of them are called by a name: planners keep `||` as an operator, and turn `[a, b]` or `position(a IN b)`
//! into functions that they did not get from the session. A rewrite puts bounds on those.

mod answer;
mod budget;
mod function;
mod joined;
mod measure;
mod separated;
mod series;
mod work;

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{DFSchema, config::ConfigOptions, tree_node::Transformed},
    error::Result as DataFusionResult,
    execution::{FunctionRegistry, SessionState},
    logical_expr::{
        AggregateUDF, BinaryExpr, ColumnarValue, Expr, Operator, ScalarUDF, expr::ScalarFunction,
        expr_rewriter::FunctionRewrite,
    },
};

use self::{budget::Budget, function::Bounded, joined::Joined, separated::Separated};
use super::json;
use crate::Result;

/// An upper bound of an answer, in bytes, from the arguments of a call on this many rows.
type Estimate = fn(&[ColumnarValue], usize) -> DataFusionResult<u64>;
/// How many steps a call takes, of about a nanosecond, row by row. Nothing at all: it takes as many as there are bytes.
type Work = fn(&[ColumnarValue], usize) -> DataFusionResult<Vec<u64>>;

/// What is known about a function.
#[derive(Debug, Clone, Copy)]
struct Bound {
    bytes: Estimate,
    work: Option<Work>,
}

impl Bound {
    const fn bytes(bytes: Estimate) -> Self {
        Self { bytes, work: None }
    }

    const fn work(self, work: Work) -> Self {
        Self { work: Some(work), ..self }
    }

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "repeat" => Self::bytes(answer::repeat),
            "lpad" | "rpad" => Self::bytes(answer::pad),
            "replace" => Self::bytes(answer::replace),
            "regexp_replace" => Self::bytes(answer::regexp_replace).work(work::regexp_replace),
            "array_repeat" => Self::bytes(answer::array_repeat),
            "array_resize" => Self::bytes(answer::array_resize),
            "array_to_string" => Self::bytes(answer::array_to_string),
            "range" | "generate_series" => Self::bytes(series::series),
            "concat" => Self::bytes(answer::concat),
            "concat_ws" => Self::bytes(answer::concat_ws),
            joined::NAME => Self::bytes(answer::joined),
            "to_char" => Self::bytes(answer::to_char),
            "translate" => Self::bytes(answer::translate),
            "regexp_match" => Self::bytes(answer::regexp_match),
            "regexp_count" | "regexp_instr" => Self::bytes(answer::spread).work(work::regexp_search),
            "levenshtein" => Self::bytes(answer::spread).work(work::levenshtein),
            "strpos" => Self::bytes(answer::spread).work(work::strpos),
            "array_has_all" => Self::bytes(answer::spread).work(work::array_has_all),
            "array_has_any" => Self::bytes(answer::nothing).work(work::array_has_any),
            _ if SPREAD.contains(&name) || json::NAMES.contains(&name) => Self::bytes(answer::spread),
            _ => return None,
        })
    }
}

/// Functions that write out an argument once a row, also if it is the same for all rows.
const SPREAD: [&str; 37] = [
    "array_append",
    "array_concat",
    "array_element",
    "array_except",
    "array_has",
    "array_intersect",
    "array_position",
    "array_positions",
    "array_prepend",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_slice",
    "array_union",
    "arrays_zip",
    "btrim",
    "decode",
    "encode",
    "ends_with",
    "find_in_set",
    "greatest",
    "least",
    "left",
    "ltrim",
    "make_array",
    "nullif",
    "overlay",
    "regexp_like",
    "right",
    "rtrim",
    "split_part",
    "string_to_array",
    "substr",
    "substr_index",
];

/// Puts a bound on the functions of a session that need one. A process that runs plans of another must have done the
/// same: plans name their functions, and one of them, that of `||`, exists nowhere else.
///
/// # Errors
/// `Internal` if a function cannot be replaced.
pub(super) fn bound(state: &mut SessionState) -> Result<()> {
    // By their own names: a session knows them by their aliases, too, and registering tells it all of them.
    let known: HashMap<String, Arc<ScalarUDF>> =
        state.scalar_functions().values().map(|plain| (plain.name().to_owned(), Arc::clone(plain))).collect();
    let joined = Arc::new(ScalarUDF::new_from_impl(Joined::new()));
    let mut functions = HashMap::new();
    for plain in known.into_values().chain([joined]) {
        if let Some(bounded) = bounded(&plain) {
            state.register_udf(Arc::clone(&bounded))?;
            functions.insert(plain.name().to_owned(), (plain, bounded));
        }
    }
    state.register_function_rewrite(Arc::new(Rewrite(functions)))?;
    if let Some(plain) = state.aggregate_functions().get(separated::NAME).map(Arc::clone) {
        state.register_udaf(Arc::new(AggregateUDF::new_from_impl(Separated::new(plain))))?;
    }
    state.config_mut().options_mut().extensions.insert(Budget::default());
    Ok(())
}

/// The function with its bound; `None` if it needs none, or has it.
fn bounded(plain: &Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    if plain.inner().downcast_ref::<Bounded>().is_some() {
        return None;
    }
    let bound = Bound::of(plain.name())?;
    Some(Arc::new(ScalarUDF::new_from_impl(Bounded::new(Arc::clone(plain), bound))))
}

/// Functions by name, each without and with its bound.
#[derive(Debug)]
struct Rewrite(HashMap<String, (Arc<ScalarUDF>, Arc<ScalarUDF>)>);

impl FunctionRewrite for Rewrite {
    fn name(&self) -> &str {
        "bounded_functions"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> DataFusionResult<Transformed<Expr>> {
        Ok(match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
                match self.0.get(joined::NAME) {
                    Some((_, bounded)) => Transformed::yes(call(Arc::clone(bounded), vec![*left, *right])),
                    None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right })),
                }
            }
            // The very function: an embedder's own may have the same name.
            Expr::ScalarFunction(ScalarFunction { func, args }) => match self.0.get(func.name()) {
                Some((plain, bounded)) if *func == **plain => Transformed::yes(call(Arc::clone(bounded), args)),
                _ => Transformed::no(call(func, args)),
            },
            other => Transformed::no(other),
        })
    }
}

fn call(function: Arc<ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

#[cfg(test)]
mod tests;
