//! What every [`CredentialVendor`] must do.
//!
//! A test makes a fixture out of two people, a folder that they may reach and folders that they must not reach, and
//! asserts that [`check`] finds nothing to say.

use std::{collections::HashSet, fmt::Debug};

use chrono::Utc;
use uuid::Uuid;

use crate::{
    ErrorKind, Identity, QueryId, Secret, TableName,
    credentials::{CredentialVendor, Lease, Operation, StoreCredentials, VendRequest},
};

/// People and folders for one vendor.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CredentialsFixture {
    /// Two people, of different principals, who may reach the folder.
    pub people: [Identity; 2],
    /// The table that the leases are for.
    pub table: TableName,
    /// A folder that both may reach: a URL that ends in `/`.
    pub folder: String,
    /// Folders that neither may reach.
    pub forbidden: Vec<String>,
    /// Secrets that the vendor holds and must not show.
    pub secrets: Vec<Secret>,
    /// Whether the vendor hands out leases for writing.
    pub writes: bool,
}

impl CredentialsFixture {
    /// A fixture for a vendor that leases `folder` to both people for reading and writing.
    #[must_use]
    pub fn new(people: [Identity; 2], table: TableName, folder: impl Into<String>) -> Self {
        Self { people, table, folder: folder.into(), forbidden: Vec::new(), secrets: Vec::new(), writes: true }
    }

    /// Adds a folder that neither may reach.
    #[must_use]
    pub fn forbidden(mut self, folder: impl Into<String>) -> Self {
        self.forbidden.push(folder.into());
        self
    }

    /// Adds a secret that the vendor holds.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Says that the vendor never hands out leases for writing.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.writes = false;
        self
    }
}

/// Checks a vendor.
///
/// - a lease names the person that it was asked for, covers the folder that was asked for and nothing else, and only a
///   lease for writing writes;
/// - two people get leases of different names and, where credentials are secrets, different ones; so do reading and
///   writing;
/// - credentials are good now, and when they end is still to come;
/// - a folder that may not be reached is denied, alone and beside one that may;
/// - nothing that prints shows a secret.
///
/// # Errors
/// What the vendor does wrong.
pub async fn check(vendor: &dyn CredentialVendor, fixture: &CredentialsFixture) -> Result<(), String> {
    usable(fixture)?;
    let mut leases = Vec::new();
    for identity in &fixture.people {
        for operation in [Operation::ReadMetadata, Operation::Read, Operation::Write] {
            leases.extend(vended(vendor, fixture, identity, operation).await?);
        }
    }
    distinct(&leases)?;
    shown(vendor, fixture, &leases)?;
    refused(vendor, fixture).await
}

/// A fixture that shows nothing proves nothing.
fn usable(fixture: &CredentialsFixture) -> Result<(), String> {
    let [first, second] = &fixture.people;
    if first.principal == second.principal {
        return Err("the fixture needs two people of different principals".into());
    }
    if !fixture.folder.ends_with('/') {
        return Err("the fixture's folder must end in /".into());
    }
    if fixture.forbidden.is_empty() {
        return Err("the fixture needs a folder that may not be reached".into());
    }
    Ok(())
}

/// A lease, for whom and what it was asked, and its credentials.
struct Vended {
    lease: Lease,
    operation: Operation,
    credentials: StoreCredentials,
}

async fn vended(
    vendor: &dyn CredentialVendor,
    fixture: &CredentialsFixture,
    identity: &Identity,
    operation: Operation,
) -> Result<Option<Vended>, String> {
    let what = format!("a lease of {} for {operation:?}", identity.principal);
    let prefixes = [fixture.folder.clone()];
    let request = VendRequest::new(identity, &fixture.table, &prefixes, operation).for_query(QueryId::random());
    let lease = match vendor.vend(&request).await {
        Ok(lease) => lease,
        Err(error) if operation == Operation::Write && !fixture.writes => {
            return match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::Unsupported => Ok(None),
                other => Err(format!("{what} is refused as {other} instead of as denied or unsupported")),
            };
        }
        Err(error) => return Err(format!("{what} is refused: {error}")),
    };
    if operation == Operation::Write && !fixture.writes {
        return Err(format!("{what} is handed out, and none should be"));
    }
    if lease.principal != identity.principal {
        return Err(format!("{what} names {} instead", lease.principal));
    }
    if lease.writable != (operation == Operation::Write) {
        return Err(format!("{what} says that writing is {}", if lease.writable { "allowed" } else { "not allowed" }));
    }
    if lease.session_name.is_empty() {
        return Err(format!("{what} gives the storage no name to log"));
    }
    narrow(&lease, &fixture.folder).map_err(|fault| format!("{what} {fault}"))?;
    let now = Utc::now();
    if lease.source.expires_at().is_some_and(|end| end <= now) {
        return Err(format!("{what} ended before it began"));
    }
    let credentials =
        lease.source.credentials().await.map_err(|error| format!("{what} has no credentials: {error}"))?;
    if lease.source.expires_at().is_some_and(|end| end <= now) {
        return Err(format!("{what} hands out credentials that ended already"));
    }
    Ok(Some(Vended { lease, operation, credentials }))
}

