//! How large something will be once it is no longer packed.

use arrow::{
    array::{Array, AsArray, RecordBatch, make_array},
    datatypes::{DataType, Int16Type, Int32Type, Int64Type},
};

use super::cut::size;

/// What a value of an array of nulls takes at most, once the array gets a type.
const NULL: usize = 16;

/// The most that the columns of a batch take without dictionaries, runs, and arrays of nothing but their length. A few
/// bytes on the wire can stand for any number of them here, so this is asked before anything is unpacked.
pub(crate) fn unpacked_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| unpacked(column.as_ref())).fold(0, usize::saturating_add)
}

fn unpacked(array: &dyn Array) -> usize {
    let repeated = |values: &dyn Array| array.len().saturating_mul(largest(values));
    match array.data_type() {
        DataType::Null => array.len().saturating_mul(NULL),
        DataType::Dictionary(_, _) => repeated(array.as_any_dictionary().values().as_ref()),
        DataType::RunEndEncoded(ends, _) => match ends.data_type() {
            DataType::Int16 => repeated(array.as_run::<Int16Type>().values().as_ref()),
            DataType::Int32 => repeated(array.as_run::<Int32Type>().values().as_ref()),
            _ => repeated(array.as_run::<Int64Type>().values().as_ref()),
        },
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter();
            columns.map(|column| unpacked(column.as_ref())).fold(0, usize::saturating_add)
        }
        DataType::List(_) => size(array).saturating_add(unpacked(array.as_list::<i32>().values().as_ref())),
        DataType::LargeList(_) => size(array).saturating_add(unpacked(array.as_list::<i64>().values().as_ref())),
        DataType::Map(_, _) => size(array).saturating_add(unpacked(array.as_map().entries())),
        DataType::FixedSizeList(_, _) => unpacked(array.as_fixed_size_list().values().as_ref()),
        // Views of views can point at the same values again and again.
        DataType::ListView(_) => repeated(array.as_list_view::<i32>().values().as_ref()),
        DataType::LargeListView(_) => repeated(array.as_list_view::<i64>().values().as_ref()),
        DataType::Union(_, _) => {
            let data = array.to_data();
            let children = data.child_data().iter().map(|child| unpacked(make_array(child.clone()).as_ref()));
            children.fold(size(array), usize::saturating_add)
        }
        _ => size(array),
    }
}

/// No value of `values` takes more.
fn largest(values: &dyn Array) -> usize {
    let span = |offsets: &mut dyn Iterator<Item = usize>| {
        let mut before = 0;
        offsets.map(|offset| offset.saturating_sub(std::mem::replace(&mut before, offset))).max().unwrap_or(0)
    };
    let whole = |offset: &i64| usize::try_from(*offset).unwrap_or(usize::MAX);
    let small = |offset: &i32| usize::try_from(*offset).unwrap_or(usize::MAX);
    match values.data_type() {
        ty if ty.primitive_width().is_some() => ty.primitive_width().unwrap_or(NULL),
        DataType::Boolean => 1,
        // The first offset of a slice is not that of its buffer: it counts as if it were a value, which is no less.
        DataType::Utf8 => 4 + span(&mut values.as_string::<i32>().value_offsets().iter().map(small)),
        DataType::Binary => 4 + span(&mut values.as_binary::<i32>().value_offsets().iter().map(small)),
        DataType::LargeUtf8 => 8 + span(&mut values.as_string::<i64>().value_offsets().iter().map(whole)),
        DataType::LargeBinary => 8 + span(&mut values.as_binary::<i64>().value_offsets().iter().map(whole)),
        // One may be as large as all of them.
        _ => unpacked(values).max(NULL),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, DictionaryArray, Int8Array, Int32Array, Int64Array, NullArray, RunArray, StringArray,
    };

    use super::*;

    fn bytes(array: ArrayRef) -> usize {
        unpacked_bytes(&RecordBatch::try_from_iter_with_nullable([("a", array, true)]).unwrap())
    }

    #[test]
    fn what_is_not_packed_takes_what_it_takes() {
        assert_eq!(bytes(Arc::new(Int64Array::from(vec![1, 2, 3]))), 24);
        let text = StringArray::from(vec!["abc", "de"]);
        assert_eq!(bytes(Arc::new(text.clone())), size(&text));
    }

    #[test]
    fn a_length_alone_counts() {
        assert_eq!(bytes(Arc::new(NullArray::new(1 << 40))), 16 << 40);
        assert_eq!(bytes(Arc::new(NullArray::new(usize::MAX))), usize::MAX);
    }

    #[test]
    fn every_key_may_be_that_of_the_largest_value() {
        let long = "x".repeat(1000);
        let values: ArrayRef = Arc::new(StringArray::from(vec!["", &long, "y"]));
        let keys = Int8Array::from(vec![1; 500]);
        let packed = DictionaryArray::try_new(keys, values).unwrap();
        assert_eq!(bytes(Arc::new(packed)), 500 * 1004);
    }

    #[test]
    fn every_run_counts_with_its_length() {
        let values = StringArray::from(vec!["abcd", "e"]);
        let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1_000_000, 1_000_001]), &values).unwrap();
        assert_eq!(bytes(Arc::new(runs)), 1_000_001 * 8);
    }
}
