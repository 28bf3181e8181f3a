//! What could be meant by the beginning of a word.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    tokenizer::{Token, Tokenizer, Word},
};

use super::{
    catalog::Catalog,
    command::WORDS,
    keywords::{KEYWORDS, is_reserved},
    name::{parts, quoted},
    write::visible::visible,
};

/// Words after which a table follows.
const BEFORE_TABLES: [&str; 8] = ["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "DESC", "EXISTS"];

/// What could stand where a word begins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// Where in the text the word begins, in bytes.
    pub(super) start: usize,
    /// In the order of the alphabet, no two alike.
    pub(super) candidates: Vec<String>,
}

/// Completes the word before the cursor, which stands after `position` bytes. Names of files are not completed here.
pub(super) async fn complete(text: &str, position: usize, catalog: &Catalog) -> Completion {
    let before = text.get(..position).unwrap_or(text);
    let word_start = before
        .char_indices()
        .rev()
        .take_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '.' | '"' | '\\'))
        .last()
        .map_or(before.len(), |(at, _)| at);
    let (earlier, word) = before.split_at(word_start);
    let asked = Asked::read(word);
    let mut candidates = match before.trim_start().strip_prefix('\\') {
        Some(_) => command(earlier.trim(), word, &asked, catalog).await,
        None => statement(text, earlier, &asked, catalog).await,
    };
    // A name that a terminal would obey is not shown, and nobody types it.
    candidates.retain(|candidate| visible(candidate) == candidate.as_str());
    candidates.sort();
    candidates.dedup();
    Completion { start: word_start + asked.offset, candidates }
}

/// A word that may be a dotted name.
struct Asked {
    /// The parts before the last dot, as they are meant.
    qualifiers: Vec<String>,
    /// What was typed of the last part, without an opening quote.
    prefix: String,
    /// Where the last part begins in the word.
    offset: usize,
}

impl Asked {
    fn read(word: &str) -> Self {
        let offset = word.rfind('.').map_or(0, |at| at + 1);
        let (qualifiers, last) = word.split_at(offset);
        let qualifiers = parts(qualifiers.trim_end_matches('.')).unwrap_or_default();
        Self { qualifiers, prefix: last.trim_start_matches('"').to_lowercase(), offset }
    }

    /// The names that begin so, as SQL wants them.
    fn of(&self, names: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
        let begins = |name: &String| name.to_lowercase().starts_with(&self.prefix);
        names.into_iter().filter(begins).map(|name| quoted(&name))
    }

    /// The same for names that others follow.
    fn leading(&self, names: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
        self.of(names).map(|name| format!("{name}."))
    }
}

async fn command(earlier: &str, word: &str, asked: &Asked, catalog: &Catalog) -> Vec<String> {
    let among = |known: &[&str]| {
        known.iter().filter(|known| known.starts_with(word)).map(|known| (*known).to_owned()).collect()
    };
    match earlier {
        "" => among(&WORDS),
        "\\d" | "\\dt" => places(asked, catalog).await,
        "\\dn" => asked.of(catalog.catalogs().await).collect(),
        "\\c" => match asked.qualifiers.as_slice() {
            [] => {
                let schemas = catalog.schemas(&catalog.defaults().0).await;
                asked.of(schemas).chain(asked.leading(catalog.catalogs().await)).collect()
            }
            [name] => asked.of(catalog.schemas(name).await).collect(),
            _ => Vec::new(),
        },
        "\\x" => among(&["on", "off", "auto"]),
        "\\timing" | "\\pset pager" => among(&["on", "off"]),
        "\\pset" => among(&["format", "pager"]),
        "\\pset format" => among(&["table", "json", "ndjson", "csv", "markdown", "vertical", "arrow"]),
        _ => Vec::new(),
    }
}

/// Tables, and the schemas and catalogs that lead to them.
async fn places(asked: &Asked, catalog: &Catalog) -> Vec<String> {
    let (default_catalog, default_schema) = catalog.defaults();
    match asked.qualifiers.as_slice() {
        [] => {
            let tables = catalog.tables(&default_catalog, &default_schema).await;
            let schemas = catalog.schemas(&default_catalog).await;
            let catalogs = catalog.catalogs().await;
            asked.of(tables).chain(asked.leading(schemas)).chain(asked.leading(catalogs)).collect()
        }
        [one] => {
            let tables = catalog.tables(&default_catalog, one).await;
            asked.of(tables).chain(asked.leading(catalog.schemas(one).await)).collect()
        }
        [catalog_name, schema] => asked.of(catalog.tables(catalog_name, schema).await).collect(),
        _ => Vec::new(),
    }
}

