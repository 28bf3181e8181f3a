//! What passes the barrier downwards, as a hint to read less, and what is told upwards about the rows behind it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    catalog::TableProvider,
    common::{
        config::ConfigOptions,
        stats::Precision,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr,
        expressions::{DynamicFilterPhysicalExpr, binary, col, is_null, lit},
    },
    physical_plan::{
        ExecutionPlan, displayable,
        empty::EmptyExec,
        filter_pushdown::{FilterPushdownPhase, PushedDown},
    },
};
use rstest::rstest;

use super::{Opened, Query, governed_over, restricted, team_a};
use crate::{
    Decision, FieldId, Secret,
    govern::{
        SecurityBarrierExec,
        barrier::{Policy, Source},
    },
    policy::Restrictions,
    predicate::{Mask, RowPredicate},
};

fn masked_names(held: &mut Restrictions) {
    held.masks.insert(FieldId(2), Mask::KeepLast(1));
}

/// The person's predicate, and whether it reaches the scan of a table whose names are masked.
#[rstest]
#[case::comparison("id > 1", Some("id@0 > 1"))]
#[case::list("id IN (1, 2, 3, 4)", Some("id@0 IN (SET) ([1, 2, 3, 4])"))]
#[case::or("id = 1 OR team = 'b'", Some("id@0 = 1 OR team@1 = b"))]
#[case::like("team LIKE 'a%z'", Some("team@1 LIKE a%z"))]
#[case::two_columns("id < pay", Some("pay@1 > id@0"))]
#[case::masked("name = 'ann'", None)]
#[case::masked_beside_open("name = 'ann' OR id = 1", None)]
#[case::arithmetic("1 / (id - 42) > -5", None)]
#[case::cast("CAST(team AS BIGINT) = 1", None)]
#[case::function("upper(team) = 'A'", None)]
#[case::pattern("team LIKE concat(team, '%')", None)]
#[case::volatile("random() < 2", None)]
#[tokio::test]
async fn only_leakproof_predicates_on_open_columns_reach_the_scan(
    #[case] predicate: &str,
    #[case] expected: Option<&str>,
) {
    let sql = format!("SELECT id FROM t WHERE {predicate}");
    let asked = async |decision: &Decision| {
        let opened = Opened::default();
        let hints = Arc::clone(&opened.hints);
        let table = governed_over(decision, opened);
        table.provide_store(None);
        let plan = Query::over(table).planned(&sql).await.unwrap();
        let mut below = Vec::new();
        plan.apply(|node| {
            if let Some(barrier) = node.downcast_ref::<SecurityBarrierExec>() {
                below.extend(barrier.predicates().iter().map(ToString::to_string));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        (std::mem::take(&mut *hints.lock()), below, displayable(plan.as_ref()).indent(false).to_string())
    };
    let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
    let (planned, below, plan) = asked(&restricted(masked_names)).await;
    assert_eq!(below, expected, "{plan}");
    assert!(planned.is_empty(), "what a person asks for does not choose files while planning: {planned:?}");
    let (above, under) = plan.split_once("SecurityBarrierExec").unwrap();
    assert!(
        above.contains("FilterExec") && !under.contains("FilterExec"),
        "asked again above, whatever passed: {plan}"
    );
    // The same predicate beside the policy's own filter, which also chooses files.
    let (planned, below, _) = asked(&restricted(|held| {
        masked_names(held);
        held.filter = Some(RowPredicate::IsNull(Box::new(RowPredicate::Column(FieldId(3)))));
    }))
    .await;
    assert_eq!(planned, ["team IS NULL"]);
    assert_eq!(below, expected);
}

/// Filters that operators fill while they run, such as a join's bounds or the worst row of a TopK.
#[tokio::test]
async fn filters_that_change_while_a_query_runs_pass_on_open_columns_only() {
    let query = Query::under(&restricted(masked_names));
    let plan = query.planned("SELECT id, name FROM t").await.unwrap();
    let barrier = plan.downcast_ref::<SecurityBarrierExec>().unwrap();
    let schema = barrier.schema();
    let (id, name) = (col("id", &schema).unwrap(), col("name", &schema).unwrap());
    let next = binary(Arc::clone(&id), Operator::Plus, lit(1_i64), &schema).unwrap();
    let dynamic = |keys: Vec<Arc<dyn PhysicalExpr>>| {
        Arc::new(DynamicFilterPhysicalExpr::new(keys, lit(true))) as Arc<dyn PhysicalExpr>
    };
    let open = dynamic(vec![Arc::clone(&id)]);
    let filters = vec![
        Arc::clone(&open),
        binary(Arc::clone(&id), Operator::Gt, lit(1_i64), &schema).unwrap(),
        dynamic(vec![Arc::clone(&name)]),
        dynamic(vec![id, Arc::clone(&name)]),
        dynamic(vec![Arc::clone(&next)]),
        dynamic(vec![]),
        binary(name, Operator::Eq, lit("n"), &schema).unwrap(),
        binary(next, Operator::Gt, lit(1_i64), &schema).unwrap(),
    ];
    for phase in [FilterPushdownPhase::Pre, FilterPushdownPhase::Post] {
        let asked = barrier.gather_filters_for_pushdown(phase, filters.clone(), &ConfigOptions::default()).unwrap();
        let passed: Vec<bool> =
            asked.parent_filters()[0].iter().map(|filter| matches!(filter.discriminant, PushedDown::Yes)).collect();
        assert_eq!(passed, [true, true, false, false, false, false, false, false]);
        assert!(asked.self_filters()[0].is_empty());
    }
    let query = Query::under(&team_a());
    let plan = query.planned("SELECT id, team FROM t").await.unwrap();
    let asked = plan.gather_filters_for_pushdown(FilterPushdownPhase::Pre, Vec::new(), &ConfigOptions::default());
    assert_eq!(asked.unwrap().self_filters()[0].len(), 1, "the policy's own filter goes down");
}

#[test]
fn predicates_on_nested_columns_stay_above() {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("list", list, true)]));
    let policy = Policy {
        filter: None,
        sources: vec![Source::Raw(0), Source::Raw(1)],
        schema: Arc::clone(&schema),
        mask_key: Secret::new("key"),
        blurred_rows: None,
        partitions: 1,
    };
    let grant = Query::under(&team_a()).table.grant().clone();
    let barrier =
        SecurityBarrierExec::new(grant, "digest".into(), policy, Arc::new(EmptyExec::new(Arc::clone(&schema))));
    let filters = ["id", "list"].map(|name| is_null(col(name, &schema).unwrap()).unwrap()).to_vec();
    let asked = barrier.gather_filters_for_pushdown(FilterPushdownPhase::Pre, filters, &ConfigOptions::default());
    let passed: Vec<_> = asked.unwrap().parent_filters()[0].iter().map(|filter| filter.discriminant).collect();
    assert!(matches!(passed[..], [PushedDown::Yes, PushedDown::No]), "{passed:?}");
}

