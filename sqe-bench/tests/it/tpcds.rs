use arrow::{array::RecordBatch, compute::concat_batches};
use rstest::rstest;
use sqe_bench::{
    answer::Answer,
    compare::{Ordering, compare},
    oracle::{Options, Oracle},
    suite::{
        Scale, Table,
        data::{self, Part},
    },
    tpcds::{
        CUSTOMER, CUSTOMER_DEMOGRAPHICS, DATE_DIM, HOUSEHOLD_DEMOGRAPHICS, INCOME_BAND, ITEM, PROMOTION, REASON,
        SHIP_MODE, STORE_SALES, SUITE, TIME_DIM, WAREHOUSE, WEB_SALES,
    },
};

use crate::fixture::python;

fn scale() -> Scale {
    Scale::new(0.01).unwrap()
}

fn whole(table: Table) -> RecordBatch {
    let batches: Vec<_> = data::batches(table, scale(), 1000).unwrap().map(Result::unwrap).collect();
    concat_batches(&table.schema(), &batches).unwrap()
}

fn parts(table: Table, of: usize) -> RecordBatch {
    let batches: Vec<_> = (1..=of)
        .flat_map(|number| data::part(table, scale(), 999, Part::new(number, of).unwrap()).unwrap())
        .map(Result::unwrap)
        .collect();
    concat_batches(&table.schema(), &batches).unwrap()
}

/// The tables that are small enough to be made several times without a compiler's optimisations.
fn small_tables() -> impl Iterator<Item = Table> {
    let rows = |table: &Table| table.rows(scale()).unwrap_or(if *table == STORE_SALES { 120_000 } else { 90_000 });
    SUITE.tables().iter().copied().filter(move |table| rows(table) < 30_000 || *table == WEB_SALES)
}

#[test]
fn tables_have_the_rows_of_the_generator_and_every_division_into_parts_gives_the_same() {
    assert!(small_tables().count() > 12);
    for table in small_tables() {
        let all = whole(table);
        assert!(all.num_rows() > 0, "{table}");
        if let Some(rows) = table.rows(scale()) {
            assert_eq!(all.num_rows() as u64, rows, "{table}");
        }
        for of in [1, 2, 7] {
            assert_eq!(all, parts(table, of), "{table} in {of} parts");
        }
    }
}

#[test]
fn a_large_table_is_made_one_batch_at_a_time() {
    for table in [CUSTOMER_DEMOGRAPHICS, STORE_SALES] {
        let mut batches = data::batches(table, Scale::new(100_000.0).unwrap(), 500).unwrap();
        assert_eq!(batches.next().unwrap().unwrap().num_rows(), 500, "{table}");
    }
}

/// Rows as the specification's own tool writes them.
#[rstest]
#[case(REASON, "1|AAAAAAAABAAAAAAA|Package was damaged|")]
#[case(INCOME_BAND, "1|0|10000|")]
#[case(HOUSEHOLD_DEMOGRAPHICS, "1|2|0-500|0|0|")]
fn the_first_row_is_that_of_the_official_generator(#[case] table: Table, #[case] expected: &str) {
    let first = whole(table).slice(0, 1);
    let row = &Answer::from_batches(&first.schema(), &[first]).unwrap().rows[0];
    let written = row.iter().map(|value| format!("{}|", value.to_string().trim_matches('"')));
    assert_eq!(written.collect::<String>(), expected);
}

/// DuckDB's generator goes its own way in many columns and, at fractions of a scale, in the number of rows. What it makes
/// the same is compared: every type of column is among it.
#[tokio::test]
async fn rows_are_those_that_the_generator_of_duckdb_makes() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 2).with_extension("tpcds")).await.unwrap();
    oracle.execute("CALL dsdgen(sf = 0.01)").await.unwrap();
    let differ = ["c_current_cdemo_sk", "c_current_addr_sk", "c_preferred_cust_flag", "p_item_sk", "p_channel_details"];
    for table in [DATE_DIM, TIME_DIM, HOUSEHOLD_DEMOGRAPHICS, INCOME_BAND, SHIP_MODE, WAREHOUSE, CUSTOMER, PROMOTION] {
        let ours = whole(table);
        let schema = ours.schema();
        let columns: Vec<usize> = (0..schema.fields().len())
            .filter(|index| !differ.contains(&schema.field(*index).name().as_str()))
            .collect();
        let ours = ours.project(&columns).unwrap();
        let ours = Answer::from_batches(&ours.schema(), &[ours]).unwrap();
        // There text that is missing is empty; `dsdgen` writes the same for both.
        let column = |name: &String| match schema.field_with_name(name).unwrap().data_type() {
            arrow::datatypes::DataType::Utf8 => format!("nullif({name}, '') AS {name}"),
            _ => name.clone(),
        };
        let columns: Vec<String> = ours.columns.iter().map(column).collect();
        let (theirs, _) = oracle.query(&format!("SELECT {} FROM {table}", columns.join(", "))).await.unwrap();
        assert_eq!(ours.rows.len(), theirs.rows.len(), "{table}");
        compare(&theirs, &ours, None).unwrap_or_else(|difference| panic!("{table}: {difference}"));
    }
}

/// On DuckDB's own data, where the parameters of the validation find something for nearly all of them.
#[tokio::test]
async fn our_text_of_the_queries_asks_what_duckdbs_own_text_asks() {
    let Some(python) = python() else { return };
    let oracle = Oracle::start(&Options::new(python, 2).with_extension("tpcds")).await.unwrap();
    oracle.execute("CALL dsdgen(sf = 0.2)").await.unwrap();
    let mut vacuous = Vec::new();
    for id in SUITE.ids() {
        let sql = SUITE.query(id, Scale::new(1.0).unwrap()).unwrap();
        let (ours, _) = oracle.query(&sql).await.unwrap();
        let theirs = oracle.execute(&format!("PRAGMA tpcds({id})")).await.unwrap();
        let ordering = Ordering::of(&sql, &ours.columns).unwrap();
        compare(&theirs, &ours, ordering.as_ref()).unwrap_or_else(|difference| panic!("query {id}: {difference}"));
        if theirs.is_vacuous() {
            vacuous.push(id);
        }
    }
    assert!(vacuous.len() <= 10, "{vacuous:?}");
}

#[test]
fn from_scale_1_on_the_parameters_are_those_of_the_validation() {
    let text = |id: u32, factor: f64| SUITE.query(id, Scale::new(factor).unwrap()).unwrap();
    let other: Vec<u32> = SUITE.ids().filter(|id| text(*id, 1.0) != text(*id, 0.01)).collect();
    assert_eq!(other, [8, 10, 23, 32, 37, 41, 44, 58, 64, 82, 83, 84, 85, 88, 90, 91, 92, 96]);
    assert!(SUITE.ids().all(|id| text(id, 1.0) == text(id, 1000.0) && text(id, 0.001) == text(id, 0.99)));
    assert!(text(58, 1.0).contains("'2000-01-03'") && text(58, 0.01).contains("'2001-11-27'"));
}

#[test]
fn the_number_of_rows_tells_no_scale_where_several_have_the_same() {
    assert_eq!(ITEM.rows(Scale::new(0.01).unwrap()), ITEM.rows(Scale::new(0.1).unwrap()));
    assert!(SUITE.tables().iter().all(|table| table.rows(scale()).is_none_or(|rows| table.scale_of(rows).is_none())));
    let customer = sqe_bench::tpch::CUSTOMER;
    assert_eq!(customer.scale_of(1_500), Some(scale()));
}
