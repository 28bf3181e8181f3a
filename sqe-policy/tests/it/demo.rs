//! The demo's own policy files, person by person.

use sqe_core::{
    Action, ColumnType, Resource,
    predicate::{CompareOp, Mask, RowPredicate, Value},
};
use sqe_policy::CedarPolicy;

use crate::world::{alice, bob, customer, decide, field, mallory, may, reading, table};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sqe-server/demo/policies");

fn demo() -> CedarPolicy {
    CedarPolicy::from_dir(POLICIES).unwrap()
}

fn schema(name: &str) -> Resource {
    Resource::Schema { catalog: "lake".into(), schema: name.into() }
}

#[test]
fn alice_reads_building_customers_with_masked_phones_and_without_balances() {
    let customer = customer();
    let restrictions = reading(&demo(), &alice(), &customer).unwrap();
    let segment = field(&customer, "c_mktsegment");
    assert_eq!(
        restrictions.filter,
        Some(RowPredicate::compare(segment, CompareOp::Eq, Value::Text("BUILDING".into())))
    );
    assert_eq!(restrictions.hidden, [field(&customer, "c_acctbal")].into());
    assert_eq!(restrictions.masks, [(field(&customer, "c_phone"), Mask::KeepLast(4))].into());
}

#[test]
fn alice_reads_the_other_tables_of_tpch_unrestricted() {
    let orders = table("lake", "tpch", "orders", &[("o_orderkey", ColumnType::Integer)]);
    assert!(reading(&demo(), &alice(), &orders).unwrap().is_none());
    assert!(may(&demo(), &alice(), Action::Discover, &orders));
    assert!(!may(&demo(), &alice(), Action::Insert, &orders));
    assert!(!may(&demo(), &alice(), Action::Drop, &orders));
    assert!(!may(&demo(), &alice(), Action::ReadMetadata, &orders));
}

#[test]
fn the_supplier_table_does_not_exist_for_alice_and_does_for_bob() {
    let supplier = table("lake", "tpch", "supplier", &[("s_suppkey", ColumnType::Integer)]);
    for action in [Action::Discover, Action::Describe, Action::Select, Action::ReadMetadata] {
        assert!(!may(&demo(), &alice(), action, &supplier), "{action}");
        assert!(may(&demo(), &bob(), action, &supplier), "{action}");
    }
}

#[test]
fn alice_sees_the_catalog_and_her_schemas_and_creates_only_in_scratch() {
    let demo = demo();
    let can = |action, resource| decide(&demo, &alice(), action, resource).is_permit();
    assert!(can(Action::Discover, Resource::Catalog("lake".into())));
    assert!(can(Action::Discover, schema("tpch")));
    assert!(can(Action::Discover, schema("scratch")));
    assert!(can(Action::Create, schema("scratch")));
    assert!(!can(Action::Create, schema("tpch")));
    assert!(!can(Action::Create, Resource::Catalog("lake".into())));
    assert!(!can(Action::Drop, schema("scratch")));
    assert!(!can(Action::Discover, schema("other")));
}

#[test]
fn alice_uses_and_drops_her_own_scratch_tables_and_no_others() {
    let demo = demo();
    let mine = table("lake", "scratch", "mine", &[("a", ColumnType::Text)]).with_owner(Some(alice().principal));
    let theirs = table("lake", "scratch", "theirs", &[("a", ColumnType::Text)]).with_owner(Some(bob().principal));
    let ownerless = table("lake", "scratch", "ownerless", &[("a", ColumnType::Text)]);
    for action in [Action::Discover, Action::Describe, Action::Select, Action::Insert, Action::Drop] {
        assert!(may(&demo, &alice(), action, &mine), "{action}");
        assert!(!may(&demo, &alice(), action, &theirs), "{action}");
        assert!(!may(&demo, &alice(), action, &ownerless), "{action}");
        assert!(!may(&demo, &mallory(), action, &mine), "{action}");
    }
    assert!(reading(&demo, &alice(), &mine).unwrap().is_none());
}

#[test]
fn bob_reads_everything_unrestricted_and_changes_nothing() {
    let demo = demo();
    let trail = table("system", "audit", "access", &[("query_id", ColumnType::Text)]);
    for table in [customer(), trail] {
        assert!(reading(&demo, &bob(), &table).unwrap().is_none());
        assert!(may(&demo, &bob(), Action::Discover, &table));
        assert!(may(&demo, &bob(), Action::Describe, &table));
        for action in [Action::Insert, Action::Update, Action::Delete, Action::Drop, Action::Alter] {
            assert!(!may(&demo, &bob(), action, &table), "{action}");
        }
    }
    for catalog in ["lake", "system"] {
        assert!(decide(&demo, &bob(), Action::Discover, Resource::Catalog(catalog.into())).is_permit());
    }
}

#[test]
fn the_audit_trail_is_closed_to_alice_and_open_to_bob() {
    let trail = table("system", "audit", "access", &[("query_id", ColumnType::Text)]);
    for action in [Action::Discover, Action::Describe, Action::Select] {
        assert!(!may(&demo(), &alice(), action, &trail), "{action}");
        assert!(may(&demo(), &bob(), action, &trail), "{action}");
    }
    assert!(!decide(&demo(), &alice(), Action::Discover, Resource::Catalog("system".into())).is_permit());
}

#[test]
fn mallory_is_permitted_nothing() {
    let demo = demo();
    let can = |action, resource| decide(&demo, &mallory(), action, resource).is_permit();
    for action in [Action::Discover, Action::Describe, Action::Select, Action::Insert, Action::Drop] {
        assert!(!may(&demo, &mallory(), action, &customer()), "{action}");
    }
    for action in [Action::Discover, Action::Create, Action::Drop] {
        assert!(!can(action, schema("scratch")), "{action}");
        assert!(!can(action, Resource::Catalog("lake".into())), "{action}");
    }
}

#[test]
fn a_decision_names_the_policies_and_the_snapshot_behind_it() {
    let demo = demo();
    let decision = decide(&demo, &alice(), Action::Select, Resource::Table(customer()));
    assert_eq!(
        decision.policies,
        [
            "analysts-read-tpch",
            "analysts-see-building-customers",
            "analysts-see-four-digits",
            "analysts-see-no-balance"
        ]
    );
    assert_eq!(decision.snapshot, demo.snapshot());
    let supplier = table("lake", "tpch", "supplier", &[]);
    let denial = decide(&demo, &alice(), Action::Discover, Resource::Table(supplier));
    assert_eq!(denial.policies, ["analysts-know-no-suppliers"]);
}

#[test]
fn describing_a_table_hides_the_columns_that_reading_it_hides() {
    let customer = customer();
    let described = decide(&demo(), &alice(), Action::Describe, Resource::Table(customer.clone()));
    assert_eq!(described.restrictions().unwrap().hidden, [field(&customer, "c_acctbal")].into());
}

#[test]
fn the_demo_carries_the_shipped_ownership_policy() {
    let file = std::fs::read_to_string(format!("{POLICIES}/ownership.cedar")).unwrap();
    assert_eq!(file, sqe_policy::cedar::OWNERSHIP_POLICY);
}
