//! `DoPut` of rows for a table: `CommandStatementIngest`.
//!
//! The rows are never all here at once: the engine takes them batch by batch, and while it has enough to do with one, the
//! client waits.

use std::{collections::HashMap, panic::AssertUnwindSafe, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::SchemaRef,
    ipc::{MessageHeader, root_as_message},
};
use arrow_flight::{
    FlightData,
    decode::{DecodedPayload, FlightDataDecoder},
    error::FlightError,
    sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption},
};
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use sqe_core::{
    Error, ErrorKind, Result, TableName,
    engine::{Ingest, IngestMode},
};
use tonic::Status;

use super::no_transaction;
use crate::{
    bind::{unreadable, weight},
    edge::{Views, conform, declare, unpacked_bytes},
    server::FlightSqlServer,
    session::{FlightSession, Share},
    settings::Settings,
    status::{from_status, refuse},
};

impl FlightSqlServer {
    /// Loads what follows the command into a table, and gives the number of rows.
    pub(super) async fn ingest<S>(
        &self,
        session: &FlightSession,
        command: CommandStatementIngest,
        messages: S,
    ) -> Result<i64>
    where
        S: Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
    {
        let ingest = wanted(session, command)?;
        let share = self.sessions.parameters_of(session);
        let (schema, rows) = received(messages, &self.settings, share).await?;
        let loaded = session.engine.ingest_batches(ingest, schema, rows).await;
        session.touch();
        Ok(i64::try_from(loaded?).unwrap_or(i64::MAX))
    }
}

/// What the command asks for.
///
/// # Errors
/// `InvalidInput` for what makes no sense, `Unsupported` for what is not offered.
fn wanted(session: &FlightSession, command: CommandStatementIngest) -> Result<Ingest> {
    no_transaction(command.transaction_id.as_ref())?;
    if command.temporary {
        return Err(Error::unsupported("temporary tables are not offered; load into a table and drop it afterwards"));
    }
    if let Some(option) = command.options.keys().min() {
        return Err(Error::invalid(format!("the option {option:.100} of a load is not known here; leave it out")));
    }
    if command.table.is_empty() {
        return Err(Error::invalid("the load names no table"));
    }
    let options = command.table_definition_options.unwrap_or_default();
    let mode = mode(options.if_not_exist(), options.if_exists())?;
    // The schema of names without one is that of the default catalog.
    let (catalog, schema) = session.engine.defaults();
    let given = |name: Option<String>, default| name.filter(|name| !name.is_empty()).unwrap_or(default);
    let table = TableName::new(given(command.catalog, catalog), given(command.schema, schema), command.table);
    Ok(Ingest::new(table, mode))
}

fn mode(missing: TableNotExistOption, present: TableExistsOption) -> Result<IngestMode> {
    use TableExistsOption as Present;
    use TableNotExistOption as Missing;
    Ok(match (missing, present) {
        (Missing::Create, Present::Fail) => IngestMode::Create,
        (Missing::Create, Present::Append) => IngestMode::CreateOrAppend,
        (Missing::Create, Present::Replace) => IngestMode::CreateOrReplace,
        (Missing::Fail, Present::Append) => IngestMode::Append,
        (Missing::Fail, Present::Replace) => IngestMode::Replace,
        (Missing::Fail, Present::Fail) => {
            return Err(Error::invalid("a load that fails whether the table is there or not loads nothing"));
        }
        (Missing::Unspecified, _) | (_, Present::Unspecified) => {
            return Err(Error::invalid("the load must say what to do if the table exists, and if it does not"));
        }
    })
}

