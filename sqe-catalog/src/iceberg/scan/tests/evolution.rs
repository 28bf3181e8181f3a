//! Columns are found by field id, whatever happened to the schema since a file was written.

use std::sync::Arc;

use arrow::{
    array::{Float64Array, Int32Array, RecordBatch},
    datatypes::{DataType, Field, Schema},
};
use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, FormatVersion, ListType, Literal, MapType, NestedField, PrimitiveType, StructType,
    Type,
};
use parquet::arrow::ArrowWriter;
use serde_json::json;
use sqe_core::{ErrorKind, catalog::CatalogTable};

use super::lake::{How, Lake, optional, query, required, rows, session};

#[tokio::test]
async fn renamed_added_dropped_and_reordered_columns_keep_their_values() {
    let mut lake = Lake::new(
        vec![
            required(1, "a", PrimitiveType::Int),
            optional(2, "b", PrimitiveType::String),
            optional(3, "c", PrimitiveType::String),
        ],
        &[],
    );
    lake.rows(json!([{"a": 1, "b": "b1", "c": "c1"}, {"a": 2, "b": null, "c": "c2"}])).await;
    // `b` and `c` swap their names, a new column takes the name of the dropped `a`, and `id` is what `a` was.
    lake.evolve(vec![
        optional(3, "b", PrimitiveType::String),
        required(1, "id", PrimitiveType::Int),
        optional(4, "a", PrimitiveType::Int),
        optional(2, "c", PrimitiveType::String),
    ]);
    lake.rows(json!([{"b": "c3", "id": 3, "a": 30, "c": "b3"}])).await;
    let table = lake.table().await;
    let all = rows(&table, &lake.store, "SELECT * FROM t ORDER BY id").await;
    assert_eq!(
        all,
        [
            json!({"b": "c1", "id": 1, "c": "b1"}),
            json!({"b": "c2", "id": 2}),
            json!({"b": "c3", "id": 3, "a": 30, "c": "b3"})
        ]
    );
    let renamed = rows(&table, &lake.store, "SELECT id FROM t WHERE c = 'b1'").await;
    assert_eq!(renamed, [json!({"id": 1})]);
    let old_name = rows(&table, &lake.store, "SELECT id FROM t WHERE b = 'b1'").await;
    assert_eq!(old_name, Vec::<serde_json::Value>::new());
    let added = rows(&table, &lake.store, "SELECT id FROM t WHERE a IS NULL ORDER BY id").await;
    assert_eq!(added, [json!({"id": 1}), json!({"id": 2})]);
    let counted = rows(&table, &lake.store, "SELECT count(*) AS n, count(a) AS a, min(a) AS low FROM t").await;
    assert_eq!(counted, [json!({"n": 3, "a": 1, "low": 30})]);
}

