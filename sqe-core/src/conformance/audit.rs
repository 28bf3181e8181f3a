//! What every [`AuditSink`] must do.
//!
//! A test makes a fixture that can read the sink's events back, and brings a sink of the same kind that cannot keep
//! anything, and asserts that [`check`] finds nothing to say.

use std::{collections::HashSet, fmt};

use chrono::{DateTime, Utc};
use futures::future::join_all;
use uuid::Uuid;

use crate::{
    Action, ErrorKind, FieldId, Identity, Principal, QueryId, TableId, TableName,
    audit::{
        AuditEvent, AuditSink, ClientInfo, ColumnUse, EventKind, Outcome, QueryEffect, QueryFacts, TableAccess, Verdict,
    },
};

/// Callers at once.
const CALLERS: usize = 16;

/// Events of each of them.
const EVENTS: usize = 24;

/// Reads back all events that a sink holds, in its order.
pub type ReadBack<'a> = Box<dyn Fn() -> Result<Vec<AuditEvent>, String> + Send + Sync + 'a>;

/// How to look into the sinks under test.
#[non_exhaustive]
pub struct AuditFixture<'a> {
    /// Reads the sink back the way an auditor would: from what is durable, not from what the sink remembers. A sink
    /// without anything durable reads its memory.
    pub read_back: ReadBack<'a>,
    /// A sink of the same kind that cannot keep anything, such as one on a full disk, and how to read it back.
    pub refusing: (&'a dyn AuditSink, ReadBack<'a>),
}

impl fmt::Debug for AuditFixture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditFixture").field("refusing", &self.refusing.0).finish_non_exhaustive()
    }
}

impl<'a> AuditFixture<'a> {
    /// A fixture. `read_back` and `read_refusing` give all events that the sink, and the refusing one, hold.
    pub fn new(
        read_back: impl Fn() -> Result<Vec<AuditEvent>, String> + Send + Sync + 'a,
        refusing: &'a dyn AuditSink,
        read_refusing: impl Fn() -> Result<Vec<AuditEvent>, String> + Send + Sync + 'a,
    ) -> Self {
        Self { read_back: Box::new(read_back), refusing: (refusing, Box::new(read_refusing)) }
    }
}

/// Checks a sink; it may hold events already, and holds more afterwards.
///
/// - an event is there, as it was, when `record` returns;
/// - the events of one caller keep their order, also while others record;
/// - no event is lost and none is there twice;
/// - a sink that cannot keep an event says so, every time, and does not hold it.
///
/// # Errors
/// What the sink does wrong.
pub async fn check(sink: &dyn AuditSink, fixture: &AuditFixture<'_>) -> Result<(), String> {
    durable(sink, fixture).await?;
    concurrent(sink, fixture).await?;
    refused(fixture).await
}

/// One event after the other, each read back at once.
async fn durable(sink: &dyn AuditSink, fixture: &AuditFixture<'_>) -> Result<(), String> {
    let samples = samples();
    let mut recorded = Vec::new();
    for event in samples {
        let what = describe(&event);
        sink.record(event.clone()).await.map_err(|error| format!("{what} was refused: {error}"))?;
        recorded.push(event);
        let held = own(&(fixture.read_back)()?, &recorded);
        if held.last() != recorded.last() {
            return Err(format!("{what} could not be read back as it was right after it was recorded"));
        }
        if held != recorded {
            return Err(format!("after {what} the events of one caller are not held once each and in order"));
        }
    }
    Ok(())
}

/// Many callers at once.
async fn concurrent(sink: &dyn AuditSink, fixture: &AuditFixture<'_>) -> Result<(), String> {
    let callers: Vec<Vec<AuditEvent>> = (0..CALLERS)
        .map(|caller| {
            let events = (0..EVENTS / 2).flat_map(|number| run(&format!("caller-{caller}"), number as u64));
            events.collect()
        })
        .collect();
    let outcomes = join_all(callers.iter().map(|events| async move {
        for event in events {
            sink.record(event.clone()).await?;
        }
        Ok::<(), crate::Error>(())
    }))
    .await;
    if let Some(error) = outcomes.into_iter().find_map(Result::err) {
        return Err(format!("an event was refused while several callers record: {error}"));
    }
    let held = (fixture.read_back)()?;
    for (caller, events) in callers.iter().enumerate() {
        if own(&held, events) != *events {
            return Err(format!("the events of caller {caller} of {CALLERS} are not held once each and in order"));
        }
    }
    Ok(())
}

