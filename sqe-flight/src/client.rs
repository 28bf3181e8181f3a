//! A small Flight SQL client, for command lines and tests. It speaks to any Flight SQL server.

mod names;
mod session;

use std::{fmt, pin::Pin, task::Context, task::Poll, time::Duration};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, IpcMessage, Ticket,
    decode::FlightRecordBatchStream,
    error::FlightError,
    flight_service_client::FlightServiceClient,
    sql::{CommandStatementQuery, CommandStatementUpdate, DoPutUpdateResult, ProstMessageExt},
};
use base64::Engine as _;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use sqe_core::{Credentials, Error, Result, Secret};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use url::{Host, Url};

pub use names::{ListedTable, TableFilter};

use crate::{
    protocol::{self, CloseSessionRequest},
    session::ACT_AS,
    status::{from_flight, from_status},
};

/// HTTP/2 windows: with the usual 64 KiB a large result waits for the network instead of using it.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Where to connect and as whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// `grpc://host:port` (plaintext) or `grpc+tls://host:port`; `http` and `https` mean the same.
    pub uri: String,
    /// What to show. `None`: nothing.
    pub credentials: Option<Credentials>,
    /// Whom to act as; the server says whether one may. `None`: oneself.
    pub acting_as: Option<String>,
    /// The authority that the server's certificate must come from, as PEM. Needed for TLS: this client trusts no
    /// authority by itself.
    pub ca_certificate: Option<Vec<u8>>,
    /// What proves this machine or person to a server that asks for a client certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether credentials may go to another machine in plaintext. Default: no.
    pub allow_plaintext: bool,
    /// How long to wait for the connection. Default: ten seconds.
    pub timeout: Duration,
}

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The chain, the client's own certificate first.
    pub chain: Vec<u8>,
    /// The private key.
    pub key: Secret,
}

impl ConnectOptions {
    /// A connection to `uri` without credentials.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            credentials: None,
            acting_as: None,
            ca_certificate: None,
            client_certificate: None,
            allow_plaintext: false,
            timeout: Duration::from_secs(10),
        }
    }

    /// Shows a bearer token with every call.
    #[must_use]
    pub fn with_token(mut self, token: Secret) -> Self {
        self.credentials = Some(Credentials::Bearer(token));
        self
    }

    /// Logs in with a user name and a password.
    #[must_use]
    pub fn with_password(mut self, username: impl Into<String>, password: Secret) -> Self {
        self.credentials = Some(Credentials::Basic { username: username.into(), password });
        self
    }

    /// Asks to act as somebody else: the credentials, or the certificate, prove who asks.
    #[must_use]
    pub fn acting_as(mut self, subject: impl Into<String>) -> Self {
        self.acting_as = Some(subject.into());
        self
    }

    /// Trusts this authority (PEM).
    #[must_use]
    pub fn with_ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificate = Some(pem.into());
        self
    }

    /// Shows this certificate chain (PEM, the client's own first) and proves to hold its private key (PEM).
    #[must_use]
    pub fn with_client_certificate(mut self, chain: impl Into<Vec<u8>>, key: Secret) -> Self {
        self.client_certificate = Some(ClientCertificate { chain: chain.into(), key });
        self
    }

    /// Lets credentials go to another machine in plaintext.
    #[must_use]
    pub fn with_plaintext_allowed(mut self) -> Self {
        self.allow_plaintext = true;
        self
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let invalid = || Error::invalid("the server's address must look like grpc://host:port or grpc+tls://host:port");
        let url = Url::parse(&self.uri).map_err(|error| invalid().with_source(error))?;
        let tls = match url.scheme() {
            "grpc" | "grpc+tcp" | "http" => false,
            "grpc+tls" | "grpcs" | "https" => true,
            _ => return Err(invalid()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::invalid("the server's address must not hold credentials; give them separately"));
        }
        // A URL of an unknown scheme keeps its host as text.
        let authority = url.host_str().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        let port = url.port().unwrap_or(if tls { 443 } else { 80 });
        if !tls && self.credentials.is_some() && !self.allow_plaintext && !is_loopback(authority) {
            return Err(Error::invalid("credentials would go to another machine in plaintext; use grpc+tls://"));
        }
        let scheme = if tls { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{authority}:{port}"))
            .map_err(|error| invalid().with_source(error))?
            .connect_timeout(self.timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(Duration::from_secs(30));
        if !tls {
            if self.client_certificate.is_some() {
                return Err(Error::invalid("a client certificate needs TLS; use grpc+tls://"));
            }
            return Ok(endpoint);
        }
        let pem =
            self.ca_certificate.as_ref().ok_or_else(|| Error::invalid("TLS needs the authority's certificate"))?;
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        if let Some(own) = &self.client_certificate {
            config = config.identity(Identity::from_pem(&own.chain, own.key.expose()));
        }
        endpoint
            .tls_config(config)
            .map_err(|error| Error::invalid("the certificates cannot be used; are they PEM?").with_source(error))
    }
}

fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => false,
    }
}

