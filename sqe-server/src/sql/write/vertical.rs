//! One value a line, for rows that are wider than any screen.

use std::io::Write;

use anyhow::Result;
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unicode_width::UnicodeWidthStr;

use super::{
    cells::{Cells, shown},
    visible::{visible, visible_lines},
};

/// An answer that is being written value by value.
pub(super) struct Vertical {
    names: Vec<String>,
    width: usize,
    rows: usize,
}

impl Vertical {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|field| visible(field.name()).into_owned()).collect();
        let width = names.iter().map(|name| name.width()).max().unwrap_or_default();
        Self { names, width, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, to: &mut dyn Write) -> Result<()> {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            self.rows += 1;
            let title = format!("-[ row {} ]", self.rows);
            writeln!(to, "{title}{}", "-".repeat((self.width + 12).saturating_sub(title.len())))?;
            for (name, value) in self.names.iter().zip(cells.row(row)) {
                let space = " ".repeat(self.width.saturating_sub(name.width()));
                let value = shown(value);
                let value = visible_lines(&value);
                let mut lines = value.split('\n').peekable();
                let mut label = format!("{name}{space}");
                while let Some(line) = lines.next() {
                    // As in a table: a plus where data never stands says that the value goes on.
                    let border = if lines.peek().is_some() { '+' } else { '|' };
                    writeln!(to, "{label} {border} {line}")?;
                    label = " ".repeat(self.width);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn each_value_has_its_line_and_each_row_its_number() {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let name: ArrayRef = Arc::new(StringArray::from(vec!["two\nlines", "\u{1b}x"]));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", id, true), ("näme", name, false)]).unwrap();
        let mut to = Vec::new();
        let mut vertical = Vertical::new(&batch.schema());
        vertical.write(&batch.slice(0, 1), &mut to).unwrap();
        vertical.write(&batch.slice(1, 1), &mut to).unwrap();
        let expected = "\
-[ row 1 ]------
id   | 1
näme + two
     | lines
-[ row 2 ]------
id   | NULL
näme | \\u001bx
";
        assert_eq!(String::from_utf8(to).unwrap(), expected);
    }
}
