//! `t FOR VERSION AS OF 5`, `t FOR TIMESTAMP AS OF '2026-12-01'`: older states of tables.
//!
//! The planner would leave the clause out without a word. So each such table gets a name of its own in the statement, under
//! which the older state is bound, and goes on being called what it was called.

use std::{
    collections::{BTreeSet, HashMap},
    ops::ControlFlow,
};

use arrow::datatypes::{DataType, TimeUnit};
use chrono::DateTime;
use datafusion::{
    common::ScalarValue,
    sql::{
        parser::Statement as Parsed,
        sqlparser::{
            ast::{
                self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query,
                TableAlias, TableFactor, TableVersion as Clause, Value, Visit, VisitMut, Visitor, VisitorMut,
            },
            tokenizer::Token,
        },
    },
};

use super::{constants, statement::normal, trail::Case};
use crate::{Error, Result, catalog::TableVersion};

/// What a version is written as for the parser, which knows times only.
const VERSION: &str = "version";
/// The longest part of an expression that a name shows.
const SHOWN: usize = 80;

/// The older states that a statement reads, by the last part of the names that stand for them in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions(HashMap<String, (String, TableVersion)>);

impl Versions {
    /// The table's own name and which of its states, if this is the name of one.
    pub(super) fn find(&self, name: &str) -> Option<&(String, TableVersion)> {
        self.0.get(name)
    }
}

/// Takes the clauses out of a statement.
///
/// # Errors
/// `InvalidInput` for what is no constant, no number or name of a version and no time.
pub(super) async fn take(case: &Case, statement: &mut Parsed) -> Result<Versions> {
    if !remain(statement) {
        return Ok(Versions::default());
    }
    let Parsed::Statement(ast) = statement else { return Ok(Versions::default()) };
    let mut taken = Taken::default();
    let _ = Visit::visit(ast.as_ref(), &mut taken.names);
    if let ControlFlow::Break(error) = VisitMut::visit(ast.as_mut(), &mut taken) {
        return Err(*error);
    }
    let mut versions = HashMap::with_capacity(taken.found.len());
    for (mark, (table, wish)) in taken.found {
        let version = match wish {
            Wish::Version(value) => numbered(&value)?,
            Wish::Time(expr) => at(case, *expr).await?,
        };
        versions.insert(mark, (table, version));
    }
    Ok(Versions(versions))
}

#[derive(Debug, Clone)]
enum Wish {
    Version(Value),
    Time(Box<Expr>),
}

#[derive(Default)]
struct Taken {
    names: Names,
    found: HashMap<String, (String, Wish)>,
}

/// The last parts of all names of tables in a statement, and the names of its common table expressions.
#[derive(Default)]
struct Names(BTreeSet<String>);

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        self.0.extend(last(name).map(normal));
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.0.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| normal(&cte.alias.name)));
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Taken {
    type Break = Box<Error>;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        let TableFactor::Table { name, alias, version, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(clause) = version.take() else { return ControlFlow::Continue(()) };
        match self.mark(name, clause) {
            Ok((written, mark)) => {
                if let Some(part) = name.0.last_mut() {
                    *part = ObjectNamePart::Identifier(Ident::with_quote('"', mark));
                }
                let unnamed = || TableAlias { explicit: true, name: written, columns: Vec::new(), at: None };
                alias.get_or_insert_with(unnamed);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(Box::new(error)),
        }
    }
}

impl Taken {
    /// What the table is called in the statement, and its new name there, which no other table of the statement has.
    fn mark(&mut self, name: &ObjectName, clause: Clause) -> Result<(Ident, String)> {
        let written = last(name).ok_or_else(|| Error::invalid(format!("{name} is no name of a table")))?.clone();
        let wish = wish(clause)?;
        let (word, shown) = match &wish {
            Wish::Version(value) => ("VERSION", value.to_string()),
            Wish::Time(expr) => ("TIMESTAMP", expr.to_string()),
        };
        let shown: String = shown.chars().take(SHOWN).collect();
        let table = normal(&written);
        let mut mark = format!("{table} FOR {word} AS OF {shown}");
        while !self.names.0.insert(mark.clone()) {
            mark.push('\'');
        }
        self.found.insert(mark.clone(), (table, wish));
        Ok((written, mark))
    }
}

fn wish(clause: Clause) -> Result<Wish> {
    let expr = match clause {
        Clause::ForSystemTimeAsOf(expr) | Clause::TimestampAsOf(expr) => expr,
        Clause::VersionAsOf(Expr::Value(value)) => return Ok(Wish::Version(value.value)),
        _ => return Err(Error::unsupported("write FOR VERSION AS OF or FOR TIMESTAMP AS OF after the table's name")),
    };
    if holds_parameter(&expr) {
        return Err(Error::unsupported("which state of a table is read cannot be a parameter; write it as a constant"));
    }
    Ok(match version_of(&expr) {
        Some(value) => Wish::Version(value.clone()),
        None => Wish::Time(Box::new(expr)),
    })
}

fn holds_parameter(expr: &Expr) -> bool {
    let is_parameter = |expr: &Expr| matches!(expr, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)));
    ast::visit_expressions(expr, |expr| match is_parameter(expr) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
    .is_break()
}

