//! `sqe serve`, and what `sqe demo` shares with it: listening, and stopping without cutting anybody off.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use sqe_core::Engine;
use sqe_flight::{ConnectionLimits, FlightSqlServer, Incoming, Settings};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use crate::{
    certificates,
    cli::ServeArguments,
    config::{self, ConfigError, LimitsConfig, TlsConfig},
    reload, wire,
};

/// Serves until it is told to stop.
pub(crate) async fn run(arguments: ServeArguments) -> Result<()> {
    let config = config::load(&arguments.config, variables())?;
    let cannot = || ConfigError("the server cannot start with this configuration".to_owned());
    let mut wired = wire::wire(&config).await.with_context(cannot)?;
    if config.tls.is_none() && !config.server.listen.ip().is_loopback() {
        tracing::warn!("plaintext beyond loopback: whoever listens on the network can read tokens and answers");
    }
    reload::on_hangup(&mut wired.watches, wired.policy, wired.changing, wired.engine.clone())?;
    let starting = Serving::start(wired.engine, config.server.listen, config.tls.as_ref(), &config.limits);
    let serving = starting.await.with_context(cannot)?;
    // Standard output, so that whoever starts the server can wait for this line and learn the port.
    println!("serving {}", serving.uri);
    told_to_stop().await?;
    tracing::info!("stopping: no new connections, {} seconds for running statements", config.server.drain_seconds);
    let stopped = serving.stop(Duration::from_secs(config.server.drain_seconds)).await;
    // They hold the engine, and so the trail.
    wired.watches.shutdown().await;
    stopped
    // Dropping the trail writes what waits in it.
}

/// The environment as text; variables that are no text cannot be ours.
#[expect(clippy::disallowed_methods, reason = "SQE__SECTION__KEY: the configuration's second source")]
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Waits for SIGTERM or Ctrl-C.
pub(crate) async fn told_to_stop() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot wait for Ctrl-C"),
    }
}

/// A Flight SQL server at work.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where it listens, as clients write it.
    pub(crate) uri: String,
    server: FlightSqlServer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Serving {
    /// Listens on `address` (port 0: a free one) and serves in the background.
    ///
    /// # Errors
    /// The address is taken or not this machine's, or the certificate or its key cannot be used.
    pub(crate) async fn start(
        engine: Engine,
        address: SocketAddr,
        tls: Option<&TlsConfig>,
        limits: &LimitsConfig,
    ) -> Result<Self> {
        let mut settings = Settings::default();
        settings.max_message_bytes = limits.message_bytes.unwrap_or(settings.max_message_bytes);
        let mut connections = ConnectionLimits::default();
        connections.max_connections = limits.connections.unwrap_or(connections.max_connections);
        let server = FlightSqlServer::new(engine, settings)?;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let scheme = if tls.is_some() { "grpc+tls" } else { "grpc" };
        let uri = format!("{scheme}://{}", listener.local_addr()?);
        let mut incoming = Incoming::new(listener, &connections);
        if let Some(tls) = tls {
            incoming = incoming.with_tls(certificates::follow(tls)?);
        }
        let router = server.clone().router();
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            // An error says that the other end was dropped: that is a stop, too.
            let _ = stopped.await;
        };
        let task = tokio::spawn(router.serve_with_incoming_shutdown(incoming, until));
        Ok(Self { uri, server, stop, task })
    }

    /// Accepts nothing new, lets running statements end for `drain`, then cancels what is left.
    ///
    /// # Errors
    /// The server failed before it was told to stop.
    pub(crate) async fn stop(mut self, drain: Duration) -> Result<()> {
        let _ = self.stop.send(());
        let ended = tokio::select! {
            ended = timeout(drain, &mut self.task) => ended.ok(),
            // Who presses twice is in a hurry.
            _ = told_to_stop() => None,
        };
        self.server.close();
        match ended {
            Some(ended) => Ok(ended.context("the server failed")??),
            None => {
                // Cancelled statements put their end on record; a client that does not even read that is left behind.
                if timeout(Duration::from_secs(5), &mut self.task).await.is_err() {
                    self.task.abort();
                }
                Ok(())
            }
        }
    }
}
