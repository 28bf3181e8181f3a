//! What the audit trail is told about a statement.

use std::collections::BTreeMap;

use datafusion::{
    common::tree_node::TreeNodeRecursion, logical_expr::LogicalPlan, sql::sqlparser::ast::DataType as AstType,
};
use tracing::Instrument;

use super::{
    Session,
    observed::{Begun, Place},
    prepared::Prepared,
    statement::{shortened, without_literals},
};
use crate::{
    Action, Decision, Error, ErrorKind, FieldId, QueryId, Result, TableId, TableName,
    audit::{AuditEvent, ColumnUse, EventKind, Outcome, QueryEffect, QueryFacts, TableAccess, Verdict},
    govern::{GovernedTable, governed},
    observe::{Event, Room, StatementEnd},
};

/// One statement on its way through the rooms, as the trail will know it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) session: Session,
    pub(super) query: QueryId,
    facts: QueryFacts,
    pub(super) tables: Vec<TableAccess>,
    /// The types of the statement's parameters, if they were declared.
    pub(super) types: Vec<AstType>,
    pub(super) place: Place,
    /// What it does, as soon as it is known.
    pub(super) operation: &'static str,
    /// A view in it of whose text this person is told nothing.
    pub(super) secret: Option<TableName>,
}

impl Case {
    pub(super) fn new(session: &Session, sql: &str) -> Self {
        Self::at(session, sql, Place::here())
    }

    pub(super) fn at(session: &Session, sql: &str, place: Place) -> Self {
        let query = QueryId::random();
        place.span.record("query", tracing::field::display(query));
        let statement = without_literals(sql, session.engine().limits.statement_bytes);
        let facts = QueryFacts::new(query, session.identity(), session.client().clone(), statement);
        let facts = facts.with_trace(place.context.trace);
        Self {
            session: session.clone(),
            query,
            facts,
            tables: Vec::new(),
            types: Vec::new(),
            place,
            operation: "",
            secret: None,
        }
    }

    /// What it does, of which only the first counts: a prepared statement is told as what the client sent.
    pub(super) fn does(&mut self, operation: &'static str) {
        if self.operation.is_empty() {
            self.operation = operation;
        }
    }

    /// Notes the prepared statement that this one runs.
    pub(super) fn note_prepared(&mut self, prepared: &Prepared) {
        let inner = without_literals(&prepared.sql, self.session.engine().limits.statement_bytes);
        self.facts.statement = shortened(format!("{} AS {inner}", self.facts.statement));
    }

    async fn record(&self, kind: EventKind) -> Result<()> {
        let event = AuditEvent::now(self.facts.clone(), kind, self.tables.clone());
        let engine = self.session.engine();
        let begun = Begun::now();
        let recorded = engine.audit.record(event).instrument(self.place.span.clone()).await;
        let failure = recorded.as_ref().err().map(Error::kind);
        engine.tell(Room::Record, Some(self.place.context), begun, failure);
        recorded.map_err(|error| {
            let _entered = self.place.span.enter();
            tracing::error!(query = %self.query, %error, "the audit trail refused an event");
            Error::unavailable("the audit trail cannot be written, so no statement may run; try again later")
                .with_source(error)
        })
    }

    /// Tells who watches how it ended. `recorded`: whether the trail holds that end.
    pub(super) fn ended(&self, outcome: &Outcome, rows: u64, bytes: u64, recorded: bool) {
        let unrecorded = Outcome::failed(ErrorKind::Unavailable);
        let Place { context, parent, begun, .. } = &self.place;
        let end = StatementEnd {
            query: self.query,
            context: *context,
            parent: *parent,
            operation: self.operation,
            outcome: if recorded { outcome } else { &unrecorded },
            rows,
            bytes,
            started: begun.at,
            took: begun.took(),
            recorded,
        };
        self.session.engine().observer.observe(&Event::Statement(end));
    }

    /// Before the first byte.
    pub(super) async fn intend(&self) -> Result<()> {
        self.record(EventKind::Intent).await
    }

    /// Before the end.
    pub(super) async fn conclude(&self, outcome: Outcome, rows: u64, bytes: u64) -> Result<()> {
        let recorded = self.record(EventKind::Effect(QueryEffect::new(outcome.clone(), rows, bytes))).await;
        self.ended(&outcome, rows, bytes, recorded.is_ok());
        recorded
    }

