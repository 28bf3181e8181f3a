//! SQL text → one statement of a known kind.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write as _};

use datafusion::sql::{
    parser::{DFParserBuilder, ResetStatement, Statement as Parsed},
    sqlparser::{
        ast::{
            CreateTable, CreateTableOptions, CreateView, DataType, Expr, FromTable, Ident, Insert, ObjectName,
            ObjectType, SchemaName, ShowStatementFilter, ShowStatementFilterPosition, ShowStatementOptions,
            Statement as Ast, TableObject,
        },
        dialect::GenericDialect,
        keywords::Keyword,
        tokenizer::{Token, Tokenizer, Whitespace},
    },
};

use super::{ignored, recursive, settings, shape, versions};
use crate::{Error, Result};

mod explained;

pub(super) use explained::{Format, Options};

/// A statement that the engine carries out.
#[derive(Debug)]
pub(super) enum Kind {
    /// Reads.
    Query(Parsed),
    /// Reads, asked for as a SHOW statement that was rewritten to this text.
    Show(String),
    /// `DESCRIBE t`, `SHOW COLUMNS FROM t`.
    Describe(ObjectName),
    /// Plans, and with `analyze` runs, a query; or tells what was decided about it.
    Explain { options: Options, inner: Box<Parsed> },
    /// Keeps a statement of which this is the text.
    Prepare { name: String, types: Vec<DataType>, sql: String },
    /// Runs a statement that was kept.
    Execute { name: String, values: Vec<Expr> },
    /// Forgets one, or all.
    Deallocate { name: Option<String> },
    /// Changes settings of the session.
    Set(settings::Wish),
    /// Shows one of them, or all.
    ShowSettings(Option<settings::Setting>),
    /// Appends to a table.
    Insert { target: ObjectName, statement: Parsed },
    /// Creates a table, with rows if it has a query.
    CreateTable(Box<CreateTable>),
    /// Creates a schema.
    CreateSchema { name: ObjectName, if_not_exists: bool },
    /// Drops tables.
    DropTable { names: Vec<ObjectName>, if_exists: bool },
    /// Drops schemas.
    DropSchema { names: Vec<ObjectName>, if_exists: bool },
    /// Creates a view of the query with this text, or replaces one.
    CreateView(Box<CreateView>, String),
    /// Drops views.
    DropView { names: Vec<ObjectName>, if_exists: bool },
}

impl Kind {
    /// What it does, for those who count statements.
    pub(super) fn operation(&self) -> &'static str {
        match self {
            Self::Query(_) => "SELECT",
            Self::Show(_) => "SHOW",
            Self::Describe(_) => "DESCRIBE",
            Self::Explain { .. } => "EXPLAIN",
            Self::Prepare { .. } => "PREPARE",
            Self::Execute { .. } => "EXECUTE",
            Self::Deallocate { .. } => "DEALLOCATE",
            Self::Set(_) => "SET",
            Self::ShowSettings(_) => "SHOW",
            Self::Insert { .. } => "INSERT",
            Self::CreateTable(_) => "CREATE TABLE",
            Self::CreateSchema { .. } => "CREATE SCHEMA",
            Self::DropTable { .. } => "DROP TABLE",
            Self::DropSchema { .. } => "DROP SCHEMA",
            Self::CreateView(..) => "CREATE VIEW",
            Self::DropView { .. } => "DROP VIEW",
        }
    }
}

/// # Errors
/// `InvalidInput` for more than `limit` bytes.
pub(super) fn check_length(sql: &str, limit: usize) -> Result<()> {
    if sql.len() <= limit {
        return Ok(());
    }
    let length = sql.len();
    Err(Error::invalid(format!(
        "the statement is {length} bytes long and the limit is {limit}; send large data as parameters"
    )))
}

