//! A credential vendor of one's own: on this machine's files everybody has a folder, and there is one for all.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sqe_audit::MemoryTrail;
use sqe_auth::DevPerson;
use sqe_catalog::{SqlCatalog, SqlOptions, Stores};
use sqe_core::{
    Error, ErrorKind, Identity, Principal, TableName,
    conformance::credentials::{CredentialsFixture, check},
    credentials::{CredentialVendor, Lease, LeaseSource, StoreCredentials, VendRequest},
};
use sqe_examples::{People, ask};

// ANCHOR: vendor
/// Leases folders below `warehouse`, a URL that ends in `/`: those in `shared/`, and to each person those in a folder of
/// the person's name. What is outside of it is nobody's.
#[derive(Debug, Clone)]
struct Folders {
    warehouse: String,
    lifetime: TimeDelta,
}

impl Folders {
    fn may_reach(&self, subject: &str, prefix: &str) -> bool {
        let Some(inside) = prefix.strip_prefix(&self.warehouse).and_then(|inside| inside.strip_suffix('/')) else {
            return false;
        };
        // Nothing that climbs, and nothing that a reader of URLs may take for climbing.
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['%', '\\']);
        let (owner, _) = inside.split_once('/').unwrap_or((inside, ""));
        (owner == "shared" || owner == subject) && inside.split('/').all(plain)
    }
}

#[async_trait]
impl CredentialVendor for Folders {
    async fn vend(&self, request: &VendRequest<'_>) -> sqe_core::Result<Lease> {
        let principal = &request.identity.principal;
        if request.prefixes.is_empty() || !request.prefixes.iter().all(|url| self.may_reach(&principal.subject, url)) {
            return Err(Error::denied(format!("the files of {} are somebody else's", request.table)));
        }
        // No more than was asked for: these prefixes, and writing only where the wish is to write.
        let mut lease = Lease::for_request(request, Arc::new(Until(Utc::now() + self.lifetime)));
        // Two issuers may both know an ana; the storage's log tells them apart.
        lease.session_name = principal.to_string();
        Ok(lease)
    }
}

/// Files need no keys, and still the right to them ends.
#[derive(Debug)]
struct Until(DateTime<Utc>);

#[async_trait]
impl LeaseSource for Until {
    async fn credentials(&self) -> sqe_core::Result<StoreCredentials> {
        let good = Utc::now() < self.0;
        good.then_some(StoreCredentials::LocalFiles).ok_or_else(|| Error::denied("the lease has ended; ask again"))
    }

    fn expires_at(&self) -> Option<DateTime<Utc>> {
        Some(self.0)
    }
}
// ANCHOR_END: vendor

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let vendor = Folders { warehouse: url(&root), lifetime: TimeDelta::minutes(15) };
    let catalog = SqlCatalog::open(SqlOptions::new(root.join("catalog.db"), &vendor.warehouse).create_if_missing());
    let (people, trail) = (People::default(), Arc::new(MemoryTrail::new()));
    let engine = people.builder()?.shared_audit(Arc::clone(&trail) as _);
    let engine = engine.catalog_with_storage("lake", catalog.await?, vendor.clone(), Stores).build()?;

    // The policy permits everything here. The storage does not: tables of schema `ana` lie in the folder of that name.
    let ana = people.session(&engine, &DevPerson::new("ana")).await?;
    for schema in ["ana", "shared"] {
        ask(&ana, &format!("CREATE SCHEMA lake.{schema}")).await?;
        ask(&ana, &format!("CREATE TABLE lake.{schema}.notes AS SELECT 1 AS id")).await?;
    }
    let ben = people.session(&engine, &DevPerson::new("ben")).await?;
    ensure!(ask(&ben, "SELECT id FROM lake.shared.notes").await? == ["1"], "ben cannot read what is shared");
    let refused = ask(&ben, "SELECT id FROM lake.ana.notes").await.err().context("ben reads the notes of ana")?;
    ensure!(refused.kind() == ErrorKind::PermissionDenied, "ben is told: {refused}");

    // The name of each lease is on record.
    let used = trail.events().into_iter().flat_map(|event| event.tables).filter_map(|table| table.session_name);
    ensure!(used.into_iter().any(|name| name.ends_with("#ben")), "no lease of ben is on record");

    // ANCHOR: kit
    let pair = ["ana", "ben"].map(|subject| Identity::new(Principal::new("https://idp.example", subject)));
    let inside = |path: &str| format!("{}{path}", vendor.warehouse);
    let fixture = CredentialsFixture::new(pair, TableName::new("lake", "shared", "notes"), inside("shared/notes/"))
        .forbidden(inside("cho/notes/"))
        .forbidden(inside(""))
        .forbidden(inside("shared/../cho/notes/"))
        .forbidden(inside("shared/%2e%2e/cho/notes/"))
        .forbidden("s3://elsewhere/shared/notes/");
    check(&vendor, &fixture).await.map_err(anyhow::Error::msg)
    // ANCHOR_END: kit
}

fn url(folder: &Path) -> String {
    format!("file://{}/", folder.display())
}
