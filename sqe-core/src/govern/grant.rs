//! Proofs that something was authorised. None of them has a public constructor.

use std::ops::Deref;

use uuid::Uuid;

use crate::{Principal, QueryId, TableId};

/// Proof that the engine authorised one read of one table for one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanGrant {
    id: Uuid,
    query: QueryId,
    principal: Principal,
    table: TableId,
    unconditional: bool,
}

impl ScanGrant {
    pub(crate) fn mint(query: QueryId, principal: Principal, table: TableId, unconditional: bool) -> Self {
        Self { id: Uuid::new_v4(), query, principal, table, unconditional }
    }

    pub(crate) fn restore(id: Uuid, query: QueryId, principal: Principal, table: TableId, unconditional: bool) -> Self {
        Self { id, query, principal, table, unconditional }
    }

    /// The grant's own id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The query that it was given to.
    #[must_use]
    pub fn query(&self) -> QueryId {
        self.query
    }

    /// The person that the query runs as.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The table that may be read.
    #[must_use]
    pub fn table(&self) -> &TableId {
        &self.table
    }

    /// Whether policy held nothing back, so that no filter or mask stands between the scan and the person.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        self.unconditional
    }
}

/// Proof that the engine authorised one change for one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteGrant {
    query: QueryId,
    principal: Principal,
}

impl WriteGrant {
    pub(crate) fn mint(query: QueryId, principal: Principal) -> Self {
        Self { query, principal }
    }

    /// The query that it was given to.
    #[must_use]
    pub fn query(&self) -> QueryId {
        self.query
    }

    /// The person that the query runs as.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}

/// Proof that a `T` (a plan) was verified against the decisions of its query.
#[derive(Debug, Clone)]
pub struct Authorized<T>(T);

impl<T> Authorized<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self(inner)
    }

    /// The plan itself. A changed plan is no longer authorised: there is no way back.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Authorized<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
