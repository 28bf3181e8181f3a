//! Every way to read, crossed with {row filter, mask, hidden column, deny}, each beside a person who may see everything.

use rstest::rstest;
use sqe_core::{Decision, ErrorKind};

use crate::people::{Kind, world};

/// `{c}` stands for the column that is read: `name`, which may be masked, or `salary`, which may be hidden.
#[rstest]
#[case::plain("SELECT {c} FROM people")]
#[case::alias("SELECT p.{c} FROM people p")]
#[case::renamed("SELECT x FROM (SELECT {c} FROM people) AS p(x)")]
#[case::qualified("SELECT {c} FROM lake.app.people")]
#[case::quoted("SELECT \"{c}\" FROM \"app\".\"people\"")]
#[case::from_first("FROM people SELECT {c}")]
#[case::parentheses("SELECT {c} FROM (people)")]
#[case::cte("WITH x AS (SELECT * FROM people) SELECT {c} FROM x")]
#[case::nested_cte("WITH x AS (WITH y AS (SELECT * FROM people) SELECT * FROM y) SELECT {c} FROM x")]
#[case::cte_of_the_same_name("WITH people AS (SELECT * FROM lake.app.people) SELECT {c} FROM people")]
#[case::recursive(
    "WITH RECURSIVE r AS (SELECT id, {c} FROM people UNION ALL SELECT id + 1000, {c} FROM r WHERE id < 0) SELECT {c} FROM r WHERE id > 0"
)]
#[case::subquery("SELECT {c} FROM (SELECT * FROM people WHERE id > 0)")]
#[case::in_subquery("SELECT {c} FROM people WHERE id IN (SELECT id FROM people)")]
#[case::exists("SELECT {c} FROM people p WHERE EXISTS (SELECT 1 FROM people q WHERE q.id = p.id)")]
#[case::any("SELECT {c} FROM people WHERE id = ANY(SELECT id FROM people)")]
#[case::scalar_subquery("SELECT (SELECT max(q.{c}) FROM people q WHERE q.id = p.id) FROM people p")]
#[case::subquery_in_join("SELECT p.{c} FROM people p JOIN (SELECT max(id) m FROM people) x ON p.id <= x.m")]
#[case::lateral("SELECT l.{c} FROM people p, LATERAL (SELECT q.{c} FROM people q WHERE q.id = p.id) l")]
#[case::window("SELECT {c} FROM (SELECT {c}, row_number() OVER (ORDER BY id) n FROM people) WHERE n > 0")]
#[case::window_function("SELECT first_value({c}) OVER (PARTITION BY id ORDER BY id) FROM people")]
#[case::qualify("SELECT {c} FROM people QUALIFY row_number() OVER (PARTITION BY id ORDER BY id) = 1")]
#[case::union("SELECT {c} FROM people UNION SELECT {c} FROM people")]
#[case::union_by_name("SELECT {c} FROM people UNION BY NAME SELECT {c} FROM people")]
#[case::intersect("SELECT {c} FROM people INTERSECT SELECT {c} FROM people")]
#[case::except("SELECT {c} FROM people EXCEPT SELECT NULL FROM people WHERE id < 0")]
#[case::self_join("SELECT a.{c} FROM people a JOIN people b ON a.id = b.id")]
#[case::join_using("SELECT a.{c} FROM people a JOIN people b USING (id)")]
#[case::natural_join("SELECT {c} FROM people NATURAL JOIN (SELECT id FROM people) b")]
#[case::cross_join("SELECT a.{c} FROM people a CROSS JOIN (SELECT 1) one")]
#[case::left_join("SELECT a.{c} FROM people a LEFT JOIN orders o ON a.id = -o.id")]
#[case::right_join("SELECT p.{c} FROM orders o RIGHT JOIN people p ON o.id = -p.id")]
#[case::full_join("SELECT p.{c} FROM people p FULL JOIN (SELECT id FROM orders WHERE id < 0) o ON o.id = p.id")]
#[case::semi_join("SELECT {c} FROM people p LEFT SEMI JOIN people q ON p.id = q.id")]
#[case::anti_join("SELECT {c} FROM people p LEFT ANTI JOIN orders o ON p.id = -o.id")]
#[case::distinct("SELECT DISTINCT {c} FROM people")]
#[case::distinct_on("SELECT DISTINCT ON (id) {c} FROM people ORDER BY id")]
#[case::group("SELECT {c} FROM people GROUP BY {c}")]
#[case::grouping_sets("SELECT {c} FROM people GROUP BY GROUPING SETS ((id, {c}))")]
#[case::aggregate("SELECT max({c}) FROM people GROUP BY id")]
#[case::unnest("SELECT unnest(array_agg({c})) FROM people")]
#[case::order("SELECT {c} FROM people ORDER BY {c} DESC NULLS LAST")]
#[case::order_limit("SELECT {c} FROM people ORDER BY id LIMIT 100")]
#[case::limit("SELECT {c} FROM people LIMIT 100")]
#[case::offset("SELECT {c} FROM people OFFSET 0")]
#[case::values_join("SELECT p.{c} FROM people p JOIN (VALUES (1),(2),(3),(4),(5),(42)) v(i) ON p.id = v.i")]
#[case::series_join("SELECT p.{c} FROM generate_series(1, 42) g(i) JOIN people p ON p.id = g.i")]
#[case::not_in("SELECT {c} FROM people WHERE id NOT IN (SELECT -id FROM orders)")]
#[case::pushed("SELECT {c} FROM people WHERE id > 0 AND name LIKE '%' AND born IS NOT NULL")]
#[case::json(
    "SELECT json_get_str(concat('{\"c\": \"', {c}, '\"}'), 'c') FROM people WHERE {c} IS NOT NULL UNION ALL SELECT {c} || '' FROM people WHERE {c} IS NULL"
)]
#[case::json_operator(
    "SELECT coalesce(concat('[\"', {c}, '\"]') ->> 0, 'none') FROM people WHERE {c} IS NOT NULL UNION ALL SELECT {c} || '' FROM people WHERE {c} IS NULL"
)]
#[case::pipe("SELECT * FROM people |> WHERE id > 0 |> SELECT {c}")]
#[tokio::test]
async fn each_restriction_holds_on_every_way_to_read(
    #[case] sql: &str,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
) {
    let world = world();
    let of = |column: &str| sql.replace("{c}", column);
    let all = ["ann", "bob", "cid", "dee", "eve", "hidden"];
    assert_eq!(world.sorted("root", &of("name")).await.unwrap(), all, "{sql}");
    assert_eq!(world.sorted("root", &of("salary")).await.unwrap(), ["10", "20", "30", "40", "4242", "NULL"], "{sql}");
    world.rules.select("alice", "orders", Decision::permit());
    world.rules.select("alice", "people", kind.decision());
    if kind == Kind::Deny {
        let missing = world.rows("alice", &of("name")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{sql}: {missing}");
        world.rules.discover("alice", "people");
        let denied = world.rows("alice", &of("name")).await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied, "{sql}: {denied}");
        return;
    }
    assert_eq!(world.sorted("alice", &of("name")).await.unwrap(), kind.names(), "{sql}");
    match kind.salaries() {
        Some(seen) => assert_eq!(world.sorted("alice", &of("salary")).await.unwrap(), seen, "{sql}"),
        None => {
            let hidden = world.rows("alice", &of("salary")).await.unwrap_err();
            let missing = world.rows("alice", &of("celery")).await.unwrap_err();
            assert_eq!(hidden.kind(), ErrorKind::InvalidInput, "{sql}: {hidden}");
            assert_eq!(hidden.message().replace("salary", "celery"), missing.message(), "{sql}");
        }
    }
}

