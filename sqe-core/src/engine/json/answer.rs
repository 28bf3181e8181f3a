//! What each function answers, row by row.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, StringArray, StringBuilder};
use datafusion::error::Result as DataFusionResult;
use serde::de::IgnoredAny;

use super::{
    function::{Arguments, Kind, element},
    walk::{elements, find, keys, string},
};

pub(super) fn answer(kind: Kind, arguments: &Arguments<'_>, rows: usize) -> DataFusionResult<ArrayRef> {
    let values = || (0..rows).map(|row| value(arguments, row));
    Ok(match kind {
        Kind::Get => Arc::new(StringArray::from_iter(values().map(|value| value.filter(|it| is_valid(it))))),
        Kind::Str => Arc::new(StringArray::from_iter(values().map(|value| value.and_then(string)))),
        Kind::Text => Arc::new(StringArray::from_iter(values().map(|value| value.and_then(text)))),
        Kind::Int => Arc::new(Int64Array::from_iter(values().map(|value| value?.parse::<i64>().ok()))),
        Kind::Float => Arc::new(Float64Array::from_iter(values().map(|value| serde_json::from_str(value?).ok()))),
        Kind::Bool => Arc::new(BooleanArray::from_iter(values().map(|value| match value? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }))),
        Kind::Length => Arc::new(Int64Array::from_iter(values().map(|value| length(value?)))),
        Kind::Contains => Arc::new(BooleanArray::from_iter(
            (0..rows).map(|row| arguments.document(row).map(|_| value(arguments, row).is_some())),
        )),
        Kind::Valid => Arc::new(BooleanArray::from_iter((0..rows).map(|row| arguments.document(row).map(is_valid)))),
        Kind::Array => lists(values().map(|value| Some(owned(elements(value?)?)))),
        Kind::Keys => lists(values().map(|value| keys(value?)?.into_iter().map(string).collect())),
    })
}

fn value<'a>(arguments: &Arguments<'a>, row: usize) -> Option<&'a str> {
    find(arguments.document(row)?, arguments.path(row)?.as_ref())
}

fn owned(elements: Vec<&str>) -> Vec<String> {
    elements.into_iter().map(str::to_owned).collect()
}

fn lists(rows: impl Iterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element());
    for row in rows {
        lists.append_option(row.map(|items| items.into_iter().map(Some)));
    }
    Arc::new(lists.finish())
}

fn is_valid(json: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(json).is_ok()
}

/// Strings without their quotes, no `null`, and everything else as JSON.
fn text(value: &str) -> Option<String> {
    match value {
        "null" => None,
        written if written.starts_with('"') => string(written),
        other => is_valid(other).then(|| other.to_owned()),
    }
}

/// Of arrays and objects only.
fn length(value: &str) -> Option<i64> {
    let count = if value.starts_with('[') { elements(value)?.len() } else { keys(value)?.len() };
    i64::try_from(count).ok()
}
