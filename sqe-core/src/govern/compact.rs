//! Batches that hold nothing but their own values.
//!
//! Arrow shares memory. A column of views that a filter made still points into the pages that it was decoded from, with
//! the values of all rows in them, and a dictionary keeps values that no row has any more. Written to a wire as they are,
//! such arrays would carry along what policy hides.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, make_array},
    compute::cast,
    datatypes::DataType,
    record_batch::{RecordBatch, RecordBatchOptions},
};

use crate::{Error, Result};

/// The same rows in memory of their own. Only what can hold on to other values is copied.
///
/// # Errors
/// `Unsupported` for types whose arrays cannot be taken apart.
pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(own).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn own(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        // Through its plain form, and back with the values that rows have.
        DataType::Dictionary(_, values) => cast(&own(&cast(array, values)?)?, array.data_type())?,
        // These point at ranges of their children, which a filter leaves as they are.
        DataType::ListView(_) | DataType::LargeListView(_) | DataType::Union(..) => {
            return Err(Error::unsupported(format!(
                "a column of type {} cannot be shown where policy holds rows back",
                array.data_type()
            )));
        }
        nested if nested.is_nested() => {
            let data = array.to_data();
            let children = (data.child_data().iter())
                .map(|child| Ok(own(&make_array(child.clone()))?.to_data()))
                .collect::<Result<Vec<_>>>()?;
            make_array(data.into_builder().child_data(children).build()?)
        }
        _ => Arc::clone(array),
    })
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{
            BooleanArray, DictionaryArray, Int64Array, ListBuilder, StringArray, StringViewArray, StringViewBuilder,
            StructArray,
        },
        compute::filter_record_batch,
        datatypes::{Field, Int32Type},
        ipc::writer::StreamWriter,
    };

    use super::*;

    const HIDDEN: &str = "a value that nobody may see";

    fn bytes(batch: &RecordBatch) -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
        writer.into_inner().unwrap()
    }

    fn holds(batch: &RecordBatch) -> bool {
        bytes(batch).windows(HIDDEN.len()).any(|window| window == HIDDEN.as_bytes())
    }

    fn batch() -> RecordBatch {
        let shown = "a value that everybody may see";
        let views = StringViewArray::from(vec![shown, HIDDEN, shown]);
        let words: DictionaryArray<Int32Type> = vec![shown, HIDDEN, shown].into_iter().collect();
        let mut lists = ListBuilder::new(StringViewBuilder::new());
        for value in [shown, HIDDEN, shown] {
            lists.append_value([Some(value), None]);
        }
        let field = Arc::new(Field::new("inner", DataType::Utf8View, true));
        let structs = StructArray::from(vec![(field, Arc::new(views.clone()) as ArrayRef)]);
        RecordBatch::try_from_iter([
            ("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
            ("text", Arc::new(StringArray::from(vec![shown, HIDDEN, shown]))),
            ("views", Arc::new(views)),
            ("words", Arc::new(words)),
            ("lists", Arc::new(lists.finish())),
            ("structs", Arc::new(structs)),
        ])
        .unwrap()
    }

    #[test]
    fn filtered_batches_keep_no_value_of_rows_that_were_dropped() {
        let visible = filter_record_batch(&batch(), &BooleanArray::from(vec![true, false, true])).unwrap();
        assert!(holds(&visible), "or there would be nothing to do here");
        let own = compact(&visible).unwrap();
        assert!(!holds(&own));
        assert_eq!(own, visible);
        for column in 0..own.num_columns() {
            assert!(!holds(&own.project(&[column]).unwrap()), "column {column}");
        }
    }

    #[test]
    fn rows_without_columns_are_still_counted() {
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let none = RecordBatch::try_new_with_options(batch().project(&[]).unwrap().schema(), vec![], &options).unwrap();
        assert_eq!(compact(&none).unwrap().num_rows(), 3);
    }
}
