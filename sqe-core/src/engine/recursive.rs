//! `WITH RECURSIVE n (a, b) AS (first UNION ALL further)`, in words with which the planner does what they mean.
//!
//! The planner knows a list of columns where the expression is used, and inside of the recursion only what its first part
//! calls them. So both parts are made to call them like this.
//!
//! DataFusion 54.1's optimizer leaves out columns that are not asked for from outside, also those that the recursion itself
//! goes on with, and those that tell whether a row was there before: such statements fail, or answer with other rows. It
//! keeps away from expressions of which it does not know what they read; so the first part always is one.

use std::ops::ControlFlow;

use datafusion::sql::{
    parser::Statement as Parsed,
    sqlparser::{
        ast::{
            self, Cte, Distinct, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, SetOperator, Statement as Ast,
            TableAlias, TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
        },
        dialect::GenericDialect,
        parser::Parser,
    },
};

use super::statement::normal;
use crate::{Error, Result};

/// Rewrites the recursive expressions of a statement.
///
/// # Errors
/// `Unsupported` for one that begins with a table of its own name, and for clauses around its parts.
pub(super) fn rewrite(statement: &mut Parsed) -> Result<()> {
    let Parsed::Statement(ast) = statement else { return Ok(()) };
    match VisitMut::visit(ast.as_mut(), &mut Recursive) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Recursive;

impl VisitorMut for Recursive {
    type Break = Box<Error>;

    /// Afterwards, so that what is put in is not looked at again.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        let Some(with) = query.with.as_mut().filter(|with| with.recursive) else { return ControlFlow::Continue(()) };
        for cte in &mut with.cte_tables {
            if let Err(error) = expression(cte) {
                return ControlFlow::Break(Box::new(error));
            }
        }
        ControlFlow::Continue(())
    }
}

fn expression(cte: &mut Cte) -> Result<()> {
    let SetExpr::SetOperation { op: SetOperator::Union, right, .. } = cte.query.body.as_ref() else {
        return Ok(());
    };
    let recursive = names(right.as_ref(), &cte.alias.name);
    if let Some(what) = around(&cte.query) {
        return match recursive {
            true => Err(Error::unsupported(format!(
                "{what} around the parts of the recursive expression {} is not offered; write it into one of them, or where \
                 the expression is used",
                cte.alias.name
            ))),
            false => {
                enclose(&mut cte.query);
                Ok(())
            }
        };
    }
    let SetExpr::SetOperation { left, right, .. } = cte.query.body.as_mut() else { return Ok(()) };
    if !recursive {
        return Ok(());
    }
    if names(left.as_ref(), &cte.alias.name) {
        return Err(Error::unsupported(format!(
            "the first part of the recursive expression {} reads a table of the same name; call the expression otherwise",
            cte.alias.name
        )));
    }
    let columns = &cte.alias.columns;
    call(left, columns);
    call(right, columns);
    let broken = || Error::internal("the first part of a recursive expression cannot be set apart");
    let apart =
        Parser::parse_sql(&GenericDialect {}, "SELECT * FROM (SELECT 1) AS first").ok().and_then(|mut it| it.pop());
    let Some(Ast::Query(mut apart)) = apart else { return Err(broken()) };
    let SetExpr::Select(select) = apart.body.as_mut() else { return Err(broken()) };
    let Some(TableFactor::Derived { subquery, alias, .. }) = select.from.first_mut().map(|from| &mut from.relation)
    else {
        return Err(broken());
    };
    let name = Ident::with_quote('"', format!("{} at first", normal(&cte.alias.name)));
    *alias = Some(TableAlias { explicit: true, name, columns: columns.clone(), at: None });
    std::mem::swap(subquery.body.as_mut(), left.as_mut());
    *left = apart.body;
    Ok(())
}

