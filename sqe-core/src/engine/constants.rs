//! Expressions without tables → values: what EXECUTE hands over.

use arrow::{
    datatypes::{Field, Schema},
    record_batch::RecordBatch,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, LogicalPlan},
    sql::{
        parser::{DFParser, Statement as Parsed},
        sqlparser::ast::{Expr as AstExpr, Ident, SelectItem, SetExpr, Statement as Ast},
    },
};

use super::{
    bind::{Bound, bind_against, with_parameters},
    sources::Scope,
    trail::Case,
};
use crate::{Error, Result};

/// A query of these expressions and of no table.
pub(super) async fn query(case: &Case, exprs: Vec<AstExpr>) -> Result<Bound> {
    let broken = || Error::internal("a query of constants cannot be made");
    let mut statement = DFParser::parse_sql("SELECT 1")?.pop_front().ok_or_else(broken)?;
    let Parsed::Statement(ast) = &mut statement else { return Err(broken()) };
    let Ast::Query(query) = &mut **ast else { return Err(broken()) };
    let SetExpr::Select(select) = &mut *query.body else { return Err(broken()) };
    // Names of their own, since the same value may stand there twice.
    let named = |(index, expr): (usize, AstExpr)| SelectItem::ExprWithAlias {
        expr,
        alias: Ident::with_quote('"', format!("${}", index + 1)),
    };
    select.projection = exprs.into_iter().enumerate().map(named).collect();
    // Bound against nothing: whatever table they name is not there.
    bind_against(case, statement, &Scope::of(&case.session), Vec::new(), Vec::new()).await
}

/// The values of such a query, for the parameters in `row`.
///
/// # Errors
/// `InvalidInput` for what is no constant.
pub(super) fn values(query: Bound, row: Option<&RecordBatch>) -> Result<Vec<ScalarValue>> {
    let plan = query.state.optimize(&with_parameters(query.plan, row)?)?;
    let LogicalPlan::Projection(projection) = &plan else { return Err(not_constant()) };
    if !matches!(&*projection.input, LogicalPlan::EmptyRelation(_)) {
        return Err(not_constant());
    }
    projection.expr.iter().map(literal).collect()
}

fn literal(expr: &Expr) -> Result<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Ok(value.clone()),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => Err(not_constant()),
    }
}

fn not_constant() -> Error {
    Error::invalid("a value is no constant; write literals, or expressions of literals alone")
}

/// Values as one row of parameters.
pub(super) fn row(values: &[ScalarValue]) -> Result<Option<RecordBatch>> {
    if values.is_empty() {
        return Ok(None);
    }
    let named = |(index, value): (usize, &ScalarValue)| Field::new(format!("${}", index + 1), value.data_type(), true);
    let fields: Vec<Field> = values.iter().enumerate().map(named).collect();
    let columns = values.iter().map(|value| value.to_array()).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(RecordBatch::try_new(Schema::new(fields).into(), columns)?))
}
