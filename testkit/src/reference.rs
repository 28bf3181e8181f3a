//! Row predicates interpreted row by row, as their documentation says and as nothing in the engine does it: what property
//! tests compare with.

use sqe_core::{
    FieldId,
    predicate::{CompareOp, RowPredicate, Value},
};

/// What an operand is for one row.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names are the kinds of values")]
pub enum Got {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
}

impl From<Option<i64>> for Got {
    fn from(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Number)
    }
}

impl From<Option<&str>> for Got {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }
}

/// Whether `predicate` is true for the row whose columns `column` gives.
pub fn is_true(predicate: &RowPredicate, column: &dyn Fn(FieldId) -> Got) -> bool {
    interpret(predicate, column) == Got::Bool(true)
}

/// The value of `predicate` for the row whose columns `column` gives.
///
/// # Panics
/// For a form of predicate that came after this interpreter: a property would otherwise hold by not looking.
pub fn interpret(predicate: &RowPredicate, column: &dyn Fn(FieldId) -> Got) -> Got {
    let of = |predicate: &RowPredicate| interpret(predicate, column);
    let truth = |predicate: &RowPredicate| match of(predicate) {
        Got::Bool(value) => Some(value),
        _ => None,
    };
    let of_bool = |value: Option<bool>| value.map_or(Got::Null, Got::Bool);
    // `deciding` settles the matter; without it something unknown leaves it open.
    let joined = |parts: &[RowPredicate], deciding: bool| {
        let all: Vec<_> = parts.iter().map(truth).collect();
        let unknown = all.contains(&None);
        of_bool(if all.contains(&Some(deciding)) { Some(deciding) } else { (!unknown).then_some(!deciding) })
    };
    match predicate {
        RowPredicate::Column(id) => column(*id),
        RowPredicate::Literal(value) => constant(value),
        RowPredicate::Compare { op, left, right } => {
            let ordering = match (of(left), of(right)) {
                (Got::Number(left), Got::Number(right)) => left.cmp(&right),
                (Got::Text(left), Got::Text(right)) => left.cmp(&right),
                _ => return Got::Null,
            };
            Got::Bool(match op {
                CompareOp::Eq => ordering.is_eq(),
                CompareOp::NotEq => ordering.is_ne(),
                CompareOp::Lt => ordering.is_lt(),
                CompareOp::LtEq => ordering.is_le(),
                CompareOp::Gt => ordering.is_gt(),
                CompareOp::GtEq => ordering.is_ge(),
            })
        }
        RowPredicate::And(parts) => joined(parts, false),
        RowPredicate::Or(parts) => joined(parts, true),
        RowPredicate::Not(inner) => of_bool(truth(inner).map(|value| !value)),
        RowPredicate::IsNull(inner) => Got::Bool(of(inner) == Got::Null),
        RowPredicate::Like { value, pattern } => match of(value) {
            Got::Text(text) => Got::Bool(like(&text.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())),
            _ => Got::Null,
        },
        RowPredicate::In { value, list } => match of(value) {
            Got::Null => Got::Null,
            value => Got::Bool(list.iter().any(|item| constant(item) == value)),
        },
        RowPredicate::If { condition, then, otherwise } => {
            of(if truth(condition) == Some(true) { then } else { otherwise })
        }
        RowPredicate::Coalesce(inner, value) => match of(inner) {
            Got::Null => constant(value),
            got => got,
        },
        #[expect(clippy::panic, reason = "the caller is a test")]
        other => panic!("the reference does not know {other:?}"),
    }
}

/// Each division of `sql`, written `10 / (…)`, as a query over all rows of `t`.
///
/// Which of several conditions an engine looks at first is not promised, so a statement may fail wherever one of these
/// does, whatever its other conditions leave. Where none does, nothing that is visible makes it fail.
pub fn divisions(sql: &str) -> impl Iterator<Item = String> {
    let divisors = sql.split("10 / (").skip(1).filter_map(|rest| rest.split_once(')'));
    divisors.map(|(divisor, _)| format!("SELECT 10 / ({divisor}) FROM t"))
}

fn constant(value: &Value) -> Got {
    match value {
        Value::Boolean(value) => Got::Bool(*value),
        Value::Integer(value) => Got::Number(*value),
        Value::Text(value) => Got::Text(value.clone()),
        _ => Got::Null,
    }
}

fn like(text: &[char], pattern: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        (['%', rest @ ..], [_, shorter @ ..]) => like(text, rest) || like(shorter, pattern),
        (['%', rest @ ..], []) => like(text, rest),
        (['\\', wanted, rest @ ..], [first, text @ ..]) => first == wanted && like(text, rest),
        (['_', rest @ ..], [_, text @ ..]) => like(text, rest),
        ([wanted, rest @ ..], [first, text @ ..]) => first == wanted && like(text, rest),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_sql() {
        let of = |text: &str, pattern: &str| {
            let value = Box::new(RowPredicate::Literal(Value::Text(text.into())));
            is_true(&RowPredicate::Like { value, pattern: pattern.into() }, &|_| Got::Null)
        };
        for (text, pattern) in [("abc", "a%"), ("abc", "%c"), ("a_c", "a\\_c"), ("a", "_"), ("", "%"), ("", "")] {
            assert!(of(text, pattern), "{text} LIKE {pattern}");
        }
        for (text, pattern) in [("abc", "%b"), ("abc", "a\\_c"), ("", "_"), ("ab", "_"), ("a", "")] {
            assert!(!of(text, pattern), "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn every_division_is_found() {
        let found: Vec<_> = divisions("SELECT 10 / (n - -1) FROM t WHERE k > 3 AND 10 / (t.x - 2) > 1").collect();
        assert_eq!(found, ["SELECT 10 / (n - -1) FROM t", "SELECT 10 / (t.x - 2) FROM t"]);
        assert_eq!(divisions("SELECT n + (1) FROM t").count(), 0);
    }

    #[test]
    fn unknown_stays_unknown() {
        let unknown = || RowPredicate::compare(FieldId(1), CompareOp::Eq, Value::Integer(1));
        let literal = |value| RowPredicate::Literal(Value::Boolean(value));
        let of = |predicate: RowPredicate| interpret(&predicate, &|_| Got::Null);
        assert_eq!(of(RowPredicate::Not(Box::new(unknown()))), Got::Null);
        assert_eq!(of(RowPredicate::And(vec![unknown(), literal(true)])), Got::Null);
        assert_eq!(of(RowPredicate::And(vec![unknown(), literal(false)])), Got::Bool(false));
        assert_eq!(of(RowPredicate::Or(vec![unknown(), literal(false)])), Got::Null);
        assert_eq!(of(RowPredicate::Or(vec![unknown(), literal(true)])), Got::Bool(true));
    }
}
