//! What is true when somebody asks.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};
use sqe_audit::Trail;
use sqe_core::Engine;

/// Whom to ask, once they are there.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The engine and its trail, from when it is built until the server ends. The engine holds who watches it, and so this:
    /// whoever puts it here takes it out again, or the trail is never closed.
    pub(crate) engine: Mutex<Option<(Engine, Arc<Trail>)>>,
    /// What statements may hold in memory together, in bytes, if that is bounded.
    pub(crate) memory_limit: OnceLock<usize>,
    /// Connections that are open now.
    pub(crate) connections: AtomicUsize,
    /// Connections that were opened so far.
    pub(crate) connected: AtomicU64,
    /// Spans and log lines that no receiver took.
    pub(crate) dropped_spans: Arc<AtomicU64>,
    pub(crate) dropped_logs: Arc<AtomicU64>,
    /// Whether the server said, when it was last asked, that it is ready.
    pub(crate) ready: AtomicUsize,
}

/// Makes metrics of [`Sources`].
#[derive(Debug)]
pub(crate) struct Moments(pub(crate) Arc<Sources>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    turn: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Signal {
    signal: &'static str,
}

impl Collector for Moments {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let sources = &*self.0;
        let connections = sources.connections.load(Ordering::Relaxed) as u64;
        gauge(&mut encoder, "sqe_connections_open", "Flight SQL connections that are open", None, connections)?;
        let connected = ConstCounter::new(sources.connected.load(Ordering::Relaxed));
        let help = "Flight SQL connections that were opened";
        connected.encode(encoder.encode_descriptor("sqe_connections", help, None, connected.metric_type())?)?;
        let ready = sources.ready.load(Ordering::Relaxed) as u64;
        gauge(&mut encoder, "sqe_ready", "1 if the server was ready when it was last asked", None, ready)?;
        dropped(&mut encoder, sources)?;
        if let Some(limit) = sources.memory_limit.get() {
            let help = "Memory that operators of statements may hold together";
            gauge(&mut encoder, "sqe_memory_limit", help, Some(&Unit::Bytes), *limit as u64)?;
        }
        let Some((engine, trail)) = sources.engine.lock().clone() else { return Ok(()) };
        let now = engine.activity();
        gauge(&mut encoder, "sqe_sessions_open", "Sessions that are open", None, now.sessions as u64)?;
        let help = "Calls whose audit events are not durable yet";
        gauge(&mut encoder, "sqe_audit_waiting", help, None, trail.waiting() as u64)?;
        gauge(&mut encoder, "sqe_statements_running", "Statements that run", None, now.running as u64)?;
        gauge(&mut encoder, "sqe_statements_planning", "Statements that are being planned", None, now.planning as u64)?;
        let waiting = [("running", now.waiting), ("planning", now.waiting_for_planning)];
        let help = "Statements that wait for their turn, by what they wait for";
        let kind = ConstGauge::new(0_u64).metric_type();
        let mut family = encoder.encode_descriptor("sqe_statements_waiting", help, None, kind)?;
        for (turn, count) in waiting {
            ConstGauge::new(count as u64).encode(family.encode_family(&Label { turn })?)?;
        }
        let help = "Memory that operators of running statements hold";
        gauge(&mut encoder, "sqe_memory_used", help, Some(&Unit::Bytes), now.memory_bytes as u64)?;
        let help = "Temporary files of running statements";
        gauge(&mut encoder, "sqe_spill_files", help, None, now.spilled_files as u64)?;
        let help = "What running statements keep in temporary files";
        gauge(&mut encoder, "sqe_spill_used", help, Some(&Unit::Bytes), now.spilled_bytes)
    }
}

fn dropped(encoder: &mut DescriptorEncoder, sources: &Sources) -> fmt::Result {
    let help = "Spans and log lines that were given up: no receiver took them in time";
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family = encoder.encode_descriptor("sqe_telemetry_dropped", help, None, kind)?;
    for (signal, count) in [("spans", &sources.dropped_spans), ("logs", &sources.dropped_logs)] {
        ConstCounter::new(count.load(Ordering::Relaxed)).encode(family.encode_family(&Signal { signal })?)?;
    }
    Ok(())
}

pub(super) fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: u64,
) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}
