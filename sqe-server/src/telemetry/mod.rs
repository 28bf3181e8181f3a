//! Spans and log lines for an OpenTelemetry collector, over OTLP/gRPC.
//!
//! The messages are those of `opentelemetry-proto`. Its companion `opentelemetry-otlp` is not used: it takes headers from
//! `OTEL_EXPORTER_OTLP_*` variables over those of its caller, and the server has no ambient credentials.

mod batch;
mod logs;
mod receiver;
mod spans;

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use logs::LogLines;
pub(crate) use receiver::Receiver;
pub(crate) use spans::Spans;

use crate::{config::TelemetryConfig, metrics::Sources};

/// How long the last spans may take to be handed over when the server ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// What sends, in the background.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// Makes spans of what an engine tells.
    pub(crate) spans: Option<Spans>,
    /// Makes records of log lines.
    pub(crate) lines: Option<LogLines>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Telemetry {
    /// Sends what it gets, in the background. Whether the receiver answers shows only then, and stops nothing.
    ///
    /// # Errors
    /// The headers or the certificate cannot be read.
    pub(crate) fn start(config: &TelemetryConfig, sources: &Sources) -> Result<Self> {
        let headers = config.otlp_headers_file.as_deref();
        let receiver = Receiver::new(&config.otlp_endpoint, headers, config.otlp_ca_file.as_deref())?;
        let stop = CancellationToken::new();
        let resource = resource(&config.service_name);
        let (queue, waiting) = batch::queue(Arc::clone(&sources.dropped_spans));
        let spans = Spans::new(queue, config.sample_ratio);
        let sending = spans::send(receiver.clone(), resource.clone());
        let mut tasks = vec![tokio::spawn(batch::send(waiting, stop.clone(), sending))];
        let lines = config.logs.then(|| {
            let (queue, waiting) = batch::queue(Arc::clone(&sources.dropped_logs));
            tasks.push(tokio::spawn(batch::send(waiting, stop.clone(), logs::send(receiver, resource))));
            LogLines::new(queue)
        });
        Ok(Self { spans: Some(spans), lines, stop, tasks })
    }

    /// Hands over what waits, for a moment.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if timeout(FAREWELL, task).await.is_err() {
                tracing::warn!("the OTLP receiver did not take the last spans and log lines in time");
            }
        }
    }
}

/// What is said of the server itself (OpenTelemetry semantic conventions, service).
fn resource(service_name: &str) -> Resource {
    let id = uuid::Uuid::new_v4().to_string();
    let attributes = vec![
        text("service.name", service_name),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", id),
    ];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("sqe".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}
