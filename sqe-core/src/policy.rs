//! What may be done: requests to a policy engine and its decisions, as data.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    Column, FieldId, Identity, Principal, Result, TableId,
    predicate::{Mask, RowPredicate, digest},
};

/// What somebody wants to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Know that it exists.
    Discover,
    /// See its columns and properties.
    Describe,
    /// Read rows of a table.
    Select,
    /// Add rows to a table.
    Insert,
    /// Change rows of a table.
    Update,
    /// Remove rows of a table.
    Delete,
    /// Create a schema in a catalog, or a table in a schema.
    Create,
    /// Remove a schema or a table.
    Drop,
    /// Change the definition of a table.
    Alter,
    /// Read a table's metadata tables.
    ReadMetadata,
}

impl Action {
    /// The action as policies spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Describe => "describe",
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Create => "create",
            Self::Drop => "drop",
            Self::Alter => "alter",
            Self::ReadMetadata => "read_metadata",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a policy engine may know about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableFacts {
    /// Name and uuid.
    pub id: TableId,
    /// Who created it, if the catalog keeps that.
    pub owner: Option<Principal>,
    /// All columns, hidden or not, of the current schema.
    pub columns: Vec<Column>,
}

impl TableFacts {
    /// Facts of a table without an owner.
    #[must_use]
    pub fn new(id: TableId, columns: Vec<Column>) -> Self {
        Self { id, owner: None, columns }
    }

    /// Sets the owner.
    #[must_use]
    pub fn with_owner(mut self, owner: Option<Principal>) -> Self {
        self.owner = owner;
        self
    }
}

/// What an access is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// A catalog, by name.
    Catalog(String),
    /// A schema of a catalog.
    Schema {
        /// The catalog's name.
        catalog: String,
        /// The schema; levels joined with `.`.
        schema: String,
    },
    /// A table.
    Table(TableFacts),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog(name) => f.write_str(name),
            Self::Schema { catalog, schema } => write!(f, "{catalog}.{schema}"),
            Self::Table(table) => table.id.name.fmt(f),
        }
    }
}

/// One thing that somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Access {
    /// What.
    pub action: Action,
    /// With what.
    pub resource: Resource,
}

impl Access {
    /// An access.
    #[must_use]
    pub fn new(action: Action, resource: Resource) -> Self {
        Self { action, resource }
    }
}

/// A batch of accesses of one identity: all of a statement's tables at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PolicyRequest<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// For what, in the order in which decisions are wanted.
    pub accesses: &'a [Access],
}

impl<'a> PolicyRequest<'a> {
    /// A request.
    #[must_use]
    pub fn new(identity: &'a Identity, accesses: &'a [Access]) -> Self {
        Self { identity, accesses }
    }
}

/// What a permit holds back. The default holds nothing back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Restrictions {
    /// Columns that do not exist for this person.
    pub hidden: BTreeSet<FieldId>,
    /// Only rows for which this is true exist for this person. It sees raw values.
    pub filter: Option<RowPredicate>,
    /// What is shown instead of a column's values.
    pub masks: BTreeMap<FieldId, Mask>,
}

impl Restrictions {
    /// Whether nothing is held back.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.hidden.is_empty() && self.filter.is_none() && self.masks.is_empty()
    }
}

/// Permit or deny.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Not allowed.
    Deny,
    /// Allowed, within restrictions.
    Permit(Restrictions),
}

/// The answer to one [`Access`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Decision {
    /// Permit or deny.
    pub effect: Effect,
    /// The ids of the policies that made it so, for the audit trail. Not shown to the person unless this is `explainable`.
    pub policies: Vec<String>,
    /// The hash of the immutable policy snapshot that decided.
    pub snapshot: String,
    /// Whether the person may know which policies made it so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explainable: bool,
}

impl Decision {
    /// A denial.
    #[must_use]
    pub fn deny() -> Self {
        Self { effect: Effect::Deny, policies: Vec::new(), snapshot: String::new(), explainable: false }
    }

    /// A permit that holds nothing back.
    #[must_use]
    pub fn permit() -> Self {
        Self::permit_with(Restrictions::default())
    }

    /// A permit within restrictions.
    #[must_use]
    pub fn permit_with(restrictions: Restrictions) -> Self {
        Self { effect: Effect::Permit(restrictions), policies: Vec::new(), snapshot: String::new(), explainable: false }
    }

    /// Names the policies and the snapshot that decided.
    #[must_use]
    pub fn decided_by(mut self, policies: Vec<String>, snapshot: impl Into<String>) -> Self {
        self.policies = policies;
        self.snapshot = snapshot.into();
        self
    }

    /// Lets the person know which policies decided.
    #[must_use]
    pub fn explainable(mut self) -> Self {
        self.explainable = true;
        self
    }

    /// Whether this is a permit, restricted or not.
    #[must_use]
    pub fn is_permit(&self) -> bool {
        matches!(self.effect, Effect::Permit(_))
    }

    /// The restrictions of a permit.
    #[must_use]
    pub fn restrictions(&self) -> Option<&Restrictions> {
        match &self.effect {
            Effect::Deny => None,
            Effect::Permit(restrictions) => Some(restrictions),
        }
    }

    /// What the audit trail keeps of this decision: a digest of effect, restrictions, policies and snapshot.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self)
    }
}

/// Decides. It never enforces: the engine alone builds decisions into plans, and verifies that it did.
#[async_trait]
pub trait PolicyEngine: fmt::Debug + Send + Sync + 'static {
    /// One decision an access, in the order of the accesses.
    ///
    /// Deny is the default: an unknown resource, an undefined answer, an unloaded policy all mean [`Decision::deny`].
    /// The engine refuses the whole batch if the number of decisions differs from the number of accesses.
    ///
    /// # Errors
    /// `Unavailable` when it cannot decide now. An error denies everything in the batch.
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>>;
}

/// Implementations that protect nothing. The name says what using one means.
pub mod danger {
    use super::{Decision, PolicyEngine, PolicyRequest, Result, async_trait};

    /// Permits everything to everybody.
    #[derive(Debug, Clone, Copy)]
    pub struct PermitAll;

    #[async_trait]
    impl PolicyEngine for PermitAll {
        async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
            let permit = || Decision::permit().decided_by(vec!["danger::PermitAll".into()], "danger");
            Ok(request.accesses.iter().map(|_| permit()).collect())
        }
    }
}