/// Whether a lease covers the folder and nothing beside or above it.
fn narrow(lease: &Lease, folder: &str) -> Result<(), String> {
    if lease.prefixes.iter().any(|prefix| !prefix.starts_with(folder) || !prefix.ends_with('/')) {
        return Err("has prefixes outside of the folder that was asked for".into());
    }
    if !lease.covers(&format!("{folder}data/a.parquet")) {
        return Err("does not cover the folder that was asked for".into());
    }
    let open = folder.trim_end_matches('/');
    let parent = open.rsplit_once('/').map_or("", |(parent, _)| parent);
    let beside =
        [format!("{open}_other/a"), format!("{parent}/a"), format!("{folder}../a"), format!("{folder}%2e%2e/a")];
    match beside.iter().find(|location| lease.covers(location)) {
        Some(location) => Err(format!("covers {location}, which lies outside of the folder that was asked for")),
        None => Ok(()),
    }
}

/// Leases are told apart, by the engine and in the storage's own log.
fn distinct(leases: &[Vended]) -> Result<(), String> {
    let ids: HashSet<Uuid> = leases.iter().map(|vended| vended.lease.id).collect();
    if ids.len() != leases.len() {
        return Err("two leases have the same id".into());
    }
    for (index, one) in leases.iter().enumerate() {
        for other in leases.iter().skip(index + 1) {
            let same_person = one.lease.principal == other.lease.principal;
            if !same_person && one.lease.session_name == other.lease.session_name {
                return Err("two people have the same name in the storage's log".into());
            }
            let writes = [one, other].map(|vended| vended.operation == Operation::Write);
            let same_keys = secrets(&one.credentials).iter().any(|secret| secrets(&other.credentials).contains(secret));
            if same_keys && !same_person {
                return Err("two people get the same secret credentials".into());
            }
            if same_keys && writes[0] != writes[1] {
                return Err("a lease for reading gets the credentials of one for writing".into());
            }
        }
    }
    Ok(())
}

/// What of some credentials must not be seen.
fn secrets(credentials: &StoreCredentials) -> Vec<Secret> {
    match credentials {
        StoreCredentials::LocalFiles => Vec::new(),
        StoreCredentials::S3 { secret_access_key, session_token, .. } => {
            session_token.iter().chain([secret_access_key]).cloned().collect()
        }
    }
}

fn shown(vendor: &dyn CredentialVendor, fixture: &CredentialsFixture, leases: &[Vended]) -> Result<(), String> {
    let mut hidden = fixture.secrets.clone();
    hidden.extend(leases.iter().flat_map(|vended| secrets(&vended.credentials)));
    let shows = |printed: &dyn Debug| {
        let text = format!("{printed:?} {printed:#?}");
        hidden.iter().any(|secret| !secret.expose().is_empty() && text.contains(secret.expose()))
    };
    if shows(&vendor) {
        return Err("the vendor shows a secret when it is printed".into());
    }
    for vended in leases {
        if shows(&vended.lease) || shows(&vended.lease.source) || shows(&vended.credentials) {
            return Err("a lease shows a secret when it is printed".into());
        }
    }
    Ok(())
}

async fn refused(vendor: &dyn CredentialVendor, fixture: &CredentialsFixture) -> Result<(), String> {
    for identity in &fixture.people {
        for forbidden in &fixture.forbidden {
            for operation in [Operation::ReadMetadata, Operation::Read, Operation::Write] {
                for prefixes in [vec![forbidden.clone()], vec![fixture.folder.clone(), forbidden.clone()]] {
                    let what = format!("a lease of {} for {operation:?} on {prefixes:?}", identity.principal);
                    let request = VendRequest::new(identity, &fixture.table, &prefixes, operation);
                    match vendor.vend(&request).await {
                        Ok(lease) if lease.covers(&format!("{forbidden}a")) => {
                            return Err(format!("{what} covers {forbidden}, which may not be reached"));
                        }
                        Ok(_) if prefixes.len() > 1 => {}
                        Ok(_) => return Err(format!("{what} is handed out, and should be denied")),
                        Err(error) => denied(fixture, &what, &error)?,
                    }
                }
            }
        }
        let request = VendRequest::new(identity, &fixture.table, &[], Operation::Read);
        if let Ok(lease) = vendor.vend(&request).await
            && lease.covers(&format!("{}a", fixture.folder))
        {
            return Err("a lease on nothing covers something".into());
        }
    }
    Ok(())
}

