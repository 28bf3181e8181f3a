//! TPC-H: its tables, its data and its 22 queries.
//!
//! Source: *TPC Benchmark H, Standard Specification*, revision 3.0.1. Timings made with this crate are not audited
//! TPC results and may not be compared with such.

mod columns;
mod queries;
mod rows;
mod tables;

pub use tables::{CUSTOMER, LINEITEM, NATION, ORDERS, PART, PARTSUPP, REGION, SUPPLIER};

use crate::suite::{Queries, Suite, Table};

/// TPC-H.
pub const SUITE: Suite = Suite::new("tpch", "TPC-H", &TABLES, Queries::new(&queries::TEXTS, queries::parameters));

const TABLES: [Table; 8] = [REGION, NATION, SUPPLIER, CUSTOMER, PART, PARTSUPP, ORDERS, LINEITEM];
