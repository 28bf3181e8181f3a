//! Records for an OpenTelemetry collector, over OTLP/gRPC.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use sqe_audit::{Bookmark, Destination, Exporter, Followed, Trail, otlp};
use sqe_core::Error;
use tokio::{task::JoinSet, time::timeout};

use crate::{config::AuditOtlpConfig, telemetry::Receiver};

/// How long a receiver may take to say that it has some records.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bookmark of a server's export, beside the segments of its trail.
const BOOKMARK: &str = "export-otlp.bookmark";

/// A receiver of records.
#[derive(Debug)]
pub(super) struct Otlp {
    receiver: Receiver,
}

impl Otlp {
    /// Does not connect yet.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(super) fn new(config: &AuditOtlpConfig) -> Result<Self> {
        let receiver = Receiver::new(&config.endpoint, config.headers_file.as_deref(), config.ca_file.as_deref())?;
        Ok(Self { receiver })
    }
}

#[async_trait]
impl Destination for Otlp {
    async fn take(&self, records: &[Followed]) -> sqe_core::Result<()> {
        let observed = chrono::Utc::now();
        let log_records = records.iter().map(|record| otlp::log_record(record, observed)).collect();
        let scope = InstrumentationScope {
            name: "sqe-audit".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let logs = ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        };
        let request = self.receiver.request(ExportLogsServiceRequest { resource_logs: vec![logs] });
        let mut client = LogsServiceClient::new(self.receiver.channel.clone());
        let sent = timeout(PATIENCE, client.export(request)).await;
        let answer = match sent {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => {
                // What a status holds besides its code can come from anywhere.
                let said = format!("the OTLP receiver does not take records of the audit trail ({:?})", status.code());
                return Err(Error::unavailable(said).with_source(status));
            }
            Err(_) => return Err(Error::unavailable("the OTLP receiver does not answer in time")),
        };
        // OTLP: what a receiver refused in a batch that it took must not be sent again. It must not go unsaid either.
        if let Some(partial) = answer.partial_success.filter(|partial| partial.rejected_log_records > 0) {
            let seq = |record: Option<&Followed>| record.map(|record| record.entry.seq);
            tracing::error!(
                rejected = partial.rejected_log_records,
                first = seq(records.first()),
                last = seq(records.last()),
                "the OTLP receiver refused some of these records of the audit trail; export them by hand"
            );
        }
        Ok(())
    }
}

/// What is said of the sender (OpenTelemetry semantic conventions, service).
fn resource() -> Resource {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let attributes = vec![text("service.name", "sqe"), text("service.version", env!("CARGO_PKG_VERSION"))];
    Resource { attributes, ..Resource::default() }
}

/// Exports a server's trail as long as `tasks` runs, from where the last run came to.
///
/// # Errors
/// A file cannot be read or used, or another process exports this trail.
pub(crate) fn push(config: &AuditOtlpConfig, trail: &Trail, tasks: &mut JoinSet<()>) -> Result<()> {
    let otlp = Otlp::new(config)?;
    let bookmark = Bookmark::open(trail.dir().join(BOOKMARK)).context("the export of the audit trail cannot start")?;
    let mut exporter = Exporter::new(trail.follower()).with_bookmark(bookmark);
    tasks.spawn(async move {
        if let Err(error) = exporter.follow(&otlp).await {
            tracing::error!(%error, "the export of the audit trail ended; the trail itself goes on");
        }
    });
    Ok(())
}
