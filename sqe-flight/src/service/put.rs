//! `DoPut`: changes, parameters, and rows for a table.

use std::{pin::Pin, sync::Arc};

use arrow::array::RecordBatch;
use arrow_flight::{
    FlightData, PutResult,
    sql::{Command, DoPutPreparedStatementResult, DoPutUpdateResult},
};
use futures::StreamExt;
use prost::Message;
use sqe_core::{Error, Result, engine::Statement};
use tonic::Streaming;

use super::{described, no_transaction, not_offered, statement::parameters};
use crate::{
    bind::{self, Parameters},
    edge::unpacked_bytes,
    server::FlightSqlServer,
    session::{Bound, FlightSession, Prepared, Share},
    status::from_status,
};

impl FlightSqlServer {
    pub(super) async fn put(&self, session: &FlightSession, messages: Streaming<FlightData>) -> Result<PutResult> {
        // The first message carries the command and may carry the schema of what follows.
        let mut messages = messages.peekable();
        let descriptor = match Pin::new(&mut messages).peek().await {
            Some(Ok(first)) => first.flight_descriptor.clone(),
            Some(Err(status)) => return Err(from_status(status)),
            None => None,
        };
        let descriptor = descriptor.ok_or_else(|| Error::invalid("the first message must carry a command"))?;
        let limit = self.settings.max_parameter_bytes;
        let result = match described(&descriptor)? {
            Command::CommandStatementUpdate(update) => {
                no_transaction(update.transaction_id.as_ref())?;
                let statement = Statement::new(self.admit(session, &update.query).await?);
                let record_count = self.update(session, statement).await?;
                DoPutUpdateResult { record_count }.encode_to_vec()
            }
            Command::CommandPreparedStatementUpdate(update) => {
                let prepared = session.prepared(&update.prepared_statement_handle, &self.settings)?;
                let share = self.sessions.parameters_of(session);
                let bound = match bind::read(messages, limit, share.clone()).await? {
                    Some(batches) => Some(Arc::new(bound(batches, &prepared, share)?)),
                    None => prepared.bound.lock().clone(),
                };
                let updated = self.update_prepared(session, &prepared, parameters(bound.as_deref())).await;
                prepared.touch();
                let record_count = updated?;
                DoPutUpdateResult { record_count }.encode_to_vec()
            }
            Command::CommandPreparedStatementQuery(query) => {
                let prepared = session.prepared(&query.prepared_statement_handle, &self.settings)?;
                let share = self.sessions.parameters_of(session);
                let batches = bind::read(messages, limit, share.clone()).await?.unwrap_or_default();
                let bound = bound(batches, &prepared, share)?;
                *prepared.bound.lock() = Some(Arc::new(bound));
                DoPutPreparedStatementResult { prepared_statement_handle: Some(query.prepared_statement_handle) }
                    .encode_to_vec()
            }
            Command::CommandStatementIngest(command) => {
                let record_count = self.ingest(session, command, messages).await?;
                DoPutUpdateResult { record_count }.encode_to_vec()
            }
            other => return Err(not_offered(&other)),
        };
        Ok(PutResult { app_metadata: result.into() })
    }
}

/// What a client sent, in the order and the types of the statement's parameters.
fn bound(batches: Vec<RecordBatch>, prepared: &Prepared, share: Share) -> Result<Bound> {
    share.grow_to(batches.iter().map(unpacked_bytes).fold(0, usize::saturating_add))?;
    Bound::new(Parameters::arrange(batches, &prepared.parameters)?, share)
}
