use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
        Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field, Int32Type, Int64Type, Schema},
};
use iceberg::spec::{DataFile, Datum};
use rstest::rstest;
use sqe_core::{
    ErrorKind,
    catalog::{NewTable, TableWrite},
};

use super::bed::{Bed, alice, columns, name};
use crate::iceberg::IcebergTable;

fn ids(range: std::ops::Range<i64>) -> RecordBatch {
    let texts: Vec<String> = range.clone().map(|id| format!("row {id}")).collect();
    let fields = [("id", DataType::Int64), ("text", DataType::Utf8)];
    let columns_of: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(range)), Arc::new(StringArray::from(texts))];
    RecordBatch::try_new(columns(&fields), columns_of).unwrap()
}

async fn with_table(partitioning: &[(&str, &str)], rows: &RecordBatch) -> Bed {
    let bed = Bed::new().await;
    let mut new = NewTable::new(name("t"), rows.schema(), alice());
    new.partitioning = partitioning.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    bed.session().create_table(&new).await.unwrap();
    bed
}

/// The data files that a sink describes, as the commit would add them.
async fn data_files(bed: &Bed, parts: &[Vec<RecordBatch>]) -> Vec<DataFile> {
    let write = bed.append("t").await;
    let staged = bed.stage("t", &write, parts).await.unwrap();
    let mut files = write.spec().data_files(&staged).unwrap();
    files.sort_by(|a, b| a.file_path().cmp(b.file_path()));
    write.commit(staged).await.unwrap();
    files
}

#[tokio::test]
async fn inserted_rows_are_read_back_and_counted() {
    let bed = with_table(&[], &ids(0..0)).await;
    assert_eq!(bed.insert("t", ids(0..5)).await.unwrap(), 5);
    assert_eq!(bed.insert("t", ids(5..8)).await.unwrap(), 3);
    let rows = bed.rows("t").await;
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &(0..8).collect::<Vec<_>>()[..]);
    assert_eq!(rows.column(1).as_string_view().value(7), "row 7");
    let table = bed.table("t").await;
    let metadata = table.as_any().downcast_ref::<IcebergTable>().unwrap().metadata();
    let summary = &metadata.current_snapshot().unwrap().summary().additional_properties;
    for (key, value) in [("total-records", "8"), ("total-data-files", "2"), ("added-records", "3")] {
        assert_eq!(summary[key], value, "{key}");
    }
    assert_eq!(metadata.snapshots().len(), 2);
    assert_eq!(metadata.metadata_log().len(), 2);
    assert_eq!(table.statistics().unwrap().num_rows.get_value(), Some(&8));
}

#[tokio::test]
async fn an_insert_of_no_rows_makes_no_snapshot() {
    let bed = with_table(&[], &ids(0..0)).await;
    assert_eq!(bed.insert("t", ids(0..0)).await.unwrap(), 0);
    assert_eq!(bed.table("t").await.snapshot(), None);
    assert_eq!(bed.files("s/t/data"), [""; 0]);
}

#[tokio::test]
async fn every_input_partition_writes_files_of_its_own() {
    let bed = with_table(&[], &ids(0..0)).await;
    let files = data_files(&bed, &[vec![ids(0..3), ids(3..6)], vec![ids(6..9)], vec![ids(0..0)]]).await;
    assert_eq!(files.iter().map(DataFile::record_count).collect::<Vec<_>>(), [6, 3]);
    assert_eq!(bed.rows("t").await.num_rows(), 9);
}

#[rstest]
#[case(&[("identity", "text")], 6, "text=row%200/")]
// PyIceberg puts 0..6 into the buckets 0, 0, 0, 3, 2, 3 of four.
#[case(&[("bucket[4]", "id")], 3, "id_bucket=3/")]
#[case(&[("truncate[2]", "id")], 3, "id_trunc=4/")]
#[case(&[("truncate[3]", "text")], 1, "text_trunc=row/")]
#[case(&[("truncate[2]", "id"), ("identity", "id")], 6, "id_trunc=2/id=3/")]
#[tokio::test]
async fn rows_go_to_the_files_of_their_partitions(
    #[case] spec: &[(&str, &str)],
    #[case] expected: usize,
    #[case] folder: &str,
) {
    let bed = with_table(spec, &ids(0..0)).await;
    let files = data_files(&bed, &[vec![ids(0..6)]]).await;
    assert_eq!(files.len(), expected);
    assert!(
        files.iter().any(|file| file.file_path().contains(&format!("/data/{folder}"))),
        "{:?}",
        bed.files("s/t/data")
    );
    assert!(files.iter().all(|file| file.partition().fields().len() == spec.len()));
    let rows = bed.rows("t").await;
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[0, 1, 2, 3, 4, 5]);
}

