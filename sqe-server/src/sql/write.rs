//! Answers as a table, CSV or JSON.

use std::{io::Write, sync::Arc};

use anyhow::Result;
use arrow::{
    array::RecordBatch,
    csv,
    datatypes::SchemaRef,
    json::{self, writer::JsonArray},
    util::pretty::pretty_format_batches_with_schema,
};

use crate::cli::Format;

/// Writes one answer; CSV and JSON batch by batch, a table at its end, when the width of its columns is known.
#[expect(clippy::large_enum_variant, reason = "there is one an answer")]
pub(crate) enum Writer<W: Write> {
    Table(W, SchemaRef, Vec<RecordBatch>),
    Csv(csv::Writer<W>),
    Json(json::Writer<W, JsonArray>),
}

impl<W: Write> Writer<W> {
    /// A writer of answers with these columns.
    ///
    /// # Errors
    /// `to` takes no more.
    pub(crate) fn new(format: Format, schema: SchemaRef, to: W) -> Result<Self> {
        Ok(match format {
            Format::Table => Self::Table(to, schema, Vec::new()),
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().with_header(true).build(to);
                // The header, also of an answer without rows.
                writer.write(&RecordBatch::new_empty(schema))?;
                Self::Csv(writer)
            }
            Format::Json => Self::Json(json::WriterBuilder::new().with_explicit_nulls(true).build(to)),
        })
    }

    /// Writes the next rows.
    ///
    /// # Errors
    /// `to` takes no more, or the format has no form for a column.
    pub(crate) fn write(&mut self, batch: RecordBatch) -> Result<()> {
        match self {
            Self::Table(_, _, batches) => batches.push(batch),
            Self::Csv(writer) => writer.write(&batch)?,
            Self::Json(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// `to` takes no more.
    pub(crate) fn finish(self) -> Result<()> {
        match self {
            Self::Table(mut to, schema, batches) => {
                writeln!(to, "{}", pretty_format_batches_with_schema(Arc::clone(&schema), &batches)?)?;
                to.flush()?;
            }
            Self::Csv(writer) => writer.into_inner().flush()?,
            Self::Json(mut writer) => {
                writer.finish()?;
                let mut to = writer.into_inner();
                writeln!(to)?;
                to.flush()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn written(format: Format, rows: bool) -> String {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["x,y", "ü\"z"]));
        let batch = RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap();
        let mut to = Vec::new();
        let mut writer = Writer::new(format, batch.schema(), &mut to).unwrap();
        if rows {
            writer.write(batch.slice(0, 1)).unwrap();
            writer.write(batch.slice(1, 1)).unwrap();
        }
        writer.finish().unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn csv_has_one_header_and_quotes_what_needs_it() {
        assert_eq!(written(Format::Csv, true), "a,b\n1,\"x,y\"\n,\"ü\"\"z\"\n");
        assert_eq!(written(Format::Csv, false), "a,b\n");
    }

    #[test]
    fn json_is_one_array_with_explicit_nulls() {
        let parsed: serde_json::Value = serde_json::from_str(&written(Format::Json, true)).unwrap();
        assert_eq!(parsed, serde_json::json!([{"a": 1, "b": "x,y"}, {"a": null, "b": "ü\"z"}]));
        assert_eq!(written(Format::Json, false).trim(), "[]");
    }

    #[test]
    fn a_table_shows_its_columns_even_without_rows() {
        assert!(written(Format::Table, false).contains("| a | b |"));
        assert!(written(Format::Table, true).contains("x,y"));
    }
}
