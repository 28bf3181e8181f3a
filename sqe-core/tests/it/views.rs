//! Views: what they show to whom, what is told of them, and who may define them.

use rstest::rstest;
use sqe_core::{Action, Decision, ErrorKind, engine::ListingRequest, predicate::Mask};

use crate::people::{Kind, NAME, World, restricted, world};

/// `scratch.v` of people, and `scratch.w` of `v`, both owned by root, which alice may read.
async fn viewed(query: &str) -> World {
    let world = world();
    world.rows("root", &format!("CREATE VIEW scratch.v AS {query}")).await.unwrap();
    world.rows("root", "CREATE VIEW scratch.w AS SELECT * FROM scratch.v").await.unwrap();
    for view in ["v", "w"] {
        world.rules.select("alice", view, Decision::permit());
    }
    world
}

#[rstest]
#[case::plain("SELECT {c} AS c FROM people")]
#[case::qualified("SELECT p.{c} AS c FROM lake.app.people AS p")]
#[case::subquery("SELECT c FROM (SELECT id, {c} AS c FROM people) WHERE id > 0")]
#[case::aggregate("SELECT max({c}) AS c FROM people GROUP BY id")]
#[case::window("SELECT first_value({c}) OVER (PARTITION BY id ORDER BY id) AS c FROM people")]
#[case::union("SELECT {c} AS c FROM people UNION SELECT {c} FROM people")]
#[case::join("SELECT a.{c} AS c FROM people AS a JOIN people AS b ON a.id = b.id")]
#[case::cte("WITH x AS (SELECT {c} AS c FROM people) SELECT c FROM x")]
#[case::lateral("SELECT l.{c} AS c FROM people p, LATERAL (SELECT q.{c} FROM people q WHERE q.id = p.id) l")]
#[tokio::test]
async fn each_restriction_holds_below_views(
    #[case] query: &str,
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
    #[values("v", "w")] view: &str,
) {
    let names = viewed(&query.replace("{c}", "name")).await;
    let salaries = viewed(&query.replace("{c}", "salary")).await;
    let sql = format!("SELECT c FROM scratch.{view}");
    let all = ["ann", "bob", "cid", "dee", "eve", "hidden"];
    assert_eq!(names.sorted("root", &sql).await.unwrap(), all, "{query}");
    for world in [&names, &salaries] {
        world.rules.select("alice", "people", kind.decision());
    }
    if kind == Kind::Deny {
        let denied = names.rows("alice", &sql).await.unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied, "{denied}");
        assert!(!denied.message().contains("people"), "{denied}");
        return;
    }
    assert_eq!(names.sorted("alice", &sql).await.unwrap(), kind.names(), "{query}");
    match kind.salaries() {
        Some(seen) => assert_eq!(salaries.sorted("alice", &sql).await.unwrap(), seen, "{query}"),
        None => {
            let error = salaries.rows("alice", &sql).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
            assert!(!error.message().contains("salary"), "{error}");
        }
    }
    let explained = names.rows("alice", &format!("EXPLAIN {sql}")).await.unwrap_err();
    assert_eq!(explained.kind(), ErrorKind::PermissionDenied, "its text is not alice's to know: {explained}");
    for known in ["v", "w"] {
        names.rules.permit("alice", known, Action::Describe);
    }
    let plan = names.rows("alice", &format!("EXPLAIN {sql}")).await.unwrap().join("\n");
    assert!(plan.contains("SecurityBarrierExec") && !plan.contains("GrantedScanExec"), "{plan}");
}

/// A star is one of what a person sees, in the order in which they see it.
#[tokio::test]
async fn a_star_in_a_view_is_the_readers() {
    let world = viewed("SELECT * FROM people WHERE id = 1").await;
    world.rules.select("alice", "people", Kind::Together.decision());
    let sql = "SELECT * FROM scratch.w";
    assert_eq!(world.rows("root", sql).await.unwrap(), ["1|ann|BUILDING|10|11-1111|1970-01-01"]);
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["1|nn|BUILDING|11-1111|1970-01-01"]);
    let left = ["id", "name", "segment", "phone", "born"];
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'w'";
    assert_eq!(world.rows("alice", columns).await.unwrap(), left);
    let described = world.rows("alice", "DESCRIBE scratch.w").await.unwrap();
    assert_eq!(described.iter().map(|row| row.split('|').next().unwrap()).collect::<Vec<_>>(), left);
    let listed = world.session("alice").await.tables(&ListingRequest::default()).await.unwrap();
    let listed = listed.iter().find(|table| table.name.table == "w").unwrap();
    assert_eq!(listed.table_type, "VIEW");
    assert_eq!(listed.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), left);
    assert_eq!(world.rows("root", columns).await.unwrap().len(), 6);
}

