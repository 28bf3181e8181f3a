//! Row predicates, lowered to DataFusion expressions over a table's raw columns.
//!
//! Lowering is exact or refused: a predicate that cannot be carried out as written denies the read.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{BinaryExpr, Expr, Like, Operator, conditional_expressions::CaseBuilder, lit},
};

use crate::{
    Error, FieldId, Result,
    predicate::{CompareOp, RowPredicate, Value},
};

/// The metadata key under which Arrow fields carry their field id, as the `parquet` crate writes it.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// The field id that an Arrow field carries.
pub fn field_id(field: &Field) -> Option<FieldId> {
    field.metadata().get(FIELD_ID_KEY).and_then(|text| text.parse().ok()).map(FieldId)
}

fn refuse(why: &str) -> Error {
    Error::denied(format!("a row filter of the policy cannot be applied to this table ({why}); ask the policy's owner"))
}

/// Lowers `predicate` to an expression over unqualified columns of `schema`.
pub(super) fn lower(predicate: &RowPredicate, schema: &Schema) -> Result<Expr> {
    lower_with_hint(predicate, schema, None)
}

fn lower_with_hint(predicate: &RowPredicate, schema: &Schema, hint: Option<&DataType>) -> Result<Expr> {
    Ok(match predicate {
        RowPredicate::Column(id) => Expr::Column(Column::from_name(find(*id, schema)?.name())),
        RowPredicate::Literal(value) => lit(scalar(value, hint)?),
        RowPredicate::Compare { op, left, right } => {
            let (left_type, right_type) = (column_type(left, schema), column_type(right, schema));
            Expr::BinaryExpr(BinaryExpr::new(
                Box::new(lower_with_hint(left, schema, right_type)?),
                operator(*op),
                Box::new(lower_with_hint(right, schema, left_type)?),
            ))
        }
        RowPredicate::And(parts) => join(parts, schema, Operator::And, true)?,
        RowPredicate::Or(parts) => join(parts, schema, Operator::Or, false)?,
        RowPredicate::Not(inner) => Expr::Not(Box::new(lower(inner, schema)?)),
        RowPredicate::IsNull(inner) => Expr::IsNull(Box::new(lower(inner, schema)?)),
        RowPredicate::Like { value, pattern } => Expr::Like(Like::new(
            false,
            Box::new(lower(value, schema)?),
            Box::new(lit(pattern.as_str())),
            Some('\\'),
            false,
        )),
        RowPredicate::In { value, list } => {
            let hint = column_type(value, schema);
            let list = list.iter().map(|value| Ok(lit(scalar(value, hint)?))).collect::<Result<Vec<_>>>()?;
            lower(value, schema)?.in_list(list, false)
        }
        RowPredicate::If { condition, then, otherwise } => CaseBuilder::new(
            None,
            vec![lower(condition, schema)?],
            vec![lower_with_hint(then, schema, hint)?],
            Some(Box::new(lower_with_hint(otherwise, schema, hint)?)),
        )
        .end()?,
        RowPredicate::Coalesce(inner, value) => {
            // Written out, since `coalesce` is a function that only the simplifier can turn into something to run.
            let value = lit(scalar(value, column_type(inner, schema))?);
            let inner = lower_with_hint(inner, schema, hint)?;
            let known = Expr::IsNotNull(Box::new(inner.clone()));
            CaseBuilder::new(None, vec![known], vec![inner], Some(Box::new(value))).end()?
        }
    })
}

fn find(id: FieldId, schema: &Schema) -> Result<&Field> {
    let found = schema.fields().iter().find(|field| field_id(field) == Some(id));
    found.map(AsRef::as_ref).ok_or_else(|| refuse("it names a column that is not there"))
}

fn column_type<'a>(operand: &RowPredicate, schema: &'a Schema) -> Option<&'a DataType> {
    match operand {
        RowPredicate::Column(id) => find(*id, schema).ok().map(Field::data_type),
        _ => None,
    }
}

fn join(parts: &[RowPredicate], schema: &Schema, op: Operator, empty: bool) -> Result<Expr> {
    let mut parts = parts.iter().map(|part| lower(part, schema));
    let Some(first) = parts.next() else { return Ok(lit(empty)) };
    parts.try_fold(first?, |left, right| Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right?)))))
}

