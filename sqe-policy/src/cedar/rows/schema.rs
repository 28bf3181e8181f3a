//! The shipped schema, completed with the columns of one table.

use std::collections::BTreeMap;

use cedar_policy::{Schema, SchemaFragment};
use serde_json::{Value, json};
use sqe_core::{Column, Error, Result};

use super::ColumnKind;
use crate::cedar::SCHEMA;

/// The columns of a table as attributes of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::cedar) struct RowTypes(pub(super) BTreeMap<String, ColumnKind>);

impl RowTypes {
    pub(in crate::cedar) fn of(columns: &[Column]) -> Self {
        Self(columns.iter().map(|column| (column.name.clone(), ColumnKind::of(column.ty))).collect())
    }
}

/// The shipped schema as JSON, for [`with_row`].
pub(in crate::cedar) fn base() -> Result<Value> {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(SCHEMA).map_err(defect)?;
    fragment.to_json_value().map_err(defect)
}

/// The shipped schema with the attributes of `Row` filled in.
///
/// Every column is a *required* attribute, also one that may be NULL. That lets a policy compare a column without
/// asking first whether it is there, and takes nothing away: Cedar does not conclude from a required attribute that an
/// entity has it, so `has` stays a question about the row, and lowering treats a comparison with NULL as the error
/// that Cedar would raise.
///
/// The names go in as JSON and not as text, so no column name can add to the schema.
pub(in crate::cedar) fn with_row(base: &Value, types: &RowTypes) -> Result<Schema> {
    let mut schema = base.clone();
    let attributes: serde_json::Map<String, Value> = types
        .0
        .iter()
        .map(|(name, kind)| (name.clone(), json!({ "type": "EntityOrCommon", "name": kind.cedar(), "required": true })))
        .collect();
    let row = schema
        .pointer_mut("//entityTypes/Row")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Error::internal("the shipped policy schema has no rows"))?;
    row.insert("shape".to_owned(), json!({ "type": "Record", "attributes": attributes }));
    Schema::from_json_value(schema).map_err(defect)
}

fn defect(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("the shipped policy schema cannot be used; this is a defect").with_source(cause)
}
