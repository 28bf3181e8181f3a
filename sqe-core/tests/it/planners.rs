//! A scheduler's planner is not trusted: what it puts into plans is named, and what stands below is verified.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    error::Result as DataFusionResult,
    execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties},
};
use rstest::rstest;
use sqe_core::{
    Decision, ErrorKind, Result,
    scheduler::{Job, LocalScheduler, Scheduler},
};

use crate::people::{analyst, world_with};

/// Hands its input through. A leaf does not show that it has one.
#[derive(Debug)]
struct Exchange {
    input: Arc<dyn ExecutionPlan>,
    leaf: bool,
}

impl DisplayAs for Exchange {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestExchange")
    }
}

impl ExecutionPlan for Exchange {
    fn name(&self) -> &'static str {
        "TestExchange"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.leaf { Vec::new() } else { vec![&self.input] }
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, leaf: self.leaf }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// Where the planner puts its node.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Above the whole plan.
    Above,
    /// In the place of the whole plan, as a leaf that stands for it.
    Around,
    /// In the place of the scan below a barrier, as a leaf that stands for it.
    Below,
    /// In the place of the barrier, as a leaf that stands for its scan.
    Instead,
}

#[derive(Debug, Clone, Copy)]
struct Planner {
    place: Place,
    names: bool,
    tells: bool,
}

impl Planner {
    fn leaf(input: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Exchange { input: Arc::clone(input), leaf: true })
    }
}

impl PhysicalOptimizerRule for Planner {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let place = self.place;
        match place {
            Place::Above => return Ok(Arc::new(Exchange { input: plan, leaf: false })),
            Place::Around => return Ok(Self::leaf(&plan)),
            Place::Below | Place::Instead => {}
        }
        let changed = plan.transform_down(|node| {
            if node.name() != "SecurityBarrierExec" {
                return Ok(Transformed::no(node));
            }
            let leaf = Self::leaf(node.children()[0]);
            Ok(Transformed::yes(if place == Place::Below { node.with_new_children(vec![leaf])? } else { leaf }))
        })?;
        Ok(changed.data)
    }

    fn name(&self) -> &'static str {
        "test_planner"
    }

    fn schema_check(&self) -> bool {
        false
    }
}

#[async_trait]
impl Scheduler for Planner {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        Ok(builder.with_physical_optimizer_rule(Arc::new(*self)))
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        LocalScheduler.execute(job).await
    }

    fn nodes(&self) -> &[&str] {
        if self.names { &["TestExchange"] } else { &[] }
    }

    fn slices(&self, leaf: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
        let found = leaf.downcast_ref::<Exchange>().filter(|_| self.tells);
        found.map(|found| Arc::clone(&found.input)).into_iter().collect()
    }
}

#[rstest]
#[case::named(Place::Above, true, false, true)]
#[case::not_named(Place::Above, false, false, false)]
#[case::told(Place::Around, true, true, true)]
#[case::not_told(Place::Around, true, false, false)]
#[case::told_and_not_named(Place::Around, false, true, false)]
#[case::told_below_a_barrier(Place::Below, true, true, true)]
#[case::not_told_below_a_barrier(Place::Below, true, false, false)]
#[case::told_in_the_place_of_a_barrier(Place::Instead, true, true, false)]
#[case::not_told_in_the_place_of_a_barrier(Place::Instead, true, false, false)]
#[tokio::test]
async fn a_planners_node_stands_if_it_is_named_and_all_below_is_governed(
    #[case] place: Place,
    #[case] names: bool,
    #[case] tells: bool,
    #[case] stands: bool,
) {
    let world = world_with(|builder| builder.scheduler(Planner { place, names, tells }));
    world.rules.select("alice", "people", analyst());
    match world.sorted("alice", "SELECT name FROM people").await {
        Ok(rows) => {
            assert!(stands, "{rows:?}");
            assert_eq!(rows, ["ann", "cid", "eve"]);
        }
        Err(error) => {
            assert!(!stands, "{error}");
            assert_eq!(error.kind(), ErrorKind::Internal);
            assert!(error.message().contains("the plan was refused"), "{error}");
        }
    }
    // An unconditional permit has no barrier that could get lost.
    world.rules.select("bob", "people", Decision::permit());
    let all = world.rows("bob", "SELECT name FROM people").await;
    assert_eq!(all.is_ok(), stands || matches!(place, Place::Below | Place::Instead));
}
