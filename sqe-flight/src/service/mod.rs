//! The calls of the Flight service. Each of them first finds out who calls; only then is anything else read.
//!
//! `arrow-flight` offers a trait of its own that dispatches Flight SQL commands. It answers malformed commands with
//! internals, leaves authentication to every single method, and keeps `GetSchema` and `PollFlightInfo` for itself; so
//! the dispatch is done here.

mod action;
mod deliver;
mod ingest;
mod poll;
mod put;
mod statement;

use std::sync::Arc;

use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
    flight_descriptor::DescriptorType,
    flight_service_server::FlightService,
    sql::{Any, Command, ProstMessageExt, TicketStatementQuery},
};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use sqe_core::{CertificateChain, Error, Result, audit::ClientInfo};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    edge::ipc_bytes,
    incoming::Peer,
    server::FlightSqlServer,
    session::{Answer, FlightSession, Pending},
    status::refuse,
};

/// A stream of answers.
type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// Reads a Flight SQL command.
fn command(bytes: &[u8]) -> Result<Command> {
    let any = Any::decode(bytes).map_err(|error| Error::invalid("not a Flight SQL command").with_source(error))?;
    Command::try_from(any).map_err(|error| Error::invalid("a malformed Flight SQL command").with_source(error))
}

/// Reads the command of a descriptor.
fn described(descriptor: &FlightDescriptor) -> Result<Command> {
    match descriptor.r#type() {
        DescriptorType::Cmd => command(&descriptor.cmd),
        _ => Err(Error::unsupported("flights have no paths here; send a Flight SQL command")),
    }
}

/// What is said about commands that are known and not offered.
fn not_offered(command: &Command) -> Error {
    match command {
        Command::CommandStatementSubstraitPlan(_) => Error::unsupported("Substrait plans are not offered; send SQL"),
        Command::Unknown(any) => {
            let name = any.type_url.rsplit(['/', '.']).next().unwrap_or_default();
            Error::unsupported(format!("the command {name:.100} is not known here"))
        }
        _ => Error::invalid("this command does not belong into this call"),
    }
}

/// Refuses a transaction's id: no transaction can have begun.
fn no_transaction(id: Option<&Bytes>) -> Result<()> {
    match id {
        Some(id) if !id.is_empty() => {
            Err(Error::unsupported("transactions are not offered; each statement is its own"))
        }
        _ => Ok(()),
    }
}

/// The certificates that the caller's connection showed and whose key it proved to hold.
fn certificates<T>(request: &Request<T>) -> Option<Arc<CertificateChain>> {
    if let Some(peer) = request.extensions().get::<Peer>() {
        return peer.certificates.clone();
    }
    // This service stands behind tonic's own TLS.
    let chain = request.peer_certs()?;
    Some(Arc::new(CertificateChain::new(chain.iter().map(|certificate| certificate.as_ref().to_vec()))))
}

/// What the audit trail keeps about where a call came from.
fn client<T>(request: &Request<T>) -> ClientInfo {
    let mut info = ClientInfo::new("flight-sql");
    let peer = request.extensions().get::<Peer>();
    if let Some(address) = peer.map_or_else(|| request.remote_addr(), |peer| peer.address) {
        info = info.with_address(address.to_string());
    }
    if let Some(agent) = request.metadata().get("user-agent").and_then(|value| value.to_str().ok()) {
        info = info.with_application(agent.chars().take(200).collect::<String>());
    }
    info
}

impl FlightSqlServer {
    async fn caller<T>(&self, request: &Request<T>) -> Result<Arc<FlightSession>> {
        let certificates = certificates(request);
        self.sessions.authenticate(request.metadata(), certificates.as_deref(), || client(request)).await
    }

