//! EXPLAIN in all its forms, and what was decided.

use rstest::rstest;
use sqe_core::{Decision, ErrorKind, predicate::Mask};

use crate::people::{Kind, NAME, PHONE, analyst, restricted, world};

#[rstest]
#[case::words("EXPLAIN FORMAT TREE SELECT id, name FROM people WHERE id > 1", "physical_plan")]
#[case::brackets("EXPLAIN (FORMAT tree, VERBOSE) SELECT id, name FROM people WHERE id > 1", "physical_plan")]
#[case::json("EXPLAIN FORMAT PGJSON SELECT id, name FROM people WHERE id > 1", "logical_plan")]
#[case::graphviz("EXPLAIN FORMAT GRAPHVIZ SELECT id, name FROM people WHERE id > 1", "logical_plan")]
#[tokio::test]
async fn other_formats_draw_one_plan_and_nothing_that_policy_holds_back(#[case] sql: &str, #[case] kind: &str) {
    let world = world();
    world.rules.select("alice", "people", analyst());
    for person in ["alice", "root"] {
        let rows = world.rows(person, sql).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].starts_with(&format!("{kind}|")) && rows[0].contains("people"), "{}", rows[0]);
        for secret in ["BUILDING", "KeepLast", "salary", "coalesce", "Opaque", "4242"] {
            let shown = person == "root" && secret == "Opaque" && kind == "physical_plan";
            assert_eq!(rows[0].contains(secret), shown, "{sql} shows {secret}: {}", rows[0]);
        }
    }
    let mallory = world.rows("mallory", sql).await.unwrap_err();
    assert_eq!(mallory.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_tree_ends_at_the_barrier() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    let sql = "EXPLAIN FORMAT TREE SELECT * FROM people";
    let restricted = world.rows("alice", sql).await.unwrap().join("\n");
    assert!(restricted.contains("SecurityBarrierExec") && restricted.contains("lake.app.people"), "{restricted}");
    assert!(!restricted.contains("┬"), "nothing stands below: {restricted}");
    let open = world.rows("root", sql).await.unwrap().join("\n");
    assert!(open.contains("GrantedScanExec") && open.contains("┬"), "{open}");
    let wide = format!("EXPLAIN FORMAT TREE {}", vec!["SELECT id FROM people"; 65].join(" UNION ALL "));
    assert_eq!(world.rows("root", &wide).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(world.rows("root", &wide.replace("FORMAT TREE", "")).await.is_ok());
}

#[rstest]
#[tokio::test]
async fn decisions_are_told_as_far_as_they_show_anyway(
    #[values(Kind::Filter, Kind::Mask, Kind::Hidden, Kind::Together, Kind::Deny)] kind: Kind,
    #[values("EXPLAIN POLICY", "EXPLAIN (POLICY)")] explain: &str,
) {
    let world = world();
    world.rules.select("alice", "people", kind.decision());
    world.rules.discover("alice", "people");
    let sql = format!("{explain} SELECT p.name FROM people p JOIN people q ON p.id = q.id WHERE p.name = 'x'");
    let expected = match kind {
        Kind::Filter => "restricted|true|[]",
        Kind::Mask => "restricted|false|[name]",
        Kind::Hidden => "restricted|false|[]",
        Kind::Together => "restricted|true|[name]",
        Kind::Deny => "denied|false|[]",
    };
    assert_eq!(world.rows("alice", &sql).await.unwrap(), [format!("lake.app.people|select|{expected}|NULL")]);
    assert_eq!(world.rows("root", &sql).await.unwrap(), ["lake.app.people|select|permitted|false|[]|NULL"]);
    let events = world.trail.events.lock();
    assert_eq!(events.len(), 4, "told on record");
    assert_eq!(events[0].tables[0].verdict.as_str(), expected.split('|').next().unwrap());
}

#[tokio::test]
async fn decisions_about_tables_that_may_not_be_known_are_told_to_nobody() {
    let world = world();
    world.rules.select("alice", "people", analyst());
    world.rules.discover("alice", "orders");
    let all = "EXPLAIN POLICY SELECT 1 FROM people, orders, secrets";
    let hidden = world.rows("alice", all).await.unwrap_err();
    let missing = world.rows("alice", &all.replace("secrets", "nosuch")).await.unwrap_err();
    assert_eq!(hidden.kind(), ErrorKind::NotFound, "although orders is denied");
    assert_eq!(hidden.message().replace("secrets", "nosuch"), missing.message());
    let known = world.rows("alice", "EXPLAIN POLICY SELECT 1 FROM people, orders").await.unwrap();
    assert_eq!(known.len(), 2);
    assert!(known.contains(&"lake.app.orders|select|denied|false|[]|NULL".to_owned()), "{known:?}");
    assert!(world.rows("alice", "EXPLAIN POLICY SELECT 1").await.unwrap().is_empty());
    *world.rules.outage.lock() = true;
    let outage = world.rows("alice", "EXPLAIN POLICY SELECT 1 FROM people").await.unwrap_err();
    assert_eq!(outage.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn policies_are_named_if_their_engine_lets_people_know() {
    let world = world();
    let sql = "EXPLAIN POLICY SELECT name FROM people";
    let decision = || restricted(|held| held.masks.extend([(PHONE, Mask::Null), (NAME, Mask::Null)]));
    world.rules.select("alice", "people", decision());
    assert_eq!(world.rows("alice", sql).await.unwrap(), ["lake.app.people|select|restricted|false|[name, phone]|NULL"]);
    world.rules.select("alice", "people", decision().explainable());
    assert_eq!(
        world.rows("alice", sql).await.unwrap(),
        ["lake.app.people|select|restricted|false|[name, phone]|[rule]"]
    );
    assert_eq!(Decision::permit().digest(), Decision::permit().decided_by(Vec::new(), "").digest());
    assert_ne!(Decision::permit().digest(), Decision::permit().explainable().digest());
}

#[tokio::test]
async fn an_explanation_of_a_decision_announces_its_columns() {
    let world = world();
    let session = world.session("root").await;
    for sql in ["EXPLAIN POLICY SELECT 1 FROM people", "EXPLAIN FORMAT TREE SELECT 1", "SHOW ALL", "SHOW schema"] {
        let shape = session.describe(sql).await.unwrap();
        assert_eq!(shape.schema, session.query(sql).await.unwrap().schema(), "{sql}");
    }
}
