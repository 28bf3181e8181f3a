//! Where an authorised plan runs.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext},
    physical_plan::{ExecutionPlan, execute_stream},
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;

use crate::{QueryId, Result, govern::Authorized};

/// An authorised plan and what it needs to run.
///
/// A scheduler runs those that the engine hands it:
///
/// ```no_run
/// use std::sync::Arc;
/// use datafusion::physical_plan::ExecutionPlan;
/// use sqe_core::scheduler::{Job, LocalScheduler, Scheduler};
/// async fn run(mut job: Job, plan: Arc<dyn ExecutionPlan>) {
///     LocalScheduler.execute(job).await.unwrap();
/// }
/// ```
///
/// A plan that nobody authorised cannot be scheduled: not by itself,
///
/// ```compile_fail,E0308
/// use std::sync::Arc;
/// use datafusion::physical_plan::ExecutionPlan;
/// use sqe_core::scheduler::{Job, LocalScheduler, Scheduler};
/// async fn run(mut job: Job, plan: Arc<dyn ExecutionPlan>) {
///     LocalScheduler.execute(plan).await.unwrap();
/// }
/// ```
///
/// not in the place of an authorised one,
///
/// ```compile_fail,E0308
/// use std::sync::Arc;
/// use datafusion::physical_plan::ExecutionPlan;
/// use sqe_core::scheduler::{Job, LocalScheduler, Scheduler};
/// async fn run(mut job: Job, plan: Arc<dyn ExecutionPlan>) {
///     job.plan = plan;
/// }
/// ```
///
/// and not in a job of one's own.
///
/// ```compile_fail,E0639
/// use std::sync::Arc;
/// use datafusion::physical_plan::ExecutionPlan;
/// use sqe_core::scheduler::{Job, LocalScheduler, Scheduler};
/// async fn run(mut job: Job, plan: Arc<dyn ExecutionPlan>) {
///     LocalScheduler.execute(Job { ..job }).await.unwrap();
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// The query.
    pub query: QueryId,
    /// The plan. Only the engine makes one.
    pub plan: Authorized<Arc<dyn ExecutionPlan>>,
    /// The query's own runtime: memory pool, store registry, settings.
    pub context: Arc<TaskContext>,
    /// Codecs for the plan's nodes, in an order that is part of the wire format: the engine's own, then one a catalog in
    /// the order of their names. Empty if the engine has no grant key or some table's catalog has no codec: such a job
    /// runs locally, and DataFusion's own planner made its plan.
    pub codecs: Vec<Arc<dyn PhysicalExtensionCodec>>,
}

/// Runs authorised plans. It knows no policies, tokens or identity providers.
#[async_trait]
pub trait Scheduler: fmt::Debug + Send + Sync + 'static {
    /// Prepares the session before the engine plans: planner, settings. The planner set here is asked for queries that
    /// may leave the process, see [`Job::codecs`]; all others get DataFusion's own.
    ///
    /// # Errors
    /// `Internal` if the session cannot be prepared.
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder>;

    /// Starts the job. Dropping the stream cancels it. A stream that lost part of its job ends with an error, never
    /// as if it were whole.
    ///
    /// # Errors
    /// `Unavailable` if nobody can run it, `ResourceExhausted` if nobody has room.
    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream>;

    /// Names of the nodes that this scheduler's planner puts into plans, such as exchanges. They move rows, and neither
    /// read nor write nor change anything. The verifier lets them stand and judges what is below. Default: none, so that a
    /// node of an unknown kind is refused.
    fn nodes(&self) -> &[&str] {
        &[]
    }

    /// The plans that a childless node of this scheduler's planner stands for, all of them: for instance a scan and its
    /// slices, one a task. The verifier judges them in the place of the node. Default: none, so that a leaf of an unknown
    /// kind is refused.
    fn slices(&self, _leaf: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
        Vec::new()
    }
}

/// Runs the plan in this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalScheduler;

#[async_trait]
impl Scheduler for LocalScheduler {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        Ok(builder)
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        Ok(execute_stream(job.plan.into_inner(), job.context)?)
    }
}
