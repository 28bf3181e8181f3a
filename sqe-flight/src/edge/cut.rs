//! Cuts batches into messages of a bounded size.

use arrow::{
    array::{Array, AsArray, RecordBatch, make_array},
    datatypes::DataType,
};

/// Cuts `batch` into pieces of about `target` bytes each, without copying. A row is never cut.
///
/// The encoder of `arrow-flight` can cut too, but it counts the whole buffers that an array points into. An array that
/// is a slice of a large one, as a LIMIT or a sort leaves them, would be cut into pieces of one row.
pub(crate) fn cut(batch: RecordBatch, target: usize) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let bytes = batch_bytes(&batch);
    let pieces = bytes.div_ceil(target.max(1)).max(1);
    let step = rows.div_ceil(pieces).max(1);
    (0..rows).step_by(step).map(move |start| batch.slice(start, step.min(rows - start)))
}

/// The bytes that the rows of a batch take by themselves, whatever buffers they point into.
pub(crate) fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| size(column.as_ref())).sum()
}

/// The bytes that the rows of an array take by themselves.
pub(super) fn size(array: &dyn Array) -> usize {
    let validity = if array.nulls().is_some() { array.len().div_ceil(8) } else { 0 };
    validity
        + match array.data_type() {
            DataType::Utf8View => {
                array.len() * 16 + array.as_string_view().views().iter().map(|view| text_length(*view)).sum::<usize>()
            }
            DataType::BinaryView => {
                array.len() * 16 + array.as_binary_view().views().iter().map(|view| text_length(*view)).sum::<usize>()
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                part(list.values(), list.value_offsets().first(), list.value_offsets().last(), array.len() * 4)
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                part(list.values(), list.value_offsets().first(), list.value_offsets().last(), array.len() * 8)
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                part(map.entries(), map.value_offsets().first(), map.value_offsets().last(), array.len() * 4)
            }
            DataType::FixedSizeList(_, _) => size(array.as_fixed_size_list().values().as_ref()),
            DataType::Struct(_) => array.as_struct().columns().iter().map(|column| size(column.as_ref())).sum(),
            // What a client gets is the value of each key.
            DataType::Dictionary(_, _) => {
                let values = array.as_any_dictionary().values();
                size(values.as_ref()) / values.len().max(1) * array.len()
            }
            _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_buffer_memory_size()),
        }
}

/// The low 32 bits of a view are the length of its value (Arrow columnar format, "Variable-size Binary View Layout").
fn text_length(view: u128) -> usize {
    usize::try_from(view & u128::from(u32::MAX)).unwrap_or(usize::MAX)
}

/// The size of the part of a list's values that its offsets point at.
fn part<O: Copy + TryInto<usize>>(values: &dyn Array, first: Option<&O>, last: Option<&O>, offsets: usize) -> usize {
    let bound = |offset: Option<&O>| offset.and_then(|offset| (*offset).try_into().ok()).unwrap_or(0);
    let (first, last) = (bound(first), bound(last).min(values.len()));
    offsets + size(make_array(values.to_data().slice(first.min(last), last.saturating_sub(first))).as_ref())
}