/// What stands around the two parts of a union: of expressions that may be recursive the planner looks at the parts only, and
/// leaves it out without a word.
fn around(query: &Query) -> Option<&'static str> {
    let clauses = [
        ("WITH", query.with.is_some()),
        ("ORDER BY", query.order_by.is_some()),
        ("LIMIT", query.limit_clause.is_some()),
        ("FETCH", query.fetch.is_some()),
        ("|>", !query.pipe_operators.is_empty()),
    ];
    clauses.into_iter().find_map(|(what, there)| there.then_some(what))
}

/// Puts a query into brackets, where the planner does not take it for the two parts of a recursion.
fn enclose(query: &mut Query) {
    let inner = Box::new(query.clone());
    *query.body = SetExpr::Query(inner);
    (query.with, query.order_by, query.limit_clause, query.fetch) = (None, None, None, None);
    query.pipe_operators.clear();
}

/// Whether a part names a table, or an expression, like this.
fn names(part: &SetExpr, name: &Ident) -> bool {
    let name = normal(name);
    ast::visit_relations(part, |relation| {
        let last = relation.0.last().and_then(|part| part.as_ident());
        if last.is_some_and(|last| normal(last) == name) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .is_break()
}

/// Calls what a part selects by the columns' names, where these names can mean nothing else in it. Elsewhere they are given
/// from outside, which is the same unless two columns are written alike.
fn call(part: &mut SetExpr, columns: &[TableAliasColumnDef]) {
    let SetExpr::Select(select) = part else { return };
    if select.projection.len() != columns.len() || sorts_or_groups(select) {
        return;
    }
    for (item, column) in select.projection.iter_mut().zip(columns) {
        let unnamed = || SelectItem::Wildcard(Default::default());
        if let SelectItem::UnnamedExpr(_) = item
            && let SelectItem::UnnamedExpr(expr) = std::mem::replace(item, unnamed())
        {
            *item = SelectItem::ExprWithAlias { expr, alias: column.name.clone() };
        }
    }
}

fn sorts_or_groups(select: &Select) -> bool {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, modifiers) => !exprs.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    grouped
        || select.having.is_some()
        || select.qualify.is_some()
        || matches!(select.distinct, Some(Distinct::On(_)))
        || !select.sort_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::columns(
        "WITH RECURSIVE n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n) SELECT * FROM n",
        "WITH RECURSIVE n (a) AS (SELECT * FROM (SELECT 1 AS a) AS \"n at first\" (a) UNION ALL SELECT a + 1 AS a FROM n) SELECT * FROM n"
    )]
    #[case::none(
        "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a FROM n) SELECT * FROM n",
        "WITH RECURSIVE n AS (SELECT * FROM (SELECT 1 AS a) AS \"n at first\" UNION ALL SELECT a FROM n) SELECT * FROM n"
    )]
    #[case::grouped(
        "WITH RECURSIVE n (a) AS (SELECT max(b) FROM t GROUP BY a UNION ALL SELECT a FROM n) SELECT * FROM n",
        "WITH RECURSIVE n (a) AS (SELECT * FROM (SELECT max(b) FROM t GROUP BY a) AS \"n at first\" (a) UNION ALL SELECT a AS a FROM n) SELECT * FROM n"
    )]
    #[case::not_recursive(
        "WITH RECURSIVE n (a) AS (SELECT 1 UNION SELECT 2) SELECT * FROM n",
        "WITH RECURSIVE n (a) AS (SELECT 1 UNION SELECT 2) SELECT * FROM n"
    )]
    #[case::sorted(
        "WITH RECURSIVE n AS (SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 1) SELECT * FROM n",
        "WITH RECURSIVE n AS ((SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 1)) SELECT * FROM n"
    )]
    #[case::not_called_so(
        "WITH n (a) AS (SELECT 1 UNION SELECT a FROM n) SELECT * FROM n",
        "WITH n (a) AS (SELECT 1 UNION SELECT a FROM n) SELECT * FROM n"
    )]
    fn the_first_part_is_set_apart_and_both_get_the_names(#[case] written: &str, #[case] rewritten: &str) {
        let mut statement = DFParser::parse_sql(written).unwrap().pop_front().unwrap();
        rewrite(&mut statement).unwrap();
        assert_eq!(statement.to_string(), rewritten);
    }
}
