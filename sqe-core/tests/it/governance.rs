//! Every way to read, crossed with {row filter, mask, hidden column, deny}; each denial beside a permitted control.

use rstest::rstest;
use sqe_core::{Decision, ErrorKind, predicate::Mask};

use crate::people::{NAME, PHONE, SALARY, analyst, building, restricted, world};

/// Ways to read the names of `people`: each must give exactly the visible names.
#[rstest]
#[case::plain("SELECT name FROM people")]
#[case::alias("SELECT p.name FROM people p")]
#[case::qualified("SELECT name FROM lake.app.people")]
#[case::quoted("SELECT \"name\" FROM \"app\".\"people\"")]
#[case::cte("WITH x AS (SELECT * FROM people) SELECT name FROM x")]
#[case::nested_cte("WITH x AS (WITH y AS (SELECT * FROM people) SELECT * FROM y) SELECT name FROM x")]
#[case::recursive(
    "WITH RECURSIVE r AS (SELECT id, name FROM people UNION ALL SELECT id + 1000, name FROM r WHERE id < 0) SELECT name FROM r WHERE id > 0"
)]
#[case::subquery("SELECT name FROM (SELECT * FROM people WHERE id > 0)")]
#[case::in_subquery("SELECT name FROM people WHERE id IN (SELECT id FROM people)")]
#[case::exists("SELECT name FROM people p WHERE EXISTS (SELECT 1 FROM people q WHERE q.id = p.id)")]
#[case::scalar_subquery("SELECT (SELECT max(q.name) FROM people q WHERE q.id = p.id) FROM people p")]
#[case::lateral("SELECT l.name FROM people p, LATERAL (SELECT q.name FROM people q WHERE q.id = p.id) l")]
#[case::window("SELECT name FROM (SELECT name, row_number() OVER (ORDER BY id) n FROM people) WHERE n > 0")]
#[case::union("SELECT name FROM people UNION SELECT name FROM people")]
#[case::intersect("SELECT name FROM people INTERSECT SELECT name FROM people")]
#[case::self_join("SELECT a.name FROM people a JOIN people b ON a.id = b.id")]
#[case::cross_join("SELECT a.name FROM people a CROSS JOIN (SELECT 1) one")]
#[case::left_join("SELECT a.name FROM people a LEFT JOIN orders o ON a.id = -o.id")]
#[case::right_join("SELECT p.name FROM orders o RIGHT JOIN people p ON o.id = -p.id")]
#[case::distinct_on("SELECT DISTINCT ON (id) name FROM people ORDER BY id")]
#[case::group("SELECT name FROM people GROUP BY name")]
#[case::unnest("SELECT unnest(array_agg(name)) FROM people")]
#[case::order_limit("SELECT name FROM people ORDER BY id LIMIT 100")]
#[case::limit("SELECT name FROM people LIMIT 100")]
#[case::values_join("SELECT p.name FROM people p JOIN (VALUES (1),(2),(3),(4),(5),(42)) v(i) ON p.id = v.i")]
#[case::not_in("SELECT name FROM people WHERE id NOT IN (SELECT -id FROM orders)")]
#[case::pushed("SELECT name FROM people WHERE id > 0 AND name LIKE '%' AND born IS NOT NULL")]
#[tokio::test]
async fn every_way_to_read_gives_the_visible_rows(#[case] sql: &str) {
    let world = world();
    for table in ["people", "orders"] {
        world.rules.select("alice", table, if table == "people" { analyst() } else { Decision::permit() });
    }
    assert_eq!(world.sorted("alice", sql).await.unwrap(), ["ann", "cid", "eve"], "{sql}");
    let all = ["ann", "bob", "cid", "dee", "eve", "hidden"];
    assert_eq!(world.sorted("root", sql).await.unwrap(), all, "{sql}");
    world.rules.discover("dora", "people");
    world.rules.select("dora", "orders", Decision::permit());
    let denied = world.rows("dora", sql).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::PermissionDenied, "{sql}: {denied}");
    world.rules.select("mallory", "orders", Decision::permit());
    let missing = world.rows("mallory", sql).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{sql}: {missing}");
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
async fn writes_to_what_is_seen_in_part_are_refused() {
    let world = world();
    world.rules.insert("alice", "people");
    let sql = "INSERT INTO people VALUES (7, 'new', 'AUTO', 1, '1', DATE '2020-01-01')";
    for decision in [
        analyst(),
        restricted(|held| held.filter = Some(building())),
        restricted(|held| drop(held.masks.insert(PHONE, Mask::Null))),
        restricted(|held| held.hidden = [SALARY].into()),
    ] {
        world.rules.select("alice", "people", decision);
        assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    world.rules.select("alice", "people", Decision::permit());
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["1"]);
    assert_eq!(world.rows("root", "SELECT name FROM people WHERE id = 7").await.unwrap(), ["new"]);
}

#[tokio::test]
async fn copies_hold_what_their_maker_saw() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    world.rows("alice", "CREATE TABLE scratch.mine AS SELECT * FROM people").await.unwrap();
    assert_eq!(
        world.sorted("alice", "SELECT name, phone FROM scratch.mine").await.unwrap(),
        ["ann|1111", "cid|3333", "eve|NULL"]
    );
    assert_eq!(world.rows("mallory", "SELECT * FROM scratch.mine").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.rows("alice", "INSERT INTO scratch.mine SELECT * FROM people WHERE id = 1").await.unwrap();
    assert_eq!(world.rows("alice", "SELECT count(*), max(phone) FROM scratch.mine").await.unwrap(), ["4|3333"]);
    let refused = world.rows("mallory", "CREATE TABLE scratch.theirs AS SELECT 1 AS a").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound, "who may not discover a schema is told that there is none");
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