/// Parses exactly one statement.
///
/// # Errors
/// `InvalidInput` for a syntax error, no statement or several; `Unsupported` for what this engine does not offer.
pub(super) fn parse(sql: &str, limit: usize) -> Result<Kind> {
    check_length(sql, limit)?;
    let written = sql;
    let sql = familiar(sql)?;
    if let Some((options, inner)) = explanation(&sql)? {
        return match parse(&inner, limit)? {
            Kind::Query(inner) => Ok(Kind::Explain { options, inner: Box::new(inner) }),
            _ => Err(Error::unsupported("EXPLAIN is offered for queries only")),
        };
    }
    let dialect = shape::MeteredDialect::new(sql.len()).with_versions(sql.contains(versions::CLAUSE));
    let parsed = DFParserBuilder::new(sql.as_ref())
        .with_dialect(&dialect)
        .build()
        .and_then(|mut parser| parser.parse_statements());
    dialect.check()?;
    let mut statements = parsed.map_err(|error| Error::invalid(format!("syntax error: {}", syntax_message(&error))))?;
    let Some(mut statement) = statements.pop_front() else {
        return Err(Error::invalid("there is no statement; send one SQL statement"));
    };
    if !statements.is_empty() {
        return Err(Error::invalid("there are several statements; send them one by one"));
    }
    shape::check_relations(&statement)?;
    recursive::rewrite(&mut statement)?;
    match statement {
        Parsed::Statement(ast) => match *ast {
            Ast::Prepare { name, data_types, .. } => prepare(&sql, name, data_types, limit),
            Ast::CreateView(create) => create_view(create, written),
            ast => classify(Parsed::Statement(Box::new(ast))),
        },
        other => classify(other),
    }
}

/// What an EXPLAIN is to show, and the statement that it explains.
fn explanation(sql: &str) -> Result<Option<(Options, String)>> {
    const EXPLAIN: &str = "explain";
    // What begins with a comment is looked at, too.
    let text = sql.trim_start();
    if !text.starts_with(['-', '/', '#'])
        && !text.get(..EXPLAIN.len()).is_some_and(|it| it.eq_ignore_ascii_case(EXPLAIN))
    {
        return Ok(None);
    }
    let tokens = tokens(sql).unwrap_or_default();
    let Some((options, inner)) = explained::split(&tokens)? else { return Ok(None) };
    if explained::split(inner)?.is_some() {
        return Err(Error::unsupported("EXPLAIN is offered for queries only"));
    }
    Ok(Some((options, written(inner))))
}

/// A statement to keep.
fn prepare(sql: &str, name: Ident, types: Vec<DataType>, limit: usize) -> Result<Kind> {
    let inner = after_as(sql).ok_or_else(|| Error::internal("a PREPARE has no statement"))?;
    match parse(&inner, limit)? {
        Kind::Prepare { .. } | Kind::Execute { .. } | Kind::Deallocate { .. } | Kind::Set(_) => {
            Err(Error::unsupported("only statements that read or change data can be prepared"))
        }
        _ => Ok(Kind::Prepare { name: normal(&name), types, sql: inner }),
    }
}

/// A view. Its query is kept as it was written.
fn create_view(create: CreateView, written: &str) -> Result<Kind> {
    let ast = Ast::CreateView(create);
    ignored::refuse(&ast)?;
    let Ast::CreateView(create) = ast else { return Err(Error::internal("a statement took a wrong turn")) };
    let plain = !(create.or_alter
        || create.materialized
        || create.secure
        || create.temporary
        || create.with_no_schema_binding
        || create.copy_grants)
        && create.cluster_by.is_empty()
        && create.options == CreateTableOptions::None
        && create.comment.is_none()
        && create.to.is_none()
        && create.params.is_none()
        && create.columns.iter().all(|column| column.data_type.is_none() && column.options.is_none());
    if !plain {
        return Err(Error::unsupported(
            "write CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(column, …)] AS query; the rest is not offered",
        ));
    }
    if create.or_replace && create.if_not_exists {
        return Err(Error::invalid("write OR REPLACE or IF NOT EXISTS, not both"));
    }
    let text = after_as(written).ok_or_else(|| Error::internal("a view has no query"))?;
    let text = text.trim().trim_end_matches(';').trim_end().to_owned();
    Ok(Kind::CreateView(Box::new(create), text))
}

