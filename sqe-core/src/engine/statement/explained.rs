//! What stands between `EXPLAIN` and the statement that is to be explained.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::{Error, Result};

/// How a plan is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::engine) enum Format {
    /// Lines, children further to the right. Of both plans.
    #[default]
    Indent,
    /// Boxes. Of the physical plan.
    Tree,
    /// What PostgreSQL's tools read. Of the logical plan.
    PgJson,
    /// For the program dot. Of the logical plan.
    Graphviz,
}

/// What an EXPLAIN is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::engine) struct Options {
    pub(in crate::engine) analyze: bool,
    pub(in crate::engine) verbose: bool,
    pub(in crate::engine) format: Format,
    /// What was decided, and no plan.
    pub(in crate::engine) policy: bool,
}

impl Options {
    fn set(&mut self, option: &str, on: bool) {
        match option {
            "ANALYZE" => self.analyze = on,
            "VERBOSE" => self.verbose = on,
            _ => self.policy = on,
        }
    }

    fn checked(self) -> Result<Self> {
        if self.policy && (self.analyze || self.verbose || self.format != Format::Indent) {
            return Err(Error::invalid("EXPLAIN POLICY takes no other options"));
        }
        if self.analyze && self.format != Format::Indent {
            return Err(Error::unsupported("EXPLAIN ANALYZE is drawn as INDENT only; leave FORMAT out"));
        }
        Ok(self)
    }
}

/// The options of a text that begins with EXPLAIN, as words before the statement or in brackets as PostgreSQL has them, and
/// the tokens of the statement. `None` for any other text.
///
/// # Errors
/// `InvalidInput`, `Unsupported` for options that there are not.
pub(super) fn split(tokens: &[Token]) -> Result<Option<(Options, &[Token])>> {
    let rest = after_space(tokens);
    let Some((first, rest)) = rest.split_first() else { return Ok(None) };
    if word(first).as_deref() != Some("EXPLAIN") {
        return Ok(None);
    }
    let rest = after_space(rest);
    if let Some((Token::LParen, inside)) = rest.split_first()
        && after_space(inside).first().and_then(word).is_some_and(|word| is_option(&word))
    {
        let (options, rest) = in_brackets(inside)?;
        return Ok(Some((options.checked()?, rest)));
    }
    let (options, rest) = as_words(rest)?;
    Ok(Some((options.checked()?, rest)))
}

fn as_words(mut rest: &[Token]) -> Result<(Options, &[Token])> {
    let mut options = Options::default();
    loop {
        let Some((token, behind)) = after_space(rest).split_first() else { return Ok((options, rest)) };
        match word(token).as_deref() {
            Some("FORMAT") => {
                let (name, behind) = after_space(behind).split_first().ok_or_else(no_format)?;
                options.format = format(name)?;
                rest = behind;
            }
            Some(option @ ("ANALYZE" | "VERBOSE" | "POLICY")) => {
                options.set(option, true);
                rest = behind;
            }
            _ => return Ok((options, rest)),
        }
    }
}

fn in_brackets(mut rest: &[Token]) -> Result<(Options, &[Token])> {
    let unclear = || Error::invalid("write EXPLAIN (ANALYZE, VERBOSE, FORMAT name, POLICY), or some of these");
    let mut options = Options::default();
    loop {
        let (token, behind) = after_space(rest).split_first().ok_or_else(unclear)?;
        rest = after_space(behind);
        let option = word(token).filter(|word| is_option(word)).ok_or_else(unclear)?;
        if option == "FORMAT" {
            let (name, behind) = rest.split_first().ok_or_else(no_format)?;
            options.format = format(name)?;
            rest = behind;
        } else {
            let on = rest.first().and_then(word).and_then(|word| match word.as_str() {
                "TRUE" | "ON" => Some(true),
                "FALSE" | "OFF" => Some(false),
                _ => None,
            });
            options.set(&option, on.unwrap_or(true));
            if on.is_some() {
                rest = rest.get(1..).unwrap_or_default();
            }
        }
        match after_space(rest).split_first() {
            Some((Token::Comma, behind)) => rest = behind,
            Some((Token::RParen, behind)) => return Ok((options, behind)),
            _ => return Err(unclear()),
        }
    }
}

