//! Masks as policies state them, and fitted to columns.

use chrono::{DateTime, NaiveDate};
use sqe_core::{
    Column, ColumnType,
    predicate::{Mask, Value},
};

/// A mask as a policy states it, before it meets a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    KeepLast(u32),
    KeyedHash,
    Constant(String),
    Null,
}

/// The actions that are masks.
pub(super) const ACTIONS: [&str; 4] = ["mask_keep_last", "mask_keyed_hash", "mask_constant", "mask_null"];

impl Statement {
    /// Reads a mask off its action and the policy's annotations.
    ///
    /// # Errors
    /// What is missing or wrong, and what to write.
    pub(super) fn read(action: &str, annotation: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let unexpected = |name: &str| match annotation(name) {
            Some(_) => Err(format!("@{name} means nothing to {action}; remove it")),
            None => Ok(()),
        };
        match action {
            "mask_keep_last" => {
                unexpected("value")?;
                let keep = annotation("keep")
                    .ok_or("mask_keep_last needs to know how many characters to keep; add @keep(\"4\")")?;
                let keep = keep.parse().map_err(|_| {
                    format!("@keep({keep:?}) is not a number of characters; write one, such as @keep(\"4\")")
                })?;
                Ok(Self::KeepLast(keep))
            }
            "mask_constant" => {
                unexpected("keep")?;
                annotation("value")
                    .map(Self::Constant)
                    .ok_or_else(|| "mask_constant needs to know what to show; add @value(\"…\")".to_owned())
            }
            "mask_keyed_hash" => unexpected("keep").and_then(|()| unexpected("value")).map(|()| Self::KeyedHash),
            "mask_null" => unexpected("keep").and_then(|()| unexpected("value")).map(|()| Self::Null),
            other => Err(format!("{other} is not a mask")),
        }
    }

    /// The mask for a column. A mask that does not fit the column's type becomes NULL, which hides more.
    pub(super) fn fit(&self, column: &Column) -> Mask {
        match (self, column.ty) {
            (Self::KeepLast(keep), ColumnType::Text) => Mask::KeepLast(*keep),
            (Self::KeyedHash, ColumnType::Text) => Mask::KeyedHash,
            (Self::Constant(text), ty) => constant(text, ty).map_or(Mask::Null, Mask::Constant),
            _ => Mask::Null,
        }
    }
}

/// A constant of a column's type: text as it is, numbers in plain notation, dates as `2024-12-31`, points in time as in
/// RFC 3339.
fn constant(text: &str, ty: ColumnType) -> Option<Value> {
    match ty {
        ColumnType::Text => Some(Value::Text(text.to_owned())),
        ColumnType::Boolean => text.parse().ok().map(Value::Boolean),
        ColumnType::Integer => text.parse().ok().map(Value::Integer),
        ColumnType::Decimal | ColumnType::Float => is_plain_decimal(text).then(|| Value::Decimal(text.to_owned())),
        ColumnType::Date => {
            let date: NaiveDate = text.parse().ok()?;
            i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok().map(Value::Date)
        }
        ColumnType::Timestamp => {
            DateTime::parse_from_rfc3339(text).ok().map(|at| Value::Timestamp(at.timestamp_micros()))
        }
        _ => None,
    }
}

/// Digits, at most one point with digits on both sides, and a sign: `-12.50`.
fn is_plain_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::FieldId;

    use super::*;

    fn fitted(statement: &Statement, ty: ColumnType) -> Mask {
        statement.fit(&Column::new(FieldId(1), "c", ty, true))
    }

    #[rstest]
    #[case(Statement::KeepLast(4), ColumnType::Text, Mask::KeepLast(4))]
    #[case(Statement::KeepLast(4), ColumnType::Integer, Mask::Null)]
    #[case(Statement::KeyedHash, ColumnType::Text, Mask::KeyedHash)]
    #[case(Statement::KeyedHash, ColumnType::Binary, Mask::Null)]
    #[case(Statement::Constant("x".into()), ColumnType::Text, Mask::Constant(Value::Text("x".into())))]
    #[case(Statement::Constant("x".into()), ColumnType::Integer, Mask::Null)]
    #[case(Statement::Constant("-7".into()), ColumnType::Integer, Mask::Constant(Value::Integer(-7)))]
    #[case(Statement::Constant("0.00".into()), ColumnType::Decimal, Mask::Constant(Value::Decimal("0.00".into())))]
    #[case(Statement::Constant("1e9".into()), ColumnType::Decimal, Mask::Null)]
    #[case(Statement::Constant("1970-01-02".into()), ColumnType::Date, Mask::Constant(Value::Date(1)))]
    #[case(Statement::Constant("1969-12-31".into()), ColumnType::Date, Mask::Constant(Value::Date(-1)))]
    #[case(
        Statement::Constant("1970-01-01T00:00:01Z".into()),
        ColumnType::Timestamp,
        Mask::Constant(Value::Timestamp(1_000_000))
    )]
    #[case(Statement::Constant("true".into()), ColumnType::Boolean, Mask::Constant(Value::Boolean(true)))]
    #[case(Statement::Constant("x".into()), ColumnType::Other, Mask::Null)]
    #[case(Statement::Null, ColumnType::Other, Mask::Null)]
    fn a_mask_fits_its_column_or_becomes_null(
        #[case] statement: Statement,
        #[case] ty: ColumnType,
        #[case] expected: Mask,
    ) {
        assert_eq!(fitted(&statement, ty), expected);
    }
}
