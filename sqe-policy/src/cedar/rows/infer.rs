//! What a policy about rows takes its columns to be, so that it can be validated before any table is known.

use std::collections::BTreeMap;

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, UnaryOp};

use super::{ColumnKind, column_of, condition, is_row, schema::RowTypes};

/// The types that the columns of a policy must have for the policy to make sense.
///
/// # Errors
/// If a column is used as two types at once.
pub(in crate::cedar) fn infer<'a>(clauses: impl IntoIterator<Item = &'a Clause>) -> Result<RowTypes, String> {
    let clauses: Vec<_> = clauses.into_iter().collect();
    let mut uses = Uses::default();
    // A comparison of two columns tells something about one once something is known about the other.
    for _ in 0..clauses.len() + 2 {
        for clause in &clauses {
            uses.visit(condition(clause), Some(ColumnKind::Boolean))?;
        }
    }
    Ok(RowTypes(uses.0.into_iter().map(|(name, kind)| (name, kind.unwrap_or(ColumnKind::Text))).collect()))
}

/// Columns by name, and their kind once a use tells it.
#[derive(Default)]
struct Uses(BTreeMap<String, Option<ColumnKind>>);

impl Uses {
    fn visit(&mut self, expr: &Expr, expected: Option<ColumnKind>) -> Result<(), String> {
        if let Some(name) = column_of(expr) {
            return self.note(name, expected);
        }
        match expr {
            Expr::HasAttr { expr, attrs } if is_row(expr) => self.note(&attrs.head, None),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.visit(expr, Some(ColumnKind::Boolean)),
            Expr::UnaryOp { expr, .. } => self.visit(expr, None),
            Expr::BinaryOp { op, left, right } => {
                let fixed = match op {
                    BinaryOp::And | BinaryOp::Or => Some(ColumnKind::Boolean),
                    BinaryOp::DecimalLessThan
                    | BinaryOp::DecimalLessEq
                    | BinaryOp::DecimalGreater
                    | BinaryOp::DecimalGreaterEq => Some(ColumnKind::Decimal),
                    BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => Some(ColumnKind::Integer),
                    _ => None,
                };
                // Each side has the type of the other. Points in time are ordered too, and numbers otherwise.
                let ordered = matches!(op, BinaryOp::Less | BinaryOp::LessEq | BinaryOp::Greater | BinaryOp::GreaterEq);
                let otherwise = ordered.then_some(ColumnKind::Integer);
                let (of_left, of_right) = (self.kind(left), self.kind(right));
                self.visit(left, fixed.or(of_right).or(of_left).or(otherwise))?;
                self.visit(right, fixed.or(of_left).or(of_right).or(otherwise))
            }
            Expr::Like { expr, .. } => self.visit(expr, Some(ColumnKind::Text)),
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                self.visit(cond, Some(ColumnKind::Boolean))?;
                self.visit(then_expr, expected)?;
                self.visit(else_expr, expected)
            }
            Expr::Set(items) => items.iter().try_for_each(|item| self.visit(item, None)),
            Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } | Expr::Is { expr, .. } => self.visit(expr, None),
            _ => Ok(()),
        }
    }

    fn note(&mut self, name: &str, kind: Option<ColumnKind>) -> Result<(), String> {
        let known = self.0.entry(name.to_owned()).or_default();
        match (*known, kind) {
            (Some(known), Some(kind)) if known != kind => Err(format!(
                "the column {name:?} is used both as {} and as {}; one column has one type",
                known.cedar(),
                kind.cedar()
            )),
            (None, kind) => {
                *known = kind;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The kind of an operand; of a set, the kind of what is in it.
    fn kind(&self, expr: &Expr) -> Option<ColumnKind> {
        if let Some(name) = column_of(expr) {
            return self.0.get(name).copied().flatten();
        }
        match expr {
            Expr::Literal(Literal::Bool(_)) => Some(ColumnKind::Boolean),
            Expr::Literal(Literal::Long(_)) => Some(ColumnKind::Integer),
            Expr::Literal(Literal::String(_)) => Some(ColumnKind::Text),
            // Attributes and tags of a user are text.
            Expr::GetAttr { .. } | Expr::BinaryOp { op: BinaryOp::GetTag, .. } => Some(ColumnKind::Text),
            Expr::UnaryOp { op, .. } => match op {
                UnaryOp::Decimal => Some(ColumnKind::Decimal),
                UnaryOp::Datetime | UnaryOp::ToDate => Some(ColumnKind::Moment),
                UnaryOp::Neg => Some(ColumnKind::Integer),
                UnaryOp::Not => Some(ColumnKind::Boolean),
                _ => None,
            },
            Expr::BinaryOp { op: BinaryOp::Offset, .. } => Some(ColumnKind::Moment),
            Expr::BinaryOp { op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul, .. } => Some(ColumnKind::Integer),
            Expr::Set(items) => items.iter().find_map(|item| self.kind(item)),
            Expr::IfThenElse { then_expr, else_expr, .. } => self.kind(then_expr).or_else(|| self.kind(else_expr)),
            _ => None,
        }
    }
}
