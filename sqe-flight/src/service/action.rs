//! `DoAction`: prepared statements, cancellation, session options.

use std::{collections::HashMap, sync::Arc};

use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    sql::{
        ActionCancelQueryRequest, ActionCancelQueryResult, ActionClosePreparedStatementRequest,
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, Command, ProstMessageExt,
    },
};
use bytes::Bytes;
use prost::Message;
use sqe_core::{Error, Result, engine::StatementKind};

use super::{command, no_transaction};
use crate::{
    edge::{Views, declare, ipc_bytes},
    protocol::{
        self, CloseSessionResult, CloseStatus, GetSessionOptionsResult, OptionError, OptionErrorValue, OptionValue,
        SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult, StringListValue,
    },
    server::FlightSqlServer,
    session::{Closed, FlightSession},
};

/// The session options that exist.
const CATALOG: &str = "catalog";
const SCHEMA: &str = "schema";
/// `true`: `Utf8View` and `BinaryView` are sent as they are.
const VIEWS: &str = "arrow_views";

/// The longest name of a catalog or a schema, in bytes: the session keeps it.
const MAX_NAME: usize = 1024;
/// The session options that tell whose session it is. Nobody sets them.
const ISSUER: &str = "issuer";
const SUBJECT: &str = "subject";
const GROUPS: &str = "groups";
/// When the credentials end, as RFC 3339; absent if they do not end by themselves.
const EXPIRES_AT: &str = "expires_at";

/// What `ListActions` tells.
pub(super) fn all() -> impl Iterator<Item = ActionType> + Send {
    [
        (protocol::CREATE_PREPARED_STATEMENT, "prepares a statement"),
        (protocol::CLOSE_PREPARED_STATEMENT, "closes a prepared statement"),
        (protocol::CANCEL_FLIGHT_INFO, "stops a query"),
        (protocol::CANCEL_QUERY, "stops a query; deprecated, use CancelFlightInfo"),
        (protocol::SET_SESSION_OPTIONS, "sets the session's catalog, schema or arrow_views"),
        (protocol::GET_SESSION_OPTIONS, "tells the session's options"),
        (protocol::CLOSE_SESSION, "closes a session that a handshake opened"),
    ]
    .into_iter()
    .map(|(name, description)| ActionType { r#type: name.to_owned(), description: description.to_owned() })
}

/// Reads a message that stands in the body by itself (Flight's own actions).
fn plain<M: Message + Default>(body: &Bytes) -> Result<M> {
    M::decode(body.as_ref()).map_err(|error| Error::invalid("a malformed action").with_source(error))
}

/// Reads a message that is wrapped in an `Any` (Flight SQL's actions).
fn wrapped<M: ProstMessageExt>(body: &Bytes) -> Result<M> {
    let any: Any = plain(body)?;
    any.unpack().ok().flatten().ok_or_else(|| Error::invalid("the action's body is not what its name says"))
}

impl FlightSqlServer {
    /// Does it, and gives the answer, if it has one.
    pub(super) async fn act(
        &self,
        session: &Arc<FlightSession>,
        action: &Action,
    ) -> Result<impl Iterator<Item = arrow_flight::Result> + Send + use<>> {
        let answer = match action.r#type.as_str() {
            protocol::CREATE_PREPARED_STATEMENT => {
                let request: ActionCreatePreparedStatementRequest = wrapped(&action.body)?;
                no_transaction(request.transaction_id.as_ref())?;
                let result = self.create_prepared(session, request.query).await?;
                Some(result.as_any().encode_to_vec())
            }
            protocol::CLOSE_PREPARED_STATEMENT => {
                let request: ActionClosePreparedStatementRequest = wrapped(&action.body)?;
                session.unprepare(&request.prepared_statement_handle);
                None
            }
            protocol::CANCEL_FLIGHT_INFO => {
                let request: CancelFlightInfoRequest = plain(&action.body)?;
                cancel(session, request.info)?;
                Some(CancelFlightInfoResult::new(CancelStatus::Cancelled).encode_to_vec())
            }
            protocol::CANCEL_QUERY => {
                let request: ActionCancelQueryRequest = wrapped(&action.body)?;
                cancel(session, Some(plain(&request.info)?))?;
                // `CANCEL_RESULT_CANCELLED` of `ActionCancelQueryResult.CancelResult`.
                Some(ActionCancelQueryResult { result: 1 }.as_any().encode_to_vec())
            }
            protocol::SET_SESSION_OPTIONS => {
                let request: SetSessionOptionsRequest = plain(&action.body)?;
                Some(set_options(session, request).encode_to_vec())
            }
            protocol::GET_SESSION_OPTIONS => Some(options(session).encode_to_vec()),
            protocol::CLOSE_SESSION => {
                let status = match self.sessions.close(session) {
                    Closed::Yes => CloseStatus::Closed,
                    Closed::Shared => CloseStatus::NotCloseable,
                };
                Some(CloseSessionResult { status: status.into() }.encode_to_vec())
            }
            "BeginTransaction" | "EndTransaction" | "BeginSavepoint" | "EndSavepoint" => {
                return Err(Error::unsupported("transactions are not offered; each statement is its own"));
            }
            "CreatePreparedSubstraitPlan" => {
                return Err(Error::unsupported("Substrait plans are not offered; prepare SQL"));
            }
            "RenewFlightEndpoint" => {
                // They say no time at which they expire, so there is nothing to renew.
                return Err(Error::unsupported("endpoints are not renewed; ask again"));
            }
            other => return Err(Error::unsupported(format!("the action {other:.100} is not known here"))),
        };
        Ok(answer.map(arrow_flight::Result::new).into_iter())
    }

    async fn create_prepared(
        &self,
        session: &FlightSession,
        sql: String,
    ) -> Result<ActionCreatePreparedStatementResult> {
        let prepared = self.prepare(session, sql).await?;
        // No schema tells drivers that there are no rows, so that they run it as an update.
        let dataset_schema = match prepared.kind {
            StatementKind::Query => ipc_bytes(&prepared.declared)?,
            _ => Bytes::new(),
        };
        let parameter_schema = ipc_bytes(&declare(&prepared.parameters, session.views()))?;
        let handle = session.prepare(prepared, &self.settings)?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.to_vec().into(),
            dataset_schema,
            parameter_schema,
        })
    }
}

