//! The server: an engine behind the Flight SQL protocol.

use std::{sync::Arc, time::Duration};

use arrow_flight::flight_service_server::FlightServiceServer;
use sqe_core::{Engine, Result};
use tokio::net::TcpListener;
use tonic::transport::{
    Server,
    server::{Router, TcpIncoming},
};

use tower::layer::util::{Identity, Stack};

use crate::{metadata::Metadata, session::Sessions, settings::Settings, trace::TraceLayer};

/// The connections of a listener, for [`Router::serve_with_incoming`] and its like.
///
/// Small messages leave at once. Tonic sees to that only for addresses that it listens on by itself, and where nobody does
/// each answer to a small statement waits some forty milliseconds for an acknowledgement that the client holds back.
#[must_use]
pub fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// Speaks Flight SQL for an [`Engine`].
///
/// It is a tonic service: mount [`into_service`](Self::into_service) beside others, or run [`router`](Self::router), with [`incoming`] if the
/// listener is yours.
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
    pub fn into_service(self) -> FlightServiceServer<Self> {
        let limit = self.settings.max_message_bytes;
        FlightServiceServer::new(self).max_decoding_message_size(limit).max_encoding_message_size(usize::MAX)
    }

    /// A plaintext tonic server with this service alone. Connections whose client vanished without a word are noticed
    /// within a minute, and their queries end.
    #[must_use]
    pub fn router(self) -> Router<Stack<TraceLayer, Identity>> {
        let service = self.into_service();
        Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(Duration::from_secs(30)))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .layer(TraceLayer)
            .add_service(service)
    }

    /// Ends all sessions and so all queries.
    pub fn close(&self) {
        self.sessions.close_all();
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn connections_send_small_messages_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = incoming(listener);
        let _client = tokio::net::TcpStream::connect(address).await.unwrap();
        assert!(connections.next().await.unwrap().unwrap().nodelay().unwrap());
    }
}
