//! `sqe serve`, and what `sqe demo` shares with it: listening, and stopping without cutting anybody off.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use sqe_core::Engine;
use sqe_flight::{ConnectionLimits, FlightSqlServer, FlightSqlService, Incoming, Settings, TraceLayer, transport};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    certificates,
    cli::ServeArguments,
    config::{self, Config, ConfigError, LimitsConfig, TlsConfig},
    connections::counted,
    http::Http,
    log,
    metrics::Sources,
    reload,
    telemetry::Telemetry,
    watch::Watch,
    wire,
};

/// How long a call that was told to stop may take to say so.
const FAREWELL: Duration = Duration::from_secs(5);

/// How often those who ask the gRPC health service are told something new.
const HEALTH: Duration = Duration::from_secs(1);

/// Serves until it is told to stop.
pub(crate) async fn run(arguments: ServeArguments) -> Result<()> {
    let config = config::load(&arguments.config, variables())?;
    let sources = Arc::new(Sources::default());
    let mut telemetry = start_telemetry(&config, &sources)?;
    log::configured(&config.log, telemetry.as_mut().and_then(|telemetry| telemetry.lines.take()))?;
    let spans = telemetry.as_mut().and_then(|telemetry| telemetry.spans.take());
    let watch = Arc::new(Watch::new(&config, Arc::clone(&sources), spans));
    // First, so that somebody who waits for the start is told that there is one.
    let http = match config.server.http {
        Some(address) => {
            Some(Http::start(address, config.tls.as_ref(), Arc::clone(&watch)).await.with_context(cannot)?)
        }
        None => None,
    };
    let served = served(&config, &sources, &watch, http.as_ref()).await;
    if let Some(http) = http {
        http.stop().await;
    }
    // The last that holds the engine, and so the trail: dropping that writes what waits in it.
    drop(sources.engine.lock().take());
    if let Some(telemetry) = telemetry {
        telemetry.stop().await;
    }
    served
}

fn cannot() -> ConfigError {
    ConfigError("the server cannot start with this configuration".to_owned())
}

fn start_telemetry(config: &Config, sources: &Sources) -> Result<Option<Telemetry>> {
    // It may speak TLS.
    wire::cryptography()?;
    let Some(telemetry) = &config.telemetry else { return Ok(None) };
    Telemetry::start(telemetry, sources).with_context(cannot).map(Some)
}

async fn served(config: &Config, sources: &Arc<Sources>, watch: &Arc<Watch>, http: Option<&Http>) -> Result<()> {
    let mut stop = Signals::new()?;
    let mut wired = wire::watched(config, Arc::clone(watch)).await.with_context(cannot)?;
    if config.tls.is_none() && !config.server.listen.ip().is_loopback() {
        tracing::warn!("plaintext beyond loopback: whoever listens on the network can read tokens and answers");
    }
    reload::on_hangup(&mut wired.watches, wired.policy, wired.changing, wired.engine.clone())?;
    let engine = wired.engine.clone();
    let serving =
        Serving::watched(wired.engine, config.server.listen, config.tls.as_ref(), &config.limits, Arc::clone(sources));
    let serving = serving.await.with_context(cannot)?;
    if let Some(bytes) = wired.memory {
        let _first = sources.memory_limit.set(bytes);
    }
    *sources.engine.lock() = Some((engine, Arc::clone(&wired.trail)));
    let health = tokio::spawn(keep_health(serving.health.clone(), Arc::clone(watch)));
    if let Some(http) = http {
        println!("probes and metrics {}", http.uri);
    }
    // Standard output, so that whoever starts the server can wait for this line and learn the port.
    println!("serving {}", serving.uri);
    stop.told().await;
    health.abort();
    let seconds = config.server.drain_seconds;
    tracing::info!("stopping: nothing new is accepted, running statements have {seconds} seconds");
    let stopped = serving.stop(Duration::from_secs(seconds), &mut stop).await;
    // They hold the engine, and so the trail.
    wired.watches.shutdown().await;
    stopped
}

