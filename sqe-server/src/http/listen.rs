//! Taking connections: so many at once, each for so long, so that strangers who hold on take nothing from the server.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::TlsConfig;

/// Connections at once. Those that probe and those that scrape are few.
const CONNECTIONS: usize = 64;

/// How long a client may take to say what it wants, its TLS handshake included.
const HEADER: Duration = Duration::from_secs(10);

/// How long a connection lives. Who wants more connects again.
const LIFE: Duration = Duration::from_secs(300);

/// The server's certificate, which is read again when it has been in use for as long as the configuration says.
#[derive(Clone)]
pub(super) struct Certificate(Arc<Following>);

struct Following {
    config: TlsConfig,
    current: Mutex<(Instant, TlsAcceptor)>,
}

impl Certificate {
    /// # Errors
    /// The certificate or its key cannot be read or used.
    pub(super) fn new(config: &TlsConfig) -> Result<Self> {
        let current = Mutex::new((Instant::now(), acceptor(config)?));
        Ok(Self(Arc::new(Following { config: config.clone(), current })))
    }

    /// What the files say. If they cannot be used it is what they said before; the log has the reason from Flight SQL's
    /// listener, which follows the same files.
    async fn acceptor(&self) -> TlsAcceptor {
        let (read, current) = self.0.current.lock().clone();
        if read.elapsed() < Duration::from_secs(self.0.config.reload_seconds) {
            return current;
        }
        let config = self.0.config.clone();
        let acceptor = match spawn_blocking(move || acceptor(&config)).await {
            Ok(Ok(renewed)) => renewed,
            Ok(Err(_)) | Err(_) => current,
        };
        *self.0.current.lock() = (Instant::now(), acceptor.clone());
        acceptor
    }
}

fn acceptor(tls: &TlsConfig) -> Result<TlsAcceptor> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (chain, key) = (read(&tls.cert_file)?, read(&tls.key_file)?);
    let unusable = || format!("{} and its key cannot be used", tls.cert_file.display());
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(&key).with_context(unusable)?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain.with_context(unusable)?, key)
        .with_context(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until it is told to stop. Connections that are in the middle of an answer get it.
pub(super) async fn serve(listener: TcpListener, tls: Option<Certificate>, routes: Router, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: others will be closed.
                tracing::warn!(%error, "a connection for a probe cannot be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Whoever comes when all places are taken is turned away.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (tls, routes, stop) = (tls.clone(), routes.clone(), stop.clone());
        tasks.spawn(async move {
            let _place = place;
            let _ended = timeout(LIFE, connection(stream, tls, routes, stop)).await;
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection(stream: TcpStream, tls: Option<Certificate>, routes: Router, stop: CancellationToken) {
    let Some(tls) = tls else { return answer(stream, routes, stop).await };
    let tls = tls.acceptor().await;
    match timeout(HEADER, tls.accept(stream)).await {
        Ok(Ok(stream)) => answer(stream, routes, stop).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake of a probe failed"),
        Err(_) => tracing::debug!("a TLS handshake of a probe did not end"),
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, routes: Router, stop: CancellationToken) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER).max_buf_size(16 << 10);
    let mut connection =
        std::pin::pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of a probe ended badly");
    }
}
