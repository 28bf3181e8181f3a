//! Whether a condition about rows can become a row predicate, decided when the policy is loaded.

use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp};

use super::{column_of, condition, is_row, reads_row};

/// Accepts conditions that lowering carries over exactly, whoever asks.
///
/// What does not read the row is evaluated before lowering, and may be anything.
///
/// # Errors
/// What cannot be carried over, and what to write instead.
pub(in crate::cedar) fn admit<'a>(clauses: impl IntoIterator<Item = &'a Clause>) -> Result<(), String> {
    clauses.into_iter().try_for_each(|clause| truth(condition(clause)))
}

/// A condition that is true or false.
fn truth(expr: &Expr) -> Result<(), String> {
    if !reads_row(expr) || column_of(expr).is_some() {
        return Ok(());
    }
    match expr {
        Expr::HasAttr { expr, attrs } if is_row(expr) && attrs.tail.is_empty() => Ok(()),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => truth(expr),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => truth(left).and_then(|()| truth(right)),
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            truth(cond)?;
            truth(then_expr)?;
            truth(else_expr)
        }
        Expr::BinaryOp {
            op:
                BinaryOp::Eq
                | BinaryOp::NotEq
                | BinaryOp::Less
                | BinaryOp::LessEq
                | BinaryOp::Greater
                | BinaryOp::GreaterEq
                | BinaryOp::DecimalLessThan
                | BinaryOp::DecimalLessEq
                | BinaryOp::DecimalGreater
                | BinaryOp::DecimalGreaterEq,
            left,
            right,
        } => operand(left).and_then(|()| operand(right)),
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => {
            if reads_row(left) {
                return Err(format!(
                    "{left} is a set of columns; write a set of values, and the column inside of contains(…)"
                ));
            }
            operand(right)
        }
        Expr::Like { expr, .. } => operand(expr),
        other => Err(refused(other)),
    }
}

/// A side of a comparison: a column, or something known without the row.
fn operand(expr: &Expr) -> Result<(), String> {
    if column_of(expr).is_some() || !reads_row(expr) { Ok(()) } else { Err(refused(expr)) }
}

fn refused(expr: &Expr) -> String {
    format!(
        "`{expr}` cannot be turned into a row filter; compare columns themselves, with ==, !=, <, <=, >, >=, like, \
         has, [values].contains(column) and the comparisons of decimals, joined with &&, ||, ! and if-then-else"
    )
}
