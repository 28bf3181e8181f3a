//! What answers need, in bytes.

use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use datafusion::{error::Result as DataFusionResult, logical_expr::ColumnarValue};

use super::measure::{Numbers, constant, integers, lengths, span, texts, written_out};

fn sum(rows: usize, of: impl Fn(usize) -> u64) -> u64 {
    (0..rows).fold(0, |sum, row| sum.saturating_add(of(row)))
}

fn total(of: impl Iterator<Item = u64>) -> u64 {
    of.fold(0, u64::saturating_add)
}

/// An answer that is not larger than the arguments, none of which is written out.
pub(super) fn nothing(_: &[ColumnarValue], _: usize) -> DataFusionResult<u64> {
    Ok(0)
}

/// What is said once and written out in every row. Constants alone are not.
pub(super) fn spread(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    if constant(args) {
        return Ok(0);
    }
    Ok(total(args.iter().map(|argument| match argument {
        ColumnarValue::Scalar(_) => written_out(argument, rows),
        ColumnarValue::Array(_) => 0,
    })))
}

pub(super) fn concat(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    Ok(total(args.iter().map(|argument| written_out(argument, rows))))
}

pub(super) fn concat_ws(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let Some((separator, texts)) = args.split_first() else { return Ok(0) };
    let separators = written_out(separator, rows).saturating_mul(texts.len() as u64);
    Ok(concat(texts, rows)?.saturating_add(separators))
}

/// `||` writes its operands out before it joins them.
pub(super) fn joined(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    Ok(concat(args, rows)?.saturating_add(spread(args, rows)?))
}

pub(super) fn repeat(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (text, times) = (lengths(args.first())?, integers(args.get(1))?);
    Ok(sum(rows, |row| text.at(row).saturating_mul(times.at(row))).saturating_add(spread(args, rows)?))
}

/// Characters have up to four bytes.
pub(super) fn pad(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let length = integers(args.get(1))?;
    Ok(sum(rows, |row| length.at(row).saturating_mul(4)).saturating_add(spread(args, rows)?))
}

pub(super) fn replace(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (text, from, to) = (lengths(args.first())?, lengths(args.get(1))?, lengths(args.get(2))?);
    let answer = sum(rows, |row| {
        let places = (text.at(row) / from.at(row).max(1)).saturating_add(1);
        places.saturating_mul(to.at(row)).saturating_add(text.at(row))
    });
    Ok(answer.saturating_add(spread(args, rows)?))
}

/// A pattern can match between any two characters, and each reference can bring the whole text again.
pub(super) fn regexp_replace(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (text, to) = (lengths(args.first())?, lengths(args.get(2))?);
    let answer = sum(rows, |row| text.at(row).saturating_add(1).saturating_mul(to.at(row).saturating_add(1)));
    Ok(answer.saturating_add(spread(args, rows)?))
}

/// Every group can be the whole text.
pub(super) fn regexp_match(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let text = lengths(args.first())?;
    let groups = texts(args.get(1), |pattern| pattern.matches('(').count() as i64)?;
    let answer = sum(rows, |row| text.at(row).saturating_mul(groups.at(row).saturating_add(1)));
    Ok(answer.saturating_add(spread(args, rows)?))
}

/// A byte can become a character of four, unless there is none to become.
pub(super) fn translate(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let Some(text) = args.first() else { return Ok(0) };
    let growth = match args.get(2) {
        Some(ColumnarValue::Scalar(to)) if to.try_as_str().flatten().is_none_or(str::is_ascii) => 1,
        _ => 4,
    };
    Ok(written_out(text, rows).saturating_mul(growth).saturating_add(spread(args, rows)?))
}

/// Two characters of a format stand for up to 35.
pub(super) fn to_char(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let format = lengths(args.get(1))?;
    Ok(sum(rows, |row| format.at(row).saturating_mul(18)))
}

pub(super) fn array_repeat(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (element, times) = match args.first() {
        Some(ColumnarValue::Array(array)) => {
            (array.get_array_memory_size() / array.len().max(1), integers(args.get(1))?)
        }
        Some(ColumnarValue::Scalar(scalar)) => (scalar.size(), integers(args.get(1))?),
        None => return Ok(0),
    };
    Ok(sum(rows, |row| (element.max(8) as u64).saturating_mul(times.at(row))))
}

pub(super) fn array_resize(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let length = integers(args.get(1))?;
    let element = match args.get(2) {
        Some(ColumnarValue::Scalar(scalar)) => scalar.size() as u64,
        Some(ColumnarValue::Array(array)) => (array.get_array_memory_size() / array.len().max(1)) as u64,
        None => 8,
    };
    Ok(sum(rows, |row| length.at(row).saturating_mul(element.max(8))).saturating_add(spread(args, rows)?))
}

/// How many elements the lists have, and how many bytes they take, in all.
fn lists(value: Option<&ColumnarValue>) -> DataFusionResult<(u64, u64)> {
    let Some(value) = value else { return Ok((0, 0)) };
    let array = value.to_array(1)?;
    // Of a slice the elements of all lists are there.
    let (all, own) = match array.data_type() {
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            (lists.values().len(), span(lists.value_offsets()))
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            (lists.values().len(), span(lists.value_offsets()))
        }
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list();
            (lists.values().len(), lists.len() as u64 * lists.value_length() as u64)
        }
        _ => (array.len(), array.len() as u64),
    };
    let bytes = array.get_array_memory_size() as u128 * u128::from(own) / all.max(1) as u128;
    Ok((own, u64::try_from(bytes).unwrap_or(u64::MAX)))
}

pub(super) fn array_to_string(args: &[ColumnarValue], rows: usize) -> DataFusionResult<u64> {
    let (elements, bytes) = lists(args.first())?;
    let (separator, null) = (lengths(args.get(1))?, lengths(args.get(2))?);
    let longest = |of: &Numbers| (0..rows).map(|row| of.at(row)).max().unwrap_or(0);
    let each = longest(&separator).saturating_add(longest(&null)).saturating_add(20);
    // A list that is the same for all rows is joined once a row.
    let times = if matches!(args.first(), Some(ColumnarValue::Scalar(_))) { rows as u64 } else { 1 };
    Ok(elements.saturating_mul(each).saturating_add(bytes).saturating_mul(times))
}