/// A permission for a table that a person may not know of is worth nothing, and does not show that it is there.
#[tokio::test]
async fn what_may_not_be_discovered_is_missing_whatever_else_is_permitted() {
    let world = world();
    world.rules.select("alice", "people", Decision::permit());
    world.rules.insert("alice", "people");
    let ways = [
        "SELECT * FROM people",
        "DESCRIBE people",
        "SHOW COLUMNS FROM people",
        "EXPLAIN SELECT * FROM people",
        "INSERT INTO people SELECT * FROM people WHERE false",
        "CREATE TABLE scratch.mine AS SELECT * FROM people",
    ];
    for sql in ways {
        world.rules.conceal("alice", "people");
        let before = world.trail.events.lock().len();
        let concealed = world.rows("alice", sql).await.unwrap_err();
        let verdicts: Vec<_> = (world.trail.events.lock()[before..].iter())
            .flat_map(|event| &event.tables)
            .filter(|access| access.table.name.table == "people")
            .map(|access| access.verdict.as_str())
            .collect();
        assert!(!verdicts.is_empty() && verdicts.iter().all(|verdict| *verdict == "denied"), "{sql}: {verdicts:?}");
        let missing = world.rows("alice", &sql.replace("people", "poeple")).await.unwrap_err();
        assert_eq!(concealed.kind(), ErrorKind::NotFound, "{sql}: {concealed}");
        assert_eq!(concealed.message().replace("people", "poeple"), missing.message(), "{sql}");
        world.rules.discover("alice", "people");
        world.rows("alice", sql).await.unwrap();
    }
    world.rules.conceal("alice", "people");
    assert!(world.rows("alice", "SHOW TABLES").await.unwrap().iter().all(|row| !row.contains("people")));
    assert!(world.rows("alice", "DROP TABLE IF EXISTS people").await.is_ok(), "as if the table were not there");
    assert_eq!(world.rows("root", "SELECT count(*) FROM people").await.unwrap(), ["6"]);
}

