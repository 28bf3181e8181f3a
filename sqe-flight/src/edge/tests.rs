use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, DictionaryArray, Int32Array, ListArray, StringArray,
        StringViewArray, StructArray,
    },
    buffer::OffsetBuffer,
    datatypes::{DataType, Field, Fields, Int32Type, Schema},
};

use super::*;

fn schema_of(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

#[test]
fn views_and_dictionaries_become_plain_values_at_every_depth() {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("short"), None, Some("longer than twelve bytes")]));
    let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![Some(&b"x"[..]), Some(b"yy"), None]));
    let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter([Some("a"), Some("b"), Some("a")]));
    let list: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8View, true)),
        OffsetBuffer::from_lengths([1, 0, 2]),
        texts.clone(),
        None,
    ));
    let inner = Fields::from(vec![
        Field::new("t", DataType::Utf8View, true),
        Field::new("d", words.data_type().clone(), false),
    ]);
    let nested: ArrayRef = Arc::new(StructArray::new(inner, vec![texts.clone(), words.clone()], None));
    let columns = [("t", texts), ("b", bytes), ("w", words), ("l", list), ("s", nested)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();

    let declared = declare(&batch.schema(), Views::Flatten);
    let plain = conform(&batch, &declared).unwrap();

    assert_eq!(plain.schema(), declared);
    assert!(!format!("{declared:?}").contains("View"), "{declared:?}");
    assert!(!format!("{declared:?}").contains("Dictionary"), "{declared:?}");
    assert_eq!(
        plain.column(0).as_string::<i32>(),
        &StringArray::from(vec![Some("short"), None, Some("longer than twelve bytes")])
    );
    assert_eq!(plain.column(1).as_binary::<i32>().value(1), b"yy");
    assert_eq!(plain.column(2).as_string::<i32>(), &StringArray::from(vec!["a", "b", "a"]));
    let last = plain.column(3).as_list::<i32>().value(2);
    assert_eq!(last.as_string::<i32>(), &StringArray::from(vec![None, Some("longer than twelve bytes")]));
    assert_eq!(plain.column(4).as_struct().column(1).as_string::<i32>().value(1), "b");
}

#[test]
fn a_session_that_asked_for_views_gets_them() {
    let schema = Schema::new(vec![Field::new("t", DataType::Utf8View, false)]);
    assert_eq!(declare(&schema, Views::Keep).field(0).data_type(), &DataType::Utf8View);
    assert_eq!(declare(&schema, Views::Flatten).field(0).data_type(), &DataType::Utf8);
}

#[test]
fn nullability_and_extension_types_are_kept_and_other_metadata_is_not() {
    let metadata = HashMap::from([
        ("PARQUET:field_id".to_owned(), "7".to_owned()),
        ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned()),
    ]);
    let schema = Schema::new(vec![Field::new("a", DataType::Int32, false).with_metadata(metadata)])
        .with_metadata(HashMap::from([("owner".to_owned(), "x".to_owned())]));
    let declared = declare(&schema, Views::Flatten);
    assert!(!declared.field(0).is_nullable());
    assert_eq!(declared.field(0).metadata().keys().collect::<Vec<_>>(), ["ARROW:extension:name"]);
    assert!(declared.metadata().is_empty());
}

#[test]
fn a_batch_may_differ_in_nullability_but_not_hold_null_where_none_was_declared() {
    let declared = schema_of(vec![Field::new("a", DataType::Int32, false)]);
    let nullable = schema_of(vec![Field::new("a", DataType::Int32, true)]);
    let good = RecordBatch::try_new(nullable.clone(), vec![Arc::new(Int32Array::from(vec![1]))]).unwrap();
    assert_eq!(conform(&good, &declared).unwrap().schema(), declared);
    let bad = RecordBatch::try_new(nullable, vec![Arc::new(Int32Array::from(vec![None]))]).unwrap();
    assert_eq!(conform(&bad, &declared).unwrap_err().kind(), sqe_core::ErrorKind::Internal);
}

#[test]
fn a_batch_without_columns_keeps_its_rows() {
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let with_metadata = Arc::new(Schema::empty().with_metadata(HashMap::from([("k".to_owned(), "v".to_owned())])));
    let batch = RecordBatch::try_new_with_options(with_metadata, vec![], &options).unwrap();
    assert_eq!(conform(&batch, &Arc::new(Schema::empty())).unwrap().num_rows(), 3);
}

fn ints(rows: i32) -> RecordBatch {
    RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from_iter_values(0..rows)) as ArrayRef)]).unwrap()
}

#[test]
fn a_large_batch_is_cut_into_pieces_that_hold_all_rows_in_order() {
    let pieces: Vec<_> = cut(ints(10_000), 4_000).collect();
    assert_eq!(pieces.len(), 10);
    let rows: Vec<i32> =
        pieces.iter().flat_map(|piece| piece.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
    assert_eq!(rows, (0..10_000).collect::<Vec<_>>());
}

#[test]
fn a_small_slice_of_a_large_batch_is_not_cut() {
    let slice = ints(1_000_000).slice(500_000, 100);
    assert_eq!(cut(slice, 4_000).count(), 1);
    let text = StringArray::from_iter_values((0..100_000).map(|i| format!("value {i}")));
    let items = Field::new("item", DataType::Utf8, true);
    let list = ListArray::new(Arc::new(items), OffsetBuffer::from_lengths([50_000, 10, 49_990]), Arc::new(text), None);
    let batch = RecordBatch::try_from_iter([("l", Arc::new(list) as ArrayRef)]).unwrap();
    assert_eq!(cut(batch.slice(1, 1), 4_000).count(), 1);
    assert!(cut(batch, 4_000).count() > 1);
}

#[test]
fn rows_larger_than_the_target_go_one_by_one() {
    let long = "x".repeat(1_000);
    let text: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str(); 5]));
    let batch = RecordBatch::try_from_iter([("t", text)]).unwrap();
    assert_eq!(cut(batch, 100).map(|piece| piece.num_rows()).collect::<Vec<_>>(), [1; 5]);
}

#[test]
fn an_empty_batch_gives_no_piece() {
    assert_eq!(cut(ints(0), 100).count(), 0);
}
