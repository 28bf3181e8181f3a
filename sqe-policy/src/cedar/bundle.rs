//! An immutable set of accepted policies.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cedar_policy::{PolicySet, Schema};
use parking_lot::Mutex;
use sqe_core::{Access, Decision, Error, Identity, Result};

use super::{
    cache::{Cache, Key},
    decide::Question,
    entities::Person,
    load::{Entry, load},
    rows::{self, RowTypes},
    source,
};

/// How many tables' schemas a bundle remembers.
const SCHEMAS: usize = 1024;

/// Policies that came into force together, and what was decided by them.
pub(super) struct Bundle {
    snapshot: String,
    entries: Vec<Entry>,
    /// The ids of those that people may know of.
    explainable: BTreeSet<String>,
    schema: serde_json::Value,
    schemas: Mutex<HashMap<RowTypes, Arc<Schema>>>,
    decisions: Cache,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle").field("snapshot", &self.snapshot).field("policies", &self.entries.len()).finish()
    }
}

impl Bundle {
    pub(super) fn load(texts: BTreeMap<String, String>) -> Result<Self> {
        let schema = rows::base()?;
        let entries = load(&texts, &schema)?;
        if entries.is_empty() {
            tracing::warn!("the policy bundle is empty: everything is denied");
        }
        Ok(Self {
            snapshot: source::snapshot(&texts),
            explainable: entries.iter().filter(|entry| entry.explainable).map(|entry| entry.id.clone()).collect(),
            entries,
            schema,
            schemas: Mutex::default(),
            decisions: Cache::default(),
        })
    }

    pub(super) fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// Decides one access.
    pub(super) fn decide(&self, identity: &Identity, access: &Access) -> Result<Decision> {
        let key = Key::of(identity, access);
        if let Some(known) = key.and_then(|key| self.decisions.find(key)) {
            return Ok(known);
        }
        let person = Person::of(identity)?;
        let decision = Question::new(self, &person, access)?.answer()?;
        if let Some(key) = key {
            self.decisions.keep(key, decision.clone());
        }
        Ok(decision)
    }

    /// The policies that may concern a person and an action, in the order of their text.
    pub(super) fn concerning(&self, person: &Person, action: &str) -> Vec<&Entry> {
        let concerns = |entry: &&Entry| {
            entry.scope.admits_action(action) && entry.scope.admits_principal(&person.uid, &person.parents)
        };
        self.entries.iter().filter(concerns).collect()
    }

    /// Whether a person may know which policies decided: each of them says so, and there is one.
    pub(super) fn explains(&self, policies: &BTreeSet<String>) -> bool {
        !policies.is_empty() && policies.is_subset(&self.explainable)
    }

    /// The schema in which a table's rows have its columns as attributes.
    pub(super) fn schema_for(&self, types: RowTypes) -> Result<Arc<Schema>> {
        if let Some(known) = self.schemas.lock().get(&types) {
            return Ok(Arc::clone(known));
        }
        let schema = Arc::new(rows::with_row(&self.schema, &types)?);
        let mut schemas = self.schemas.lock();
        if schemas.len() >= SCHEMAS {
            schemas.clear();
        }
        schemas.insert(types, Arc::clone(&schema));
        Ok(schema)
    }
}

/// A Cedar policy set of some entries.
pub(super) fn set_of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<PolicySet> {
    PolicySet::from_policies(entries.into_iter().map(|entry| entry.policy.clone()))
        .map_err(|cause| Error::internal("policies clash with one another; this is a defect").with_source(cause))
}
