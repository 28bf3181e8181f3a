//! Cuts text into statements at each `;` that is not part of a string, a quoted name, a comment or a dollar quote, and
//! into commands: lines that begin with a backslash where no statement has begun.

/// What text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A statement, without its `;`.
    Statement(&'a str),
    /// A command, with its backslash.
    Command(&'a str),
}

/// The pieces in their order; what holds nothing but space and comments is left out.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    cut(text).0
}

/// Whether nothing more has to come: every statement has its `;`.
pub(super) fn is_complete(text: &str) -> bool {
    cut(text).1
}

fn cut(text: &str) -> (Vec<Piece<'_>>, bool) {
    let mut found = Vec::new();
    let mut complete = true;
    let mut rest = text;
    while !rest.is_empty() {
        let begun = rest.trim_start();
        if begun.starts_with('\\') {
            let (line, tail) = begun.split_once('\n').unwrap_or((begun, ""));
            found.push(Piece::Command(line.trim()));
            rest = tail;
            continue;
        }
        let (length, empty) = first(rest);
        let (statement, tail) = rest.split_at(length);
        if !empty {
            found.push(Piece::Statement(statement.trim()));
            complete = tail.starts_with(';');
        }
        rest = tail.strip_prefix(';').unwrap_or(tail);
    }
    (found, complete)
}

/// The length in bytes of the text before the first `;`, and whether it holds no statement.
fn first(text: &str) -> (usize, bool) {
    let mut empty = true;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(next) = rest.chars().next() else { break };
        at += match next {
            ';' => return (at, empty),
            '\'' | '"' => {
                empty = false;
                // A doubled quote ends one piece and begins the next: the same in the end.
                1 + until(rest.get(1..), &next.to_string())
            }
            '-' if rest.starts_with("--") => 2 + until(rest.get(2..), "\n"),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '$' => {
                empty = false;
                dollar_quote(rest)
            }
            other => {
                empty &= other.is_whitespace();
                other.len_utf8()
            }
        };
    }
    (text.len(), empty)
}

/// Bytes up to and with `end`; all of them if it does not come.
fn until(text: Option<&str>, end: &str) -> usize {
    let text = text.unwrap_or_default();
    text.find(end).map_or(text.len(), |at| at + end.len())
}

/// The length of a comment, which may hold further ones.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`; 1 for a `$` that begins none, such as that of a parameter.
fn dollar_quote(text: &str) -> usize {
    let tag_length = text.get(1..).and_then(|rest| rest.find(|c: char| !c.is_alphanumeric() && c != '_'));
    let tag = tag_length.and_then(|length| text.get(..length + 2)).filter(|tag| tag.ends_with('$'));
    match tag {
        Some(tag) if !tag.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) => {
            tag.len() + until(text.get(tag.len()..), tag)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Piece, is_complete, pieces};

    #[rstest]
    #[case("SELECT 1", &["SELECT 1"])]
    #[case("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"])]
    #[case(" ;; -- nothing\n ; /* ; */", &[])]
    #[case("SELECT ';', 'it''s;', \"a;b\"; SELECT 2", &["SELECT ';', 'it''s;', \"a;b\"", "SELECT 2"])]
    #[case("SELECT 1 -- a;b\n, 2; SELECT 3", &["SELECT 1 -- a;b\n, 2", "SELECT 3"])]
    #[case("SELECT /* a; /* b; */ c; */ 1; x", &["SELECT /* a; /* b; */ c; */ 1", "x"])]
    #[case("SELECT $$a;b$$, $t$;$u$;$t$; x", &["SELECT $$a;b$$, $t$;$u$;$t$", "x"])]
    #[case("SELECT $1; SELECT $2", &["SELECT $1", "SELECT $2"])]
    #[case("SELECT 'ü;'; é", &["SELECT 'ü;'", "é"])]
    #[case("SELECT 'open; for ever", &["SELECT 'open; for ever"])]
    #[case("SELECT '\n\\d'; x", &["SELECT '\n\\d'", "x"])]
    fn statements_end_at_semicolons_that_are_not_quoted(#[case] text: &str, #[case] expected: &[&str]) {
        let expected: Vec<Piece<'_>> = expected.iter().map(|text| Piece::Statement(text)).collect();
        assert_eq!(pieces(text), expected);
    }

    #[test]
    fn commands_are_lines_that_begin_where_no_statement_has_begun() {
        let text = "\\x on\nSELECT 1;\n  \\d a;b\nSELECT 2\n\\x";
        let expected = [
            Piece::Command("\\x on"),
            Piece::Statement("SELECT 1"),
            Piece::Command("\\d a;b"),
            Piece::Statement("SELECT 2\n\\x"),
        ];
        assert_eq!(pieces(text), expected);
    }

    #[rstest]
    #[case("", true)]
    #[case("  -- nothing", true)]
    #[case("\\d", true)]
    #[case("SELECT 1;", true)]
    #[case("SELECT 1; -- done", true)]
    #[case("SELECT 1", false)]
    #[case("SELECT 1; SELECT", false)]
    #[case("SELECT ';", false)]
    #[case("SELECT $$;", false)]
    fn a_statement_is_complete_with_its_semicolon(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_complete(text), expected);
    }
}
