//! One lake, two engines over it that differ in nothing but where their plans run, and three people: the owner `root`,
//! `auditor` who may read everything, and `analyst` who may read some rows and some columns.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use parking_lot::Mutex;
use sqe_catalog::{LocalVendor, MemoryCatalog, SqlCatalog, SqlOptions, Stores};
use sqe_core::{
    Access, Action, Credentials, Decision, Engine, FieldId, Identity, IdentityProvider, PolicyEngine, PolicyRequest,
    Principal, Resource, Result, Secret, Session,
    audit::{AuditEvent, AuditSink},
    catalog::{CatalogProvider, CatalogSession, OpenRequest},
    engine::{EngineBuilder, SessionOptions},
    govern::{GovernedCodec, GrantKey},
    policy::{Restrictions, TableFacts},
    predicate::{CompareOp, Mask, RowPredicate, Value},
    scheduler::Scheduler,
};
use tempfile::TempDir;

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

/// `root` may do everything, `auditor` read everything, `analyst` read what [`analyst`] leaves.
#[derive(Debug, Clone)]
struct Rules;

#[async_trait]
impl PolicyEngine for Rules {
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
        let subject = request.identity.principal.subject.as_str();
        let decide = |access: &Access| match (subject, access.action, &access.resource) {
            ("root", ..) | ("auditor", Action::Discover | Action::Select, _) => Decision::permit(),
            ("analyst", Action::Select, Resource::Table(facts)) => analyst(facts),
            ("analyst", Action::Discover, Resource::Table(facts)) if analyst(facts).is_permit() => Decision::permit(),
            _ => Decision::deny(),
        };
        Ok(request.accesses.iter().map(|access| decide(access).decided_by(vec!["rule".into()], "v1")).collect())
    }
}

/// Rows of the segment BUILDING and of NULL notes only; no salaries; hashed names, the end of a phone number, no notes.
fn analyst(facts: &TableFacts) -> Decision {
    let columns: BTreeMap<&str, FieldId> =
        facts.columns.iter().map(|column| (&*column.name, column.field_id)).collect();
    let mut held = Restrictions::default();
    let compare = |name: &str, value| RowPredicate::compare(columns[name], CompareOp::Eq, value);
    match facts.id.name.table.as_str() {
        "people" => {
            held.filter = Some(compare("segment", Value::Text("BUILDING".into())));
            held.hidden.insert(columns["salary"]);
            held.masks.insert(columns["name"], Mask::KeyedHash);
            held.masks.insert(columns["phone"], Mask::KeepLast(4));
        }
        "orders" => {
            held.filter = Some(RowPredicate::Not(Box::new(compare("branch", Value::Integer(3)))));
            held.masks.insert(columns["note"], Mask::Null);
        }
        // By field id: the column was renamed, and this one added later.
        "visits" => {
            held.masks.insert(FieldId(2), Mask::KeepLast(2));
            held.filter =
                Some(RowPredicate::Not(Box::new(RowPredicate::IsNull(Box::new(RowPredicate::Column(FieldId(3)))))));
        }
        "secrets" => return Decision::deny(),
        _ => {}
    }
    Decision::permit_with(held)
}

/// One catalog for several engines.
#[derive(Debug, Clone)]
pub struct Shared(Arc<SqlCatalog>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CatalogProvider for Shared {
    async fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        self.0.open(request).await
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        self.0.codec()
    }
}

pub fn mask_key() -> Secret {
    Secret::new("the mask key of this test")
}

pub fn grant_key(seed: &str) -> GrantKey {
    GrantKey::new(Secret::new(seed.repeat(32))).unwrap()
}

/// A lake in a folder of its own.
pub struct Lake {
    pub folder: TempDir,
    pub catalog: Shared,
}