async fn statement(text: &str, earlier: &str, asked: &Asked, catalog: &Catalog) -> Vec<String> {
    // Inside of a string or a comment nothing is completed.
    let Some(before) = tokens(earlier) else { return Vec::new() };
    let begin = before.iter().rposition(|token| *token == Token::SemiColon).map_or(0, |at| at + 1);
    let before = before.get(begin..).unwrap_or_default();
    if wants_table(before) {
        return places(asked, catalog).await;
    }
    let whole = tokens(text).unwrap_or_else(|| before.to_vec());
    let used = tables(&whole);
    let mut found = Vec::new();
    match asked.qualifiers.as_slice() {
        [] => {
            for table in &used {
                found.extend(asked.of(columns(catalog, &table.path).await));
            }
            found.extend(asked.of(used.iter().filter_map(|table| table.alias.clone())));
            if !asked.prefix.is_empty() {
                let begins = |keyword: &&&str| keyword.to_lowercase().starts_with(&asked.prefix);
                let small =
                    !earlier.chars().any(char::is_uppercase) && before.iter().any(|token| word(token).is_some());
                let spelled = |keyword: &str| if small { keyword.to_lowercase() } else { keyword.to_owned() };
                found.extend(KEYWORDS.iter().filter(begins).map(|keyword| spelled(keyword)));
            }
        }
        qualifiers => {
            // A table of this statement by its alias or its name; else one by its whole name.
            let named = used.iter().find(|table| match qualifiers {
                [one] => table.alias.as_ref().or(table.path.last()) == Some(one),
                _ => false,
            });
            let path = named.map_or(qualifiers, |table| table.path.as_slice());
            found.extend(asked.of(columns(catalog, path).await));
        }
    }
    found
}

async fn columns(catalog: &Catalog, path: &[String]) -> Vec<String> {
    let (default_catalog, default_schema) = catalog.defaults();
    match path {
        [table] => catalog.columns(&default_catalog, &default_schema, table).await,
        [schema, table] => catalog.columns(&default_catalog, schema, table).await,
        [catalog_name, schema, table] => catalog.columns(catalog_name, schema, table).await,
        _ => Vec::new(),
    }
}

/// Words and signs, without space and comments. `None`: something is still open.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().ok()?;
    Some(tokens.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect())
}

fn word(token: &Token) -> Option<&Word> {
    match token {
        Token::Word(word) => Some(word),
        _ => None,
    }
}

fn is_word(token: &Token, among: &[&str]) -> bool {
    let spelled = |word: &Word| among.iter().any(|known| known.eq_ignore_ascii_case(&word.value));
    word(token).is_some_and(|word| word.quote_style.is_none() && spelled(word))
}

/// Whether a table is to follow.
fn wants_table(before: &[Token]) -> bool {
    match before.last() {
        Some(Token::Comma) => {
            let keyword = before.iter().rfind(|token| is_word(token, &["SELECT", "WHERE", "BY", "ON", "FROM", "JOIN"]));
            keyword.is_some_and(|keyword| is_word(keyword, &["FROM", "JOIN"]))
        }
        Some(last) => is_word(last, &BEFORE_TABLES),
        None => false,
    }
}

/// A table that a statement uses.
#[derive(Debug, PartialEq, Eq)]
struct Used {
    path: Vec<String>,
    alias: Option<String>,
}

fn tables(tokens: &[Token]) -> Vec<Used> {
    let mut found = Vec::new();
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        if !is_word(token, &BEFORE_TABLES) {
            continue;
        }
        loop {
            let mut path = Vec::new();
            while let Some(part) = rest.peek().and_then(|token| word(token)).filter(|word| is_name(word)) {
                path.push(meant(part));
                rest.next();
                match rest.peek() {
                    Some(Token::Period) => rest.next(),
                    _ => break,
                };
            }
            if path.is_empty() {
                break;
            }
            if rest.peek().is_some_and(|token| is_word(token, &["AS"])) {
                rest.next();
            }
            let alias = rest.peek().and_then(|token| word(token)).filter(|word| is_name(word)).map(meant);
            if alias.is_some() {
                rest.next();
            }
            found.push(Used { path, alias });
            match rest.peek() {
                Some(Token::Comma) => rest.next(),
                _ => break,
            };
        }
    }
    found
}

fn is_name(word: &Word) -> bool {
    word.quote_style.is_some() || !is_reserved(&word.value)
}

fn meant(word: &Word) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("SELECT x FROM customer c JOIN lake.tpch.orders AS o ON", &[("customer", Some("c")), ("lake.tpch.orders", Some("o"))])]
    #[case("SELECT x FROM a, \"B\" b2 WHERE y", &[("a", None), ("B", Some("b2"))])]
    #[case("INSERT INTO t SELECT", &[("t", None)])]
    #[case("SELECT x FROM (SELECT y FROM inside) AS outside", &[("inside", None)])]
    #[case("SELECT 1", &[])]
    fn tables_of_a_statement_are_found_with_their_aliases(
        #[case] sql: &str,
        #[case] expected: &[(&str, Option<&str>)],
    ) {
        let found: Vec<(String, Option<String>)> =
            tables(&tokens(sql).unwrap()).into_iter().map(|used| (used.path.join("."), used.alias)).collect();
        let expected: Vec<(String, Option<String>)> =
            expected.iter().map(|(path, alias)| ((*path).to_owned(), alias.map(str::to_owned))).collect();
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case("SELECT x FROM", true)]
    #[case("SELECT x FROM a,", true)]
    #[case("SELECT x FROM a JOIN", true)]
    #[case("SELECT x,", false)]
    #[case("SELECT x FROM a WHERE y IN (1,", false)]
    #[case("SELECT x FROM a", false)]
    #[case("", false)]
    fn a_table_follows_certain_words(#[case] sql: &str, #[case] expected: bool) {
        assert_eq!(wants_table(&tokens(sql).unwrap()), expected);
    }
}
