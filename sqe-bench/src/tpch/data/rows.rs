//! From the generators' rows to batches, table by table, columns in the order of the schema.

use arrow::{array::ArrayRef, record_batch::RecordBatch};
use sqe_core::{Error, Result};
use tpchgen::generators::{
    Customer, CustomerGenerator, LineItem, LineItemGenerator, Nation, NationGenerator, Order, OrderGenerator,
    Part as PartRow, PartGenerator, PartSupp, PartSuppGenerator, Region, RegionGenerator, Supplier, SupplierGenerator,
};

use super::{
    Part,
    columns::{date, decimal, hundredths, int32, int64, shown, text},
    schema::schema,
};
use crate::tpch::{Scale, Table};

pub(super) type BoxedBatches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

pub(super) fn generate(table: Table, scale: Scale, batch_rows: usize, Part { number, of }: Part) -> BoxedBatches {
    let scale = scale.factor();
    // The generators of the two fixed tables ignore parts and would repeat themselves.
    let absent = number > 1;
    match table {
        Table::Region if absent => Box::new(std::iter::empty()),
        Table::Nation if absent => Box::new(std::iter::empty()),
        Table::Region => batched(table, batch_rows, RegionGenerator::new(scale, number, of).iter(), region),
        Table::Nation => batched(table, batch_rows, NationGenerator::new(scale, number, of).iter(), nation),
        Table::Supplier => batched(table, batch_rows, SupplierGenerator::new(scale, number, of).iter(), supplier),
        Table::Customer => batched(table, batch_rows, CustomerGenerator::new(scale, number, of).iter(), customer),
        Table::Part => batched(table, batch_rows, PartGenerator::new(scale, number, of).iter(), part),
        Table::Partsupp => batched(table, batch_rows, PartSuppGenerator::new(scale, number, of).iter(), partsupp),
        Table::Orders => batched(table, batch_rows, OrderGenerator::new(scale, number, of).iter(), orders),
        Table::Lineitem => batched(table, batch_rows, LineItemGenerator::new(scale, number, of).iter(), lineitem),
    }
}

fn batched<R: 'static>(
    table: Table,
    batch_rows: usize,
    mut rows: impl Iterator<Item = R> + Send + 'static,
    columns: fn(&[R]) -> Vec<ArrayRef>,
) -> BoxedBatches {
    let schema = schema(table);
    Box::new(std::iter::from_fn(move || {
        let chunk: Vec<R> = rows.by_ref().take(batch_rows).collect();
        if chunk.is_empty() {
            return None;
        }
        let batch = RecordBatch::try_new(schema.clone(), columns(&chunk));
        Some(
            batch.map_err(|error| {
                Error::internal(format!("a batch of {table} does not fit its schema")).with_source(error)
            }),
        )
    }))
}

fn region(rows: &[Region<'static>]) -> Vec<ArrayRef> {
    vec![int64(rows, |r| r.r_regionkey), text(rows, |r| r.r_name), text(rows, |r| r.r_comment)]
}

fn nation(rows: &[Nation<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.n_nationkey),
        text(rows, |r| r.n_name),
        int64(rows, |r| r.n_regionkey),
        text(rows, |r| r.n_comment),
    ]
}

fn supplier(rows: &[Supplier]) -> Vec<ArrayRef> {
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

fn customer(rows: &[Customer<'static>]) -> Vec<ArrayRef> {
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

fn part(rows: &[PartRow<'static>]) -> Vec<ArrayRef> {
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

fn partsupp(rows: &[PartSupp<'static>]) -> Vec<ArrayRef> {
    vec![
        int64(rows, |r| r.ps_partkey),
        int64(rows, |r| r.ps_suppkey),
        int32(rows, |r| r.ps_availqty),
        decimal(rows, |r| r.ps_supplycost),
        text(rows, |r| r.ps_comment),
    ]
}

fn orders(rows: &[Order<'static>]) -> Vec<ArrayRef> {
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

fn lineitem(rows: &[LineItem<'static>]) -> Vec<ArrayRef> {
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