#[tokio::test]
async fn a_column_dropped_and_added_again_starts_empty() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int), optional(2, "x", PrimitiveType::Int)], &[]);
    lake.rows(json!([{"id": 1, "x": 7}])).await;
    lake.evolve(vec![required(1, "id", PrimitiveType::Int)]);
    lake.evolve(vec![required(1, "id", PrimitiveType::Int), optional(3, "x", PrimitiveType::Int)]);
    lake.rows(json!([{"id": 2, "x": 8}])).await;
    let table = lake.table().await;
    let all = rows(&table, &lake.store, "SELECT id, x FROM t ORDER BY id").await;
    assert_eq!(all, [json!({"id": 1}), json!({"id": 2, "x": 8})]);
    let none = rows(&table, &lake.store, "SELECT id FROM t WHERE x = 7").await;
    assert_eq!(none, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn promoted_types_read_old_files_with_their_values() {
    let decimal = |precision| PrimitiveType::Decimal { precision, scale: 2 };
    let mut lake = Lake::new(
        vec![
            optional(1, "n", PrimitiveType::Int),
            optional(2, "f", PrimitiveType::Float),
            optional(3, "d", decimal(5)),
        ],
        &[],
    );
    lake.rows(json!([{"n": -5, "f": 0.5, "d": "1.25"}, {"n": 7, "f": 1.5, "d": null}])).await;
    lake.evolve(vec![
        optional(1, "n", PrimitiveType::Long),
        optional(2, "f", PrimitiveType::Double),
        optional(3, "d", decimal(20)),
    ]);
    lake.rows(json!([{"n": 5_000_000_000_i64, "f": 2.5, "d": "123456789.00"}])).await;
    let table = lake.table().await;
    let all = rows(&table, &lake.store, "SELECT n, f, d * 100 AS d FROM t ORDER BY n").await;
    assert_eq!(all[0]["n"], -5);
    assert_eq!(all[2]["n"], 5_000_000_000_i64);
    assert_eq!(all[0]["f"], 0.5);
    for (filter, expected) in [
        ("n = -5", 1),
        ("n < 6", 1),
        ("n > 4000000000", 1),
        ("f <= 1.5", 2),
        ("f > 1.0", 2),
        ("d = 1.25", 1),
        ("d > 1000", 1),
        ("n IN (7, 5000000000)", 2),
    ] {
        let found = rows(&table, &lake.store, &format!("SELECT n FROM t WHERE {filter}")).await;
        assert_eq!(found.len(), expected, "{filter}");
    }
    assert_eq!(table.schema().field(0).data_type(), &DataType::Int64);
}

fn nested(renamed: bool) -> Vec<NestedField> {
    let text = |id, name: &str| optional(id, name, PrimitiveType::String);
    let (x, y) = if renamed { ("y", "x") } else { ("x", "y") };
    let mut inner = vec![Arc::new(optional(4, x, PrimitiveType::Int)), Arc::new(text(5, y))];
    let mut item = vec![Arc::new(optional(8, "p", PrimitiveType::Int)), Arc::new(text(9, "q"))];
    if renamed {
        inner.reverse();
        inner.push(Arc::new(optional(20, "z", PrimitiveType::Int)));
        item = vec![Arc::new(optional(21, "q", PrimitiveType::Int)), Arc::new(optional(8, "r", PrimitiveType::Long))];
    }
    let element = NestedField::list_element(7, Type::Struct(StructType::new(item)), false);
    let value = Type::Primitive(if renamed { PrimitiveType::Long } else { PrimitiveType::Int });
    vec![
        required(1, "id", PrimitiveType::Int),
        NestedField::optional(2, "s", Type::Struct(StructType::new(inner))),
        NestedField::optional(3, "l", Type::List(ListType { element_field: Arc::new(element) })),
        NestedField::optional(
            6,
            "m",
            Type::Map(MapType {
                key_field: Arc::new(NestedField::map_key_element(10, Type::Primitive(PrimitiveType::String))),
                value_field: Arc::new(NestedField::map_value_element(11, value, false)),
            }),
        ),
    ]
}

#[tokio::test]
async fn structs_lists_and_maps_evolve_by_field_id() {
    let mut lake = Lake::new(nested(false), &[]);
    // Creating a table numbers its fields anew, level by level; evolve to the ids that this test names.
    lake.evolve(nested(false));
    lake.rows(json!([
        {"id": 1, "s": {"x": 1, "y": "one"}, "l": [{"p": 1, "q": "a"}, null], "m": {"k": 5}},
        {"id": 2, "s": null, "l": [], "m": {}},
        {"id": 3, "s": {"x": null, "y": null}, "l": null, "m": null}
    ]))
    .await;
    lake.evolve(nested(true));
    lake.rows(json!([{"id": 4, "s": {"x": "four", "y": 4, "z": 44}, "l": [{"q": 9, "r": 99}], "m": {"k": 6}}])).await;
    let table = lake.table().await;
    let all = rows(&table, &lake.store, "SELECT * FROM t ORDER BY id").await;
    assert_eq!(all[0], json!({"id": 1, "s": {"x": "one", "y": 1}, "l": [{"r": 1}, null], "m": {"k": 5}}));
    assert_eq!(all[1], json!({"id": 2, "l": [], "m": {}}));
    assert_eq!(all[2], json!({"id": 3, "s": {}}));
    assert_eq!(all[3], json!({"id": 4, "s": {"x": "four", "y": 4, "z": 44}, "l": [{"q": 9, "r": 99}], "m": {"k": 6}}));
    for (filter, expected) in [
        ("s['y'] = 1", vec![1]),
        ("s['x'] = 'one'", vec![1]),
        ("s['z'] IS NULL", vec![1, 2, 3]),
        ("s IS NULL", vec![2]),
        ("s['z'] = 44 AND id > 1", vec![4]),
        ("cardinality(l) = 2", vec![1]),
    ] {
        let found = rows(&table, &lake.store, &format!("SELECT id FROM t WHERE {filter} ORDER BY id")).await;
        let ids: Vec<_> = found.iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
}

#[tokio::test]
async fn absent_columns_take_their_initial_default_and_absent_required_ones_are_refused() {
    let mut lake = Lake::with_version(vec![required(1, "id", PrimitiveType::Int)], &[], FormatVersion::V3);
    lake.rows(json!([{"id": 1}])).await;
    let with_default = |field: NestedField| field.with_initial_default(Literal::string("old"));
    lake.evolve(vec![
        required(1, "id", PrimitiveType::Int),
        with_default(required(2, "state", PrimitiveType::String)),
        optional(3, "more", PrimitiveType::Int),
    ]);
    lake.rows(json!([{"id": 2, "state": "new", "more": 5}])).await;
    let table = lake.table().await;
    let all = rows(&table, &lake.store, "SELECT * FROM t ORDER BY id").await;
    assert_eq!(all, [json!({"id": 1, "state": "old"}), json!({"id": 2, "state": "new", "more": 5})]);
    assert_eq!(rows(&table, &lake.store, "SELECT id FROM t WHERE state = 'old'").await, [json!({"id": 1})]);

    lake.evolve(vec![required(1, "id", PrimitiveType::Int), required(4, "must", PrimitiveType::Int)]);
    let table = lake.table().await;
    let context = session(&table, &lake.store, How::default());
    let error = context.sql("SELECT must FROM t").await.unwrap().collect().await.unwrap_err();
    let error = sqe_core::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("required column \"must\""), "{error}");
    assert_eq!(rows(&table, &lake.store, "SELECT id FROM t ORDER BY id").await.len(), 2);
}

/// Puts a file without field ids in the place of the lake's only file.
async fn without_ids(lake: &mut Lake, batch: &RecordBatch) {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    let (spec, schema, old) = lake.files.pop().unwrap();
    let mut file = iceberg::spec::DataFileBuilder::default();
    let file = file
        .content(iceberg::spec::DataContentType::Data)
        .file_path(old.file_path().to_owned())
        .file_format(iceberg::spec::DataFileFormat::Parquet)
        .record_count(batch.num_rows() as u64)
        .file_size_in_bytes(bytes.len() as u64)
        .build()
        .unwrap();
    lake.io.new_output(file.file_path()).unwrap().write(bytes.into()).await.unwrap();
    lake.files.push((spec, schema, file));
}

#[tokio::test]
async fn files_without_ids_need_a_name_mapping() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int), optional(2, "x", PrimitiveType::Int)], &[]);
    lake.rows(json!([{"id": 1}])).await;
    let foreign = Schema::new(vec![
        Field::new("ident", DataType::Int32, false),
        Field::new("x", DataType::Int32, true),
        Field::new("stray", DataType::Int32, true),
    ]);
    let column = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as _;
    let batch =
        RecordBatch::try_new(Arc::new(foreign), vec![column(vec![1, 2]), column(vec![3, 4]), column(vec![5, 6])]);
    without_ids(&mut lake, &batch.unwrap()).await;
    let table = lake.table().await;
    let context = session(&table, &lake.store, How::default());
    let error = context.sql("SELECT * FROM t").await.unwrap().collect().await.unwrap_err();
    assert!(error.to_string().contains("schema.name-mapping.default"), "{error}");

    let mapping = json!([{"field-id": 1, "names": ["id", "ident"]}, {"field-id": 2, "names": ["x"]}]).to_string();
    lake.change(|builder| builder.set_properties([(DEFAULT_SCHEMA_NAME_MAPPING.to_owned(), mapping)].into()).unwrap());
    let table = lake.open();
    let all = rows(&table, &lake.store, "SELECT * FROM t ORDER BY id").await;
    assert_eq!(all, [json!({"id": 1, "x": 3}), json!({"id": 2, "x": 4})]);
    assert_eq!(rows(&table, &lake.store, "SELECT x FROM t WHERE id = 2").await, [json!({"x": 4})]);
}

