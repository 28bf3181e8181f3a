//! Over random data, layouts and filters: what pruning and pushdown leave out was never asked for.

use std::sync::Arc;

use arrow::{
    array::{
        AsArray, Date32Array, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::Int32Type,
};
use datafusion::physical_plan::collect;
use iceberg::spec::{PrimitiveType, Transform};
use proptest::prelude::*;

use super::lake::{How, Lake, WAYS, optional, plan, required, session};

/// A row: number, float, text, day, moment, amount.
type Row = (Option<i32>, Option<f64>, Option<String>, Option<i32>, Option<i64>, Option<i16>);

fn row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![
        4 => (-3.0..3.0_f64).prop_map(|value| (value * 2.0).round() / 2.0),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => Just(f64::INFINITY),
    ];
    (
        prop::option::weighted(0.85, -6..6_i32),
        prop::option::weighted(0.85, float),
        prop::option::weighted(0.85, "[ab]{0,3}(long enough to be cut by writers)?é?"),
        prop::option::weighted(0.85, -40..40_i32),
        prop::option::weighted(0.85, (-50..50_i64).prop_map(|hours| hours * 1_800_000_000)),
        prop::option::weighted(0.85, any::<i16>()),
    )
}

fn layout() -> impl Strategy<Value = Vec<(&'static str, Transform)>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![("n", Transform::Identity)]),
        Just(vec![("n", Transform::Bucket(3)), ("d", Transform::Month)]),
        Just(vec![("n", Transform::Truncate(4))]),
        Just(vec![("s", Transform::Identity)]),
        Just(vec![("s", Transform::Truncate(2))]),
        Just(vec![("s", Transform::Bucket(4))]),
        Just(vec![("d", Transform::Identity)]),
        Just(vec![("d", Transform::Year)]),
        Just(vec![("d", Transform::Day)]),
        Just(vec![("t", Transform::Hour)]),
        Just(vec![("t", Transform::Day)]),
        Just(vec![("t", Transform::Bucket(2)), ("a", Transform::Truncate(1000))]),
        Just(vec![("a", Transform::Identity)]),
        Just(vec![("a", Transform::Bucket(3))]),
    ]
}

fn comparison() -> impl Strategy<Value = String> {
    let op = prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]);
    let text = "[ab]{0,3}";
    prop_oneof![
        (op.clone(), -7..7_i32).prop_map(|(op, n)| format!("n {op} {n}")),
        (op.clone(), -7..7_i32).prop_map(|(op, n)| format!("{n} {op} n + 1")),
        (op.clone(), -6..6_i32).prop_map(|(op, f)| format!("f {op} {}", f64::from(f) / 2.0)),
        (op.clone(), text).prop_map(|(op, s)| format!("s {op} '{s}'")),
        text.prop_map(|s| format!("s LIKE '{s}%'")),
        text.prop_map(|s| format!("s NOT LIKE '{s}%'")),
        (op.clone(), -41..41_i32).prop_map(|(op, d)| format!("d {op} DATE '1970-01-01' + {d}")),
        (op.clone(), -26..26_i64).prop_map(|(op, h)| format!("t {op} TIMESTAMP '1970-01-01' + INTERVAL '{h}' HOUR")),
        (op.clone(), any::<i16>()).prop_map(|(op, a)| format!("a {op} {}", f64::from(a) / 100.0)),
        (op, -41..41_i32).prop_map(|(op, d)| format!("CAST(t AS DATE) {op} DATE '1970-01-01' + {}", d / 20)),
        prop::collection::vec(-7..7_i32, 1..30)
            .prop_map(|list| { format!("n IN ({})", list.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")) }),
        prop::collection::vec(text, 1..4).prop_map(|list| format!("s NOT IN ('{}')", list.join("', '"))),
        prop::sample::select(vec!["n", "f", "s", "d", "t", "a", "e"]).prop_map(|column| format!("{column} IS NULL")),
        prop::sample::select(vec!["n", "f", "s", "d", "t", "a", "e"])
            .prop_map(|column| format!("{column} IS NOT NULL")),
        Just("isnan(f)".to_owned()),
        Just("e = 5".to_owned()),
        Just("n = a".to_owned()),
    ]
}

fn filter() -> impl Strategy<Value = String> {
    comparison().prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn batch(lake: &Lake, rows: &[Row], from: usize) -> RecordBatch {
    let ids: Int32Array = (from..from + rows.len()).map(|id| id as i32).collect::<Vec<_>>().into();
    let amounts = Decimal128Array::from(rows.iter().map(|row| row.5.map(i128::from)).collect::<Vec<_>>());
    RecordBatch::try_new(
        lake.arrow(),
        vec![
            Arc::new(ids),
            Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.2.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<Date32Array>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<TimestampMicrosecondArray>()),
            Arc::new(amounts.with_precision_and_scale(9, 2).unwrap()),
        ],
    )
    .unwrap()
}

async fn ids(lake: &Lake, table: &crate::iceberg::IcebergTable, how: How, filter: &str) -> Vec<i32> {
    let context = session(table, &lake.store, how);
    let plan = plan(&context, &format!("SELECT id FROM t WHERE {filter}")).await;
    let batches = collect(plan, context.task_ctx()).await.unwrap();
    let mut ids: Vec<i32> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

/// The rows that satisfy a filter, computed without any file: the oracle.
async fn expected(batches: &[RecordBatch], filter: &str) -> Vec<i32> {
    let context = datafusion::prelude::SessionContext::new();
    let schema = batches[0].schema();
    let with_e = |batch: &RecordBatch| {
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(Int32Array::new_null(batch.num_rows())));
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(arrow::datatypes::Field::new("e", arrow::datatypes::DataType::Int32, true)));
        RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), columns).unwrap()
    };
    let batches: Vec<_> = batches.iter().map(with_e).collect();
    let table = datafusion::datasource::MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    let found = context.sql(&format!("SELECT id FROM t WHERE {filter}")).await.unwrap().collect().await.unwrap();
    let mut ids: Vec<i32> =
        found.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]
    #[test]
    fn pruning_and_pushdown_change_no_answer(
        parts in prop::collection::vec(prop::collection::vec(row(), 1..12), 1..4),
        layout in layout(),
        group in 1usize..6,
        filters in prop::collection::vec(filter(), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fields = vec![
                required(1, "id", PrimitiveType::Int),
                optional(2, "n", PrimitiveType::Int),
                optional(3, "f", PrimitiveType::Double),
                optional(4, "s", PrimitiveType::String),
                optional(5, "d", PrimitiveType::Date),
                optional(6, "t", PrimitiveType::Timestamp),
                optional(7, "a", PrimitiveType::Decimal { precision: 9, scale: 2 }),
            ];
            let mut lake = Lake::new(fields.clone(), &layout);
            lake.group = group;
            let mut batches = Vec::new();
            let mut from = 0;
            for part in &parts {
                let batch = batch(&lake, part, from);
                from += part.len();
                lake.batch(&batch).await;
                batches.push(batch);
            }
            // A column that no file has.
            let more = fields.into_iter().chain([optional(8, "e", PrimitiveType::Int)]).collect();
            lake.evolve(more);
            let table = lake.table().await;
            for filter in &filters {
                let expected = expected(&batches, filter).await;
                for how in WAYS {
                    let found = ids(&lake, &table, how, filter).await;
                    prop_assert_eq!(&found, &expected, "{} by {:?} with {:?}", filter, layout, how);
                }
            }
            Ok(())
        })?;
    }
}