/// Tells those who ask over gRPC what others ask at `/readyz`.
async fn keep_health(health: HealthReporter, watch: Arc<Watch>) {
    let mut was = true;
    loop {
        tokio::time::sleep(HEALTH).await;
        let ready = watch.readiness.look().await.ready;
        if ready != std::mem::replace(&mut was, ready) {
            tell_health(&health, ready).await;
        }
    }
}

async fn tell_health(health: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    // The empty name is the server as a whole (gRPC health checking protocol).
    for service in ["", <FlightSqlService as tonic::server::NamedService>::NAME] {
        health.set_service_status(service, status).await;
    }
}

/// The environment as text; variables that are no text cannot be ours.
#[expect(clippy::disallowed_methods, reason = "SQE__SECTION__KEY: the configuration's second source")]
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// SIGTERM and Ctrl-C. None that comes while it is there is missed.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// # Errors
    /// The system takes no handler.
    pub(crate) fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let wait = "cannot wait for SIGTERM and Ctrl-C";
        let terminate = signal(SignalKind::terminate()).context(wait)?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt()).context(wait)? })
    }

    /// Waits for the next one.
    pub(crate) async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A Flight SQL server at work.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where it listens, as clients write it.
    pub(crate) uri: String,
    engine: Engine,
    server: FlightSqlServer,
    health: HealthReporter,
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
        Self::watched(engine, address, tls, limits, Arc::default()).await
    }

    /// The same, with its connections counted.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub(crate) async fn watched(
        engine: Engine,
        address: SocketAddr,
        tls: Option<&TlsConfig>,
        limits: &LimitsConfig,
        sources: Arc<Sources>,
    ) -> Result<Self> {
        let mut settings = Settings::default();
        settings.max_message_bytes = limits.message_bytes.unwrap_or(settings.max_message_bytes);
        let mut connections = ConnectionLimits::default();
        connections.max_connections = limits.connections.unwrap_or(connections.max_connections);
        let server = FlightSqlServer::new(engine.clone(), settings)?;
        let (health, health_service) = tonic_health::server::health_reporter();
        tell_health(&health, true).await;
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let scheme = if tls.is_some() { "grpc+tls" } else { "grpc" };
        let uri = format!("{scheme}://{}", listener.local_addr()?);
        let mut incoming = Incoming::new(listener, &connections);
        if let Some(tls) = tls {
            incoming = incoming.with_tls(certificates::follow(tls)?);
        }
        let router =
            transport().layer(TraceLayer).add_service(health_service).add_service(server.clone().into_service());
        let (stop, stopped) = oneshot::channel();
        let until = async move {
            // An error says that the other end was dropped: that is a stop, too.
            let _ = stopped.await;
        };
        let task = tokio::spawn(router.serve_with_incoming_shutdown(counted(incoming, sources), until));
        Ok(Self { uri, engine, server, health, stop, task })
    }

    /// Refuses what is new, lets running statements end for `drain`, then cancels what is left. Another signal hurries.
    ///
    /// # Errors
    /// The server failed before it was told to stop.
    pub(crate) async fn stop(self, drain: Duration, signals: &mut Signals) -> Result<()> {
        let Self { engine, server, health, stop, mut task, .. } = self;
        let began = Instant::now();
        // Nobody is sent here any more, and who comes all the same is told why.
        engine.drain();
        tell_health(&health, false).await;
        let ended = async {
            engine.idle().await;
            // Connections are kept until here, so that clients were answered.
            let _ = stop.send(());
            // Statements have ended in the engine; some of their rows may still be on their way.
            (&mut task).await
        };
        let ended = tokio::select! {
            ended = timeout(drain, ended) => ended.ok(),
            () = signals.told() => {
                tracing::info!("told to stop again: what runs is cancelled");
                None
            }
        };
        let left = engine.activity().running;
        server.close();
        if let Some(ended) = ended {
            tracing::info!(seconds = began.elapsed().as_secs_f64(), "stopped: all statements had ended");
            return Ok(ended.context("the server failed")??);
        }
        // Cancelled statements put their end on record; a client that does not even read that is left behind.
        let _ended = timeout(FAREWELL, engine.idle()).await;
        if !task.is_finished() {
            task.abort();
        }
        tracing::info!(seconds = began.elapsed().as_secs_f64(), left, "stopped: what still ran was cancelled");
        Ok(())
    }
}
