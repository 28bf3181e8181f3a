//! What is read: pruning, groups, limits, statistics.

use datafusion::{
    common::{ScalarValue, stats::Precision},
    physical_plan::empty::EmptyExec,
};
use iceberg::spec::{DataContentType, ManifestWriterBuilder, PrimitiveType, Transform};
use rstest::rstest;
use serde_json::{Value, json};
use sqe_core::{ErrorKind, catalog::CatalogTable};

use super::lake::{How, LOCATION, Lake, files, optional, plan, query, required, rows, scans, session, to_json};

fn sales() -> Value {
    json!([
        {"id": 1, "region": "north", "at": "2024-01-31T23:59:59.999999", "amount": 10, "name": "anna"},
        {"id": 2, "region": "north", "at": "2024-02-01T00:00:00", "amount": 20, "name": "annika"},
        {"id": 3, "region": "south", "at": "2024-02-29T12:00:00", "amount": 15, "name": "bert"},
        {"id": 4, "region": null, "at": null, "amount": null, "name": null},
        {"id": 5, "region": "west", "at": "1969-12-31T23:00:00", "amount": -5, "name": "an"}
    ])
}

async fn sales_by(column: &str, transform: Transform) -> Lake {
    let mut lake = Lake::new(
        vec![
            required(1, "id", PrimitiveType::Long),
            optional(2, "region", PrimitiveType::String),
            optional(3, "at", PrimitiveType::Timestamp),
            optional(4, "amount", PrimitiveType::Int),
            optional(5, "name", PrimitiveType::String),
        ],
        &[(column, transform)],
    );
    lake.rows(sales()).await;
    // Without bounds, so that only partition values prune.
    for (_, _, file) in &mut lake.files {
        let mut bare = iceberg::spec::DataFileBuilder::default();
        *file = bare
            .content(DataContentType::Data)
            .file_path(file.file_path().to_owned())
            .file_format(file.file_format())
            .record_count(file.record_count())
            .file_size_in_bytes(file.file_size_in_bytes())
            .partition(file.partition().clone())
            .partition_spec_id(0)
            .build()
            .unwrap();
    }
    lake
}

#[rstest]
#[case("region", Transform::Identity, "region = 'north'", vec![1, 2], 1)]
#[case("region", Transform::Identity, "region > 'o' AND id < 9", vec![3, 5], 2)]
#[case("region", Transform::Identity, "region IS NULL", vec![4], 1)]
#[case("region", Transform::Identity, "region IS NOT NULL", vec![1, 2, 3, 5], 3)]
#[case("region", Transform::Identity, "region <> 'north'", vec![3, 5], 2)]
#[case("region", Transform::Identity, "region LIKE 'no%'", vec![1, 2], 1)]
#[case("at", Transform::Month, "at >= TIMESTAMP '2024-02-01'", vec![2, 3], 1)]
#[case("at", Transform::Month, "at < TIMESTAMP '2024-02-01'", vec![1, 5], 2)]
#[case("at", Transform::Day, "at = TIMESTAMP '2024-02-29 12:00:00'", vec![3], 1)]
#[case("at", Transform::Hour, "at BETWEEN TIMESTAMP '1969-12-31 22:00:00' AND TIMESTAMP '1970-01-01'", vec![5], 1)]
#[case("at", Transform::Year, "at IS NULL", vec![4], 1)]
#[case("at", Transform::Year, "CAST(at AS DATE) = DATE '2024-01-31'", vec![1], 1)]
#[case("id", Transform::Bucket(16), "id = 3", vec![3], 1)]
#[case("name", Transform::Bucket(64), "name = 'bert'", vec![3], 1)]
#[case("amount", Transform::Truncate(10), "amount = 15", vec![3], 1)]
#[case("amount", Transform::Truncate(10), "amount < 0", vec![5], 1)]
#[case("name", Transform::Truncate(2), "name = 'annika'", vec![2], 1)]
#[case("name", Transform::Truncate(3), "name = 'an'", vec![5], 1)]
#[case("name", Transform::Truncate(2), "upper(name) = 'BERT'", vec![3], 3)]
#[tokio::test]
async fn partition_values_prune_files_and_never_rows(
    #[case] column: &str,
    #[case] transform: Transform,
    #[case] filter: &str,
    #[case] expected: Vec<i64>,
    #[case] opened: usize,
) {
    let mut lake = sales_by(column, transform).await;
    let table = lake.table().await;
    let sql = format!("SELECT id FROM t WHERE {filter} ORDER BY id");
    let found = rows(&table, &lake.store, &sql).await;
    assert_eq!(found.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>(), expected);
    let how = How { partitions: 1, ..How::default() };
    let scan = plan(&session(&table, &lake.store, how), &sql).await;
    let most = lake.files.len();
    let counted = files(&scan).len();
    assert!(counted >= 1 && counted <= most);
    // The expectation counts at most as many files; an unprunable filter keeps all of them.
    if opened < most {
        assert_eq!(counted, opened, "of {most} files");
    } else {
        assert_eq!(counted, most);
    }
}

