//! Every way to write, crossed with {row filter, mask, hidden column, deny} on what is read or written.

use rstest::rstest;
use sqe_core::{Decision, ErrorKind};

use crate::people::{Kind, NAME, World, restricted, world};

const EVERYBODY: [&str; 6] = ["1|ann", "2|bob", "3|cid", "42|hidden", "4|dee", "5|eve"];

async fn unchanged(world: &World) {
    assert_eq!(world.sorted("root", "SELECT id, name FROM people").await.unwrap(), EVERYBODY);
}

#[rstest]
#[tokio::test]
async fn a_copy_holds_what_its_maker_sees(
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    let create = "CREATE TABLE scratch.mine AS SELECT * FROM people";
    if kind == Kind::Deny {
        assert_eq!(world.rows("alice", create).await.unwrap_err().kind(), ErrorKind::NotFound);
        world.rules.discover("alice", "people");
        assert_eq!(world.rows("alice", create).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        let nothing = world.rows("alice", "SELECT * FROM scratch.mine").await.unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::NotFound, "no copy was made");
        return;
    }
    world.rows("alice", create).await.unwrap();
    // It is alice's own now: what she sees of it is all that it holds.
    let names = "SELECT name FROM scratch.mine";
    assert_eq!(world.sorted("alice", names).await.unwrap(), kind.names());
    match kind.salaries() {
        Some(seen) => assert_eq!(world.sorted("alice", "SELECT salary FROM scratch.mine").await.unwrap(), seen),
        None => {
            let gone = world.rows("alice", "SELECT salary FROM scratch.mine").await.unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::InvalidInput);
        }
    }
    let twice = "INSERT INTO scratch.mine SELECT * FROM people";
    assert_eq!(world.rows("alice", twice).await.unwrap(), [kind.names().len().to_string()]);
    assert_eq!(
        world.sorted("alice", &format!("{names} GROUP BY name HAVING count(*) = 2")).await.unwrap(),
        kind.names()
    );
    // A policy that grows stricter holds for the next row that is copied, not for those that are hers.
    world.rules.select("alice", "people", Decision::deny());
    assert_eq!(world.rows("alice", twice).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.rows("alice", names).await.unwrap().len(), 2 * kind.names().len());
    assert_eq!(world.rows("mallory", names).await.unwrap_err().kind(), ErrorKind::NotFound);
    unchanged(&world).await;
}

#[rstest]
#[case::values("INSERT INTO people VALUES (7, 'new', 'AUTO', 1, '1', DATE '2020-01-01')", 7)]
#[case::columns("INSERT INTO people (id, name, born) VALUES (7, 'new', DATE '2020-01-01')", 7)]
#[case::query("INSERT INTO people SELECT id + 100, name, segment, 1, phone, born FROM people WHERE id = 1", 7)]
#[tokio::test]
async fn who_sees_a_table_in_part_adds_nothing_to_it(
    #[case] sql: &str,
    #[case] after: usize,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together)] kind: Kind,
) {
    let world = world();
    world.rules.insert("alice", "people");
    world.rules.select("alice", "people", kind.decision());
    assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    unchanged(&world).await;
    world.rules.select("alice", "people", Decision::permit());
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["1"]);
    assert_eq!(world.rows("root", "SELECT count(*) FROM people").await.unwrap(), [after.to_string()]);
}