#[rstest]
#[case("year", "-1")]
#[case("month", "-1")]
#[case("day", "1969-12-31")]
#[case("hour", "-1")]
#[tokio::test]
async fn times_before_1970_belong_to_the_unit_before_it(#[case] unit: &str, #[case] expected: &str) {
    let fields = columns(&[("at", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None))]);
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(0), None]));
    let rows = RecordBatch::try_new(fields, vec![times]).unwrap();
    let bed = with_table(&[(unit, "at")], &rows).await;
    let mut files = data_files(&bed, &[vec![rows.clone()]]).await;
    files.retain(|file| file.lower_bounds().get(&1) == Some(&Datum::timestamp_micros(-1)));
    let literal = files[0].partition().fields()[0].clone().unwrap().as_primitive_literal().unwrap();
    let expected = match unit {
        "day" => Datum::date_from_str(expected).unwrap(),
        _ => Datum::int(expected.parse::<i32>().unwrap()),
    };
    assert_eq!(&literal, expected.literal());
    assert_eq!(bed.rows("t").await.num_rows(), 3);
}

#[rstest]
#[case(Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)])), "identity", 3)]
#[case(Arc::new(Int32Array::from(vec![Some(1), Some(-1), None, Some(1)])), "identity", 3)]
#[case(Arc::new(Date32Array::from(vec![Some(1), Some(-1), None, Some(1)])), "identity", 3)]
#[case(Arc::new(Date32Array::from(vec![Some(1), Some(-1), None, Some(1)])), "bucket[100]", 3)]
#[case(Arc::new(Float64Array::from(vec![Some(1.5), Some(-0.5), None, Some(1.5)])), "identity", 3)]
#[case(Arc::new(decimals()), "identity", 3)]
#[case(Arc::new(decimals()), "truncate[10]", 3)]
#[case(Arc::new(decimals()), "bucket[100]", 3)]
#[case(Arc::new(BinaryViewArray::from(vec![Some(b"ab".as_slice()), Some(b"cd"), None, Some(b"ab")])), "identity", 3)]
#[case(Arc::new(BinaryViewArray::from(vec![Some(b"ab".as_slice()), Some(b"ac"), None, Some(b"ab")])), "truncate[1]", 2)]
#[case(Arc::new(StringArray::from(vec![Some("é1"), Some("é2"), None, Some("ß")])), "truncate[1]", 3)]
#[tokio::test]
async fn columns_of_every_type_partition_a_table(
    #[case] column: ArrayRef,
    #[case] transform: &str,
    #[case] expected: usize,
) {
    let rows = RecordBatch::try_new(columns(&[("c", column.data_type().clone())]), vec![column]).unwrap();
    let bed = with_table(&[(transform, "c")], &rows).await;
    let files = data_files(&bed, &[vec![rows]]).await;
    assert_eq!(files.len(), expected);
    assert!(files.iter().any(|file| file.partition().is_null_at_index(0)));
    assert_eq!(bed.rows("t").await.num_rows(), 4);
}

fn decimals() -> Decimal128Array {
    let values = vec![Some(1065), Some(-1065), None, Some(1065)];
    Decimal128Array::from(values).with_precision_and_scale(9, 2).unwrap()
}

#[rstest]
#[case("my col")]
#[case("été")]
#[case("1st")]
#[case("a\"b")]
#[tokio::test]
async fn columns_of_odd_names_hold_values_and_partition_a_table(#[case] column: &str) {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let rows = RecordBatch::try_new(columns(&[(column, DataType::Int64)]), vec![ids]).unwrap();
    let bed = with_table(&[("identity", column)], &rows).await;
    assert_eq!(data_files(&bed, &[vec![rows]]).await.len(), 2);
    assert_eq!(bed.rows("t").await.num_rows(), 2);
}

#[tokio::test]
async fn values_that_look_like_paths_stay_inside_of_the_tables_folder() {
    let texts = ["../../../escape", "a/b", "..", "%2e%2e", "", "x=y", &"long ".repeat(200)];
    let column: ArrayRef = Arc::new(StringArray::from(texts.map(Some).to_vec()));
    let rows = RecordBatch::try_new(columns(&[("text", DataType::Utf8)]), vec![column]).unwrap();
    let bed = with_table(&[("identity", "text")], &rows).await;
    assert_eq!(bed.insert("t", rows).await.unwrap(), 7);
    assert_eq!(bed.files("s/t/data").len(), 7);
    assert_eq!(bed.files("").len(), bed.files("s/t").len());
    assert_eq!(bed.rows("t").await.num_rows(), 7);
}

#[tokio::test]
async fn more_partitions_than_open_files_lose_no_row() {
    let bed = with_table(&[("identity", "id")], &ids(0..0)).await;
    let mut parts = vec![ids(0..150)];
    parts.push(ids(0..150));
    let files = data_files(&bed, &[parts]).await;
    assert_eq!(files.iter().map(DataFile::record_count).sum::<u64>(), 300);
    assert!(files.len() > 150);
    assert_eq!(bed.rows("t").await.num_rows(), 300);
}

