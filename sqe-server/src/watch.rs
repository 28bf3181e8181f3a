//! Everybody who watches the engine of one server.

use std::sync::Arc;

use sqe_core::observe::{Event, Observer};

use crate::{
    config::Config,
    metrics::{Metrics, Moments, Sources},
    ready::{Reached, Readiness},
    telemetry::Spans,
};

/// Metrics, readiness and spans of one server.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    reached: Arc<Reached>,
    spans: Option<Spans>,
}

impl Watch {
    pub(crate) fn new(config: &Config, sources: Arc<Sources>, spans: Option<Spans>) -> Self {
        let reached = Arc::new(Reached::new(config.catalogs.keys()));
        Self {
            metrics: Metrics::new(Moments(Arc::clone(&sources))),
            readiness: Readiness::new(sources, Arc::clone(&reached)),
            reached,
            spans,
        }
    }
}

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        self.metrics.observe(event);
        self.reached.observe(event);
        if let Some(spans) = &self.spans {
            spans.observe(event);
        }
    }
}