#[tokio::test]
async fn who_may_not_insert_does_not_and_who_may_only_insert_reads_nothing() {
    let world = world();
    let values = "INSERT INTO people VALUES (7, 'new', 'AUTO', 1, '1', DATE '2020-01-01')";
    assert_eq!(world.rows("alice", values).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.rules.select("alice", "people", Decision::permit());
    world.rules.discover("alice", "people");
    assert_eq!(world.rows("alice", values).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    unchanged(&world).await;
    world.rules.select("bob", "people", Decision::deny());
    world.rules.insert("bob", "people");
    world.rules.discover("bob", "people");
    assert_eq!(world.rows("bob", values).await.unwrap(), ["1"]);
    for sql in [
        "SELECT * FROM people",
        "INSERT INTO people SELECT * FROM people",
        "INSERT INTO people SELECT 8, (SELECT max(name) FROM people), '', 1, '', DATE '2020-01-01'",
        "CREATE TABLE scratch.mine AS SELECT * FROM people",
    ] {
        assert_eq!(world.rows("bob", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied, "{sql}");
    }
    assert_eq!(world.rows("root", "SELECT count(*) FROM people").await.unwrap(), ["7"]);
}

#[tokio::test]
async fn a_masked_value_travels_masked_into_a_table_of_another() {
    let world = world();
    world.rules.insert("alice", "secrets");
    world.rules.select("alice", "secrets", Decision::permit());
    world.rules.select(
        "alice",
        "people",
        restricted(|held| drop(held.masks.insert(NAME, sqe_core::predicate::Mask::Null))),
    );
    let sql = "INSERT INTO secrets SELECT 100 + coalesce(length(name), 0), id, 1 FROM people";
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["6"]);
    assert_eq!(world.rows("root", "SELECT DISTINCT id FROM secrets WHERE id >= 100").await.unwrap(), ["100"]);
    assert_eq!(world.rows("root", sql).await.unwrap(), ["6"]);
    assert_eq!(world.rows("root", "SELECT count(DISTINCT id) FROM secrets WHERE id > 100").await.unwrap(), ["2"]);
}

#[rstest]
#[case("DROP TABLE people")]
#[case("DROP TABLE IF EXISTS scratch.none, people")]
#[tokio::test]
async fn who_does_not_own_a_table_does_not_drop_it(
    #[case] sql: &str,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Deny)] kind: Kind,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    world.rules.conceal("alice", "people");
    let unknowable = world.rows("alice", sql).await;
    if sql.contains("IF EXISTS") {
        assert!(unknowable.is_ok(), "as if the table were not there");
    } else {
        assert_eq!(unknowable.unwrap_err().kind(), ErrorKind::NotFound);
    }
    world.rules.discover("alice", "people");
    assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    unchanged(&world).await;
    world.rows("alice", "CREATE TABLE scratch.mine AS SELECT 1 AS a").await.unwrap();
    world.rows("alice", "DROP TABLE scratch.mine").await.unwrap();
    assert!(world.rows("alice", "SELECT * FROM scratch.mine").await.is_err());
}

#[tokio::test]
async fn a_statement_that_may_not_drop_all_of_its_tables_drops_none() {
    let world = world();
    world.rules.discover("alice", "people");
    world.rows("alice", "CREATE TABLE scratch.mine AS SELECT 1 AS a").await.unwrap();
    let both = world.rows("alice", "DROP TABLE scratch.mine, people").await.unwrap_err();
    assert_eq!(both.kind(), ErrorKind::PermissionDenied);
    assert_eq!(world.rows("alice", "SELECT a FROM scratch.mine").await.unwrap(), ["1"]);
}

/// Until it can be shown that only visible rows change, nobody changes rows: not even who sees all of them.
#[rstest]
#[case::delete("DELETE FROM people")]
#[case::delete_where("DELETE FROM people WHERE salary > 0")]
#[case::delete_using("DELETE FROM people USING orders WHERE people.id = orders.person")]
#[case::update("UPDATE people SET name = segment")]
#[case::update_secret("UPDATE people SET phone = CAST(salary AS VARCHAR)")]
#[case::update_from("UPDATE people SET name = 'x' FROM orders WHERE people.id = orders.person")]
#[case::merge(
    "MERGE INTO people p USING orders o ON p.id = o.person WHEN MATCHED THEN UPDATE SET name = 'x' WHEN NOT MATCHED THEN INSERT (id) VALUES (1)"
)]
#[case::truncate("TRUNCATE TABLE people")]
#[case::overwrite("INSERT OVERWRITE people SELECT * FROM people")]
#[case::replace("REPLACE INTO people SELECT * FROM people")]
#[case::returning("INSERT INTO people SELECT * FROM people RETURNING salary")]
#[case::conflict("INSERT INTO people SELECT * FROM people ON CONFLICT DO NOTHING")]
#[case::default_values("INSERT INTO people DEFAULT VALUES")]
#[case::copy("COPY people TO 'people.csv'")]
#[case::copy_query("COPY (SELECT * FROM people) TO 'people.parquet' STORED AS PARQUET")]
#[case::external("CREATE EXTERNAL TABLE people2 STORED AS CSV LOCATION 'people.csv'")]
#[case::view("CREATE MATERIALIZED VIEW v AS SELECT * FROM people")]
#[case::replace_view("CREATE OR ALTER VIEW people AS SELECT 1 AS a")]
#[case::replace_table("CREATE OR REPLACE TABLE people AS SELECT 1 AS a")]
#[case::like("CREATE TABLE scratch.shape LIKE people")]
#[case::drop_view("DROP VIEW people CASCADE")]
#[case::drop_cascade("DROP SCHEMA app CASCADE")]
#[case::alter("ALTER TABLE people RENAME TO persons")]
#[case::drop_column("ALTER TABLE people DROP COLUMN salary")]
#[case::rename_column("ALTER TABLE people RENAME COLUMN salary TO pay")]
#[case::add_column("ALTER TABLE people ADD COLUMN copy BIGINT")]
#[case::function("CREATE FUNCTION peek(BIGINT) RETURNS BIGINT RETURN $1")]
#[case::drop_function("DROP FUNCTION abs")]
#[case::index("CREATE INDEX i ON people (salary)")]
#[case::set("SET datafusion.optimizer.skip_failed_rules = true")]
#[case::reset("RESET datafusion.optimizer.skip_failed_rules")]
#[case::prepare("PREPARE p AS DELETE FROM people")]
#[case::grant("GRANT SELECT ON people TO alice")]
#[case::revoke("REVOKE SELECT ON people FROM alice")]
#[case::begin("BEGIN")]
#[case::analyze("ANALYZE TABLE people")]
#[case::call("CALL rollback_to_snapshot('people', 1)")]
#[tokio::test]
async fn other_changes_are_refused_to_everybody(
    #[case] sql: &str,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Deny)] kind: Kind,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    for person in ["alice", "root"] {
        let error = world.rows(person, sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{person}: {sql}: {error}");
        assert!(!error.message().contains("4242"), "{error}");
    }
    unchanged(&world).await;
    assert_eq!(world.rows("root", "SHOW TABLES").await.unwrap().len(), 3, "nothing was made");
}

/// Bound like a query, and then refused for what it would do.
#[rstest]
#[case("SELECT * INTO scratch.v FROM people")]
#[case("WITH gone AS (DELETE FROM people RETURNING *) SELECT * FROM gone")]
#[tokio::test]
async fn a_query_changes_nothing_on_the_side(#[case] sql: &str) {
    let world = world();
    world.rules.select("alice", "people", Kind::Together.decision());
    for person in ["alice", "root"] {
        let error = world.rows(person, sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    let error = world.rows("mallory", sql).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    unchanged(&world).await;
    assert_eq!(world.rows("root", "SHOW TABLES").await.unwrap().len(), 3, "nothing was made");
}