#[tokio::test]
async fn column_bounds_prune_files_of_unpartitioned_tables() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int), optional(2, "s", PrimitiveType::String)], &[]);
    for start in [0, 10, 20] {
        lake.rows(json!([{"id": start, "s": format!("{start:03}-a rather long text that is cut")},
                         {"id": start + 9, "s": format!("{:03}-a rather long text that is cut", start + 9)}]))
            .await;
    }
    let table = lake.table().await;
    let how = How { partitions: 1, ..How::default() };
    for (filter, opened, found) in [
        ("id = 10", 1, 1),
        ("id > 9", 2, 4),
        ("id = 100", 0, 0),
        ("id IS NULL", 0, 0),
        ("id + 1 = 11", 3, 1),
        ("id = 10 OR id = 29", 2, 2),
        ("NOT (id < 20)", 1, 2),
        ("s = '019-a rather long text that is cut'", 1, 1),
        ("s LIKE '02%'", 1, 2),
        ("s >= '029-a rather long text that is cut'", 1, 1),
    ] {
        let sql = format!("SELECT id FROM t WHERE {filter}");
        let scan = plan(&session(&table, &lake.store, how), &sql).await;
        let text = datafusion::physical_plan::displayable(scan.as_ref()).indent(true).to_string();
        assert_eq!(files(&scan).len(), opened, "{filter} in {text}");
        assert_eq!(to_json(&query(&table, &lake.store, how, &sql).await).len(), found, "{filter}");
    }
}

#[tokio::test]
async fn one_large_file_is_read_on_every_partition_and_each_row_once() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int)], &[]);
    lake.group = 2000;
    lake.rows((0..20_000).map(|id| json!({"id": id})).collect()).await;
    let table = lake.table().await;
    for partitions in [1, 2, 3, 4, 7] {
        let how = How { partitions, ..How::default() };
        let scan = plan(&session(&table, &lake.store, how), "SELECT id FROM t").await;
        assert_eq!(scans(&scan).len(), partitions);
        let sum =
            query(&table, &lake.store, how, "SELECT count(DISTINCT id) AS n, sum(id) AS s, count(id + 0) AS c FROM t");
        assert_eq!(to_json(&sum.await), [json!({"n": 20_000, "s": 199_990_000, "c": 20_000})]);
    }
}

