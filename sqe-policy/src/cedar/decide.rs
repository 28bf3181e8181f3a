//! One access, decided.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    Authorizer, Context, Decision as Answer, EntityUid, PartialEntityUid, PartialRequest, PolicySet, Request, pst,
};
use sqe_core::{
    Access, Action, Decision, Error, FieldId, Resource, Result,
    policy::Restrictions,
    predicate::{Mask, RowPredicate},
};

use super::{
    bundle::{Bundle, set_of},
    entities::{Person, World, uid},
    load::Entry,
    mask,
    names::Kind,
    rows::{self, Residual, RowTypes},
};

/// A question that nobody asked this bundle before.
pub(super) struct Question<'a> {
    bundle: &'a Bundle,
    person: &'a Person,
    access: &'a Access,
    world: World,
}

/// What a set of policies says about one resource.
struct Verdict {
    /// Satisfied permits, if nothing forbids.
    permits: Vec<String>,
    /// Satisfied forbids, and forbids that could not be evaluated: those may not vanish.
    forbids: Vec<String>,
}

/// What a person may read of a table.
struct Reading {
    restrictions: Restrictions,
    policies: BTreeSet<String>,
}

/// Why a table may not be read at all.
struct Refusal(BTreeSet<String>);

impl<'a> Question<'a> {
    pub(super) fn new(bundle: &'a Bundle, person: &'a Person, access: &'a Access) -> Result<Self> {
        let world = World::of(person, &access.resource)?;
        Ok(Self { bundle, person, access, world })
    }

    pub(super) fn answer(&self) -> Result<Decision> {
        let decided = |decision: Decision, policies: BTreeSet<String>| {
            let decision = if self.bundle.explains(&policies) { decision.explainable() } else { decision };
            decision.decided_by(policies.into_iter().collect(), self.bundle.snapshot())
        };
        let deny = |policies| decided(Decision::deny(), policies);
        let permit = |restrictions, policies| decided(Decision::permit_with(restrictions), policies);
        if !applies(self.access) {
            return Ok(deny(BTreeSet::new()));
        }
        if self.access.action == Action::Select {
            return Ok(match self.read(false)? {
                Ok(reading) => permit(reading.restrictions, reading.policies),
                Err(Refusal(policies)) => deny(policies),
            });
        }
        let verdict = self.judge_one(self.access.action.as_str())?;
        if !verdict.forbids.is_empty() || verdict.permits.is_empty() {
            return Ok(deny(verdict.forbids.into_iter().collect()));
        }
        let mut policies: BTreeSet<_> = verdict.permits.into_iter().collect();
        if !carries_restrictions(self.access) {
            return Ok(permit(Restrictions::default(), policies));
        }
        // What is held back from reading is told to the engine for the other actions too, so that a table's columns
        // are not shown, and its rows not changed, by somebody who may not see them.
        Ok(match self.read(true)? {
            Ok(reading) => {
                policies.extend(reading.policies);
                permit(reading.restrictions, policies)
            }
            Err(Refusal(policies)) => deny(policies),
        })
    }

