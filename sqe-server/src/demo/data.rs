//! The data of a suite into Iceberg tables, through the engine: as a person, under policy, on record.

use std::path::Path;

use anyhow::{Context, Result};
use futures::TryStreamExt;
use sqe_auth::DevIssuer;
use sqe_bench::suite::{Scale, Suite, Table, data};
use sqe_core::{
    Credentials, Engine, ErrorKind, Session, TableName,
    audit::ClientInfo,
    engine::{Ingest, ListingRequest, SessionOptions},
};

use super::{people, scale};

/// The catalog of the data.
pub(super) const CATALOG: &str = "lake";
const SCRATCH: &str = "scratch";

/// Makes the schemas and tables that are not there; the suite's schema has the suite's name. Each table appears with all of its rows or not at all, so a load
/// that was interrupted goes on where it stopped. Gives the scale of the data: that which is `asked` for, else that of the
/// data that `folder` holds already, else `otherwise`.
///
/// # Errors
/// `UsageError`: the data that is there is of another scale than `asked`.
pub(crate) async fn load(
    suite: &Suite,
    engine: &Engine,
    issuer: &DevIssuer,
    folder: &Path,
    asked: Option<f64>,
    otherwise: f64,
) -> Result<Scale> {
    let credentials = Credentials::Bearer(people::steward(issuer)?);
    let options = SessionOptions::new(ClientInfo::new("local").with_application("sqe demo"));
    let steward = engine.session(&credentials, options).await?;
    for schema in [suite.name(), SCRATCH] {
        run(&steward, &format!("CREATE SCHEMA IF NOT EXISTS {CATALOG}.{schema}")).await?;
    }
    let mut request = ListingRequest::default();
    request.catalog = Some(CATALOG.to_owned());
    let names: Vec<TableName> = steward.tables(&request).await?.into_iter().map(|table| table.name).collect();
    let named = |table: Table| TableName::new(CATALOG, suite.name(), table.name());
    let (there, missing): (Vec<Table>, Vec<Table>) =
        suite.tables().iter().partition(|table| names.contains(&named(**table)));
    let asked = asked.map(Scale::new).transpose()?;
    let scale = scale::settle(suite, folder, &steward, &there, asked, Scale::new(otherwise)?).await?;
    let mut loaded = 0;
    for table in missing {
        if loaded == 0 {
            println!("loading {} at scale {scale} …", suite.title());
        }
        let rows = steward.ingest(Ingest::create(named(table)), data::stream(table, scale)).await;
        loaded += rows.with_context(|| format!("cannot load {table}"))?;
    }
    match loaded {
        0 => println!("using the data that is there"),
        rows => println!("loaded {rows} rows into {} tables", suite.tables().len()),
    }
    steward.close();
    Ok(scale)
}

async fn run(session: &Session, sql: &str) -> Result<()> {
    match session.query(sql).await {
        Ok(rows) => rows.try_collect::<Vec<_>>().await.map(|_| ())?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
