//! What decisions do to what a person sees: masks, hidden columns, missing tables, lists, outages, EXPLAIN.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use rstest::rstest;
use sqe_core::{
    Error, ErrorKind, Result, TableName,
    catalog::{
        CatalogChange, CatalogProvider, CatalogSession, CatalogTable, OpenRequest, ScanRequest, TableWrite,
        WriteRequest, WriteTarget,
    },
    engine::ListingRequest,
    govern::WriteGrant,
    predicate::Mask,
};

use crate::people::{NAME, World, analyst, restricted, world, world_with};

/// A catalog of one table, `app.secret`, which does not load.
#[derive(Debug, Clone)]
struct Frail {
    /// Why `secret` does not load.
    secret: ErrorKind,
    /// How other names are answered.
    others: ErrorKind,
    /// Why the catalog does not open, if it does not.
    closed: Option<ErrorKind>,
}

impl Frail {
    /// Beside the catalog `lake` as `frail`.
    fn world(self) -> World {
        world_with(|builder| builder.catalog("frail", self))
    }
}

fn frail(secret: ErrorKind) -> Frail {
    Frail { secret, others: ErrorKind::NotFound, closed: None }
}

#[async_trait]
impl CatalogProvider for Frail {
    async fn open(&self, _request: &OpenRequest<'_>) -> Result<Arc<dyn CatalogSession>> {
        match self.closed {
            Some(kind) => Err(Error::new(kind, "the catalog frail does not open")),
            None => Ok(Arc::new(self.clone())),
        }
    }

    fn codec(&self) -> Option<Arc<dyn PhysicalExtensionCodec>> {
        None
    }
}

#[async_trait]
impl CatalogSession for Frail {
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec!["app".into()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableName>> {
        Ok(vec![TableName::new("frail", schema, "secret")])
    }

    async fn load(&self, names: &[TableName]) -> Vec<Result<Arc<dyn CatalogTable>>> {
        let kind = |name: &TableName| if name.table == "secret" { self.secret } else { self.others };
        names.iter().map(|name| Err(Error::new(kind(name), format!("{name} does not load")))).collect()
    }

    async fn scan(&self, _request: ScanRequest<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(Error::unsupported("nothing is read here"))
    }

    async fn write_prefixes(&self, _target: &WriteTarget) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn begin(&self, _request: WriteRequest<'_>) -> Result<Arc<dyn TableWrite>> {
        Err(Error::unsupported("nothing is written here"))
    }

    async fn change(&self, change: CatalogChange, _grant: &WriteGrant) -> Result<()> {
        match change {
            CatalogChange::CreateTable(new) if new.name.table == "secret" => {
                Err(Error::already_exists("the name is taken"))
            }
            _ => Err(Error::unsupported("nothing is changed here")),
        }
    }
}

/// All statements that load a table by its name.
const WAYS: [&str; 7] = [
    "SELECT * FROM frail.app.secret",
    "EXPLAIN SELECT * FROM frail.app.secret",
    "SELECT 1 FROM people, frail.app.secret",
    "CREATE TABLE lake.scratch.mine AS SELECT * FROM frail.app.secret",
    "INSERT INTO frail.app.secret VALUES (1)",
    "DESCRIBE frail.app.secret",
    "DROP TABLE frail.app.secret",
];

/// What the trail holds of `frail.app.secret` in the events after the first `before`.
fn verdicts(world: &World, before: usize) -> Vec<(&'static str, &'static str)> {
    let events = world.trail.events.lock();
    let accesses = events[before..].iter().flat_map(|event| &event.tables);
    let of_secret = accesses.filter(|access| access.table.name.table == "secret");
    of_secret.map(|access| (access.action.as_str(), access.verdict.as_str())).collect()
}

#[rstest]
#[tokio::test]
async fn a_table_that_does_not_load_is_known_to_nobody_but_who_may_know_of_it(
    #[values(
        ErrorKind::Internal,
        ErrorKind::Unsupported,
        ErrorKind::InvalidInput,
        ErrorKind::PermissionDenied,
        ErrorKind::Unavailable
    )]
    kind: ErrorKind,
) {
    let world = frail(kind).world();
    for person in ["alice", "bob"] {
        world.rules.select(person, "people", analyst());
    }
    world.rules.discover("bob", "secret");
    for sql in WAYS {
        let before = world.trail.events.lock().len();
        let hidden = world.rows("alice", sql).await.unwrap_err();
        let seen = verdicts(&world, before);
        assert!(seen.len() == 1 && seen[0].0 != "discover" && seen[0].1 == "denied", "{sql}: {seen:?}");
        let missing = world.rows("alice", &sql.replace("secret", "nosuch")).await.unwrap_err();
        assert_eq!(hidden.kind(), ErrorKind::NotFound, "{sql}: {hidden}");
        assert_eq!(hidden.message().replace("secret", "nosuch"), missing.message(), "{sql}");

        let before = world.trail.events.lock().len();
        let known = world.rows("bob", sql).await.unwrap_err();
        assert_eq!((known.kind(), known.message()), (kind, "frail.app.secret does not load"), "{sql}");
        assert_eq!(verdicts(&world, before), [("discover", "permitted")], "{sql}");
    }
    let gone = "DROP TABLE IF EXISTS frail.app.secret";
    assert!(world.rows("alice", gone).await.is_ok(), "as if the table were not there");
    assert_eq!(world.rows("bob", gone).await.unwrap_err().kind(), kind);
}

