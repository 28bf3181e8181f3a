//! Attacks on views, older states and recursive expressions, by people who write any SQL and put any text into a view.

use std::time::Duration;

use rstest::rstest;
use sqe_core::{Decision, ErrorKind, catalog::ViewDefinition, engine::Limits};

use crate::people::{Kind, NAME, World, restricted, world, world_with};

fn text(sql: &str) -> ViewDefinition {
    ViewDefinition::new(sql, "lake", "app")
}

/// `scratch.v` of the text, and `scratch.w` of `v`, root's, which alice may read and not describe, and `scratch.mine`, to
/// which alice may add.
async fn defined(sql: &str) -> World {
    let world = world();
    for statement in [
        "CREATE VIEW scratch.v AS SELECT 1 AS c",
        "CREATE VIEW scratch.w AS SELECT * FROM scratch.v",
        "CREATE TABLE scratch.mine (c BIGINT)",
    ] {
        world.rows("root", statement).await.unwrap();
    }
    for view in ["v", "w", "people"] {
        world.rules.select("alice", view, Decision::permit());
    }
    world.rules.insert("alice", "mine");
    world.lake.redefine("scratch", "v", text(sql));
    world
}

/// What fails while it is optimised, planned or run is told in words that cite it.
#[rstest]
#[case::folded("SELECT CAST('sesame' AS BIGINT) AS c FROM people")]
#[case::cast("SELECT CAST('sesame' || name AS BIGINT) AS c FROM people")]
#[case::format("SELECT CAST(to_timestamp(name, 'sesame') AS BIGINT) AS c FROM people")]
#[case::part("SELECT date_part('sesame', born) AS c FROM people")]
#[case::encoding("SELECT length(encode(name, 'sesame')) AS c FROM people")]
#[case::frame("SELECT sum(id) OVER (ORDER BY id ROWS BETWEEN 4242 FOLLOWING AND 1 PRECEDING) AS c FROM people")]
#[case::percentile("SELECT approx_percentile_cont(id, 4242) AS c FROM people")]
#[case::date("SELECT date_part('year', make_date(id, 4242, 4242)) AS c FROM people")]
#[case::time("SELECT CAST(TIMESTAMP '4242-sesame' AS BIGINT) AS c")]
#[case::column("SELECT grouping(sesame.id) AS c FROM people AS sesame")]
#[case::parse("SELECT sesame FROM people WHERE FROM 4242")]
#[case::bind("SELECT sesame AS c FROM people WHERE id = 4242")]
#[case::state("SELECT id AS c FROM people FOR VERSION AS OF 4242")]
#[case::no_time("SELECT id AS c FROM people FOR TIMESTAMP AS OF 'sesame'")]
#[tokio::test]
async fn failures_in_a_view_tell_nothing_of_its_text(#[case] sql: &str) {
    let world = defined(sql).await;
    for statement in [
        "SELECT * FROM scratch.w",
        "SELECT max(c) FROM scratch.v",
        "EXPLAIN SELECT * FROM scratch.w",
        "EXPLAIN ANALYZE SELECT * FROM scratch.w",
        "EXPLAIN POLICY SELECT * FROM scratch.w",
        "DESCRIBE scratch.w",
        "INSERT INTO scratch.mine SELECT c FROM scratch.v",
        "CREATE TABLE scratch.copy AS SELECT * FROM scratch.w",
        "CREATE VIEW scratch.own AS SELECT c + 1 AS c FROM scratch.w",
        "SELECT c FROM scratch.own",
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'scratch'",
        "SELECT * FROM information_schema.views",
    ] {
        let shown = match world.rows("alice", statement).await {
            Ok(rows) => rows.join("\n"),
            Err(error) => error.message().to_owned(),
        };
        for secret in ["sesame", "4242", "people", "born"] {
            assert!(!shown.contains(secret), "{statement} tells {secret}: {shown}");
        }
        assert!(!statement.contains("scratch.w") || !shown.contains("scratch.v"), "what w reads is its text: {shown}");
    }
    let failed = world.rows("alice", "SELECT * FROM scratch.w").await.unwrap_err();
    assert!(failed.message().contains("view lake.scratch."), "{failed}");
    let own = world.rows("root", "SELECT * FROM scratch.w").await.unwrap_err();
    assert!(!own.message().contains("may not describe"), "its owner is told what it is: {own}");
}

