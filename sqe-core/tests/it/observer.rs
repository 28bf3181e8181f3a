//! What an observer is told, and what a trace is.

use std::{sync::Arc, time::Duration};

use arrow::datatypes::{DataType, Field, Schema};
use parking_lot::Mutex;
use sqe_core::{
    Decision, ErrorKind, TableName,
    engine::{Ingest, Statement, in_trace},
    observe::{Event, Observer, Room},
    trace::{SpanId, TraceContext, TraceId},
};

use crate::people::{World, analyst, world_with};

/// What is kept of an event.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Step {
        room: &'static str,
        span: Option<SpanId>,
        failure: Option<ErrorKind>,
    },
    End {
        operation: &'static str,
        outcome: String,
        rows: u64,
        trace: TraceId,
        span: SpanId,
        parent: Option<SpanId>,
        recorded: bool,
    },
}

#[derive(Debug, Clone, Default)]
struct Watcher {
    told: Arc<Mutex<Vec<Told>>>,
    decisions: Arc<Mutex<Vec<(usize, usize, usize)>>>,
}

impl Observer for Watcher {
    fn observe(&self, event: &Event<'_>) {
        let told = match event {
            Event::Step(step) => {
                if let Room::Decide { permitted, restricted, denied } = step.room {
                    self.decisions.lock().push((permitted, restricted, denied));
                }
                Told::Step {
                    room: step.room.as_str(),
                    span: step.within.map(|context| context.span),
                    failure: step.failure,
                }
            }
            Event::Statement(end) => Told::End {
                operation: end.operation,
                outcome: end.outcome.as_str().to_owned(),
                rows: end.rows,
                trace: end.context.trace,
                span: end.context.span,
                parent: end.parent,
                recorded: end.recorded,
            },
            _ => panic!("an event that this test does not know"),
        };
        self.told.lock().push(told);
    }
}

impl Watcher {
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.told.lock())
    }

    fn ends(&self) -> Vec<(&'static str, String, u64, bool)> {
        let ends = self.take().into_iter().filter_map(|told| match told {
            Told::End { operation, outcome, rows, recorded, .. } => Some((operation, outcome, rows, recorded)),
            Told::Step { .. } => None,
        });
        ends.collect()
    }
}

fn watched() -> (World, Watcher) {
    let watcher = Watcher::default();
    let world = world_with(|builder| builder.observer(watcher.clone()));
    (world, watcher)
}

fn rooms(told: &[Told]) -> Vec<&'static str> {
    let step = |told: &Told| match told {
        Told::Step { room, .. } => Some(*room),
        Told::End { .. } => None,
    };
    told.iter().filter_map(step).collect()
}

#[tokio::test]
async fn a_query_is_told_room_by_room_and_its_end_is_that_of_the_trail() {
    let (world, watcher) = watched();
    world.rules.select("alice", "people", analyst());
    let session = world.session("alice").await;
    assert_eq!(rooms(&watcher.take()), ["login"]);
    let batches = session.query("SELECT name, phone FROM people").await.unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 3);
    let told = watcher.take();
    let expected = ["wait", "open", "resolve", "decide", "plan", "wait", "record", "run", "record"];
    assert_eq!(rooms(&told), expected);
    assert_eq!(watcher.decisions.lock().as_slice(), [(1, 1, 0)], "discover is permitted, select restricted");

    // All rooms are of the statement's own span, and the trail names its trace.
    let Some(Told::End { operation, outcome, rows, trace, span, parent, recorded }) = told.last().cloned() else {
        panic!("the last is not the end: {told:?}")
    };
    assert_eq!((operation, outcome.as_str(), rows, parent, recorded), ("SELECT", "completed", 3, None, true));
    for told in &told {
        if let Told::Step { room, span: within, failure } = told {
            assert_eq!((*within, *failure), (Some(span), None), "{room}");
        }
    }
    let events = world.trail.events.lock();
    assert!(events.len() == 2 && events.iter().all(|event| event.query.trace == Some(trace)));
}

#[tokio::test]
async fn a_statement_is_a_part_of_its_callers_trace_and_of_no_other() {
    let (world, watcher) = watched();
    let caller = TraceContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let session = in_trace(caller, world.session("root")).await;
    let login = Told::Step { room: "login", span: Some(caller.span), failure: None };
    assert_eq!(watcher.take(), [login]);

    // Planned in the trace, and run outside of it.
    let planned = in_trace(caller, session.plan(Statement::new("SELECT 1"))).await.unwrap();
    planned.run().await.unwrap().collect().await.unwrap();
    let Some(Told::End { trace, span, parent, .. }) = watcher.take().pop() else { panic!("no end") };
    assert_eq!((trace, parent), (caller.trace, Some(caller.span)));
    assert_ne!(span, caller.span);

    session.query("SELECT 1").await.unwrap().collect().await.unwrap();
    let Some(Told::End { trace: other, parent: None, .. }) = watcher.take().pop() else { panic!("no end") };
    assert_ne!(other, caller.trace);
    let events = world.trail.events.lock();
    let traces: Vec<_> = events.iter().map(|event| event.query.trace.unwrap()).collect();
    assert_eq!(traces, [caller.trace, caller.trace, other, other]);
}