#[tokio::test]
async fn a_limit_is_neither_multiplied_nor_lost() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int)], &[]);
    for start in [0, 100, 200] {
        lake.rows((start..start + 100).map(|id| json!({"id": id})).collect()).await;
    }
    let table = lake.table().await;
    for how in super::lake::WAYS {
        for (sql, expected) in [
            ("SELECT id FROM t LIMIT 7", 7),
            ("SELECT id FROM t LIMIT 150", 150),
            ("SELECT id FROM t WHERE id >= 250 LIMIT 60", 50),
            ("SELECT id FROM t WHERE id % 2 = 1 LIMIT 120", 120),
            ("SELECT id FROM t LIMIT 10 OFFSET 295", 5),
            ("SELECT id FROM t LIMIT 0", 0),
        ] {
            assert_eq!(to_json(&query(&table, &lake.store, how, sql).await).len(), expected, "{sql} {how:?}");
        }
    }
    let scan =
        plan(&session(&table, &lake.store, How { partitions: 1, ..How::default() }), "SELECT id FROM t LIMIT 7").await;
    assert_eq!(files(&scan).len(), 1);
}

#[tokio::test]
async fn tables_without_rows_give_an_empty_plan_of_the_right_columns() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int), optional(2, "s", PrimitiveType::String)], &[]);
    let never_written = lake.open();
    let committed = lake.table().await;
    for table in [never_written, committed] {
        let context = session(&table, &lake.store, How::default());
        let scan = plan(&context, "SELECT s FROM t").await;
        assert!(scan.is::<EmptyExec>());
        assert_eq!(scan.schema().field(0).data_type(), table.schema().field(1).data_type());
        assert_eq!(rows(&table, &lake.store, "SELECT count(*) AS n FROM t").await, [json!({"n": 0})]);
    }
}

#[tokio::test]
async fn statistics_are_exact_only_where_they_can_be() {
    let mut lake = Lake::new(
        vec![
            required(1, "id", PrimitiveType::Int),
            optional(2, "s", PrimitiveType::String),
            optional(3, "f", PrimitiveType::Double),
            optional(4, "r", PrimitiveType::String),
        ],
        &[("r", Transform::Identity)],
    );
    lake.rows(json!([{"id": 1, "s": "a", "f": 1.0, "r": "x"}, {"id": 5, "s": null, "f": 2.0, "r": "x"}])).await;
    lake.rows(json!([{"id": 9, "s": "c", "f": 3.0, "r": "y"}])).await;
    let table = lake.table().await;
    let scan = plan(&session(&table, &lake.store, How::default()), "SELECT * FROM t").await;
    let found = scan.partition_statistics(None).unwrap();
    assert_eq!(found.num_rows, Precision::Exact(3));
    let [id, s, f, r] = found.column_statistics.as_slice() else { panic!("four columns") };
    assert_eq!((&id.min_value, &id.max_value), (&exact(1), &exact(9)));
    assert_eq!(id.null_count, Precision::Exact(0));
    assert_eq!(s.null_count, Precision::Exact(1));
    assert!(matches!(s.min_value, Precision::Inexact(_)));
    assert!(matches!(f.max_value, Precision::Inexact(_)));
    assert_eq!(r.min_value, Precision::Exact(ScalarValue::Utf8View(Some("x".into()))));
    let filtered = plan(&session(&table, &lake.store, How::default()), "SELECT * FROM t WHERE id > 1").await;
    assert!(!matches!(filtered.partition_statistics(None).unwrap().num_rows, Precision::Exact(_)));
}

fn exact(value: i32) -> Precision<ScalarValue> {
    Precision::Exact(ScalarValue::Int32(Some(value)))
}

