//! From text, with each column's SQL type beside it: how the DuckDB process hands over its answers.

use chrono::NaiveDate;
use sqe_core::{Error, Result};

use super::{Answer, Value};

/// An answer as text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Cells {
    /// Name and SQL type of every column.
    pub columns: Vec<(String, String)>,
    /// The values, exact and in ISO form; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl TryFrom<Cells> for Answer {
    type Error = Error;

    fn try_from(cells: Cells) -> Result<Self> {
        let kinds = cells.columns.iter().map(|(_, kind)| Kind::of(kind)).collect::<Result<Vec<_>>>()?;
        let rows = cells
            .rows
            .iter()
            .map(|row| {
                if row.len() != kinds.len() {
                    return Err(Error::internal("a row of the answer has not one value a column"));
                }
                row.iter().zip(&kinds).map(|(cell, kind)| kind.value(cell.as_deref())).collect()
            })
            .collect::<Result<_>>()?;
        Ok(Self { columns: cells.columns.into_iter().map(|(name, _)| name).collect(), rows })
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Boolean,
    Integer,
    Decimal,
    Float,
    Text,
    Date,
}

impl Kind {
    fn of(name: &str) -> Result<Self> {
        Ok(match name.split('(').next().unwrap_or_default() {
            "BOOLEAN" => Self::Boolean,
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT" | "UINTEGER"
            | "UBIGINT" => Self::Integer,
            "DECIMAL" => Self::Decimal,
            "FLOAT" | "DOUBLE" => Self::Float,
            "VARCHAR" => Self::Text,
            "DATE" => Self::Date,
            _ => {
                return Err(Error::unsupported(format!("answers with a column of type {name} cannot be compared yet")));
            }
        })
    }

    fn value(self, cell: Option<&str>) -> Result<Value> {
        let Some(text) = cell else { return Ok(Value::Null) };
        let value = match self {
            Self::Boolean => text.parse().ok().map(Value::Boolean),
            Self::Integer => text.parse().ok().map(Value::Integer),
            Self::Decimal => decimal(text),
            Self::Float => text.parse().ok().map(Value::Float),
            Self::Text => Some(Value::Text(text.to_owned())),
            Self::Date => text.parse::<NaiveDate>().ok().map(|date| Value::Date(date.to_epoch_days())),
        };
        value.ok_or_else(|| Error::internal(format!("the answer's value {text:?} is not of its column's type")))
    }
}

/// The scale is that of the text: as many digits as stand after the point.
fn decimal(text: &str) -> Option<Value> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let unscaled = format!("{whole}{fraction}").parse().ok()?;
    Some(Value::Decimal { unscaled, scale: u8::try_from(fraction.len()).ok()? })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn one(kind: &str, text: &str) -> Result<Value> {
        let columns = vec![("c".to_owned(), kind.to_owned())];
        let answer = Answer::try_from(Cells { columns, rows: vec![vec![Some(text.to_owned())]] })?;
        Ok(answer.rows[0][0].clone())
    }

    #[rstest]
    #[case("DECIMAL(38,4)", "-0.0500", Value::Decimal { unscaled: -500, scale: 4 })]
    #[case("DECIMAL(15,2)", "12.34", Value::Decimal { unscaled: 1234, scale: 2 })]
    #[case("DECIMAL(5,0)", "12", Value::Decimal { unscaled: 12, scale: 0 })]
    #[case("HUGEINT", "170141183460469231731687303715884105727", Value::Integer(i128::MAX))]
    #[case("DOUBLE", "0.05066115702479339", Value::Float(0.05066115702479339))]
    #[case("DOUBLE", "inf", Value::Float(f64::INFINITY))]
    #[case("DATE", "1998-11-14", Value::Date(10544))]
    #[case("VARCHAR", "1.0", Value::Text("1.0".to_owned()))]
    #[case("BOOLEAN", "true", Value::Boolean(true))]
    fn text_of_each_type_becomes_its_value(#[case] kind: &str, #[case] text: &str, #[case] expected: Value) {
        assert_eq!(one(kind, text).unwrap(), expected);
    }

    #[rstest]
    #[case::not_a_number("BIGINT", "1.5")]
    #[case::two_signs("DECIMAL(5,2)", "1.-5")]
    #[case::no_date("DATE", "yesterday")]
    #[case::unknown_type("STRUCT(a INTEGER)", "{'a': 1}")]
    fn text_that_is_not_of_its_type_is_refused(#[case] kind: &str, #[case] text: &str) {
        assert!(one(kind, text).is_err());
    }

    #[test]
    fn a_row_that_misses_a_value_is_refused() {
        let columns = vec![("c".to_owned(), "DATE".to_owned())];
        assert!(Answer::try_from(Cells { columns: columns.clone(), rows: vec![vec![]] }).is_err());
        assert!(Answer::try_from(Cells { columns, rows: vec![vec![None]] }).is_ok());
    }
}