#[tokio::test]
async fn behind_a_barrier_only_the_magnitude_of_a_table_is_known() {
    let decisions = [team_a(), restricted(masked_names), restricted(|held| held.hidden = [FieldId(4)].into())];
    for decision in decisions {
        let query = Query::under(&decision);
        let plan = query.planned("SELECT id, name FROM t").await.unwrap();
        for statistics in [query.table.statistics().unwrap(), plan.partition_statistics(None).unwrap().as_ref().clone()]
        {
            assert_eq!(statistics.num_rows, Precision::Inexact(1), "four rows, as a power of ten");
            assert_eq!(statistics.total_byte_size, Precision::Absent);
            for column in &statistics.column_statistics {
                assert_eq!((&column.max_value, &column.min_value), (&Precision::Absent, &Precision::Absent));
                assert_eq!((&column.null_count, &column.distinct_count), (&Precision::Absent, &Precision::Absent));
            }
        }
        let counted = query.planned("SELECT count(*) FROM t").await.unwrap();
        assert!(displayable(counted.as_ref()).indent(false).to_string().contains("SecurityBarrierExec"));
    }
    let open = Query::under(&Decision::permit());
    let statistics = open.table.statistics().unwrap();
    assert_eq!(statistics.num_rows, Precision::Exact(4));
    assert!(statistics.column_statistics[0].max_value.get_value().is_some());
    let counted = open.planned("SELECT count(*) FROM t").await.unwrap();
    let counted = displayable(counted.as_ref()).indent(false).to_string();
    assert!(!counted.contains("GrantedScanExec"), "answered by statistics: {counted}");
}
