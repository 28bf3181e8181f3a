//! Promises 2 and 3: what a person gets whom nobody knows.

use async_trait::async_trait;
use sqe_core::{
    Access, Action, Credentials, Decision, ErrorKind, Identity, IdentityProvider, PolicyEngine, PolicyRequest,
    Principal, Resource, Secret, Session, TableId, TableName, audit::ClientInfo, engine::SessionOptions,
    policy::TableFacts,
};
use sqe_policy::CedarPolicy;

use super::{finding::Finding, words};
use crate::{
    config::{CatalogConfig, Config, PolicyConfig},
    wire,
};

/// Vouches for one made-up person, in no group.
#[derive(Debug)]
struct Nobody;

fn nobody() -> Identity {
    Identity::new(Principal::new("urn:sqe:doctor", uuid::Uuid::new_v4().to_string()))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for Nobody {
    async fn authenticate(&self, _: &Credentials) -> sqe_core::Result<Option<Identity>> {
        Ok(Some(nobody()))
    }
}

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let loaded = match &config.policy {
        PolicyConfig::Cedar { path, mask_key_file } => {
            let what = format!("policies of {}", path.display());
            if mask_key_file.is_none() {
                findings.push(Finding::warn(
                    3,
                    "keyed-hash masks",
                    "they have no key of their own: a start changes them",
                    "set policy.mask_key_file if people compare masked values over time",
                ));
            }
            match CedarPolicy::from_dir(path) {
                Ok(policy) => {
                    findings.push(Finding::ok(3, what, format!("they are valid; snapshot {}", policy.snapshot())));
                    for catalog in config.catalogs.keys() {
                        findings.push(refused(&policy, catalog).await);
                    }
                    true
                }
                Err(error) => {
                    findings.push(Finding::fail(3, what, error.message(), "correct the policies; no server starts"));
                    false
                }
            }
        }
        PolicyConfig::PermitAll {} => {
            findings.push(Finding::fail(
                3,
                "policies",
                "permit-all: everybody who can log in may do everything",
                "configure a [policy] of kind cedar",
            ));
            true
        }
    };
    if loaded {
        for (name, catalog) in &config.catalogs {
            findings.extend(look_at(config, name, catalog).await);
        }
    }
    findings
}

/// What is decided about a made-up table for a made-up person, to whom nothing was ever permitted.
async fn refused(policy: &CedarPolicy, catalog: &str) -> Finding {
    let what = format!("a made-up person who reads a made-up table of {catalog}");
    let name = TableName::new(catalog, "default", format!("doctor_{}", uuid::Uuid::new_v4().simple()));
    let table = TableFacts::new(TableId::new(name, uuid::Uuid::new_v4()), Vec::new());
    let accesses = [Access::new(Action::Select, Resource::Table(table))];
    match policy.decide(&PolicyRequest::new(&nobody(), &accesses)).await {
        Ok(decisions) if decisions.iter().any(Decision::is_permit) => Finding::warn(
            3,
            what,
            "is permitted: policies let everybody read there",
            "narrow the policies without a principal, unless all tables of it are for everybody",
        ),
        Ok(_) => Finding::ok(3, what, "is refused"),
        Err(error) => Finding::fail(3, what, error.message(), "correct the policies"),
    }
}

async fn look_at(config: &Config, name: &str, catalog: &CatalogConfig) -> Vec<Finding> {
    let what = format!("catalog {name}");
    // Opening makes what is not there, and this only looks.
    if let CatalogConfig::Sql { path, warehouse, .. } = catalog
        && let Some(missing) = [path, warehouse].into_iter().find(|path| !path.exists())
    {
        let (evidence, advice) =
            (format!("{} is not there", missing.display()), "the first start of the server makes it");
        return vec![Finding::warn(2, what, evidence, advice)];
    }
    let opened = async {
        let engine = wire::probe(config, name, Nobody).await?;
        let nobody = Credentials::Bearer(Secret::new("nobody"));
        anyhow::Ok(engine.session(&nobody, SessionOptions::new(ClientInfo::new("doctor"))).await?)
    };
    let session = match opened.await {
        Ok(session) => session,
        Err(error) => return vec![Finding::fail(2, what, words(&error), "make the catalog reachable from here")],
    };
    let mut findings = vec![asked(&session, name).await];
    findings.push(seen(&session, name).await);
    findings
}

/// A table that cannot be there: its catalog has to say so, or policy has to refuse before.
async fn asked(session: &Session, name: &str) -> Finding {
    let what = format!("catalog {name}");
    let table = format!("doctor_{}", uuid::Uuid::new_v4().simple());
    let statement = format!("SELECT * FROM \"{}\".\"default\".\"{table}\"", name.replace('"', "\"\""));
    match session.query(&statement).await {
        Ok(_) => Finding::fail(2, what, "a table that does not exist was read", "this is a defect; report it"),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => {
                Finding::ok(2, what, "opened as a made-up person, it answers")
            }
            _ => Finding::fail(2, what, error.message(), "make the catalog reachable from here"),
        },
    }
}

/// What somebody sees who is in no group and whom no policy can mean.
async fn seen(session: &Session, name: &str) -> Finding {
    let what = format!("a made-up person in catalog {name}");
    let statement = format!(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_catalog = '{}' \
         AND table_schema <> 'information_schema'",
        name.replace('\'', "''")
    );
    let rows = async {
        Ok::<usize, sqe_core::Error>(
            session.query(&statement).await?.collect().await?.iter().map(|it| it.num_rows()).sum(),
        )
    };
    match rows.await {
        Ok(0) => Finding::ok(3, what, "sees no table"),
        Ok(tables) => Finding::warn(
            3,
            what,
            format!("sees {tables} tables: policies permit it to everybody"),
            "narrow the policies without a principal, unless these tables are for everybody",
        ),
        Err(error) => Finding::fail(3, what, error.message(), "make the catalog reachable from here"),
    }
}
