//! What statements answer.

use std::sync::Arc;

use arrow::{array::Int64Array, record_batch::RecordBatch};
use rstest::rstest;
use sqe_core::{
    Decision, ErrorKind,
    engine::{Statement, StatementKind},
};

use crate::people::{analyst, text_rows, world};

fn row(values: &[i64]) -> RecordBatch {
    let column = |value: &i64| Arc::new(Int64Array::from(vec![*value])) as arrow::array::ArrayRef;
    RecordBatch::try_from_iter(values.iter().enumerate().map(|(index, value)| (index.to_string(), column(value))))
        .unwrap()
}

#[tokio::test]
async fn the_announced_schema_is_that_of_the_batches() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    for sql in [
        "SELECT * FROM people",
        "SELECT count(*) c, max(phone) FROM people",
        "SELECT id + 1 AS next, 'x' AS x, NULL AS n FROM people",
        "SHOW TABLES",
        "DESCRIBE people",
        "EXPLAIN SELECT 1",
    ] {
        let session = world.session("alice").await;
        let shape = session.describe(sql).await.unwrap();
        let planned = session.plan(Statement::new(sql)).await.unwrap();
        let schema = planned.schema();
        let names = |schema: &arrow::datatypes::Schema| {
            schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&shape.schema), names(&schema), "{sql}");
        let stream = planned.run().await.unwrap();
        assert_eq!(stream.schema(), schema);
        for batch in stream.collect().await.unwrap() {
            assert_eq!(batch.schema(), schema, "{sql}");
        }
    }
}

