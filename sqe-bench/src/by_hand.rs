//! What a person without an engine that governs would write: a policy's filters and masks in the query's own text.
//!
//! The benchmark runs a query over governed tables beside the same query in this form, in the same engine, to learn
//! what governing costs beyond the filtering and masking itself. It is a measuring device and protects nothing: it
//! knows tables by their bare names only.

use std::{collections::BTreeSet, ops::ControlFlow};

use datafusion::sql::sqlparser::{
    ast::{Ident, ObjectName, Query, Statement, TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut},
    dialect::GenericDialect,
    parser::Parser,
};
use sqe_core::{Error, Result};

use crate::suite::Table;

/// What is left of a table under a policy, to be written by hand.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Restriction {
    /// The table.
    pub table: Table,
    /// Only rows for which this SQL condition is true.
    pub filter: Option<String>,
    /// Columns whose value is replaced by that of an SQL expression.
    pub masks: Vec<(String, String)>,
    /// Columns that do not exist.
    pub hidden: Vec<String>,
}

impl Restriction {
    /// The whole table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self { table, filter: None, masks: Vec::new(), hidden: Vec::new() }
    }

    /// Keeps only rows for which a condition over the table's own columns is true.
    #[must_use]
    pub fn with_filter(mut self, condition: impl Into<String>) -> Self {
        self.filter = Some(condition.into());
        self
    }

    /// Replaces a column's value by that of an expression over the table's own columns.
    #[must_use]
    pub fn with_mask(mut self, column: impl Into<String>, expression: impl Into<String>) -> Self {
        self.masks.push((column.into(), expression.into()));
        self
    }

    /// Takes a column away.
    #[must_use]
    pub fn with_hidden(mut self, column: impl Into<String>) -> Self {
        self.hidden.push(column.into());
        self
    }

    /// The restricted table as a query. The filter sees true values, as it does in an engine that governs.
    ///
    /// # Errors
    /// `NotFound` if a mask or a hidden column is none of the table's.
    pub fn to_sql(&self) -> Result<String> {
        let schema = self.table.schema();
        let named = self.masks.iter().map(|(column, _)| column).chain(&self.hidden);
        if let Some(unknown) = named.into_iter().find(|column| schema.index_of(column).is_err()) {
            return Err(Error::not_found(format!("table {} has no column {unknown}", self.table)));
        }
        let shown = schema.fields().iter().map(|field| field.name()).filter(|name| !self.hidden.contains(name));
        let columns: Vec<String> = shown
            .map(|name| match self.masks.iter().find(|(column, _)| column == name) {
                Some((_, expression)) => format!("({expression}) AS {name}"),
                None => name.clone(),
            })
            .collect();
        let filter = self.filter.as_ref().map(|filter| format!(" WHERE {filter}")).unwrap_or_default();
        Ok(format!("SELECT {} FROM {}{filter}", columns.join(", "), self.table))
    }
}

/// The query with every reference to a restricted table replaced by what is left of it.
///
/// # Errors
/// `InvalidInput` if the query or a restriction cannot be read; `NotFound` as [`Restriction::to_sql`]; `Unsupported`
/// if the name of a restricted table is qualified, or is also that of a common table expression: rather no text than
/// one that restricts less than it says.
pub fn restrict(sql: &str, restrictions: &[Restriction]) -> Result<String> {
    let mut statement = parse(sql)?;
    let replacements = restrictions
        .iter()
        .map(|restriction| match parse(&restriction.to_sql()?)? {
            Statement::Query(query) => Ok((restriction.table.name(), query)),
            _ => Err(Error::invalid("a restriction must be a query")),
        })
        .collect::<Result<Vec<_>>>()?;
    let mut writing = Writing { replacements: &replacements };
    match VisitMut::visit(&mut statement, &mut writing) {
        ControlFlow::Continue(()) => Ok(statement.to_string()),
        ControlFlow::Break(name) => Err(Error::unsupported(format!(
            "cannot tell whether {name} is the restricted table; use the bare name of the table, and for nothing else"
        ))),
    }
}

/// Whether a query reads one of these tables.
///
/// # Errors
/// `InvalidInput` if the query cannot be read.
pub fn reads_any(sql: &str, tables: &[Table]) -> Result<bool> {
    let mut read = Reading::default();
    let statement = parse(sql)?;
    let _never_breaks = Visit::visit(&statement, &mut read);
    Ok(tables.iter().any(|table| read.names.contains(table.name())))
}

fn parse(sql: &str) -> Result<Statement> {
    let unreadable = || Error::invalid("the text is not one statement that can be read");
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| unreadable().with_source(error))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err(unreadable()),
    }
}

/// The last part of a name, as the table's name is written here.
fn last_part(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.to_ascii_lowercase())
}

struct Writing<'a> {
    replacements: &'a [(&'static str, Box<Query>)],
}

impl Writing<'_> {
    fn replacement(&self, name: &str) -> Option<&(&'static str, Box<Query>)> {
        self.replacements.iter().find(|(table, _)| *table == name)
    }
}

