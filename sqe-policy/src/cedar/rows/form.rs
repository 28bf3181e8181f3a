//! Row predicates in their simplest form. An unrestricted reader must end up without any filter.

use sqe_core::predicate::{RowPredicate, Value};

/// A known answer.
pub(super) fn literal(value: bool) -> RowPredicate {
    RowPredicate::Literal(Value::Boolean(value))
}

/// The predicate that lets every row through.
pub(in crate::cedar) fn always() -> RowPredicate {
    literal(true)
}

/// How many conditions a predicate is made of.
pub(super) fn size(predicate: &RowPredicate) -> usize {
    match predicate {
        RowPredicate::And(parts) | RowPredicate::Or(parts) => parts.iter().map(size).sum(),
        _ => 1,
    }
}

/// A conjunction in its simplest form: flat, without what is always true.
pub(in crate::cedar) fn and(parts: impl IntoIterator<Item = RowPredicate>) -> RowPredicate {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            RowPredicate::Literal(Value::Boolean(true)) => {}
            RowPredicate::Literal(Value::Boolean(false)) => return RowPredicate::never(),
            RowPredicate::And(inner) => kept.extend(inner),
            part => kept.push(part),
        }
    }
    single(kept, RowPredicate::And, always)
}

/// A disjunction in its simplest form: flat, without what is never true.
pub(in crate::cedar) fn or(parts: impl IntoIterator<Item = RowPredicate>) -> RowPredicate {
    let mut kept = Vec::new();
    for part in parts {
        match part {
            RowPredicate::Literal(Value::Boolean(false)) => {}
            RowPredicate::Literal(Value::Boolean(true)) => return always(),
            RowPredicate::Or(inner) => kept.extend(inner),
            part => kept.push(part),
        }
    }
    single(kept, RowPredicate::Or, RowPredicate::never)
}

fn single(
    mut parts: Vec<RowPredicate>,
    many: impl FnOnce(Vec<RowPredicate>) -> RowPredicate,
    none: impl FnOnce() -> RowPredicate,
) -> RowPredicate {
    let mut seen = Vec::with_capacity(parts.len());
    parts.retain(|part| {
        if seen.contains(part) {
            false
        } else {
            seen.push(part.clone());
            true
        }
    });
    match parts.len() {
        1 => parts.remove(0),
        0 => none(),
        _ => many(parts),
    }
}
