//! What decisions do to what a person sees: masks, hidden columns, missing tables, lists, outages, EXPLAIN.

use sqe_core::{ErrorKind, predicate::Mask};

use crate::people::{NAME, analyst, restricted, world};

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
