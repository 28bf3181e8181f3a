//! Rows in a form that sorts: exact values apart from those that are only near each other.

use std::{cmp::Ordering, fmt::Write as _};

use super::TOLERANCE;
use crate::answer::{Answer, Value};

/// Which columns are compared exactly and which within the tolerance.
pub(super) struct Shape {
    approximate: Vec<bool>,
}

/// Where a column's value stands in a [`Row`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Position {
    Exact(usize),
    Near(usize),
}

impl Shape {
    pub(super) fn of(expected: &Answer, actual: &Answer) -> Self {
        let mut approximate = vec![false; expected.columns.len()];
        for row in expected.rows.iter().chain(&actual.rows) {
            for (column, value) in approximate.iter_mut().zip(row) {
                *column |= matches!(value, Value::Float(_));
            }
        }
        Self { approximate }
    }

    pub(super) fn row<'a>(&self, raw: &'a [Value]) -> Row<'a> {
        let (mut exact, mut near) = (Vec::new(), Vec::new());
        for (value, approximate) in raw.iter().zip(&self.approximate) {
            if *approximate { near.push(Near::of(value)) } else { exact.push(Exact::of(value)) }
        }
        Row { raw, exact, near }
    }

    pub(super) fn positions(&self, columns: &[usize]) -> Vec<Position> {
        let place = |column: usize| {
            let before = self.approximate.iter().take(column).filter(|near| **near).count();
            let near = self.approximate.get(column).copied()?;
            Some(if near { Position::Near(before) } else { Position::Exact(column - before) })
        };
        columns.iter().filter_map(|column| place(*column)).collect()
    }
}

pub(super) struct Row<'a> {
    pub(super) raw: &'a [Value],
    pub(super) exact: Vec<Exact<'a>>,
    near: Vec<Near>,
}

impl Row<'_> {
    /// Exact values first, so that a float near another one never decides where the row stands among different rows.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.exact.cmp(&other.exact).then_with(|| {
            let pairs = self.near.iter().zip(&other.near);
            pairs.map(|(one, two)| one.order(two)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        })
    }

    pub(super) fn close_to(&self, other: &Self) -> bool {
        self.near.iter().zip(&other.near).all(|(one, two)| one.close_to(two))
    }

    pub(super) fn same_at(&self, other: &Self, keys: &[Position]) -> bool {
        keys.iter().all(|key| match key {
            Position::Exact(index) => self.exact.get(*index) == other.exact.get(*index),
            Position::Near(index) => match (self.near.get(*index), other.near.get(*index)) {
                (Some(one), Some(two)) => one.close_to(two),
                _ => false,
            },
        })
    }
}

/// A value with one form for each number, so that equality and order are those of the derive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exact<'a> {
    Null,
    Boolean(bool),
    Number { scale: u8, unscaled: i128 },
    Text(&'a str),
    Date(i32),
}

impl<'a> Exact<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(*value),
            Value::Integer(unscaled) => Self::Number { scale: 0, unscaled: *unscaled },
            Value::Decimal { unscaled, scale } => {
                let (mut unscaled, mut scale) = (*unscaled, *scale);
                while scale > 0 && unscaled % 10 == 0 {
                    unscaled /= 10;
                    scale -= 1;
                }
                Self::Number { scale, unscaled }
            }
            Value::Text(text) => Self::Text(text),
            Value::Date(days) => Self::Date(*days),
            // INVARIANT: a column with a float in it is compared by `Near`; see `Shape::of`.
            Value::Float(_) => Self::Null,
        }
    }
}

/// A value of a column that has floats.
#[derive(Debug, Clone, Copy)]
enum Near {
    Null,
    /// The value, and how far the truth may be from it because the type has no more digits.
    Number(f64, f64),
    /// Not a number at all; equal to nothing, itself included, so that it always shows.
    Other,
}

impl Near {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Float(value) => Self::Number(*value, 0.0),
            Value::Integer(value) => Self::Number(*value as f64, 0.0),
            Value::Decimal { unscaled, scale } => {
                let unit = 10f64.powi(-i32::from(*scale));
                Self::Number(*unscaled as f64 * unit, unit)
            }
            Value::Boolean(_) | Value::Text(_) | Value::Date(_) => Self::Other,
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one, _), Self::Number(two, _)) => one.total_cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(..) => 1,
            Self::Other => 2,
        }
    }

    fn close_to(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Number(one, unit), Self::Number(two, other_unit)) => {
                let allowed = TOLERANCE * one.abs().max(two.abs()) + unit.max(*other_unit);
                // The first two are for infinities and NaN, which have no distance.
                one == two || (one.is_nan() && two.is_nan()) || (one - two).abs() <= allowed && allowed.is_finite()
            }
            _ => false,
        }
    }
}

/// A row as text for people.
pub(super) fn shown(row: &[Value]) -> String {
    let mut text = String::from("(");
    for (index, value) in row.iter().enumerate() {
        let _infallible = write!(text, "{}{value}", if index == 0 { "" } else { ", " });
    }
    text.push(')');
    text
}
