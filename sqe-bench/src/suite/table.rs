use std::{fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{
    Scale,
    data::{BoxedBatches, Part},
};

/// A table of a suite: its columns, how many rows it has at a scale, and who makes them.
///
/// Two are equal if they have the same name and columns.
#[derive(Clone, Copy)]
pub struct Table {
    name: &'static str,
    columns: &'static [Column],
    rows: Rows,
    generate: Generate,
}

/// Makes the rows of one part of a table, in batches of so many rows, one batch at a time.
pub type Generate = fn(Table, Scale, usize, Part) -> BoxedBatches;

/// A column of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    nullable: bool,
}

impl Column {
    /// A column without nulls.
    #[must_use]
    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, nullable: false }
    }

    /// A column that can have nulls.
    #[must_use]
    pub const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, nullable: true }
    }
}

/// The type of a column: those that the suites here have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Exact numbers of so many digits, of which so many stand after the point.
    Decimal(u8, i8),
    /// Days.
    Date,
    /// Text without padding.
    Text,
}

impl Kind {
    /// As Arrow calls it.
    #[must_use]
    pub const fn data_type(self) -> DataType {
        match self {
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
            Self::Date => DataType::Date32,
            Self::Text => DataType::Utf8,
        }
    }
}

/// How many rows a table has.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Rows {
    /// The same at every scale. So are the rows themselves.
    Constant(u64),
    /// `each` for each of `units` times the scale, rounded down: of such a table the number of rows tells the scale.
    Proportional {
        /// How many at scale 1.
        units: f64,
        /// Rows of one.
        each: u64,
    },
    /// In steps: different scales can have the same number.
    Stepped(fn(Scale) -> u64),
    /// A matter of chance.
    Random,
}

impl Table {
    /// A table.
    #[must_use]
    pub const fn new(name: &'static str, columns: &'static [Column], rows: Rows, generate: Generate) -> Self {
        Self { name, columns, rows, generate }
    }

    /// The table's name in SQL.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        let field = |column: &Column| Field::new(column.name, column.kind.data_type(), column.nullable);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// How many rows the specification asks for; `None` if it leaves the number to chance.
    #[must_use]
    pub fn rows(&self, scale: Scale) -> Option<u64> {
        match self.rows {
            Rows::Constant(rows) => Some(rows),
            Rows::Proportional { units, each } => Some((units * scale.factor()) as u64 * each),
            Rows::Stepped(rows) => Some(rows(scale)),
            Rows::Random => None,
        }
    }

    /// Whether the table has the same rows at every scale.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        matches!(self.rows, Rows::Constant(_))
    }

    /// The scale at which the table has so many rows, if it is one whose number of rows tells.
    #[must_use]
    pub fn scale_of(&self, rows: u64) -> Option<Scale> {
        let Rows::Proportional { units, each } = self.rows else { return None };
        let found = Scale::new(rows as f64 / (units * each as f64)).ok()?;
        (self.rows(found) == Some(rows)).then_some(found)
    }

    pub(super) fn generate(self, scale: Scale, batch_rows: usize, part: Part) -> BoxedBatches {
        (self.generate)(self, scale, batch_rows, part)
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.columns == other.columns
    }
}

impl Eq for Table {}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("name", &self.name).field("rows", &self.rows).finish_non_exhaustive()
    }
}