/// A statement without secret views keeps its own words, also beside views that may be described.
#[tokio::test]
async fn failures_beside_views_that_may_be_described_are_told() {
    let world = defined("SELECT id AS c FROM people").await;
    let sql = "SELECT CAST('sesame' || c AS BIGINT) FROM scratch.w";
    let told = world.rows("root", sql).await.unwrap_err();
    assert!(told.message().contains("sesame1"), "{told}");
    let hidden = world.rows("alice", sql).await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::InvalidInput);
    assert!(hidden.message().contains("look at its"), "{hidden}");
    let misspelt = world.rows("alice", "SELECT d FROM scratch.w").await.unwrap_err();
    assert!(misspelt.message().contains("w.c"), "what a statement names is told as ever: {misspelt}");
}

/// Views may hide what they read, not from the trail.
#[tokio::test]
async fn the_trail_names_everything_that_a_failing_statement_stood_for() {
    let world = defined("SELECT s.id AS c FROM secrets AS s, orders AS o, people AS p").await;
    let before = world.trail.events.lock().len();
    for sql in [
        "SELECT * FROM scratch.w",
        "EXPLAIN POLICY SELECT * FROM scratch.w",
        "CREATE TABLE scratch.x AS SELECT * FROM scratch.w",
    ] {
        let _ = world.rows("alice", sql).await;
    }
    world.rows("alice", "INSERT INTO scratch.mine SELECT c FROM scratch.w").await.unwrap_err();
    let events = world.trail.events.lock();
    let read = |event: &sqe_core::audit::AuditEvent| -> Vec<String> {
        let one =
            |access: &sqe_core::audit::TableAccess| format!("{} {}", access.table.name.table, access.verdict.as_str());
        event.tables.iter().filter(|access| access.table.name.table != "x").map(one).collect()
    };
    let all = ["w permitted", "v permitted", "orders denied", "people permitted", "secrets denied"];
    let seen: Vec<_> = events[before..].iter().map(read).filter(|read| !read.is_empty()).collect();
    assert!(seen.len() >= 3 && seen.iter().all(|read| read.iter().take(5).eq(all.iter())), "{seen:?}");
}

#[rstest]
#[case::a_schema_of_lists("SELECT table_name AS c FROM tables", "lake", "information_schema", true)]
#[case::no_catalog("SELECT id AS c FROM people", "", "", false)]
#[case::another_catalog("SELECT id AS c FROM people", "nowhere", "app", false)]
#[case::letters("SELECT id AS c FROM people", "LAKE", "APP", false)]
#[case::quotes("SELECT id AS c FROM people", "la\"ke", "a.b", false)]
#[case::itself("SELECT c FROM w", "lake", "scratch", false)]
#[case::shadowed("WITH people AS (SELECT 5 AS id) SELECT id AS c FROM people", "lake", "nowhere", true)]
#[case::brackets("SELECT id AS c FROM people) AS x, (SELECT 1", "lake", "app", false)]
#[case::a_write("INSERT INTO scratch.mine VALUES (1)", "lake", "app", false)]
#[case::a_view("CREATE VIEW scratch.evil AS SELECT 1 AS c", "lake", "app", false)]
#[case::settings("SET TIME ZONE '+05:00'", "lake", "app", false)]
#[case::deep("SELECT ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1", "lake", "app", false)]
#[tokio::test]
async fn whatever_a_definition_says_it_is_a_query_of_governed_tables(
    #[case] sql: &str,
    #[case] catalog: &str,
    #[case] schema: &str,
    #[case] answers: bool,
) {
    let world = defined("SELECT 1 AS c").await;
    world.lake.redefine("scratch", "v", ViewDefinition::new(sql, catalog, schema));
    for person in ["root", "alice"] {
        let rows = world.rows(person, "SELECT c FROM scratch.w").await;
        assert_eq!(rows.is_ok(), answers, "{person}: {rows:?}");
        assert!(!rows.iter().flatten().any(|row| row == "secrets" && person == "alice"), "{rows:?}");
        assert!(!world.rows(person, "SHOW VIEWS").await.unwrap().is_empty());
    }
    assert_eq!(world.rows("root", "SELECT count(*) FROM scratch.mine").await.unwrap(), ["0"]);
    assert_eq!(world.rows("root", "SELECT count(*) FROM people").await.unwrap(), ["6"]);
}

