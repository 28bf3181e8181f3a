//! Spans of what an engine tells, by OpenTelemetry's conventions for databases. No text of a statement, no name of a person
//! or a table is in them: the query's id leads to the audit trail, which has them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::KeyValue,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use sqe_core::{
    audit::Outcome,
    observe::{Event, Observer, Room, StatementEnd, Step},
    trace::{SpanId, TraceContext},
};

use super::{Receiver, batch::Queue, number, scope, text};

/// Makes spans of what an engine tells.
#[derive(Debug)]
pub(crate) struct Spans {
    queue: Queue<Span>,
    /// Traces are kept whose id, as a number of 63 bits, is less.
    below: u64,
}

impl Spans {
    pub(super) fn new(queue: Queue<Span>, ratio: f64) -> Self {
        // Casts of floats to integers saturate.
        Self { queue, below: (ratio * (1_u64 << 63) as f64) as u64 }
    }

    /// Whether a trace is kept: as whoever began it says, else by its id, so that all spans of a trace share their fate
    /// (`TraceIdRatioBased` and `ParentBased` of the OpenTelemetry specification).
    fn keeps(&self, context: &TraceContext) -> bool {
        context.sampled.unwrap_or_else(|| {
            let [.., a, b, c, d, e, f, g, h] = context.trace.to_bytes();
            u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.below
        })
    }

    fn step(&self, step: &Step<'_>) {
        // A log-in without a caller's trace is one of its own; a listing without one is no trace.
        let (context, parent) = match (step.within, step.room) {
            (Some(within), _) => (within.child(), Some(within.span)),
            (None, Room::Login) => (TraceContext::random(), None),
            (None, _) => return,
        };
        if !self.keeps(&context) {
            return;
        }
        let mut attributes = Vec::new();
        match step.room {
            Room::Catalog { catalog, .. } | Room::Vend { catalog } => attributes.push(text("sqe.catalog", catalog)),
            Room::Turn(turn) => attributes.push(text("sqe.turn", turn.as_str())),
            Room::Decide { permitted, restricted, denied } => {
                for (name, count) in [
                    ("sqe.decisions.permitted", permitted),
                    ("sqe.decisions.restricted", restricted),
                    ("sqe.decisions.denied", denied),
                ] {
                    attributes.push(number(name, count as u64));
                }
            }
            _ => {}
        }
        let failure = step.failure.map(|kind| kind.as_str());
        let kind = if step.room == Room::Login { SpanKind::Server } else { SpanKind::Internal };
        let name = step.room.as_str();
        self.queue.push(span(&context, parent, name, kind, (step.started, step.took), attributes, failure));
    }

    fn end(&self, end: &StatementEnd<'_>) {
        if !self.keeps(&end.context) {
            return;
        }
        let name = if end.operation.is_empty() { "statement" } else { end.operation };
        let mut attributes = vec![
            text("db.system.name", "sqe"),
            text("sqe.query.id", end.query.to_string()),
            text("sqe.outcome", end.outcome.as_str()),
            number("db.response.returned_rows", end.rows),
            number("sqe.response.bytes", end.bytes),
        ];
        if !end.operation.is_empty() {
            attributes.push(text("db.operation.name", end.operation));
        }
        let failure = match end.outcome {
            Outcome::Completed => None,
            Outcome::Failed(kind) => Some(kind.as_str()),
            other => Some(other.as_str()),
        };
        attributes.extend(failure.map(|failure| text("db.response.status_code", failure)));
        let (started, took) = (end.started, end.took);
        let kind = SpanKind::Server;
        self.queue.push(span(&end.context, end.parent, name, kind, (started, took), attributes, failure));
    }
}

impl Observer for Spans {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Statement(end) => self.end(end),
            _ => {}
        }
    }
}

fn span(
    context: &TraceContext,
    parent: Option<SpanId>,
    name: &str,
    kind: SpanKind,
    (started, took): (SystemTime, Duration),
    mut attributes: Vec<KeyValue>,
    failure: Option<&str>,
) -> Span {
    attributes.extend(failure.map(|failure| text("error.type", failure)));
    let start = nanoseconds(started);
    let code = if failure.is_some() { StatusCode::Error } else { StatusCode::Unset };
    Span {
        trace_id: context.trace.to_bytes().to_vec(),
        span_id: context.span.to_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.to_bytes().to_vec()).unwrap_or_default(),
        flags: 1,
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)),
        attributes,
        status: Some(Status { code: code.into(), message: String::new() }),
        ..Span::default()
    }
}

pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Sends spans to the receiver.
pub(super) fn send(
    receiver: Receiver,
    resource: Resource,
) -> impl Fn(Arc<Vec<Span>>) -> BoxFuture<'static, Result<(), tonic::Status>> {
    move |spans| {
        let (receiver, resource) = (receiver.clone(), resource.clone());
        Box::pin(async move {
            let scope_spans = vec![ScopeSpans { scope: scope(), spans: spans.to_vec(), ..ScopeSpans::default() }];
            let spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
            let request = receiver.request(ExportTraceServiceRequest { resource_spans: vec![spans] });
            TraceServiceClient::new(receiver.channel).export(request).await.map(|_| ())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(ratio: f64) -> Spans {
        let (queue, waiting) = super::super::batch::queue(Arc::default());
        drop(waiting);
        Spans::new(queue, ratio)
    }

    #[test]
    fn so_many_traces_are_kept_as_was_asked_for() {
        for (ratio, least, most) in [(0.0, 0, 0), (0.25, 150, 350), (1.0, 1000, 1000)] {
            let spans = spans(ratio);
            let kept = (0..1000).filter(|_| spans.keeps(&TraceContext::random())).count();
            assert!((least..=most).contains(&kept), "{kept} of 1000 at {ratio}");
        }
    }

    #[test]
    fn who_began_a_trace_decides_whatever_the_ratio_is() {
        let header = |flags: &str| format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let context = |flags: &str| TraceContext::from_traceparent(&header(flags)).unwrap();
        assert!(spans(0.0).keeps(&context("01")));
        assert!(!spans(1.0).keeps(&context("00")));
        let (own, child) = (TraceContext::random(), spans(0.5));
        assert_eq!(child.keeps(&own), child.keeps(&own.child()), "a trace is kept whole or not at all");
    }
}
