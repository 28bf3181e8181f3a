//! The columns of a stream → those of a table. No value changes on the way: one that would is an error that names its column.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatchOptions, new_null_array},
    compute::{CastOptions, can_cast_types, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit},
    record_batch::RecordBatch,
};
use datafusion::{execution::SendableRecordBatchStream, physical_plan::stream::RecordBatchStreamAdapter};
use futures::TryStreamExt;

use crate::{Error, Result};

/// How many names an error lists.
const LISTED: usize = 20;

/// The rows in the columns of an existing table.
///
/// # Errors
/// `InvalidInput` if a column has no counterpart, or one whose values never fit; later, for a batch, if a value does not fit.
pub(super) fn to_table(rows: SendableRecordBatchStream, table: &SchemaRef) -> Result<SendableRecordBatchStream> {
    let given = rows.schema();
    unique(&given)?;
    if let Some(unknown) = given.fields().iter().find(|field| table.index_of(field.name()).is_err()) {
        let known: Vec<_> = table.fields().iter().take(LISTED).map(|field| field.name().as_str()).collect();
        let name = unknown.name();
        return Err(Error::invalid(format!("the table has no column {name:?}; it has {}", known.join(", "))));
    }
    let sources = table.fields().iter().map(|field| match given.index_of(field.name()) {
        Ok(index) => match given.fields().get(index) {
            Some(from) if from.data_type() == field.data_type() => Ok(Some(index)),
            Some(from) if related(from.data_type(), field.data_type()) => Ok(Some(index)),
            from => Err(Error::invalid(format!(
                "column {:?} has the type {} and {} is given",
                field.name(),
                field.data_type(),
                from.map_or_else(|| "nothing".to_owned(), |from| from.data_type().to_string())
            ))),
        },
        Err(_) if field.is_nullable() => Ok(None),
        Err(_) => Err(Error::invalid(format!("column {:?} must not be NULL and is not given", field.name()))),
    });
    let sources = sources.collect::<Result<Vec<_>>>()?;
    Ok(adapted(rows, Arc::clone(table), sources))
}

/// The rows in types that new tables hold.
///
/// # Errors
/// `InvalidInput` if two columns have one name; later, for a batch, if a value does not fit.
pub(super) fn to_new(rows: SendableRecordBatchStream) -> Result<SendableRecordBatchStream> {
    let given = rows.schema();
    unique(&given)?;
    let held = given.fields().iter().map(|field| field.as_ref().clone().with_data_type(held_as(field.data_type())));
    let schema = Arc::new(Schema::new(held.collect::<Vec<Field>>()));
    let sources = (0..schema.fields().len()).map(Some).collect();
    Ok(adapted(rows, schema, sources))
}

fn unique(schema: &Schema) -> Result<()> {
    let mut seen = BTreeSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        Some(twice) => Err(Error::invalid(format!("the column {:?} is given twice", twice.name()))),
        None => Ok(()),
    }
}