#[tokio::test]
async fn a_view_lends_nobody_what_they_may_not_read_and_names_it_to_nobody() {
    let world = viewed("SELECT total FROM secrets WHERE person = 4242").await;
    for sql in
        ["SELECT * FROM scratch.v", "SELECT 1 FROM scratch.w", "SELECT count(*) FROM scratch.v, orders WHERE false"]
    {
        world.rules.select("alice", "orders", Decision::permit());
        let error = world.rows("alice", sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{sql}: {error}");
        for secret in ["secrets", "4242", "total", "person"] {
            assert!(!error.message().contains(secret), "{sql} tells {secret}: {error}");
        }
    }
    assert!(world.rows("alice", "DESCRIBE scratch.v").await.is_err());
    let views = "SELECT table_name, view_definition FROM information_schema.views ORDER BY 1";
    assert_eq!(world.rows("alice", views).await.unwrap(), ["v|NULL", "w|NULL"]);
    let own = world.rows("root", views).await.unwrap();
    assert_eq!(own, ["v|SELECT total FROM secrets WHERE person = 4242", "w|SELECT * FROM scratch.v"]);
    // Who may describe both is told what is missing, and where.
    world.rules.permit("alice", "v", Action::Describe);
    world.rules.permit("alice", "w", Action::Describe);
    let told = world.rows("alice", "SELECT * FROM scratch.w").await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::NotFound);
    assert!(told.message().contains("in view lake.scratch.v") && told.message().contains("secrets"), "{told}");
    assert_eq!(world.rows("mallory", "SELECT * FROM scratch.v").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(world.rows("mallory", "SHOW VIEWS").await.unwrap().is_empty());
    assert_eq!(world.rows("alice", "SHOW VIEWS").await.unwrap(), ["lake|scratch|v|VIEW", "lake|scratch|w|VIEW"]);
    world.rules.select("alice", "secrets", Decision::permit());
    assert!(world.rows("alice", "SELECT * FROM scratch.w").await.unwrap().is_empty());
}

/// Between a view of which a person may know the text and one of which they may not stands what the first says.
#[tokio::test]
async fn of_views_on_views_the_outermost_secret_one_hides_what_is_below() {
    let world = viewed("SELECT total FROM secrets").await;
    world.rules.permit("alice", "w", Action::Describe);
    let error = world.rows("alice", "SELECT * FROM scratch.w").await.unwrap_err();
    assert!(error.message().contains("scratch.v") && !error.message().contains("secrets"), "{error}");
    let explained = world.rows("root", "EXPLAIN SELECT * FROM scratch.w").await.unwrap();
    assert!(explained.join("\n").contains("secrets"), "root owns both");
    world.rules.select("alice", "secrets", Decision::permit());
    let explained = world.rows("alice", "EXPLAIN SELECT * FROM scratch.w").await.unwrap_err();
    assert_eq!(explained.kind(), ErrorKind::PermissionDenied);
    assert!(explained.message().contains("scratch.v"), "{explained}");
    let policy = world.rows("alice", "EXPLAIN POLICY SELECT * FROM scratch.w").await.unwrap_err();
    assert_eq!(policy.kind(), ErrorKind::PermissionDenied, "{policy}");
    let policy = world.rows("root", "EXPLAIN POLICY SELECT * FROM scratch.w").await.unwrap();
    let names: Vec<&str> = policy.iter().map(|row| row.split('|').next().unwrap()).collect();
    assert_eq!(names, ["lake.scratch.w", "lake.scratch.v", "lake.app.secrets"]);
}

/// Restrictions on the view itself cannot be carried out exactly.
#[tokio::test]
async fn a_view_of_which_policy_holds_back_a_part_is_refused() {
    let world = viewed("SELECT id, name FROM people").await;
    world.rules.select("alice", "people", Decision::permit());
    assert_eq!(world.rows("alice", "SELECT count(*) FROM scratch.v").await.unwrap(), ["6"]);
    world.rules.select("alice", "v", restricted(|held| held.masks.extend([(NAME, Mask::KeepLast(1))])));
    for sql in ["SELECT * FROM scratch.v", "SELECT id FROM scratch.w", "DESCRIBE scratch.w"] {
        assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::PermissionDenied, "{sql}");
    }
}