#[tokio::test]
async fn identity_partition_values_stand_in_for_columns_that_files_do_not_store() {
    let fields = || vec![required(1, "id", PrimitiveType::Int), optional(2, "r", PrimitiveType::String)];
    let mut lake = Lake::new(fields(), &[("r", Transform::Identity)]);
    lake.rows(json!([{"id": 1, "r": "x"}])).await;
    lake.rows(json!([{"id": 2, "r": null}])).await;
    // The same files again, now without the column, as of a migrated Hive table.
    let mut bare = Lake::new(vec![required(1, "id", PrimitiveType::Int)], &[]);
    bare.rows(json!([{"id": 1}])).await;
    bare.rows(json!([{"id": 2}])).await;
    for ((_, _, file), (_, _, without)) in lake.files.iter_mut().zip(&bare.files) {
        let bytes = bare.io.new_input(without.file_path()).unwrap().read().await.unwrap();
        let mut replaced = iceberg::spec::DataFileBuilder::default();
        let new = replaced
            .content(DataContentType::Data)
            .file_path(file.file_path().to_owned())
            .file_format(file.file_format())
            .record_count(1)
            .file_size_in_bytes(bytes.len() as u64)
            .partition(file.partition().clone())
            .partition_spec_id(0)
            .build()
            .unwrap();
        lake.io.new_output(new.file_path()).unwrap().write(bytes).await.unwrap();
        *file = new;
    }
    let table = lake.table().await;
    let all = rows(&table, &lake.store, "SELECT id, r FROM t ORDER BY id").await;
    assert_eq!(all, [json!({"id": 1, "r": "x"}), json!({"id": 2})]);
    assert_eq!(rows(&table, &lake.store, "SELECT id FROM t WHERE r = 'x'").await, [json!({"id": 1})]);
    assert_eq!(rows(&table, &lake.store, "SELECT id FROM t WHERE r IS NULL").await, [json!({"id": 2})]);
    assert_eq!(rows(&table, &lake.store, "SELECT r FROM t WHERE id = 1").await, [json!({"r": "x"})]);
}

#[tokio::test]
async fn tables_with_live_delete_files_are_refused_and_without_are_read() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int)], &[]);
    lake.rows(json!([{"id": 1}])).await;
    let clean = lake.table().await;
    assert_eq!(rows(&clean, &lake.store, "SELECT id FROM t").await.len(), 1);

    let (spec, schema, data) = lake.files[0].clone();
    let output = lake.io.new_output(format!("{LOCATION}/metadata/d.avro")).unwrap();
    let mut deletes =
        ManifestWriterBuilder::new(output, Some(7), schema.clone(), spec.as_ref().clone()).build_v2_deletes();
    let mut delete = iceberg::spec::DataFileBuilder::default();
    let delete = delete
        .content(DataContentType::PositionDeletes)
        .file_path(format!("{LOCATION}/data/delete.parquet"))
        .file_format(data.file_format())
        .record_count(1)
        .file_size_in_bytes(1)
        .partition_spec_id(0)
        .build()
        .unwrap();
    deletes.add_file(delete, 7).unwrap();
    let output = lake.io.new_output(format!("{LOCATION}/metadata/m.avro")).unwrap();
    let mut live = ManifestWriterBuilder::new(output, Some(7), schema, spec.as_ref().clone()).build_v2_data();
    live.add_file(data, 7).unwrap();
    let manifests = vec![live.write_manifest_file().await.unwrap(), deletes.write_manifest_file().await.unwrap()];
    let table = lake.commit(7, 7, manifests).await;
    let context = session(&table, &lake.store, How::default());
    let error = context.sql("SELECT id FROM t").await.unwrap().create_physical_plan().await.unwrap_err();
    let error = sqe_core::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("merge-on-read"), "{error}");
}

#[tokio::test]
async fn partitions_of_several_specs_prune_each_by_its_own() {
    let mut lake = Lake::new(
        vec![required(1, "id", PrimitiveType::Int), optional(2, "r", PrimitiveType::String)],
        &[("r", Transform::Identity)],
    );
    lake.rows(json!([{"id": 1, "r": "x"}, {"id": 2, "r": "y"}])).await;
    let spec = iceberg::spec::UnboundPartitionSpec::builder()
        .add_partition_field(1, "id_bucket", Transform::Bucket(8))
        .unwrap()
        .build();
    lake.change(|builder| builder.add_default_partition_spec(spec).unwrap());
    lake.rows(json!([{"id": 3, "r": "x"}])).await;
    let table = lake.table().await;
    assert_eq!(
        rows(&table, &lake.store, "SELECT id FROM t WHERE r = 'x' ORDER BY id").await,
        [json!({"id": 1}), json!({"id": 3})]
    );
    let how = How { partitions: 1, ..How::default() };
    let scan = plan(&session(&table, &lake.store, how), "SELECT id FROM t WHERE id = 2").await;
    assert_eq!(files(&scan).len(), 1);
}

