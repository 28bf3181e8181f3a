//! Decisions that were made already.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqe_core::{Access, Decision, Identity, Resource};

/// How many decisions a bundle remembers.
const CAPACITY: usize = 8192;

/// All that a decision depends on beside the policies: who asks, for what, and the facts about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// `None` if the question cannot be written down; it is then answered anew each time.
    pub(super) fn of(identity: &Identity, access: &Access) -> Option<Self> {
        // INVARIANT: every part that decisions read is in here, in a form that keeps the borders between the parts.
        // Display names, expiry, actors and proof are not read.
        let person = (&identity.principal, &identity.groups, &identity.roles, &identity.attributes);
        let action = access.action.as_str();
        match &access.resource {
            Resource::Catalog(catalog) => Self::hash(&(person, action, "catalog", catalog)),
            Resource::Schema { catalog, schema } => Self::hash(&(person, action, "schema", catalog, schema)),
            Resource::Table(table) => Self::hash(&(person, action, "table", &table.id, &table.owner, &table.columns)),
            _ => None,
        }
    }

    fn hash(parts: &impl Serialize) -> Option<Self> {
        Some(Self(Sha256::digest(serde_json::to_vec(parts).ok()?).into()))
    }
}

/// A bounded memory. Decisions are pure in their key and the bundle, so forgetting only costs time.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<Key, Decision>>);

impl Cache {
    pub(super) fn find(&self, key: Key) -> Option<Decision> {
        self.0.lock().get(&key).cloned()
    }

    pub(super) fn keep(&self, key: Key, decision: Decision) {
        let mut known = self.0.lock();
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(key, decision);
    }
}
