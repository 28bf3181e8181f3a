//! Probes and metrics over HTTP, for those who operate the server: `/healthz`, `/readyz`, `/metrics`. Nobody logs in here,
//! and nothing that is told names a person, a table, a machine or a path.

mod listen;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{config::TlsConfig, metrics, watch::Watch};

/// A listener at work.
#[derive(Debug)]
pub(crate) struct Http {
    /// Where it listens.
    pub(crate) uri: String,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Http {
    /// Listens on `address` (port 0: a free one) and answers in the background: in plaintext on loopback, beyond it with TLS
    /// if there is a certificate.
    ///
    /// # Errors
    /// The address is taken or not this machine's, or the certificate or its key cannot be used.
    pub(crate) async fn start(address: SocketAddr, tls: Option<&TlsConfig>, watch: Arc<Watch>) -> Result<Self> {
        let tls = match tls.filter(|_| !address.ip().is_loopback()) {
            Some(tls) => Some(listen::Certificate::new(tls)?),
            None => None,
        };
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let task = tokio::spawn(listen::serve(listener, tls, routes(watch), stop.clone()));
        Ok(Self { uri, stop, task })
    }

    /// Answers nobody any more.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        // It answers at once what it was asked before.
        let _ = self.task.await;
    }
}

fn routes(watch: Arc<Watch>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(watch)
}

async fn ready(State(watch): State<Arc<Watch>>) -> Response {
    let report = watch.readiness.look().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], format!("{report}\n"))
        .into_response()
}

async fn measured(State(watch): State<Arc<Watch>>) -> Response {
    match watch.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE))], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
