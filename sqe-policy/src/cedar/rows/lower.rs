//! From what Cedar leaves over to a row predicate.
//!
//! Cedar has errors where SQL has NULL: reading a missing attribute is an error, and it travels through `&&` and `||`
//! unless their left side already decides. SQL's logic would let `NULL OR true` pass, which Cedar does not. So every
//! condition is lowered twice: to a predicate that is true exactly where Cedar says *true*, and to one that is true
//! exactly where Cedar says *false*. Where Cedar raises an error neither is. All atoms of the two stand in positive
//! position, so that a NULL in any of them only ever takes rows away.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::pst::{BinaryOp, Clause, Expr, Literal, PatternElem, UnaryOp};
use sqe_core::{
    Column, ColumnType,
    predicate::{CompareOp, RowPredicate, Value},
};

use super::{
    column_of,
    form::{always, and, literal, or, size},
    is_row,
};

/// Predicates larger than this are refused: nesting `||` under nullable columns repeats conditions.
const MAX_ATOMS: usize = 1024;

/// A policy's condition on rows, after everything else was evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cedar) struct Residual {
    /// True for the rows for which Cedar finds the condition true.
    pub(in crate::cedar) satisfied: RowPredicate,
    /// True for the rows for which Cedar finds the condition false. An error is neither.
    pub(in crate::cedar) unsatisfied: RowPredicate,
}

/// Lowers the clauses of a residual policy over the columns of its table.
///
/// # Errors
/// What cannot be carried over exactly.
pub(in crate::cedar) fn lower(clauses: &[Clause], columns: &[Column]) -> Result<Residual, String> {
    let columns = columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let mut lowering = Lowering { columns, atoms: 0 };
    let mut whole = Truth { yes: always(), no: RowPredicate::never(), errs: false };
    for clause in clauses {
        let part = match clause {
            Clause::When(condition) => lowering.truth(condition, &BTreeSet::new())?,
            Clause::Unless(condition) => lowering.truth(condition, &BTreeSet::new())?.negated(),
        };
        whole = whole.and(part);
    }
    Ok(Residual { satisfied: whole.yes, unsatisfied: whole.no })
}

/// A lowered condition.
#[derive(Clone)]
struct Truth {
    yes: RowPredicate,
    no: RowPredicate,
    /// Whether there may be rows for which it is an error.
    errs: bool,
}

impl Truth {
    fn negated(self) -> Self {
        Self { yes: self.no, no: self.yes, errs: self.errs }
    }

    /// `self && right`: the right side counts only where the left side is true.
    fn and(self, right: Self) -> Self {
        let right_no = if self.errs { and([self.yes.clone(), right.no]) } else { right.no };
        Self { yes: and([self.yes, right.yes]), no: or([self.no, right_no]), errs: self.errs || right.errs }
    }

    /// `self || right`: the right side counts only where the left side is false.
    fn or(self, right: Self) -> Self {
        self.negated().and(right.negated()).negated()
    }
}

struct Lowering<'a> {
    columns: HashMap<&'a str, &'a Column>,
    atoms: usize,
}

