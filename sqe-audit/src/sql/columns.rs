//! From rows to Arrow, by tables of columns.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use arrow::{
    array::{
        ArrayBuilder, ArrayRef, Int32Builder, Int64Builder, ListBuilder, RecordBatch, RecordBatchOptions,
        StringBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use chrono::{DateTime, Utc};
use sqe_core::{Column, ColumnType, FieldId, Result};

/// The metadata key of a field's id.
const FIELD_ID: &str = "PARQUET:field_id";

/// The time zone of all times, as DataFusion spells UTC.
const UTC: &str = "+00:00";

/// A column of a table whose rows are made of `R`.
pub(crate) struct Def<R> {
    /// INVARIANT: policies bind to it, so it never changes and is never used again.
    pub(crate) id: i32,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) cell: for<'a> fn(&'a R) -> Cell<'a>,
}

impl<R> Def<R> {
    /// A column that never holds NULL.
    pub(crate) const fn new(id: i32, name: &'static str, kind: Kind, cell: for<'a> fn(&'a R) -> Cell<'a>) -> Self {
        Self { id, name, kind, nullable: false, cell }
    }

    /// A column that may hold NULL.
    pub(crate) const fn maybe(id: i32, name: &'static str, kind: Kind, cell: for<'a> fn(&'a R) -> Cell<'a>) -> Self {
        Self { id, name, kind, nullable: true, cell }
    }

    pub(crate) fn field(&self) -> Field {
        let metadata = HashMap::from([(FIELD_ID.to_owned(), self.id.to_string())]);
        Field::new(self.name, self.kind.arrow(), self.nullable).with_metadata(metadata)
    }

    pub(crate) fn column(&self) -> Column {
        let ty = match self.kind {
            Kind::Time => ColumnType::Timestamp,
            Kind::Text => ColumnType::Text,
            Kind::Integer => ColumnType::Integer,
            Kind::Texts | Kind::Ids => ColumnType::Other,
        };
        Column::new(FieldId(self.id), self.name, ty, self.nullable)
    }
}

/// The types in use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Time,
    Text,
    Integer,
    Texts,
    Ids,
}

impl Kind {
    fn arrow(self) -> DataType {
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        match self {
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Text => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Texts => list(DataType::Utf8),
            Self::Ids => list(DataType::Int32),
        }
    }

    fn builder(self) -> Box<dyn ArrayBuilder> {
        match self {
            Self::Time => Box::new(TimestampMicrosecondBuilder::new().with_timezone(UTC)),
            Self::Text => Box::new(StringBuilder::new()),
            Self::Integer => Box::new(Int64Builder::new()),
            Self::Texts => Box::new(ListBuilder::new(StringBuilder::new())),
            Self::Ids => Box::new(ListBuilder::new(Int32Builder::new())),
        }
    }
}

/// A value of a row.
#[derive(Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Time(DateTime<Utc>),
    Text(Cow<'a, str>),
    Integer(i64),
    Texts(Vec<Cow<'a, str>>),
    Ids(Vec<i32>),
}

impl<'a> Cell<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// NULL instead of an empty text.
    pub(crate) fn some_text(text: &'a str) -> Self {
        if text.is_empty() { Self::Null } else { Self::text(text) }
    }

    pub(crate) fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    pub(crate) fn count(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// The Arrow schema of columns.
pub(crate) fn schema<R>(defs: &[Def<R>]) -> SchemaRef {
    Arc::new(Schema::new(defs.iter().map(Def::field).collect::<Vec<_>>()))
}

/// A batch under construction.
pub(crate) struct Batch<R: 'static> {
    schema: SchemaRef,
    columns: Vec<(&'static Def<R>, Box<dyn ArrayBuilder>)>,
    rows: usize,
    bytes: usize,
}

impl<R> Batch<R> {
    pub(crate) fn new(schema: SchemaRef, defs: &[&'static Def<R>]) -> Self {
        let columns = defs.iter().map(|def| (*def, def.kind.builder())).collect();
        Self { schema, columns, rows: 0, bytes: 0 }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes of text it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, row: &R) {
        self.rows += 1;
        for (def, builder) in &mut self.columns {
            let cell = (def.cell)(row);
            self.bytes += match &cell {
                Cell::Text(text) => text.len(),
                Cell::Texts(texts) => texts.iter().map(|text| text.len()).sum(),
                _ => 8,
            };
            append(builder.as_mut(), def.kind, cell);
        }
    }

    /// The rows so far; the next batch begins empty.
    pub(crate) fn take(&mut self) -> Result<RecordBatch> {
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(|(_, builder)| builder.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

/// A cell that is not of the column's kind becomes NULL, which a column that must not hold one reports.
fn append(builder: &mut dyn ArrayBuilder, kind: Kind, cell: Cell<'_>) {
    let any = builder.as_any_mut();
    match kind {
        Kind::Time => {
            if let Some(builder) = any.downcast_mut::<TimestampMicrosecondBuilder>() {
                let Cell::Time(time) = cell else { return builder.append_null() };
                builder.append_value(time.timestamp_micros());
            }
        }
        Kind::Text => {
            if let Some(builder) = any.downcast_mut::<StringBuilder>() {
                let Cell::Text(text) = cell else { return builder.append_null() };
                builder.append_value(text);
            }
        }
        Kind::Integer => {
            if let Some(builder) = any.downcast_mut::<Int64Builder>() {
                let Cell::Integer(number) = cell else { return builder.append_null() };
                builder.append_value(number);
            }
        }
        Kind::Texts => {
            if let Some(builder) = any.downcast_mut::<ListBuilder<StringBuilder>>() {
                let Cell::Texts(texts) = cell else { return builder.append_null() };
                texts.iter().for_each(|text| builder.values().append_value(text));
                builder.append(true);
            }
        }
        Kind::Ids => {
            if let Some(builder) = any.downcast_mut::<ListBuilder<Int32Builder>>() {
                let Cell::Ids(ids) = cell else { return builder.append_null() };
                ids.iter().for_each(|id| builder.values().append_value(*id));
                builder.append(true);
            }
        }
    }
}