/// What follows the first AS outside of brackets.
fn after_as(sql: &str) -> Option<String> {
    let tokens = tokens(sql)?;
    let mut open = 0_usize;
    let begin = tokens.iter().position(|token| {
        match token {
            Token::LParen => open += 1,
            Token::RParen => open = open.saturating_sub(1),
            _ => {}
        }
        let is_as =
            matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("as"));
        open == 0 && is_as
    });
    begin.and_then(|begin| tokens.get(begin + 1..)).map(written)
}

/// `None` for what does not split into tokens.
fn tokens(sql: &str) -> Option<Vec<Token>> {
    Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize().ok()
}

fn written(tokens: &[Token]) -> String {
    tokens.iter().fold(String::new(), |mut text, token| {
        let _ = write_token(&mut text, token);
        text
    })
}

/// Written out, what was a comment inside of a hint would be a hint.
fn write_token(out: &mut String, token: &Token) -> std::fmt::Result {
    match token {
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
            out.push(' ');
            Ok(())
        }
        token => write!(out, "{token}"),
    }
}

fn syntax_message(error: &datafusion::error::DataFusionError) -> String {
    let text = error.strip_backtrace();
    let text = text.trim_start_matches("SQL error: ").trim_start_matches("ParserError(\"");
    text.trim_end_matches("\")").replace("\\\"", "\"")
}

fn classify(statement: Parsed) -> Result<Kind> {
    match statement {
        // Those that begin with it were taken before.
        Parsed::Explain(_) => Err(Error::unsupported("EXPLAIN is offered for queries only")),
        Parsed::Statement(ast) => {
            ignored::refuse(&ast)?;
            classify_ast(*ast)
        }
        Parsed::CreateExternalTable(_) => Err(unsupported("CREATE EXTERNAL TABLE")),
        Parsed::CopyTo(_) => Err(unsupported("COPY")),
        Parsed::Reset(ResetStatement::Variable(name)) => settings::reset(&name).map(Kind::Set),
    }
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("{what} is not offered by this engine"))
}

fn classify_ast(ast: Ast) -> Result<Kind> {
    match ast {
        Ast::Query(_) => Ok(Kind::Query(Parsed::Statement(Box::new(ast)))),
        Ast::ExplainTable { table_name, .. } => Ok(Kind::Describe(table_name)),
        Ast::ShowColumns { show_options, .. } => match show_options.show_in.and_then(|show_in| show_in.parent_name) {
            Some(name) => Ok(Kind::Describe(name)),
            None => Err(Error::invalid("SHOW COLUMNS needs a table; write SHOW COLUMNS FROM table")),
        },
        Ast::ShowTables { show_options, .. } => show_relations(&show_options, "").map(Kind::Show),
        Ast::ShowViews { materialized: false, show_options, .. } => {
            show_relations(&show_options, " AND table_type = 'VIEW'").map(Kind::Show)
        }
        Ast::ShowSchemas { show_options, .. } | Ast::ShowDatabases { show_options, .. } => {
            show_schemas(&show_options).map(Kind::Show)
        }
        Ast::ShowCatalogs { .. } => {
            Ok(Kind::Show("SELECT catalog_name FROM information_schema.catalogs ORDER BY 1".into()))
        }
        Ast::Execute {
            name: Some(name),
            parameters,
            immediate: false,
            into,
            using,
            output: false,
            default: false,
            ..
        } if into.is_empty() && using.is_empty() => {
            let name = parts(&name)?.join(".");
            Ok(Kind::Execute { name, values: parameters })
        }
        Ast::Execute { .. } => Err(Error::unsupported("write EXECUTE name or EXECUTE name (value, …)")),
        Ast::Deallocate { name, .. } => {
            let all = name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all");
            Ok(Kind::Deallocate { name: (!all).then(|| normal(&name)) })
        }
        Ast::Set(set) => settings::set(set).map(Kind::Set),
        Ast::Use(used) => settings::used(used).map(Kind::Set),
        Ast::ShowVariable { variable } => settings::shown(&variable).map(Kind::ShowSettings),
        Ast::Insert(insert) => insert_statement(insert),
        Ast::CreateTable(create) => create_table(create),
        Ast::CreateSchema { schema_name: SchemaName::Simple(name), if_not_exists, .. } => {
            Ok(Kind::CreateSchema { name, if_not_exists })
        }
        Ast::Drop { object_type: ObjectType::Table, names, if_exists, cascade: false, .. } => {
            Ok(Kind::DropTable { names, if_exists })
        }
        Ast::Drop { object_type: ObjectType::View, names, if_exists, cascade: false, .. } => {
            Ok(Kind::DropView { names, if_exists })
        }
        Ast::Drop { object_type: ObjectType::Schema, names, if_exists, cascade: false, .. } => {
            Ok(Kind::DropSchema { names, if_exists })
        }
        Ast::Drop { cascade: true, .. } => Err(unsupported("DROP … CASCADE")),
        Ast::Update(_) => Err(unsupported("UPDATE")),
        Ast::Delete(delete) => {
            let _: &FromTable = &delete.from;
            Err(unsupported("DELETE"))
        }
        Ast::Merge(_) => Err(unsupported("MERGE")),
        Ast::Truncate(_) => Err(unsupported("TRUNCATE")),
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            Err(unsupported(&words.join(" ")))
        }
    }
}

