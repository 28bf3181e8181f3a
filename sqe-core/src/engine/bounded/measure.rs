//! How large arguments are, row by row and in all.

use arrow::{
    array::{Array, ArrayRef, AsArray, OffsetSizeTrait},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::{common::ScalarValue, error::Result as DataFusionResult, logical_expr::ColumnarValue};

/// A number a row: the same for all, or one each.
pub(super) enum Numbers {
    All(Option<i64>),
    Each(Vec<Option<i64>>),
}

impl Numbers {
    pub(super) fn signed(&self, row: usize) -> Option<i64> {
        match self {
            Self::All(number) => *number,
            Self::Each(numbers) => numbers.get(row).copied().flatten(),
        }
    }

    /// What is missing counts as 0, and so does what is less.
    pub(super) fn at(&self, row: usize) -> u64 {
        self.signed(row).and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
    }
}

pub(super) fn each(
    value: Option<&ColumnarValue>,
    of: impl Fn(&ArrayRef) -> DataFusionResult<Vec<Option<i64>>>,
) -> DataFusionResult<Numbers> {
    Ok(match value {
        None => Numbers::All(None),
        Some(ColumnarValue::Array(array)) => Numbers::Each(of(array)?),
        Some(ColumnarValue::Scalar(scalar)) => Numbers::All(of(&scalar.to_array()?)?.first().copied().flatten()),
    })
}

/// The lengths of texts in bytes.
pub(super) fn lengths(value: Option<&ColumnarValue>) -> DataFusionResult<Numbers> {
    texts(value, |text| text.len() as i64)
}

/// Something of every text; of what is none, the number of its bytes.
pub(super) fn texts(value: Option<&ColumnarValue>, of: impl Fn(&str) -> i64) -> DataFusionResult<Numbers> {
    each(value, |array| {
        let of = |text: Option<&str>| text.map(&of);
        Ok(match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().map(of).collect(),
            DataType::LargeUtf8 => array.as_string::<i64>().iter().map(of).collect(),
            DataType::Utf8View => array.as_string_view().iter().map(of).collect(),
            _ => vec![Some((array.get_array_memory_size() / array.len().max(1)) as i64); array.len()],
        })
    })
}

pub(super) fn integers(value: Option<&ColumnarValue>) -> DataFusionResult<Numbers> {
    each(value, |array| Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().iter().collect()))
}

/// How many elements lists have.
pub(super) fn elements(value: Option<&ColumnarValue>) -> DataFusionResult<Numbers> {
    each(value, |array| {
        Ok(match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                (0..lists.len()).map(|row| Some(i64::from(lists.value_length(row)))).collect()
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                (0..lists.len()).map(|row| Some(lists.value_length(row))).collect()
            }
            DataType::FixedSizeList(_, length) => vec![Some(i64::from(*length)); array.len()],
            _ => vec![Some(1); array.len()],
        })
    })
}

/// How much lies between the first offset and the last: what a slice has of the values that it shares.
pub(super) fn span<O: OffsetSizeTrait>(offsets: &[O]) -> u64 {
    let at = |offset: Option<&O>| offset.map_or(0, |offset| offset.as_usize());
    at(offsets.last()).saturating_sub(at(offsets.first())) as u64
}

/// The bytes of all values of a column. Columns are cut out of larger ones, whose bytes do not count.
pub(super) fn column(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Utf8 => span(array.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => span(array.as_string::<i64>().value_offsets()),
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).sum(),
        DataType::Binary => span(array.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => span(array.as_binary::<i64>().value_offsets()),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).sum(),
        _ => array.get_array_memory_size() as u64,
    }
}

/// The bytes that a value has beyond a few.
pub(super) fn literal(scalar: &ScalarValue) -> u64 {
    scalar.size().saturating_sub(size_of::<ScalarValue>()) as u64
}

/// The bytes that an argument has once it is written out for every row.
pub(super) fn written_out(value: &ColumnarValue, rows: usize) -> u64 {
    match value {
        ColumnarValue::Array(array) => column(array),
        ColumnarValue::Scalar(scalar) => literal(scalar).saturating_mul(rows as u64),
    }
}

/// The bytes that an answer takes.
pub(super) fn size(answer: &ColumnarValue) -> u64 {
    match answer {
        ColumnarValue::Array(array) => array.get_array_memory_size() as u64,
        ColumnarValue::Scalar(scalar) => literal(scalar),
    }
}

/// Whether none of the arguments differs from row to row.
pub(super) fn constant(args: &[ColumnarValue]) -> bool {
    args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)))
}
