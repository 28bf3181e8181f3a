//! Which of a person's predicates may be evaluated on rows that the person may not see.
//!
//! A predicate is *leakproof* if evaluating it on any row can neither fail nor be observed: comparisons, `IN`, `IS NULL`
//! and literal `LIKE` on bare columns of flat types, and their boolean combinations. Casts, arithmetic and functions are
//! not: `1 / (x - 42) > 0` tells by its error that some hidden row holds 42. Neither is a long pattern: it becomes a
//! regular expression, and compiling one that is too large fails, once there is a row. PostgreSQL draws the same line
//! ("Rules and Privileges", `LEAKPROOF`).

use std::sync::Arc;

use datafusion::{
    common::ScalarValue,
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

/// Whether a `LIKE` pattern is certain to compile: one of at most 256 bytes without `_`.
fn is_small(pattern: &ScalarValue) -> bool {
    let text = pattern.try_as_str().flatten();
    text.is_some_and(|text| text.len() <= 256 && !text.contains('_'))
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
        Expr::Like(like) => column(&like.expr) && matches!(&*like.pattern, Expr::Literal(value, _) if is_small(value)),
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
        let small = like.pattern().downcast_ref::<Literal>().is_some_and(|pattern| is_small(pattern.value()));
        return small && column(like.expr());
    }
    if let Some(dynamic) = expr.downcast_ref::<DynamicFilterPhysicalExpr>() {
        let children = dynamic.children();
        return !children.is_empty() && children.into_iter().all(column);
    }
    false
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, StringArray},
        datatypes::{DataType, Field, Schema},
        record_batch::RecordBatch,
    };
    use datafusion::{
        logical_expr::{col, lit},
        physical_expr::expressions::{col as physical_col, like, lit as physical_lit},
    };
    use rstest::rstest;

    use super::*;

    fn physical_like(pattern: &str, any_case: bool, schema: &Schema) -> Arc<dyn PhysicalExpr> {
        let column = physical_col("s", schema).unwrap();
        like(false, any_case, column, physical_lit(pattern), schema).unwrap()
    }

    #[rstest]
    #[case("a%", true)]
    #[case("", true)]
    #[case(&"%a".repeat(128), true)]
    #[case(&"a".repeat(257), false)]
    #[case("a_c", false)]
    #[case("a\\_c", false)]
    #[case(&"_".repeat(100_000), false)]
    fn only_small_patterns_are_leakproof_and_these_never_fail(#[case] pattern: &str, #[case] leakproof: bool) {
        let schema = Schema::new(vec![Field::new("s", DataType::Utf8, true)]);
        let rows: ArrayRef = Arc::new(StringArray::from(vec![Some("abc"), None, Some("")]));
        let rows = RecordBatch::try_new(Arc::new(schema.clone()), vec![rows]).unwrap();
        for written in [col("s").like(lit(pattern)), col("s").ilike(lit(pattern)), col("s").not_like(lit(pattern))] {
            assert_eq!(logical(&written, &|_| true), leakproof);
            assert!(!logical(&written, &|_| false));
        }
        for any_case in [false, true] {
            let compiled = physical_like(pattern, any_case, &schema);
            assert_eq!(physical(&compiled, &|_| true), leakproof);
            assert!(!physical(&compiled, &|_| false));
            assert!(!leakproof || compiled.evaluate(&rows).is_ok());
        }
    }

    #[test]
    fn a_pattern_that_is_no_constant_text_is_not_leakproof() {
        let null = lit(ScalarValue::Utf8(None));
        assert!(!logical(&col("s").like(null), &|_| true));
        assert!(!logical(&col("s").like(col("s")), &|_| true));
        assert!(logical(&col("s").like(lit("a")), &|_| true));
    }
}
