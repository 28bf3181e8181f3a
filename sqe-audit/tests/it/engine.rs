//! The trail as sink and as catalog of a real engine.

use std::sync::Arc;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    util::display::array_value_to_string,
};
use async_trait::async_trait;
use futures::TryStreamExt as _;
use sqe_audit::{MemoryTrail, Trail, verify};
use sqe_core::{
    Column, Credentials, Decision, Engine, Error, ErrorKind, Identity, IdentityProvider, PolicyEngine, PolicyRequest,
    Principal, Resource, Result, Secret, Session,
    audit::{AuditSink, ClientInfo, EventKind},
    engine::SessionOptions,
    policy::Restrictions,
    predicate::{CompareOp, Mask, RowPredicate, Value},
};

/// A token is the name of its bearer.
#[derive(Debug)]
struct Names;

#[async_trait]
impl IdentityProvider for Names {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        Ok(match credentials {
            Credentials::Bearer(token) => Some(Identity::new(Principal::new("test", token.expose()))),
            _ => None,
        })
    }
}

/// bob reads everything; carol her own rows without statements; nobody else anything.
#[derive(Debug)]
struct Auditors;

#[async_trait]
impl PolicyEngine for Auditors {
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
        let decide = |resource: &Resource| match (&*request.identity.principal.subject, resource) {
            ("bob", _) => Decision::permit(),
            ("carol", Resource::Table(facts)) => {
                let id = |name: &str| facts.columns.iter().find(|column| column.name == name).map(id_of);
                let mut restrictions = Restrictions::default();
                if let (Some(subject), Some(issuer)) = (id("subject"), id("issuer")) {
                    restrictions.filter =
                        Some(RowPredicate::compare(subject, CompareOp::Eq, Value::Text("carol".into())));
                    restrictions.masks.insert(issuer, Mask::Constant(Value::Text("somebody".into())));
                }
                restrictions.hidden.extend(id("statement"));
                Decision::permit_with(restrictions)
            }
            ("carol", _) => Decision::permit(),
            _ => Decision::deny(),
        };
        let decisions = request.accesses.iter().map(|access| decide(&access.resource));
        Ok(decisions.map(|decision| decision.decided_by(vec!["auditors".into()], "s1")).collect())
    }
}

fn id_of(column: &Column) -> sqe_core::FieldId {
    column.field_id
}

fn engine(trail: &Arc<Trail>) -> Engine {
    let sink: Arc<dyn AuditSink> = Arc::clone(trail) as _;
    Engine::builder()
        .identity(Names)
        .policy(Auditors)
        .catalog("system", trail.catalog())
        .shared_audit(sink)
        .defaults("system", "audit")
        .build()
        .unwrap()
}

async fn session(engine: &Engine, name: &str) -> Session {
    let options = SessionOptions::new(ClientInfo::new("test"));
    engine.session(&Credentials::Bearer(Secret::new(name)), options).await.unwrap()
}

async fn rows(session: &Session, sql: &str) -> Result<Vec<Vec<String>>> {
    let batches: Vec<RecordBatch> = session.query(sql).await?.try_collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap()).collect());
        }
    }
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_reads_who_read_what_and_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(Trail::open(dir.path()).unwrap());
    let engine = engine(&trail);
    let (bob, mallory) = (session(&engine, "bob").await, session(&engine, "mallory").await);

    assert_eq!(rows(&bob, "SELECT count(*) FROM system.audit.access").await.unwrap(), [["0"]]);
    let denied = rows(&mallory, "SELECT * FROM system.audit.access").await.unwrap_err();
    assert!(matches!(denied.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied), "{denied:?}");
    assert_eq!(rows(&bob, "SELECT subject FROM audit.events WHERE seq = 3").await.unwrap(), [["bob"]]);

    let sql = "SELECT subject, \"table\", decision, outcome, rows, columns FROM access ORDER BY time";
    let found = rows(&bob, sql).await.unwrap();
    assert_eq!(found[0][..5], ["bob", "access", "permitted", "completed", "1"]);
    assert_eq!(found[1][0], "mallory");
    assert_eq!(found[1][3], "denied");
    assert_eq!(found[2][..5], ["bob", "events", "permitted", "completed", "1"]);
    assert_eq!(found[2][5], "[seq, subject]");
    assert_eq!(found.len(), 3, "the query itself began after what it sees");

    let error = rows(&bob, "INSERT INTO access SELECT * FROM access").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    let error = rows(&bob, "DROP TABLE access").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    let report = verify(dir.path(), Some(&trail.head())).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.open_intents, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_masks_and_hidden_columns_govern_the_trail_as_any_table() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(Trail::open(dir.path()).unwrap());
    let engine = engine(&trail);
    let (bob, carol) = (session(&engine, "bob").await, session(&engine, "carol").await);
    rows(&bob, "SELECT 1").await.unwrap();
    rows(&carol, "SELECT 2").await.unwrap();
    rows(&carol, "SELECT subject FROM access WHERE time > TIMESTAMP '2020-01-01'").await.unwrap();

    let mine = rows(&carol, "SELECT issuer, subject, decision FROM access ORDER BY time").await.unwrap();
    assert_eq!(mine, [["somebody", "carol", ""], ["somebody", "carol", "restricted"]]);
    let hidden = rows(&carol, "SELECT statement FROM access").await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::InvalidInput, "{hidden:?}");
    let all = rows(&bob, "SELECT DISTINCT issuer, subject FROM access ORDER BY subject").await.unwrap();
    assert_eq!(all, [["test", "bob"], ["test", "carol"]]);
    let told = rows(
        &bob,
        "SELECT policy_columns, masked_columns FROM access WHERE subject = 'carol' AND issuer = 'test' \
                           AND cardinality(masked_columns) > 0",
    )
    .await
    .unwrap();
    assert_eq!(told, [["[]", "[issuer]"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_whose_trail_refuses_runs_nothing() {
    let full = Arc::new(MemoryTrail::with_capacity(2));
    let dir = tempfile::tempdir().unwrap();
    let catalog = Trail::open(dir.path()).unwrap().catalog();
    let sink: Arc<dyn AuditSink> = Arc::clone(&full) as _;
    let builder = Engine::builder().identity(Names).policy(Auditors).catalog("system", catalog).shared_audit(sink);
    let engine = builder.build().unwrap();
    let bob = session(&engine, "bob").await;
    assert_eq!(rows(&bob, "SELECT 1").await.unwrap(), [["1"]]);
    let error: Error = rows(&bob, "SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let kinds: Vec<_> = full.events().into_iter().map(|event| event.kind).collect();
    assert!(matches!(&kinds[..], [EventKind::Intent, EventKind::Effect(_)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_never_finished_is_interrupted_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(Trail::open(dir.path()).unwrap());
    trail.record(crate::events::intent("alice")).await.unwrap();
    let running = "SELECT count(*) FROM access WHERE outcome = 'running' AND subject = 'alice'";
    let bob = session(&engine(&trail), "bob").await;
    let batches: Vec<RecordBatch> = bob.query(running).await.unwrap().try_collect().await.unwrap();
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 1);
    drop((bob, Arc::try_unwrap(trail)));

    let trail = Arc::new(Trail::open(dir.path()).unwrap());
    let bob = session(&engine(&trail), "bob").await;
    assert_eq!(rows(&bob, running).await.unwrap(), [["0"]]);
    let outcome = rows(&bob, "SELECT outcome FROM access WHERE subject = 'alice'").await.unwrap();
    assert_eq!(outcome, [["interrupted"]]);
}
