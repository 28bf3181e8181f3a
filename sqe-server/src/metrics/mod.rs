//! Prometheus metrics: what the engine tells, and what is true when somebody asks.
//!
//! Base units, and no label that names a person or a table: operations, outcomes, catalogs, and what is waited for.

mod moments;
mod process;

use prometheus_client::{
    encoding::{EncodeLabelSet, prometheus_text},
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use sqe_core::{
    ErrorKind,
    audit::Outcome,
    observe::{Event, Observer, Room, StatementEnd, Step},
};

pub(crate) use moments::{Moments, Sources};

/// The type of what [`Metrics::text`] gives.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Bounds of what a statement, or a part of it, takes; in seconds.
const STATEMENT: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Bounds of what a disk, or a decision, takes; in seconds.
const SMALL: [f64; 14] =
    [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatementLabels {
    operation: &'static str,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    turn: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    turn: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    catalog: String,
    call: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallTimeLabels {
    catalog: String,
    call: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabels {
    catalog: String,
    outcome: &'static str,
}

/// Histograms of durations, one a set of labels.
type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

fn durations<L: Clone + std::hash::Hash + Eq>() -> Durations<L> {
    Family::new_with_constructor(|| Histogram::new(STATEMENT))
}

/// All metrics of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    statements: Family<StatementLabels, Counter>,
    statement_time: Durations<OperationLabels>,
    rows: Counter,
    bytes: Counter,
    wait_time: Durations<TurnLabels>,
    refusals: Family<RefusalLabels, Counter>,
    logins: Family<OutcomeLabels, Counter>,
    login_time: Histogram,
    plan_time: Histogram,
    run_time: Histogram,
    decisions: Family<DecisionLabels, Counter>,
    policy_time: Histogram,
    policy_failures: Family<OutcomeLabels, Counter>,
    calls: Family<CallLabels, Counter>,
    call_time: Durations<CallTimeLabels>,
    leases: Family<LeaseLabels, Counter>,
    audit_time: Histogram,
    audit_failures: Counter,
}

impl Metrics {
    /// Nothing has happened yet. `moments` tells what is true when somebody asks.
    pub(crate) fn new(moments: Moments) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            statements: Family::default(),
            statement_time: durations(),
            rows: Counter::default(),
            bytes: Counter::default(),
            wait_time: durations(),
            refusals: Family::default(),
            logins: Family::default(),
            login_time: Histogram::new(STATEMENT),
            plan_time: Histogram::new(STATEMENT),
            run_time: Histogram::new(STATEMENT),
            decisions: Family::default(),
            policy_time: Histogram::new(SMALL),
            policy_failures: Family::default(),
            calls: Family::default(),
            call_time: durations(),
            leases: Family::default(),
            audit_time: Histogram::new(SMALL),
            audit_failures: Counter::default(),
        };
        metrics.register(moments);
        metrics
    }

    fn register(&mut self, moments: Moments) {
        let to = &mut self.registry;
        to.register(
            "sqe_statements",
            "Statements that ended, by what they did and how they ended; those in the audit trail",
            self.statements.clone(),
        );
        to.register_with_unit(
            "sqe_statement_duration",
            "From a statement's arrival to its end; of a query also the time in which it waited to be fetched",
            Unit::Seconds,
            self.statement_time.clone(),
        );
        to.register("sqe_statement_rows", "Rows handed over to clients, or changed", self.rows.clone());
        to.register_with_unit(
            "sqe_statement_answer",
            "Arrow data handed over to clients",
            Unit::Bytes,
            self.bytes.clone(),
        );
        to.register_with_unit(
            "sqe_admission_wait_duration",
            "How long statements waited for their turn",
            Unit::Seconds,
            self.wait_time.clone(),
        );
        to.register(
            "sqe_admission_refusals",
            "Statements that did not get their turn: the queue was full for too long, or the server is stopping",
            self.refusals.clone(),
        );
        to.register("sqe_logins", "Attempts to log in, by how they ended", self.logins.clone());
        to.register_with_unit(
            "sqe_login_duration",
            "How long it took to find out who somebody is",
            Unit::Seconds,
            self.login_time.clone(),
        );
        to.register_with_unit(
            "sqe_plan_duration",
            "From a bound statement to its verified plan, leases included",
            Unit::Seconds,
            self.plan_time.clone(),
        );
        to.register_with_unit(
            "sqe_run_duration",
            "From a statement's intent on record to its last row",
            Unit::Seconds,
            self.run_time.clone(),
        );
        to.register("sqe_policy_decisions", "Decisions of policy", self.decisions.clone());
        to.register_with_unit(
            "sqe_policy_duration",
            "How long policy took for one batch of decisions",
            Unit::Seconds,
            self.policy_time.clone(),
        );
        to.register("sqe_policy_failures", "Batches that policy did not decide", self.policy_failures.clone());
        to.register(
            "sqe_catalog_calls",
            "Calls of catalogs, by how they ended; a table that is not there is a good answer",
            self.calls.clone(),
        );
        to.register_with_unit(
            "sqe_catalog_call_duration",
            "How long catalogs took",
            Unit::Seconds,
            self.call_time.clone(),
        );
        to.register("sqe_leases", "Leases on files that vendors were asked for", self.leases.clone());
        to.register_with_unit(
            "sqe_audit_write_duration",
            "How long it took until an event was durable, its wait for others included",
            Unit::Seconds,
            self.audit_time.clone(),
        );
        to.register(
            "sqe_audit_failures",
            "Events that the audit trail did not take; the statements were refused",
            self.audit_failures.clone(),
        );
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        to.register("sqe_build", "The server's version", build);
        to.register_collector(Box::new(moments));
        to.register_collector(Box::new(process::Process));
    }

    /// All of it in the text format that Prometheus and its tools read, version 0.0.4.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn step(&self, step: &Step<'_>) {
        let seconds = step.took.as_secs_f64();
        let outcome = step.failure.map_or("ok", ErrorKind::as_str);
        match step.room {
            Room::Login => {
                self.logins.get_or_create(&OutcomeLabels { outcome }).inc();
                self.login_time.observe(seconds);
            }
            Room::Turn(turn) => {
                let turn = turn.as_str();
                self.wait_time.get_or_create(&TurnLabels { turn }).observe(seconds);
                if let Some(failure) = step.failure {
                    let reason = if failure == ErrorKind::ResourceExhausted { "queue_full" } else { "stopping" };
                    self.refusals.get_or_create(&RefusalLabels { turn, reason }).inc();
                }
            }
            Room::Catalog { catalog, call } => {
                let (catalog, call) = (catalog.to_owned(), call.as_str());
                self.call_time.get_or_create(&CallTimeLabels { catalog: catalog.clone(), call }).observe(seconds);
                self.calls.get_or_create(&CallLabels { catalog, call, outcome }).inc();
            }
            Room::Decide { permitted, restricted, denied } => {
                for (decision, count) in [("permitted", permitted), ("restricted", restricted), ("denied", denied)] {
                    self.decisions.get_or_create(&DecisionLabels { decision }).inc_by(count as u64);
                }
                self.policy_time.observe(seconds);
                if step.failure.is_some() {
                    self.policy_failures.get_or_create(&OutcomeLabels { outcome }).inc();
                }
            }
            Room::Vend { catalog } => {
                self.leases.get_or_create(&LeaseLabels { catalog: catalog.to_owned(), outcome }).inc();
            }
            Room::Plan => self.plan_time.observe(seconds),
            Room::Run => self.run_time.observe(seconds),
            Room::Record => {
                self.audit_time.observe(seconds);
                if step.failure.is_some() {
                    self.audit_failures.inc();
                }
            }
            _ => {}
        }
    }

    fn end(&self, end: &StatementEnd<'_>) {
        // A statement that could not be parsed has no operation.
        let operation = if end.operation.is_empty() { "none" } else { end.operation };
        let outcome = match end.outcome {
            // Which kind of failure is worth more than that there was one.
            Outcome::Failed(kind) => kind.clone(),
            other => other.as_str().to_owned(),
        };
        self.statements.get_or_create(&StatementLabels { operation, outcome }).inc();
        self.statement_time.get_or_create(&OperationLabels { operation }).observe(end.took.as_secs_f64());
        self.rows.inc_by(end.rows);
        self.bytes.inc_by(end.bytes);
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Step(step) => self.step(step),
            Event::Statement(end) => self.end(end),
            _ => {}
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