    /// What of the table may be read.
    ///
    /// With `lent`, as if reading were permitted as a whole: what remains is what forbids and masks hold back.
    fn read(&self, lent: bool) -> Result<Result<Reading, Refusal>> {
        let Some(row) = &self.world.row else { return Ok(Err(Refusal(BTreeSet::new()))) };
        let concerned = self.bundle.concerning(self.person, "select");
        if let Some(refusal) = self.dangling(&concerned)? {
            return Ok(Err(refusal));
        }
        let (about_rows, plain): (Vec<&Entry>, Vec<&Entry>) = concerned.into_iter().partition(|entry| entry.about_rows);
        let plain = set_of(plain)?;
        let table = self.judge("select", &self.world.resource, &plain)?;
        let any_row = self.judge("select", row, &plain)?;
        let mut policies: BTreeSet<_> = table.forbids.into_iter().chain(any_row.forbids).collect();
        let forbidden = !policies.is_empty();
        if forbidden && !lent {
            return Ok(Err(Refusal(policies)));
        }
        let whole = lent || !table.permits.is_empty();
        let every_row = whole || !any_row.permits.is_empty();
        policies.extend(table.permits);
        policies.extend(any_row.permits);
        let filter = match self.rows(row, every_row, about_rows, &mut policies)? {
            Ok(_) if forbidden => RowPredicate::never(),
            Ok(filter) => filter,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if filter == RowPredicate::never() && !lent {
            return Ok(Err(Refusal(policies)));
        }
        let hidden = self.hidden(whole, &plain, &mut policies)?;
        if !lent && !self.world.columns.is_empty() && hidden.len() == self.world.columns.len() {
            return Ok(Err(Refusal(policies)));
        }
        let mut restrictions = Restrictions::default();
        restrictions.masks = self.masks(&hidden, &mut policies)?;
        restrictions.hidden = hidden;
        restrictions.filter = (filter != rows::always()).then_some(filter);
        Ok(Ok(Reading { restrictions, policies }))
    }

    /// A policy that protects a column which the table does not have no longer protects what it meant to: the column
    /// was renamed, dropped, or misspelt. The table is then closed until the policy says what it means.
    fn dangling(&self, concerned: &[&Entry]) -> Result<Option<Refusal>> {
        let table = self.world.resource.id().unescaped();
        let known: BTreeSet<&str> = self.world.columns.iter().map(|(uid, _)| uid.id().unescaped()).collect();
        let mut entries = concerned.to_vec();
        for action in mask::ACTIONS {
            entries
                .extend(self.bundle.concerning(self.person, action).into_iter().filter(|entry| entry.mask.is_some()));
        }
        let mut guilty = BTreeSet::new();
        for entry in entries {
            let missing =
                entry.protects.iter().find(|column| is_column_of(column, table) && !known.contains(column.as_str()));
            if let Some(column) = missing {
                tracing::warn!(
                    policy = entry.id,
                    table,
                    column,
                    "the table is denied: the policy protects a column that the table does not have; \
                     correct its name, or match resource.field_id or resource.tags instead"
                );
                guilty.insert(entry.id.clone());
            }
        }
        Ok((!guilty.is_empty()).then_some(Refusal(guilty)))
    }

    /// The row filter: `OR(permits) AND NOT OR(forbids)`, where what cannot be evaluated for a row hides it.
    fn rows(
        &self,
        row: &EntityUid,
        every_row: bool,
        entries: Vec<&Entry>,
        policies: &mut BTreeSet<String>,
    ) -> Result<Result<RowPredicate, Refusal>> {
        let entries: Vec<_> =
            entries.into_iter().filter(|entry| entry.scope.admits_rows_in(&self.world.holders)).collect();
        if entries.is_empty() {
            return Ok(Ok(if every_row { rows::always() } else { RowPredicate::never() }));
        }
        let columns: Vec<_> = self.world.columns.iter().map(|(_, column)| column.clone()).collect();
        let schema = self.bundle.schema_for(RowTypes::of(&columns))?;
        let known = self.world.partial(self.person, row, &schema)?;
        let request = PartialRequest::new(
            PartialEntityUid::from_concrete(self.person.uid.clone()),
            uid(Kind::Action, "select")?,
            PartialEntityUid::from_concrete(row.clone()),
            Some(Context::empty()),
            &schema,
        )
        .map_err(defect)?;

        let mut permitted = if every_row { rows::always() } else { RowPredicate::never() };
        let mut passes = Vec::new();
        for entry in entries {
            // Each alone: partial evaluation refuses a set if one policy in it does not fit the table.
            let residual = entry
                .alone
                .tpe(&request, &known, &schema)
                .map_err(|cause| format!("it does not fit the table's columns: {cause}"))
                .and_then(|response| match response.policies().next().map(|policy| policy.to_pst()) {
                    Some(Ok(pst::Policy::Static(policy))) => rows::lower(policy.body().clauses(), &columns),
                    _ => Err("what is left of it cannot be read".to_owned()),
                });
            match residual {
                Ok(Residual { unsatisfied, .. }) if entry.is_forbid() => {
                    if unsatisfied != rows::always() {
                        policies.insert(entry.id.clone());
                    }
                    passes.push(unsatisfied);
                }
                Ok(Residual { satisfied, .. }) => {
                    if satisfied != RowPredicate::never() {
                        policies.insert(entry.id.clone());
                    }
                    permitted = rows::or([permitted, satisfied]);
                }
                Err(reason) => {
                    tracing::warn!(
                        policy = entry.id,
                        table = self.world.resource.id().unescaped(),
                        reason,
                        "a policy about rows cannot be applied: {}",
                        if entry.is_forbid() { "the table is denied" } else { "it permits nothing" }
                    );
                    if entry.is_forbid() {
                        return Ok(Err(Refusal(BTreeSet::from([entry.id.clone()]))));
                    }
                }
            }
        }
        Ok(Ok(rows::and(std::iter::once(permitted).chain(passes))))
    }

    /// The columns that do not exist for this person.
    fn hidden(&self, whole: bool, plain: &PolicySet, policies: &mut BTreeSet<String>) -> Result<BTreeSet<FieldId>> {
        let mut hidden = BTreeSet::new();
        for (uid, column) in &self.world.columns {
            let verdict = self.judge("select", uid, plain)?;
            if !verdict.forbids.is_empty() || (!whole && verdict.permits.is_empty()) {
                hidden.insert(column.field_id);
            }
            policies.extend(verdict.forbids);
            policies.extend(verdict.permits);
        }
        Ok(hidden)
    }

    /// The masks of the columns that are not hidden, the strictest where several apply.
    fn masks(&self, hidden: &BTreeSet<FieldId>, policies: &mut BTreeSet<String>) -> Result<BTreeMap<FieldId, Mask>> {
        let mut masks: BTreeMap<FieldId, Mask> = BTreeMap::new();
        for action in mask::ACTIONS {
            for entry in self.bundle.concerning(self.person, action) {
                let Some(statement) = &entry.mask else { continue };
                for (uid, column) in self.world.columns.iter().filter(|(_, column)| !hidden.contains(&column.field_id))
                {
                    let response = self.ask(action, uid, &entry.alone)?;
                    let errs = response.diagnostics().errors().next().is_some();
                    // A mask whose condition cannot be evaluated may not vanish.
                    let mask = if errs {
                        Mask::Null
                    } else if response.decision() == Answer::Allow {
                        statement.fit(column)
                    } else {
                        continue;
                    };
                    policies.insert(entry.id.clone());
                    let mask = match masks.remove(&column.field_id) {
                        Some(other) => other.stricter(mask),
                        None => mask,
                    };
                    masks.insert(column.field_id, mask);
                }
            }
        }
        Ok(masks)
    }

    fn judge_one(&self, action: &str) -> Result<Verdict> {
        self.judge(action, &self.world.resource, &set_of(self.bundle.concerning(self.person, action))?)
    }

    fn judge(&self, action: &str, resource: &EntityUid, policies: &PolicySet) -> Result<Verdict> {
        let response = self.ask(action, resource, policies)?;
        let reasons = response.diagnostics().reason().map(ToString::to_string);
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        match response.decision() {
            Answer::Allow => permits.extend(reasons),
            Answer::Deny => forbids.extend(reasons),
        }
        for cedar_policy::AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
            let id = error.policy_id();
            if policies.policy(id).is_none_or(|policy| policy.effect() == cedar_policy::Effect::Forbid) {
                forbids.push(id.to_string());
            }
        }
        if !forbids.is_empty() {
            permits.clear();
        }
        Ok(Verdict { permits, forbids })
    }

