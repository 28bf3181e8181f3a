//! Proofs that something was authorised. None of them has a public constructor.
//!
//! That they cannot be made elsewhere is tested by examples that must not compile. Each stands below one that does, and
//! that differs from it in one line: so it is this line that the compiler refuses.

use std::ops::Deref;

use uuid::Uuid;

use crate::{Principal, QueryId, TableId};

/// Proof that the engine authorised one read of one table for one query.
///
/// Catalogs are shown one and hand it on:
///
/// ```no_run
/// use sqe_core::{Principal, QueryId, TableId, govern::ScanGrant};
/// fn grant(shown: ScanGrant, query: QueryId, principal: Principal, table: TableId) -> ScanGrant {
///     shown
/// }
/// ```
///
/// To mint one does not compile,
///
/// ```compile_fail,E0624
/// use sqe_core::{Principal, QueryId, TableId, govern::ScanGrant};
/// fn grant(shown: ScanGrant, query: QueryId, principal: Principal, table: TableId) -> ScanGrant {
///     ScanGrant::mint(query, principal, table, true)
/// }
/// ```
///
/// nor does restoring one that nobody sealed,
///
/// ```compile_fail,E0624
/// use sqe_core::{Principal, QueryId, TableId, govern::ScanGrant};
/// fn grant(shown: ScanGrant, query: QueryId, principal: Principal, table: TableId) -> ScanGrant {
///     ScanGrant::restore(shown.id(), query, principal, table, true)
/// }
/// ```
///
/// nor changing one,
///
/// ```compile_fail,E0451
/// use sqe_core::{Principal, QueryId, TableId, govern::ScanGrant};
/// fn grant(shown: ScanGrant, query: QueryId, principal: Principal, table: TableId) -> ScanGrant {
///     ScanGrant { unconditional: true, ..shown }
/// }
/// ```
///
/// nor reading one from text.
///
/// ```compile_fail,E0277
/// use sqe_core::{Principal, QueryId, TableId, govern::ScanGrant};
/// fn grant(shown: ScanGrant, query: QueryId, principal: Principal, table: TableId) -> ScanGrant {
///     serde_json::from_str("{}").unwrap()
/// }
/// ```
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
///
/// Catalogs are shown one and hand it on:
///
/// ```no_run
/// use sqe_core::{Principal, QueryId, govern::WriteGrant};
/// fn grant(shown: WriteGrant, query: QueryId, principal: Principal) -> WriteGrant {
///     shown
/// }
/// ```
///
/// To mint one does not compile,
///
/// ```compile_fail,E0624
/// use sqe_core::{Principal, QueryId, govern::WriteGrant};
/// fn grant(shown: WriteGrant, query: QueryId, principal: Principal) -> WriteGrant {
///     WriteGrant::mint(query, principal)
/// }
/// ```
///
/// nor does changing one.
///
/// ```compile_fail,E0451
/// use sqe_core::{Principal, QueryId, govern::WriteGrant};
/// fn grant(shown: WriteGrant, query: QueryId, principal: Principal) -> WriteGrant {
///     WriteGrant { query, ..shown }
/// }
/// ```
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
///
/// Schedulers are handed one:
///
/// ```no_run
/// use sqe_core::govern::Authorized;
/// fn authorized<T>(plan: T, handed: Authorized<T>) -> Authorized<T> {
///     handed
/// }
/// ```
///
/// To make one does not compile, in no spelling.
///
/// ```compile_fail,E0423
/// use sqe_core::govern::Authorized;
/// fn authorized<T>(plan: T, handed: Authorized<T>) -> Authorized<T> {
///     Authorized(plan)
/// }
/// ```
///
/// ```compile_fail,E0624
/// use sqe_core::govern::Authorized;
/// fn authorized<T>(plan: T, handed: Authorized<T>) -> Authorized<T> {
///     Authorized::new(plan)
/// }
/// ```
///
/// ```compile_fail,E0451
/// use sqe_core::govern::Authorized;
/// fn authorized<T>(plan: T, handed: Authorized<T>) -> Authorized<T> {
///     Authorized { 0: plan }
/// }
/// ```
///
/// ```compile_fail,E0277
/// use sqe_core::govern::Authorized;
/// fn authorized<T>(plan: T, handed: Authorized<T>) -> Authorized<T> {
///     plan.into()
/// }
/// ```
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
