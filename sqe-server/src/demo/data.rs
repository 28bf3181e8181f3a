//! TPC-H into Iceberg tables, through the engine: as a person, under policy, on record.

use anyhow::{Context, Result};
use futures::TryStreamExt;
use sqe_auth::DevIssuer;
use sqe_bench::tpch::{Scale, Table, data};
use sqe_core::{
    Credentials, Engine, ErrorKind, Session, TableName,
    audit::ClientInfo,
    engine::{Ingest, ListingRequest, SessionOptions},
};

use super::people;

const CATALOG: &str = "lake";
/// The schema of the data.
pub(crate) const SCHEMA: &str = "tpch";
const SCRATCH: &str = "scratch";

/// Makes the schemas and tables that are not there. Each table appears with all of its rows or not at all, so a load
/// that was interrupted goes on where it stopped.
pub(crate) async fn load(engine: &Engine, issuer: &DevIssuer, scale: f64) -> Result<()> {
    let credentials = Credentials::Bearer(people::steward(issuer)?);
    let options = SessionOptions::new(ClientInfo::new("local").with_application("sqe demo"));
    let steward = engine.session(&credentials, options).await?;
    for schema in [SCHEMA, SCRATCH] {
        run(&steward, &format!("CREATE SCHEMA IF NOT EXISTS {CATALOG}.{schema}")).await?;
    }
    let scale = Scale::new(scale)?;
    let mut request = ListingRequest::default();
    request.catalog = Some(CATALOG.to_owned());
    let there: Vec<TableName> = steward.tables(&request).await?.into_iter().map(|table| table.name).collect();
    let mut loaded = 0;
    for table in Table::ALL {
        let name = TableName::new(CATALOG, SCHEMA, table.name());
        if there.contains(&name) {
            continue;
        }
        if loaded == 0 {
            println!("loading TPC-H at scale {scale} …");
        }
        let rows = steward.ingest(Ingest::create(name), data::stream(table, scale)).await;
        loaded += rows.with_context(|| format!("cannot load {table}"))?;
    }
    match loaded {
        0 => println!("using the data that is there"),
        rows => println!("loaded {rows} rows into 8 tables"),
    }
    steward.close();
    Ok(())
}

async fn run(session: &Session, sql: &str) -> Result<()> {
    match session.query(sql).await {
        Ok(rows) => rows.try_collect::<Vec<_>>().await.map(|_| ())?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
