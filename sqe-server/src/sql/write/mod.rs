//! Answers in the format that was asked for. All of them stream; a table looks at its first rows for its layout.

mod cells;
mod plain;
mod table;
mod vertical;
pub(crate) mod visible;

use std::io::Write;

use anyhow::Result;
use arrow::{
    array::RecordBatch,
    datatypes::SchemaRef,
    ipc::writer::StreamWriter,
    json::{LineDelimitedWriter, WriterBuilder, writer::LineDelimited},
};

use self::{cells::Cells, table::Table, vertical::Vertical};
use crate::cli::Format;

/// How an answer is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) format: Format,
    /// How wide lines of a table may be. `None`: as wide as they are.
    pub(crate) width: Option<usize>,
    /// Whether a table that is too wide becomes one value a line.
    pub(crate) vertical_if_wide: bool,
}

impl Look {
    /// A format, without regard to any screen.
    #[cfg(test)]
    fn of(format: Format) -> Self {
        Self { format, width: None, vertical_if_wide: false }
    }
}

/// Writes one answer.
pub(crate) struct Writer<W: Write> {
    to: W,
    schema: SchemaRef,
    look: Look,
    form: Form,
    rows: usize,
}

enum Form {
    /// A table, or one value a line: the first rows will tell.
    Undecided,
    Table(Table),
    Vertical(Vertical),
    Csv,
    Markdown,
    Json,
    Ndjson,
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

/// What there is to tell about an answer that was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) rows: usize,
    /// Columns of a table that did not fit.
    pub(crate) left_out: Vec<String>,
}

impl<W: Write> Writer<W> {
    /// A writer of answers with these columns.
    ///
    /// # Errors
    /// `to` takes no more, or the format has no form for a column.
    pub(crate) fn new(look: Look, schema: SchemaRef, mut to: W) -> Result<Self> {
        let form = match look.format {
            Format::Table if look.vertical_if_wide && look.width.is_some() => Form::Undecided,
            Format::Table => Form::Table(Table::new(&schema, look.width)),
            Format::Vertical => Form::Vertical(Vertical::new(&schema)),
            Format::Csv => {
                plain::csv_header(&schema, &mut to)?;
                Form::Csv
            }
            Format::Markdown => {
                plain::markdown_header(&schema, &mut to)?;
                Form::Markdown
            }
            Format::Json => {
                to.write_all(b"[")?;
                Form::Json
            }
            Format::Ndjson => Form::Ndjson,
            Format::Arrow => Form::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema)?)),
        };
        Ok(Self { to, schema, look, form, rows: 0 })
    }

    /// Writes the next rows.
    ///
    /// # Errors
    /// `to` takes no more, or the format has no form for a column.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if matches!(self.form, Form::Undecided) && batch.num_rows() > 0 {
            self.form = self.decide(batch)?;
        }
        match &mut self.form {
            Form::Undecided => {}
            Form::Table(table) => table.write(batch, &mut self.to)?,
            Form::Vertical(vertical) => vertical.write(batch, &mut self.to)?,
            Form::Csv => plain::csv(batch, &mut self.to)?,
            Form::Markdown => plain::markdown(batch, &mut self.to)?,
            Form::Ndjson => self.to.write_all(&lines(batch)?)?,
            Form::Json => {
                let lines = lines(batch)?;
                for (at, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
                    self.to.write_all(if self.rows + at == 0 { b"" } else { b",\n" })?;
                    self.to.write_all(line)?;
                }
            }
            Form::Arrow(writer) => {
                writer.write(batch)?;
                self.to.write_all(&std::mem::take(writer.get_mut()))?;
            }
        }
        self.rows += batch.num_rows();
        // Somebody may be waiting for these, and the next ones can take long.
        self.to.flush()?;
        Ok(())
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// `to` takes no more.
    pub(crate) fn finish(mut self) -> Result<Written> {
        let mut left_out = Vec::new();
        match self.form {
            Form::Undecided => left_out = Table::new(&self.schema, self.look.width).finish(&mut self.to)?,
            Form::Table(table) => left_out = table.finish(&mut self.to)?,
            Form::Json => self.to.write_all(b"]\n")?,
            Form::Arrow(writer) => self.to.write_all(&writer.into_inner()?)?,
            Form::Vertical(_) | Form::Csv | Form::Markdown | Form::Ndjson => {}
        }
        self.to.flush()?;
        Ok(Written { rows: self.rows, left_out })
    }

    /// By the rows of the first batch: a table if they fit.
    fn decide(&self, batch: &RecordBatch) -> Result<Form> {
        let mut widths: Vec<usize> =
            self.schema.fields().iter().map(|field| table::widest_line(&visible::visible(field.name()))).collect();
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows().min(table::LAYOUT_ROWS) {
            for (width, value) in widths.iter_mut().zip(cells.row(row)) {
                *width = (*width).max(table::widest_line(&visible::visible_lines(&cells::shown(value))));
            }
        }
        Ok(match self.look.width {
            Some(limit) if table::total(widths.into_iter()) > limit => Form::Vertical(Vertical::new(&self.schema)),
            limit => Form::Table(Table::new(&self.schema, limit)),
        })
    }
}