#[tokio::test]
async fn the_trail_names_the_views_and_the_tables_below_with_their_columns() {
    let world = viewed("SELECT 1 AS a").await;
    world.rows("root", "CREATE OR REPLACE VIEW scratch.v AS SELECT name FROM people WHERE salary > 10").await.unwrap();
    world.rules.select("alice", "people", Kind::Mask.decision());
    let before = world.trail.events.lock().len();
    world.rows("alice", "SELECT * FROM scratch.w").await.unwrap();
    let events = world.trail.events.lock();
    let read: Vec<String> = (events[before].tables.iter())
        .map(|access| {
            let columns: Vec<_> = access.columns.iter().map(|column| column.name.as_str()).collect();
            let (table, verdict, state) = (&access.table.name.table, access.verdict.as_str(), access.snapshot.unwrap());
            format!("{table} {state} {} {verdict} {}", access.action, columns.join(","))
        })
        .collect();
    assert_eq!(read, ["w 1 select permitted ", "v 2 select permitted ", "people 1 select restricted name,salary"]);
}

#[tokio::test]
async fn names_in_a_view_are_those_of_its_creator() {
    let world = world();
    world.rows("root", "CREATE VIEW scratch.v AS SELECT count(*) AS n FROM people").await.unwrap();
    let session = world.session("root").await;
    session.query("USE scratch").await.unwrap().collect().await.unwrap();
    let batches = session.query("SELECT n FROM v").await.unwrap().collect().await.unwrap();
    assert_eq!(batches.iter().flat_map(crate::people::text_rows).collect::<Vec<_>>(), ["6"]);
}

#[tokio::test]
async fn columns_can_be_named_beside_the_view() {
    let world = world();
    world.rows("root", "CREATE VIEW scratch.v (a, \"B c\") AS SELECT id, name FROM people -- two\n").await.unwrap();
    assert_eq!(world.rows("root", "SELECT \"B c\" FROM scratch.v WHERE a = 2").await.unwrap(), ["bob"]);
    let fewer = world.rows("root", "CREATE VIEW scratch.x (a) AS SELECT id, name FROM people").await.unwrap_err();
    assert_eq!(fewer.kind(), ErrorKind::InvalidInput, "{fewer}");
}

