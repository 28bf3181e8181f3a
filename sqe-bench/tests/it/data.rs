use arrow::{array::RecordBatch, compute::concat_batches};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use rstest::rstest;
use sqe_bench::{
    answer::{Answer, Value},
    compare::compare,
    oracle::{Options, Oracle},
    suite::{
        Scale, Table,
        data::{self, Part},
    },
    tpch::{CUSTOMER, LINEITEM, NATION, ORDERS, PART, PARTSUPP, REGION, SUITE, SUPPLIER},
};

use crate::fixture::python;

fn scale() -> Scale {
    Scale::new(0.01).unwrap()
}

fn whole(table: Table) -> RecordBatch {
    let batches: Vec<_> = data::batches(table, scale(), 1000).unwrap().map(Result::unwrap).collect();
    concat_batches(&table.schema(), &batches).unwrap()
}

#[rstest]
#[case(REGION, 5)]
#[case(NATION, 25)]
#[case(SUPPLIER, 100)]
#[case(CUSTOMER, 1_500)]
#[case(PART, 2_000)]
#[case(PARTSUPP, 8_000)]
#[case(ORDERS, 15_000)]
// What dbgen makes at this scale; the specification gives no number.
#[case(LINEITEM, 60_175)]
fn a_table_has_the_rows_of_the_specification_in_batches_of_the_asked_size(#[case] table: Table, #[case] rows: usize) {
    let sizes: Vec<usize> =
        data::batches(table, scale(), 1000).unwrap().map(|batch| batch.unwrap().num_rows()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), rows);
    let (last, full) = sizes.split_last().unwrap();
    assert!(full.iter().all(|size| *size == 1000) && *last > 0);
    if let Some(expected) = table.rows(scale()) {
        assert_eq!(expected, rows as u64);
    }
}

#[test]
fn the_smallest_scale_has_rows_in_every_table() {
    let smallest = Scale::new(0.001).unwrap();
    for table in SUITE.tables().iter().copied() {
        let rows: usize = data::batches(table, smallest, 100).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert!(rows > 0 && table.rows(smallest).is_none_or(|expected| expected == rows as u64), "{table}: {rows}");
    }
}

#[test]
fn every_run_and_every_division_into_parts_gives_the_same_rows() {
    for table in SUITE.tables().iter().copied() {
        let all = whole(table);
        assert_eq!(all, whole(table), "{table} again");
        for parts in [2, 3, 7] {
            let batches: Vec<_> = (1..=parts)
                .flat_map(|part| data::part(table, scale(), 999, Part::new(part, parts).unwrap()).unwrap())
                .map(Result::unwrap)
                .collect();
            assert_eq!(all, concat_batches(&all.schema(), &batches).unwrap(), "{table} in {parts} parts");
        }
    }
}

#[test]
fn a_share_that_is_none_is_refused() {
    for (number, of) in [(0, 1), (2, 1), (1, 0), (usize::MAX, usize::MAX)] {
        assert!(Part::new(number, of).is_err(), "{number} of {of}");
    }
    assert!(Part::new(2, 2).is_ok());
    assert!(data::batches(NATION, scale(), 0).is_err());
    assert!(data::provider(NATION, scale(), 0).is_err());
}

#[tokio::test]
async fn streams_have_the_rows_of_the_batches() {
    let all = whole(ORDERS);
    let one: Vec<_> = data::stream(ORDERS, scale()).try_collect().await.unwrap();
    assert_eq!(all, concat_batches(&all.schema(), &one).unwrap());
    let mut three = Vec::new();
    for stream in data::streams(ORDERS, scale(), 3).unwrap() {
        three.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    }
    assert_eq!(all, concat_batches(&all.schema(), &three).unwrap());
}

#[tokio::test]
async fn a_stream_that_nobody_reads_generates_a_few_batches_and_ends_when_dropped() {
    let mut stream = data::stream(LINEITEM, Scale::new(1.0).unwrap());
    let first = stream.try_next().await.unwrap().unwrap();
    assert_eq!(first.num_rows(), 8192);
    // Dropping the runtime waits for blocking tasks: if this one generated on, all six million rows, the test would
    // take minutes.
    drop(stream);
}

#[tokio::test]
async fn a_table_provider_answers_sql_on_as_many_partitions() {
    let context = SessionContext::new();
    context.register_table("orders", data::provider(ORDERS, scale(), 3).unwrap()).unwrap();
    let plan = context.table("orders").await.unwrap().create_physical_plan().await.unwrap();
    assert_eq!(plan.properties().partitioning.partition_count(), 3);
    let batches =
        context.sql("select count(*), count(distinct o_orderkey) from orders").await.unwrap().collect().await.unwrap();
    let answer = Answer::from_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(answer.rows, [[Value::Integer(15_000), Value::Integer(15_000)]]);
}

/// Rows as the specification's own tool writes them, comments included.
#[rstest]
#[case(
    REGION,
    "0|AFRICA|lar deposits. blithely final packages cajole. regular waters are final requests. regular accounts are according to |"
)]
#[case(
    SUPPLIER,
    "1|Supplier#000000001| N kD4on9OM Ipw3,gf0JBoQDd7tgrzrddZ|17|27-918-335-1736|5755.94|each slyly above the careful|"
)]
#[case(NATION, "0|ALGERIA|0| haggle. carefully final deposits detect slyly agai|")]
#[case(
    CUSTOMER,
    "1|Customer#000000001|IVhzIApeRb ot,c,E|15|25-989-741-2988|711.56|BUILDING|to the even, regular platelets. regular, ironic epitaphs nag e|"
)]
fn the_first_row_is_that_of_the_official_generator(#[case] table: Table, #[case] expected: &str) {
    let first = whole(table).slice(0, 1);
    let row = &Answer::from_batches(&first.schema(), &[first]).unwrap().rows[0];
    let written = row.iter().map(|value| match value {
        Value::Text(text) => format!("{text}|"),
        other => format!("{other}|"),
    });
    assert_eq!(written.collect::<String>(), expected);
}

/// All columns but comments and addresses: there DuckDB's generator goes its own way.
#[tokio::test]
async fn every_row_is_the_one_that_the_generator_of_duckdb_makes() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 2).with_extension("tpch")).await.unwrap();
    oracle.execute("CALL dbgen(sf = 0.01)").await.unwrap();
    for table in SUITE.tables().iter().copied() {
        let ours = whole(table);
        let schema = ours.schema();
        let kept = |name: &str| !name.ends_with("_comment") && !name.ends_with("_address");
        let columns: Vec<usize> =
            (0..schema.fields().len()).filter(|index| kept(schema.field(*index).name())).collect();
        assert!(columns.len() + 2 >= schema.fields().len());
        let ours = ours.project(&columns).unwrap();
        let ours = Answer::from_batches(&ours.schema(), &[ours]).unwrap();
        let (theirs, _) = oracle.query(&format!("SELECT {} FROM {table}", ours.columns.join(", "))).await.unwrap();
        assert_eq!(ours.rows.len(), theirs.rows.len(), "{table}");
        compare(&theirs, &ours, None).unwrap_or_else(|difference| panic!("{table}: {difference}"));
    }
}
