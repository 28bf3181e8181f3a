//! What every suite is made of: tables, the rows of their data at a scale, and queries.
//!
//! A suite is data, so everything around it (loading, running, comparing, reporting) is written once.
//! [`tpch::SUITE`](crate::tpch::SUITE) and [`tpcds::SUITE`](crate::tpcds::SUITE) are the ones here; one's own is a
//! constant like them.

pub mod data;
mod queries;
mod scale;
mod table;

pub use queries::{Parameters, Queries};
pub use scale::Scale;
pub use table::{Column, Generate, Kind, Rows, Table};

use std::ops::RangeInclusive;

use sqe_core::{Error, Result};

/// A benchmark suite.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    name: &'static str,
    title: &'static str,
    tables: &'static [Table],
    queries: Queries,
}

impl Suite {
    /// A suite whose tables come in an order in which a table comes after those that it refers to.
    #[must_use]
    pub const fn new(name: &'static str, title: &'static str, tables: &'static [Table], queries: Queries) -> Self {
        Self { name, title, tables, queries }
    }

    /// The name for machines, such as `tpch`: a schema's, a file's, a report's.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name for people, such as `TPC-H`.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// All tables; one comes after those that it refers to.
    #[must_use]
    pub fn tables(&self) -> &'static [Table] {
        self.tables
    }

    /// The table of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn table(&self, name: &str) -> Result<Table> {
        let found = self.tables.iter().find(|table| table.name() == name);
        found.copied().ok_or_else(|| Error::not_found(format!("there is no {} table {name:?}", self.title)))
    }

    /// The numbers of the queries.
    #[must_use]
    pub fn ids(&self) -> RangeInclusive<u32> {
        1..=self.queries.count()
    }

    /// The text of a query, with its parameters for this scale in it.
    ///
    /// # Errors
    /// `NotFound` for a number that is none of [`ids`](Self::ids).
    pub fn query(&self, id: u32, scale: Scale) -> Result<String> {
        self.queries.text(id, scale).ok_or_else(|| {
            let (title, last) = (self.title, self.queries.count());
            Error::not_found(format!("there is no {title} query {id}; they are numbered from 1 to {last}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use sqe_core::ErrorKind;

    use super::*;
    use crate::{tpcds, tpch};

    const SUITES: [Suite; 2] = [tpch::SUITE, tpcds::SUITE];

    #[test]
    fn names_read_back_as_the_same_table() {
        for suite in SUITES {
            for table in suite.tables() {
                assert_eq!(suite.table(table.name()).unwrap(), *table);
            }
            assert_eq!(suite.table("customers").unwrap_err().kind(), ErrorKind::NotFound);
        }
        assert_ne!(tpch::SUITE.table("customer").unwrap(), tpcds::SUITE.table("customer").unwrap());
    }

    #[test]
    fn a_number_without_a_query_is_not_found() {
        let scale = Scale::new(1.0).unwrap();
        for suite in SUITES {
            for id in [0, suite.ids().end() + 1] {
                assert_eq!(suite.query(id, scale).unwrap_err().kind(), ErrorKind::NotFound);
            }
        }
    }

    #[test]
    fn every_query_is_one_plain_statement_without_a_parameter_left_open() {
        for (suite, factor) in SUITES.into_iter().flat_map(|suite| [0.01, 1.0, 10.0].map(|factor| (suite, factor))) {
            for id in suite.ids() {
                let text = suite.query(id, Scale::new(factor).unwrap()).unwrap();
                assert!(!text.contains(['{', '}', ';']), "{} {id} at {factor}: {text}", suite.title());
            }
        }
    }
}
