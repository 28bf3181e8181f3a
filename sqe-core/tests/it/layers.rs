//! An embedder's rules that do harm: each takes a layer of enforcement away, and the whole engine refuses the statement.
//! With the rule at rest the same engine answers, and it goes on answering what the rule does not touch.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    datasource::{MemTable, provider_as_source},
    error::Result as DataFusionResult,
    execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext},
    logical_expr::{LogicalPlan, TableSource},
    optimizer::{OptimizerConfig, OptimizerRule},
    physical_expr::expressions::{col, lit},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream, filter::FilterExec,
        limit::GlobalLimitExec, projection::ProjectionExec,
    },
};
use parking_lot::Mutex;
use rstest::rstest;
use sqe_core::{
    ErrorKind, Result,
    audit::EventKind,
    govern::{GrantedScanExec, SecurityBarrierExec},
    scheduler::{Job, Scheduler},
};

use crate::people::{World, building, people, restricted, world_with};

const SQL: &str = "SELECT id, name, segment, salary, phone, born FROM people";

/// What a rule does with the scans that it meets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    /// Binding: the logical plan scans the raw rows.
    RawSource,
    /// Binding: the logical plan scans the table as it was governed for an earlier query.
    EarlierSource,
    /// Barrier: the scan without it.
    NoBarrier,
    /// Barrier: a filter of the person's below it.
    FilterBelow,
    /// Barrier: a limit below it.
    LimitBelow,
    /// Barrier: a projection below it that computes.
    ProjectionBelow,
    /// Barrier: the whole scan of an earlier query in its place.
    EarlierScan,
    /// Barrier: a node that only bears its name.
    LookAlike,
}

/// Runs plans in this process, after its rules did their harm. Scans of the first query that it meets are kept.
#[derive(Debug, Clone)]
struct Harmful {
    harm: Harm,
    at_work: Arc<AtomicBool>,
    source: Arc<Mutex<Option<Arc<Kept>>>>,
    scan: Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>,
}

struct Kept(Arc<dyn TableSource>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept")
    }
}

#[async_trait]
impl Scheduler for Harmful {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        let rules = Arc::new(self.clone());
        Ok(builder.with_optimizer_rule(Arc::clone(&rules) as _).with_physical_optimizer_rule(rules))
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        Ok(execute_stream(job.plan.into_inner(), job.context)?)
    }
}

impl OptimizerRule for Harmful {
    fn name(&self) -> &str {
        "harm"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        plan.transform_up_with_subqueries(|node| {
            let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
            if scan.table_name.table() != "people" {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            }
            let kept =
                Arc::clone(&self.source.lock().get_or_insert_with(|| Arc::new(Kept(Arc::clone(&scan.source)))).0);
            if !self.at_work.load(Ordering::SeqCst) {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            }
            match self.harm {
                Harm::RawSource => {
                    let raw = MemTable::try_new(people().schema(), vec![vec![people()]])?;
                    scan.source = provider_as_source(Arc::new(raw));
                }
                Harm::EarlierSource => scan.source = kept,
                _ => return Ok(Transformed::no(LogicalPlan::TableScan(scan))),
            }
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })
    }
}

