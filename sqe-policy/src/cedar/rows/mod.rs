//! Policies about rows: from what Cedar leaves over to a row predicate.

mod admit;
mod form;
mod infer;
mod lower;
mod schema;

pub(super) use self::{
    admit::admit,
    form::{always, and, or},
    infer::infer,
    lower::{Residual, lower},
    schema::{RowTypes, base, with_row},
};

use cedar_policy::pst::{Clause, Expr, Literal, Var};
use sqe_core::ColumnType;

/// What a column is to policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ColumnKind {
    Boolean,
    Integer,
    Text,
    Decimal,
    Moment,
    /// A column that policies cannot look into.
    Opaque,
}

impl ColumnKind {
    pub(super) fn of(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Integer => Self::Integer,
            ColumnType::Text => Self::Text,
            ColumnType::Decimal => Self::Decimal,
            ColumnType::Date | ColumnType::Timestamp => Self::Moment,
            _ => Self::Opaque,
        }
    }

    /// The kind's name in Cedar schemas.
    pub(super) fn cedar(self) -> &'static str {
        match self {
            Self::Boolean => "Bool",
            Self::Integer => "Long",
            Self::Text => "String",
            Self::Decimal => "decimal",
            Self::Moment => "datetime",
            Self::Opaque => "Opaque",
        }
    }
}

/// The condition of a clause.
fn condition(clause: &Clause) -> &Expr {
    match clause {
        Clause::When(condition) | Clause::Unless(condition) => condition,
    }
}

/// The column that an expression is, if it is one. Before evaluation a row is `resource`, afterwards an entity.
fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::GetAttr { expr, attr } if is_row(expr) => Some(attr),
        _ => None,
    }
}

fn is_row(expr: &Expr) -> bool {
    match expr {
        Expr::Var(Var::Resource) => true,
        Expr::Literal(Literal::EntityUID(uid)) => uid.ty.0.id.as_str() == "Row" && uid.ty.0.namespace.is_empty(),
        _ => false,
    }
}

/// Whether an expression depends on a value of the row, and so is not known before the row is.
fn reads_row(expr: &Expr) -> bool {
    expr.reduce(
        &|part| match part {
            Expr::GetAttr { expr, .. } | Expr::HasAttr { expr, .. } if is_row(expr) => Some(true),
            _ => None,
        },
        &|left, right| left || right,
        false,
    )
}

/// Whether any clause of a policy reads an attribute of its resource.
pub(super) fn reads_resource<'a>(clauses: impl IntoIterator<Item = &'a Clause>) -> bool {
    clauses.into_iter().any(|clause| reads_row(condition(clause)))
}
