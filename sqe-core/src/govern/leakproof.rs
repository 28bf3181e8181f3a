//! Which of a person's predicates may be evaluated on rows that the person may not see.
//!
//! A predicate is *leakproof* if evaluating it on any row can neither fail nor be observed: comparisons, `IN`, `IS NULL`
//! and literal `LIKE` on bare columns of flat types, and their boolean combinations. Casts, arithmetic and functions are
//! not: `1 / (x - 42) > 0` tells by its error that some hidden row holds 42. PostgreSQL draws the same line
//! ("Rules and Privileges", `LEAKPROOF`).

use std::sync::Arc;

use datafusion::{
    logical_expr::{BinaryExpr, Expr, Operator},
    physical_expr::{
        PhysicalExpr,
        expressions::{
            BinaryExpr as PhysicalBinary, Column as PhysicalColumn, DynamicFilterPhysicalExpr, InListExpr,
            IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
        },
    },
};

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Whether a logical predicate is leakproof over the columns that `open` admits. A predicate without columns is not.
pub(super) fn logical(expr: &Expr, open: &dyn Fn(&str) -> bool) -> bool {
    let column = |expr: &Expr| matches!(expr, Expr::Column(column) if open(column.name()));
    let literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            logical(left, open) && logical(right, open)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            (column(left) && (literal(right) || column(right))) || (literal(left) && column(right))
        }
        Expr::Not(inner) => logical(inner, open),
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => column(inner),
        Expr::Between(between) => column(&between.expr) && literal(&between.low) && literal(&between.high),
        Expr::InList(list) => column(&list.expr) && list.list.iter().all(literal),
        Expr::Like(like) => column(&like.expr) && literal(&like.pattern),
        _ => false,
    }
}

/// Whether a physical predicate is leakproof over the columns, by position, that `open` admits.
///
/// A dynamic filter holds comparisons with values that come from rows behind the policy, so it is leakproof when it
/// looks at bare open columns.
pub(super) fn physical(expr: &Arc<dyn PhysicalExpr>, open: &dyn Fn(&PhysicalColumn) -> bool) -> bool {
    let column = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<PhysicalColumn>().is_some_and(open);
    let literal = |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Literal>().is_some();
    if let Some(binary) = expr.downcast_ref::<PhysicalBinary>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::And | Operator::Or => physical(left, open) && physical(right, open),
            op if compares(*op) => {
                (column(left) && (literal(right) || column(right))) || (literal(left) && column(right))
            }
            _ => false,
        };
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return physical(not.arg(), open);
    }
    if let Some(is_null) = expr.downcast_ref::<IsNullExpr>() {
        return column(is_null.arg());
    }
    if let Some(is_not_null) = expr.downcast_ref::<IsNotNullExpr>() {
        return column(is_not_null.arg());
    }
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        return column(list.expr()) && list.list().iter().all(literal);
    }
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        return column(like.expr()) && literal(like.pattern());
    }
    if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
        let children = dynamic.children();
        return !children.is_empty() && children.into_iter().all(column);
    }
    false
}