#[tokio::test]
async fn nan_and_signed_zero_are_never_pruned_away() {
    let mut lake = Lake::new(vec![required(1, "id", PrimitiveType::Int), optional(2, "f", PrimitiveType::Double)], &[]);
    lake.group = 2;
    let write = |ids: Vec<i32>, values: Vec<Option<f64>>| {
        RecordBatch::try_new(lake.arrow(), vec![Arc::new(Int32Array::from(ids)), Arc::new(Float64Array::from(values))])
    };
    let first = write(vec![1, 2, 3, 4], vec![Some(1.0), Some(f64::NAN), Some(0.0), Some(-0.0)]).unwrap();
    let second = write(vec![5, 6, 7], vec![None, Some(2.0), Some(f64::NEG_INFINITY)]).unwrap();
    lake.batch(&first).await;
    lake.batch(&second).await;
    let table = lake.table().await;
    for (filter, expected) in [
        ("f > 100", vec![2]),
        ("f >= 1", vec![1, 2, 6]),
        ("NOT (f < 100)", vec![2]),
        ("f <> 1", vec![2, 3, 4, 6, 7]),
        ("f < 0.5", vec![3, 4, 7]),
        ("f < 100", vec![1, 3, 4, 6, 7]),
        ("f <= 1 AND id > 1", vec![3, 4, 7]),
        ("f = 2", vec![6]),
        ("f IN (1, 2)", vec![1, 6]),
        ("f NOT IN (1, 2)", vec![2, 3, 4, 7]),
        ("f IS NULL", vec![5]),
        ("f IS NOT NULL", vec![1, 2, 3, 4, 6, 7]),
        ("isnan(f)", vec![2]),
        ("f > 50 OR id = 1", vec![1, 2]),
        ("f BETWEEN 0.5 AND 3", vec![1, 6]),
    ] {
        let found = rows(&table, &lake.store, &format!("SELECT id FROM t WHERE {filter} ORDER BY id")).await;
        let ids: Vec<_> = found.iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    let top = query(
        &table,
        &lake.store,
        How { pushdown: true, ..How::default() },
        "SELECT id FROM t ORDER BY f DESC NULLS LAST LIMIT 1",
    )
    .await;
    assert_eq!(super::lake::to_json(&top), [json!({"id": 2})]);
}

#[tokio::test]
async fn files_in_the_current_schema_need_no_adaptation_at_all() {
    let mut lake = Lake::new(
        vec![
            required(1, "id", PrimitiveType::Int),
            optional(2, "long", PrimitiveType::Long),
            optional(3, "text", PrimitiveType::String),
            optional(4, "bytes", PrimitiveType::Binary),
            optional(5, "day", PrimitiveType::Date),
            optional(6, "at", PrimitiveType::Timestamp),
            optional(7, "money", PrimitiveType::Decimal { precision: 15, scale: 2 }),
            optional(8, "ratio", PrimitiveType::Double),
            optional(9, "yes", PrimitiveType::Boolean),
        ],
        &[],
    );
    lake.rows(json!([{"id": 1, "text": "x", "money": "1.00"}])).await;
    let table = lake.table().await;
    let path = crate::iceberg::io::store_path(lake.files[0].2.file_path()).unwrap();
    let bytes = object_store::ObjectStoreExt::get(lake.store.as_ref(), &path).await.unwrap().bytes().await.unwrap();
    let found = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let before = found.file_metadata().schema_descr_ptr();
    let names = super::super::resolve::FieldNames::try_new(&table.schema(), None).unwrap();
    let resolved = names.resolve(found).unwrap();
    assert!(Arc::ptr_eq(&before, &resolved.file_metadata().schema_descr_ptr()));
    let read = parquet::arrow::parquet_to_arrow_schema(resolved.file_metadata().schema_descr(), None).unwrap();
    let read = datafusion::datasource::physical_plan::parquet::apply_file_schema_type_coercions(&table.schema(), &read);
    assert_eq!(read.as_ref(), Some(table.schema().as_ref()));
}