    fn ask(&self, action: &str, resource: &EntityUid, policies: &PolicySet) -> Result<cedar_policy::Response> {
        let action = uid(Kind::Action, action)?;
        let request =
            Request::new(self.person.uid.clone(), action, resource.clone(), Context::empty(), None).map_err(defect)?;
        Ok(Authorizer::new().is_authorized(&request, policies, &self.world.entities))
    }
}

/// Whether an action makes sense for a resource. What makes none is denied.
fn applies(access: &Access) -> bool {
    match (&access.resource, access.action) {
        (_, Action::Discover | Action::Describe) => true,
        (Resource::Catalog(_), action) => action == Action::Create,
        (Resource::Schema { .. }, action) => matches!(action, Action::Create | Action::Drop),
        (Resource::Table(_), action) => action != Action::Create,
        _ => false,
    }
}

/// Whether a permit tells what is held back from reading.
fn carries_restrictions(access: &Access) -> bool {
    matches!(access.resource, Resource::Table(_)) && !matches!(access.action, Action::Discover | Action::Drop)
}

/// Whether the full name of a column is one of a table: its name, a dot, and one more name.
fn is_column_of(column: &str, table: &str) -> bool {
    column
        .strip_prefix(table)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|name| super::names::depth(name) == Some(1))
}

fn defect(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("a policy question could not be put; this is a defect").with_source(cause)
}
