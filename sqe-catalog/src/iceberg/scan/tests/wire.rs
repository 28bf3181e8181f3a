//! Scans survive the way to another process.

use std::sync::Arc;

use datafusion::{
    execution::TaskContext,
    physical_plan::{ExecutionPlan, collect, displayable},
};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use iceberg::spec::{FormatVersion, Literal, PrimitiveType, Transform};
use proptest::prelude::*;
use serde_json::json;

use super::lake::{How, Lake, files, optional, plan, required, session, to_json, url};
use crate::iceberg::{IcebergTable, scan::codec};

async fn evolved() -> (Lake, IcebergTable) {
    let mut lake = Lake::with_version(
        vec![
            required(1, "id", PrimitiveType::Int),
            optional(2, "old", PrimitiveType::String),
            optional(3, "r", PrimitiveType::String),
        ],
        &[("r", Transform::Identity)],
        FormatVersion::V3,
    );
    lake.group = 2;
    lake.rows(
        json!([{"id": 1, "old": "a", "r": "x"}, {"id": 2, "old": "b", "r": "x"}, {"id": 3, "old": "c", "r": "x"}]),
    )
    .await;
    lake.evolve(vec![
        required(1, "id", PrimitiveType::Long),
        optional(2, "new", PrimitiveType::String),
        optional(3, "r", PrimitiveType::String),
        required(4, "state", PrimitiveType::String).with_initial_default(Literal::string("initial")),
        optional(5, "old", PrimitiveType::String),
    ]);
    lake.rows(json!([{"id": 4, "new": "d", "r": "y", "state": "written", "old": "z"}])).await;
    let table = lake.table().await;
    (lake, table)
}

fn travel(plan: Arc<dyn ExecutionPlan>, context: &TaskContext) -> Arc<dyn ExecutionPlan> {
    let codec = codec();
    let bytes = physical_plan_to_bytes_with_extension_codec(plan, codec.as_ref()).unwrap();
    physical_plan_from_bytes_with_extension_codec(&bytes, context, codec.as_ref()).unwrap()
}

#[tokio::test]
async fn decoded_scans_give_the_same_rows_with_renames_defaults_and_pushed_filters() {
    let (lake, table) = evolved().await;
    for how in super::lake::WAYS {
        for sql in [
            "SELECT * FROM t ORDER BY id",
            "SELECT new, state FROM t WHERE new >= 'b' ORDER BY new",
            "SELECT id FROM t WHERE old IS NULL AND state = 'initial' ORDER BY id",
            "SELECT r, count(*) AS n, max(id) AS m FROM t GROUP BY r ORDER BY r",
            "SELECT upper(new) AS u, id * 2 AS twice FROM t WHERE id IN (2, 4) ORDER BY id",
            "SELECT id FROM t ORDER BY new DESC LIMIT 2",
            "SELECT a.id FROM t a JOIN t b ON a.new = b.new WHERE b.id > 2 ORDER BY a.id",
        ] {
            let context = session(&table, &lake.store, how);
            let here = plan(&context, sql).await;
            let expected = to_json(&collect(Arc::clone(&here), context.task_ctx()).await.unwrap());
            let there = travel(plan(&context, sql).await, &context.task_ctx());
            assert_eq!(files(&here).len(), files(&there).len(), "{sql}");
            let found = to_json(&collect(there, context.task_ctx()).await.unwrap());
            assert!(!expected.is_empty(), "{sql}");
            assert_eq!(found, expected, "{sql} {how:?}");
        }
    }
}

#[tokio::test]
async fn pushed_predicates_and_ranges_are_still_there_after_decoding() {
    let (lake, table) = evolved().await;
    let how = How { pushdown: true, ..How::default() };
    let context = session(&table, &lake.store, how);
    let here = plan(&context, "SELECT id FROM t WHERE r = 'x'").await;
    let text = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    assert!(text(&here).contains("predicate=r@"), "{}", text(&here));
    assert!(!text(&here).contains("FilterExec"), "answered by the source: {}", text(&here));
    let there = travel(Arc::clone(&here), &context.task_ctx());
    assert_eq!(text(&here), text(&there));
    assert_eq!(to_json(&collect(there, context.task_ctx()).await.unwrap()).len(), 3);
}

#[tokio::test]
async fn decoding_gives_no_right_to_a_store() {
    let (lake, table) = evolved().await;
    let context = session(&table, &lake.store, How::default());
    let there = travel(plan(&context, "SELECT id FROM t").await, &context.task_ctx());
    let stranger = datafusion::prelude::SessionContext::new();
    assert!(stranger.runtime_env().object_store(url()).is_err());
    assert!(collect(Arc::clone(&there), stranger.task_ctx()).await.is_err());
    assert!(collect(there, context.task_ctx()).await.is_ok());
}

#[tokio::test]
async fn other_plans_and_damaged_bytes_are_refused() {
    let (lake, table) = evolved().await;
    let context = session(&table, &lake.store, How::default());
    let codec = codec();
    let task = context.task_ctx();
    let other: Arc<dyn ExecutionPlan> =
        Arc::new(datafusion::physical_plan::empty::EmptyExec::new(Arc::new(arrow::datatypes::Schema::empty())));
    assert!(codec.try_encode(other, &mut Vec::new()).is_err());
    let scan = plan(&context, "SELECT id FROM t").await;
    let mut bytes = Vec::new();
    codec.try_encode(scan, &mut bytes).unwrap();
    assert!(codec.try_decode(&bytes, &[], &task).is_ok());
    assert!(codec.try_decode(&[], &[], &task).is_err());
    assert!(codec.try_decode(b"SQEI", &[], &task).is_err());
    assert!(codec.try_decode(b"SQEI\x01", &[], &task).is_err());
    let mut newer = bytes.clone();
    newer[4] = 2;
    let error = sqe_core::Error::from(codec.try_decode(&newer, &[], &task).unwrap_err());
    assert!(error.message().contains("another version"), "{error}");
    for cut in 0..bytes.len() {
        // Whatever is missing: an error or a plan, never a panic.
        let _ = codec.try_decode(&bytes[..cut], &[], &task);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]
    #[test]
    fn decoding_never_panics(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (lake, table) = evolved().await;
            let context = session(&table, &lake.store, How::default());
            let codec = codec();
            let mut bytes = Vec::new();
            codec.try_encode(plan(&context, "SELECT id, upper(new) FROM t").await, &mut bytes).unwrap();
            for (at, value) in &flips {
                let mut damaged = bytes.clone();
                let at = at.index(damaged.len());
                damaged[at] = *value;
                if let Ok(plan) = codec.try_decode(&damaged, &[], &context.task_ctx()) {
                    let _ = plan.partition_statistics(None);
                }
            }
            let with_magic = [b"SQEI\x01".as_slice(), &garbage].concat();
            let _ = codec.try_decode(&with_magic, &[], &context.task_ctx());
        });
    }
}
