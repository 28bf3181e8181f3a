//! PREPARE, EXECUTE and DEALLOCATE: kept for one session, decided at each execution.

use arrow::{array::Int64Array, record_batch::RecordBatch};
use rstest::rstest;
use sqe_core::{
    Decision, ErrorKind, Result, Session,
    audit::EventKind,
    engine::{Statement, StatementKind},
};

use crate::people::{Kind, World, analyst, text_rows, world};

/// Rows as text in the order of the answer.
async fn rows(session: &Session, sql: &str) -> Result<Vec<String>> {
    let batches = session.query(sql).await?.collect().await?;
    Ok(batches.iter().flat_map(text_rows).collect())
}

/// What the last event says: the statement, and the tables with their verdicts.
fn last(world: &World) -> (String, Vec<(String, &'static str)>) {
    let events = world.trail.events.lock();
    let event = events.last().unwrap();
    let tables = event.tables.iter().map(|access| (access.table.name.table.clone(), access.verdict.as_str()));
    (event.query.statement.clone(), tables.collect())
}

#[rstest]
#[tokio::test]
async fn each_restriction_holds_on_a_prepared_statement(
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
) {
    let world = world();
    let prepare = "PREPARE p AS SELECT name FROM people WHERE id >= $1 ORDER BY 1";
    let root = world.session("root").await;
    rows(&root, prepare).await.unwrap();
    assert_eq!(rows(&root, "EXECUTE p(0)").await.unwrap(), ["ann", "bob", "cid", "dee", "eve", "hidden"]);
    world.rules.select("alice", "people", kind.decision());
    let alice = world.session("alice").await;
    if kind == Kind::Deny {
        let denied = rows(&alice, prepare).await.unwrap_err();
        let missing = rows(&alice, &prepare.replace("people", "poeple")).await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::NotFound);
        assert_eq!(denied.message().replace("people", "poeple"), missing.message());
        return;
    }
    rows(&alice, prepare).await.unwrap();
    assert_eq!(rows(&alice, "EXECUTE p(0)").await.unwrap(), kind.names());
    let salaries = rows(&alice, "PREPARE s AS SELECT salary FROM people").await;
    assert_eq!(salaries.is_ok(), kind.salaries().is_some());
}

#[tokio::test]
async fn each_execution_is_decided_anew() {
    let world = world();
    world.rules.select("alice", "people", Decision::permit());
    let alice = world.session("alice").await;
    rows(&alice, "PREPARE p AS SELECT count(*) FROM people").await.unwrap();
    assert_eq!(rows(&alice, "EXECUTE p").await.unwrap(), ["6"]);
    world.rules.select("alice", "people", analyst());
    assert_eq!(rows(&alice, "EXECUTE p").await.unwrap(), ["3"]);
    world.rules.select("alice", "people", Decision::deny());
    assert_eq!(rows(&alice, "EXECUTE p").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(last(&world).1, [("people".to_owned(), "denied")]);
    world.rules.select("alice", "people", Decision::permit());
    assert_eq!(rows(&alice, "EXECUTE p()").await.unwrap(), ["6"]);
}

#[tokio::test]
async fn an_execution_is_on_record_with_the_statement_and_its_tables_and_without_values() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    let alice = world.session("alice").await;
    rows(&alice, "PREPARE p (BIGINT) AS SELECT name FROM people WHERE id = $1 AND name <> 'nobody'").await.unwrap();
    rows(&alice, "EXECUTE p(4711)").await.unwrap();
    let (statement, tables) = last(&world);
    assert_eq!(statement, "EXECUTE p(?) AS SELECT name FROM people WHERE id = $1 AND name <> ?");
    assert_eq!(tables, [("people".to_owned(), "restricted")]);
    let events = world.trail.events.lock();
    let columns: Vec<_> = events.last().unwrap().tables[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["id", "name", "segment"]);
    let intents = events.iter().filter(|event| matches!(event.kind, EventKind::Intent)).count();
    assert_eq!((intents, events.len()), (2, 4), "an intent and an effect each");
}

