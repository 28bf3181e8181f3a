//! CSV and Markdown: one line a row, as it comes.

use std::io::{self, Write};

use anyhow::Result;
use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{
    cells::{Cells, is_number, shown},
    visible::visible,
};

/// The header of RFC 4180.
pub(super) fn csv_header(schema: &SchemaRef, to: &mut dyn Write) -> io::Result<()> {
    let names = schema.fields().iter().map(|field| Some(field.name().clone()));
    csv_line(names, to)
}

/// Rows of RFC 4180. A missing value is nothing at all, an empty text is `""`.
pub(super) fn csv(batch: &RecordBatch, to: &mut dyn Write) -> Result<()> {
    let cells = Cells::new(batch)?;
    for row in 0..batch.num_rows() {
        csv_line(cells.row(row), to)?;
    }
    Ok(())
}

fn csv_line(values: impl Iterator<Item = Option<String>>, to: &mut dyn Write) -> io::Result<()> {
    for (at, value) in values.enumerate() {
        if at > 0 {
            to.write_all(b",")?;
        }
        match value {
            None => {}
            Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
                write!(to, "\"{}\"", text.replace('"', "\"\""))?;
            }
            Some(text) => to.write_all(text.as_bytes())?,
        }
    }
    to.write_all(b"\n")
}

/// The header of a table of GitHub's Markdown.
pub(super) fn markdown_header(schema: &SchemaRef, to: &mut dyn Write) -> io::Result<()> {
    let names = schema.fields().iter().map(|field| field.name().clone());
    markdown_line(names, to)?;
    for field in schema.fields() {
        to.write_all(if is_number(field.data_type()) { b"|--:" } else { b"|---" })?;
    }
    to.write_all(b"|\n")
}

/// Rows of a table of GitHub's Markdown.
pub(super) fn markdown(batch: &RecordBatch, to: &mut dyn Write) -> Result<()> {
    let cells = Cells::new(batch)?;
    for row in 0..batch.num_rows() {
        markdown_line(cells.row(row).map(shown), to)?;
    }
    Ok(())
}

fn markdown_line(values: impl Iterator<Item = String>, to: &mut dyn Write) -> io::Result<()> {
    for value in values {
        let mut text = String::with_capacity(value.len());
        for c in value.chars() {
            match c {
                // Data is text here, and neither layout nor HTML.
                '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '~' => text.extend(['\\', c]),
                '<' => text.push_str("&lt;"),
                '&' => text.push_str("&amp;"),
                '\n' => text.push_str("<br>"),
                c => text.push(c),
            }
        }
        write!(to, "| {} ", visible(&text))?;
    }
    to.write_all(b"|\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        write: impl Fn(std::vec::IntoIter<Option<String>>, &mut dyn Write) -> io::Result<()>,
        values: &[Option<&str>],
    ) -> String {
        let mut to = Vec::new();
        let values: Vec<Option<String>> = values.iter().map(|value| value.map(str::to_owned)).collect();
        write(values.into_iter(), &mut to).unwrap();
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it_and_tells_empty_from_missing() {
        let values = [Some("x"), None, Some(""), Some("a,b"), Some("say \"hi\""), Some("two\nlines"), Some("ü")];
        assert_eq!(line(csv_line, &values), "x,,\"\",\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",ü\n");
    }

    #[test]
    fn markdown_takes_data_for_text() {
        let shown = line(|values, to| markdown_line(values.map(shown), to), &[Some("a|b <b>*x*\n\u{1b}"), None]);
        assert_eq!(shown, "| a\\|b &lt;b>\\*x\\*<br>\\u001b | NULL |\n");
    }
}
