//! What the parser reads and the planner would leave out without a word, so that the answer would be another one than
//! was asked for: refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Select, Statement, TableFactor, Visit, Visitor};

use crate::{Error, Result};

/// # Errors
/// `Unsupported` names the first clause that would be ignored.
pub(super) fn refuse(statement: &Statement) -> Result<()> {
    match statement.visit(&mut Ignored) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(what) => Err(Error::unsupported(format!("{what} is not offered by this engine"))),
    }
}

struct Ignored;

impl Visitor for Ignored {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        first([
            ("FOR UPDATE", !query.locks.is_empty()),
            ("FOR XML, FOR JSON or FOR BROWSE", query.for_clause.is_some()),
            ("SETTINGS", query.settings.is_some()),
            ("FORMAT", query.format_clause.is_some()),
        ])
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        first([
            ("PREWHERE", select.prewhere.is_some()),
            ("CONNECT BY", !select.connect_by.is_empty()),
            ("EXCLUDE after the select list", select.exclude.is_some()),
            ("SELECT AS VALUE or AS STRUCT", select.value_table_mode.is_some()),
        ])
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        // Its version is taken out before the planner sees it.
        let TableFactor::Table { with_hints, with_ordinality, partitions, json_path, sample, .. } = factor else {
            return ControlFlow::Continue(());
        };
        first([
            ("TABLESAMPLE", sample.is_some()),
            ("WITH ORDINALITY", *with_ordinality),
            ("PARTITION after a table's name", !partitions.is_empty()),
            ("a path into a table", json_path.is_some()),
            ("WITH after a table's name", !with_hints.is_empty()),
        ])
    }
}

fn first<const N: usize>(clauses: [(&'static str, bool); N]) -> ControlFlow<&'static str> {
    match clauses.into_iter().find(|(_, there)| *there) {
        Some((what, _)) => ControlFlow::Break(what),
        None => ControlFlow::Continue(()),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};

    use super::refuse;
    use crate::ErrorKind;

    #[test]
    fn a_clause_that_would_be_ignored_is_refused_wherever_it_stands() {
        for clause in [
            "SELECT * FROM t TABLESAMPLE BERNOULLI (10)",
            "SELECT * FROM t TABLESAMPLE (5 ROWS)",
            "SELECT * FROM t WITH ORDINALITY",
            "SELECT * FROM t PARTITION (p)",
            "SELECT a FROM t START WITH a = 1 CONNECT BY PRIOR a = b",
            "SELECT * FROM t SETTINGS max_threads = 1",
            "SELECT * FROM t FORMAT JSON",
            "SELECT * FROM t FOR UPDATE",
        ] {
            for sql in [
                clause.to_owned(),
                format!("SELECT * FROM ({clause})"),
                format!("WITH c AS ({clause}) SELECT * FROM c"),
                format!("SELECT 1 WHERE 1 IN ({clause})"),
                format!("SELECT (SELECT max(a) FROM ({clause}))"),
                format!("INSERT INTO u {clause}"),
                format!("CREATE TABLE u AS {clause}"),
            ] {
                let statement = Parser::parse_sql(&GenericDialect {}, &sql);
                let statement = statement.unwrap_or_else(|error| panic!("{sql}: {error}")).remove(0);
                assert_eq!(refuse(&statement).unwrap_err().kind(), ErrorKind::Unsupported, "{sql}");
            }
        }
        let plain =
            Parser::parse_sql(&GenericDialect {}, "SELECT a FROM t, u AS v WHERE b IN (SELECT c FROM w) LIMIT 1");
        assert!(refuse(&plain.unwrap()[0]).is_ok());
    }
}