fn insert_statement(insert: Insert) -> Result<Kind> {
    if insert.overwrite || insert.replace_into || insert.on.is_some() || insert.returning.is_some() {
        return Err(Error::unsupported("only INSERT INTO … VALUES and INSERT INTO … SELECT are offered"));
    }
    let target = match &insert.table {
        TableObject::TableName(name) => name.clone(),
        _ => return Err(Error::unsupported("INSERT needs the name of a table")),
    };
    Ok(Kind::Insert { target, statement: Parsed::Statement(Box::new(Ast::Insert(insert))) })
}

fn create_table(create: CreateTable) -> Result<Kind> {
    if create.or_replace || create.temporary || create.external || create.like.is_some() || create.clone.is_some() {
        return Err(Error::unsupported("only plain CREATE TABLE and CREATE TABLE … AS are offered"));
    }
    if !create.constraints.is_empty() {
        return Err(Error::unsupported("table constraints are not offered; leave them out"));
    }
    Ok(Kind::CreateTable(Box::new(create)))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn pattern(filter: Option<&ShowStatementFilterPosition>, column: &str) -> Result<String> {
    let filter = match filter {
        None => return Ok(String::new()),
        Some(ShowStatementFilterPosition::Infix(filter) | ShowStatementFilterPosition::Suffix(filter)) => filter,
    };
    match filter {
        ShowStatementFilter::Like(pattern) => Ok(format!(" AND {column} LIKE {}", literal(pattern))),
        ShowStatementFilter::ILike(pattern) => Ok(format!(" AND {column} ILIKE {}", literal(pattern))),
        _ => Err(Error::unsupported("SHOW knows only LIKE; query information_schema for more")),
    }
}

/// The catalog and schema that a SHOW statement names: `FROM schema`, `FROM catalog.schema`.
fn shown_in(options: &ShowStatementOptions) -> Option<Vec<String>> {
    let name = options.show_in.as_ref()?.parent_name.as_ref()?;
    Some(name.0.iter().filter_map(|part| part.as_ident()).map(normal).collect())
}

fn show_relations(options: &ShowStatementOptions, which: &str) -> Result<String> {
    let like = pattern(options.filter_position.as_ref(), "table_name")?;
    let (source, place) = match shown_in(options).as_deref() {
        None => ("information_schema.tables".to_owned(), "table_schema <> 'information_schema'".to_owned()),
        Some([schema]) => ("information_schema.tables".to_owned(), format!("table_schema = {}", literal(schema))),
        Some([catalog, schema]) => {
            (format!("{}.information_schema.tables", quoted(catalog)), format!("table_schema = {}", literal(schema)))
        }
        _ => return Err(Error::invalid("SHOW TABLES takes FROM schema or FROM catalog.schema")),
    };
    Ok(format!(
        "SELECT table_catalog, table_schema, table_name, table_type FROM {source} WHERE {place}{like}{which} ORDER BY 1, 2, 3"
    ))
}

fn show_schemas(options: &ShowStatementOptions) -> Result<String> {
    let like = pattern(options.filter_position.as_ref(), "schema_name")?;
    let source = match shown_in(options).as_deref() {
        None => "information_schema.schemata".to_owned(),
        Some([catalog]) => format!("{}.information_schema.schemata", quoted(catalog)),
        _ => return Err(Error::invalid("SHOW SCHEMAS takes FROM catalog")),
    };
    Ok(format!("SELECT catalog_name, schema_name FROM {source} WHERE true{like} ORDER BY 1, 2"))
}

/// A name as text that means exactly this one.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An identifier as the engine spells it: lower case unless it was quoted.
pub(super) fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The normalised parts of an object name.
pub(super) fn parts(name: &ObjectName) -> Result<Vec<String>> {
    let parts: Option<Vec<String>> = name.0.iter().map(|part| part.as_ident().map(normal)).collect();
    parts.ok_or_else(|| Error::invalid(format!("{name} is not a name")))
}

/// A partition expression: `column` or `transform(column)` or `transform(n, column)`, as (transform, column).
pub(super) fn partitioning(expr: &Expr) -> Result<Vec<(String, String)>> {
    match expr {
        Expr::Tuple(items) => items.iter().map(partition_item).collect(),
        Expr::Nested(inner) => partitioning(inner),
        single => Ok(vec![partition_item(single)?]),
    }
}

fn partition_item(expr: &Expr) -> Result<(String, String)> {
    let bad = || {
        Error::invalid(format!(
            "{expr} is no partition transform; use column, year(column), month(column), day(column), hour(column), \
             bucket(n, column) or truncate(n, column)"
        ))
    };
    match expr {
        Expr::Identifier(column) => Ok(("identity".into(), normal(column))),
        Expr::Nested(inner) => partition_item(inner),
        Expr::Function(function) => {
            use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, FunctionArguments};
            let name = parts(&function.name)?.concat();
            let FunctionArguments::List(arguments) = &function.args else { return Err(bad()) };
            let arguments: Vec<&Expr> = (arguments.args.iter())
                .map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                    _ => Err(bad()),
                })
                .collect::<Result<_>>()?;
            match arguments.as_slice() {
                [Expr::Identifier(column)] => {
                    let name = name.trim_end_matches('s').to_owned();
                    Ok((name, normal(column)))
                }
                [Expr::Value(width), Expr::Identifier(column)] | [Expr::Identifier(column), Expr::Value(width)] => {
                    Ok((format!("{name}[{width}]"), normal(column)))
                }
                _ => Err(bad()),
            }
        }
        _ => Err(bad()),
    }
}

