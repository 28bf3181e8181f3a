//! From the generators' rows to batches, table by table, columns in the order of the schema.
//!
//! The first use in a process builds the generators' pool of text, 300 MiB that stay for the life of the process.

use arrow::array::ArrayRef;
use tpchgen::generators::{
    Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order, OrderGenerator,
    Part as PartRow, PartGenerator, PartSupp, PartSuppGenerator, Region, RegionGenerator, Supplier, SupplierGenerator,
};

use super::columns::{date, decimal, hundredths, int32, int64, shown, text};
use crate::suite::{
    Scale, Table,
    data::{BoxedBatches, Part, batched},
};

/// One function a table: the generator's rows, and the columns that they make.
macro_rules! generate {
    ($($table:ident: $generator:ident, $columns:ident;)*) => {
        $(pub(super) fn $table(table: Table, scale: Scale, batch_rows: usize, part: Part) -> BoxedBatches {
            // The generators of the two fixed tables ignore parts and would repeat themselves.
            if table.is_constant() && part.number() > 1 {
                return Box::new(std::iter::empty());
            }
            let rows = $generator::new(scale.factor(), part.number(), part.of()).iter();
            batched(table, batch_rows, rows, |rows| Ok($columns(rows)))
        })*
    };
}

generate! {
    region: RegionGenerator, region_columns;
    nation: NationGenerator, nation_columns;
    supplier: SupplierGenerator, supplier_columns;
    customer: CustomerGenerator, customer_columns;
    part: PartGenerator, part_columns;
    partsupp: PartSuppGenerator, partsupp_columns;
    orders: OrderGenerator, orders_columns;
    lineitem: LineItemGenerator, lineitem_columns;
}

fn region_columns(rows: &[Region<'static>]) -> Vec<ArrayRef> {
    vec![int64(rows, |r| r.r_regionkey), text(rows, |r| r.r_name), text(rows, |r| r.r_comment)]
}

fn nation_columns(rows: &[Nation<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.n_nationkey),
        text(rows, |r| r.n_name),
        int64(rows, |r| r.n_regionkey),
        text(rows, |r| r.n_comment),
    ]
}

fn supplier_columns(rows: &[Supplier]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.s_suppkey),
        shown(rows, |r| &r.s_name),
        shown(rows, |r| &r.s_address),
        int64(rows, |r| r.s_nationkey),
        shown(rows, |r| &r.s_phone),
        decimal(rows, |r| r.s_acctbal),
        text(rows, |r| &r.s_comment),
    ]
}

fn customer_columns(rows: &[Customer<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.c_custkey),
        shown(rows, |r| &r.c_name),
        shown(rows, |r| &r.c_address),
        int64(rows, |r| r.c_nationkey),
        shown(rows, |r| &r.c_phone),
        decimal(rows, |r| r.c_acctbal),
        text(rows, |r| r.c_mktsegment),
        text(rows, |r| r.c_comment),
    ]
}

fn part_columns(rows: &[PartRow<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.p_partkey),
        shown(rows, |r| &r.p_name),
        shown(rows, |r| &r.p_mfgr),
        shown(rows, |r| &r.p_brand),
        text(rows, |r| r.p_type),
        int32(rows, |r| r.p_size),
        text(rows, |r| r.p_container),
        decimal(rows, |r| r.p_retailprice),
        text(rows, |r| r.p_comment),
    ]
}

fn partsupp_columns(rows: &[PartSupp<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.ps_partkey),
        int64(rows, |r| r.ps_suppkey),
        int32(rows, |r| r.ps_availqty),
        decimal(rows, |r| r.ps_supplycost),
        text(rows, |r| r.ps_comment),
    ]
}

fn orders_columns(rows: &[Order<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.o_orderkey),
        int64(rows, |r| r.o_custkey),
        text(rows, |r| r.o_orderstatus.as_str()),
        decimal(rows, |r| r.o_totalprice),
        date(rows, |r| r.o_orderdate),
        text(rows, |r| r.o_orderpriority),
        shown(rows, |r| &r.o_clerk),
        int32(rows, |r| r.o_shippriority),
        text(rows, |r| r.o_comment),
    ]
}

fn lineitem_columns(rows: &[LineItem<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.l_orderkey),
        int64(rows, |r| r.l_partkey),
        int64(rows, |r| r.l_suppkey),
        int32(rows, |r| r.l_linenumber),
        // The generator counts whole pieces.
        hundredths(rows, |r| r.l_quantity * 100),
        decimal(rows, |r| r.l_extendedprice),
        decimal(rows, |r| r.l_discount),
        decimal(rows, |r| r.l_tax),
        text(rows, |r| r.l_returnflag),
        text(rows, |r| r.l_linestatus),
        date(rows, |r| r.l_shipdate),
        date(rows, |r| r.l_commitdate),
        date(rows, |r| r.l_receiptdate),
        text(rows, |r| r.l_shipinstruct),
        text(rows, |r| r.l_shipmode),
        text(rows, |r| r.l_comment),
    ]
}
