use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, ListArray},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::config::ConfigOptions,
    datasource::memory::MemorySourceConfig,
    execution::TaskContext,
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{DynamicFilterPhysicalExpr, binary, col, is_not_null, lit},
    },
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, collect, collect_partitioned,
        empty::EmptyExec,
        filter_pushdown::{ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase, PushedDown},
    },
};

use super::{Policy, SecurityBarrierExec, Source};
use crate::{Principal, QueryId, Secret, TableId, TableName, govern::ScanGrant};

/// `tags` before `id`, so that no column has the same place above and below.
fn raw() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    Arc::new(Schema::new(vec![
        Field::new("tags", DataType::List(item), true),
        Field::new("id", DataType::Int64, false),
    ]))
}

fn visible() -> SchemaRef {
    Arc::new(raw().project(&[1, 0]).unwrap())
}

/// The row with the id 3 is hidden.
fn barrier(partitions: usize, input: Arc<dyn ExecutionPlan>) -> SecurityBarrierExec {
    let table = TableId::new(TableName::new("lake", "s", "t"), uuid::Uuid::from_u128(4711));
    let grant = ScanGrant::mint(QueryId::random(), Principal::new("issuer", "alice"), table, false);
    let policy = Policy {
        filter: Some(binary(col("id", &raw()).unwrap(), Operator::NotEq, lit(3_i64), &raw()).unwrap()),
        sources: vec![Source::Raw(1), Source::Raw(0)],
        schema: visible(),
        mask_key: Secret::new("mask"),
        blurred_rows: None,
        partitions,
    };
    SecurityBarrierExec::new(grant, "digest".into(), policy, input)
}

fn rows() -> Arc<dyn ExecutionPlan> {
    let part = |ids: std::ops::Range<i64>| {
        let tags = ListArray::from_iter_primitive::<Int64Type, _, _>(ids.clone().map(|id| Some(vec![Some(id)])));
        let columns: Vec<ArrayRef> = vec![Arc::new(tags), Arc::new(Int64Array::from_iter_values(ids))];
        vec![RecordBatch::try_new(raw(), columns).unwrap()]
    };
    MemorySourceConfig::try_new_exec(&[part(0..4), part(4..8)], raw(), None).unwrap()
}

fn above(value: i64) -> Arc<dyn PhysicalExpr> {
    binary(col("id", &visible()).unwrap(), Operator::Gt, lit(value), &visible()).unwrap()
}

fn pushed(barrier: &SecurityBarrierExec, filters: &[Arc<dyn PhysicalExpr>]) -> Arc<dyn ExecutionPlan> {
    let parent_filters = (filters.iter())
        .map(|filter| ChildFilterPushdownResult { filter: Arc::clone(filter), child_results: vec![PushedDown::Yes] })
        .collect();
    let result = ChildPushdownResult { parent_filters, self_filters: Vec::new() };
    let config = ConfigOptions::default();
    let answer = barrier.handle_child_pushdown_result(FilterPushdownPhase::Pre, result, &config).unwrap();
    assert!(answer.filters.iter().all(|answer| matches!(answer, PushedDown::No)), "predicates above stay above");
    answer.updated_node.unwrap_or_else(|| Arc::new(barrier.clone()))
}

async fn ids(plan: &Arc<dyn ExecutionPlan>) -> Vec<i64> {
    let batches = collect(Arc::clone(plan), Arc::new(TaskContext::default())).await.unwrap();
    let mut ids: Vec<i64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn predicates_on_nested_columns_do_not_go_below() {
    let barrier = barrier(1, Arc::new(EmptyExec::new(raw())));
    let tags = is_not_null(col("tags", &visible()).unwrap()).unwrap();
    let learned = |name: &str| -> Arc<dyn PhysicalExpr> {
        Arc::new(DynamicFilterPhysicalExpr::new(vec![col(name, &visible()).unwrap()], lit(true)))
    };
    let filters = vec![tags, above(1), learned("tags"), learned("id")];
    let config = ConfigOptions::default();
    let below = barrier.gather_filters_for_pushdown(FilterPushdownPhase::Pre, filters.clone(), &config).unwrap();
    let passed: Vec<bool> = (below.parent_filters().remove(0).iter())
        .map(|filter| matches!(filter.discriminant, PushedDown::Yes))
        .collect();
    assert_eq!(passed, [false, true, false, true]);
    let kept = pushed(&barrier, &filters);
    assert_eq!(kept.downcast_ref::<SecurityBarrierExec>().unwrap().predicates().len(), 2);
}

/// A scan drops rows that no predicate wants when they stand in a file that it prunes by hidden rows' bounds, and lets
/// them pass when they do not. Above, both must look the same.
#[tokio::test]
async fn rows_that_no_predicate_wants_do_not_leave_whether_the_scan_dropped_them_or_not() {
    let all: Arc<dyn ExecutionPlan> = Arc::new(barrier(1, rows()));
    assert_eq!(ids(&all).await, [0, 1, 2, 4, 5, 6, 7]);
    let once = pushed(&barrier(1, rows()), &[above(4)]);
    assert_eq!(ids(&once).await, [5, 6, 7]);
    let again = pushed(once.downcast_ref::<SecurityBarrierExec>().unwrap(), &[above(4), above(6)]);
    assert_eq!(again.downcast_ref::<SecurityBarrierExec>().unwrap().predicates().len(), 2);
    let moved = Arc::clone(&again).with_new_children(vec![rows()]).unwrap();
    assert_eq!(ids(&moved).await, [7]);
    let learned = Arc::new(DynamicFilterPhysicalExpr::new(vec![col("id", &visible()).unwrap()], lit(true)));
    let learning = pushed(&barrier(1, rows()), &[Arc::clone(&learned) as Arc<dyn PhysicalExpr>]);
    learned.update(above(5)).unwrap();
    assert_eq!(ids(&learning).await, [0, 1, 2, 4, 5, 6, 7], "what is learned is a hint to the scan alone");
}

#[tokio::test]
async fn the_number_of_partitions_does_not_follow_the_scan() {
    let empty: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(raw()));
    let counts: HashSet<usize> = [rows(), Arc::clone(&empty)]
        .into_iter()
        .map(|input| barrier(5, input).properties().output_partitioning().partition_count())
        .collect();
    assert_eq!(counts, HashSet::from([5]));
    let wide: Arc<dyn ExecutionPlan> = Arc::new(barrier(5, rows()));
    let parts = collect_partitioned(Arc::clone(&wide), Arc::new(TaskContext::default())).await.unwrap();
    let sizes: Vec<usize> = parts.iter().map(|part| part.iter().map(RecordBatch::num_rows).sum()).collect();
    assert_eq!(sizes, [3, 4, 0, 0, 0]);
    assert!(wide.execute(5, Arc::new(TaskContext::default())).is_err());
    let narrow: Arc<dyn ExecutionPlan> = Arc::new(barrier(1, rows()));
    assert_eq!(narrow.output_partitioning().partition_count(), 2, "no partition of the scan is left out");
    assert_eq!(ids(&narrow).await.len(), 7);
}