/// The text in the words that the parser and the planner know: `PARTITIONED BY` becomes `PARTITION BY`, each `?` becomes the
/// next of `$1`, `$2`, …, `doc -> 'key'` becomes `(doc) -> 'key'`, since it would be a function of `doc`, and
/// `FOR VERSION AS OF 5` becomes `FOR SYSTEM_TIME AS OF version(5)`.
///
/// # Errors
/// `InvalidInput` for an expression that nests deeper than planners can follow.
fn familiar(sql: &str) -> Result<Cow<'_, str>> {
    // What does not split into tokens does not parse either, and the parser words its errors better.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize() else {
        return Ok(sql.into());
    };
    shape::check_text(&tokens, shape::HEIGHT)?;
    let strange = |token: &Token| matches!(token, Token::Placeholder(mark) if mark == "?") || is_partitioned(token);
    let documents = documents(&tokens);
    let clauses = versions::written(&tokens);
    if documents.is_empty() && clauses.is_empty() && !tokens.iter().any(strange) {
        return Ok(sql.into());
    }
    let begins: BTreeSet<usize> = clauses.iter().map(|clause| clause.begin).collect();
    let words: BTreeSet<usize> = clauses.iter().flat_map(|clause| clause.begin..=clause.end).collect();
    let numbers: BTreeSet<usize> = clauses.iter().filter_map(|clause| clause.version).collect();
    let mut out = String::with_capacity(sql.len() + 8);
    let mut parameters = 0;
    for (at, token) in tokens.into_iter().enumerate() {
        let _ = match &token {
            _ if begins.contains(&at) => write!(out, "{}", versions::CLAUSE),
            _ if words.contains(&at) => Ok(()),
            token if documents.contains(&at) => write!(out, "({token})"),
            token if numbers.contains(&at) => write!(out, "{}", versions::as_time(token)),
            Token::Placeholder(mark) if mark == "?" => {
                parameters += 1;
                write!(out, "${parameters}")
            }
            token if is_partitioned(token) => write!(out, "PARTITION"),
            token => write_token(&mut out, token),
        };
    }
    // Words that a hint kept apart are one word now.
    if let Ok(tokens) = Tokenizer::new(&GenericDialect {}, &out).with_unescape(false).tokenize() {
        shape::check_text(&tokens, shape::HEIGHT)?;
    }
    Ok(out.into())
}

