//! Single values between Iceberg's and DataFusion's representation.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use iceberg::spec::{Datum, PrimitiveLiteral, PrimitiveType};

/// An Iceberg value as a column's Arrow type. `None` if the two do not belong together, or if values of the type do not
/// sort alike everywhere: writers disagree whether the bytes of a UUID have a sign.
pub(crate) fn scalar(literal: &PrimitiveLiteral, ty: &DataType) -> Option<ScalarValue> {
    Some(match (literal, ty) {
        (PrimitiveLiteral::Boolean(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (PrimitiveLiteral::Int(value), DataType::Int32) => ScalarValue::Int32(Some(*value)),
        (PrimitiveLiteral::Int(value), DataType::Int64) => ScalarValue::Int64(Some(i64::from(*value))),
        (PrimitiveLiteral::Int(value), DataType::Date32) => ScalarValue::Date32(Some(*value)),
        (PrimitiveLiteral::Long(value), DataType::Int64) => ScalarValue::Int64(Some(*value)),
        (PrimitiveLiteral::Long(value), DataType::Time64(TimeUnit::Microsecond)) => {
            ScalarValue::Time64Microsecond(Some(*value))
        }
        (PrimitiveLiteral::Long(value), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        (PrimitiveLiteral::Long(value), DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
            ScalarValue::TimestampNanosecond(Some(*value), zone.clone())
        }
        (PrimitiveLiteral::Float(value), DataType::Float32) => ScalarValue::Float32(Some(value.0)),
        (PrimitiveLiteral::Float(value), DataType::Float64) => ScalarValue::Float64(Some(f64::from(value.0))),
        (PrimitiveLiteral::Double(value), DataType::Float64) => ScalarValue::Float64(Some(value.0)),
        (PrimitiveLiteral::String(value), DataType::Utf8View) => ScalarValue::Utf8View(Some(value.clone())),
        (PrimitiveLiteral::String(value), DataType::Utf8) => ScalarValue::Utf8(Some(value.clone())),
        (PrimitiveLiteral::Binary(value), DataType::BinaryView) => ScalarValue::BinaryView(Some(value.clone())),
        (PrimitiveLiteral::Binary(value), DataType::LargeBinary) => ScalarValue::LargeBinary(Some(value.clone())),
        (PrimitiveLiteral::Int128(value), DataType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        _ => return None,
    })
}

/// A default value as a column's Arrow type: all types that a constant can have.
pub(crate) fn default(literal: &PrimitiveLiteral, ty: &DataType) -> Option<ScalarValue> {
    scalar(literal, ty).or_else(|| match (literal, ty) {
        (PrimitiveLiteral::UInt128(value), DataType::FixedSizeBinary(16)) => {
            Some(ScalarValue::FixedSizeBinary(16, Some(value.to_be_bytes().to_vec())))
        }
        (PrimitiveLiteral::Binary(value), DataType::FixedSizeBinary(width))
            if i32::try_from(value.len()).is_ok_and(|length| length == *width) =>
        {
            Some(ScalarValue::FixedSizeBinary(*width, Some(value.clone())))
        }
        _ => None,
    })
}

/// A DataFusion value as an Iceberg value of a column, to be transformed like the column's values.
pub(crate) fn datum(value: &ScalarValue, ty: &PrimitiveType) -> Option<Datum> {
    Some(match (value, ty) {
        (ScalarValue::Int32(Some(value)), PrimitiveType::Int) => Datum::int(*value),
        (ScalarValue::Int32(Some(value)), PrimitiveType::Long) => Datum::long(i64::from(*value)),
        (ScalarValue::Int64(Some(value)), PrimitiveType::Long) => Datum::long(*value),
        (ScalarValue::Date32(Some(value)), PrimitiveType::Date) => Datum::date(*value),
        (ScalarValue::TimestampMicrosecond(Some(value), _), PrimitiveType::Timestamp) => {
            Datum::timestamp_micros(*value)
        }
        (ScalarValue::TimestampMicrosecond(Some(value), _), PrimitiveType::Timestamptz) => {
            Datum::timestamptz_micros(*value)
        }
        (
            ScalarValue::Utf8(Some(value)) | ScalarValue::LargeUtf8(Some(value)) | ScalarValue::Utf8View(Some(value)),
            PrimitiveType::String,
        ) => Datum::string(value),
        (
            ScalarValue::Binary(Some(value))
            | ScalarValue::LargeBinary(Some(value))
            | ScalarValue::BinaryView(Some(value)),
            PrimitiveType::Binary,
        ) => Datum::binary(value.iter().copied()),
        (ScalarValue::Decimal128(Some(value), _, scale), PrimitiveType::Decimal { scale: wanted, .. })
            if u32::try_from(*scale).is_ok_and(|scale| scale == *wanted) =>
        {
            Datum::try_from_bytes(&value.to_be_bytes(), ty.clone()).ok()?
        }
        _ => return None,
    })
}
