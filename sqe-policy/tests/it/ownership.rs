//! Who creates a table may use it, if the policy that says so is loaded.

use sqe_core::{Action, ColumnType, Identity, Principal, predicate::Mask};
use sqe_policy::cedar::OWNERSHIP_POLICY;

use crate::world::{alice, bob, engine, field, may, reading, table};

const OWN: [Action; 6] =
    [Action::Discover, Action::Describe, Action::Select, Action::Insert, Action::Alter, Action::Drop];

fn tables() -> (sqe_core::policy::TableFacts, sqe_core::policy::TableFacts) {
    let mine = table("lake", "scratch", "t", &[("a", ColumnType::Text), ("b", ColumnType::Integer)]);
    (mine.clone().with_owner(Some(alice().principal)), mine)
}

#[test]
fn an_owner_uses_the_table_and_nobody_else_does() {
    let engine = engine(OWNERSHIP_POLICY);
    let (mine, ownerless) = tables();
    for action in OWN {
        assert!(may(&engine, &alice(), action, &mine), "{action}");
        assert!(!may(&engine, &bob(), action, &mine), "{action}");
        assert!(!may(&engine, &alice(), action, &ownerless), "{action}");
    }
    for action in [Action::Update, Action::Delete, Action::ReadMetadata] {
        assert!(!may(&engine, &alice(), action, &mine), "{action}");
    }
    assert!(reading(&engine, &alice(), &mine).unwrap().is_none());
}

#[test]
fn without_the_policy_an_owner_has_nothing() {
    let engine = engine("");
    for action in OWN {
        assert!(!may(&engine, &alice(), action, &tables().0), "{action}");
    }
}

#[test]
fn the_same_subject_of_another_issuer_is_not_the_owner() {
    let engine = engine(OWNERSHIP_POLICY);
    let namesake = Identity::new(Principal::new("https://elsewhere.example", "alice")).with_groups(["analyst"]);
    assert!(!may(&engine, &namesake, Action::Select, &tables().0));
    assert!(may(&engine, &alice(), Action::Select, &tables().0));
}

#[test]
fn masks_and_forbids_hold_for_owners_too() {
    let engine = engine(&format!(
        "{OWNERSHIP_POLICY}
        permit (principal, action == Action::\"mask_null\", resource == Column::\"lake.scratch.t.a\");
        forbid (principal, action == Action::\"select\", resource == Column::\"lake.scratch.t.b\");"
    ));
    let (mine, _) = tables();
    let restrictions = reading(&engine, &alice(), &mine).unwrap();
    assert_eq!(restrictions.masks, [(field(&mine, "a"), Mask::Null)].into());
    assert_eq!(restrictions.hidden, [field(&mine, "b")].into());
}