/// Where a column stands alone before `->` and a constant, which parsers read as a function of this column.
fn documents(tokens: &[Token]) -> BTreeSet<usize> {
    let words: Vec<(usize, &Token)> =
        tokens.iter().enumerate().filter(|(_, token)| !matches!(token, Token::Whitespace(_))).collect();
    let mut found = BTreeSet::new();
    for (before, window) in words.iter().map(|(_, token)| Some(*token)).zip(words.windows(3).skip(1)) {
        found.extend(document(before, window));
    }
    found.extend(words.windows(3).next().and_then(|window| document(None, window)));
    found
}

fn document(before: Option<&Token>, window: &[(usize, &Token)]) -> Option<usize> {
    let [(at, Token::Word(word)), (_, Token::Arrow), (_, step)] = window else { return None };
    let is_step = matches!(step, Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_));
    // The end of something that is longer.
    let ends = matches!(before, Some(Token::Period | Token::DoubleColon)) || before.is_some_and(is_literal_text);
    let is_end = word.quote_style.is_none() && word.keyword == Keyword::END;
    (is_step && !ends && !is_end).then_some(*at)
}

fn is_literal_text(token: &Token) -> bool {
    matches!(token, Token::Number(..) | Token::SingleQuotedString(_))
}

fn is_partitioned(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("partitioned"))
}

/// Bytes of a statement that the audit trail keeps.
const KEPT: usize = 64 * 1024;

/// The statement as the audit trail keeps it: every literal replaced by `?`, comments left out, and no more than its
/// first 64 KiB. Works on text that does not parse; text that cannot even be split into tokens leaves nothing, nor does
/// text that is longer than `limit`, which no engine runs.
pub(super) fn without_literals(sql: &str, limit: usize) -> String {
    if sql.len() > limit {
        return String::new();
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return String::new() };
    let mut out = String::with_capacity(sql.len().min(KEPT));
    for token in tokens {
        match token {
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => out.push(' '),
            Token::Whitespace(_) => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            token @ (Token::Word(_) | Token::Placeholder(_)) => {
                let _ = write!(out, "{token}");
            }
            token if is_literal(&token) => out.push('?'),
            token => {
                let _ = write!(out, "{token}");
            }
        }
    }
    shortened(out).trim().to_owned()
}