#[tokio::test]
async fn files_are_described_with_counts_bounds_and_offsets() {
    let decimal = Decimal128Array::from(vec![Some(-12345), Some(5), None]).with_precision_and_scale(10, 2).unwrap();
    let fields = Schema::new(vec![
        Field::new("i", DataType::Int32, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("all_null", DataType::Date32, true),
    ]);
    let long = "abcdefghijklmnopqrstuvwxyz";
    let batch: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(3), Some(-7), None])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(1.5), Some(-0.5)])),
        Arc::new(decimal),
        Arc::new(StringArray::from(vec![Some(long), Some(long), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(Date32Array::from(vec![None, None, None])),
    ];
    let rows = RecordBatch::try_new(Arc::new(fields), batch).unwrap();
    let bed = with_table(&[], &rows).await;
    let file = data_files(&bed, &[vec![rows]]).await.remove(0);
    assert_eq!(file.record_count(), 3);
    let on_disk = bed.root.join("wh/s/t/data").join(&bed.files("s/t/data")[0]);
    assert_eq!(file.file_size_in_bytes(), on_disk.metadata().unwrap().len());
    assert_eq!(file.split_offsets(), Some(&[4][..]));
    assert!((1..=6).all(|id| file.value_counts()[&id] == 3 && file.column_sizes()[&id] > 0));
    let nulls: Vec<u64> = (1..=6).map(|id| file.null_value_counts()[&id]).collect();
    assert_eq!(nulls, [1, 0, 1, 1, 1, 3]);
    assert_eq!(file.nan_value_counts().iter().collect::<Vec<_>>(), [(&2, &1)]);
    let bounds = |id: i32| (file.lower_bounds().get(&id).cloned(), file.upper_bounds().get(&id).cloned());
    assert_eq!(bounds(1), (Some(Datum::int(-7)), Some(Datum::int(3))));
    assert_eq!(bounds(2), (Some(Datum::double(-0.5)), Some(Datum::double(1.5))));
    assert_eq!(bounds(3).0.unwrap().to_string(), "-123.45");
    assert_eq!(bounds(3).1.unwrap().to_string(), "0.05");
    assert_eq!(bounds(4), (Some(Datum::string("abcdefghijklmnop")), Some(Datum::string("abcdefghijklmnoq"))));
    assert_eq!(bounds(5), (Some(Datum::bool(false)), Some(Datum::bool(true))));
    assert_eq!(bounds(6), (None, None));
}

#[tokio::test]
async fn nested_and_binary_columns_survive() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None]);
    let inner: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["x", "y"]))];
    let pair = StructArray::new(vec![Field::new("k", DataType::Utf8, true)].into(), inner, None);
    let fields = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("l", list_of_int(), true),
        Field::new("p", pair_type(), true),
        Field::new("b", DataType::BinaryView, true),
        Field::new("f", DataType::FixedSizeBinary(2), true),
    ]);
    let fixed = FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [3, 4]].into_iter()).unwrap();
    let batch: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(list),
        Arc::new(pair),
        Arc::new(BinaryViewArray::from(vec![b"ab".as_slice(), b"c"])),
        Arc::new(fixed),
    ];
    let rows = RecordBatch::try_new(Arc::new(fields), batch).unwrap();
    let bed = with_table(&[], &rows).await;
    bed.insert("t", rows).await.unwrap();
    let read = bed.rows("t").await;
    assert_eq!(read.column(1).as_list::<i32>().value(0).as_primitive::<Int32Type>().len(), 2);
    assert!(read.column(1).is_null(1));
    assert_eq!(read.column(2).as_struct().column(0).as_string::<i32>().value(1), "y");
    assert_eq!(read.column(3).as_binary_view().value(0), b"ab");
    assert_eq!(read.column(4).as_fixed_size_binary().value(1), [3, 4]);
}

fn list_of_int() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)))
}

fn pair_type() -> DataType {
    DataType::Struct(vec![Field::new("k", DataType::Utf8, true)].into())
}

#[tokio::test]
async fn null_in_a_required_column_is_refused_and_leaves_no_file() {
    let fields = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    let good: ArrayRef = Arc::new(Int64Array::from(vec![Some(1)]));
    let bed = with_table(&[], &RecordBatch::try_new(fields, vec![Arc::clone(&good)]).unwrap()).await;
    let nullable = columns(&[("id", DataType::Int64)]);
    let bad: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let (good, bad) = [good, bad].map(|c| RecordBatch::try_new(Arc::clone(&nullable), vec![c]).unwrap()).into();
    let write = bed.append("t").await;
    let error = bed.stage("t", &write, &[vec![good.clone(), bad]]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    write.abort(Vec::new()).await;
    assert_eq!(bed.files("s/t/data"), [""; 0]);
    assert_eq!(bed.insert("t", good).await.unwrap(), 1);
}

#[tokio::test]
async fn columns_that_do_not_fit_are_refused() {
    let bed = with_table(&[], &ids(0..0)).await;
    let write = bed.append("t").await;
    let one = datafusion::physical_plan::empty::EmptyExec::new(columns(&[("id", DataType::Int64)]));
    assert_eq!(write.sink(Arc::new(one)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let other = columns(&[("id", DataType::Int64), ("text", DataType::Int64)]);
    let other = datafusion::physical_plan::empty::EmptyExec::new(other);
    assert_eq!(write.sink(Arc::new(other)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let fits = datafusion::physical_plan::empty::EmptyExec::new(write.schema());
    assert!(write.sink(Arc::new(fits)).is_ok());
}