/// What a new table holds such values as: formats of tables know neither unsigned numbers of 64 bits nor, before their
/// third version, nanoseconds.
fn held_as(ty: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(held_as(field.data_type())));
    match ty {
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Date64 => DataType::Date32,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Dictionary(_, values) => held_as(values),
        DataType::RunEndEncoded(_, values) => held_as(values.data_type()),
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// Whether values of one type can be meant as values of the other. A text is never meant as a number.
fn related(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let text = |ty: &T| matches!(ty, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let bytes = |ty: &T| matches!(ty, T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_));
    let number = |ty: &T| ty.is_numeric();
    let date = |ty: &T| matches!(ty, T::Date32 | T::Date64);
    let time = |ty: &T| matches!(ty, T::Time32(_) | T::Time64(_));
    let inner = |left: &FieldRef, right: &FieldRef| related(left.data_type(), right.data_type());
    match (from, to) {
        (T::Null, _) => true,
        (T::Dictionary(_, values), to) => related(values, to),
        (T::RunEndEncoded(_, values), to) => related(values.data_type(), to),
        (T::Timestamp(_, from), T::Timestamp(_, to)) => from.is_some() == to.is_some(),
        (T::List(from) | T::LargeList(from) | T::FixedSizeList(from, _), T::List(to) | T::LargeList(to)) => {
            inner(from, to)
        }
        (T::Struct(from), T::Struct(to)) => {
            let pairs = from.iter().zip(to);
            from.len() == to.len()
                && pairs.into_iter().all(|(left, right)| left.name() == right.name() && inner(left, right))
        }
        (T::Map(from, _), T::Map(to, _)) => match (from.data_type(), to.data_type()) {
            // The names of keys and values are a matter of taste.
            (T::Struct(from), T::Struct(to)) => from.len() == to.len() && from.iter().zip(to).all(|(l, r)| inner(l, r)),
            _ => false,
        },
        (from, to) => from == to || [text, bytes, number, date, time].iter().any(|family| family(from) && family(to)),
    }
}

fn adapted(
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
    sources: Vec<Option<usize>>,
) -> SendableRecordBatchStream {
    let wanted = Arc::clone(&schema);
    let fitted = rows.and_then(move |batch| {
        let fitted = fit(&batch, &wanted, &sources).map_err(Into::into);
        futures::future::ready(fitted)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, fitted))
}

fn fit(batch: &RecordBatch, wanted: &SchemaRef, sources: &[Option<usize>]) -> Result<RecordBatch> {
    let columns = wanted.fields().iter().zip(sources).map(|(field, source)| {
        let column = match source.and_then(|index| batch.columns().get(index)) {
            Some(values) => value_for_value(values, field)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && column.logical_null_count() > 0 {
            return Err(Error::invalid(format!("column {:?} must not be NULL, and some value is", field.name())));
        }
        Ok(column)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(wanted), columns, &options)?)
}

fn value_for_value(values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let wanted = field.data_type();
    if values.data_type() == wanted {
        return Ok(Arc::clone(values));
    }
    let unfit = || {
        let name = field.name();
        Error::invalid(format!("column {name:?}: some value does not fit into {wanted} without being changed"))
    };
    if !can_cast_types(values.data_type(), wanted) {
        return Err(unfit());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let fitting = cast_with_options(values, wanted, &options).map_err(|error| unfit().with_source(error))?;
    if repacked(values.data_type(), wanted) || values.null_count() == values.len() {
        return Ok(fitting);
    }
    // The way back tells whether anything was rounded, cut or wrapped.
    match cast_with_options(&fitting, values.data_type(), &options) {
        Ok(back) if back.as_ref() == values.as_ref() => Ok(fitting),
        _ => Err(unfit()),
    }
}

/// Whether the same values are only laid out in another way.
fn repacked(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let text = |ty: &T| matches!(ty, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let bytes = |ty: &T| matches!(ty, T::Binary | T::LargeBinary | T::BinaryView);
    match from {
        T::Dictionary(_, values) => values.as_ref() == to || repacked(values, to),
        T::RunEndEncoded(_, values) => values.data_type() == to || repacked(values.data_type(), to),
        T::Null => true,
        from => (text(from) && text(to)) || (bytes(from) && bytes(to)),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        AsArray, Date64Array, DictionaryArray, Float64Array, Int32Array, Int64Array, NullArray, StringArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type};
    use rstest::rstest;

    use super::*;
    use crate::ErrorKind;

    fn stream(columns: &[(&str, ArrayRef)]) -> SendableRecordBatchStream {
        let batch = RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(n, c)| (*n, Arc::clone(c), true)));
        let batch = batch.unwrap();
        Box::pin(RecordBatchStreamAdapter::new(batch.schema(), futures::stream::iter([Ok(batch)])))
    }

    async fn read(rows: Result<SendableRecordBatchStream>) -> Result<RecordBatch> {
        let mut rows = rows?;
        let batch = rows.try_next().await?.unwrap();
        assert_eq!(batch.schema(), rows.schema());
        Ok(batch)
    }

    fn table() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("word", DataType::Utf8View, true),
        ]))
    }

    fn ints(values: Vec<i32>) -> ArrayRef {
        Arc::new(Int32Array::from(values))
    }

    #[tokio::test]
    async fn columns_find_their_places_by_name_and_missing_ones_are_null() {
        let words: ArrayRef = Arc::new(StringArray::from(vec!["one", "two"]));
        let given = stream(&[("word", Arc::clone(&words)), ("id", ints(vec![1, 2]))]);
        let batch = read(to_table(given, &table())).await.unwrap();
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values().to_vec(), [1, 2]);
        assert_eq!(batch.column(1).as_string_view().value(1), "two");
        let batch = read(to_table(stream(&[("id", ints(vec![7]))]), &table())).await.unwrap();
        assert_eq!(batch.column(1).null_count(), 1);
    }

    #[tokio::test]
    async fn columns_that_do_not_fit_are_named_before_anything_is_read() {
        let one = || ints(vec![1]);
        let word: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
        for (given, words) in [
            (stream(&[("id", one()), ("colour", one())]), ["\"colour\"", "id, word"]),
            (stream(&[("word", Arc::clone(&word))]), ["\"id\"", "must not be NULL"]),
            (stream(&[("id", Arc::clone(&word))]), ["\"id\"", "Int64"]),
            (stream(&[("id", one()), ("id", one())]), ["\"id\"", "twice"]),
            (stream(&[("id", one()), ("word", one())]), ["\"word\"", "Int32"]),
        ] {
            let refused = to_table(given, &table()).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            for word in words {
                assert!(refused.message().contains(word), "{refused} does not say {word}");
            }
        }
    }

    #[rstest]
    #[case::too_large(Arc::new(Int64Array::from(vec![1, 1 << 40])), DataType::Int32, false)]
    #[case::in_range(Arc::new(Int64Array::from(vec![1, -5])), DataType::Int32, true)]
    #[case::half(Arc::new(Float64Array::from(vec![1.5])), DataType::Int64, false)]
    #[case::whole(Arc::new(Float64Array::from(vec![2.0])), DataType::Int64, true)]
    #[case::unsigned(Arc::new(UInt64Array::from(vec![u64::MAX])), DataType::Int64, false)]
    #[case::nanoseconds(Arc::new(TimestampNanosecondArray::from(vec![1])), DataType::Timestamp(TimeUnit::Microsecond, None), false)]
    #[case::microseconds(Arc::new(TimestampNanosecondArray::from(vec![5_000])), DataType::Timestamp(TimeUnit::Microsecond, None), true)]
    #[case::noon(Arc::new(Date64Array::from(vec![43_200_000])), DataType::Date32, false)]
    #[case::midnight(Arc::new(Date64Array::from(vec![86_400_000])), DataType::Date32, true)]
    #[tokio::test]
    async fn a_value_that_would_change_is_refused_and_one_that_would_not_is_kept(
        #[case] values: ArrayRef,
        #[case] wanted: DataType,
        #[case] fits: bool,
    ) {
        let table = Arc::new(Schema::new(vec![Field::new("a", wanted.clone(), true)]));
        match read(to_table(stream(&[("a", Arc::clone(&values))]), &table)).await {
            Ok(batch) => assert!(fits, "{batch:?}"),
            Err(error) => {
                assert!(!fits, "{error}");
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.message().contains("\"a\""), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn null_where_none_may_be_is_refused() {
        let nothing: ArrayRef = Arc::new(NullArray::new(1));
        let refused = read(to_table(stream(&[("id", nothing)]), &table())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.message().contains("must not be NULL"), "{refused}");
    }

    #[tokio::test]
    async fn a_new_table_has_types_that_tables_hold() {
        let words: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b"]));
        let moments: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 2_000]).with_timezone("UTC"));
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1]));
        let batch = read(to_new(stream(&[("w", words), ("m", moments), ("l", large)]))).await.unwrap();
        let types: Vec<_> = batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(types, [DataType::Utf8, micros, DataType::Decimal128(20, 0)]);
        assert_eq!(batch.column(2).as_primitive::<Decimal128Type>().value(0), i128::from(u64::MAX));
    }
}