    /// A statement that never ran. Gives back the error that the person is told: its own, or the trail's.
    pub(super) async fn refuse(&self, error: Error) -> Error {
        let outcome = self.refusal(&error);
        let recorded = self.record(EventKind::Refused(QueryEffect::new(outcome.clone(), 0, 0))).await;
        self.ended(&outcome, 0, 0, recorded.is_ok());
        match recorded {
            Ok(()) => error,
            Err(trail) => trail,
        }
    }

    /// What a person is told of a failure after binding. Planners and operators cite what they work on, and do not know
    /// whether it is the statement's own or stands in a view.
    pub(super) fn told(&self, error: Error) -> Error {
        let Some(view) = &self.secret else { return error };
        let kind = error.kind();
        let message = match kind {
            ErrorKind::InvalidInput | ErrorKind::Unsupported => format!(
                "the statement, or view {view}, which it reads and which you may not describe, cannot be carried out; \
                 look at its divisions, casts and formats, or ask the view's owner"
            ),
            ErrorKind::ResourceExhausted => {
                format!("the statement, with view {view}, which it reads, needs more than it may use; narrow it down")
            }
            _ => return error,
        };
        Error::new(kind, message).with_source(error)
    }

    /// Denied and missing differ in the trail, whatever the person is told.
    fn refusal(&self, error: &Error) -> Outcome {
        if self.tables.iter().any(|access| access.verdict == Verdict::Denied) {
            Outcome::Denied
        } else {
            Outcome::failed(error.kind())
        }
    }

    pub(super) fn note_missing(&mut self, name: &TableName, action: Action) {
        let table = TableId::new(name.clone(), uuid::Uuid::nil());
        self.tables.push(TableAccess::new(table, action, Verdict::Missing));
    }

    pub(super) fn note_decision(&mut self, table: TableId, action: Action, decision: &Decision, snapshot: Option<i64>) {
        let verdict = match decision.restrictions() {
            None => Verdict::Denied,
            Some(restrictions) if restrictions.is_none() => Verdict::Permitted,
            Some(_) => Verdict::Restricted,
        };
        let mut access = TableAccess::new(table, action, verdict);
        access.snapshot = snapshot;
        access.policies = decision.policies.clone();
        access.decision = decision.digest();
        access.policy_snapshot = decision.snapshot.clone();
        self.tables.push(access);
    }

    /// Notes the columns that the optimised plan reads of each governed table.
    pub(super) fn note_columns(&mut self, plan: &LogicalPlan) -> Result<()> {
        let mut uses: BTreeMap<TableId, BTreeMap<FieldId, ColumnUse>> = BTreeMap::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(table) = governed(&scan.source)
            {
                let all: Vec<usize> = (0..table.columns().len()).collect();
                let read = scan.projection.as_ref().unwrap_or(&all);
                note_scan(table, read, uses.entry(table.grant().table().clone()).or_default());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        for access in &mut self.tables {
            if access.action == Action::Select
                && let Some(columns) = uses.get(&access.table)
            {
                // Of a table of which several states are read, each is told with what is read of them together.
                access.columns = columns.values().cloned().collect();
            }
        }
        Ok(())
    }

    pub(super) fn note_lease(&mut self, table: &TableId, session_name: &str) {
        for access in self.tables.iter_mut().filter(|access| access.table == *table) {
            access.session_name = Some(session_name.to_owned());
        }
    }
}

fn note_scan(table: &GovernedTable, read: &[usize], uses: &mut BTreeMap<FieldId, ColumnUse>) {
    let facts = table.raw().facts();
    for index in read {
        let Some(visible) = table.columns().get(*index) else { continue };
        let Some(column) = facts.columns.get(visible.raw) else { continue };
        let entry = uses.entry(column.field_id).or_insert_with(|| ColumnUse::new(column.field_id, column.name.clone()));
        entry.masked = visible.is_masked();
        entry.policy_only = false;
    }
    let filter = table.decision().restrictions().and_then(|restrictions| restrictions.filter.as_ref());
    for id in filter.map(crate::predicate::RowPredicate::columns).unwrap_or_default() {
        let Some(column) = facts.columns.iter().find(|column| column.field_id == id) else { continue };
        uses.entry(id).or_insert_with(|| {
            let mut entry = ColumnUse::new(id, column.name.clone());
            entry.policy_only = true;
            entry
        });
    }
}