fn operator(op: CompareOp) -> Operator {
    match op {
        CompareOp::Eq => Operator::Eq,
        CompareOp::NotEq => Operator::NotEq,
        CompareOp::Lt => Operator::Lt,
        CompareOp::LtEq => Operator::LtEq,
        CompareOp::Gt => Operator::Gt,
        CompareOp::GtEq => Operator::GtEq,
    }
}

/// A constant as a scalar; `hint` is the type of the column that it meets, and only chooses among equal meanings.
pub(super) fn scalar(value: &Value, hint: Option<&DataType>) -> Result<ScalarValue> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Boolean(value) => ScalarValue::Boolean(Some(*value)),
        Value::Integer(value) => match (hint, i32::try_from(*value)) {
            (Some(DataType::Int32), Ok(value)) => ScalarValue::Int32(Some(value)),
            _ => ScalarValue::Int64(Some(*value)),
        },
        Value::Text(text) => match hint {
            Some(DataType::Utf8View) => ScalarValue::Utf8View(Some(text.clone())),
            _ => ScalarValue::Utf8(Some(text.clone())),
        },
        Value::Date(days) => ScalarValue::Date32(Some(*days)),
        Value::Timestamp(micros) => {
            let zone = match hint {
                Some(DataType::Timestamp(_, zone)) => zone.clone(),
                _ => Some("+00:00".into()),
            };
            match hint {
                Some(DataType::Timestamp(TimeUnit::Nanosecond, _)) => ScalarValue::TimestampNanosecond(
                    Some(micros.checked_mul(1000).ok_or_else(|| refuse("a timestamp is out of range"))?),
                    zone,
                ),
                _ => ScalarValue::TimestampMicrosecond(Some(*micros), zone),
            }
        }
        Value::Decimal(text) => {
            let constant = decimal(text)?;
            match hint {
                Some(DataType::Decimal128(precision, scale)) => {
                    rescaled(&constant, *precision, *scale).unwrap_or(constant)
                }
                _ => constant,
            }
        }
    })
}

/// The same number with the precision and the scale of a column, so that the column need not be cast; `None` if it has
/// more digits than that.
fn rescaled(constant: &ScalarValue, precision: u8, scale: i8) -> Option<ScalarValue> {
    let ScalarValue::Decimal128(Some(value), _, from) = constant else { return None };
    let power = 10_i128.checked_pow(u32::try_from(scale.checked_sub(*from)?).ok()?)?;
    let value = value.checked_mul(power)?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value.checked_abs()? < limit).then_some(ScalarValue::Decimal128(Some(value), precision, scale))
}

fn decimal(text: &str) -> Result<ScalarValue> {
    let bad = || refuse("a decimal constant is malformed");
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 38 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let magnitude: i128 = digits.parse().map_err(|_| bad())?;
    let value = if text.starts_with('-') { -magnitude } else { magnitude };
    let scale = i8::try_from(fraction.len()).map_err(|_| bad())?;
    let precision = u8::try_from(digits.len().max(1)).map_err(|_| bad())?;
    Ok(ScalarValue::Decimal128(Some(value), precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_take_the_type_of_their_column_where_that_is_exact() {
        let of = |value: Value, hint: DataType| scalar(&value, Some(&hint)).unwrap();
        assert_eq!(of(Value::Integer(7), DataType::Int32), ScalarValue::Int32(Some(7)));
        assert_eq!(of(Value::Integer(1 << 40), DataType::Int32), ScalarValue::Int64(Some(1 << 40)));
        let decimal =
            |text: &str, precision, scale| of(Value::Decimal(text.into()), DataType::Decimal128(precision, scale));
        assert_eq!(decimal("1.5", 15, 2), ScalarValue::Decimal128(Some(150), 15, 2));
        assert_eq!(decimal("-1.505", 15, 2), ScalarValue::Decimal128(Some(-1505), 4, 3), "more digits than the column");
        assert_eq!(decimal("1000", 4, 2), ScalarValue::Decimal128(Some(1000), 4, 0), "more than the column holds");
    }
}