impl<'a> Lowering<'a> {
    /// Lowers a condition; `present` are the columns known not to be NULL where it is evaluated.
    fn truth(&mut self, expr: &Expr, present: &BTreeSet<&str>) -> Result<Truth, String> {
        self.atoms += 1;
        let truth = match expr {
            Expr::Literal(Literal::Bool(known)) => Truth { yes: literal(*known), no: literal(!known), errs: false },
            // Cedar found out that this is an error, whatever the row.
            Expr::ResidualError => Truth { yes: RowPredicate::never(), no: RowPredicate::never(), errs: true },
            Expr::UnaryOp { op: UnaryOp::Not, expr } => self.truth(expr, present)?.negated(),
            Expr::BinaryOp { op: BinaryOp::And, left, right } => {
                let mut known = present.clone();
                guarded(left, &mut known);
                self.truth(left, present)?.and(self.truth(right, &known)?)
            }
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
                self.truth(left, present)?.or(self.truth(right, present)?)
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let mut known = present.clone();
                guarded(cond, &mut known);
                let cond = self.truth(cond, present)?;
                let (then, otherwise) = (self.truth(then_expr, &known)?, self.truth(else_expr, present)?);
                Truth {
                    yes: or([and([cond.yes.clone(), then.yes]), and([cond.no.clone(), otherwise.yes])]),
                    no: or([and([cond.yes, then.no]), and([cond.no, otherwise.no])]),
                    errs: cond.errs || then.errs || otherwise.errs,
                }
            }
            Expr::HasAttr { expr: row, attrs } if is_row(row) && attrs.tail.is_empty() => {
                let column = self.column(&attrs.head)?;
                let null = RowPredicate::IsNull(Box::new(RowPredicate::Column(column.field_id)));
                Truth { yes: RowPredicate::Not(Box::new(null.clone())), no: null, errs: false }
            }
            _ => self.atom(expr, present)?,
        };
        if self.atoms > MAX_ATOMS || size(&truth.yes) > MAX_ATOMS || size(&truth.no) > MAX_ATOMS {
            return Err(
                "its row condition grows too large; guard columns that may be null with has, or split it".into()
            );
        }
        Ok(truth)
    }

    /// A condition that asks about a column's value, and so is an error where the column is NULL.
    fn atom(&self, expr: &Expr, present: &BTreeSet<&str>) -> Result<Truth, String> {
        let (yes, no, names) = match expr {
            _ if column_of(expr).is_some() => {
                let (name, column) = self.operand_column(expr).ok_or_else(|| unknown(expr))?;
                if column.ty != ColumnType::Boolean {
                    return Err(format!("`{expr}` is not a condition"));
                }
                let value = RowPredicate::Column(column.field_id);
                (value.clone(), RowPredicate::Not(Box::new(value)), vec![name])
            }
            Expr::Like { expr: value, pattern } => {
                let (name, column) = self.operand_column(value).ok_or_else(|| unknown(expr))?;
                let like = RowPredicate::Like {
                    value: Box::new(RowPredicate::Column(column.field_id)),
                    pattern: sql_pattern(pattern),
                };
                (like.clone(), RowPredicate::Not(Box::new(like)), vec![name])
            }
            Expr::BinaryOp { op: BinaryOp::Contains, left, right } => {
                let (name, column) = self.operand_column(right).ok_or_else(|| unknown(expr))?;
                let Expr::Set(items) = &**left else { return Err(unknown(expr)) };
                let list = items.iter().map(|item| constant(item, column)).collect::<Result<Vec<_>, _>>()?;
                let within = RowPredicate::In { value: Box::new(RowPredicate::Column(column.field_id)), list };
                (within.clone(), RowPredicate::Not(Box::new(within)), vec![name])
            }
            Expr::BinaryOp { op, left, right } => {
                let op = comparison(*op).ok_or_else(|| unknown(expr))?;
                let (op, column, other) = match (self.operand_column(left), self.operand_column(right)) {
                    (Some((name, column)), None) => (op, (name, column), Err(right)),
                    (None, Some((name, column))) => (mirrored(op), (name, column), Err(left)),
                    (Some(left), Some(right)) => (op, left, Ok(right)),
                    (None, None) => return Err(unknown(expr)),
                };
                let mut names = vec![column.0];
                let other = match other {
                    Ok((name, other)) => {
                        if column.1.ty != other.ty {
                            return Err(format!("`{expr}` compares columns of two types"));
                        }
                        names.push(name);
                        RowPredicate::Column(other.field_id)
                    }
                    Err(other) => RowPredicate::Literal(constant(other, column.1)?),
                };
                let compare = |op| RowPredicate::Compare {
                    op,
                    left: Box::new(RowPredicate::Column(column.1.field_id)),
                    right: Box::new(other.clone()),
                };
                (compare(op), compare(negated(op)), names)
            }
            _ => return Err(unknown(expr)),
        };
        for name in &names {
            if comparable(self.column(name)?.ty).is_none() {
                return Err(format!("policies cannot look into the column {name:?}; only `has` can be asked of it"));
            }
        }
        let errs =
            names.iter().any(|name| !present.contains(name) && self.columns.get(name).is_none_or(|c| c.nullable));
        Ok(Truth { yes, no, errs })
    }

    fn column(&self, name: &str) -> Result<&'a Column, String> {
        self.columns.get(name).copied().ok_or_else(|| format!("the table has no column {name:?}"))
    }

    fn operand_column<'e>(&self, expr: &'e Expr) -> Option<(&'e str, &'a Column)> {
        let name = column_of(expr)?;
        Some((name, self.columns.get(name).copied()?))
    }
}

/// Adds the columns that are known to be there once a condition was true.
fn guarded<'e>(expr: &'e Expr, present: &mut BTreeSet<&'e str>) {
    match expr {
        Expr::HasAttr { expr, attrs } if is_row(expr) && attrs.tail.is_empty() => {
            present.insert(&attrs.head);
        }
        Expr::BinaryOp { op: BinaryOp::And, left, right } => {
            guarded(left, present);
            guarded(right, present);
        }
        _ => {}
    }
}

