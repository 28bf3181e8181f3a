//! The names of things: tables, columns, queries.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id of one query, time-ordered (UUID version 7, RFC 9562).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryId(pub Uuid);

impl QueryId {
    /// A new id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a table as a person writes it: catalog, schema, table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The catalog, as the engine was told to call it.
    pub catalog: String,
    /// The schema; levels of a nested namespace are joined with `.`.
    pub schema: String,
    /// The table.
    pub table: String,
}

impl TableName {
    /// A full name.
    pub fn new(catalog: impl Into<String>, schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { catalog: catalog.into(), schema: schema.into(), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.table)
    }
}

/// What policy, grants and audit bind to: a table's name and the uuid its catalog gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId {
    /// The name it had when it was resolved.
    pub name: TableName,
    /// The table's uuid, stable through renames (Iceberg `table-uuid`).
    pub uuid: Uuid,
}

impl TableId {
    /// A table's id.
    #[must_use]
    pub fn new(name: TableName, uuid: Uuid) -> Self {
        Self { name, uuid }
    }
}

/// A column's id in its table's schema, stable through renames (Iceberg field id).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldId(pub i32);

impl fmt::Display for FieldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of a top-level column, as far as policies need it (Iceberg table specification, "Primitive Types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ColumnType {
    /// `true` or `false`.
    Boolean,
    /// A signed integer of up to 64 bits.
    Integer,
    /// A binary floating point number.
    Float,
    /// An exact decimal number.
    Decimal,
    /// Days.
    Date,
    /// Time of day.
    Time,
    /// A point in time, with or without zone.
    Timestamp,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// A struct, list, map, or a type that policies cannot look into. Only a null mask fits it.
    Other,
}

/// A top-level column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Column {
    /// The stable id that policies and grants bind to.
    pub field_id: FieldId,
    /// The name in the table's current schema.
    pub name: String,
    /// The type.
    pub ty: ColumnType,
    /// Whether the column may hold NULL.
    pub nullable: bool,
    /// Tags that a catalog or an administrator attached.
    pub tags: BTreeSet<String>,
}

impl Column {
    /// A column without tags.
    pub fn new(field_id: FieldId, name: impl Into<String>, ty: ColumnType, nullable: bool) -> Self {
        Self { field_id, name: name.into(), ty, nullable, tags: BTreeSet::new() }
    }
}
