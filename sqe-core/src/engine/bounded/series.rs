//! How many values a series has.

use arrow::{
    array::AsArray,
    compute::cast,
    datatypes::{DataType, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit},
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::ColumnarValue};

use super::measure::{Numbers, each, integers};
use crate::Error;

/// What the values of a series are counted in.
#[derive(Clone, Copy)]
enum Unit {
    One,
    Day,
    Nanosecond,
}

/// What is missing makes no series, nor does a step away from the end; a step of nothing is an error of the function's
/// own.
pub(super) fn series(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let number = |number| ColumnarValue::Scalar(ScalarValue::Int64(Some(number)));
    let (zero, one) = (number(0), number(1));
    let (start, stop, step) = match args {
        [stop] => (&zero, stop, &one),
        [start, stop] => (start, stop, &one),
        [start, stop, step, ..] => (start, stop, step),
        [] => return Ok(0),
    };
    if [start, stop, step].into_iter().any(|argument| argument.data_type().is_null()) {
        return Ok(0);
    }
    let unit = match start.data_type() {
        DataType::Date32 | DataType::Date64 => Unit::Day,
        DataType::Timestamp(..) => Unit::Nanosecond,
        _ => Unit::One,
    };
    let (start, stop, step) = (moments(start)?, moments(stop)?, steps(step, unit)?);
    let values = |row: usize| -> Option<u128> {
        let (start, stop) = (i128::from(start.signed(row)?), i128::from(stop.signed(row)?));
        let (span, step) = (stop - start, i128::from(step.signed(row)?));
        if step == 0 || span.signum() * step.signum() < 0 {
            return None;
        }
        Some(span.unsigned_abs() / step.unsigned_abs() + 1)
    };
    Ok((0..rows).fold(0, |bytes: u64, row| {
        let values = u64::try_from(values(row).unwrap_or(0)).unwrap_or(u64::MAX);
        bytes.saturating_add(values.saturating_mul(8))
    }))
}

/// Dates in days, timestamps in nanoseconds. A timestamp that has none is missing for the function, too.
fn moments(value: &ColumnarValue) -> DataFusionResult<Numbers> {
    let factor = match value.data_type() {
        DataType::Date32 | DataType::Date64 => {
            return each(Some(value), |array| {
                let days = cast(&cast(array, &DataType::Date32)?, &DataType::Int32)?;
                Ok(cast(&days, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect())
            });
        }
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => 1,
    };
    each(Some(value), |array| {
        let numbers = cast(array, &DataType::Int64)?;
        Ok(numbers.as_primitive::<Int64Type>().iter().map(|number| number?.checked_mul(factor)).collect())
    })
}

fn steps(value: &ColumnarValue, unit: Unit) -> DataFusionResult<Numbers> {
    if !matches!(value.data_type(), DataType::Interval(_)) {
        return integers(Some(value));
    }
    each(Some(value), |array| {
        let array = cast(array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
        let steps = array.as_primitive::<IntervalMonthDayNanoType>();
        steps.iter().map(|step| step.map(|step| length(step, unit)).transpose()).collect()
    })
}

/// The shortest that a step can be: a bound may count too many values, never too few.
fn length(step: IntervalMonthDayNano, unit: Unit) -> DataFusionResult<i64> {
    let parts = [i64::from(step.months), i64::from(step.days), step.nanoseconds];
    // Such a step can stand still, now or somewhere on its way, and then the series has no end.
    if parts.iter().any(|part| *part > 0) && parts.iter().any(|part| *part < 0) {
        return Err(
            Error::invalid("a series needs a step in one direction; give all parts of its interval one sign").into()
        );
    }
    let days = i128::from(step.months) * 28 + i128::from(step.days);
    let length = match unit {
        Unit::One | Unit::Day => days,
        // Clocks are put forward once a year.
        Unit::Nanosecond => days * 23 * 3_600 * 1_000_000_000 + i128::from(step.nanoseconds),
    };
    Ok(i64::try_from(length).unwrap_or(if length < 0 { i64::MIN } else { i64::MAX }))
}
