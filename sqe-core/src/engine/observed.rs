//! Telling the observer, and which trace it belongs to.

use std::{
    future::Future,
    time::{Duration, Instant, SystemTime},
};

use super::Inner;
use crate::{
    Error, ErrorKind, Result,
    observe::{CatalogCall, Event, Room, Step},
    trace::{SpanId, TraceContext},
};

tokio::task_local! {
    static WITHIN: TraceContext;
}

/// Does `work` as a part of a trace: what it asks an engine for is told to its observer, and put on record, as belonging to
/// that span. For front ends, whose clients say which trace they are in.
///
/// Tasks that `work` spawns are not a part of it by themselves.
pub async fn in_trace<T>(context: TraceContext, work: impl Future<Output = T>) -> T {
    WITHIN.scope(context, work).await
}

/// The span that this task works for.
pub(super) fn within() -> Option<TraceContext> {
    WITHIN.try_with(|context| *context).ok()
}

/// When something began: by the calendar, and by a clock that never jumps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub(super) at: SystemTime,
    clock: Instant,
}

impl Begun {
    pub(super) fn now() -> Self {
        Self { at: SystemTime::now(), clock: Instant::now() }
    }

    pub(super) fn took(&self) -> Duration {
        self.clock.elapsed()
    }
}

/// A statement's place in its trace, and what its log lines are marked with.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) context: TraceContext,
    pub(super) parent: Option<SpanId>,
    pub(super) begun: Begun,
    pub(super) span: tracing::Span,
}

impl Place {
    /// A new statement of the trace that this task works for, else of a new one.
    pub(super) fn here() -> Self {
        let parent = within();
        let context = parent.map_or_else(TraceContext::random, |parent| parent.child());
        let span = tracing::info_span!(
            "statement",
            trace_id = %context.trace,
            span_id = %context.span,
            query = tracing::field::Empty
        );
        Self { context, parent: parent.map(|parent| parent.span), begun: Begun::now(), span }
    }
}

impl Inner {
    pub(super) fn tell(&self, room: Room<'_>, within: Option<TraceContext>, begun: Begun, failure: Option<ErrorKind>) {
        let step = Step { room, within, started: begun.at, took: begun.took(), failure };
        self.observer.observe(&Event::Step(step));
    }

    /// Tells of `work` once it ends. Work that is given up is not told of.
    pub(super) async fn watch<T>(&self, room: Room<'_>, work: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Begun::now();
        let result = work.await;
        self.tell(room, within(), begun, result.as_ref().err().map(Error::kind));
        result
    }

    /// The same for several answers of a catalog, of which some may be that there is nothing.
    pub(super) async fn watch_loading<T>(
        &self,
        catalog: &str,
        work: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        let begun = Begun::now();
        let results = work.await;
        let answers = [ErrorKind::NotFound, ErrorKind::PermissionDenied];
        let mut failures = results.iter().filter_map(|result| result.as_ref().err().map(Error::kind));
        let failure = failures.find(|kind| !answers.contains(kind));
        self.tell(Room::Catalog { catalog, call: CatalogCall::Resolve }, within(), begun, failure);
        results
    }
}
