//! The answer of a query in a form that belongs to no engine, so that answers of different engines can be compared.

mod arrow;
mod literal;

pub use literal::Cells;

use std::fmt;

/// The rows of an answer, in the order in which the engine gave them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The names of the columns. Engines name expressions without an alias as they like.
    pub columns: Vec<String>,
    /// The rows; each has a value for every column.
    pub rows: Vec<Vec<Value>>,
}

impl Answer {
    /// Whether this answer proves nothing: it has no rows, or every value in it is NULL or zero. An engine that reads
    /// nothing at all gives the same: no rows, sums that are NULL, counts that are zero.
    #[must_use]
    pub fn is_vacuous(&self) -> bool {
        self.rows.iter().flatten().all(|value| match value {
            Value::Null | Value::Integer(0) | Value::Decimal { unscaled: 0, .. } => true,
            Value::Float(value) => *value == 0.0,
            _ => false,
        })
    }
}

/// One value. Exact types are kept exact.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number of any width.
    Integer(i128),
    /// `unscaled / 10^scale`.
    Decimal {
        /// The digits.
        unscaled: i128,
        /// How many of them stand after the point.
        scale: u8,
    },
    /// A binary floating-point number.
    Float(f64),
    /// Text.
    Text(String),
    /// Days since 1970-01-01.
    Date(i32),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Decimal { unscaled, scale: 0 } => write!(f, "{unscaled}"),
            Self::Decimal { unscaled, scale } => {
                let sign = if *unscaled < 0 { "-" } else { "" };
                let width = usize::from(*scale) + 1;
                let digits = format!("{:0>width$}", unscaled.unsigned_abs());
                let (whole, fraction) = digits.split_at(digits.len() - usize::from(*scale));
                write!(f, "{sign}{whole}.{fraction}")
            }
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Date(days) => match chrono::NaiveDate::from_epoch_days(*days) {
                Some(date) => write!(f, "{date}"),
                None => write!(f, "day {days}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(vec![], true)]
    #[case(vec![vec![Value::Null, Value::Null], vec![Value::Null, Value::Null]], true)]
    #[case(vec![vec![Value::Null, Value::Integer(0)]], true)]
    #[case(vec![vec![Value::Float(0.0), Value::Decimal { unscaled: 0, scale: 2 }]], true)]
    #[case(vec![vec![Value::Null, Value::Integer(0)], vec![Value::Null, Value::Integer(1)]], false)]
    #[case(vec![vec![Value::Boolean(false)]], false)]
    #[case(vec![vec![Value::Text(String::new())]], false)]
    fn an_answer_is_vacuous_without_any_value(#[case] rows: Vec<Vec<Value>>, #[case] vacuous: bool) {
        assert_eq!(Answer { columns: vec![], rows }.is_vacuous(), vacuous);
    }

    #[rstest]
    #[case(Value::Decimal { unscaled: -5, scale: 2 }, "-0.05")]
    #[case(Value::Decimal { unscaled: 12345, scale: 2 }, "123.45")]
    #[case(Value::Decimal { unscaled: 7, scale: 0 }, "7")]
    #[case(Value::Date(8035), "1992-01-01")]
    #[case(Value::Float(2.0), "2.0")]
    fn values_read_like_sql_literals(#[case] value: Value, #[case] expected: &str) {
        assert_eq!(value.to_string(), expected);
    }
}
