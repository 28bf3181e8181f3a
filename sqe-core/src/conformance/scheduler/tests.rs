use datafusion::{
    execution::{SendableRecordBatchStream, SessionStateBuilder},
    physical_plan::{
        ExecutionPlanProperties, execute_stream,
        stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter},
    },
};
use futures::{TryStreamExt, future::ready, stream};
use rstest::rstest;

use super::*;
use crate::{
    Error,
    scheduler::{Job, LocalScheduler},
};

/// One way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    OnePartition,
    EndsAtErrors,
    OtherErrors,
    RepeatsBatches,
    MixesUp,
    GoesOn,
    KeepsJobs,
    Refuses,
}

#[derive(Debug)]
struct Faulty {
    fault: Fault,
    kept: parking_lot::Mutex<Vec<Arc<dyn datafusion::physical_plan::ExecutionPlan>>>,
}

#[async_trait::async_trait]
impl Scheduler for Faulty {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        Ok(builder)
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        let (plan, context) = (job.plan.into_inner(), job.context);
        let schema = plan.schema();
        let around = |inner: futures::stream::BoxStream<'static, _>| {
            Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), inner)) as SendableRecordBatchStream)
        };
        let partitions = plan.output_partitioning().partition_count();
        if self.fault == Fault::KeepsJobs {
            self.kept.lock().push(Arc::clone(&plan));
        }
        match self.fault {
            Fault::OnePartition => return Ok(plan.execute(0, context)?),
            Fault::Refuses => return Err(Error::unavailable("no workers")),
            Fault::MixesUp if partitions == 1 => {
                let batches: Vec<_> = execute_stream(plan, context)?.try_collect().await?;
                return around(stream::iter(batches.into_iter().rev().map(Ok)).boxed());
            }
            _ => {}
        }
        let mut rows = execute_stream(plan, context)?;
        match self.fault {
            Fault::EndsAtErrors => around(rows.take_while(|batch| ready(batch.is_ok())).boxed()),
            Fault::OtherErrors => around(rows.map_err(|_| Error::internal("a worker failed").into()).boxed()),
            Fault::RepeatsBatches => around(
                rows.flat_map(|batch| match batch {
                    Ok(batch) => stream::iter(vec![Ok(batch.clone()), Ok(batch)]),
                    error => stream::iter(vec![error]),
                })
                .boxed(),
            ),
            Fault::GoesOn => {
                let mut builder = RecordBatchReceiverStreamBuilder::new(schema, 1);
                let sender = builder.tx();
                tokio::spawn(async move {
                    while let Some(batch) = rows.next().await {
                        drop(sender.send(batch).await);
                    }
                });
                builder.spawn(async { Ok(()) });
                Ok(builder.build())
            }
            _ => Ok(rows),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn this_process_passes() {
    assert_eq!(check(LocalScheduler).await, Ok(()));
}

#[rstest]
#[case(Fault::OnePartition, "in this process; the first that differs")]
#[case(Fault::EndsAtErrors, "as if it were whole")]
#[case(Fault::OtherErrors, "fails as internal instead of invalid_input")]
#[case(Fault::RepeatsBatches, "in this process; the first that differs")]
#[case(Fault::MixesUp, "ORDER BY")]
#[case(Fault::GoesOn, "goes on after its stream was dropped")]
#[case(Fault::KeepsJobs, "goes on after its stream was dropped")]
#[case(Fault::Refuses, "no workers")]
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_is_found(#[case] fault: Fault, #[case] said: &str) {
    let found = check(Faulty { fault, kept: parking_lot::Mutex::default() }).await.unwrap_err();
    assert!(found.contains(said), "{found}");
}