#[tokio::test]
async fn an_outage_of_a_whole_catalog_is_one_for_everybody_and_names_nothing() {
    let down = Frail { others: ErrorKind::Unavailable, ..frail(ErrorKind::Unavailable) };
    let shut = Frail { closed: Some(ErrorKind::Unavailable), ..frail(ErrorKind::Internal) };
    for catalog in [down, shut] {
        let world = catalog.world();
        for person in ["alice", "bob"] {
            world.rules.select(person, "people", analyst());
        }
        world.rules.discover("bob", "secret");
        for sql in WAYS {
            let hidden = world.rows("alice", sql).await.unwrap_err();
            let missing = world.rows("alice", &sql.replace("secret", "nosuch")).await.unwrap_err();
            assert_eq!(hidden.kind(), ErrorKind::Unavailable, "{sql}: {hidden}");
            assert_eq!(hidden.message().replace("secret", "nosuch"), missing.message(), "{sql}");
            assert_eq!(world.rows("bob", sql).await.unwrap_err().kind(), ErrorKind::Unavailable, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_catalog_that_does_not_take_a_person_is_one_that_is_not_there() {
    let shut = Frail { closed: Some(ErrorKind::PermissionDenied), ..frail(ErrorKind::Internal) };
    let world = shut.world();
    for person in ["alice", "bob"] {
        world.rules.select(person, "people", analyst());
    }
    world.rules.discover("bob", "secret");
    for sql in WAYS {
        let hidden = world.rows("alice", sql).await.unwrap_err();
        let missing = world.rows("alice", &sql.replace("frail", "nosuch")).await.unwrap_err();
        assert_eq!(hidden.kind(), ErrorKind::NotFound, "{sql}: {hidden}");
        assert_eq!(hidden.message().replace("frail", "nosuch"), missing.message(), "{sql}");
        assert_eq!(world.rows("bob", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied, "{sql}");
    }
}

#[tokio::test]
async fn no_pattern_finds_the_name_of_a_table_that_may_not_be_known() {
    let world = frail(ErrorKind::Unavailable).world();
    world.rules.discover("bob", "secret");
    let like = |pattern: &str| {
        let mut request = ListingRequest::default();
        request.table_pattern = Some(pattern.to_owned());
        request
    };
    let (alice, bob) = (world.session("alice").await, world.session("bob").await);
    for pattern in ["%", "s%", "x%"] {
        assert!(alice.tables(&like(pattern)).await.unwrap().is_empty(), "{pattern}");
    }
    assert_eq!(bob.tables(&like("s%")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(bob.tables(&like("x%")).await.unwrap().is_empty());
    let long = alice.tables(&like(&"_".repeat(1025))).await.unwrap_err();
    assert_eq!(long.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_name_is_taken_also_by_a_table_that_does_not_load() {
    let world = frail(ErrorKind::Internal).world();
    let create = "CREATE TABLE frail.scratch.secret (a BIGINT)";
    assert_eq!(world.rows("alice", create).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let unless = create.replace("TABLE", "TABLE IF NOT EXISTS");
    assert_eq!(world.rows("alice", &unless).await.unwrap(), ["0"]);
    let free = world.rows("alice", &unless.replace("secret", "free")).await.unwrap_err();
    assert_eq!(free.kind(), ErrorKind::Unsupported, "the catalog was asked to make it");
}

#[tokio::test]
async fn a_catalog_that_may_not_be_known_is_answered_for_like_one_that_is_not_there() {
    let shut = Frail { closed: Some(ErrorKind::Unavailable), ..frail(ErrorKind::Internal) };
    let world = shut.world();
    for sql in ["CREATE SCHEMA frail.new", "DROP SCHEMA frail.app", "CREATE TABLE frail.app.new (a BIGINT)"] {
        for hidden in ["frail", "lake"] {
            let hidden = world.rows("alice", &sql.replace("frail", hidden)).await.unwrap_err();
            let missing = world.rows("alice", &sql.replace("frail", "nosuch")).await.unwrap_err();
            assert_eq!(hidden.kind(), ErrorKind::NotFound, "{sql}: {hidden}");
            let message = hidden.message().replace("frail", "nosuch").replace("lake", "nosuch");
            assert_eq!(message, missing.message(), "{sql}");
        }
    }
    let verdicts: Vec<_> = world.trail.events.lock().iter().map(|event| event.tables[0].verdict.as_str()).collect();
    assert_eq!(verdicts, ["denied", "missing"].repeat(6));
    world.rows("keeper", "CREATE SCHEMA lake.new").await.unwrap();
    let known = world.rows("keeper", "CREATE SCHEMA frail.new").await.unwrap_err();
    assert_eq!(known.kind(), ErrorKind::Unavailable);
    let nowhere = world.rows("keeper", "CREATE SCHEMA nosuch.new").await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_mask_is_all_that_is_seen_wherever_the_column_goes() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    for sql in [
        "SELECT phone FROM people",
        "SELECT phone FROM people WHERE phone = '1111' OR phone <> '1111' OR phone IS NULL",
        "SELECT max(phone) FROM people GROUP BY id",
        "SELECT p FROM (SELECT concat(phone, '') p, phone FROM people)",
        "SELECT coalesce(phone, '') FROM people ORDER BY phone",
    ] {
        let rows = world.sorted("alice", sql).await.unwrap();
        assert_eq!(rows.len(), 3, "{sql}");
        assert!(rows.iter().all(|row| ["1111", "3333", "NULL", ""].contains(&row.as_str())), "{sql}: {rows:?}");
    }
    assert!(world.rows("alice", "SELECT 1 FROM people WHERE phone = '11-1111'").await.unwrap().is_empty());
    assert_eq!(world.rows("root", "SELECT 1 FROM people WHERE phone = '11-1111'").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_hidden_column_does_not_exist() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    for sql in [
        "SELECT salary FROM people",
        "SELECT name FROM people WHERE salary > 0",
        "SELECT name FROM people ORDER BY salary",
        "SELECT count(salary) FROM people",
        "SELECT p.salary FROM people p",
        "SELECT a.name FROM people a JOIN people b ON a.salary = b.salary",
    ] {
        let hidden = world.rows("alice", sql).await.unwrap_err();
        assert_eq!(hidden.kind(), ErrorKind::InvalidInput, "{sql}");
        let missing = world.rows("alice", &sql.replace("salary", "celery")).await.unwrap_err();
        assert_eq!(hidden.message().replace("salary", "celery"), missing.message(), "as if it were not there");
        assert!(world.rows("root", sql).await.is_ok(), "{sql}");
    }
    let star = world.session("alice").await.query("SELECT * FROM people").await.unwrap();
    let names: Vec<String> = star.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["id", "name", "segment", "phone", "born"]);
    let described = world.rows("alice", "DESCRIBE people").await.unwrap();
    assert_eq!(described.len(), 5);
    assert!(!described.iter().any(|row| row.contains("salary")));
    let wrong = world.rows("alice", "SELECT salar FROM people").await.unwrap_err();
    assert!(!wrong.message().contains("salary"), "{wrong}");
}

#[tokio::test]
async fn missing_and_unknowable_tables_are_told_apart_by_nobody_but_the_trail() {
    let world = world();
    let sql = "SELECT * FROM secrets";
    let denied = world.rows("alice", sql).await.unwrap_err();
    let missing = world.rows("alice", &sql.replace("secrets", "nothing")).await.unwrap_err();
    assert_eq!(denied.message().replace("secrets", "nothing"), missing.message());
    let verdicts: Vec<_> = world.trail.events.lock().iter().map(|event| event.tables[0].verdict.as_str()).collect();
    assert_eq!(verdicts, ["denied", "missing"]);
    assert_eq!(world.rows("root", sql).await.unwrap().len(), 5);
}

#[tokio::test]
async fn lists_show_each_person_their_own() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    let tables = "SELECT table_name FROM information_schema.tables ORDER BY 1";
    assert_eq!(world.rows("alice", tables).await.unwrap(), ["people"]);
    assert_eq!(world.rows("root", tables).await.unwrap(), ["orders", "people", "secrets"]);
    assert!(world.rows("mallory", tables).await.unwrap().is_empty());
    assert!(world.rows("mallory", "SELECT * FROM information_schema.schemata").await.unwrap().is_empty());
    assert!(world.rows("mallory", "SELECT * FROM information_schema.columns").await.unwrap().is_empty());
    assert!(world.rows("mallory", "SHOW TABLES").await.unwrap().is_empty());
    assert!(world.session("mallory").await.catalogs().await.unwrap().is_empty());
    assert_eq!(world.rows("alice", "SHOW TABLES").await.unwrap(), ["lake|app|people|BASE TABLE"]);
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'people'";
    assert_eq!(world.rows("alice", columns).await.unwrap(), ["id", "name", "segment", "phone", "born"]);
    assert_eq!(world.rows("root", columns).await.unwrap().len(), 6);
}

#[tokio::test]
async fn an_outage_is_an_error_and_never_an_empty_list() {
    let world = world();
    *world.lake.outage.lock() = true;
    for sql in ["SHOW TABLES", "SELECT * FROM information_schema.tables", "SELECT * FROM people"] {
        assert_eq!(world.rows("root", sql).await.unwrap_err().kind(), ErrorKind::Unavailable, "{sql}");
    }
    *world.lake.outage.lock() = false;
    assert_eq!(world.rows("root", "SHOW TABLES").await.unwrap().len(), 3);
    *world.rules.outage.lock() = true;
    assert_eq!(world.rows("root", "SELECT * FROM people").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(world.rows("root", "SHOW TABLES").await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn explain_ends_at_the_barrier() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    for sql in [
        "EXPLAIN SELECT name, phone FROM people WHERE id > 1",
        "EXPLAIN VERBOSE SELECT * FROM people",
        "EXPLAIN ANALYZE SELECT * FROM people",
    ] {
        let text = world.rows("alice", sql).await.unwrap().join("\n");
        assert!(text.contains("SecurityBarrierExec"), "{text}");
        for secret in ["BUILDING", "KeepLast", "salary", "coalesce", "output_rows=6", "4242"] {
            assert!(!text.contains(secret), "{sql} shows {secret}: {text}");
        }
        let open = world.rows("root", sql).await.unwrap().join("\n");
        assert!(open.contains("GrantedScanExec"), "{open}");
    }
    assert_eq!(world.rows("mallory", "EXPLAIN SELECT * FROM people").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_policy_that_cannot_be_carried_out_denies() {
    use sqe_core::predicate::{CompareOp, RowPredicate, Value};
    let world = world();
    let gone = RowPredicate::compare(sqe_core::FieldId(99), CompareOp::Eq, Value::Integer(1));
    world.rules.select("alice", "people", restricted(|held| held.filter = Some(gone)));
    assert_eq!(world.rows("alice", "SELECT * FROM people").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    world.rules.select("alice", "people", restricted(|held| drop(held.masks.insert(NAME, Mask::KeyedHash))));
    let hashed = world.rows("alice", "SELECT name FROM people WHERE id = 1").await.unwrap();
    assert_eq!(hashed[0].len(), 64);
}
