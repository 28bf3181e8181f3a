use std::sync::Arc;

use arrow::datatypes::{
    DataType::{self, Date32, Int32, Int64, Utf8},
    Field, Schema, SchemaRef,
};

use crate::tpch::Table;

/// Money and quantities: exact, two digits after the point.
pub(super) const DECIMAL: DataType = DataType::Decimal128(15, 2);

/// The columns of a table (clause 1.4.1). Identifiers are 64-bit integers, so that every scale fits; other integers
/// are 32-bit; decimals are `DECIMAL(15, 2)`; fixed and variable text is text without padding. No column has nulls.
#[must_use]
pub fn schema(table: Table) -> SchemaRef {
    let columns: &[(&str, DataType)] = match table {
        Table::Region => &[("r_regionkey", Int64), ("r_name", Utf8), ("r_comment", Utf8)],
        Table::Nation => &[("n_nationkey", Int64), ("n_name", Utf8), ("n_regionkey", Int64), ("n_comment", Utf8)],
        Table::Supplier => &[
            ("s_suppkey", Int64),
            ("s_name", Utf8),
            ("s_address", Utf8),
            ("s_nationkey", Int64),
            ("s_phone", Utf8),
            ("s_acctbal", DECIMAL),
            ("s_comment", Utf8),
        ],
        Table::Customer => &[
            ("c_custkey", Int64),
            ("c_name", Utf8),
            ("c_address", Utf8),
            ("c_nationkey", Int64),
            ("c_phone", Utf8),
            ("c_acctbal", DECIMAL),
            ("c_mktsegment", Utf8),
            ("c_comment", Utf8),
        ],
        Table::Part => &[
            ("p_partkey", Int64),
            ("p_name", Utf8),
            ("p_mfgr", Utf8),
            ("p_brand", Utf8),
            ("p_type", Utf8),
            ("p_size", Int32),
            ("p_container", Utf8),
            ("p_retailprice", DECIMAL),
            ("p_comment", Utf8),
        ],
        Table::Partsupp => &[
            ("ps_partkey", Int64),
            ("ps_suppkey", Int64),
            ("ps_availqty", Int32),
            ("ps_supplycost", DECIMAL),
            ("ps_comment", Utf8),
        ],
        Table::Orders => &[
            ("o_orderkey", Int64),
            ("o_custkey", Int64),
            ("o_orderstatus", Utf8),
            ("o_totalprice", DECIMAL),
            ("o_orderdate", Date32),
            ("o_orderpriority", Utf8),
            ("o_clerk", Utf8),
            ("o_shippriority", Int32),
            ("o_comment", Utf8),
        ],
        Table::Lineitem => &[
            ("l_orderkey", Int64),
            ("l_partkey", Int64),
            ("l_suppkey", Int64),
            ("l_linenumber", Int32),
            ("l_quantity", DECIMAL),
            ("l_extendedprice", DECIMAL),
            ("l_discount", DECIMAL),
            ("l_tax", DECIMAL),
            ("l_returnflag", Utf8),
            ("l_linestatus", Utf8),
            ("l_shipdate", Date32),
            ("l_commitdate", Date32),
            ("l_receiptdate", Date32),
            ("l_shipinstruct", Utf8),
            ("l_shipmode", Utf8),
            ("l_comment", Utf8),
        ],
    };
    let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), false)).collect();
    Arc::new(Schema::new(fields))
}
