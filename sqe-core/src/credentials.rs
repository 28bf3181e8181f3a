//! Leases: the right of one person to reach one table's storage for a while. The engine itself holds none.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{Identity, Principal, QueryId, Result, Secret, TableName};

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Read a catalog's own metadata files of a table, before anything is decided about its rows.
    ReadMetadata,
    /// Read data and metadata files.
    Read,
    /// Read, and write new files.
    Write,
}

/// A wish for a lease.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VendRequest<'a> {
    /// For whom. Never the engine.
    pub identity: &'a Identity,
    /// For which table.
    pub table: &'a TableName,
    /// For which locations: URLs of folders, each ending in `/`.
    pub prefixes: &'a [String],
    /// For what.
    pub operation: Operation,
    /// For which query, if it is for one.
    pub query: Option<QueryId>,
}

impl<'a> VendRequest<'a> {
    /// A wish for a lease on `prefixes`.
    #[must_use]
    pub fn new(identity: &'a Identity, table: &'a TableName, prefixes: &'a [String], operation: Operation) -> Self {
        Self { identity, table, prefixes, operation, query: None }
    }

    /// Names the query that it is for.
    #[must_use]
    pub fn for_query(mut self, query: QueryId) -> Self {
        self.query = Some(query);
        self
    }
}

/// Credentials for a storage, good right now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StoreCredentials {
    /// None: files of this machine, within the lease's prefixes.
    LocalFiles,
    /// Temporary keys of an S3 compatible storage.
    S3 {
        /// Access key id.
        access_key_id: Secret,
        /// Secret access key.
        secret_access_key: Secret,
        /// Session token.
        session_token: Option<Secret>,
        /// Region.
        region: String,
        /// Endpoint, if it is not the region's own.
        endpoint: Option<String>,
    },
}

/// Hands out a lease's credentials, renewed when they near their end.
#[async_trait]
pub trait LeaseSource: fmt::Debug + Send + Sync + 'static {
    /// Credentials that are good now.
    ///
    /// # Errors
    /// `PermissionDenied` once the right is withdrawn, `Unavailable` when it cannot be renewed now.
    async fn credentials(&self) -> Result<StoreCredentials>;

    /// When the present credentials end; `None` if they do not end.
    fn expires_at(&self) -> Option<DateTime<Utc>>;
}

/// The right of one person to reach some prefixes of a storage. Plans refer to it by its id and never hold it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lease {
    /// The id that plans use.
    pub id: Uuid,
    /// Whose right it is.
    pub principal: Principal,
    /// URLs of folders, each ending in `/`. Nothing outside of them may be reached with this lease.
    pub prefixes: Vec<String>,
    /// Whether new files may be written.
    pub writable: bool,
    /// The name under which the storage logs requests made with it.
    pub session_name: String,
    /// Where fresh credentials come from.
    pub source: Arc<dyn LeaseSource>,
}

impl Lease {
    /// A lease on what `request` asks for, no more.
    #[must_use]
    pub fn for_request(request: &VendRequest<'_>, source: Arc<dyn LeaseSource>) -> Self {
        Self {
            id: Uuid::new_v4(),
            principal: request.identity.principal.clone(),
            prefixes: request.prefixes.to_vec(),
            writable: request.operation == Operation::Write,
            session_name: request.identity.principal.subject.clone(),
            source,
        }
    }

    /// Whether `location` lies inside one of the prefixes. `t` does not cover `t_other`, and `..` covers nothing.
    #[must_use]
    pub fn covers(&self, location: &str) -> bool {
        let climbs = location.split(['/', '\\']).any(|part| part == ".." || part.eq_ignore_ascii_case("%2e%2e"));
        !climbs && self.prefixes.iter().any(|prefix| prefix.ends_with('/') && location.starts_with(prefix.as_str()))
    }
}

/// Hands out leases. Bound to a catalog, not to the engine.
#[async_trait]
pub trait CredentialVendor: fmt::Debug + Send + Sync + 'static {
    /// A lease for `request.identity` on no more than `request.prefixes`, for no more than `request.operation`.
    ///
    /// # Errors
    /// `PermissionDenied` if this person may not reach the prefixes, `Unauthenticated` if the identity carries no proof
    /// where one is needed, `Unavailable` if the issuer of credentials does not answer.
    async fn vend(&self, request: &VendRequest<'_>) -> Result<Lease>;
}

/// The default vendor: refuses.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefusingVendor;

#[async_trait]
impl CredentialVendor for RefusingVendor {
    async fn vend(&self, request: &VendRequest<'_>) -> Result<Lease> {
        Err(crate::Error::denied(format!(
            "no credential vendor is configured for catalog {}; configure one to read its files",
            request.table.catalog
        )))
    }
}

/// A bearer token for one other system.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessToken {
    /// The token itself.
    pub secret: Secret,
    /// When it ends; `None` if its issuer did not say.
    pub expires_at: Option<DateTime<Utc>>,
}

impl AccessToken {
    /// A token that ends at `expires_at`.
    #[must_use]
    pub fn new(secret: Secret, expires_at: Option<DateTime<Utc>>) -> Self {
        Self { secret, expires_at }
    }
}

/// Turns a person's identity into a token for another system (RFC 8693).
#[async_trait]
pub trait TokenExchange: fmt::Debug + Send + Sync + 'static {
    /// A token for `audience` that names `identity`, good now.
    ///
    /// # Errors
    /// `Unauthenticated` if the identity carries no delegable proof (no service account stands in) or the issuer no
    /// longer accepts it, `PermissionDenied` if the issuer does not give this person a token for this audience,
    /// `Unavailable` if the issuer does not answer.
    async fn exchange(&self, identity: &Identity, audience: &str) -> Result<AccessToken>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Files;

    #[async_trait]
    impl LeaseSource for Files {
        async fn credentials(&self) -> Result<StoreCredentials> {
            Ok(StoreCredentials::LocalFiles)
        }

        fn expires_at(&self) -> Option<DateTime<Utc>> {
            None
        }
    }

    #[test]
    fn a_lease_covers_its_prefix_and_no_sibling() {
        let identity = Identity::new(Principal::new("i", "s"));
        let table = TableName::new("c", "s", "t");
        let prefixes = vec!["file:///w/t/".to_owned()];
        let lease =
            Lease::for_request(&VendRequest::new(&identity, &table, &prefixes, Operation::Read), Arc::new(Files));
        assert!(lease.covers("file:///w/t/data/a.parquet"));
        assert!(!lease.covers("file:///w/t_other/data/a.parquet"));
        assert!(!lease.covers("file:///w/t/../u/a.parquet"));
        assert!(!lease.covers("file:///w/t/%2E%2e/u/a.parquet"));
        assert!(!lease.writable);
    }
}