/// A restriction holds under the view's name, whatever the statement calls like it.
#[tokio::test]
async fn names_like_a_views_do_not_take_its_place() {
    let world = defined("SELECT name AS c FROM people").await;
    world.rules.select("alice", "people", restricted(|held| held.hidden.extend([NAME])));
    for sql in [
        "WITH people AS (SELECT 'x' AS name) SELECT c FROM scratch.v, people",
        "WITH v AS (SELECT 'x' AS c) SELECT v.c FROM scratch.v AS v",
        "SELECT c FROM scratch.v AS people",
    ] {
        assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied, "{sql}");
        world.rows("root", sql).await.unwrap();
    }
    let sql = "WITH v AS (SELECT 'x' AS c) SELECT c FROM v";
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["x"], "that one is the statement's own");
}

/// A view and what it reads change between two statements; a plan is what it was when it was decided.
#[tokio::test]
async fn a_planned_statement_reads_the_view_that_was_decided_about() {
    let world = defined("SELECT id AS c FROM people WHERE id = 1").await;
    let session = world.session("alice").await;
    let planned = session.plan(sqe_core::engine::Statement::new("SELECT c FROM scratch.w")).await.unwrap();
    world.lake.redefine("scratch", "v", text("SELECT id AS c FROM secrets"));
    let batches = planned.run().await.unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().flat_map(crate::people::text_rows).collect::<Vec<_>>(), ["1"]);
    assert_eq!(world.rows("alice", "SELECT c FROM scratch.w").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// Depth is counted along the shortest way, which a statement can make one.
#[tokio::test]
async fn a_long_way_beside_a_short_one_is_refused() {
    const VIEWS: usize = 490;
    let world = world();
    for at in 0..VIEWS {
        world.rows("root", &format!("CREATE VIEW scratch.v{at:03} AS SELECT 1 AS id")).await.unwrap();
        let below = match at + 1 == VIEWS {
            true => "SELECT id FROM app.people".to_owned(),
            false => format!("SELECT id FROM v{:03} WHERE id < {at}", at + 1),
        };
        world.lake.redefine("scratch", &format!("v{at:03}"), ViewDefinition::new(below, "lake", "scratch"));
    }
    let all: Vec<String> = (0..VIEWS).map(|at| format!("SELECT id FROM scratch.v{at:03}")).collect();
    let refused = world.rows("root", &all.join(" UNION ALL ")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    assert_eq!(world.rows("root", "SELECT count(*) FROM scratch.v480").await.unwrap(), ["6"]);
}

/// Each of them is what one statement may be; all together are not.
#[tokio::test]
async fn views_do_not_pile_up_what_one_statement_may_stand_for() {
    let world = world();
    world.rows("root", "CREATE VIEW scratch.v0 AS SELECT id FROM people").await.unwrap();
    let tall = |below: usize| {
        let mut sql = format!("WITH c0 AS (SELECT id FROM scratch.v{below})");
        for at in 1..150 {
            sql.push_str(&format!(", c{at} AS (SELECT id FROM c{} WHERE random() < 2)", at - 1));
        }
        format!("CREATE VIEW scratch.v{} AS {sql} SELECT id FROM c149", below + 1)
    };
    world.rows("root", &tall(0)).await.unwrap();
    assert_eq!(world.rows("root", "SELECT count(*) FROM scratch.v1").await.unwrap(), ["6"]);
    let mut refused = None;
    for below in 1..12 {
        refused = world.rows("root", &tall(below)).await.err();
        if refused.is_some() {
            break;
        }
    }
    assert_eq!(refused.unwrap().kind(), ErrorKind::InvalidInput);
}

/// What is bound is looked at in between: nobody has to wait for all of it.
#[tokio::test]
async fn binding_many_views_ends_at_the_deadline() {
    let world = world_with(|builder| {
        let mut limits = Limits::default();
        limits.deadline = Duration::from_millis(1);
        builder.limits(limits)
    });
    let many = world_with(|builder| builder);
    for world in [&world, &many] {
        for at in 0..40 {
            let wide: Vec<String> = (0..400).map(|i| format!("{i} + {at} AS c{i}")).collect();
            world.lake.view("scratch", &format!("v{at}"), text(&format!("SELECT {}", wide.join(", "))));
            world.rules.select("root", &format!("v{at}"), Decision::permit());
        }
    }
    let joined: Vec<String> = (0..40).map(|at| format!("(SELECT c0 FROM scratch.v{at})")).collect();
    let sql = joined.join(" UNION ALL ");
    assert_eq!(many.rows("root", &sql).await.unwrap().len(), 40);
    assert_eq!(world.rows("root", &sql).await.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
}

/// One view that asks for too much is no reason to list nothing.
#[tokio::test]
async fn a_view_that_needs_too_much_is_listed_and_hides_no_other() {
    let world = defined("SELECT id AS c FROM people FOR TIMESTAMP AS OF repeat('x', 1000000000)").await;
    let sql = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'scratch'";
    assert_eq!(world.rows("root", sql).await.unwrap(), ["mine"]);
    assert_eq!(world.rows("alice", "SHOW VIEWS").await.unwrap().len(), 2);
    world.rows("root", "SELECT * FROM scratch.w").await.unwrap_err();
}

/// Every list is made once a statement.
#[tokio::test]
async fn views_of_lists_are_not_lists_of_lists() {
    let world = world();
    for at in 0..12 {
        let sql = format!("SELECT {at} AS at, column_name FROM information_schema.columns WHERE table_name = 'v{at}'");
        world.rows("root", &format!("CREATE VIEW scratch.v{at} AS {sql}")).await.unwrap();
    }
    let all: Vec<String> = (0..12).map(|at| format!("SELECT * FROM scratch.v{at}")).collect();
    let rows = world.rows("root", &all.join(" UNION ALL ")).await.unwrap();
    assert_eq!(rows.len(), 24);
}

#[rstest]
#[case("CREATE VIEW scratch.x (x, y) AS SELECT 1 AS a, 2 AS \"A\"", "1|2")]
#[case("CREATE VIEW scratch.x (\"Who\") AS SELECT 1 AS \"Name\"", "1")]
#[case("CREATE VIEW scratch.x (n) AS SELECT count(*) FROM people -- all", "6")]
#[case("CREATE VIEW scratch.x (\"a\"\"\"\"b\") AS SELECT 1 AS \"a.b\"", "1")]
#[case("CREATE VIEW scratch.x (a) AS VALUES (1)", "1")]
#[tokio::test]
async fn columns_are_called_by_their_place(#[case] create: &str, #[case] row: &str) {
    let world = world();
    world.rows("root", create).await.unwrap();
    assert_eq!(world.rows("root", "SELECT * FROM scratch.x").await.unwrap(), [row]);
    let described = world.rows("root", "DESCRIBE scratch.x").await.unwrap();
    assert_eq!(described.len(), row.split('|').count());
    if create.contains("a\"\"\"\"b") {
        assert!(described[0].starts_with("a\"\"b|"), "{described:?}");
    }
}

#[tokio::test]
async fn a_view_that_nobody_could_read_is_not_made() {
    let world = world();
    let twice = "CREATE VIEW scratch.x AS SELECT p.id, q.id FROM people p, people q";
    assert_eq!(world.rows("root", twice).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let named = twice.replace("q.id FROM", "q.id AS other FROM");
    world.rows("root", &named).await.unwrap();
    assert_eq!(world.rows("root", "SELECT count(other) FROM scratch.x").await.unwrap(), ["36"]);
}

/// Two views whose names differ in what stands for a quote.
#[tokio::test]
async fn a_name_with_quotes_is_its_own_views() {
    let world = world();
    world.rows("root", "CREATE VIEW scratch.\"a\"\"b\" AS SELECT 1 AS one").await.unwrap();
    world.rows("root", "CREATE VIEW scratch.\"a\"\"\"\"b\" AS SELECT 2 AS two").await.unwrap();
    assert_eq!(world.rows("root", "DESCRIBE scratch.\"a\"\"\"\"b\"").await.unwrap(), ["two|BIGINT|NO"]);
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'scratch' ORDER BY 1";
    assert_eq!(world.rows("root", columns).await.unwrap(), ["one", "two"]);
}

#[rstest]
#[case::its_mark(
    "WITH \"people FOR VERSION AS OF 1\" AS (SELECT 5 AS id) SELECT count(*) FROM people FOR VERSION AS OF 1"
)]
#[case::inside(
    "SELECT (WITH \"people FOR VERSION AS OF 1\" AS (SELECT 5) SELECT count(*) FROM people FOR VERSION AS OF 1)"
)]
#[case::around(
    "WITH \"people FOR VERSION AS OF 1\" AS (SELECT 5 AS id) SELECT count(*) FROM (SELECT id FROM people FOR VERSION AS OF 1)"
)]
#[case::two("SELECT count(*) FROM people FOR VERSION AS OF 1 AS a JOIN people FOR VERSION AS OF 1 AS b ON a.id = b.id")]
#[tokio::test]
async fn no_expression_is_taken_for_an_older_state(#[case] sql: &str) {
    let world = world();
    world
        .rows("root", "INSERT INTO people SELECT id + 100, name, segment, salary, phone, born FROM people")
        .await
        .unwrap();
    assert_eq!(world.rows("root", sql).await.unwrap(), ["6"]);
    world.rules.select("alice", "people", Kind::Filter.decision());
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["3"]);
    let view = format!("CREATE VIEW scratch.v AS {sql}");
    world.rows("root", &view).await.unwrap();
    world.rules.select("alice", "v", Decision::permit());
    assert_eq!(world.rows("alice", "SELECT * FROM scratch.v").await.unwrap(), ["3"]);
}