impl PhysicalOptimizerRule for Harmful {
    fn name(&self) -> &str {
        "harm"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| {
            if !node.is::<SecurityBarrierExec>() && !node.is::<GrantedScanExec>() {
                return Ok(Transformed::no(node));
            }
            let earlier = Arc::clone(self.scan.lock().get_or_insert_with(|| Arc::clone(&node)));
            if !self.at_work.load(Ordering::SeqCst) || !node.is::<SecurityBarrierExec>() {
                return Ok(Transformed::no(node));
            }
            let raw = Arc::clone(node.children()[0]);
            let below = |input: Arc<dyn ExecutionPlan>| Arc::clone(&node).with_new_children(vec![input]);
            Ok(Transformed::yes(match self.harm {
                Harm::NoBarrier => raw,
                Harm::FilterBelow => below(Arc::new(FilterExec::try_new(lit(true), raw)?))?,
                Harm::LimitBelow => below(Arc::new(GlobalLimitExec::new(raw, 1, None)))?,
                Harm::ProjectionBelow => {
                    let schema = raw.schema();
                    let columns =
                        schema.fields().iter().map(|field| Ok((col(field.name(), &schema)?, field.name().clone())));
                    below(Arc::new(ProjectionExec::try_new(columns.collect::<DataFusionResult<Vec<_>>>()?, raw)?))?
                }
                Harm::EarlierScan => earlier,
                Harm::LookAlike => Arc::new(LookAlike(raw)),
                Harm::RawSource | Harm::EarlierSource => return Ok(Transformed::no(node)),
            }))
        })?;
        Ok(plan.data)
    }

    fn schema_check(&self) -> bool {
        false
    }
}

/// Is called a barrier and is none.
#[derive(Debug)]
struct LookAlike(Arc<dyn ExecutionPlan>);

impl DisplayAs for LookAlike {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecurityBarrierExec")
    }
}

impl ExecutionPlan for LookAlike {
    fn name(&self) -> &'static str {
        "SecurityBarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self(children.remove(0))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        self.0.execute(partition, context)
    }
}

fn harmed(harm: Harm) -> (World, Arc<AtomicBool>) {
    let at_work = Arc::new(AtomicBool::new(false));
    let harmful = Harmful { harm, at_work: Arc::clone(&at_work), source: Arc::default(), scan: Arc::default() };
    (world_with(|builder| builder.scheduler(harmful)), at_work)
}

#[rstest]
#[case(Harm::RawSource)]
#[case(Harm::EarlierSource)]
#[case(Harm::NoBarrier)]
#[case(Harm::FilterBelow)]
#[case(Harm::LimitBelow)]
#[case(Harm::ProjectionBelow)]
#[case(Harm::EarlierScan)]
#[case(Harm::LookAlike)]
#[tokio::test]
async fn a_rule_that_takes_a_layer_away_gets_the_statement_refused(#[case] harm: Harm) {
    let (world, at_work) = harmed(harm);
    world.rules.select("alice", "people", restricted(|held| held.filter = Some(building())));
    // The scan that is kept is one without a barrier.
    assert_eq!(world.rows("root", SQL).await.unwrap().len(), 6);
    let visible = world.sorted("alice", SQL).await.unwrap();
    assert_eq!(visible.iter().map(|row| &row[..5]).collect::<Vec<_>>(), ["1|ann", "3|cid", "5|eve"]);

    at_work.store(true, Ordering::SeqCst);
    let before = world.trail.events.lock().len();
    for sql in [
        SQL.to_owned(),
        format!("EXPLAIN ANALYZE {SQL}"),
        format!("CREATE TABLE scratch.copy AS {SQL}"),
        "SELECT id FROM generate_series(1, 2) g(id) WHERE id IN (SELECT id FROM people)".into(),
        "SELECT (SELECT max(id) FROM people)".into(),
    ] {
        let refused = world.rows("alice", &sql).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Internal, "{sql}: {refused}");
        assert!(refused.message().starts_with("the plan was refused"), "{sql}: {refused}");
    }
    let events = world.trail.events.lock().split_off(before);
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|event| matches!(event.kind, EventKind::Refused(_))), "nothing ran: {events:?}");
    assert_eq!(world.rows("alice", "SELECT 1").await.unwrap(), ["1"]);
    // A rule about barriers has nothing to do where there is none.
    if !matches!(harm, Harm::RawSource | Harm::EarlierSource) {
        assert_eq!(world.rows("root", SQL).await.unwrap().len(), 6);
    }

    at_work.store(false, Ordering::SeqCst);
    assert_eq!(world.sorted("alice", SQL).await.unwrap(), visible);
}