#[tokio::test]
async fn who_creates_a_view_may_read_what_it_reads() {
    let world = world();
    let create = "CREATE VIEW scratch.v AS SELECT name FROM people";
    assert_eq!(world.rows("alice", create).await.unwrap_err().kind(), ErrorKind::NotFound);
    world.rules.discover("alice", "people");
    assert_eq!(world.rows("alice", create).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    world.rules.select("alice", "people", Kind::Filter.decision());
    assert_eq!(world.rows("mallory", create).await.unwrap_err().kind(), ErrorKind::NotFound, "no right to create");
    assert_eq!(world.rows("alice", "SELECT * FROM scratch.v").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.rows("alice", create).await.unwrap();
    assert_eq!(world.sorted("alice", "SELECT * FROM scratch.v").await.unwrap(), Kind::Filter.names());
    assert_eq!(world.rows("alice", create).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    world.rows("alice", "CREATE VIEW IF NOT EXISTS scratch.v AS SELECT 1 AS a").await.unwrap();
    assert_eq!(world.sorted("alice", "SELECT * FROM scratch.v").await.unwrap(), Kind::Filter.names());
}

#[tokio::test]
async fn a_view_is_replaced_by_who_may_alter_it_and_stays_its_owners() {
    let world = viewed("SELECT 1 AS a").await;
    let replace = "CREATE OR REPLACE VIEW scratch.v AS SELECT 2 AS a, 3 AS b";
    assert_eq!(world.rows("alice", replace).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(world.rows("mallory", replace).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.rows("alice", "SELECT * FROM scratch.w").await.unwrap(), ["1"]);
    world.rules.permit("alice", "v", Action::Alter);
    world.rows("alice", replace).await.unwrap();
    assert_eq!(world.rows("alice", "SELECT * FROM scratch.w").await.unwrap(), ["2|3"]);
    let mine = world.rows("root", "SELECT view_definition FROM information_schema.views WHERE table_name = 'v'").await;
    assert_eq!(mine.unwrap(), ["SELECT 2 AS a, 3 AS b"]);
    assert_eq!(world.rows("alice", "DROP VIEW scratch.v").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(world.rows("mallory", "DROP VIEW scratch.v").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.rows("root", "DROP VIEW scratch.v").await.unwrap();
    assert_eq!(world.rows("root", "SELECT * FROM scratch.v").await.unwrap_err().kind(), ErrorKind::NotFound);
    let left = world.rows("alice", "SELECT * FROM scratch.w").await.unwrap_err();
    assert_eq!(left.kind(), ErrorKind::PermissionDenied, "{left}");
    assert_eq!(world.rows("root", "DROP VIEW scratch.v").await.unwrap_err().kind(), ErrorKind::NotFound);
    world.rows("root", "DROP VIEW IF EXISTS scratch.v").await.unwrap();
}

#[rstest]
#[case("DROP TABLE scratch.v", ErrorKind::InvalidInput)]
#[case("DROP VIEW scratch.t", ErrorKind::InvalidInput)]
#[case("CREATE OR REPLACE VIEW scratch.t AS SELECT 1 AS a", ErrorKind::InvalidInput)]
#[case("CREATE TABLE scratch.v (a INT)", ErrorKind::AlreadyExists)]
#[case("CREATE TABLE scratch.v AS SELECT 1 AS a", ErrorKind::AlreadyExists)]
#[case("INSERT INTO scratch.v VALUES (1)", ErrorKind::InvalidInput)]
#[case("SELECT * FROM scratch.v FOR VERSION AS OF 1", ErrorKind::InvalidInput)]
#[case("CREATE VIEW scratch.x AS SELECT $1 AS a", ErrorKind::Unsupported)]
#[case("CREATE VIEW scratch.x AS SELECT 1 AS a WHERE 1 = ?", ErrorKind::Unsupported)]
#[case("CREATE VIEW information_schema.x AS SELECT 1 AS a", ErrorKind::PermissionDenied)]
#[case("CREATE OR REPLACE VIEW scratch.v AS SELECT * FROM scratch.w", ErrorKind::InvalidInput)]
#[case("CREATE OR REPLACE VIEW scratch.v AS SELECT * FROM scratch.v", ErrorKind::InvalidInput)]
#[case("CREATE VIEW scratch.x AS SELECT 1 AS a; SELECT 2", ErrorKind::InvalidInput)]
#[case("CREATE VIEW scratch.x (a) AS SELECT 1) AS x, (SELECT 2", ErrorKind::InvalidInput)]
#[tokio::test]
async fn tables_and_views_are_not_taken_for_one_another_and_views_are_queries(
    #[case] sql: &str,
    #[case] kind: ErrorKind,
) {
    let world = viewed("SELECT 1 AS a").await;
    world.rows("root", "CREATE TABLE scratch.t AS SELECT 5 AS a").await.unwrap();
    let error = world.rows("root", sql).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{sql}: {error}");
    assert_eq!(world.rows("root", "SELECT a FROM scratch.w").await.unwrap(), ["1"]);
    assert_eq!(world.rows("root", "SELECT a FROM scratch.t").await.unwrap(), ["5"]);
}

/// Two replacements at the same time can make what neither of them would.
#[tokio::test]
async fn views_that_read_one_another_are_refused_and_can_be_mended() {
    let world = viewed("SELECT 1 AS a").await;
    let definition = |sql: &str| sqe_core::catalog::ViewDefinition::new(sql, "lake", "app");
    world.lake.redefine("scratch", "v", definition("SELECT * FROM scratch.w"));
    for sql in ["SELECT * FROM scratch.v", "SELECT * FROM scratch.w", "DESCRIBE scratch.w"] {
        let error = world.rows("root", sql).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.message().contains("reads itself"), "{error}");
    }
    assert_eq!(world.rows("root", "SHOW VIEWS").await.unwrap().len(), 2);
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'scratch'";
    assert_eq!(world.rows("root", columns).await.unwrap(), ["0"]);
    world.rows("root", "CREATE OR REPLACE VIEW scratch.v AS SELECT 2 AS a").await.unwrap();
    assert_eq!(world.rows("root", "SELECT * FROM scratch.w").await.unwrap(), ["2"]);
}

/// What other engines may have put into a catalog.
#[rstest]
#[case::a_change("DROP TABLE people")]
#[case::an_insert("INSERT INTO people SELECT * FROM people")]
#[case::two("SELECT 1 AS a; SELECT 2 AS a")]
#[case::nothing("")]
#[case::a_parameter("SELECT $1 AS a")]
#[case::an_explanation("EXPLAIN SELECT 1")]
#[case::a_show("SHOW TABLES")]
#[case::a_hint("SELECT * FROM people /*! UNION SELECT * FROM secrets */ x y")]
#[tokio::test]
async fn a_text_that_is_no_query_does_nothing(#[case] text: &str) {
    let world = viewed("SELECT 1 AS a").await;
    world.lake.redefine("scratch", "v", sqe_core::catalog::ViewDefinition::new(text, "lake", "app"));
    for person in ["root", "alice"] {
        let row = sqe_core::engine::Statement::new("SELECT * FROM scratch.w");
        assert!(world.session(person).await.plan(row).await.is_err(), "{person}");
    }
    assert_eq!(world.rows("root", "SELECT count(*) FROM people").await.unwrap(), ["6"]);
}

#[tokio::test]
async fn views_on_views_are_bounded_and_what_doubles_is_refused() {
    let world = world();
    world.rows("root", "CREATE VIEW scratch.v0 AS SELECT id FROM people").await.unwrap();
    let mut deepest = 0;
    let error = loop {
        let create = format!("CREATE VIEW scratch.v{} AS SELECT id FROM scratch.v{deepest}", deepest + 1);
        match world.rows("root", &create).await {
            Ok(_) => deepest += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert!((8..32).contains(&deepest), "{deepest}");
    assert_eq!(world.rows("root", &format!("SELECT count(*) FROM scratch.v{}", deepest - 1)).await.unwrap(), ["6"]);
    world.rows("root", "CREATE VIEW scratch.d0 AS SELECT id FROM people").await.unwrap();
    let wide = |at: usize| {
        let joined: Vec<String> = (0..20).map(|i| format!("scratch.d{at} AS t{i}")).collect();
        format!("CREATE VIEW scratch.d{} AS SELECT t0.id FROM {}", at + 1, joined.join(", "))
    };
    let refused =
        [world.rows("root", &wide(0)).await, world.rows("root", &wide(1)).await, world.rows("root", &wide(2)).await];
    let refused = refused.into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
}

/// Lists ask for the columns of views, and views may ask for lists.
#[tokio::test]
async fn a_view_of_lists_is_listed() {
    let world = world();
    world
        .rows("root", "CREATE VIEW scratch.v AS SELECT table_name, column_name FROM information_schema.columns")
        .await
        .unwrap();
    let rows = world.rows("root", "SELECT column_name FROM scratch.v WHERE table_name = 'v'").await.unwrap();
    assert_eq!(rows, ["table_name", "column_name"]);
    world.rules.select("alice", "v", Decision::permit());
    let rows = world.rows("alice", "SELECT table_name FROM scratch.v").await.unwrap();
    assert_eq!(rows, ["v", "v"], "it lists what its reader sees");
}

#[tokio::test]
async fn outages_below_a_view_are_told_as_such() {
    let world = viewed("SELECT name FROM people").await;
    world.rules.select("alice", "people", Decision::permit());
    *world.lake.outage.lock() = true;
    for sql in ["SELECT * FROM scratch.w", "SELECT * FROM information_schema.columns"] {
        assert_eq!(world.rows("alice", sql).await.unwrap_err().kind(), ErrorKind::Unavailable, "{sql}");
    }
    *world.lake.outage.lock() = false;
    assert_eq!(world.rows("alice", "SELECT count(*) FROM scratch.w").await.unwrap(), ["6"]);
}

#[tokio::test]
async fn prepared_statements_read_views_as_they_are_when_they_run() {
    let world = viewed("SELECT 1 AS a").await;
    let session = world.session("alice").await;
    let run = async |sql: &str| {
        let batches = session.query(sql).await.unwrap().collect().await.unwrap();
        batches.iter().flat_map(crate::people::text_rows).collect::<Vec<_>>()
    };
    run("PREPARE p AS SELECT a FROM scratch.w").await;
    assert_eq!(run("EXECUTE p").await, ["1"]);
    world.rows("root", "CREATE OR REPLACE VIEW scratch.v AS SELECT 2 AS a").await.unwrap();
    assert_eq!(run("EXECUTE p").await, ["2"]);
    world.rules.select("alice", "v", Decision::deny());
    assert_eq!(session.query("EXECUTE p").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}