impl Lake {
    /// An empty one.
    pub async fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap()).await
    }

    /// The same one, with nothing remembered.
    pub async fn opened_again(self) -> Self {
        Self::open(self.folder).await
    }

    async fn open(folder: TempDir) -> Self {
        let warehouse = format!("file://{}", folder.path().join("wh").display());
        let options = SqlOptions::new(folder.path().join("catalog.db"), warehouse).create_if_missing();
        let catalog = Shared(Arc::new(SqlCatalog::open(options).await.unwrap()));
        Self { folder, catalog }
    }

    /// One with `people` and `orders` of many files, `tiny` of one, and `secrets`.
    pub async fn filled() -> Self {
        let lake = Self::new().await;
        let root = session(&lake.local(), "root").await;
        for sql in FILL {
            rows(&root, sql).await.unwrap();
        }
        for part in 0..6 {
            let people = format!("INSERT INTO people {}", PEOPLE.replace("{from}", &(part * 500 + 1).to_string()));
            let orders = format!("INSERT INTO orders {}", ORDERS.replace("{from}", &(part * 2000 + 1).to_string()));
            rows(&root, &people).await.unwrap();
            rows(&root, &orders).await.unwrap();
        }
        lake
    }

    pub fn vendor(&self) -> LocalVendor {
        LocalVendor::new([self.folder.path().join("wh")]).unwrap()
    }

    fn builder(&self) -> EngineBuilder {
        Engine::builder()
            .identity(Names)
            .policy(Rules)
            .audit(Trail::default())
            .session_config(SessionConfig::new().with_target_partitions(3).with_batch_size(500))
            .catalog_with_storage("lake", self.catalog.clone(), self.vendor(), Stores)
            .catalog("memory", memory())
            .defaults("lake", "s")
            .mask_key(mask_key())
    }

    /// An engine whose plans run here.
    pub fn local(&self) -> Engine {
        self.builder().build().unwrap()
    }

    /// The same engine, but for where its plans run.
    pub fn over(&self, scheduler: impl Scheduler) -> Engine {
        self.builder().grant_key(grant_key("k")).scheduler(scheduler).build().unwrap()
    }

    /// The same engine with nothing to seal grants with.
    pub fn unsealed(&self, scheduler: impl Scheduler) -> Engine {
        self.builder().scheduler(scheduler).build().unwrap()
    }

    /// What a worker opens plans on this lake with: the engine's codec, then the catalog's. This is the order of
    /// `Job::codecs`.
    pub fn codecs(&self, grant_key: &GrantKey, mask_key: Secret) -> Vec<Arc<dyn PhysicalExtensionCodec>> {
        vec![Arc::new(GovernedCodec::new(grant_key, mask_key).unwrap()), self.catalog.codec().unwrap()]
    }

    /// Those that fit the engines of this lake.
    pub fn fitting(&self) -> Vec<Arc<dyn PhysicalExtensionCodec>> {
        self.codecs(&grant_key("k"), mask_key())
    }
}

const PEOPLE: &str = "SELECT value AS id, concat('person ', value) AS name, \
    CASE value % 3 WHEN 0 THEN 'BUILDING' WHEN 1 THEN 'AUTO' ELSE NULL END AS segment, value * 10 AS salary, \
    concat(value % 90 + 10, '-', value % 9000 + 1000) AS phone FROM generate_series({from}, {from} + 499)";

const ORDERS: &str = "SELECT value AS id, (value * 7919) % 3000 + 1 AS person, value % 7 AS branch, \
    CAST((value * 31) % 10007 AS DECIMAL(15, 2)) AS total, concat('note ', value % 13) AS note \
    FROM generate_series({from}, {from} + 1999)";

const FILL: [&str; 5] = [
    "CREATE SCHEMA lake.s",
    "CREATE TABLE people (id BIGINT NOT NULL, name VARCHAR, segment VARCHAR, salary BIGINT, phone VARCHAR)",
    "CREATE TABLE orders (id BIGINT, person BIGINT, branch BIGINT, total DECIMAL(15, 2), note VARCHAR)",
    "CREATE TABLE tiny AS SELECT value AS id, value % 5 AS branch FROM generate_series(1, 300)",
    "CREATE TABLE secrets AS SELECT value AS id FROM generate_series(1, 10)",
];

/// A catalog whose rows cannot leave the process.
fn memory() -> MemoryCatalog {
    let ids: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(1..=50));
    let catalog = MemoryCatalog::new();
    catalog.create_schema("m").unwrap();
    catalog.insert_table("m", "chosen", vec![RecordBatch::try_from_iter([("id", ids)]).unwrap()]).unwrap();
    catalog
}

pub async fn session(engine: &Engine, subject: &str) -> Session {
    engine.session(&Credentials::Bearer(Secret::new(subject)), SessionOptions::default()).await.unwrap()
}

/// Rows as text, one a row, `|` between columns, in the order of the answer.
pub async fn rows(session: &Session, sql: &str) -> Result<Vec<String>> {
    Ok(session.query(sql).await?.collect().await?.iter().flat_map(text).collect())
}

fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}