#[rstest]
#[tokio::test]
async fn stars_lists_and_descriptions_show_what_each_restriction_leaves(
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'people'";
    let every = ["id", "name", "segment", "salary", "phone", "born"];
    let first = "SELECT * FROM people WHERE id = 1";
    assert_eq!(world.rows("root", first).await.unwrap(), ["1|ann|BUILDING|10|11-1111|1970-01-01"]);
    assert_eq!(world.rows("root", columns).await.unwrap(), every);
    assert_eq!(world.rows("root", "DESCRIBE people").await.unwrap().len(), 6);
    assert_eq!(world.rows("root", "SHOW COLUMNS FROM people").await.unwrap().len(), 6);
    if kind == Kind::Deny {
        for sql in [first, "DESCRIBE people", "SHOW COLUMNS FROM people", "EXPLAIN SELECT * FROM people"] {
            assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::NotFound, "{sql}");
        }
        assert!(world.rows("alice", columns).await.unwrap().is_empty());
        assert!(world.rows("alice", "SHOW TABLES").await.unwrap().is_empty());
        return;
    }
    let row = match kind {
        Kind::Filter => "1|ann|BUILDING|10|11-1111|1970-01-01",
        Kind::Mask => "1|nn|BUILDING|10|11-1111|1970-01-01",
        Kind::Hidden => "1|ann|BUILDING|11-1111|1970-01-01",
        _ => "1|nn|BUILDING|11-1111|1970-01-01",
    };
    assert_eq!(world.rows("alice", first).await.unwrap(), [row]);
    let left: Vec<&str> = every.into_iter().filter(|name| *name != "salary" || kind.salaries().is_some()).collect();
    assert_eq!(world.rows("alice", columns).await.unwrap(), left);
    for sql in ["DESCRIBE people", "SHOW COLUMNS FROM people"] {
        let described = world.rows("alice", sql).await.unwrap();
        assert_eq!(described.iter().map(|row| row.split('|').next().unwrap()).collect::<Vec<_>>(), left, "{sql}");
    }
    assert_eq!(world.rows("alice", "SHOW TABLES").await.unwrap(), ["lake|app|people|BASE TABLE"]);
}

