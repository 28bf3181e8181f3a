//! The eight tables (clause 1.4) and how many rows they have (clause 4.2.5).
//!
//! Identifiers are 64-bit integers, so that every scale fits; other integers are 32-bit; decimals are
//! `DECIMAL(15, 2)`; fixed and variable text is text without padding. No column has nulls.

use super::rows;
use crate::suite::{
    Column,
    Kind::{self, Date, Int32, Int64, Text},
    Rows, Table,
};

/// Money and quantities: exact, two digits after the point.
pub(super) const DECIMAL: Kind = Kind::Decimal(15, 2);

const fn column(name: &'static str, kind: Kind) -> Column {
    Column::required(name, kind)
}

/// 5 rows.
pub const REGION: Table = Table::new(
    "region",
    &[column("r_regionkey", Int64), column("r_name", Text), column("r_comment", Text)],
    Rows::Constant(5),
    rows::region,
);

/// 25 rows.
pub const NATION: Table = Table::new(
    "nation",
    &[column("n_nationkey", Int64), column("n_name", Text), column("n_regionkey", Int64), column("n_comment", Text)],
    Rows::Constant(25),
    rows::nation,
);

/// 10,000 rows a unit of scale.
pub const SUPPLIER: Table = Table::new(
    "supplier",
    &[
        column("s_suppkey", Int64),
        column("s_name", Text),
        column("s_address", Text),
        column("s_nationkey", Int64),
        column("s_phone", Text),
        column("s_acctbal", DECIMAL),
        column("s_comment", Text),
    ],
    Rows::Proportional { units: 10_000.0, each: 1 },
    rows::supplier,
);

/// 150,000 rows a unit of scale.
pub const CUSTOMER: Table = Table::new(
    "customer",
    &[
        column("c_custkey", Int64),
        column("c_name", Text),
        column("c_address", Text),
        column("c_nationkey", Int64),
        column("c_phone", Text),
        column("c_acctbal", DECIMAL),
        column("c_mktsegment", Text),
        column("c_comment", Text),
    ],
    Rows::Proportional { units: 150_000.0, each: 1 },
    rows::customer,
);

/// 200,000 rows a unit of scale.
pub const PART: Table = Table::new(
    "part",
    &[
        column("p_partkey", Int64),
        column("p_name", Text),
        column("p_mfgr", Text),
        column("p_brand", Text),
        column("p_type", Text),
        column("p_size", Int32),
        column("p_container", Text),
        column("p_retailprice", DECIMAL),
        column("p_comment", Text),
    ],
    Rows::Proportional { units: 200_000.0, each: 1 },
    rows::part,
);

/// 800,000 rows a unit of scale: four suppliers a part.
pub const PARTSUPP: Table = Table::new(
    "partsupp",
    &[
        column("ps_partkey", Int64),
        column("ps_suppkey", Int64),
        column("ps_availqty", Int32),
        column("ps_supplycost", DECIMAL),
        column("ps_comment", Text),
    ],
    Rows::Proportional { units: 200_000.0, each: 4 },
    rows::partsupp,
);

/// 1,500,000 rows a unit of scale.
pub const ORDERS: Table = Table::new(
    "orders",
    &[
        column("o_orderkey", Int64),
        column("o_custkey", Int64),
        column("o_orderstatus", Text),
        column("o_totalprice", DECIMAL),
        column("o_orderdate", Date),
        column("o_orderpriority", Text),
        column("o_clerk", Text),
        column("o_shippriority", Int32),
        column("o_comment", Text),
    ],
    Rows::Proportional { units: 1_500_000.0, each: 1 },
    rows::orders,
);

/// About 6,000,000 rows a unit of scale: an order has one to seven lines.
pub const LINEITEM: Table = Table::new(
    "lineitem",
    &[
        column("l_orderkey", Int64),
        column("l_partkey", Int64),
        column("l_suppkey", Int64),
        column("l_linenumber", Int32),
        column("l_quantity", DECIMAL),
        column("l_extendedprice", DECIMAL),
        column("l_discount", DECIMAL),
        column("l_tax", DECIMAL),
        column("l_returnflag", Text),
        column("l_linestatus", Text),
        column("l_shipdate", Date),
        column("l_commitdate", Date),
        column("l_receiptdate", Date),
        column("l_shipinstruct", Text),
        column("l_shipmode", Text),
        column("l_comment", Text),
    ],
    Rows::Random,
    rows::lineitem,
);
