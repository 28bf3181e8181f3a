//! Statements run on threads of their own, so that one that computes without a pause keeps nobody from logging in,
//! asking something small, or cancelling.

use std::thread::available_parallelism;

use anyhow::{Context, Result};
use async_trait::async_trait;
use datafusion::{
    execution::{SendableRecordBatchStream, SessionStateBuilder},
    physical_plan::{execute_stream, stream::RecordBatchReceiverStreamBuilder},
};
use futures::StreamExt;
use sqe_core::{
    engine::Limits,
    scheduler::{Job, Scheduler},
};
use tokio::runtime::{Builder, Runtime};

/// Batches that may wait between a statement's threads and those of the network.
const BATCHES_AHEAD: usize = 2;

/// How many threads there are at most, unless the machine has more than a quarter as many cores.
const ENOUGH: usize = 64;

/// Runs plans in this process, on threads that do nothing else.
#[derive(Debug)]
pub(crate) struct OwnThreads {
    runtime: Option<Runtime>,
}

impl OwnThreads {
    /// Some operators do not give way while they look for a next row. So there are more threads than one person's
    /// statements can occupy, and the operating system shares the cores among them.
    ///
    /// # Errors
    /// The machine has no room for threads.
    pub(crate) fn new(limits: &Limits, partitions: Option<usize>) -> Result<Self> {
        let partitions = partitions.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)).max(1);
        let wanted = partitions.saturating_mul(limits.concurrent_per_person.saturating_add(1));
        let threads = wanted.min(ENOUGH.max(partitions.saturating_mul(4)));
        let mut builder = Builder::new_multi_thread();
        // Expressions are evaluated as deep as they nest.
        builder.worker_threads(threads).thread_stack_size(16 << 20).thread_name("sqe-statement").enable_all();
        Ok(Self { runtime: Some(builder.build().context("cannot start threads for statements")?) })
    }
}

impl Drop for OwnThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting is not possible here: the last owner may be a task of another runtime.
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl Scheduler for OwnThreads {
    fn configure(&self, builder: SessionStateBuilder) -> sqe_core::Result<SessionStateBuilder> {
        Ok(builder)
    }

    async fn execute(&self, job: Job) -> sqe_core::Result<SendableRecordBatchStream> {
        let stopped = || sqe_core::Error::unavailable("the server is stopping");
        let handle = self.runtime.as_ref().ok_or_else(stopped)?.handle();
        let plan = job.plan.into_inner();
        let context = job.context;
        let mut builder = RecordBatchReceiverStreamBuilder::new(plan.schema(), BATCHES_AHEAD);
        let rows = builder.tx();
        // Dropping the stream that is handed over aborts this task, and with it what it started.
        let work = async move {
            // Here and not outside: operators start their tasks where they are executed.
            let mut stream = execute_stream(plan, context)?;
            while let Some(batch) = stream.next().await {
                let failed = batch.is_err();
                if rows.send(batch).await.is_err() || failed {
                    break;
                }
            }
            Ok(())
        };
        builder.spawn_on(work, handle);
        Ok(builder.build())
    }
}

#[cfg(test)]
mod tests {
    use sqe_core::conformance::scheduler::check;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn threads_of_their_own_pass_the_kit_of_schedulers() {
        assert_eq!(check(OwnThreads::new(&Limits::default(), Some(2)).unwrap()).await, Ok(()));
    }
}