fn is_option(word: &str) -> bool {
    matches!(word, "ANALYZE" | "VERBOSE" | "FORMAT" | "POLICY")
}

fn format(token: &Token) -> Result<Format> {
    let name = match token {
        Token::SingleQuotedString(name) => Some(name.to_uppercase()),
        token => word(token),
    };
    match name.as_deref() {
        Some("INDENT" | "TEXT") => Ok(Format::Indent),
        Some("TREE") => Ok(Format::Tree),
        Some("PGJSON" | "JSON") => Ok(Format::PgJson),
        Some("GRAPHVIZ") => Ok(Format::Graphviz),
        _ => Err(no_format()),
    }
}

fn no_format() -> Error {
    Error::unsupported("EXPLAIN knows FORMAT INDENT, TREE, PGJSON and GRAPHVIZ")
}

/// An unquoted word in capitals.
fn word(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
        _ => None,
    }
}

fn after_space(tokens: &[Token]) -> &[Token] {
    let spaces = tokens.iter().take_while(|token| matches!(token, Token::Whitespace(_))).count();
    tokens.get(spaces..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, tokenizer::Tokenizer};
    use rstest::rstest;

    use super::*;
    use crate::ErrorKind;

    fn read(sql: &str) -> Result<Option<(Options, String)>> {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize().unwrap();
        Ok(split(&tokens)?.map(|(options, rest)| {
            (options, rest.iter().map(ToString::to_string).collect::<String>().trim().to_owned())
        }))
    }

    fn options(analyze: bool, verbose: bool, format: Format, policy: bool) -> Options {
        Options { analyze, verbose, format, policy }
    }

    #[rstest]
    #[case("EXPLAIN SELECT 1", options(false, false, Format::Indent, false))]
    #[case(" explain analyze verbose SELECT 1", options(true, true, Format::Indent, false))]
    #[case("EXPLAIN FORMAT tree SELECT 1", options(false, false, Format::Tree, false))]
    #[case("EXPLAIN VERBOSE FORMAT 'graphviz' SELECT 1", options(false, true, Format::Graphviz, false))]
    #[case("EXPLAIN (FORMAT JSON) SELECT 1", options(false, false, Format::PgJson, false))]
    #[case("EXPLAIN (ANALYZE, VERBOSE false) SELECT 1", options(true, false, Format::Indent, false))]
    #[case("EXPLAIN (ANALYZE OFF, FORMAT TREE) SELECT 1", options(false, false, Format::Tree, false))]
    #[case("EXPLAIN POLICY SELECT 1", options(false, false, Format::Indent, true))]
    #[case("EXPLAIN (POLICY) SELECT 1", options(false, false, Format::Indent, true))]
    fn options_stand_before_the_statement_or_in_brackets(#[case] sql: &str, #[case] expected: Options) {
        assert_eq!(read(sql).unwrap().unwrap(), (expected, "SELECT 1".to_owned()), "{sql}");
    }

    #[test]
    fn a_query_in_brackets_is_no_list_of_options() {
        assert_eq!(read("EXPLAIN (SELECT 1)").unwrap().unwrap().1, "(SELECT 1)");
        assert_eq!(read("SELECT 1 AS explain").unwrap(), None);
        assert_eq!(read("\"explain\" SELECT 1").unwrap(), None);
    }

    #[rstest]
    #[case("EXPLAIN FORMAT xml SELECT 1", ErrorKind::Unsupported)]
    #[case("EXPLAIN FORMAT", ErrorKind::Unsupported)]
    #[case("EXPLAIN ANALYZE FORMAT tree SELECT 1", ErrorKind::Unsupported)]
    #[case("EXPLAIN (ANALYZE, COSTS) SELECT 1", ErrorKind::InvalidInput)]
    #[case("EXPLAIN (ANALYZE SELECT 1", ErrorKind::InvalidInput)]
    #[case("EXPLAIN POLICY ANALYZE SELECT 1", ErrorKind::InvalidInput)]
    fn other_options_are_refused(#[case] sql: &str, #[case] kind: ErrorKind) {
        assert_eq!(read(sql).unwrap_err().kind(), kind, "{sql}");
    }
}