async fn refused(fixture: &AuditFixture<'_>) -> Result<(), String> {
    let (sink, read_back) = &fixture.refusing;
    let events: Vec<_> = (0..3).flat_map(|number| run("refused", number)).collect();
    let outcomes = join_all(events.iter().map(|event| sink.record(event.clone()))).await;
    for outcome in outcomes {
        match outcome {
            Ok(()) => return Err("a sink that cannot keep anything took an event".into()),
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::ResourceExhausted) => {}
            Err(error) => return Err(format!("a sink that cannot keep anything says {} instead", error.kind())),
        }
    }
    if !own(&read_back()?, &events).is_empty() {
        return Err("an event that was refused is in the trail".into());
    }
    Ok(())
}

/// Those of `held` that belong to the queries of `recorded`.
fn own(held: &[AuditEvent], recorded: &[AuditEvent]) -> Vec<AuditEvent> {
    let queries: HashSet<QueryId> = recorded.iter().map(|event| event.query.query_id).collect();
    held.iter().filter(|event| queries.contains(&event.query.query_id)).cloned().collect()
}

fn describe(event: &AuditEvent) -> String {
    match &event.kind {
        EventKind::Intent => "an intent".into(),
        EventKind::Effect(effect) => format!("an effect ({})", effect.outcome.as_str()),
        EventKind::Refused(effect) => format!("a refusal ({})", effect.outcome.as_str()),
    }
}

/// A query's intent and effect.
fn run(subject: &str, rows: u64) -> [AuditEvent; 2] {
    let (query, tables) = facts(subject, "SELECT c_phone FROM customer WHERE c_custkey = ?");
    let effect = EventKind::Effect(QueryEffect::new(Outcome::Completed, rows, rows * 100));
    [AuditEvent::now(query.clone(), EventKind::Intent, tables.clone()), AuditEvent::now(query, effect, tables)]
}

fn facts(subject: &str, statement: &str) -> (QueryFacts, Vec<TableAccess>) {
    let mut identity = Identity::new(Principal::new("https://idp.example/realm", subject));
    identity.actors = vec![Principal::new("https://idp.example", "notebook"), Principal::new("https://b", "gateway")];
    let client = ClientInfo::new("flight-sql").with_address("[2001:db8::1]:50051").with_application("kit \"1\"\n");
    let facts = QueryFacts::new(QueryId::random(), &identity, client, statement);

    let id = TableId::new(TableName::new("lake", "tpch", "customer"), Uuid::new_v4());
    let mut customer = TableAccess::new(id, Action::Select, Verdict::Restricted);
    customer.snapshot = Some(i64::MAX);
    let (mut phone, mut segment) = (ColumnUse::new(FieldId(5), "c_phone"), ColumnUse::new(FieldId(7), "c_mktsegment"));
    phone.masked = true;
    segment.policy_only = true;
    customer.columns = vec![phone, segment];
    customer.policies = vec!["analysts".into(), "building-only".into()];
    customer.decision = "0123abcd".into();
    customer.policy_snapshot = "snapshot-1".into();
    customer.session_name = Some(subject.into());
    let id = TableId::new(TableName::new("lake", "tpch", "supplier"), Uuid::nil());
    (facts, vec![customer, TableAccess::new(id, Action::Select, Verdict::Missing)])
}

/// Events of every kind, with texts that are easily broken and times that are easily rounded.
fn samples() -> Vec<AuditEvent> {
    let texts = [
        "SELECT ?".to_owned(),
        String::new(),
        "two\r\nlines \u{2028} and \u{0}, \"quotes\", {\"braces\": [\\]}".to_owned(),
        "naïve \u{1f980} \u{feff}\u{202e}".to_owned(),
        "?, ".repeat(50_000),
    ];
    let outcomes = [
        Outcome::Completed,
        Outcome::Denied,
        Outcome::failed(ErrorKind::ResourceExhausted),
        Outcome::Cancelled,
        Outcome::Interrupted,
    ];
    let mut events = Vec::new();
    for (text, outcome) in texts.iter().zip(outcomes) {
        let (query, tables) = facts("Zoë O'Neil", text);
        let effect = QueryEffect::new(outcome, u64::MAX, 0);
        events.push(AuditEvent::now(query.clone(), EventKind::Intent, tables.clone()));
        events.push(AuditEvent::now(query, EventKind::Effect(effect.clone()), tables));
        let (query, _) = facts("", text);
        events.push(AuditEvent::now(query, EventKind::Refused(effect), Vec::new()));
    }
    if let (Some(event), Some(time)) = (events.last_mut(), DateTime::<Utc>::from_timestamp(-1, 999_999_999)) {
        event.time = time;
    }
    events
}
