//! Values as text.

use anyhow::Result;
use arrow::{
    array::{ArrayRef, RecordBatch},
    buffer::NullBuffer,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};

/// What stands for a missing value where people read.
pub(super) const NULL: &str = "NULL";

/// The values of a batch, one by one.
pub(super) struct Cells<'a> {
    columns: Vec<(ArrayFormatter<'a>, Option<NullBuffer>)>,
}

impl<'a> Cells<'a> {
    /// # Errors
    /// A column is of a type that has no text.
    pub(super) fn new(batch: &'a RecordBatch) -> Result<Self> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new();
        let column = |array: &'a ArrayRef| -> Result<_> {
            Ok((ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?, array.logical_nulls()))
        };
        Ok(Self { columns: batch.columns().iter().map(column).collect::<Result<_>>()? })
    }

    /// The values of a row. `None`: missing.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = Option<String>> + '_ {
        self.columns.iter().map(move |(formatter, nulls)| {
            let missing = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            (!missing).then(|| formatter.value(row).to_string())
        })
    }
}

/// The value where people read: a missing one is [`NULL`], and a text that reads so stands in quotes.
pub(super) fn shown(value: Option<String>) -> String {
    match value {
        None => NULL.to_owned(),
        Some(text) if text.trim_matches('"') == NULL => format!("\"{text}\""),
        Some(text) => text,
    }
}

/// Whether values are numbers, which stand on the right and are never cut.
pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, "NULL")]
    #[case(Some("NULL"), "\"NULL\"")]
    #[case(Some("\"NULL\""), "\"\"NULL\"\"")]
    #[case(Some("null"), "null")]
    #[case(Some(""), "")]
    fn a_missing_value_looks_like_no_text(#[case] value: Option<&str>, #[case] expected: &str) {
        assert_eq!(shown(value.map(str::to_owned)), expected);
    }
}