fn denied(fixture: &CredentialsFixture, what: &str, error: &crate::Error) -> Result<(), String> {
    if fixture.secrets.iter().any(|secret| format!("{error} {error:?}").contains(secret.expose())) {
        return Err(format!("the refusal of {what} shows a secret"));
    }
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::InvalidInput => Ok(()),
        other => Err(format!("{what} is refused as {other} instead of as denied")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::{Error, Principal, Result, credentials::LeaseSource};

    const FOLDER: &str = "s3://lake/s/t/";
    const ELSEWHERE: &str = "s3://lake/s/other/";

    /// A vendor of keys, and one way to be wrong.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        None,
        OtherPerson,
        Wider,
        AlwaysWrites,
        SharedKeys,
        SameKeysForWriting,
        Expired,
        Everything,
        SameName,
    }

    struct Vendor(Fault);

    impl std::fmt::Debug for Vendor {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Vendor")
        }
    }

    #[derive(Debug)]
    struct Keys {
        secret: Secret,
        end: DateTime<Utc>,
    }

    #[async_trait]
    impl LeaseSource for Keys {
        async fn credentials(&self) -> Result<StoreCredentials> {
            Ok(StoreCredentials::S3 {
                access_key_id: "id".into(),
                secret_access_key: self.secret.clone(),
                session_token: None,
                region: "r".to_owned(),
                endpoint: None,
            })
        }

        fn expires_at(&self) -> Option<DateTime<Utc>> {
            Some(self.end)
        }
    }

    #[async_trait]
    impl CredentialVendor for Vendor {
        async fn vend(&self, request: &VendRequest<'_>) -> Result<Lease> {
            if self.0 != Fault::Everything && request.prefixes.iter().any(|prefix| prefix != FOLDER) {
                return Err(Error::denied("not this folder"));
            }
            let writes =
                if self.0 == Fault::SameKeysForWriting { false } else { request.operation == Operation::Write };
            let secret = match self.0 {
                Fault::SharedKeys => format!("the one secret for {writes}"),
                _ => format!("secret of {} {writes}", request.identity.principal),
            };
            let hours = if self.0 == Fault::Expired { -1 } else { 1 };
            let source = Arc::new(Keys { secret: secret.into(), end: Utc::now() + TimeDelta::hours(hours) });
            let mut lease = Lease::for_request(request, source);
            match self.0 {
                Fault::OtherPerson => lease.principal = Principal::new("idp", "engine"),
                Fault::Wider => lease.prefixes = vec!["s3://lake/s/".to_owned()],
                Fault::AlwaysWrites => lease.writable = true,
                Fault::SameName => lease.session_name = "engine".to_owned(),
                _ => {}
            }
            Ok(lease)
        }
    }

    async fn verdict(fault: Fault) -> Result<(), String> {
        let people = ["alice", "bob"].map(|subject| Identity::new(Principal::new("idp", subject)));
        let fixture = CredentialsFixture::new(people, TableName::new("lake", "s", "t"), FOLDER).forbidden(ELSEWHERE);
        check(&Vendor(fault), &fixture).await
    }

    #[tokio::test]
    async fn a_vendor_that_keeps_the_rules_passes() {
        assert_eq!(verdict(Fault::None).await, Ok(()));
    }

    #[rstest::rstest]
    #[case(Fault::OtherPerson, "names idp#engine instead")]
    #[case(Fault::Wider, "outside of the folder")]
    #[case(Fault::AlwaysWrites, "says that writing is allowed")]
    #[case(Fault::SharedKeys, "two people get the same secret")]
    #[case(Fault::SameKeysForWriting, "credentials of one for writing")]
    #[case(Fault::Expired, "ended before it began")]
    #[case(Fault::Everything, "which may not be reached")]
    #[case(Fault::SameName, "same name in the storage's log")]
    #[tokio::test]
    async fn every_fault_is_found(#[case] fault: Fault, #[case] said: &str) {
        let verdict = verdict(fault).await.unwrap_err();
        assert!(verdict.contains(said), "{verdict}");
    }
}