impl VisitorMut for Writing<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        let names = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| cte.alias.name.value.clone());
        match names.into_iter().find(|name| self.replacement(&name.to_ascii_lowercase()).is_some()) {
            Some(name) => ControlFlow::Break(name),
            None => ControlFlow::Continue(()),
        }
    }

    /// Afterwards, so that the table inside the replacement is not replaced again.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<String> {
        let TableFactor::Table { name, alias, .. } = factor else { return ControlFlow::Continue(()) };
        let Some(last) = last_part(name) else { return ControlFlow::Continue(()) };
        let Some((table, query)) = self.replacement(&last) else { return ControlFlow::Continue(()) };
        if name.0.len() > 1 {
            return ControlFlow::Break(name.to_string());
        }
        let alias = alias.take().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new(*table),
            columns: Vec::new(),
            at: None,
        });
        *factor = TableFactor::Derived { lateral: false, subquery: query.clone(), alias: Some(alias), sample: None };
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Reading {
    names: BTreeSet<String>,
}

impl Visitor for Reading {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.names.extend(last_part(relation));
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::ErrorKind;

    use super::*;
    use crate::{suite::Scale, tpch};

    fn building() -> Restriction {
        Restriction::new(tpch::CUSTOMER)
            .with_filter("c_mktsegment = 'BUILDING'")
            .with_mask("c_phone", "right(c_phone, 4)")
            .with_hidden("c_acctbal")
    }

    fn flat(sql: &str) -> String {
        sql.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    const LEFT: &str = "(SELECT c_custkey, c_name, c_address, c_nationkey, (right(c_phone, 4)) AS c_phone, \
                        c_mktsegment, c_comment FROM customer WHERE c_mktsegment = 'BUILDING')";

    #[rstest]
    #[case::bare("SELECT c_name FROM customer", "SELECT c_name FROM {} AS customer")]
    #[case::alias("SELECT c.c_name FROM customer AS c", "SELECT c.c_name FROM {} AS c")]
    #[case::other_case("SELECT 1 FROM Customer", "SELECT 1 FROM {} AS customer")]
    #[case::join("SELECT 1 FROM orders JOIN customer ON true", "SELECT 1 FROM orders JOIN {} AS customer ON true")]
    #[case::twice("SELECT 1 FROM customer a, customer b", "SELECT 1 FROM {} a, {} b")]
    #[case::subquery(
        "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM customer)",
        "SELECT 1 FROM orders WHERE EXISTS (SELECT 1 FROM {} AS customer)"
    )]
    #[case::in_a_cte(
        "WITH x AS (SELECT 1 FROM customer) SELECT 1 FROM x",
        "WITH x AS (SELECT 1 FROM {} AS customer) SELECT 1 FROM x"
    )]
    #[case::another_table("SELECT o_orderkey FROM orders", "SELECT o_orderkey FROM orders")]
    fn every_reference_to_the_table_is_restricted(#[case] sql: &str, #[case] expected: &str) {
        let restricted = restrict(sql, &[building()]).unwrap();
        assert_eq!(flat(&restricted).replace("( ", "(").replace(" )", ")"), expected.replace("{}", LEFT));
    }

    #[rstest]
    #[case::qualified("SELECT 1 FROM lake.tpch.customer", ErrorKind::Unsupported)]
    #[case::cte_of_that_name("WITH customer AS (SELECT 1) SELECT 1 FROM customer", ErrorKind::Unsupported)]
    #[case::not_sql("SELEC 1", ErrorKind::InvalidInput)]
    #[case::two_statements("SELECT 1; SELECT 2", ErrorKind::InvalidInput)]
    fn a_query_that_might_slip_through_is_refused(#[case] sql: &str, #[case] kind: ErrorKind) {
        assert_eq!(restrict(sql, &[building()]).unwrap_err().kind(), kind);
    }

    #[test]
    fn a_mask_of_no_column_is_refused() {
        let wrong = Restriction::new(tpch::CUSTOMER).with_mask("c_fone", "NULL");
        assert_eq!(restrict("SELECT 1 FROM customer", &[wrong]).unwrap_err().kind(), ErrorKind::NotFound);
        let right = Restriction::new(tpch::CUSTOMER).with_mask("c_phone", "NULL");
        assert!(restrict("SELECT 1 FROM customer", &[right]).is_ok());
    }

    #[test]
    fn queries_that_read_customer_or_orders_are_known() {
        let scale = Scale::new(1.0).unwrap();
        let reads =
            |id: &u32| reads_any(&tpch::SUITE.query(*id, scale).unwrap(), &[tpch::CUSTOMER, tpch::ORDERS]).unwrap();
        let ids: Vec<u32> = tpch::SUITE.ids().filter(reads).collect();
        assert_eq!(ids, [3, 4, 5, 7, 8, 9, 10, 12, 13, 18, 21, 22]);
    }
}