/// Types whose values have the same order and equality in Cedar and in the engine.
fn comparable(ty: ColumnType) -> Option<()> {
    matches!(
        ty,
        ColumnType::Boolean
            | ColumnType::Integer
            | ColumnType::Decimal
            | ColumnType::Date
            | ColumnType::Timestamp
            | ColumnType::Text
    )
    .then_some(())
}

/// A constant as a value of a column's type.
fn constant(expr: &Expr, column: &Column) -> Result<Value, String> {
    let value = match (column.ty, expr) {
        (ColumnType::Boolean, Expr::Literal(Literal::Bool(value))) => Some(Value::Boolean(*value)),
        (ColumnType::Integer, Expr::Literal(Literal::Long(value))) => Some(Value::Integer(*value)),
        (ColumnType::Text, Expr::Literal(Literal::String(value))) => Some(Value::Text(value.to_string())),
        (ColumnType::Decimal, Expr::UnaryOp { op: UnaryOp::Decimal, expr }) => match &**expr {
            Expr::Literal(Literal::String(value)) => Some(Value::Decimal(shortened(value).to_owned())),
            _ => None,
        },
        (ColumnType::Date, moment) => match milliseconds(moment) {
            Some(at) if at.rem_euclid(MILLISECONDS_A_DAY) == 0 => {
                i32::try_from(at.div_euclid(MILLISECONDS_A_DAY)).ok().map(Value::Date)
            }
            Some(_) => {
                return Err(format!("the column {:?} holds dates; compare it with a date without a time", column.name));
            }
            None => None,
        },
        (ColumnType::Timestamp, moment) => {
            milliseconds(moment).and_then(|at| at.checked_mul(1000)).map(Value::Timestamp)
        }
        _ => None,
    };
    value.ok_or_else(|| format!("`{expr}` is not a value of the column {:?}", column.name))
}

const MILLISECONDS_A_DAY: i64 = 86_400_000;

/// A point in time as Cedar writes it down after evaluation: the epoch and an offset from it.
fn milliseconds(expr: &Expr) -> Option<i64> {
    let text = |expr: &Expr, wanted: UnaryOp| match expr {
        Expr::UnaryOp { op, expr } if *op == wanted => match &**expr {
            Expr::Literal(Literal::String(text)) => Some(text.to_string()),
            _ => None,
        },
        _ => None,
    };
    match expr {
        Expr::BinaryOp { op: BinaryOp::Offset, left, right } if text(left, UnaryOp::Datetime)? == "1970-01-01" => {
            text(right, UnaryOp::Duration)?.strip_suffix("ms")?.parse().ok()
        }
        _ => None,
    }
}

/// A decimal without the zeros that Cedar appends: it always writes four digits after the point.
fn shortened(decimal: &str) -> &str {
    if decimal.contains('.') { decimal.trim_end_matches('0').trim_end_matches('.') } else { decimal }
}

fn comparison(op: BinaryOp) -> Option<CompareOp> {
    Some(match op {
        BinaryOp::Eq => CompareOp::Eq,
        BinaryOp::NotEq => CompareOp::NotEq,
        BinaryOp::Less | BinaryOp::DecimalLessThan => CompareOp::Lt,
        BinaryOp::LessEq | BinaryOp::DecimalLessEq => CompareOp::LtEq,
        BinaryOp::Greater | BinaryOp::DecimalGreater => CompareOp::Gt,
        BinaryOp::GreaterEq | BinaryOp::DecimalGreaterEq => CompareOp::GtEq,
        _ => return None,
    })
}

/// The operator that holds where `op` does not, between values that are not NULL.
fn negated(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq => CompareOp::NotEq,
        CompareOp::NotEq => CompareOp::Eq,
        CompareOp::Lt => CompareOp::GtEq,
        CompareOp::LtEq => CompareOp::Gt,
        CompareOp::Gt => CompareOp::LtEq,
        CompareOp::GtEq => CompareOp::Lt,
    }
}

/// The operator with its sides exchanged.
fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq | CompareOp::NotEq => op,
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::LtEq => CompareOp::GtEq,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::GtEq => CompareOp::LtEq,
    }
}

/// Cedar's `*` is SQL's `%`; what SQL would take for a wildcard or an escape is escaped.
fn sql_pattern(pattern: &[PatternElem]) -> String {
    let mut sql = String::new();
    for part in pattern {
        match part {
            PatternElem::Wildcard => sql.push('%'),
            PatternElem::Char(char) => {
                if matches!(char, '%' | '_' | '\\') {
                    sql.push('\\');
                }
                sql.push(*char);
            }
        }
    }
    sql
}

fn unknown(expr: &Expr) -> String {
    format!("`{expr}` cannot be turned into a row filter")
}