#[rstest]
#[case("EXPLAIN SELECT * FROM people")]
#[case("EXPLAIN VERBOSE SELECT * FROM people WHERE id > 1")]
#[case("EXPLAIN ANALYZE SELECT * FROM people")]
#[case("EXPLAIN ANALYZE VERBOSE SELECT name FROM people ORDER BY name")]
#[case("EXPLAIN FORMAT TREE SELECT * FROM people")]
#[tokio::test]
async fn explanations_do_not_show_what_each_restriction_holds_back(
    #[case] sql: &str,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together)] kind: Kind,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    let text = world.rows("alice", sql).await.unwrap().join("\n");
    let mut secrets = vec!["BUILDING", "KeepLast", "Opaque", "4242"];
    if matches!(kind, Kind::Filter | Kind::Together) {
        secrets.push("output_rows=6");
    }
    if kind.salaries().is_none() {
        secrets.push("salary");
    }
    assert!(text.contains("SecurityBarrierExec"), "{text}");
    assert!(!text.contains("GrantedScanExec"), "{text}");
    for secret in secrets {
        assert!(!text.contains(secret), "{sql} shows {secret}: {text}");
    }
    let open = world.rows("root", sql).await.unwrap().join("\n");
    assert!(open.contains("GrantedScanExec") && open.contains("Opaque"), "{open}");
}

/// Ways that are not offered. They are refused before a table is looked at, so to everybody alike.
#[rstest]
#[case::execute("EXECUTE p", ErrorKind::NotFound)]
#[case::deallocate("DEALLOCATE p", ErrorKind::NotFound)]
#[case::temporary_view("CREATE TEMPORARY VIEW scratch.v AS SELECT * FROM people", ErrorKind::Unsupported)]
#[case::bound_view("CREATE VIEW scratch.v AS SELECT * FROM people WITH NO SCHEMA BINDING", ErrorKind::Unsupported)]
#[case::view_with_parameters(
    "CREATE VIEW scratch.v AS INSERT INTO people SELECT * FROM people",
    ErrorKind::InvalidInput
)]
#[case::materialized("CREATE MATERIALIZED VIEW scratch.v AS SELECT * FROM people", ErrorKind::Unsupported)]
#[case::temporary("CREATE TEMPORARY TABLE v AS SELECT * FROM people", ErrorKind::Unsupported)]
#[case::sample("SELECT * FROM people TABLESAMPLE BERNOULLI (100)", ErrorKind::Unsupported)]
#[case::for_update("SELECT * FROM people FOR UPDATE", ErrorKind::Unsupported)]
#[case::ordinality("SELECT * FROM people WITH ORDINALITY", ErrorKind::Unsupported)]
#[case::explain_insert("EXPLAIN INSERT INTO orders SELECT id, id, 1 FROM people", ErrorKind::Unsupported)]
#[case::explain_format("EXPLAIN FORMAT xml SELECT * FROM people", ErrorKind::Unsupported)]
#[case::metadata_table("SELECT * FROM \"people$files\"", ErrorKind::NotFound)]
#[case::snapshots("SELECT * FROM \"people$snapshots\"", ErrorKind::NotFound)]
#[case::branch("SELECT * FROM \"people@main\"", ErrorKind::NotFound)]
#[case::below_the_table("SELECT * FROM app.people.snapshots", ErrorKind::NotFound)]
#[case::changes("SELECT * FROM people FOR VERSION BETWEEN 1 AND 2", ErrorKind::InvalidInput)]
#[case::version("SELECT * FROM people VERSION AS OF 1", ErrorKind::InvalidInput)]
#[case::settings("SELECT * FROM information_schema.df_settings", ErrorKind::NotFound)]
#[case::views("SELECT * FROM information_schema.routines", ErrorKind::NotFound)]
#[case::file("SELECT * FROM 'people.parquet'", ErrorKind::NotFound)]
#[case::function("SELECT * FROM read_csv('people.csv')", ErrorKind::NotFound)]
#[tokio::test]
async fn other_ways_are_refused(
    #[case] sql: &str,
    #[case] expected: ErrorKind,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Deny)] kind: Kind,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    for person in ["alice", "root"] {
        let error = world.rows(person, sql).await.unwrap_err();
        assert_eq!(error.kind(), expected, "{person}: {sql}: {error}");
    }
    assert_eq!(world.rows("root", "SELECT count(*) FROM people").await.unwrap(), ["6"]);
    assert!(world.rows("root", "SELECT * FROM scratch.v").await.is_err(), "nothing was made");
}