/// The version in `version(…)`.
fn version_of(expr: &Expr) -> Option<&Value> {
    let Expr::Function(function) = expr else { return None };
    let named = matches!(function.name.0.as_slice(), [part] if part.as_ident().is_some_and(|it| normal(it) == VERSION));
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] if named => Some(&value.value),
        _ => None,
    }
}

fn numbered(value: &Value) -> Result<TableVersion> {
    match value {
        Value::Number(text, _) => match text.parse() {
            Ok(id) => Ok(TableVersion::Snapshot(id)),
            Err(_) => Err(Error::invalid(format!("{text} is no version; write a snapshot's number, or 'name'"))),
        },
        Value::SingleQuotedString(name) if !name.is_empty() => Ok(TableVersion::Named(name.clone())),
        other => Err(Error::invalid(format!(
            "{other} is no version; write a snapshot's number, or the name of a branch or a tag in single quotes"
        ))),
    }
}

/// The time that a constant expression stands for; without a zone it is one of the session's zone.
async fn at(case: &Case, expr: Expr) -> Result<TableVersion> {
    let shown: String = expr.to_string().chars().take(SHOWN).collect();
    let no_time =
        || Error::invalid(format!("{shown} is no time; write FOR TIMESTAMP AS OF TIMESTAMP '2026-12-01 12:00:00'"));
    let query = constants::query(case, vec![expr]).await?;
    let zone = query.state.config().options().execution.time_zone.clone();
    let value = constants::values(query, None)?.pop().ok_or_else(no_time)?;
    let local = match value.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Date32 | DataType::Timestamp(..) => value,
        _ => return Err(no_time()),
    };
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some(zone.as_deref().unwrap_or("UTC").into()));
    match local.cast_to(&zoned).map_err(|error| no_time().with_source(error))? {
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            DateTime::from_timestamp_micros(micros).map(TableVersion::At).ok_or_else(no_time)
        }
        _ => Err(no_time()),
    }
}

/// Whether such a clause is still in a statement.
pub(super) fn remain(statement: &Parsed) -> bool {
    struct Remaining;
    impl Visitor for Remaining {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Table { version: Some(_), .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    matches!(statement, Parsed::Statement(ast) if Visit::visit(ast.as_ref(), &mut Remaining).is_break())
}

/// Where a clause begins that the parser knows by other words, how many tokens its first words are, and whether a version
/// follows, which is one token.
pub(super) struct Written {
    pub(super) begin: usize,
    pub(super) end: usize,
    pub(super) version: Option<usize>,
}

/// The clauses in a text, in order.
pub(super) fn written(tokens: &[Token]) -> Vec<Written> {
    let words: Vec<(usize, &Token)> =
        tokens.iter().enumerate().filter(|(_, token)| !matches!(token, Token::Whitespace(_))).collect();
    let clause = |window: &[(usize, &Token)]| {
        let [(begin, first), (_, what), (_, third), (end, fourth), rest @ ..] = window else { return None };
        if !is(first, "for") || !is(third, "as") || !is(fourth, "of") {
            return None;
        }
        if is(what, "timestamp") || is(what, "system_time") {
            return Some(Written { begin: *begin, end: *end, version: None });
        }
        let named = is(what, "version") || is(what, "system_version");
        let version = rest.first().map(|(at, _)| *at)?;
        named.then_some(Written { begin: *begin, end: *end, version: Some(version) })
    };
    (0..words.len()).filter_map(|at| words.get(at..(at + 5).min(words.len())).and_then(clause)).collect()
}

fn is(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// A clause in the parser's words.
pub(super) const CLAUSE: &str = "FOR SYSTEM_TIME AS OF";

/// What stands for a version after them.
pub(super) fn as_time(version: &Token) -> String {
    format!("{VERSION}({version})")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("5", TableVersion::Snapshot(5))]
    #[case("9223372036854775807", TableVersion::Snapshot(i64::MAX))]
    fn numbers_are_snapshots(#[case] text: &str, #[case] version: TableVersion) {
        assert_eq!(numbered(&Value::Number(text.into(), false)).unwrap(), version);
    }

    #[rstest]
    #[case(Value::Number("1.5".into(), false))]
    #[case(Value::Number("9223372036854775808".into(), false))]
    #[case(Value::SingleQuotedString(String::new()))]
    #[case(Value::Null)]
    fn other_things_are_none(#[case] value: Value) {
        assert_eq!(numbered(&value).unwrap_err().kind(), crate::ErrorKind::InvalidInput);
    }
}