#[tokio::test]
async fn parameters_are_bound_by_position() {
    let world = world();
    let session = world.session("root").await;
    for sql in ["SELECT name FROM people WHERE id = $1", "SELECT name FROM people WHERE id = ?"] {
        let shape = session.describe(sql).await.unwrap();
        assert_eq!(shape.parameters.fields().len(), 1, "{sql}");
        assert_eq!(shape.parameters.field(0).data_type(), &arrow::datatypes::DataType::Int64);
        let planned = session.plan(Statement::new(sql).with_parameters(row(&[3]))).await.unwrap();
        let batches = planned.run().await.unwrap().collect().await.unwrap();
        assert_eq!(batches.iter().flat_map(text_rows).collect::<Vec<_>>(), ["cid"]);
        assert_eq!(session.plan(Statement::new(sql)).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let many = Statement::new(sql).with_parameters(row(&[3, 4]));
        assert_eq!(session.plan(many).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn tables_are_created_filled_and_dropped() {
    let world = world();
    let run = async |sql: &str| world.rows("alice", sql).await;
    run("CREATE TABLE scratch.t (a BIGINT NOT NULL, b VARCHAR)").await.unwrap();
    assert_eq!(run("CREATE TABLE scratch.t (a BIGINT)").await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    run("CREATE TABLE IF NOT EXISTS scratch.t (a BIGINT)").await.unwrap();
    assert_eq!(run("INSERT INTO scratch.t VALUES (1, 'x'), (2, NULL)").await.unwrap(), ["2"]);
    assert_eq!(run("INSERT INTO scratch.t (a) SELECT 3").await.unwrap(), ["1"]);
    assert_eq!(run("SELECT a, b FROM scratch.t ORDER BY a").await.unwrap(), ["1|x", "2|NULL", "3|NULL"]);
    assert_eq!(run("INSERT INTO scratch.t SELECT a + 10, b FROM scratch.t").await.unwrap(), ["3"]);
    assert_eq!(run("SELECT count(*) FROM scratch.t").await.unwrap(), ["6"]);
    run("DROP TABLE scratch.t").await.unwrap();
    assert_eq!(run("SELECT * FROM scratch.t").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(run("DROP TABLE scratch.t").await.unwrap_err().kind(), ErrorKind::NotFound);
    run("DROP TABLE IF EXISTS scratch.t").await.unwrap();
    assert_eq!(run("DROP TABLE app.people").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn changes_announce_their_kind_and_answer_with_a_count() {
    let world = world();
    let session = world.session("root").await;
    let insert = "INSERT INTO orders VALUES (9, 9, 1.5)";
    assert_eq!(session.describe(insert).await.unwrap().kind, StatementKind::Update);
    let planned = session.plan(Statement::new(insert)).await.unwrap();
    assert_eq!(planned.kind(), StatementKind::Update);
    drop(planned);
    assert_eq!(world.rows("root", "SELECT count(*) FROM orders").await.unwrap(), ["5"], "planning changes nothing");
    assert_eq!(session.describe("CREATE TABLE scratch.x (a INT)").await.unwrap().kind, StatementKind::Definition);
}

#[tokio::test]
async fn constants_and_table_functions_need_no_table() {
    let world = world();
    assert_eq!(world.rows("mallory", "SELECT 1 + 1, 'a'").await.unwrap(), ["2|a"]);
    assert_eq!(world.rows("mallory", "SELECT count(*) FROM generate_series(1, 10)").await.unwrap(), ["10"]);
    assert_eq!(world.rows("mallory", "SELECT * FROM (VALUES (1), (2)) v(a) ORDER BY a").await.unwrap(), ["1", "2"]);
    let error = world.rows("mallory", "SELECT 1 / 0").await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidInput, "division by zero"));
}

#[tokio::test]
async fn files_and_settings_cannot_be_reached() {
    let world = world();
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM information_schema.df_settings",
        "SET datafusion.catalog.information_schema = true",
        "SHOW datafusion.catalog.information_schema",
    ] {
        let error = world.rows("root", sql).await.unwrap_err();
        let refused = [ErrorKind::NotFound, ErrorKind::Unsupported, ErrorKind::InvalidInput];
        assert!(refused.contains(&error.kind()), "{sql}: {error:?}");
    }
    world.rules.select("x", "people", Decision::permit());
    assert_eq!(world.rows("x", "SELECT count(*) FROM people").await.unwrap(), ["6"]);
}

#[tokio::test]
async fn documents_of_json_are_looked_into() {
    let world = world();
    let run = async |sql: &str| world.rows("alice", sql).await;
    run("CREATE TABLE scratch.docs (id BIGINT, doc VARCHAR)").await.unwrap();
    let values = r#"(1, '{"name": "ann", "tags": ["a", "b"], "n": 3}'), (2, '{"name": "bob", "tags": []}'), (3, 'x'), (4, NULL)"#;
    run(&format!("INSERT INTO scratch.docs VALUES {values}")).await.unwrap();
    for (sql, expected) in [
        ("SELECT doc ->> 'name' FROM scratch.docs ORDER BY id", ["ann", "bob", "NULL", "NULL"].as_slice()),
        ("SELECT doc -> 'tags' -> 1 FROM scratch.docs WHERE doc -> 'n' IS NOT NULL", &["\"b\""]),
        ("SELECT id FROM scratch.docs WHERE doc->>'name' = 'bob'", &["2"]),
        ("SELECT json_get_int(doc, 'n') + 1 FROM scratch.docs d WHERE d.doc -> 'n' = '3'", &["4"]),
        ("SELECT sum(json_length(doc, 'tags')) FROM scratch.docs", &["2"]),
        ("SELECT id FROM scratch.docs WHERE NOT json_valid(doc)", &["3"]),
        ("SELECT unnest(json_object_keys(doc)) FROM scratch.docs WHERE id = 2", &["name", "tags"]),
        ("SELECT upper(doc ->> 'name') FROM scratch.docs WHERE id = 1", &["ANN"]),
    ] {
        assert_eq!(run(sql).await.unwrap(), expected, "{sql}");
    }
    let name = world.session("alice").await.query("SELECT doc ->> 'name' FROM scratch.docs").await.unwrap();
    assert_eq!(name.schema().field(0).name(), "doc ->> 'name'");
}

#[rstest]
#[case("WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 5) SELECT sum(a) FROM n", "15")]
#[case(
    "WITH RECURSIVE n(a, b) AS (SELECT 1, 1 UNION ALL SELECT a + 1, b * 2 FROM n WHERE a < 5) SELECT max(b) FROM n",
    "16"
)]
#[case(
    "WITH RECURSIVE n(a, b) AS (SELECT 1, 1 UNION ALL SELECT a + 1, b * 2 FROM n WHERE a < 5) SELECT a FROM n WHERE b = 16",
    "5"
)]
#[case(
    "WITH RECURSIVE n(a, b) AS (VALUES (1, 'x') UNION ALL SELECT a + 1, b || 'x' FROM n WHERE a < 3) SELECT max(b) FROM n",
    "xxx"
)]
#[case(
    "WITH RECURSIVE n(x) AS (SELECT id FROM people WHERE id = 1 UNION ALL SELECT p.id FROM n JOIN people AS p ON p.id = x + 1) SELECT count(*) FROM n",
    "5"
)]
#[case("WITH RECURSIVE n(a) AS (SELECT 1 UNION SELECT a % 3 + 1 FROM n) SELECT count(*) FROM n", "3")]
#[case(
    "WITH RECURSIVE m(c) AS (SELECT 2), n(a) AS (SELECT c FROM m UNION ALL SELECT a + 1 FROM n WHERE a < 4) SELECT sum(a) FROM n",
    "9"
)]
#[case(
    "WITH RECURSIVE n AS (SELECT 1 AS a, 1 AS b UNION ALL SELECT a + 1, b * 2 FROM n WHERE a < 5) SELECT max(b) FROM n",
    "16"
)]
#[case(
    "WITH RECURSIVE n AS (SELECT 1 AS a, 1 AS b UNION ALL SELECT a + 1, b * 2 FROM n WHERE a < 5) SELECT count(*) FROM n",
    "5"
)]
#[case("WITH RECURSIVE n AS (SELECT 1 AS a UNION SELECT a % 3 + 1 FROM n) SELECT count(*) FROM n", "3")]
#[case("WITH RECURSIVE n AS (SELECT 1 AS a, 7 AS b UNION SELECT a % 3 + 1, b FROM n) SELECT sum(b) FROM n", "21")]
#[case(
    "WITH RECURSIVE n AS (SELECT 1 AS a, 7 AS b UNION ALL SELECT a + 1, b FROM n WHERE a < 3) SELECT sum(b) FROM n WHERE b > 6",
    "21"
)]
#[case(
    "WITH RECURSIVE f(n, a, b) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, b, a + b FROM f WHERE n < 10) SELECT max(a) FROM f",
    "34"
)]
#[case(
    "WITH RECURSIVE r AS (SELECT id, name FROM people WHERE id = 1 UNION ALL SELECT p.id, r.name FROM r, people AS p WHERE p.id = r.id + 1) SELECT count(*) FROM r",
    "5"
)]
#[case(
    "WITH RECURSIVE n(a, b) AS (SELECT 1, 0 UNION SELECT a % 2 + 1, b + 1 FROM n WHERE b < 4) SELECT count(a) FROM n",
    "5"
)]
#[tokio::test]
async fn a_recursive_expression_knows_its_columns(#[case] sql: &str, #[case] answer: &str) {
    assert_eq!(world().rows("root", sql).await.unwrap(), [answer], "{sql}");
}

