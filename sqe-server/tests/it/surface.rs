//! The files in `tests/slt` say what can be asked, and what it answers to whom: the demo's policies over a small table, in the
//! catalog of the demo.

use std::{fmt, path::Path};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use sqe_audit::Trail;
use sqe_catalog::{LocalVendor, SqlCatalog, SqlOptions, Stores};
use sqe_core::{
    Credentials, Engine, Error, Identity, IdentityProvider, Principal, Result, Secret, Session, engine::SessionOptions,
};
use sqe_policy::CedarPolicy;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// Whoever shows a name is this person, in the demo's groups.
#[derive(Debug)]
struct Names;

#[async_trait]
impl IdentityProvider for Names {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(name) = credentials else { return Ok(None) };
        let group = match name.expose() {
            "alice" => "analyst",
            "bob" => "auditor",
            "steward" => "steward",
            _ => "nobody",
        };
        Ok(Some(Identity::new(Principal::new("test", name.expose())).with_groups([group])))
    }
}

async fn engine(folder: &Path) -> Engine {
    let warehouse = folder.join("warehouse");
    let options = SqlOptions::new(folder.join("catalog.db"), format!("file://{}", warehouse.display()));
    let catalog = SqlCatalog::open(options.create_if_missing()).await.unwrap();
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/policies");
    Engine::builder()
        .identity(Names)
        .policy(CedarPolicy::from_dir(policies).unwrap())
        .audit(Trail::open(folder.join("audit")).unwrap())
        .catalog_with_storage("lake", catalog, LocalVendor::new([warehouse]).unwrap(), Stores)
        .defaults("lake", "tpch")
        .mask_key(Secret::new("a key of this test"))
        .build()
        .unwrap()
}

/// One connection of a file. `LOGIN name` says whose it is.
struct Connection {
    engine: Engine,
    session: Option<Session>,
}

/// An error as clients see it: its kind and its message.
#[derive(Debug)]
struct Told(Error);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind().as_str(), self.0.message())
    }
}

impl std::error::Error for Told {}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Told;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Told> {
        if let Some(name) = sql.strip_prefix("LOGIN ") {
            let credentials = Credentials::Bearer(Secret::new(name.trim()));
            self.session = Some(self.engine.session(&credentials, SessionOptions::default()).await.map_err(Told)?);
            return Ok(DBOutput::StatementComplete(0));
        }
        let session = self.session.as_ref().expect("a connection begins with LOGIN name");
        answer(session, sql).await.map_err(Told)
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "sqe"
    }
}

async fn answer(session: &Session, sql: &str) -> Result<DBOutput<DefaultColumnType>> {
    let stream = session.query(sql).await?;
    let types = vec![DefaultColumnType::Text; stream.schema().fields().len()];
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in stream.collect().await? {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            // Empty texts would not show.
            let shown = |text: String| if text.is_empty() { "(empty)".to_owned() } else { text };
            rows.push(columns.iter().map(|column| shown(column.value(row).to_string())).collect());
        }
    }
    Ok(DBOutput::Rows { types, rows })
}

#[tokio::test]
async fn the_surface_is_what_its_files_say() {
    let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/slt"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path()).await;
        let mut runner = Runner::new(async || Ok(Connection { engine: engine.clone(), session: None }));
        if let Err(error) = runner.run_file_async(&file).await {
            panic!("{}", error.display(false));
        }
    }
}
