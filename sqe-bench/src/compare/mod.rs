//! Whether two engines gave the same answer.
//!
//! - Answers are multisets of rows; order counts only where the query asks for one (see [`Ordering`]).
//! - Whole numbers, text, dates, booleans and decimals are equal or they are not; `1.50` equals `1.5`, and a whole
//!   number equals the decimal of the same value. Column names do not count: engines name expressions differently.
//! - A column that is floating-point on either side is equal within a relative 1e-6. Sums of floats depend on the order
//!   of addition, which differs from engine to engine and with every run on several threads; the engines here keep 15
//!   digits, and 1e-6 is far above that noise and far below what one wrong row does to an aggregate of a suite.
//! - If the other side of such a column is a decimal, one unit of its last digit is allowed as well: the average of a
//!   decimal is a float for DuckDB and a decimal of limited scale for DataFusion.

mod ordering;
mod row;

pub use ordering::Ordering;

use std::{cmp, fmt};

use crate::answer::Answer;
use row::{Row, Shape, shown};

/// The relative difference up to which floats are equal.
pub const TOLERANCE: f64 = 1e-6;

/// Compares an engine's answer with the one that is taken for right.
///
/// # Errors
/// The first difference found.
pub fn compare(expected: &Answer, actual: &Answer, ordering: Option<&Ordering>) -> Result<(), Difference> {
    if expected.columns.len() != actual.columns.len() {
        return Err(Difference::Columns { expected: expected.columns.len(), actual: actual.columns.len() });
    }
    let shape = Shape::of(expected, actual);
    let mut expected: Vec<Row<'_>> = expected.rows.iter().map(|row| shape.row(row)).collect();
    let mut actual: Vec<Row<'_>> = actual.rows.iter().map(|row| shape.row(row)).collect();
    if let Some(ordering) = ordering
        && expected.len() == actual.len()
    {
        let keys = shape.positions(&ordering.keys);
        in_order(&expected, &actual, &keys)?;
        // Which of the rows that tie on the last place a LIMIT cuts off is for the engine to choose.
        if ordering.complete && ordering.limit.is_some_and(|limit| limit <= expected.len()) {
            let tail = tie_of_last(&expected, &keys).min(tie_of_last(&actual, &keys));
            expected.truncate(tail);
            actual.truncate(tail);
        }
    }
    same_rows(expected, actual)
}

fn in_order(expected: &[Row<'_>], actual: &[Row<'_>], keys: &[row::Position]) -> Result<(), Difference> {
    let mut rows = expected.iter().zip(actual).enumerate();
    match rows.find(|(_, (expected, actual))| !expected.same_at(actual, keys)) {
        None => Ok(()),
        Some((position, (expected, actual))) => {
            Err(Difference::Order { row: position + 1, expected: shown(expected.raw), actual: shown(actual.raw) })
        }
    }
}

/// Where the rows begin that have the last row's keys.
fn tie_of_last(rows: &[Row<'_>], keys: &[row::Position]) -> usize {
    let Some(last) = rows.last() else { return 0 };
    let tied = rows.iter().rev().take_while(|row| row.same_at(last, keys)).count();
    rows.len() - tied
}

fn same_rows(mut expected: Vec<Row<'_>>, mut actual: Vec<Row<'_>>) -> Result<(), Difference> {
    expected.sort_by(Row::order);
    actual.sort_by(Row::order);
    let (mut expected, mut actual) = (expected.iter().peekable(), actual.iter().peekable());
    loop {
        let which = match (expected.peek(), actual.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => cmp::Ordering::Less,
            (None, Some(_)) => cmp::Ordering::Greater,
            (Some(expected), Some(actual)) => expected.exact.cmp(&actual.exact),
        };
        match which {
            cmp::Ordering::Less => {
                let row = expected.next().map(|row| shown(row.raw)).unwrap_or_default();
                return Err(Difference::Missing { row });
            }
            cmp::Ordering::Greater => {
                let row = actual.next().map(|row| shown(row.raw)).unwrap_or_default();
                return Err(Difference::Extra { row });
            }
            cmp::Ordering::Equal => {
                if let (Some(expected), Some(actual)) = (expected.next(), actual.next())
                    && !expected.close_to(actual)
                {
                    return Err(Difference::Value { expected: shown(expected.raw), actual: shown(actual.raw) });
                }
            }
        }
    }
}

/// How an answer differs from the one that is taken for right.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The number of columns.
    Columns {
        /// In the right answer.
        expected: usize,
        /// In the other.
        actual: usize,
    },
    /// The order, at a row counted from 1.
    Order {
        /// Which row.
        row: usize,
        /// The right one.
        expected: String,
        /// The one that stands there.
        actual: String,
    },
    /// A row is not there, or not often enough, or one of its exact values differs.
    Missing {
        /// The row.
        row: String,
    },
    /// A row should not be there, or not so often.
    Extra {
        /// The row.
        row: String,
    },
    /// Floating-point values differ by more than [`TOLERANCE`].
    Value {
        /// The right row.
        expected: String,
        /// The other.
        actual: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns { expected, actual } => write!(f, "{actual} columns instead of {expected}"),
            Self::Order { row, expected, actual } => write!(f, "row {row} in order is {actual} instead of {expected}"),
            Self::Missing { row } => write!(f, "the row {row} is missing"),
            Self::Extra { row } => write!(f, "the row {row} should not be there"),
            Self::Value { expected, actual } => write!(f, "the row {actual} should be {expected}"),
        }
    }
}

#[cfg(test)]
mod tests;
