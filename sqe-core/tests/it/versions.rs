//! Older states of tables: who reads them, under which policy, and what is told of them.

use rstest::rstest;
use sqe_core::{Decision, ErrorKind};

use crate::people::{Kind, World, restricted, world};

/// People with two more rows, of which the second state holds the first.
async fn grown() -> World {
    let world = world();
    for (id, name) in [(7, "fay"), (8, "gil")] {
        let row = format!("({id}, '{name}', 'BUILDING', 50, '77-7777', DATE '2020-01-01')");
        world.rows("root", &format!("INSERT INTO people VALUES {row}")).await.unwrap();
    }
    world
}

#[rstest]
#[case("SELECT count(*) FROM people FOR VERSION AS OF 1", "6")]
#[case("SELECT count(*) FROM people FOR VERSION AS OF 2", "7")]
#[case("SELECT count(*) FROM people FOR VERSION AS OF 3", "8")]
#[case("SELECT count(*) FROM people for system_version as\n of 2", "7")]
#[case("SELECT count(*) FROM lake.app.people FOR VERSION AS OF 2 AS p WHERE p.id > 0", "7")]
#[case("SELECT count(people.name) FROM app.people FOR VERSION AS OF 2", "7")]
#[case("SELECT count(*) FROM \"people\" FOR VERSION AS OF 2 p JOIN people q ON p.id = q.id", "7")]
#[case("SELECT (SELECT count(*) FROM people) - (SELECT count(*) FROM people FOR VERSION AS OF 1)", "2")]
#[case("SELECT count(*) FROM people WHERE id NOT IN (SELECT id FROM people FOR VERSION AS OF 1)", "2")]
#[case("WITH people AS (SELECT 1 AS a) SELECT count(*) FROM people FOR VERSION AS OF 2", "7")]
#[case(
    "WITH old AS (SELECT * FROM people FOR VERSION AS OF 2) SELECT count(*) FROM old, people AS now WHERE now.id = old.id",
    "7"
)]
#[case("SELECT count(*) FROM (SELECT id FROM people EXCEPT SELECT id FROM people FOR VERSION AS OF 2)", "1")]
#[tokio::test]
async fn a_state_is_read_wherever_a_table_stands(#[case] sql: &str, #[case] answer: &str) {
    assert_eq!(grown().await.rows("root", sql).await.unwrap(), [answer]);
}

#[rstest]
#[case("SELECT * FROM people FOR VERSION AS OF 4", ErrorKind::NotFound)]
#[case("SELECT * FROM people FOR VERSION AS OF 0", ErrorKind::NotFound)]
#[case("SELECT * FROM people FOR VERSION AS OF 99999999999999999999", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR VERSION AS OF ''", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR VERSION AS OF name", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR VERSION AS OF -1", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR VERSION AS OF ?", ErrorKind::Unsupported)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF $1", ErrorKind::Unsupported)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF 5", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF NULL", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF 'yesterday'", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF people.born", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF (SELECT max(born) FROM secrets)", ErrorKind::InvalidInput)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF TIMESTAMP '2020-01-01'", ErrorKind::Unsupported)]
#[case("SELECT * FROM people FOR TIMESTAMP AS OF now() - INTERVAL '1 day'", ErrorKind::Unsupported)]
#[case("SELECT * FROM information_schema.tables FOR VERSION AS OF 1", ErrorKind::Unsupported)]
#[case("SELECT * FROM generate_series(1, 2) FOR VERSION AS OF 1", ErrorKind::InvalidInput)]
#[tokio::test]
async fn what_names_no_state_is_refused(#[case] sql: &str, #[case] kind: ErrorKind) {
    let error = grown().await.rows("root", sql).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{sql}: {error}");
}