/// A connection to a Flight SQL server.
#[derive(Clone)]
pub struct Client {
    inner: FlightServiceClient<Channel>,
    authorization: Option<AsciiMetadataValue>,
    acting_as: Option<AsciiMetadataValue>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("authenticated", &self.authorization.is_some()).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects. With a user name and a password it logs in at once; a token is first looked at by the first statement.
    ///
    /// # Errors
    /// `InvalidInput` for an address that cannot be used, `Unavailable` if nobody answers, `Unauthenticated` if the
    /// password is refused.
    pub async fn connect(options: &ConnectOptions) -> Result<Self> {
        let channel = options.endpoint()?.connect().await.map_err(|error| {
            Error::unavailable(format!("nobody answers at {}; is the server running?", options.uri)).with_source(error)
        })?;
        let inner = FlightServiceClient::new(channel)
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let mut client = Self { inner, authorization: None, acting_as: None };
        if let Some(subject) = &options.acting_as {
            let unspeakable = || Error::invalid("the name of whom to act as has characters that no header can carry");
            // The header's own parser lets some of them pass.
            let name =
                subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)).then(|| subject.parse().ok()).flatten();
            client.acting_as = Some(name.ok_or_else(unspeakable)?);
        }
        match &options.credentials {
            None => {}
            Some(Credentials::Basic { username, password }) => {
                let pair = Secret::new(format!("{username}:{}", password.expose()));
                let encoded = base64::engine::general_purpose::STANDARD.encode(pair.expose());
                client.authorization = Some(header("Basic", &encoded)?);
                client.login().await?;
            }
            Some(Credentials::Bearer(token)) => client.authorization = Some(header("Bearer", token.expose())?),
            Some(_) => return Err(Error::unsupported("this kind of credential has no place in Flight SQL")),
        }
        Ok(client)
    }

    /// Exchanges what this client shows for a session of its own, which [`close`](Self::close) ends.
    ///
    /// # Errors
    /// `Unauthenticated`.
    pub async fn login(&mut self) -> Result<()> {
        let hello = HandshakeRequest { protocol_version: 0, payload: Bytes::new() };
        let request = self.request(stream::iter([hello]));
        let response = self.inner.handshake(request).await.map_err(told)?;
        let mut token = response.metadata().get("authorization").cloned();
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        // Read to its end, or the server sees the call as broken off.
        response.into_inner().try_collect::<Vec<_>>().await.map_err(told)?;
        self.authorization = Some(token.ok_or_else(|| Error::internal("the server gave no token"))?);
        Ok(())
    }

    /// Runs a statement and gives its rows. A change has run when this returns; a query runs while its rows are read,
    /// and stops when they are dropped.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn execute(&self, sql: impl Into<String>) -> Result<Rows> {
        let info = self.announce(sql).await?;
        self.rows(info).await
    }

    /// Has a statement planned, and run if it changes something. What comes back announces its rows, and is what
    /// [`cancel`](Self::cancel) wants. A call that is dropped stops what it began.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn announce(&self, sql: impl Into<String>) -> Result<FlightInfo> {
        let query = CommandStatementQuery { query: sql.into(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(query.as_any().encode_to_vec());
        let mut inner = self.inner.clone();
        Ok(inner.get_flight_info(self.request(descriptor)).await.map_err(told)?.into_inner())
    }

    /// Stops a query on the server, by what announced it (`CancelFlightInfo`). Who reads its rows gets `Cancelled`.
    ///
    /// # Errors
    /// `NotFound` if it has ended already; `Unsupported` if the server cannot stop it.
    pub async fn cancel(&self, info: FlightInfo) -> Result<()> {
        let body = CancelFlightInfoRequest::new(info).encode_to_vec();
        let answer: CancelFlightInfoResult = self.act(protocol::CANCEL_FLIGHT_INFO, body).await?;
        match answer.status() {
            CancelStatus::Cancelled | CancelStatus::Cancelling => Ok(()),
            CancelStatus::NotCancellable | CancelStatus::Unspecified => {
                Err(Error::unsupported("the server cannot stop this statement"))
            }
        }
    }

    /// Fetches what an info announces, one endpoint after another.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn rows(&self, info: FlightInfo) -> Result<Rows> {
        let unreadable = |error| Error::internal("the server's schema cannot be read").with_source(error);
        let schema = Schema::try_from(IpcMessage(info.schema)).map_err(unreadable)?;
        let tickets: Vec<Ticket> = info.endpoint.into_iter().filter_map(|endpoint| endpoint.ticket).collect();
        let client = self.clone();
        let batches = stream::iter(tickets)
            .then(move |ticket| {
                let mut client = client.clone();
                async move {
                    let request = client.request(ticket);
                    let data = client.inner.do_get(request).await.map_err(told)?.into_inner();
                    let decoded = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from));
                    Ok::<_, Error>(decoded.map_err(from_flight))
                }
            })
            .try_flatten();
        Ok(Rows { schema: schema.into(), batches: batches.boxed() })
    }

    /// Runs a statement that changes something, and gives the number of rows that it touched.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn execute_update(&self, sql: impl Into<String>) -> Result<i64> {
        let update = CommandStatementUpdate { query: sql.into(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(update.as_any().encode_to_vec());
        let message = FlightData::new().with_descriptor(descriptor);
        let mut inner = self.inner.clone();
        let answer = inner.do_put(self.request(stream::iter([message]))).await.map_err(told)?.into_inner();
        let results: Vec<_> = answer.try_collect().await.map_err(told)?;
        let result = results.first().ok_or_else(|| Error::internal("the server did not say what the statement did"))?;
        let result = DoPutUpdateResult::decode(&*result.app_metadata)
            .map_err(|error| Error::internal("the server's answer could not be read").with_source(error))?;
        Ok(result.record_count)
    }

    /// Ends the session, if [`login`](Self::login) opened one. Failures do not matter: sessions end by themselves too.
    pub async fn close(mut self) {
        let action = Action::new(protocol::CLOSE_SESSION, CloseSessionRequest {}.encode_to_vec());
        let request = self.request(action);
        if let Ok(answer) = self.inner.do_action(request).await {
            let _ended = answer.into_inner().try_collect::<Vec<_>>().await;
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if let Some(value) = &self.acting_as {
            request.metadata_mut().insert(ACT_AS, value.clone());
        }
        request
    }
}

fn header(scheme: &str, value: &str) -> Result<AsciiMetadataValue> {
    let mut header: AsciiMetadataValue = format!("{scheme} {value}")
        .parse()
        .map_err(|_| Error::invalid("the token holds characters that no token can hold; is the file right?"))?;
    header.set_sensitive(true);
    Ok(header)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
fn told(status: Status) -> Error {
    from_status(&status)
}

/// The rows of a statement. Dropping them stops it.
pub struct Rows {
    schema: SchemaRef,
    batches: Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>,
}

impl Rows {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// All batches.
    ///
    /// # Errors
    /// The first error of the stream.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.batches.try_collect().await
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(context)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqe_core::ErrorKind;

    use super::*;

    fn options(uri: &str) -> ConnectOptions {
        ConnectOptions::new(uri).with_token(Secret::new("t"))
    }

    #[rstest]
    #[case("grpc://127.0.0.1:50051", "http://127.0.0.1:50051/")]
    #[case("grpc://localhost:1", "http://localhost:1/")]
    #[case("grpc+tcp://[::1]:50051", "http://[::1]:50051/")]
    fn loopback_may_be_plaintext(#[case] uri: &str, #[case] expected: &str) {
        assert_eq!(options(uri).endpoint().unwrap().uri().to_string(), expected);
    }

    #[test]
    fn another_machine_gets_no_token_in_plaintext_unless_it_is_allowed() {
        let error = options("grpc://db.example:1").endpoint().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(options("grpc://db.example:1").with_plaintext_allowed().endpoint().is_ok());
        assert!(ConnectOptions::new("grpc://db.example:1").endpoint().is_ok());
        assert!(options("grpc://localhost.evil.example:1").endpoint().is_err());
    }

    #[rstest]
    #[case("127.0.0.1:50051")]
    #[case("ftp://127.0.0.1:50051")]
    #[case("grpc://")]
    #[case("grpc://user:secret@127.0.0.1:50051")]
    #[case("grpc+tls://127.0.0.1:50051")]
    fn unusable_addresses_are_refused_without_repeating_secrets(#[case] uri: &str) {
        let error = options(uri).endpoint().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!error.message().contains("secret"));
    }

    #[test]
    fn a_certificate_needs_tls_and_its_key_is_not_shown() {
        let shown = options("grpc://localhost:1").with_client_certificate("c", Secret::new("private-key"));
        assert_eq!(shown.endpoint().unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(!format!("{shown:?}").contains("private-key"));
    }

    #[test]
    fn a_client_shows_no_token() {
        assert!(!format!("{:?}", options("grpc://localhost:1")).contains("\"t\""));
        assert!(!format!("{:?}", header("Bearer", "abc").unwrap()).contains("abc"));
    }
}
