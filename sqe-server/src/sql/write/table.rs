//! Lines and columns. The first rows decide how wide columns are; the rest streams.

use std::io::{self, Write};

use anyhow::Result;
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{
    cells::{Cells, is_number, shown},
    visible::{visible, visible_lines},
};

/// As many rows, or about as many bytes of text, are looked at before columns get their widths.
pub(super) const LAYOUT_ROWS: usize = 1000;
const LAYOUT_BYTES: usize = 4 << 20;
/// Columns of text are not made narrower than this; rather some are left out.
const NARROWEST: usize = 6;
const CUT: &str = "…";

/// A table that is being written.
pub(super) struct Table {
    columns: Vec<Column>,
    /// Rows that wait for the widths. `None`: the widths are known.
    waiting: Option<Vec<Vec<String>>>,
    waiting_bytes: usize,
    /// How wide lines may be. `None`: as wide as they are.
    limit: Option<usize>,
    left_out: Vec<String>,
}

struct Column {
    name: String,
    number: bool,
    width: usize,
}

impl Table {
    pub(super) fn new(schema: &SchemaRef, limit: Option<usize>) -> Self {
        let column = |name: &str, number| {
            let name = visible(name).into_owned();
            Column { width: name.width(), name, number }
        };
        let columns = schema.fields().iter().map(|field| column(field.name(), is_number(field.data_type()))).collect();
        Self { columns, waiting: Some(Vec::new()), waiting_bytes: 0, limit, left_out: Vec::new() }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, to: &mut dyn Write) -> Result<()> {
        let cells = Cells::new(batch)?;
        for row in 0..batch.num_rows() {
            let row: Vec<String> = cells.row(row).map(|value| visible_lines(&shown(value)).into_owned()).collect();
            match &mut self.waiting {
                None => self.line(&row, to)?,
                Some(waiting) => {
                    self.waiting_bytes += row.iter().map(String::len).sum::<usize>();
                    waiting.push(row);
                    if waiting.len() >= LAYOUT_ROWS || self.waiting_bytes >= LAYOUT_BYTES {
                        self.lay_out(to)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes what is left. Gives the names of the columns that did not fit.
    pub(super) fn finish(mut self, to: &mut dyn Write) -> Result<Vec<String>> {
        self.lay_out(to)?;
        self.border(to)?;
        Ok(self.left_out)
    }

    fn lay_out(&mut self, to: &mut dyn Write) -> Result<()> {
        let Some(rows) = self.waiting.take() else { return Ok(()) };
        for row in &rows {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(widest_line(cell));
            }
        }
        if let Some(limit) = self.limit {
            self.squeeze(limit);
        }
        self.border(to)?;
        let header: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        self.line(&header, to)?;
        self.border(to)?;
        for row in &rows {
            self.line(row, to)?;
        }
        Ok(())
    }

    /// Leaves out the last columns if even the narrowest form is too wide, then takes from the widest columns of text.
    fn squeeze(&mut self, limit: usize) {
        let narrowest = |column: &Column| if column.number { column.width } else { column.width.min(NARROWEST) };
        while self.columns.len() > 1 && total(self.columns.iter().map(narrowest)) > limit {
            self.left_out.extend(self.columns.pop().map(|column| column.name));
        }
        self.left_out.reverse();
        for column in self.columns.iter_mut().filter(|column| !column.number) {
            column.width = column.width.min(limit);
        }
        while total(self.columns.iter().map(|column| column.width)) > limit {
            let soft = |column: &&mut Column| !column.number && column.width > NARROWEST;
            match self.columns.iter_mut().filter(soft).max_by_key(|column| column.width) {
                Some(widest) => widest.width -= 1,
                None => return,
            }
        }
    }

    fn border(&self, to: &mut dyn Write) -> io::Result<()> {
        for column in &self.columns {
            write!(to, "+{}", "-".repeat(column.width + 2))?;
        }
        writeln!(to, "+")
    }

    /// A row: as many lines as its cell of most lines. A `+` behind a cell says that it goes on in the next line, where
    /// data itself never stands.
    fn line(&self, row: &[String], to: &mut dyn Write) -> io::Result<()> {
        let mut cells: Vec<_> = row.iter().take(self.columns.len()).map(|cell| cell.split('\n').peekable()).collect();
        loop {
            let mut more = false;
            for (column, cell) in self.columns.iter().zip(&mut cells) {
                let part = cell.next().unwrap_or_default();
                let goes_on = cell.peek().is_some();
                more |= goes_on;
                let part = match self.limit {
                    Some(_) if !column.number => cut(part, column.width),
                    _ => part.to_owned(),
                };
                let space = " ".repeat(column.width.saturating_sub(part.width()));
                let (before, after) = if column.number { (space.as_str(), "") } else { ("", space.as_str()) };
                write!(to, "| {before}{part}{after}{}", if goes_on { '+' } else { ' ' })?;
            }
            writeln!(to, "|")?;
            if !more {
                return Ok(());
            }
        }
    }
}

/// The width of a line whose columns have these widths.
pub(super) fn total(widths: impl Iterator<Item = usize>) -> usize {
    widths.map(|width| width + 3).sum::<usize>() + 1
}

/// The columns of a terminal that the widest line of a cell takes.
pub(super) fn widest_line(cell: &str) -> usize {
    cell.split('\n').map(UnicodeWidthStr::width).max().unwrap_or_default()
}

/// At most `width` columns of a terminal, and a sign if that is not all.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = CUT.width();
    for part in text.graphemes(true) {
        used += part.width();
        if used > width {
            break;
        }
        out.push_str(part);
    }
    out.push_str(CUT);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use rstest::rstest;

    use super::*;

    fn written(columns: Vec<(&str, ArrayRef)>, limit: Option<usize>) -> (String, Vec<String>) {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
                .unwrap();
        let mut to = Vec::new();
        let mut table = Table::new(&batch.schema(), limit);
        table.write(&batch, &mut to).unwrap();
        let left_out = table.finish(&mut to).unwrap();
        (String::from_utf8(to).unwrap(), left_out)
    }

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn numbers(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn numbers_stand_on_the_right_and_missing_values_look_like_no_text() {
        let columns = vec![("id", numbers(&[Some(7), None])), ("name", texts(&[Some("NULL"), None]))];
        let (text, _) = written(columns, None);
        let expected = "\
+------+--------+
|   id | name   |
+------+--------+
|    7 | \"NULL\" |
| NULL | NULL   |
+------+--------+
";
        assert_eq!(text, expected);
    }

    #[test]
    fn wide_characters_take_two_places_and_marks_none() {
        let (text, _) = written(vec![("a", texts(&[Some("漢字"), Some("e\u{301}"), Some("👩‍👩‍👧")]))], None);
        let widths: Vec<usize> = text.lines().map(UnicodeWidthStr::width).collect();
        assert!(widths.iter().all(|width| *width == 8), "{text}");
    }

    #[test]
    fn lines_of_one_value_are_told_from_rows() {
        let (text, _) = written(vec![("plan", texts(&[Some("one\n| two |"), Some("three")]))], None);
        let expected = "\
+---------+
| plan    |
+---------+
| one    +|
| | two | |
| three   |
+---------+
";
        assert_eq!(text, expected);
    }

    #[test]
    fn data_cannot_speak_to_the_terminal() {
        let (text, _) = written(vec![("\u{1b}[2Jx", texts(&[Some("\u{1b}]0;owned\u{7}\r")]))], Some(80));
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("\\u001b]0;owned\\u0007\\r") && text.contains("\\u001b[2Jx"), "{text}");
    }

    #[rstest]
    #[case(40)]
    #[case(30)]
    #[case(24)]
    fn a_table_is_not_wider_than_it_may_be_and_numbers_stay_whole(#[case] limit: usize) {
        let long = "a long text that will have to be cut somewhere";
        let columns = vec![
            ("id", numbers(&[Some(1_234_567)])),
            ("a", texts(&[Some(long)])),
            ("b", texts(&[Some(long)])),
            ("c", texts(&[Some("漢字漢字漢字漢字")])),
        ];
        let (text, left_out) = written(columns, Some(limit));
        assert!(text.lines().all(|line| line.width() <= limit), "{text}");
        assert!(text.contains("1234567") && text.contains('…'), "{text}");
        assert_eq!(left_out.is_empty(), limit >= 40, "{left_out:?}");
    }

    #[test]
    fn columns_that_do_not_fit_are_named_in_their_order() {
        let many: Vec<(String, ArrayRef)> = (0..9).map(|n| (format!("c{n}"), numbers(&[Some(1_000_000)]))).collect();
        let (text, left_out) = written(many.iter().map(|(name, a)| (name.as_str(), Arc::clone(a))).collect(), Some(42));
        assert_eq!(left_out, ["c4", "c5", "c6", "c7", "c8"]);
        assert!(text.contains("| c3 |") || text.contains("c3 |"), "{text}");
    }

    #[test]
    fn only_the_first_rows_are_kept_and_later_ones_stream() {
        let batch = |value: &str, rows: usize| {
            RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec![value; rows])) as ArrayRef)]).unwrap()
        };
        let mut to = Vec::new();
        let first = batch("x", LAYOUT_ROWS);
        let mut table = Table::new(&first.schema(), None);
        table.write(&first, &mut to).unwrap();
        assert!(!to.is_empty() && table.waiting.is_none(), "rows are still kept");
        table.write(&batch("wider than what came first", 1), &mut to).unwrap();
        table.finish(&mut to).unwrap();
        assert!(String::from_utf8(to).unwrap().contains("| wider than what came first |"));
    }
}
