//! `PollFlightInfo`: a statement that works while its client asks now and then what became of it.
//!
//! A query counts as done once its first rows are there: there is one endpoint, and what is left comes through it as fast as
//! it is fetched. So nothing is kept that nobody fetches but two messages, and the time that a client spends on asking is that
//! of sorts and aggregations, which is where it goes.

use std::{sync::Arc, time::Instant};

use arrow_flight::{
    FlightDescriptor, FlightInfo, PollInfo,
    sql::{Command, ProstMessageExt, TicketStatementQuery},
};
use bytes::Bytes;
use chrono::Utc;
use prost::Message;
use sqe_core::{Error, Result, engine::Progress};
use tokio::sync::watch;

use super::{Answers, described};
use crate::{
    edge::ipc_bytes,
    server::FlightSqlServer,
    session::{Answer, FlightSession, Pending, Polled, Stage},
    token,
};

/// Messages after which a query's first rows are there: the schema, and they.
const FIRST_ROWS: usize = 2;

impl FlightSqlServer {
    pub(super) async fn poll(&self, session: &Arc<FlightSession>, descriptor: FlightDescriptor) -> Result<PollInfo> {
        let command = described(&descriptor)?;
        if let Command::TicketStatementQuery(token) = &command {
            let (handle, polled) = session.polled(&token.statement_handle)?;
            return self.news(session, handle, &polled).await;
        }
        if self.metadata.schema(&command).is_some() {
            let info = self.flight_info(session, descriptor).await?;
            return Ok(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::new() });
        }
        let handle = token::random()?;
        let (stage, stages) = watch::channel(Stage::Working { schema: Bytes::new(), progress: Progress::default() });
        let (server, working) = (self.clone(), Arc::clone(session));
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            // Nothing runs that nobody could stop.
            if begun.await.is_ok() {
                let outcome = server.work(&working, handle, command, &stage).await;
                if let Err(error) = outcome {
                    stage.send_replace(Stage::Failed(error));
                }
            }
        });
        let polled = Arc::new(Polled::new(descriptor, stages, task.abort_handle()));
        session.begin_poll(handle, Arc::clone(&polled), &self.settings)?;
        let _waits = begin.send(());
        self.news(session, handle, &polled).await
    }

    /// Does what the command asks for until its rows can be fetched, or are there.
    async fn work(
        &self,
        session: &Arc<FlightSession>,
        handle: [u8; 32],
        command: Command,
        stage: &watch::Sender<Stage>,
    ) -> Result<()> {
        let pending = self.answer(session, command).await?;
        let declared = Arc::clone(&pending.declared);
        let schema = ipc_bytes(&declared)?;
        let (pending, records) = match &pending.answer {
            Answer::Done(batches) => {
                let records = batches.iter().map(|batch| batch.num_rows()).sum::<usize>();
                (pending, records.try_into().unwrap_or(-1))
            }
            Answer::Planned(plans) => {
                let progress = match plans.as_slice() {
                    [one] => one.progress(),
                    _ => Progress::default(),
                };
                stage.send_replace(Stage::Working { schema: schema.clone(), progress });
                let mut delivery = self.start(session, Some(handle), pending);
                delivery.read_ahead(FIRST_ROWS).await?;
                let rows: Answers<arrow_flight::FlightData> = Box::pin(delivery);
                (Pending::new(declared, Answer::Started(rows)), -1)
            }
            Answer::Started(_) => return Err(Error::internal("an answer was started before it was asked for")),
        };
        session.keep_as(handle, pending, &self.settings)?;
        stage.send_replace(Stage::Ready { schema, records });
        Ok(())
    }

    /// What there is to tell, once there is something new or nothing for a while.
    async fn news(&self, session: &FlightSession, handle: [u8; 32], polled: &Polled) -> Result<PollInfo> {
        let mut stages = polled.stages();
        let until = Instant::now() + self.settings.poll_wait;
        loop {
            let stage = stages.borrow_and_update().clone();
            match stage {
                Stage::Failed(error) => {
                    session.end_poll(&handle);
                    return Err(error);
                }
                Stage::Ready { schema, records } => {
                    let ticket = ticket(&handle);
                    let info = self.info(polled.descriptor.clone(), schema, ticket).with_total_records(records);
                    let info = info.with_app_metadata(handle.to_vec());
                    return Ok(PollInfo { info: Some(info), progress: Some(1.0), ..PollInfo::new() });
                }
                Stage::Working { schema, progress } => {
                    match tokio::time::timeout_at(until.into(), stages.changed()).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Err(polled.ending().error()),
                        Err(_) => return Ok(self.unfinished(&handle, polled, schema, &progress)),
                    }
                }
            }
        }
    }

    fn unfinished(&self, handle: &[u8; 32], polled: &Polled, schema: Bytes, progress: &Progress) -> PollInfo {
        // No endpoint yet; what cancels the statement is the handle.
        let info = FlightInfo { schema, ..FlightInfo::new() }
            .with_descriptor(polled.descriptor.clone())
            .with_total_records(-1)
            .with_app_metadata(handle.to_vec());
        let expires = Utc::now() + self.settings.ticket_ttl;
        PollInfo {
            info: Some(info),
            flight_descriptor: Some(FlightDescriptor::new_cmd(ticket(handle))),
            progress: progress.fraction(),
            expiration_time: Some(prost_types::Timestamp {
                seconds: expires.timestamp(),
                nanos: i32::try_from(expires.timestamp_subsec_nanos()).unwrap_or(0),
            }),
        }
    }
}

/// The same bytes are the ticket of the rows, and what is asked with about them.
fn ticket(handle: &[u8; 32]) -> Vec<u8> {
    TicketStatementQuery { statement_handle: handle.to_vec().into() }.as_any().encode_to_vec()
}
