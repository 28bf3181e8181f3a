//! Cuts text into statements at each `;` that is not part of a string, a quoted name, a comment or a dollar quote.

/// The statements, without their `;`; pieces that hold nothing but space and comments are left out.
pub(super) fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (length, empty) = first(rest);
        let (statement, tail) = rest.split_at(length);
        if !empty {
            found.push(statement.trim());
        }
        rest = tail.strip_prefix(';').unwrap_or(tail);
    }
    found
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

    use super::statements;

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
    fn statements_end_at_semicolons_that_are_not_quoted(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(statements(text), expected);
    }
}
