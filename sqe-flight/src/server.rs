//! The server: an engine behind the Flight SQL protocol.

use std::{sync::Arc, time::Duration};

use arrow_flight::flight_service_server::FlightServiceServer;
use sqe_core::{Engine, Result};
use tonic::transport::{Server, server::Router};
use tower::layer::util::{Identity, Stack};

use crate::{metadata::Metadata, session::Sessions, settings::Settings, trace::TraceLayer, whole::FlightSqlService};

/// How often a connection that says nothing is asked by HTTP/2 whether its client is still there, and how long it may take
/// to answer (RFC 9113, section 6.7).
const ASKED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(20);

/// A tonic server with the settings that this front end wants of one: connections whose client vanished without a word are
/// noticed within a minute, and their queries end.
#[must_use]
pub fn transport() -> Server {
    Server::builder().tcp_nodelay(true).http2_keepalive_interval(Some(ASKED)).http2_keepalive_timeout(Some(ANSWERED))
}

/// Speaks Flight SQL for an [`Engine`].
///
/// It is a tonic service: mount [`into_service`](Self::into_service) beside others, or run [`router`](Self::router), with
/// [`Incoming`](crate::Incoming) if the listener is yours.
/// Clones share their sessions.
#[derive(Debug, Clone)]
pub struct FlightSqlServer {
    pub(crate) settings: Arc<Settings>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) metadata: Arc<Metadata>,
}

impl FlightSqlServer {
    /// A server of `engine`.
    ///
    /// # Errors
    /// `Internal` if the server cannot describe itself.
    pub fn new(engine: Engine, settings: Settings) -> Result<Self> {
        let metadata = Arc::new(Metadata::new(&settings)?);
        let settings = Arc::new(settings);
        let sessions = Arc::new(Sessions::new(engine, Arc::clone(&settings)));
        Ok(Self { settings, sessions, metadata })
    }

    /// The service, with its limits on messages. What it sends is limited by
    /// [`Settings::target_message_bytes`], save a single row that is larger.
    #[must_use]
    pub fn into_service(self) -> FlightSqlService {
        let limit = self.settings.max_message_bytes;
        let service = FlightServiceServer::new(self);
        FlightSqlService::new(service.max_decoding_message_size(limit).max_encoding_message_size(usize::MAX))
    }

    /// [`transport`] with this service alone. Whether it speaks plaintext or TLS is for the connections to say that it is
    /// given, see [`Incoming`](crate::Incoming).
    #[must_use]
    pub fn router(self) -> Router<Stack<TraceLayer, Identity>> {
        transport().layer(TraceLayer).add_service(self.into_service())
    }

    /// Ends all sessions and so all queries.
    pub fn close(&self) {
        self.sessions.close_all();
    }
}