/// As much of a text as the trail keeps.
pub(super) fn shortened(mut text: String) -> String {
    let end = (0..=KEPT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

pub(super) fn is_literal(token: &Token) -> bool {
    let text = token.to_string();
    let starts = text.chars().next();
    starts.is_some_and(|first| first.is_ascii_digit() || first.is_alphabetic() || matches!(first, '\'' | '"' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn kind_of(sql: &str) -> Result<Kind> {
        parse(sql, 1 << 20)
    }

    #[test]
    fn literals_and_comments_do_not_reach_the_trail() {
        let kept = without_literals(
            "SELECT a, 'it''s', 12.5, $$dollar$$, E'x', X'ff' FROM \"T\" -- ssn 123\n WHERE d = DATE '2024-01-01' /* 9 */ AND b = $1",
            1 << 20,
        );
        for secret in ["it", "12", "dollar", "2024", "123", "ff", "9"] {
            assert!(!kept.contains(secret), "{secret} is left in {kept}");
        }
        assert!(kept.contains("\"T\"") && kept.contains("$1"), "{kept}");
    }

    #[test]
    fn what_is_long_is_kept_from_its_beginning() {
        let filler = "x".repeat(70_000);
        for sql in [format!("/* {filler} */ SELECT a FROM t"), format!("SELECT a FROM t WHERE b = '{filler}'")] {
            assert!(without_literals(&sql, 1 << 20).starts_with("SELECT a FROM t"), "{}", sql.len());
        }
        let kept = without_literals(&format!("SELECT a FROM t{}", ", é".repeat(70_000)), 1 << 20);
        assert!(kept.starts_with("SELECT a FROM t, é") && kept.len() <= 64 * 1024);
        assert_eq!(without_literals("SELECT 1", 4), "", "such a statement is refused");
    }

    #[test]
    fn what_could_reach_outside_is_refused() {
        for sql in [
            "COPY t TO '/tmp/x'",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "UPDATE t SET a = 1",
            "DELETE FROM t",
            "TRUNCATE TABLE t",
            "SET datafusion.optimizer.skip_failed_rules = true",
            "SET ROLE admin",
            "SET SESSION AUTHORIZATION bob",
            "RESET datafusion.optimizer.skip_failed_rules",
            "SHOW datafusion.optimizer.skip_failed_rules",
            "CREATE MATERIALIZED VIEW v AS SELECT 1",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "PREPARE p AS UPDATE t SET a = 1",
            "PREPARE p AS PREPARE q AS SELECT 1",
            "PREPARE p AS EXECUTE q",
            "PREPARE p AS SET schema = 'a'",
            "EXECUTE p USING 1",
            "EXPLAIN EXPLAIN SELECT 1",
            "EXPLAIN EXECUTE p",
            "INSERT OVERWRITE t SELECT 1",
            "EXPLAIN INSERT INTO t VALUES (1)",
        ] {
            assert_eq!(kind_of(sql).unwrap_err().kind(), ErrorKind::Unsupported, "{sql}");
        }
        assert!(matches!(kind_of("SELECT 1").unwrap(), Kind::Query(_)));
    }

    #[test]
    fn an_arrow_before_a_constant_is_a_step_into_a_document() {
        for (written, read) in [
            ("SELECT doc -> 'a' FROM t", "SELECT (doc) -> 'a' FROM t"),
            ("SELECT \"Doc\"->0->'a'", "SELECT (\"Doc\")->0->'a'"),
            ("SELECT f(doc -> $1)", "SELECT f((doc) -> $1)"),
            ("doc -> 'a'", "(doc) -> 'a'"),
        ] {
            assert_eq!(familiar(written).unwrap(), read);
        }
        for kept in [
            "SELECT t.doc -> 'a'",
            "SELECT f(l, x -> x + 1)",
            "SELECT CASE WHEN a THEN b END -> 'a'",
            "SELECT a::json -> 'x'",
        ] {
            assert_eq!(familiar(kept).unwrap(), kept);
        }
    }

    #[test]
    fn not_one_statement_is_bad_input() {
        for sql in ["", ";", "SELECT 1; SELECT 2", "SELEC 1", "SELECT 'open"] {
            assert_eq!(kind_of(sql).unwrap_err().kind(), ErrorKind::InvalidInput, "{sql}");
        }
        assert_eq!(parse("SELECT 1", 4).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn partition_transforms_are_read() {
        let sql = "CREATE TABLE t (a INT, ts TIMESTAMP) PARTITIONED BY (a, day(ts), bucket(16, a))";
        let Kind::CreateTable(create) = kind_of(sql).unwrap() else { panic!("not a table") };
        let found = partitioning(create.partition_by.as_ref().unwrap()).unwrap();
        let expected = [("identity", "a"), ("day", "ts"), ("bucket[16]", "a")];
        assert_eq!(found, expected.map(|(transform, column)| (transform.to_owned(), column.to_owned())));
    }
}
