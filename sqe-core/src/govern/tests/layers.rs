//! Each of the four layers taken away in turn. What is left must refuse the plan or hold by itself, and what was taken
//! away must be missed: a test in which nothing leaks without its layer would show nothing.

use std::sync::Arc;

use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    datasource::memory::MemorySourceConfig,
    logical_expr::Operator,
    physical_expr::{
        LexOrdering, PhysicalExpr, PhysicalSortExpr,
        expressions::{binary, col, lit},
    },
    physical_plan::{
        ExecutionPlan, empty::EmptyExec, filter::FilterExec, limit::GlobalLimitExec,
        placeholder_row::PlaceholderRowExec, sorts::sort::SortExec, union::UnionExec,
    },
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use rstest::rstest;

use super::{Query, governed, people, restricted, team_a};
use crate::{
    Decision, Error, ErrorKind, FieldId, Principal, QueryId, Result, Secret,
    govern::{GovernedCodec, GrantKey, GrantedScanExec, ScanGrant, SecurityBarrierExec, opaque::OpaqueScanExec},
    predicate::Mask,
};

const EVERYBODY: [&str; 4] = ["1|ann|a", "2|bob|b", "3|cid|a", "42|hidden|b"];
const VISIBLE: [&str; 2] = ["1|ann|a", "3|cid|a"];
const ALL: &str = "SELECT id, name, team FROM t";

fn assert_refused(verdict: Result<()>) {
    let error = verdict.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(error.message().starts_with("the plan was refused"), "{error}");
}

/// The plan with another node in the place of each security barrier and granted scan.
fn changed(
    plan: &Arc<dyn ExecutionPlan>,
    change: impl Fn(&Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan>,
) -> Arc<dyn ExecutionPlan> {
    let plan = Arc::clone(plan).transform_up(|node| {
        Ok(if node.is::<SecurityBarrierExec>() || node.is::<GrantedScanExec>() {
            Transformed::yes(change(&node))
        } else {
            Transformed::no(node)
        })
    });
    let plan = plan.unwrap();
    assert!(plan.transformed, "there is nothing to take away");
    plan.data
}

fn input(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::clone(node.children()[0])
}

/// The same node, over another input.
fn over(node: &Arc<dyn ExecutionPlan>, input: impl ExecutionPlan + 'static) -> Arc<dyn ExecutionPlan> {
    Arc::clone(node).with_new_children(vec![Arc::new(input)]).unwrap()
}

fn barrier(node: &Arc<dyn ExecutionPlan>) -> &SecurityBarrierExec {
    node.downcast_ref().unwrap()
}

// Binding: SQL meets a table that is not governed.

#[rstest]
#[case::alone("SELECT id, name, team FROM raw")]
#[case::union("SELECT id, name, team FROM t UNION SELECT id, name, team FROM raw")]
#[case::join("SELECT r.name FROM t JOIN raw r ON r.id <> t.id")]
#[case::cte("WITH c AS (SELECT * FROM raw) SELECT name FROM c")]
#[case::scalar_subquery("SELECT (SELECT max(id) FROM raw)")]
#[case::in_subquery("SELECT name FROM t WHERE 42 IN (SELECT id FROM raw)")]
#[case::exists("SELECT name FROM t WHERE EXISTS (SELECT 1 FROM raw WHERE raw.id = 42)")]
#[case::subquery_in_subquery("SELECT name FROM t WHERE id IN (SELECT id FROM t WHERE 42 IN (SELECT id FROM raw))")]
#[case::recursive(
    "WITH RECURSIVE r AS (SELECT id FROM raw UNION ALL SELECT id + 1 FROM r WHERE id < 0) SELECT id FROM r"
)]
#[tokio::test]
async fn without_binding_the_verifier_refuses(#[case] sql: &str) {
    let query = Query::under(&team_a());
    let control = sql.replace("raw", "t");
    assert!(query.decisions().verify_logical(query.bound(&control).await).is_ok(), "{control}");
    assert_refused(query.decisions().verify_logical(query.bound(sql).await).map(drop));
    let (leaked, held) = (query.planned(sql).await.unwrap(), query.planned(&control).await.unwrap());
    assert_ne!(query.rows(leaked).await.unwrap(), query.rows(held).await.unwrap(), "the binding is not missed: {sql}");
}

