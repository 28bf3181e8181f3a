//! From the generators' rows to columns, by way of the rows' text.
//!
//! The text of a row is that of `dsdgen`, the specification's own generator: one `|` behind each value, nothing where
//! there is none. It is the one form that all 24 kinds of row have in common and that is compared, byte by byte, with
//! the official tool's; in it no table needs to know which bit of which map says that a value is missing.

use std::{
    fmt::{Display, Write as _},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, StringBuilder},
    datatypes::{DataType, SchemaRef},
};
use chrono::NaiveDate;
use sqe_core::{Error, Result};

/// What is written where `dsdgen` has no value but writes one.
const NULL: &str = "NULL";

/// Reads rows of a table.
#[derive(Debug)]
pub(super) struct Lines {
    schema: SchemaRef,
    line: String,
}

impl Lines {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, line: String::new() }
    }

    /// The columns of these rows.
    ///
    /// # Errors
    /// `Internal` if a row has another number of values than the table has columns, or a value is not of its column's
    /// type.
    pub(super) fn columns<R: Display>(&mut self, rows: &[R]) -> Result<Vec<ArrayRef>> {
        let kinds = self.schema.fields().iter().map(|field| field.data_type());
        let mut columns = kinds.map(|kind| Column::new(kind, rows.len())).collect::<Result<Vec<_>>>()?;
        for row in rows {
            self.line.clear();
            // Writing into memory does not fail, and `Display` of these rows has no failure of its own.
            let _infallible = write!(self.line, "{row}");
            let mut values = self.line.strip_suffix('|').unwrap_or(&self.line).split('|');
            let fits =
                columns.iter_mut().all(|column| values.next().is_some_and(|value| column.append(value).is_some()));
            if !fits || values.next().is_some() {
                return Err(Error::internal(format!(
                    "the generator made a row that is none of the table's: {}",
                    self.line
                )));
            }
        }
        Ok(columns.into_iter().map(Column::finish).collect())
    }
}

enum Column {
    Int32(Int32Builder),
    Int64(Int64Builder),
    /// With the number of digits after the point.
    Decimal(Decimal128Builder, usize),
    Date(Date32Builder),
    Text(StringBuilder),
}

impl Column {
    fn new(kind: &DataType, rows: usize) -> Result<Self> {
        Ok(match kind {
            DataType::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Decimal128(_, scale) => {
                let builder = Decimal128Builder::with_capacity(rows).with_data_type(kind.clone());
                Self::Decimal(builder, usize::try_from(*scale).unwrap_or_default())
            }
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(rows)),
            DataType::Utf8 => Self::Text(StringBuilder::with_capacity(rows, rows * 16)),
            _ => return Err(Error::internal(format!("no column of type {kind} can be read from text"))),
        })
    }

    /// Adds a value; `None` if it is not of the column's type.
    fn append(&mut self, text: &str) -> Option<()> {
        let value = (!text.is_empty() && text != NULL).then_some(text);
        match self {
            Self::Int32(column) => column.append_option(read(value, |text| text.parse().ok())?),
            Self::Int64(column) => column.append_option(read(value, |text| text.parse().ok())?),
            Self::Decimal(column, scale) => column.append_option(read(value, |text| decimal(text, *scale))?),
            Self::Date(column) => column.append_option(read(value, date)?),
            Self::Text(column) => column.append_option(value),
        }
        Some(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Int32(mut column) => Arc::new(column.finish()),
            Self::Int64(mut column) => Arc::new(column.finish()),
            Self::Decimal(mut column, _) => Arc::new(column.finish()),
            Self::Date(mut column) => Arc::new(column.finish()),
            Self::Text(mut column) => Arc::new(column.finish()),
        }
    }
}

/// `None` if there is a value that cannot be read.
fn read<T>(value: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(text) => parse(text).map(Some),
    }
}

/// The number in units of its last digit, of which it has `scale` after the point.
fn decimal(text: &str, scale: usize) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits =
        whole.ends_with(|last: char| last.is_ascii_digit()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || fraction.len() > scale {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse().ok()
}

fn date(text: &str) -> Option<i32> {
    text.parse::<NaiveDate>().ok().map(|date| date.to_epoch_days())
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray, Date32Array, Decimal128Array, Int32Array, Int64Array, StringArray},
        datatypes::{Field, Schema},
    };
    use rstest::rstest;

    use super::*;

    fn lines() -> Lines {
        let kinds = [DataType::Int64, DataType::Int32, DataType::Decimal128(7, 2), DataType::Date32, DataType::Utf8];
        let fields: Vec<_> = kinds.into_iter().map(|kind| Field::new("c", kind, true)).collect();
        Lines::new(Arc::new(Schema::new(fields)))
    }

    #[test]
    fn values_of_every_type_are_read_and_what_is_missing_is_null() {
        let columns = lines().columns(&["1|-2|-3.4|1999-12-31|a b|", "5000000000||||NULL|"]).unwrap();
        let [one, two, three, four, five] = columns.as_slice() else { panic!("{columns:?}") };
        assert_eq!(one.as_primitive(), &Int64Array::from(vec![1, 5_000_000_000]));
        assert_eq!(two.as_primitive(), &Int32Array::from(vec![Some(-2), None]));
        let money = Decimal128Array::from(vec![Some(-340), None]).with_precision_and_scale(7, 2).unwrap();
        assert_eq!(three.as_primitive(), &money);
        assert_eq!(four.as_primitive(), &Date32Array::from(vec![Some(10_956), None]));
        assert_eq!(five.as_string(), &StringArray::from(vec![Some("a b"), None]));
    }

    #[rstest]
    #[case::too_few("1|2|3|1999-12-31|")]
    #[case::too_many("1|2|3|1999-12-31|a|b|")]
    #[case::no_number("x|2|3|1999-12-31|a|")]
    #[case::beyond_32_bits("1|5000000000|3|1999-12-31|a|")]
    #[case::a_third_digit("1|2|3.456|1999-12-31|a|")]
    #[case::no_fraction("1|2|3.-4|1999-12-31|a|")]
    #[case::no_date("1|2|3|1999-02-30|a|")]
    fn a_row_that_does_not_fit_is_refused(#[case] row: &str) {
        assert_eq!(lines().columns(&[row]).unwrap_err().kind(), sqe_core::ErrorKind::Internal);
    }

    #[rstest]
    #[case("-0.05", Some(-5))]
    #[case("7", Some(700))]
    #[case("-5", Some(-500))]
    #[case("1.5", Some(150))]
    #[case(".", None)]
    fn decimals_keep_their_sign_and_digits(#[case] text: &str, #[case] expected: Option<i128>) {
        assert_eq!(decimal(text, 2), expected);
    }
}
