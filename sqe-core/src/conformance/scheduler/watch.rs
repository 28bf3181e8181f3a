//! What a kit needs to see whether a query stopped, and a catalog that holds nothing.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext, memory_pool::MemoryPool},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use parking_lot::Mutex;

use crate::{
    Error, Result, TableName,
    catalog::{
        CatalogChange, CatalogProvider, CatalogSession, CatalogTable, OpenRequest, ScanRequest, TableWrite,
        WriteRequest, WriteTarget,
    },
    govern::WriteGrant,
    scheduler::{Job, Scheduler},
};

/// The jobs that a scheduler was given, without keeping any of them alive.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Vec<Watching>>>);

#[derive(Debug)]
struct Watching {
    plan: Weak<dyn ExecutionPlan>,
    context: Weak<TaskContext>,
    pool: Arc<dyn MemoryPool>,
}

impl Watching {
    fn is_over(&self) -> bool {
        self.plan.strong_count() == 0 && self.context.strong_count() == 0 && self.pool.reserved() == 0
    }
}

impl Watch {
    /// Whether nothing holds on to a job and all memory was returned.
    pub(super) fn is_idle(&self) -> bool {
        let mut jobs = self.0.lock();
        jobs.retain(|job| !job.is_over());
        jobs.is_empty()
    }

    /// What is not over yet, in words.
    pub(super) fn left(&self) -> String {
        let jobs = self.0.lock();
        let reserved = jobs.first().map_or(0, |job| job.pool.reserved());
        format!("{} jobs are held on to and {reserved} bytes are not returned", jobs.len())
    }
}

/// Hands jobs on to the scheduler under test.
#[derive(Debug)]
pub(super) struct Watched<S> {
    scheduler: S,
    watch: Watch,
}

impl<S> Watched<S> {
    pub(super) fn new(scheduler: S, watch: Watch) -> Self {
        Self { scheduler, watch }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Scheduler> Scheduler for Watched<S> {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        self.scheduler.configure(builder)
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        let plan = Arc::downgrade(&*job.plan);
        let pool = Arc::clone(job.context.memory_pool());
        self.watch.0.lock().push(Watching { plan, context: Arc::downgrade(&job.context), pool });
        self.scheduler.execute(job).await
    }

    fn nodes(&self) -> &[&str] {
        self.scheduler.nodes()
    }

    fn slices(&self, leaf: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
        self.scheduler.slices(leaf)
    }
}

/// An engine needs a catalog, even where nothing is read from one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Empty;

#[async_trait]
impl CatalogProvider for Empty {
    async fn open(&self, _request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        Ok(Arc::new(Self))
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None
    }
}

fn nothing<T>() -> Result<T> {
    Err(Error::unsupported("this catalog holds nothing and cannot be changed"))
}

#[async_trait]
impl CatalogSession for Empty {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        Err(Error::not_found(format!("schema {schema} does not exist")))
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        names.iter().map(|name| Err(Error::not_found(format!("table {name} does not exist")))).collect()
    }

    async fn scan(&self, _request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        nothing()
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        nothing()
    }

    async fn begin(&self, _request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        nothing()
    }

    async fn change(&self, _change: CatalogChange, _grant: &WriteGrant) -> Result<()> {
        nothing()
    }
}
