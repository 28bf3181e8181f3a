//! Log lines as OpenTelemetry log records, with the trace of the statement that they are about.

use std::{fmt, sync::Arc, time::SystemTime};

use futures::future::BoxFuture;
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    resource::v1::Resource,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{Receiver, attribute, batch::Queue, scope, spans::nanoseconds, text};

/// The longest text that is sent, in bytes.
const LONGEST: usize = 4096;

/// Makes records of log lines: of those of this project alone, for those of libraries that send them would beget others.
#[derive(Debug)]
pub(crate) struct LogLines {
    queue: Queue<LogRecord>,
}

impl LogLines {
    pub(super) fn new(queue: Queue<LogRecord>) -> Self {
        Self { queue }
    }
}

/// Of which statement a span is.
#[derive(Debug, Default, Clone)]
struct Mark {
    trace: Vec<u8>,
    span: Vec<u8>,
    query: Option<String>,
}

impl Visit for Mark {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "trace_id" => self.trace = bytes(&format!("{value:?}")),
            "span_id" => self.span = bytes(&format!("{value:?}")),
            "query" => self.query = Some(format!("{value:?}")),
            _ => {}
        }
    }
}

/// The bytes of hexadecimal digits; none if there is anything else.
fn bytes(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    text.as_bytes().chunks(2).map(byte).collect::<Option<_>>().unwrap_or_default()
}

/// The fields of a line.
#[derive(Default)]
struct Fields {
    message: String,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        self.attributes.push(attribute(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = shorten(format!("{value:?}"));
        match field.name() {
            "message" => self.message = value,
            _ => self.take(field, Value::StringValue(value)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::StringValue(shorten(value.to_owned())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::IntValue(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::BoolValue(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, Value::DoubleValue(value));
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLines {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut mark = Mark::default();
        attributes.record(&mut mark);
        if let Some(span) = context.span(id).filter(|_| !mark.trace.is_empty()) {
            span.extensions_mut().insert(mark);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(mark) = span.extensions_mut().get_mut::<Mark>()
        {
            values.record(mark);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if !metadata.target().starts_with("sqe") || metadata.target() == "sqe::telemetry" {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let marked = |span: tracing_subscriber::registry::SpanRef<'_, S>| span.extensions().get::<Mark>().cloned();
        let mark = context.event_scope(event).and_then(|mut scope| scope.find_map(marked)).unwrap_or_default();
        let Fields { message, mut attributes } = fields;
        attributes.push(text("code.namespace", metadata.target()));
        if let Some(query) = mark.query.filter(|_| !attributes.iter().any(|it| it.key == "query")) {
            attributes.push(text("query", query));
        }
        let (severity, name) = severity(*metadata.level());
        let now = nanoseconds(SystemTime::now());
        self.queue.push(LogRecord {
            time_unix_nano: now,
            observed_time_unix_nano: now,
            severity_number: severity.into(),
            severity_text: name.to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(message)) }),
            attributes,
            trace_id: mark.trace,
            span_id: mark.span,
            ..LogRecord::default()
        });
    }
}

fn severity(level: Level) -> (SeverityNumber, &'static str) {
    match level {
        Level::ERROR => (SeverityNumber::Error, "ERROR"),
        Level::WARN => (SeverityNumber::Warn, "WARN"),
        Level::INFO => (SeverityNumber::Info, "INFO"),
        Level::DEBUG => (SeverityNumber::Debug, "DEBUG"),
        Level::TRACE => (SeverityNumber::Trace, "TRACE"),
    }
}

/// Sends records to the receiver.
pub(super) fn send(
    receiver: Receiver,
    resource: Resource,
) -> impl Fn(Arc<Vec<LogRecord>>) -> BoxFuture<'static, Result<(), tonic::Status>> {
    move |records| {
        let (receiver, resource) = (receiver.clone(), resource.clone());
        Box::pin(async move {
            let log_records = records.to_vec();
            let scope_logs = vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }];
            let logs = ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
            let request = receiver.request(ExportLogsServiceRequest { resource_logs: vec![logs] });
            LogsServiceClient::new(receiver.channel).export(request).await.map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_line_within_a_statement_has_its_trace_and_one_outside_has_none() {
        let (queue, mut waiting) = super::super::batch::queue(Arc::default());
        let subscriber = tracing_subscriber::registry().with(LogLines::new(queue));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(
                "statement",
                trace_id = %"4bf92f3577b34da6a3ce929d0e0e4736",
                span_id = %"00f067aa0ba902b7",
                query = tracing::field::Empty
            );
            span.record("query", tracing::field::display("q-1"));
            let _entered = span.entered();
            let inner = tracing::info_span!("inner");
            inner.in_scope(|| tracing::warn!(target: "sqe_core::x", count = 3, word = "w", "in {}", "side"));
            tracing::error!(target: "h2::codec", "of a library");
            tracing::error!(target: "sqe::telemetry", "of its own");
        });
        let records = waiting.take();
        assert_eq!(records.len(), 1, "{records:?}");
        let record = &records[0];
        assert_eq!(record.trace_id, bytes("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(record.span_id.len(), 8);
        assert_eq!(record.severity_text, "WARN");
        assert_eq!(record.body.as_ref().unwrap().value, Some(Value::StringValue("in side".to_owned())));
        let keys: Vec<&str> = record.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert_eq!(keys, ["count", "word", "code.namespace", "query"]);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let cut = shorten("ä".repeat(LONGEST));
        assert!(cut.len() <= LONGEST && cut.chars().all(|letter| letter == 'ä'));
        assert_eq!(shorten("short".to_owned()), "short");
    }
}
