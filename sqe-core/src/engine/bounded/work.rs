//! What takes far more steps than its arguments have bytes, row by row.

use datafusion::{error::Result as DataFusionResult, logical_expr::ColumnarValue};

use super::measure::{Numbers, elements, lengths, texts};

fn product(left: &Numbers, right: &Numbers, rows: usize) -> Vec<u64> {
    (0..rows).map(|row| left.at(row).saturating_mul(right.at(row))).collect()
}

fn has_constant(args: &[ColumnarValue]) -> bool {
    args.iter().any(|argument| matches!(argument, ColumnarValue::Scalar(_)))
}

pub(super) fn levenshtein(args: &[ColumnarValue], rows: usize) -> DataFusionResult<Vec<u64>> {
    Ok(product(&lengths(args.first())?, &lengths(args.get(1))?, rows))
}

/// What is looked for is compared again at every place where its first byte stands, unless it is the same for all rows.
pub(super) fn strpos(args: &[ColumnarValue], rows: usize) -> DataFusionResult<Vec<u64>> {
    match args {
        [ColumnarValue::Array(_), ColumnarValue::Scalar(_)] => Ok(Vec::new()),
        _ => {
            // Comparing is far faster than stepping.
            let product = product(&lengths(args.first())?, &lengths(args.get(1))?, rows);
            Ok(product.into_iter().map(|steps| steps / 16).collect())
        }
    }
}

pub(super) fn array_has_all(args: &[ColumnarValue], rows: usize) -> DataFusionResult<Vec<u64>> {
    Ok(product(&elements(args.first())?, &elements(args.get(1))?, rows))
}

/// A list that is the same for all rows is looked up, not walked.
pub(super) fn array_has_any(args: &[ColumnarValue], rows: usize) -> DataFusionResult<Vec<u64>> {
    if has_constant(args) { Ok(Vec::new()) } else { array_has_all(args, rows) }
}

/// Looking for all matches starts anew behind each, and a pattern that repeats something can read all the rest of the
/// text every time, at about a nanosecond a byte. Few patterns do.
pub(super) fn regexp_search(args: &[ColumnarValue], rows: usize) -> DataFusionResult<Vec<u64>> {
    let text = lengths(args.first())?;
    let repeats = texts(args.get(1), |pattern| i64::from(pattern.contains(['*', '+', '{'])))?;
    let steps = |row: usize| match repeats.at(row) {
        0 => 0,
        _ => text.at(row).saturating_mul(text.at(row)) / 64,
    };
    Ok((0..rows).map(steps).collect())
}

/// Only all matches take long, and only a `g` asks for all.
pub(super) fn regexp_replace(args: &[ColumnarValue], rows: usize) -> DataFusionResult<Vec<u64>> {
    match args.get(3) {
        None => Ok(Vec::new()),
        Some(ColumnarValue::Scalar(flags))
            if !flags.try_as_str().flatten().is_some_and(|flags| flags.contains('g')) =>
        {
            Ok(Vec::new())
        }
        Some(_) => regexp_search(args, rows),
    }
}