#[rstest]
#[tokio::test]
async fn each_restriction_holds_on_older_states(
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
) {
    let world = grown().await;
    world.rules.select("alice", "people", kind.decision());
    let sql = |column: &str| format!("SELECT {column} FROM people FOR VERSION AS OF 1");
    if kind == Kind::Deny {
        let missing = world.rows("alice", &sql("name")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        // Whether there is such a state is not told either.
        let none = world.rows("alice", "SELECT name FROM people FOR VERSION AS OF 4").await.unwrap_err();
        assert_eq!(none.message(), missing.message());
        world.rules.discover("alice", "people");
        for version in [1, 4] {
            let denied = format!("SELECT name FROM people FOR VERSION AS OF {version}");
            assert_eq!(world.rows("alice", &denied).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        return;
    }
    assert_eq!(world.sorted("alice", &sql("name")).await.unwrap(), kind.names());
    match kind.salaries() {
        Some(seen) => assert_eq!(world.sorted("alice", &sql("salary")).await.unwrap(), seen),
        None => assert_eq!(world.rows("alice", &sql("salary")).await.unwrap_err().kind(), ErrorKind::InvalidInput),
    }
    let plan = world.rows("alice", &format!("EXPLAIN {}", sql("name"))).await.unwrap().join("\n");
    assert!(plan.contains("SecurityBarrierExec") && plan.contains("people FOR VERSION AS OF 1"), "{plan}");
    let policy = world.rows("alice", &format!("EXPLAIN POLICY {}", sql("name"))).await.unwrap();
    assert!(policy[0].starts_with("lake.app.people|select|restricted"), "{policy:?}");
}

/// A table may be called like an older state of another.
#[tokio::test]
async fn a_state_is_not_taken_for_a_table_of_its_name() {
    let world = grown().await;
    let name = "people FOR VERSION AS OF 1";
    world.rows("root", &format!("CREATE TABLE scratch.\"{name}\" AS SELECT 5 AS id")).await.unwrap();
    world.lake.put("app", name, crate::people::orders());
    for (sql, answer) in [
        ("SELECT count(*) FROM people FOR VERSION AS OF 1", "6"),
        (
            "SELECT (SELECT count(*) FROM people FOR VERSION AS OF 1) + 100 * (SELECT count(*) FROM \"people FOR VERSION AS OF 1\")",
            "506",
        ),
    ] {
        world.rules.select("root", name, Decision::permit());
        assert_eq!(world.rows("root", sql).await.unwrap(), [answer], "{sql}");
    }
    world.rules.select("alice", "people", Decision::permit());
    let sql = "SELECT count(*) FROM people FOR VERSION AS OF 1, \"people FOR VERSION AS OF 1\"";
    assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::NotFound);
    let copy = format!("INSERT INTO scratch.\"{name}\" SELECT id FROM people FOR VERSION AS OF 1 WHERE id < 3");
    assert_eq!(world.rows("root", &copy).await.unwrap(), ["2"]);
}

#[tokio::test]
async fn states_are_copied_and_stand_in_views() {
    let world = grown().await;
    world.rows("root", "CREATE TABLE scratch.t AS SELECT id FROM people FOR VERSION AS OF 1").await.unwrap();
    assert_eq!(world.rows("root", "SELECT count(*) FROM scratch.t").await.unwrap(), ["6"]);
    world.rows("root", "INSERT INTO scratch.t SELECT id FROM people FOR VERSION AS OF 2").await.unwrap();
    assert_eq!(world.rows("root", "SELECT count(*) FROM scratch.t").await.unwrap(), ["13"]);
    world.rows("root", "CREATE VIEW scratch.v AS SELECT id FROM people FOR VERSION AS OF 2").await.unwrap();
    assert_eq!(world.rows("root", "SELECT count(*) FROM scratch.v").await.unwrap(), ["7"]);
    let text = world.rows("root", "SELECT view_definition FROM information_schema.views").await.unwrap();
    assert_eq!(text, ["SELECT id FROM people FOR VERSION AS OF 2"], "as it was written");
}

#[tokio::test]
async fn the_trail_says_which_states_were_read() {
    let world = grown().await;
    world.rules.select("alice", "people", restricted(|held| held.hidden.extend([crate::people::SALARY])));
    let before = world.trail.events.lock().len();
    let sql = "SELECT p.name, q.id FROM people FOR VERSION AS OF 2 AS p JOIN people AS q ON p.id = q.id";
    world.rows("alice", sql).await.unwrap();
    let events = world.trail.events.lock();
    let mut read: Vec<_> = events[before].tables.iter().map(|access| access.snapshot).collect();
    read.sort();
    assert_eq!(read, [Some(2), Some(3)]);
    assert!(events[before].tables.iter().all(|access| !access.columns.is_empty()));
}

/// Words that the clause is made of are names everywhere else.
#[tokio::test]
async fn words_of_the_clause_stay_names() {
    let world = grown().await;
    for sql in [
        "SELECT at.id FROM people at WHERE at.id = 1",
        "SELECT before.id FROM people before WHERE before.id = 1",
        "SELECT version.id FROM people AS version WHERE id = 1",
        "SELECT system_time FROM (SELECT id AS system_time FROM people) WHERE system_time = 1",
        "SELECT 1 AS \"FOR SYSTEM_TIME AS OF\"",
        "SELECT length('x FOR VERSION AS OF 1') - 20",
    ] {
        assert_eq!(world.rows("root", sql).await.unwrap(), ["1"], "{sql}");
    }
}
