//! An engine over one catalog, with people who may do everything with what is theirs.

use std::{path::Path, sync::Arc};

use arrow::{
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use sqe_catalog::{LocalVendor, SqlCatalog, SqlOptions, Stores};
use sqe_core::{
    Credentials, Engine, Identity, IdentityProvider, Principal, Result, Secret, Session,
    audit::{AuditEvent, AuditSink},
    catalog::CatalogProvider,
    engine::{EngineBuilder, SessionOptions},
    policy::danger::PermitAll,
};

/// Whoever shows a token is the person of that name.
#[derive(Debug, Clone)]
struct Names;

#[async_trait]
impl IdentityProvider for Names {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(token) = credentials else { return Ok(None) };
        Ok(Some(Identity::new(Principal::new("test", token.expose()))))
    }
}

#[derive(Debug, Clone, Default)]
struct Trail(Arc<Mutex<Vec<AuditEvent>>>);

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, event: AuditEvent) -> Result<()> {
        self.0.lock().push(event);
        Ok(())
    }
}

pub fn builder() -> EngineBuilder {
    Engine::builder().identity(Names).policy(PermitAll).audit(Trail::default()).defaults("lake", "s")
}

pub fn engine_over(catalog: impl CatalogProvider) -> Engine {
    builder().catalog("lake", catalog).build().unwrap()
}

/// An engine over the SQL catalog in `root`, made if it is missing.
pub async fn sql_engine(root: &Path) -> Engine {
    let warehouse = root.join("wh");
    let options = SqlOptions::new(root.join("catalog.db"), format!("file://{}", warehouse.display()));
    let catalog = SqlCatalog::open(options.create_if_missing()).await.unwrap();
    let vendor = LocalVendor::new([warehouse]).unwrap();
    builder().catalog_with_storage("lake", catalog, vendor, Stores).build().unwrap()
}

pub async fn session(engine: &Engine, subject: &str) -> Session {
    engine.session(&Credentials::Bearer(Secret::new(subject)), SessionOptions::default()).await.unwrap()
}

pub async fn batches(session: &Session, sql: &str) -> Result<Vec<RecordBatch>> {
    session.query(sql).await?.collect().await
}

/// Rows as text, one a row, `|` between columns, sorted.
pub async fn rows(session: &Session, sql: &str) -> Result<Vec<String>> {
    let mut rows: Vec<String> = batches(session, sql).await?.iter().flat_map(text).collect();
    rows.sort();
    Ok(rows)
}

fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

/// Data files below a folder.
pub fn data_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => data_files(&path),
            path => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
        })
        .sum()
}

/// What EXPLAIN ANALYZE shows, without the times.
pub fn timeless(text: &str) -> String {
    let time = |part: &str| part.split_once("elapsed_compute=").map(|(before, _)| before.to_owned());
    text.split([',', ']']).map(|part| time(part).unwrap_or_else(|| part.to_owned())).collect::<Vec<_>>().join(",")
}
