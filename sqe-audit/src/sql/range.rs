//! Conditions on the column `time`.

use chrono::{DateTime, Utc};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Between, BinaryExpr, Expr, Operator},
};

use crate::record::Bounds;

/// A closed range of microseconds since 1970-01-01T00:00:00Z, never narrower than the conditions it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeRange {
    min: i64,
    max: i64,
}

impl TimeRange {
    pub(crate) const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// The range that all of `filters` leave of column `time`. Conditions that it does not understand leave all.
    pub(crate) fn of(filters: &[Expr]) -> Self {
        let mut range = Self::ALL;
        filters.iter().for_each(|filter| range.narrow(filter));
        range
    }

    fn narrow(&mut self, filter: &Expr) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(left);
                self.narrow(right);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                if is_time(left) {
                    self.compare(*op, right);
                } else if is_time(right)
                    && let Some(op) = op.swap()
                {
                    self.compare(op, left);
                }
            }
            Expr::Between(Between { expr, negated: false, low, high }) if is_time(expr) => {
                self.compare(Operator::GtEq, low);
                self.compare(Operator::LtEq, high);
            }
            _ => {}
        }
    }

    fn compare(&mut self, op: Operator, value: &Expr) {
        let Some((floor, ceiling)) = micros(value) else { return };
        if matches!(op, Operator::Gt | Operator::GtEq | Operator::Eq) {
            self.min = self.min.max(floor);
        }
        if matches!(op, Operator::Lt | Operator::LtEq | Operator::Eq) {
            self.max = self.max.min(ceiling);
        }
    }

    pub(crate) fn is_bounded(&self) -> bool {
        *self != Self::ALL
    }

    pub(crate) fn contains(&self, time: DateTime<Utc>) -> bool {
        (self.min..=self.max).contains(&time.timestamp_micros())
    }

    pub(crate) fn overlaps(&self, bounds: &Bounds) -> bool {
        bounds.min.timestamp_micros() <= self.max && self.min <= bounds.max.timestamp_micros()
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(expr, Expr::Column(column) if column.name == "time")
}

/// A constant rounded down and up.
fn micros(value: &Expr) -> Option<(i64, i64)> {
    let Expr::Literal(value, _) = value else { return None };
    match value {
        ScalarValue::TimestampNanosecond(Some(nanos), _) => {
            let floor = nanos.div_euclid(1000);
            Some((floor, floor.saturating_add(1)))
        }
        ScalarValue::TimestampMicrosecond(Some(micros), _) => Some((*micros, *micros)),
        ScalarValue::TimestampMillisecond(Some(millis), _) => millis.checked_mul(1000).map(|micros| (micros, micros)),
        ScalarValue::TimestampSecond(Some(seconds), _) => seconds.checked_mul(1_000_000).map(|micros| (micros, micros)),
        _ => None,
    }
}