/// What stands around the parts of a union, which the planner leaves out.
#[rstest]
#[case(
    "WITH RECURSIVE n AS (SELECT id FROM people UNION ALL SELECT id FROM orders ORDER BY id LIMIT 2) SELECT sum(id) FROM n",
    "2"
)]
#[case(
    "WITH RECURSIVE n AS (WITH m AS (SELECT 7 AS id) SELECT id FROM m UNION ALL SELECT id FROM m) SELECT sum(id) FROM n",
    "14"
)]
#[case(
    "WITH RECURSIVE n (a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 3), m (b) AS (SELECT a FROM n UNION SELECT a FROM n ORDER BY a DESC LIMIT 1) SELECT sum(b) FROM m",
    "3"
)]
#[case(
    "WITH RECURSIVE n (a) AS (SELECT 1 UNION ALL (SELECT a + 1 FROM n WHERE a < 9 ORDER BY a LIMIT 1)) SELECT sum(a) FROM n",
    "45"
)]
#[case(
    "WITH RECURSIVE n (b, a) AS (SELECT 1 AS a, 10 AS b UNION ALL SELECT b + 1, a FROM n WHERE b < 3) SELECT sum(b) * 100 + sum(a) FROM n",
    "630"
)]
#[case(
    "WITH RECURSIVE n (a, b) AS (SELECT 1, 5 UNION ALL SELECT a + 1 AS b, b AS a FROM n WHERE a < 3) SELECT sum(a) * 100 + sum(b) FROM n",
    "615"
)]
#[case(
    "WITH RECURSIVE a (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a WHERE x < 3), b (y) AS (SELECT x FROM a UNION ALL SELECT y + 10 FROM b WHERE y < 20) SELECT sum(y) FROM b",
    "108"
)]
#[tokio::test]
async fn recursive_expressions_answer_with_what_was_asked_for(#[case] sql: &str, #[case] answer: &str) {
    let world = world();
    assert_eq!(world.rows("root", sql).await.unwrap(), [answer]);
    world.rows("root", &format!("CREATE VIEW scratch.v AS {sql}")).await.unwrap();
    assert_eq!(world.rows("root", "SELECT * FROM scratch.v").await.unwrap(), [answer]);
}

#[rstest]
#[case("SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 9 LIMIT 5")]
#[case("SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 9 ORDER BY 1")]
#[case("SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 9 FETCH FIRST 1 ROWS ONLY")]
#[case("SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 9 |> LIMIT 1")]
#[case("WITH m AS (SELECT 1 AS a) SELECT a FROM m UNION ALL SELECT a + 1 FROM n WHERE a < 9")]
#[tokio::test]
async fn what_the_planner_would_leave_out_of_a_recursion_is_refused(#[case] inner: &str) {
    let sql = format!("WITH RECURSIVE n AS ({inner}) SELECT count(*) FROM n");
    let refused = world().rows("root", &sql).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
}
