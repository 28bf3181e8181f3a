//! Servers with TLS.

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::get};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};

use crate::forge::{Forge, jwks};

/// A listener with a certificate for `localhost` and 127.0.0.1 of a root that nobody else knows.
pub(crate) struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl TlsListener {
    pub(crate) async fn bind() -> Self {
        let chain = CertificateDer::pem_slice_iter(include_bytes!("keys/tls-server.pem")).collect::<Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("keys/tls-server-key.pem")).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.unwrap(), key)
            .unwrap();
        Self { tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.tcp.local_addr().unwrap()
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// An issuer over TLS, with metadata and keys.
pub(crate) struct Issuer {
    pub(crate) issuer: String,
    task: JoinHandle<()>,
}

impl Issuer {
    pub(crate) async fn start(forge: &Forge) -> Self {
        let listener = TlsListener::bind().await;
        let issuer = format!("https://{}", listener.address());
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")}).to_string();
        let keys = jwks(&[forge]);
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(|| async { metadata }))
            .route("/keys", get(|| async { keys }));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { issuer, task }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