    /// One endpoint, to be fetched from this server. No expiry: with one, clients would take it as a promise that they
    /// may fetch again.
    fn info(&self, descriptor: FlightDescriptor, schema: Bytes, ticket: Vec<u8>) -> FlightInfo {
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket));
        FlightInfo {
            schema,
            ..FlightInfo::new().with_descriptor(descriptor).with_endpoint(endpoint).with_ordered(true)
        }
    }

    async fn flight_info(&self, session: &FlightSession, descriptor: FlightDescriptor) -> Result<FlightInfo> {
        let command = described(&descriptor)?;
        if let Some(schema) = self.metadata.schema(&command) {
            // The same command asks for the rows.
            let ticket = command.into_any().encode_to_vec();
            return Ok(self.info(descriptor, ipc_bytes(&schema)?, ticket));
        }
        let pending = self.answer(session, command).await?;
        let schema = ipc_bytes(&pending.declared)?;
        let records = match &pending.answer {
            Answer::Done(batches) => {
                batches.iter().map(|batch| batch.num_rows()).sum::<usize>().try_into().unwrap_or(-1)
            }
            Answer::Planned(_) | Answer::Started(_) => -1,
        };
        let share = self.sessions.keep_for(session, pending.bytes())?;
        let handle = session.keep(pending.with_share(share), &self.settings)?;
        let ticket = TicketStatementQuery { statement_handle: handle.to_vec().into() }.as_any().encode_to_vec();
        Ok(self.info(descriptor, schema, ticket).with_total_records(records))
    }

    async fn rows(&self, session: &Arc<FlightSession>, ticket: &Ticket) -> Result<Answers<FlightData>> {
        let command = command(&ticket.ticket)?;
        match command {
            Command::TicketStatementQuery(ticket) => {
                let (handle, pending) = session.redeem(&ticket.statement_handle, &self.settings)?;
                self.deliver(session, Some(handle), pending).await
            }
            Command::CommandPreparedStatementQuery(_) => {
                let pending = self.answer(session, command).await?;
                self.deliver(session, None, pending).await
            }
            command => match self.metadata.schema(&command) {
                None => Err(not_offered(&command)),
                Some(schema) => {
                    let batch = self.metadata.answer(&session.engine, command).await?;
                    let pending = Pending::new(schema, Answer::Done(batch.into_iter().collect()));
                    self.deliver(session, None, pending).await
                }
            },
        }
    }

    async fn schema(&self, session: &FlightSession, command: &Command) -> Result<SchemaResult> {
        let schema = match self.metadata.schema(command) {
            Some(schema) => schema,
            None => self.described_schema(session, command).await?,
        };
        Ok(SchemaResult { schema: ipc_bytes(&schema)? })
    }
}

#[tonic::async_trait]
impl FlightService for FlightSqlServer {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        let certificates = certificates(&request);
        let login = self.sessions.login(request.metadata(), certificates.as_deref(), client(&request));
        let token = login.await.map_err(refuse)?;
        let payload = Bytes::copy_from_slice(token.expose().as_bytes());
        let answer = HandshakeResponse { protocol_version: 0, payload };
        let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
        let mut header: tonic::metadata::AsciiMetadataValue = format!("Bearer {}", token.expose())
            .parse()
            .map_err(|_| refuse(Error::internal("the session's token is no header")))?;
        header.set_sensitive(true);
        response.metadata_mut().insert("authorization", header);
        Ok(response)
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.caller(&request).await.map_err(refuse)?;
        Err(refuse(Error::unsupported("flights are not listed; ask for tables instead")))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let session = self.caller(&request).await.map_err(refuse)?;
        let info = self.flight_info(&session, request.into_inner()).await.map_err(refuse)?;
        Ok(Response::new(info))
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let session = self.caller(&request).await.map_err(refuse)?;
        let news = self.poll(&session, request.into_inner()).await.map_err(refuse)?;
        Ok(Response::new(news))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let session = self.caller(&request).await.map_err(refuse)?;
        let command = described(request.get_ref()).map_err(refuse)?;
        let schema = self.schema(&session, &command).await.map_err(refuse)?;
        Ok(Response::new(schema))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let session = self.caller(&request).await.map_err(refuse)?;
        let rows = self.rows(&session, request.get_ref()).await.map_err(refuse)?;
        Ok(Response::new(rows))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let session = self.caller(&request).await.map_err(refuse)?;
        let result = self.put(&session, request.into_inner()).await.map_err(refuse)?;
        Ok(Response::new(stream::iter([Ok(result)]).boxed()))
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.caller(&request).await.map_err(refuse)?;
        Err(refuse(Error::unsupported("there is nothing to exchange here; use DoGet and DoPut")))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let session = self.caller(&request).await.map_err(refuse)?;
        let result = self.act(&session, request.get_ref()).await.map_err(refuse)?;
        Ok(Response::new(stream::iter(result.map(Ok)).boxed()))
    }

    async fn list_actions(&self, request: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        self.caller(&request).await.map_err(refuse)?;
        Ok(Response::new(stream::iter(action::all().map(Ok)).boxed()))
    }
}