#[tokio::test]
async fn names_belong_to_one_session_and_tell_nobody_else() {
    let world = world();
    let (root, other, alice) = (world.session("root").await, world.session("root").await, world.session("alice").await);
    rows(&root, "PREPARE mine AS SELECT 1").await.unwrap();
    for session in [&other, &alice] {
        for sql in ["EXECUTE mine", "DEALLOCATE mine", "DEALLOCATE PREPARE mine"] {
            let known = rows(session, sql).await.unwrap_err();
            let unknown = rows(session, &sql.replace("mine", "nosuch")).await.unwrap_err();
            assert_eq!(known.kind(), ErrorKind::NotFound);
            assert_eq!(known.message().replace("mine", "nosuch"), unknown.message());
        }
        rows(session, "PREPARE mine AS SELECT 2").await.unwrap();
        assert_eq!(rows(session, "EXECUTE mine").await.unwrap(), ["2"]);
    }
    assert_eq!(rows(&root, "EXECUTE mine").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn a_name_is_taken_until_it_is_given_back() {
    let session = world().session("alice").await;
    rows(&session, "PREPARE p AS SELECT 1").await.unwrap();
    assert_eq!(rows(&session, "PREPARE P AS SELECT 2").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    rows(&session, "PREPARE \"P\" AS SELECT 3").await.unwrap();
    assert_eq!(rows(&session, "EXECUTE P").await.unwrap(), ["1"]);
    assert_eq!(rows(&session, "EXECUTE \"P\"").await.unwrap(), ["3"]);
    rows(&session, "DEALLOCATE p").await.unwrap();
    rows(&session, "PREPARE p AS SELECT 4").await.unwrap();
    rows(&session, "DEALLOCATE ALL").await.unwrap();
    for name in ["p", "\"P\""] {
        assert_eq!(rows(&session, &format!("EXECUTE {name}")).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[rstest]
#[case::literal("PREPARE p AS SELECT $1 + 1", "EXECUTE p(41)", "42")]
#[case::expression("PREPARE p AS SELECT $1 + $2", "EXECUTE p(40 + 1, abs(-1))", "42")]
#[case::same_value_twice("PREPARE p AS SELECT $1 * $2", "EXECUTE p(2, 2)", "4")]
#[case::without_brackets("PREPARE p AS SELECT $1 + 1", "EXECUTE p 41", "42")]
#[case::question_marks("PREPARE p(VARCHAR, VARCHAR) AS SELECT ? || ?", "EXECUTE p('a', 'b')", "ab")]
#[case::cast_to_the_declared_type("PREPARE p(DATE) AS SELECT $1", "EXECUTE p('2024-02-29')", "2024-02-29")]
#[case::null("PREPARE p(INT) AS SELECT $1 IS NULL", "EXECUTE p(NULL)", "true")]
#[case::now("PREPARE p AS SELECT $1 > to_timestamp(0)", "EXECUTE p(now())", "true")]
#[case::as_in_text("PREPARE p(DECIMAL(4, 1)) AS SELECT $1 AS \"as\"", "EXECUTE p(1.25)", "1.3")]
#[case::semicolon("PREPARE p AS SELECT 1;", "EXECUTE p;", "1")]
#[tokio::test]
async fn values_are_constants(#[case] prepare: &str, #[case] execute: &str, #[case] expected: &str) {
    let session = world().session("alice").await;
    rows(&session, prepare).await.unwrap();
    assert_eq!(rows(&session, execute).await.unwrap(), [expected]);
    let shape = session.describe(execute).await.unwrap();
    let planned = session.plan(Statement::new(execute)).await.unwrap();
    assert_eq!(shape.kind, StatementKind::Query);
    assert_eq!(shape.schema.field(0).data_type(), planned.schema().field(0).data_type());
}

#[rstest]
#[case::too_few("EXECUTE p(1)")]
#[case::too_many("EXECUTE p(1, 2, 3)")]
#[case::none("EXECUTE p")]
#[case::not_of_the_type("EXECUTE p(1, 'one')")]
#[case::a_column("EXECUTE p(1, id)")]
#[case::a_subquery("EXECUTE p(1, (SELECT 1))")]
#[case::a_table("EXECUTE p(1, (SELECT max(id) FROM people))")]
#[case::a_missing_table("EXECUTE p(1, (SELECT max(id) FROM poeple))")]
#[case::random("EXECUTE p(1, random())")]
#[tokio::test]
async fn other_values_are_refused(#[case] execute: &str) {
    let session = world().session("root").await;
    rows(&session, "PREPARE p(INT, INT) AS SELECT $1 + $2").await.unwrap();
    assert_eq!(rows(&session, "EXECUTE p(1, 2)").await.unwrap(), ["3"]);
    let refused = rows(&session, execute).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
}

#[tokio::test]
async fn what_cannot_run_is_not_kept() {
    let session = world().session("root").await;
    for (sql, kind) in [
        ("PREPARE p AS SELECT nosuch FROM people", ErrorKind::InvalidInput),
        ("PREPARE p AS SELEC 1", ErrorKind::InvalidInput),
        ("PREPARE p AS SELECT 1; SELECT 2", ErrorKind::InvalidInput),
        ("PREPARE p(INT, INT) AS SELECT $1", ErrorKind::InvalidInput),
        ("PREPARE p AS DELETE FROM people", ErrorKind::Unsupported),
        ("PREPARE p AS SELECT 1 FROM people FOR UPDATE", ErrorKind::Unsupported),
    ] {
        let refused = rows(&session, sql).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{sql}: {refused}");
        assert_eq!(rows(&session, "EXECUTE p").await.unwrap_err().kind(), ErrorKind::NotFound, "{sql}");
    }
    let planned = session.plan(Statement::new("PREPARE p AS SELECT 1")).await.unwrap();
    assert!(rows(&session, "EXECUTE p").await.is_err(), "nothing is kept before it runs");
    planned.run().await.unwrap();
    assert_eq!(rows(&session, "EXECUTE p").await.unwrap(), ["1"]);
}

#[tokio::test]
async fn changes_are_prepared_too_and_denied_when_they_are_made() {
    let world = world();
    let alice = world.session("alice").await;
    rows(&alice, "CREATE TABLE scratch.t (a BIGINT, b VARCHAR)").await.unwrap();
    rows(&alice, "PREPARE add(BIGINT, VARCHAR) AS INSERT INTO scratch.t VALUES ($1, $2)").await.unwrap();
    assert_eq!(rows(&alice, "EXECUTE add(1, 'x')").await.unwrap(), ["1"]);
    assert_eq!(alice.describe("EXECUTE add(1, 'x')").await.unwrap().kind, StatementKind::Update);
    rows(&alice, "EXECUTE add(2, NULL)").await.unwrap();
    assert_eq!(rows(&alice, "SELECT * FROM scratch.t ORDER BY a").await.unwrap(), ["1|x", "2|NULL"]);
    world.rules.select("alice", "people", Decision::permit());
    world.rules.insert("alice", "orders");
    rows(&alice, "PREPARE fill AS INSERT INTO orders SELECT id, id AS person, 1.0 FROM people").await.unwrap();
    world.rules.select("alice", "people", Decision::deny());
    assert_eq!(rows(&alice, "EXECUTE fill").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(rows(&world.session("root").await, "SELECT count(*) FROM orders").await.unwrap(), ["5"]);
}

#[tokio::test]
async fn values_of_an_execution_can_be_parameters_themselves() {
    let session = world().session("root").await;
    rows(&session, "PREPARE p AS SELECT name FROM people WHERE id = $1").await.unwrap();
    let shape = session.describe("EXECUTE p(?)").await.unwrap();
    assert_eq!(shape.parameters.fields().len(), 1);
    let id: arrow::array::ArrayRef = std::sync::Arc::new(Int64Array::from(vec![3]));
    let row = RecordBatch::try_from_iter([("1", id)]).unwrap();
    let planned = session.plan(Statement::new("EXECUTE p(?)").with_parameters(row.clone())).await.unwrap();
    let batches = planned.run().await.unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().flat_map(text_rows).collect::<Vec<_>>(), ["cid"]);
    let prepare = Statement::new("PREPARE q AS SELECT $1").with_parameters(row);
    assert_eq!(session.plan(prepare).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn names_mean_what_they_mean_when_a_statement_is_executed() {
    let world = world();
    let root = world.session("root").await;
    rows(&root, "CREATE TABLE scratch.people AS SELECT 'elsewhere' AS name").await.unwrap();
    rows(&root, "PREPARE p AS SELECT min(name) FROM people").await.unwrap();
    assert_eq!(rows(&root, "EXECUTE p").await.unwrap(), ["ann"]);
    rows(&root, "SET schema = 'scratch'").await.unwrap();
    assert_eq!(rows(&root, "EXECUTE p").await.unwrap(), ["elsewhere"]);
}