/// Reads the schema, and gives the rows as they will come: without dictionaries and views, which are the client's own way to
/// pack them.
///
/// # Errors
/// `InvalidInput` for anything that is not Arrow data, what the transport says; later, for the rows, also
/// `ResourceExhausted` past the limits of one batch and of what is held for the person, and `DeadlineExceeded` if the client
/// sends nothing for too long.
async fn received<S>(
    messages: S,
    settings: &Settings,
    share: Share,
) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)>
where
    S: Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
{
    let limit = settings.max_parameter_bytes;
    let mut dictionaries = Dictionaries::default();
    let weighed = paced(messages, settings.stream_idle_timeout)
        // The first message may carry the command alone.
        .try_filter(|message| futures::future::ready(!message.data_header.is_empty()))
        .map(move |message| {
            let message = message?;
            let bytes = weight(&message)?.saturating_add(dictionaries.held(&message));
            match bytes > limit {
                true => Err(FlightError::from(refuse(too_large(limit)))),
                false => Ok(message),
            }
        });
    // The decoder trusts lengths and offsets of the messages; a forged one must not take more with it than this load.
    let decoded = AssertUnwindSafe(FlightDataDecoder::new(weighed)).catch_unwind();
    let mut decoded = decoded.map(|step| match step {
        Ok(Ok(data)) => Ok(data.payload),
        Ok(Err(FlightError::Tonic(status))) => Err(from_status(&status)),
        Ok(Err(error)) => Err(unreadable().with_source(error)),
        Err(_) => Err(unreadable()),
    });
    let schema = loop {
        match decoded.try_next().await? {
            Some(DecodedPayload::Schema(schema)) => break schema,
            Some(DecodedPayload::None) => {}
            Some(DecodedPayload::RecordBatch(_)) | None => {
                return Err(Error::invalid("the load has no schema; send one before the rows, also if there are none"));
            }
        }
    };
    let declared = declare(&schema, Views::Flatten);
    let columns = Arc::clone(&declared);
    let rows = decoded.filter_map(move |step| {
        let batch = match step {
            Ok(DecodedPayload::RecordBatch(batch)) => plain(&batch, &columns, limit, &share).map(Some),
            Ok(DecodedPayload::None) => Ok(None),
            Ok(DecodedPayload::Schema(_)) => Err(Error::invalid("the columns of a load cannot change in its middle")),
            Err(error) => Err(error),
        };
        futures::future::ready(batch.transpose())
    });
    Ok((declared, rows.boxed()))
}

fn too_large(limit: usize) -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        format!("more than {limit} bytes in one batch of a load; send smaller batches"),
    )
}

/// A batch as it is without packing, which may take far more than what came over the wire.
fn plain(batch: &RecordBatch, columns: &SchemaRef, limit: usize, share: &Share) -> Result<RecordBatch> {
    let bytes = unpacked_bytes(batch);
    if bytes > limit {
        return Err(too_large(limit));
    }
    share.grow_to(bytes)?;
    conform(batch, columns).map_err(|error| unreadable().with_source(error))
}

/// Ends with an error once the client has sent nothing for `idle`.
fn paced<S>(messages: S, idle: std::time::Duration) -> impl Stream<Item = Result<FlightData, FlightError>> + Send
where
    S: Stream<Item = Result<FlightData, Status>> + Send + Unpin + 'static,
{
    let late = move || {
        let seconds = idle.as_secs();
        refuse(Error::new(ErrorKind::DeadlineExceeded, format!("the load sent nothing for {seconds} seconds")))
    };
    stream::unfold(Some(messages), move |messages| async move {
        let mut messages = messages?;
        match tokio::time::timeout(idle, messages.next()).await {
            Ok(Some(Ok(message))) => Some((Ok(message), Some(messages))),
            Ok(Some(Err(status))) => Some((Err(FlightError::from(status)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(FlightError::from(late())), None)),
        }
    })
}

/// Dictionaries stay with the decoder until they are replaced, so they count together.
#[derive(Default)]
struct Dictionaries(HashMap<i64, usize>);

impl Dictionaries {
    /// The bytes of all that are held, once `message` is read.
    fn held(&mut self, message: &FlightData) -> usize {
        let header = root_as_message(&message.data_header).ok();
        let dictionary = header
            .filter(|header| header.header_type() == MessageHeader::DictionaryBatch)
            .and_then(|header| header.header_as_dictionary_batch());
        if let Some(dictionary) = dictionary {
            let delta = dictionary.isDelta();
            let held = self.0.entry(dictionary.id()).or_default();
            let before = if delta { *held } else { 0 };
            *held = before.saturating_add(message.data_body.len());
        }
        self.0.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(TableNotExistOption::Create, TableExistsOption::Fail, Some(IngestMode::Create))]
    #[case(TableNotExistOption::Create, TableExistsOption::Append, Some(IngestMode::CreateOrAppend))]
    #[case(TableNotExistOption::Create, TableExistsOption::Replace, Some(IngestMode::CreateOrReplace))]
    #[case(TableNotExistOption::Fail, TableExistsOption::Append, Some(IngestMode::Append))]
    #[case(TableNotExistOption::Fail, TableExistsOption::Replace, Some(IngestMode::Replace))]
    #[case(TableNotExistOption::Fail, TableExistsOption::Fail, None)]
    #[case(TableNotExistOption::Unspecified, TableExistsOption::Append, None)]
    #[case(TableNotExistOption::Create, TableExistsOption::Unspecified, None)]
    fn every_pair_of_options_means_one_thing_or_is_refused(
        #[case] missing: TableNotExistOption,
        #[case] present: TableExistsOption,
        #[case] expected: Option<IngestMode>,
    ) {
        match (mode(missing, present), expected) {
            (Ok(mode), expected) => assert_eq!(Some(mode), expected),
            (Err(error), expected) => assert_eq!((error.kind(), expected), (ErrorKind::InvalidInput, None)),
        }
    }
}