/// A counter of the scans in a plan that ran.
fn counted(plan: &std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>, name: &str) -> usize {
    use datafusion::physical_plan::metrics::MetricValue;
    let own: usize = plan.metrics().map_or(0, |metrics| {
        let pruned = |value: &MetricValue| match value {
            MetricValue::PruningMetrics { name: found, pruning_metrics } if found == name => pruning_metrics.pruned(),
            _ => 0,
        };
        metrics.iter().map(|metric| pruned(metric.value())).sum()
    });
    own + plan.children().into_iter().map(|child| counted(child, name)).sum::<usize>()
}

#[rstest]
#[case("renamed < 250")]
#[case("promoted >= 950")]
#[case("zoned < TIMESTAMP '1970-01-01 00:02:00Z'")]
#[case("text >= 'v0900'")]
#[case("money < 1.00")]
#[case("renamed = 77 AND added IS NULL")]
#[tokio::test]
async fn row_groups_are_pruned_also_of_columns_that_were_renamed_or_promoted(#[case] filter: &str) {
    let decimal = |precision| PrimitiveType::Decimal { precision, scale: 2 };
    let mut lake = Lake::new(
        vec![
            required(1, "id", PrimitiveType::Int),
            optional(2, "promoted", PrimitiveType::Int),
            optional(3, "zoned", PrimitiveType::Timestamptz),
            optional(4, "text", PrimitiveType::String),
            optional(5, "money", decimal(7)),
        ],
        &[],
    );
    lake.group = 100;
    let row = |id: i32| {
        json!({"id": id, "promoted": id, "zoned": format!("1970-01-01T00:{:02}:{:02}Z", id / 60, id % 60),
               "text": format!("v{id:04}"), "money": format!("{}.{:02}", id / 100, id % 100)})
    };
    lake.rows((0..1000).map(row).collect()).await;
    lake.evolve(vec![
        required(1, "renamed", PrimitiveType::Int),
        optional(2, "promoted", PrimitiveType::Long),
        optional(3, "zoned", PrimitiveType::Timestamptz),
        optional(4, "text", PrimitiveType::String),
        optional(5, "money", decimal(12)),
        optional(6, "added", PrimitiveType::Int),
    ]);
    let table = lake.table().await;
    for how in [super::lake::WAYS[1], super::lake::WAYS[2]] {
        let context = session(&table, &lake.store, how);
        let scan = plan(&context, &format!("SELECT renamed FROM t WHERE {filter}")).await;
        let found = datafusion::physical_plan::collect(std::sync::Arc::clone(&scan), context.task_ctx()).await.unwrap();
        assert!(!to_json(&found).is_empty());
        let pruned = counted(&scan, "row_groups_pruned_statistics");
        assert!(pruned >= 7, "{pruned} of 10 row groups pruned by {filter} with {how:?}");
    }
}

#[tokio::test]
async fn data_files_outside_of_the_leased_folders_are_refused() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int)], &[]);
    lake.rows(json!([{"id": 1}])).await;
    let table = lake.table().await;
    let context = session(&table, &lake.store, How::default());
    let state = context.state();
    let scan = |prefixes: Vec<String>| {
        let (table, state, store) = (table.clone(), state.clone(), lake.store.clone());
        async move {
            let input = super::super::ScanInput {
                table: &table,
                projection: None,
                filters: &[],
                limit: None,
                state: &state,
                prefixes: &prefixes,
                store_url: super::lake::url(),
                store,
            };
            super::super::scan_input(input).await
        }
    };
    assert!(scan(vec![format!("{LOCATION}/")]).await.is_ok());
    for other in [vec![], vec!["file:///lake/t2/".to_owned()], vec!["s3://bucket/lake/t/".to_owned()]] {
        assert_eq!(scan(other).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
}
