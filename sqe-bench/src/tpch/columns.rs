//! One column of a batch out of rows.

use std::{fmt::Display, fmt::Write as _, sync::Arc};

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray, StringBuilder};
use tpchgen::{dates::TPCHDate, decimal::TPCHDecimal};

use super::tables::DECIMAL;

pub(super) fn int64<R>(rows: &[R], value: impl Fn(&R) -> i64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
}

pub(super) fn int32<R>(rows: &[R], value: impl Fn(&R) -> i32) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(rows.iter().map(value)))
}

pub(super) fn decimal<R>(rows: &[R], value: impl Fn(&R) -> TPCHDecimal) -> ArrayRef {
    hundredths(rows, |row| value(row).into_inner())
}

/// A decimal column from values in hundredths, the unit in which `DECIMAL(15, 2)` counts.
pub(super) fn hundredths<R>(rows: &[R], value: impl Fn(&R) -> i64) -> ArrayRef {
    let values = rows.iter().map(|row| i128::from(value(row)));
    Arc::new(Decimal128Array::from_iter_values(values).with_data_type(DECIMAL.data_type()))
}

pub(super) fn date<R>(rows: &[R], value: impl Fn(&R) -> TPCHDate) -> ArrayRef {
    Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| value(row).to_unix_epoch())))
}

pub(super) fn text<'a, R>(rows: &'a [R], value: impl Fn(&'a R) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
}

/// A text column from values that only know how to write themselves.
pub(super) fn shown<'a, R, D: Display + 'a>(rows: &'a [R], value: impl Fn(&'a R) -> D) -> ArrayRef {
    let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * 16);
    for row in rows {
        // The builder is a writer into memory, and `Display` of these values has no failure of its own.
        let _infallible = write!(column, "{}", value(row));
        column.append_value("");
    }
    Arc::new(column.finish())
}
