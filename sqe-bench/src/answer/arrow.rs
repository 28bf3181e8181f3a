//! From Arrow batches.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Schema},
    record_batch::RecordBatch,
};
use sqe_core::{Error, Result};

use super::{Answer, Value};

impl Answer {
    /// The answer that these batches hold. Text may come in any of Arrow's layouts, dictionaries included.
    ///
    /// # Errors
    /// `Unsupported` for a column type that answers of the suites here never have.
    pub fn from_batches(schema: &Schema, batches: &[RecordBatch]) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut rows: Vec<Vec<Value>> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for batch in batches {
            let first = rows.len();
            rows.resize_with(first + batch.num_rows(), || Vec::with_capacity(batch.num_columns()));
            for column in batch.columns() {
                for (row, value) in rows.iter_mut().skip(first).zip(values(column)?) {
                    row.push(value);
                }
            }
        }
        Ok(Self { columns, rows })
    }
}

fn values(column: &ArrayRef) -> Result<Vec<Value>> {
    let kind = column.data_type();
    Ok(match kind {
        DataType::Null => vec![Value::Null; column.len()],
        DataType::Boolean => each(column.as_boolean().iter(), Value::Boolean),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            let scale = u8::try_from(*scale).map_err(|_| unsupported(kind))?;
            let column = widened(column, &DataType::Decimal128(38, i8::try_from(scale).unwrap_or(0)))?;
            each(column.as_primitive::<Decimal128Type>().iter(), |unscaled| Value::Decimal { unscaled, scale })
        }
        DataType::Date32 => each(column.as_primitive::<Date32Type>().iter(), Value::Date),
        kind if kind.is_integer() => {
            let column = widened(column, &DataType::Decimal128(38, 0))?;
            each(column.as_primitive::<Decimal128Type>().iter(), Value::Integer)
        }
        kind if kind.is_floating() => {
            let column = widened(column, &DataType::Float64)?;
            each(column.as_primitive::<Float64Type>().iter(), Value::Float)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let column = widened(column, &DataType::Utf8)?;
            each(column.as_string::<i32>().iter(), |text| Value::Text(text.to_owned()))
        }
        DataType::Dictionary(_, inner) => return values(&widened(column, inner)?),
        _ => return Err(unsupported(kind)),
    })
}

fn each<T>(column: impl Iterator<Item = Option<T>>, value: impl Fn(T) -> Value) -> Vec<Value> {
    column.map(|cell| cell.map_or(Value::Null, &value)).collect()
}

/// A cast that fails where it would lose something. (Arrow's default makes a NULL of it.)
fn widened(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, to, &options)?)
}

fn unsupported(kind: &DataType) -> Error {
    Error::unsupported(format!("answers with a column of type {kind} cannot be compared yet"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{
            BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Int32Array, NullArray, StringArray,
            StringViewArray, UInt64Array,
        },
        compute::cast,
    };

    use super::*;

    fn answer(columns: Vec<(&str, ArrayRef)>) -> Result<Answer> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        Answer::from_batches(&batch.schema(), &[batch.clone(), batch.slice(0, 0)])
    }

    #[test]
    fn every_type_of_the_suites_keeps_its_value() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let dictionary = cast(&text, &DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into())).unwrap();
        let money = Decimal128Array::from(vec![Some(-150), None]).with_precision_and_scale(38, 2).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("unsigned", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
            ("int", Arc::new(Int32Array::from(vec![Some(-1), None]))),
            ("decimal", Arc::new(money)),
            ("float", Arc::new(Float32Array::from(vec![Some(0.5), None]))),
            ("text", text),
            ("view", Arc::new(StringViewArray::from(vec![Some("a text longer than twelve"), None]))),
            ("dictionary", dictionary),
            ("date", Arc::new(Date32Array::from(vec![Some(8035), None]))),
            ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("null", Arc::new(NullArray::new(2))),
        ];
        let answer = answer(columns).unwrap();
        assert_eq!(answer.columns.first().map(String::as_str), Some("unsigned"));
        assert_eq!(
            answer.rows,
            [
                vec![
                    Value::Integer(i128::from(u64::MAX)),
                    Value::Integer(-1),
                    Value::Decimal { unscaled: -150, scale: 2 },
                    Value::Float(0.5),
                    Value::Text("a".to_owned()),
                    Value::Text("a text longer than twelve".to_owned()),
                    Value::Text("a".to_owned()),
                    Value::Date(8035),
                    Value::Boolean(true),
                    Value::Null,
                ],
                vec![Value::Null; 10],
            ]
        );
    }

    #[test]
    fn a_type_that_no_suite_has_is_refused_instead_of_guessed() {
        let error = answer(vec![("b", Arc::new(BinaryArray::from_vec(vec![b"x"])))]).unwrap_err();
        assert_eq!(error.kind(), sqe_core::ErrorKind::Unsupported);
    }
}
