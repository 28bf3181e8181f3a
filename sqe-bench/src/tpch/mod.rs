//! TPC-H: its tables, its data and its 22 queries.
//!
//! Source: *TPC Benchmark H, Standard Specification*, revision 3.0.1. Timings made with this crate are not audited
//! TPC results and may not be compared with such.

pub mod data;
pub mod queries;

use std::{fmt, str::FromStr};

use sqe_core::{Error, Result};

/// The eight tables, in an order in which a table comes after those that it refers to (clause 1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// 5 rows.
    Region,
    /// 25 rows.
    Nation,
    /// 10,000 rows a unit of scale.
    Supplier,
    /// 150,000 rows a unit of scale.
    Customer,
    /// 200,000 rows a unit of scale.
    Part,
    /// 800,000 rows a unit of scale.
    Partsupp,
    /// 1,500,000 rows a unit of scale.
    Orders,
    /// About 6,000,000 rows a unit of scale.
    Lineitem,
}

impl Table {
    /// All tables, those without foreign keys first.
    pub const ALL: [Self; 8] = [
        Self::Region,
        Self::Nation,
        Self::Supplier,
        Self::Customer,
        Self::Part,
        Self::Partsupp,
        Self::Orders,
        Self::Lineitem,
    ];

    /// The table's name in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Nation => "nation",
            Self::Supplier => "supplier",
            Self::Customer => "customer",
            Self::Part => "part",
            Self::Partsupp => "partsupp",
            Self::Orders => "orders",
            Self::Lineitem => "lineitem",
        }
    }

    /// How many rows the specification (clause 4.2.5) asks for; `None` for `lineitem`, whose number is random: an order
    /// has one to seven lines.
    #[must_use]
    pub fn rows(self, scale: Scale) -> Option<u64> {
        let per_unit = match self {
            Self::Region => return Some(5),
            Self::Nation => return Some(25),
            Self::Supplier => 10_000.0,
            Self::Customer => 150_000.0,
            Self::Part => 200_000.0,
            // Four suppliers a part, so rounding is that of `part`.
            Self::Partsupp => return Self::Part.rows(scale).map(|parts| parts * 4),
            Self::Orders => 1_500_000.0,
            Self::Lineitem => return None,
        };
        Some((per_unit * scale.0) as u64)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Table {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|table| table.name() == name)
            .ok_or_else(|| Error::not_found(format!("there is no TPC-H table {name:?}")))
    }
}

/// The scale factor: 1 is about one gigabyte of text (clause 4.1.3).
///
/// The specification names 1, 10, 30, …; smaller ones are for tests. From 0.001, where every table still has rows, to
/// 100,000.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Scale(f64);

impl Scale {
    /// A checked scale factor.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a number from 0.001 to 100,000.
    pub fn new(factor: f64) -> Result<Self> {
        if (0.001..=100_000.0).contains(&factor) {
            Ok(Self(factor))
        } else {
            Err(Error::invalid(format!("the scale factor must be between 0.001 and 100000, not {factor}")))
        }
    }

    /// The factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Scale {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let factor =
            text.parse().map_err(|_| Error::invalid(format!("{text:?} is not a scale factor; try 0.01 or 1")))?;
        Self::new(factor)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero(0.0)]
    #[case::negative(-1.0)]
    #[case::not_a_number(f64::NAN)]
    #[case::endless(f64::INFINITY)]
    #[case::so_small_that_tables_are_empty(0.0001)]
    fn a_scale_that_generates_nonsense_is_refused(#[case] factor: f64) {
        assert_eq!(Scale::new(factor).unwrap_err().kind(), sqe_core::ErrorKind::InvalidInput);
        assert_eq!(Scale::new(0.01).unwrap().factor(), 0.01);
    }

    #[test]
    fn names_read_back_as_the_same_table() {
        for table in Table::ALL {
            assert_eq!(table.to_string().parse::<Table>().unwrap(), table);
        }
        assert!("customers".parse::<Table>().is_err());
    }
}