#[tokio::test]
async fn a_table_that_was_governed_for_another_query_is_refused() {
    let (alice, bob) = (Query::under(&team_a()), Query::under(&Decision::permit()));
    let (hers, his) = (alice.bound(ALL).await, bob.bound(ALL).await);
    assert!(alice.decisions().verify_logical(hers.clone()).is_ok());
    assert!(bob.decisions().verify_logical(his.clone()).is_ok());
    assert_refused(alice.decisions().verify_logical(his).map(drop));
    assert_refused(bob.decisions().verify_logical(hers).map(drop));
}

#[rstest]
#[case("EXPLAIN SELECT * FROM t")]
#[case("DESCRIBE t")]
#[case("CREATE VIEW v AS SELECT * FROM t")]
#[case("CREATE TABLE copy AS SELECT * FROM t")]
#[case("COPY t TO 'copy.csv'")]
#[case("SET datafusion.optimizer.skip_failed_rules = true")]
#[case("PREPARE p AS SELECT * FROM t")]
#[case("INSERT INTO raw SELECT * FROM t")]
#[case("DROP TABLE t")]
#[tokio::test]
async fn plans_that_do_more_than_read_are_refused(#[case] sql: &str) {
    let query = Query::under(&Decision::permit());
    assert!(query.decisions().verify_logical(query.bound(ALL).await).is_ok());
    let error = query.decisions().verify_logical(query.bound(sql).await).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

// Barrier: a rule loses it, moves it, or takes another one.

#[tokio::test]
async fn without_its_barrier_a_plan_leaks_and_is_refused() {
    let query = Query::under(&team_a());
    let plan = query.planned(ALL).await.unwrap();
    query.verify(&plan).unwrap();
    assert_eq!(query.rows(Arc::clone(&plan)).await.unwrap(), VISIBLE);
    let bare = changed(&plan, input);
    assert_eq!(query.rows(Arc::clone(&bare)).await.unwrap(), EVERYBODY, "the barrier is not missed");
    assert_refused(query.verify(&bare));
}

/// Why there is a barrier at all: the optimizer merges filters, so that a person's predicate sees what another held back.
#[tokio::test]
async fn a_plain_filter_is_no_barrier() {
    let trap = "WHERE 1 / (id - 42) > -5";
    let query = Query::under(&team_a());
    let filtered = format!("SELECT name FROM (SELECT * FROM raw WHERE team = 'a') {trap}");
    let failed = query.rows(query.planned(&filtered).await.unwrap()).await.unwrap_err();
    assert_eq!(failed.message(), "division by zero");
    let governed = query.planned(&format!("SELECT name FROM t {trap}")).await.unwrap();
    assert_eq!(query.rows(governed).await.unwrap(), ["ann", "cid"]);
}

#[tokio::test]
async fn one_bare_scan_among_governed_ones_is_enough_to_refuse() {
    let query = Query::under(&team_a());
    let plan = query.planned(ALL).await.unwrap();
    let bare = changed(&plan, input);
    let both =
        |second: &Arc<dyn ExecutionPlan>| UnionExec::try_new(vec![Arc::clone(&plan), Arc::clone(second)]).unwrap();
    query.verify(&both(&plan)).unwrap();
    assert_refused(query.verify(&both(&bare)));
}

fn filter_below(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let raw = input(node);
    let id = col("id", &raw.schema()).unwrap();
    let trap = binary(lit(1_i64), Operator::Divide, id, &raw.schema()).unwrap();
    let trap = binary(trap, Operator::Gt, lit(-5_i64), &raw.schema()).unwrap();
    over(node, FilterExec::try_new(trap, raw).unwrap())
}

fn limit_below(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    over(node, GlobalLimitExec::new(input(node), 0, Some(1)))
}

fn sort_below(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let raw = input(node);
    let id: Arc<dyn PhysicalExpr> = col("id", &raw.schema()).unwrap();
    let order = LexOrdering::new([PhysicalSortExpr::new_default(id)]).unwrap();
    over(node, SortExec::new(order, raw))
}

fn of_another_query(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let (grant, table) = (barrier(node).grant(), barrier(node).grant().table().clone());
    let grant = ScanGrant::mint(QueryId::random(), grant.principal().clone(), table, false);
    with_grant(node, grant, barrier(node).decision())
}

fn of_another_person(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let grant = barrier(node).grant();
    let person = Principal::new("issuer", "bob");
    let grant = ScanGrant::restore(grant.id(), grant.query(), person, grant.table().clone(), false);
    with_grant(node, grant, barrier(node).decision())
}

fn of_another_decision(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    with_grant(node, barrier(node).grant().clone(), &Decision::permit().digest())
}

fn with_grant(node: &Arc<dyn ExecutionPlan>, grant: ScanGrant, decision: &str) -> Arc<dyn ExecutionPlan> {
    Arc::new(SecurityBarrierExec::new(grant, decision.into(), barrier(node).policy().clone(), input(node)))
}

fn granted_instead(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Arc::new(GrantedScanExec::new(barrier(node).grant().clone(), input(node)).unwrap())
}

fn granted_by_a_changed_grant(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let grant = barrier(node).grant();
    let grant = ScanGrant::restore(grant.id(), grant.query(), grant.principal().clone(), grant.table().clone(), true);
    Arc::new(GrantedScanExec::new(grant, input(node)).unwrap())
}

fn granted_to_another_query(node: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let grant = Query::under(&Decision::permit()).table.grant().clone();
    Arc::new(GrantedScanExec::new(grant, input(node)).unwrap())
}

#[rstest]
#[case::filter_below(filter_below)]
#[case::limit_below(limit_below)]
#[case::sort_below(sort_below)]
#[case::of_another_query(of_another_query)]
#[case::of_another_person(of_another_person)]
#[case::of_another_decision(of_another_decision)]
#[case::granted_instead(granted_instead)]
#[case::granted_by_a_changed_grant(granted_by_a_changed_grant)]
#[case::granted_to_another_query(granted_to_another_query)]
#[tokio::test]
async fn a_barrier_that_was_moved_or_replaced_is_refused(
    #[case] change: fn(&Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan>,
) {
    let query = Query::under(&team_a());
    let plan = query.planned(ALL).await.unwrap();
    let same =
        |node: &Arc<dyn ExecutionPlan>| with_grant(node, barrier(node).grant().clone(), barrier(node).decision());
    query.verify(&changed(&plan, same)).unwrap();
    query.verify(&changed(&plan, |node| Arc::clone(node).with_new_children(vec![input(node)]).unwrap())).unwrap();
    assert_refused(query.verify(&changed(&plan, change)));
}

#[tokio::test]
async fn an_unrestricted_scan_needs_its_grant_too() {
    let query = Query::under(&Decision::permit());
    let plan = query.planned(ALL).await.unwrap();
    query.verify(&plan).unwrap();
    assert_eq!(query.rows(Arc::clone(&plan)).await.unwrap(), EVERYBODY);
    assert_refused(query.verify(&changed(&plan, input)));
    assert_refused(query.verify(&changed(&plan, granted_to_another_query)));
    assert_refused(Query::under(&Decision::permit()).verify(&plan));
}

#[test]
fn leaves_without_rows_of_tables_need_no_grant_and_hidden_rows_in_memory_do() {
    let query = Query::under(&team_a());
    let rows = people().rows;
    let (schema, values) = (rows.schema(), vec![vec![rows]]);
    let constants: [Arc<dyn ExecutionPlan>; 3] = [
        Arc::new(EmptyExec::new(Arc::clone(&schema))),
        Arc::new(PlaceholderRowExec::new(Arc::clone(&schema))),
        MemorySourceConfig::try_new_exec(&values, schema, None).unwrap(),
    ];
    for plan in constants {
        query.verify(&plan).unwrap();
        // What a catalog hands out looks the same, and so is marked as no constant.
        assert_refused(query.verify(&(Arc::new(OpaqueScanExec::new(plan)) as Arc<dyn ExecutionPlan>)));
    }
}

// Verifier: nobody looks at the plan.

/// Each of these fails on a hidden row and on no visible one.
#[rstest]
#[case::filter("SELECT name FROM t WHERE 1 / (id - 42) > -5")]
#[case::filter_beside_a_hint("SELECT name FROM t WHERE id > 0 AND 1 / (id - 42) > -5")]
#[case::projection("SELECT 1 / (id - 42) FROM t")]
#[case::sort("SELECT name FROM t ORDER BY 1 / (id - 42) LIMIT 2")]
#[case::group("SELECT count(*) FROM t GROUP BY 1 / (id - 42)")]
#[case::join("SELECT a.name FROM t a JOIN t b ON 1 / (a.id - 42) = b.id")]
#[case::cast("SELECT name FROM t WHERE CAST(CASE WHEN name = 'hidden' THEN 'x' ELSE '1' END AS BIGINT) = 1")]
#[tokio::test]
async fn without_the_verifier_the_barrier_keeps_predicates_from_hidden_rows(#[case] sql: &str) {
    let query = Query::under(&team_a());
    query.rows(query.planned(sql).await.unwrap()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let open = Query::under(&Decision::permit());
    let failed = match open.planned(sql).await {
        Ok(plan) => open.rows(plan).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(failed.is_err(), "the control must fail, or the test shows nothing: {sql}");
}

#[tokio::test]
async fn without_the_verifier_filter_mask_and_hidden_column_hold() {
    let query = Query::under(&team_a());
    assert_eq!(query.rows(query.planned(ALL).await.unwrap()).await.unwrap(), VISIBLE);
    assert_eq!(query.rows(query.planned("SELECT name FROM t LIMIT 2").await.unwrap()).await.unwrap().len(), 2);
    assert_eq!(query.rows(query.planned("SELECT count(*), max(id) FROM t").await.unwrap()).await.unwrap(), ["2|3"]);

    let query = Query::under(&restricted(|held| drop(held.masks.insert(FieldId(2), Mask::KeepLast(2)))));
    let names = query.planned("SELECT name FROM t WHERE name <> 'ann'").await.unwrap();
    assert_eq!(query.rows(names).await.unwrap(), ["en", "id", "nn", "ob"]);
    let raw = query.planned("SELECT name FROM t WHERE name = 'ann'").await.unwrap();
    assert!(query.rows(raw).await.unwrap().is_empty());

    let query = Query::under(&restricted(|held| held.hidden = [FieldId(4)].into()));
    assert!(query.context.state().create_logical_plan("SELECT pay FROM t").await.is_err());
    let star = query.planned("SELECT * FROM t").await.unwrap();
    assert_eq!(query.rows(star).await.unwrap(), EVERYBODY);
    let open = Query::under(&Decision::permit());
    assert_eq!(open.rows(open.planned("SELECT max(pay) FROM t").await.unwrap()).await.unwrap(), ["4242"]);
}

// Capability: who asks for a scan without having been granted one.

#[tokio::test]
async fn a_table_that_may_only_be_written_is_not_scanned_even_if_nobody_verifies() {
    let query = Query::over(governed(&Decision::permit()).write_only());
    query.table.provide_store(None);
    assert_eq!(query.planned(ALL).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let error = query.decisions().verify_logical(query.bound(ALL).await).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(Query::under(&Decision::permit()).planned(ALL).await.is_ok());
}

#[tokio::test]
async fn a_table_whose_lease_was_not_vended_is_not_scanned() {
    let query = Query::over(governed(&Decision::permit()));
    assert_eq!(query.planned(ALL).await.unwrap_err().kind(), ErrorKind::Internal);
    query.table.provide_store(None);
    assert!(query.planned(ALL).await.is_ok());
}

/// The proof that no code outside of this crate mints a grant is that it does not compile: see the examples at `ScanGrant` and its neighbours.
#[test]
fn a_scan_without_a_grant_gets_no_seal_and_without_a_seal_no_grant() {
    let codec = |key: &str| {
        let key = GrantKey::new(Secret::new(key.repeat(32))).unwrap();
        GovernedCodec::new(&key, Secret::new("mask")).unwrap()
    };
    let (ours, theirs) = (codec("k"), codec("x"));
    let raw: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(people().rows.schema()));
    let grant = Query::under(&Decision::permit()).table.grant().clone();
    let granted: Arc<dyn ExecutionPlan> = Arc::new(GrantedScanExec::new(grant, Arc::clone(&raw)).unwrap());
    let mut sealed = Vec::new();
    assert!(ours.try_encode(Arc::clone(&raw), &mut sealed).is_err());
    assert!(sealed.is_empty());
    ours.try_encode(Arc::clone(&granted), &mut sealed).unwrap();
    let mut forged = Vec::new();
    theirs.try_encode(granted, &mut forged).unwrap();
    let open = |bytes: &[u8]| ours.try_decode(bytes, &[Arc::clone(&raw)], &Default::default());
    assert!(open(&sealed).unwrap().is::<GrantedScanExec>());
    for wrong in [forged.as_slice(), &sealed[..sealed.len() - 1], &[]] {
        assert_eq!(Error::from(open(wrong).unwrap_err()).kind(), ErrorKind::PermissionDenied);
    }
}
