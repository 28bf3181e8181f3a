//! A scheduler of one's own: so many plans run at once and no more; the others wait for a while.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Error, Result, ensure};
use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionStateBuilder},
    physical_plan::{execute_stream, stream::RecordBatchStreamAdapter},
};
use futures::StreamExt;
use sqe_auth::DevPerson;
use sqe_catalog::MemoryCatalog;
use sqe_core::{
    ErrorKind,
    conformance::scheduler::check,
    scheduler::{Job, Scheduler},
};
use sqe_examples::{People, ask};
use tokio::{sync::Semaphore, time::timeout};

// ANCHOR: scheduler
/// Runs plans in this process, each in a lane of its own.
#[derive(Debug)]
struct Lanes {
    free: Arc<Semaphore>,
    patience: Duration,
}

impl Lanes {
    fn new(lanes: usize, patience: Duration) -> Self {
        Self { free: Arc::new(Semaphore::new(lanes)), patience }
    }
}

#[async_trait]
impl Scheduler for Lanes {
    fn configure(&self, builder: SessionStateBuilder) -> sqe_core::Result<SessionStateBuilder> {
        // A planner that splits plans for other machines would be set here.
        Ok(builder)
    }

    async fn execute(&self, job: Job) -> sqe_core::Result<SendableRecordBatchStream> {
        let full = || sqe_core::Error::exhausted("all lanes are taken; try again later");
        // A job that is dropped while it waits leaves the queue.
        let lane = timeout(self.patience, Arc::clone(&self.free).acquire_owned()).await.map_err(|_| full())?;
        let lane = lane.map_err(|_| sqe_core::Error::unavailable("the engine is stopping"))?;
        let rows = execute_stream(job.plan.into_inner(), job.context)?;
        let schema = rows.schema();
        // The lane goes with the rows: it is free again when they are dropped, be it at their end or before. Errors
        // pass through as they are, so that an answer that lost a part never looks whole.
        let rows = rows.inspect(move |_| {
            let _ = &lane;
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}
// ANCHOR_END: scheduler

#[tokio::main]
async fn main() -> Result<()> {
    let people = People::default();
    let builder = people.builder()?.catalog("lake", MemoryCatalog::new());
    let engine = builder.scheduler(Lanes::new(1, Duration::from_millis(200))).build()?;
    let ana = people.session(&engine, &DevPerson::new("ana")).await?;
    let ben = people.session(&engine, &DevPerson::new("ben")).await?;

    // ana takes the only lane, and ben waits in vain.
    let mut endless = ana.query("SELECT value FROM generate_series(1, 1000000000000)").await?;
    endless.next().await.context("the first rows of ana")??;
    let refused = ask(&ben, "SELECT 1").await.err().context("two plans run in one lane")?;
    println!("ben: {refused}");
    ensure!(refused.kind() == ErrorKind::ResourceExhausted, "ben is told: {refused}");

    // She goes away, and her lane is free.
    drop(endless);
    let answer = ask(&ben, "SELECT 1").await?;
    ensure!(answer == ["1"], "ben is told {answer:?}");

    // ANCHOR: kit
    check(Lanes::new(2, Duration::from_secs(60))).await.map_err(Error::msg)
    // ANCHOR_END: kit
}