/// One JSON object a line, missing values included.
fn lines(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer: LineDelimitedWriter<Vec<u8>> =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        ipc::reader::StreamReader,
    };

    use super::*;

    fn batch() -> RecordBatch {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let b: ArrayRef = Arc::new(StringArray::from(vec!["x,y", "ü\"z\n"]));
        RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap()
    }

    fn bytes(look: Look, rows: bool) -> Vec<u8> {
        let batch = batch();
        let mut to = Vec::new();
        let mut writer = Writer::new(look, batch.schema(), &mut to).unwrap();
        if rows {
            writer.write(&batch.slice(0, 1)).unwrap();
            writer.write(&batch.slice(1, 1)).unwrap();
        }
        assert_eq!(writer.finish().unwrap().rows, if rows { 2 } else { 0 });
        to
    }

    fn written(format: Format, rows: bool) -> String {
        String::from_utf8(bytes(Look::of(format), rows)).unwrap()
    }

    #[test]
    fn csv_has_one_header_and_quotes_what_needs_it() {
        assert_eq!(written(Format::Csv, true), "a,b\n1,\"x,y\"\n,\"ü\"\"z\n\"\n");
        assert_eq!(written(Format::Csv, false), "a,b\n");
    }

    #[test]
    fn json_is_one_array_with_explicit_nulls() {
        let parsed: serde_json::Value = serde_json::from_str(&written(Format::Json, true)).unwrap();
        assert_eq!(parsed, serde_json::json!([{"a": 1, "b": "x,y"}, {"a": null, "b": "ü\"z\n"}]));
        assert_eq!(written(Format::Json, false), "[]\n");
    }

    #[test]
    fn ndjson_is_one_object_a_line() {
        let text = written(Format::Ndjson, true);
        let parsed: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed, [serde_json::json!({"a": 1, "b": "x,y"}), serde_json::json!({"a": null, "b": "ü\"z\n"})]);
        assert_eq!(written(Format::Ndjson, false), "");
    }

    #[test]
    fn arrow_is_a_stream_that_others_read() {
        for rows in [true, false] {
            let bytes = bytes(Look::of(Format::Arrow), rows);
            let reader = StreamReader::try_new(bytes.as_slice(), None).unwrap();
            assert_eq!(reader.schema(), batch().schema());
            let read: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
            let expected = if rows { vec![batch().slice(0, 1), batch().slice(1, 1)] } else { vec![] };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn a_table_shows_its_columns_even_without_rows() {
        assert!(written(Format::Table, false).contains("| a | b |"));
        assert!(written(Format::Table, true).contains("x,y"));
    }

    #[test]
    fn what_is_too_wide_for_a_table_stands_one_value_a_line_where_that_is_wanted() {
        let look = |width, vertical_if_wide| Look { format: Format::Table, width: Some(width), vertical_if_wide };
        let text = |look| String::from_utf8(bytes(look, true)).unwrap();
        assert!(text(look(80, true)).starts_with("+--"));
        assert!(text(look(10, true)).starts_with("-[ row 1 ]"));
        assert!(text(look(10, false)).starts_with("+--"));
    }
}