#[tokio::test]
async fn ends_say_what_was_done_and_how_it_went() {
    let (world, watcher) = watched();
    world.rules.discover("alice", "people");
    let alice = world.session("alice").await;
    let root = world.session("root").await;
    watcher.take();
    let end = |operation, outcome: &str, rows| vec![(operation, outcome.to_owned(), rows, true)];

    alice.query("SELECT * FROM people").await.unwrap_err();
    assert_eq!(watcher.ends(), end("SELECT", "denied", 0));
    alice.query("SELECT * FROM nowhere").await.unwrap_err();
    assert_eq!(watcher.ends(), end("SELECT", "failed", 0));
    alice.query("SELEC").await.unwrap_err();
    assert_eq!(watcher.ends(), end("", "failed", 0));
    root.query("INSERT INTO orders VALUES (9, 9, 1), (8, 8, 1)").await.unwrap().collect().await.unwrap();
    assert_eq!(watcher.ends(), end("INSERT", "completed", 2));
    alice.query("CREATE TABLE scratch.mine (a BIGINT)").await.unwrap().collect().await.unwrap();
    assert_eq!(watcher.ends(), end("CREATE TABLE", "completed", 0));
    root.query("EXPLAIN SELECT 1").await.unwrap().collect().await.unwrap();
    assert_eq!(watcher.ends()[0].0, "EXPLAIN");
    root.query("PREPARE p AS SELECT 1").await.unwrap().collect().await.unwrap();
    assert_eq!(watcher.ends()[0].0, "PREPARE");
    root.query("EXECUTE p").await.unwrap().collect().await.unwrap();
    assert_eq!(watcher.ends()[0].0, "EXECUTE");
    drop(root.query("SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8").await.unwrap());
    for _ in 0..500 {
        if !watcher.told.lock().iter().any(|told| matches!(told, Told::End { .. })) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(watcher.ends(), end("SELECT", "cancelled", 0));
}

#[tokio::test]
async fn commits_are_told_with_their_catalog_and_failures_with_their_kind() {
    let (world, watcher) = watched();
    let root = world.session("root").await;
    root.query("INSERT INTO orders VALUES (9, 9, 1)").await.unwrap().collect().await.unwrap();
    let told = watcher.take();
    assert!(rooms(&told).contains(&"commit"), "{told:?}");

    *world.lake.outage.lock() = true;
    root.query("SELECT * FROM people").await.unwrap_err();
    let failed = |room: &'static str, told: &[Told], kind| {
        let is = |told: &Told| matches!(told, Told::Step { room: at, failure, .. } if *at == room && *failure == kind);
        assert!(told.iter().any(is), "{room}: {told:?}");
    };
    failed("resolve", &watcher.take(), Some(ErrorKind::Unavailable));
    *world.lake.outage.lock() = false;
    // Nothing there is an answer of the catalog.
    root.query("SELECT * FROM nowhere").await.unwrap_err();
    failed("resolve", &watcher.take(), None);

    *world.rules.outage.lock() = true;
    root.query("SELECT * FROM people").await.unwrap_err();
    failed("decide", &watcher.take(), Some(ErrorKind::Unavailable));
    *world.rules.outage.lock() = false;

    *world.trail.full.lock() = true;
    root.query("SELECT * FROM people").await.unwrap_err();
    let told = watcher.take();
    failed("record", &told, Some(ErrorKind::ResourceExhausted));
    let Some(Told::End { outcome, recorded: false, .. }) = told.last() else { panic!("{told:?}") };
    assert_eq!(outcome, "failed");
}

#[tokio::test]
async fn what_an_engine_is_doing_can_be_asked() {
    let (world, _) = watched();
    let session = world.session("root").await;
    let before = world.engine.activity();
    assert_eq!((before.running, before.sessions), (0, 1));
    let stream = session.query("SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8").await;
    assert_eq!(world.engine.activity().running, 1);
    drop(stream);
    drop(session);
    for _ in 0..500 {
        let now = world.engine.activity();
        if now.running + now.sessions > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let after = world.engine.activity();
    assert_eq!((after.running, after.sessions, after.memory_bytes), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_engine_refuses_what_is_new_and_ends_what_runs() {
    let (world, watcher) = watched();
    world.rules.select("alice", "people", Decision::permit());
    let session = world.session("alice").await;
    let planned = session.plan(Statement::new("SELECT count(*) FROM people")).await.unwrap();
    let running = session.query("SELECT * FROM people").await.unwrap();
    assert!(!world.engine.is_draining());
    world.engine.drain();
    assert!(world.engine.is_draining());

    watcher.take();
    let refused = session.query("SELECT 1").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(refused.message().contains("shutting down"), "{refused}");
    assert_eq!(watcher.ends(), [("", "failed".to_owned(), 0, true)], "on record, too");
    assert_eq!(session.tables(&Default::default()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let load = Ingest::create(TableName::new("lake", "scratch", "late"));
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let refused = session.ingest_batches(load, schema, futures::stream::empty()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let credentials = sqe_core::Credentials::Bearer(sqe_core::Secret::new("root"));
    let refused = world.engine.session(&credentials, Default::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);

    let idle = tokio::spawn({
        let engine = world.engine.clone();
        async move { engine.idle().await }
    });
    assert_eq!(planned.run().await.unwrap().collect().await.unwrap()[0].num_rows(), 1);
    assert!(!idle.is_finished(), "one statement still runs");
    assert_eq!(running.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>(), 6);
    idle.await.unwrap();
}