/// A statement that is being polled has no ticket yet; its info carries the handle by itself.
fn cancel(session: &FlightSession, info: Option<FlightInfo>) -> Result<()> {
    let info = info.ok_or_else(|| Error::invalid("there is no info of what is to be cancelled"))?;
    let Some(ticket) = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket) else {
        return match info.app_metadata.is_empty() {
            false => session.cancel(&info.app_metadata),
            true => Err(Error::invalid("the info has no ticket")),
        };
    };
    match command(&ticket.ticket)? {
        Command::TicketStatementQuery(query) => session.cancel(&query.statement_handle),
        _ => Err(Error::not_found("there is nothing to cancel: this is no query")),
    }
}

/// Whether it can be a name at all. Whether there is anything of this name is told when it is used.
fn is_name(value: &str) -> bool {
    !value.is_empty() && value.len() <= MAX_NAME
}

fn set_options(session: &FlightSession, request: SetSessionOptionsRequest) -> SetSessionOptionsResult {
    let mut errors = HashMap::new();
    let initial = session.initial_defaults();
    for (name, SessionOptionValue { option_value }) in request.session_options {
        let outcome = match (name.as_str(), option_value) {
            (CATALOG, Some(OptionValue::String(value))) if is_name(&value) => {
                session.engine.set_defaults(Some(value), None);
                Ok(())
            }
            (SCHEMA, Some(OptionValue::String(value))) if is_name(&value) => {
                session.engine.set_defaults(None, Some(value));
                Ok(())
            }
            (VIEWS, Some(OptionValue::Bool(keep))) => {
                session.set_views(if keep { Views::Keep } else { Views::Flatten });
                Ok(())
            }
            // Some drivers know texts alone.
            (VIEWS, Some(OptionValue::String(value))) if value == "true" || value == "false" => {
                session.set_views(if value == "true" { Views::Keep } else { Views::Flatten });
                Ok(())
            }
            // Without a value the option goes back to what it was.
            (CATALOG, None) => {
                session.engine.set_defaults(Some(initial.0.clone()), None);
                Ok(())
            }
            (SCHEMA, None) => {
                session.engine.set_defaults(None, Some(initial.1.clone()));
                Ok(())
            }
            (VIEWS, None) => {
                session.set_views(Views::default());
                Ok(())
            }
            (CATALOG | SCHEMA | VIEWS, _) => Err(OptionErrorValue::InvalidValue),
            (ISSUER | SUBJECT | GROUPS | EXPIRES_AT, _) => Err(OptionErrorValue::Error),
            _ => Err(OptionErrorValue::InvalidName),
        };
        if let Err(error) = outcome {
            errors.insert(name, OptionError { value: error.into() });
        }
    }
    SetSessionOptionsResult { errors }
}

fn options(session: &FlightSession) -> GetSessionOptionsResult {
    let (catalog, schema) = session.engine.defaults();
    let identity = session.engine.identity();
    let groups = StringListValue { values: identity.groups.iter().cloned().collect() };
    let mut values = vec![
        (CATALOG, OptionValue::String(catalog)),
        (SCHEMA, OptionValue::String(schema)),
        (VIEWS, OptionValue::Bool(session.views() == Views::Keep)),
        (ISSUER, OptionValue::String(identity.principal.issuer.clone())),
        (SUBJECT, OptionValue::String(identity.principal.subject.clone())),
        (GROUPS, OptionValue::StringList(groups)),
    ];
    if let Some(end) = identity.expires_at {
        values.push((EXPIRES_AT, OptionValue::String(end.to_rfc3339())));
    }
    let session_options = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), SessionOptionValue { option_value: Some(value) }))
        .collect();
    GetSessionOptionsResult { session_options }
}