/// The optimizer would take the table for the expression, and leave out what it needs.
#[tokio::test]
async fn a_recursive_expression_is_not_called_like_the_table_that_it_begins_with() {
    let sql = "WITH RECURSIVE people AS (SELECT id, name FROM lake.app.people WHERE id = 1 UNION ALL SELECT id + 1, name FROM \
               people WHERE id < 3) SELECT count(*) FROM people";
    let error = world().rows("root", sql).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let other = sql.replace("RECURSIVE people", "RECURSIVE n").replace("FROM people", "FROM n");
    assert_eq!(world().rows("root", &other).await.unwrap(), ["3"]);
}

/// What is constant, or equal, below an aggregation by several sets is neither above it.
#[rstest]
#[case(
    "SELECT segment, name, count(*) FROM people WHERE segment = 'AUTO' GROUP BY ROLLUP (segment, name) ORDER BY segment, name",
    &["AUTO|bob|1", "AUTO|hidden|1", "AUTO|NULL|2", "NULL|NULL|2"]
)]
#[case(
    "SELECT p.id, o.person, count(*) FROM people p JOIN orders o ON p.id = o.person WHERE o.id < 4 GROUP BY GROUPING SETS \
     ((p.id), (o.person)) ORDER BY p.id NULLS FIRST, o.person DESC",
    &["NULL|2|1", "NULL|1|2", "1|NULL|2", "2|NULL|1"]
)]
#[case(
    "SELECT grouping(segment) AS g, segment, sum(id) FROM people WHERE segment = 'AUTO' GROUP BY CUBE (segment) ORDER BY segment DESC, g",
    &["1|NULL|44", "0|AUTO|44"]
)]
#[case(
    "SELECT s, max(n) FROM (SELECT segment AS s, name, count(*) AS n FROM people WHERE segment = 'AUTO' GROUP BY ROLLUP (segment, name)) GROUP BY s ORDER BY s",
    &["AUTO|2", "NULL|2"]
)]
#[case(
    "SELECT segment, count(*) FROM people WHERE segment = 'AUTO' GROUP BY ROLLUP (segment) HAVING segment IS NULL OR count(*) > 1 ORDER BY segment NULLS FIRST",
    &["NULL|2", "AUTO|2"]
)]
#[tokio::test]
async fn rows_of_several_grouping_sets_are_ordered_by_what_they_are(#[case] sql: &str, #[case] rows: &[&str]) {
    assert_eq!(world().rows("root", sql).await.unwrap(), rows, "{sql}");
}
