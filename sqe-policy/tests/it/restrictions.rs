//! Hidden columns, masks and row filters, from policies to decisions.

use rstest::rstest;
use sqe_core::{
    Action, Column, ColumnType, FieldId, Resource,
    policy::{Restrictions, TableFacts},
    predicate::{CompareOp, Mask, RowPredicate, Value},
};

use crate::world::{alice, bob, decide, engine, field, may, reading, table};

const ALL: &str = "@id(\"all\") permit (principal, action == Action::\"select\", resource in Schema::\"lake.s\");";

fn facts() -> TableFacts {
    let mut facts = table(
        "lake",
        "s",
        "t",
        &[
            ("id", ColumnType::Integer),
            ("name", ColumnType::Text),
            ("born", ColumnType::Date),
            ("seen", ColumnType::Timestamp),
            ("price", ColumnType::Decimal),
            ("live", ColumnType::Boolean),
            ("ratio", ColumnType::Float),
            ("strict", ColumnType::Integer),
        ],
    );
    facts.columns[7].nullable = false;
    facts
}

fn id(name: &str) -> FieldId {
    field(&facts(), name)
}

/// What alice may read under a policy that permits all and some more.
fn restricted(policies: &str) -> Restrictions {
    reading(&engine(&format!("{ALL}\n{policies}")), &alice(), &facts()).expect("she may read")
}

fn filter(condition: &str) -> Option<RowPredicate> {
    restricted(&format!(
        "forbid (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\") unless {{ {condition} }};"
    ))
    .filter
}

fn compare(column: &str, op: CompareOp, value: Value) -> RowPredicate {
    RowPredicate::compare(id(column), op, value)
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn column(name: &str) -> Box<RowPredicate> {
    Box::new(RowPredicate::Column(id(name)))
}

#[rstest]
#[case("resource.id == 7", compare("id", CompareOp::Eq, Value::Integer(7)))]
#[case("7 < resource.id", compare("id", CompareOp::Gt, Value::Integer(7)))]
#[case("resource.id >= -7", compare("id", CompareOp::GtEq, Value::Integer(-7)))]
#[case("!(resource.id > 7)", compare("id", CompareOp::LtEq, Value::Integer(7)))]
#[case("resource.name != \"x\"", compare("name", CompareOp::NotEq, text("x")))]
#[case("resource.born < datetime(\"1970-01-11\")", compare("born", CompareOp::Lt, Value::Date(10)))]
#[case("resource.born >= datetime(\"1969-12-31\")", compare("born", CompareOp::GtEq, Value::Date(-1)))]
#[case(
    "resource.seen > datetime(\"1970-01-01T00:00:01.500Z\")",
    compare("seen", CompareOp::Gt, Value::Timestamp(1_500_000))
)]
#[case(
    "resource.price.lessThanOrEqual(decimal(\"12.50\"))",
    compare("price", CompareOp::LtEq, Value::Decimal("12.5".into()))
)]
#[case("resource.price == decimal(\"-3.0\")", compare("price", CompareOp::Eq, Value::Decimal("-3".into())))]
#[case("resource.live", RowPredicate::Column(id("live")))]
#[case("!resource.live", RowPredicate::Not(column("live")))]
#[case("resource.live == true", compare("live", CompareOp::Eq, Value::Boolean(true)))]
#[case("resource has ratio", RowPredicate::Not(Box::new(RowPredicate::IsNull(column("ratio")))))]
#[case("!(resource has name)", RowPredicate::IsNull(column("name")))]
#[case(
    "resource.name like \"10%_\\\\of\\*\" || resource.name like \"a*b\"",
    RowPredicate::Or(vec![
        RowPredicate::Like { value: column("name"), pattern: "10\\%\\_\\\\of*".into() },
        RowPredicate::And(vec![
            RowPredicate::Not(Box::new(RowPredicate::Like { value: column("name"), pattern: "10\\%\\_\\\\of*".into() })),
            RowPredicate::Like { value: column("name"), pattern: "a%b".into() },
        ]),
    ])
)]
#[case(
    "[\"a\", \"b\"].contains(resource.name)",
    RowPredicate::In { value: column("name"), list: vec![text("a"), text("b")] }
)]
#[case(
    "resource.id == resource.strict",
    RowPredicate::Compare { op: CompareOp::Eq, left: column("id"), right: column("strict") }
)]
#[case(
    "resource.name == principal.subject && principal.issuer like \"https://*\"",
    compare("name", CompareOp::Eq, text("alice"))
)]
#[case(
    "resource.strict == 1 || resource.strict == 2",
    RowPredicate::Or(vec![
        compare("strict", CompareOp::Eq, Value::Integer(1)),
        compare("strict", CompareOp::Eq, Value::Integer(2)),
    ])
)]
#[case(
    "resource has id && (resource.id == 1 || resource.id == 2)",
    RowPredicate::And(vec![
        RowPredicate::Not(Box::new(RowPredicate::IsNull(column("id")))),
        RowPredicate::Or(vec![
            compare("id", CompareOp::Eq, Value::Integer(1)),
            compare("id", CompareOp::Eq, Value::Integer(2)),
        ]),
    ])
)]
#[case(
    "resource.id == 1 || resource.name == \"x\"",
    RowPredicate::Or(vec![
        compare("id", CompareOp::Eq, Value::Integer(1)),
        RowPredicate::And(vec![
            compare("id", CompareOp::NotEq, Value::Integer(1)),
            compare("name", CompareOp::Eq, text("x")),
        ]),
    ])
)]
#[case(
    "if resource has id then resource.id == 1 else resource.strict == 2",
    RowPredicate::Or(vec![
        RowPredicate::And(vec![
            RowPredicate::Not(Box::new(RowPredicate::IsNull(column("id")))),
            compare("id", CompareOp::Eq, Value::Integer(1)),
        ]),
        RowPredicate::And(vec![
            RowPredicate::IsNull(column("id")),
            compare("strict", CompareOp::Eq, Value::Integer(2)),
        ]),
    ])
)]
fn a_condition_becomes_exactly_this_filter(#[case] condition: &str, #[case] expected: RowPredicate) {
    assert_eq!(filter(condition), Some(expected));
}

#[test]
fn a_condition_that_holds_for_the_person_leaves_no_filter() {
    assert_eq!(filter("principal.subject == \"alice\""), None);
    assert!(restricted("").is_none());
}

#[test]
fn tags_of_the_person_reach_the_filter_and_nobody_elses() {
    let engine = engine(&format!(
        "{ALL} forbid (principal, action == Action::\"select\", resource is Row in Schema::\"lake.s\")
         unless {{ principal.hasTag(\"tenant\") && resource has name && resource.name == principal.getTag(\"tenant\") }};"
    ));
    for tenant in ["one", "two"] {
        let filter = reading(&engine, &alice().with_attribute("tenant", tenant), &facts()).unwrap().filter.unwrap();
        assert!(format!("{filter:?}").contains(tenant));
    }
    assert_eq!(reading(&engine, &alice(), &facts()), None, "without a tenant no row is left");
}

#[test]
fn permits_for_rows_are_joined_and_need_columns_too() {
    let rows = "permit (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\") when { resource.id == 1 };
                permit (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\") when { resource.id == 2 };";
    let columns = "permit (principal, action == Action::\"select\", resource is Column in Table::\"lake.s.t\");";
    assert_eq!(reading(&engine(rows), &alice(), &facts()), None);
    assert_eq!(reading(&engine(columns), &alice(), &facts()), None);
    let both = reading(&engine(&format!("{rows}{columns}")), &alice(), &facts()).unwrap();
    assert_eq!(
        both.filter,
        Some(RowPredicate::Or(vec![
            compare("id", CompareOp::Eq, Value::Integer(1)),
            compare("id", CompareOp::Eq, Value::Integer(2)),
        ]))
    );
}

#[test]
fn columns_may_be_permitted_one_by_one() {
    let engine = engine(
        "permit (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\");
         permit (principal, action == Action::\"select\", resource == Column::\"lake.s.t.name\");",
    );
    let restrictions = reading(&engine, &alice(), &facts()).unwrap();
    assert_eq!(restrictions.hidden.len(), 7);
    assert!(!restrictions.hidden.contains(&id("name")));
    assert_eq!(restrictions.filter, None);
}

#[test]
fn a_permit_on_the_table_alone_covers_its_rows_and_columns() {
    let engine = engine("permit (principal, action == Action::\"select\", resource == Table::\"lake.s.t\");");
    assert!(reading(&engine, &alice(), &facts()).unwrap().is_none());
    assert_eq!(reading(&engine, &alice(), &table("lake", "s", "other", &[("a", ColumnType::Text)])), None);
}

#[test]
fn a_forbid_for_every_row_or_every_column_denies_the_table() {
    for forbid in ["is Row in Table::\"lake.s.t\"", "is Column in Table::\"lake.s.t\"", "== Table::\"lake.s.t\""] {
        let engine = engine(&format!("{ALL} forbid (principal, action == Action::\"select\", resource {forbid});"));
        assert_eq!(reading(&engine, &alice(), &facts()), None, "{forbid}");
        assert!(reading(&engine, &alice(), &table("lake", "s", "u", &[("a", ColumnType::Text)])).is_some());
    }
}

#[test]
fn columns_are_matched_by_field_id_and_by_tag_whatever_their_names() {
    let engine = engine(&format!(
        "{ALL}
         forbid (principal, action == Action::\"select\", resource is Column in Table::\"lake.s.t\") when {{ resource.field_id == 5 }};
         permit (principal, action == Action::\"mask_keyed_hash\", resource is Column in Catalog::\"lake\")
         when {{ resource.tags.contains(\"pii\") && resource.kind == \"text\" }};"
    ));
    let mut facts = facts();
    facts.columns[1].tags.insert("pii".into());
    facts.columns[4].name = "renamed".into();
    let restrictions = reading(&engine, &alice(), &facts).unwrap();
    assert_eq!(restrictions.hidden, [FieldId(5)].into());
    assert_eq!(restrictions.masks, [(FieldId(2), Mask::KeyedHash)].into());
}

#[test]
fn a_protected_column_that_was_renamed_or_dropped_closes_the_table() {
    for policy in [
        "forbid (principal in Group::\"analyst\", action == Action::\"select\", resource == Column::\"lake.s.t.name\");",
        "permit (principal in Group::\"analyst\", action == Action::\"mask_null\", resource == Column::\"lake.s.t.name\");",
    ] {
        let engine = engine(&format!("{ALL} {policy}"));
        let mut renamed = facts();
        renamed.columns[1].name = "nom".into();
        let mut dropped = facts();
        dropped.columns.remove(1);
        assert!(reading(&engine, &alice(), &facts()).is_some());
        for changed in [renamed, dropped] {
            assert_eq!(reading(&engine, &alice(), &changed), None);
            assert!(reading(&engine, &bob(), &changed).is_some(), "whom it does not concern is not hindered");
        }
    }
}

#[test]
fn a_row_condition_that_does_not_fit_the_table_denies_and_a_permit_permits_nothing() {
    let forbid = "forbid (principal, action == Action::\"select\", resource is Row in Schema::\"lake.s\") when { resource.name == \"x\" };";
    let engine = engine(&format!("{ALL} {forbid}"));
    assert!(reading(&engine, &alice(), &facts()).is_some());
    for (what, columns) in [
        ("missing", vec![]),
        ("a number", vec![("name", ColumnType::Integer)]),
        ("opaque", vec![("name", ColumnType::Binary)]),
    ] {
        let other = table("lake", "s", "other", &columns);
        let decision = decide(&engine, &alice(), Action::Select, Resource::Table(other));
        assert!(!decision.is_permit(), "{what}");
    }
    let engine = crate::world::engine(
        "permit (principal, action == Action::\"select\", resource is Row in Schema::\"lake.s\") when { resource.name == \"x\" };
         permit (principal, action == Action::\"select\", resource is Column in Schema::\"lake.s\");",
    );
    assert!(reading(&engine, &alice(), &facts()).is_some());
    assert_eq!(reading(&engine, &alice(), &table("lake", "s", "other", &[("name", ColumnType::Integer)])), None);
}

#[test]
fn a_date_is_not_compared_with_a_time_of_day() {
    let forbid = |moment: &str| {
        engine(&format!(
            "{ALL} forbid (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\")
             when {{ resource.born < datetime(\"{moment}\") }};"
        ))
    };
    assert!(reading(&forbid("2000-01-01"), &alice(), &facts()).is_some());
    assert_eq!(reading(&forbid("2000-01-01T12:00:00Z"), &alice(), &facts()), None);
}

#[test]
fn of_several_masks_the_strictest_wins_and_two_constants_become_null() {
    let mask = |action: &str, annotation: &str| {
        format!(
            "{annotation} permit (principal, action == Action::\"{action}\", resource == Column::\"lake.s.t.name\");"
        )
    };
    let keep = mask("mask_keep_last", "@keep(\"4\")");
    let less = mask("mask_keep_last", "@keep(\"2\")");
    let hash = mask("mask_keyed_hash", "");
    let one = mask("mask_constant", "@value(\"one\")");
    let two = mask("mask_constant", "@value(\"two\")");
    let null = mask("mask_null", "");
    let masked = |policies: &[&String]| {
        restricted(&policies.iter().map(|policy| policy.as_str()).collect::<Vec<_>>().join("\n")).masks[&id("name")]
            .clone()
    };
    assert_eq!(masked(&[&keep]), Mask::KeepLast(4));
    assert_eq!(masked(&[&keep, &less]), Mask::KeepLast(2));
    assert_eq!(masked(&[&hash, &keep]), Mask::KeyedHash);
    assert_eq!(masked(&[&one, &hash]), Mask::Constant(text("one")));
    assert_eq!(masked(&[&one, &two]), Mask::Null);
    assert_eq!(masked(&[&null, &one]), Mask::Null);
}

#[test]
fn a_mask_that_does_not_fit_its_column_hides_the_value() {
    let restrictions = restricted(
        "@keep(\"4\") permit (principal, action == Action::\"mask_keep_last\", resource == Column::\"lake.s.t.id\");
         @value(\"0\") permit (principal, action == Action::\"mask_constant\", resource == Column::\"lake.s.t.strict\");",
    );
    assert_eq!(restrictions.masks, [(id("id"), Mask::Null), (id("strict"), Mask::Constant(Value::Integer(0)))].into());
}

#[test]
fn a_broad_permit_of_all_actions_masks_nothing() {
    let engine = engine("permit (principal in Group::\"auditor\", action, resource in Catalog::\"lake\");");
    assert!(reading(&engine, &bob(), &facts()).unwrap().is_none());
}

#[test]
fn a_hidden_column_needs_no_mask() {
    let restrictions = restricted(
        "forbid (principal, action == Action::\"select\", resource == Column::\"lake.s.t.name\");
         permit (principal, action == Action::\"mask_null\", resource == Column::\"lake.s.t.name\");",
    );
    assert_eq!(restrictions.hidden, [id("name")].into());
    assert!(restrictions.masks.is_empty());
}

#[test]
fn a_mask_may_depend_on_who_asks() {
    let policy = format!(
        "{ALL} permit (principal, action == Action::\"mask_null\", resource == Column::\"lake.s.t.name\")
         unless {{ principal in Role::\"support\" }};"
    );
    let engine = engine(&policy);
    assert_eq!(reading(&engine, &alice(), &facts()).unwrap().masks.len(), 1);
    assert!(reading(&engine, &alice().with_roles(["support"]), &facts()).unwrap().is_none());
}

#[test]
fn permits_to_change_a_table_tell_what_may_not_be_read() {
    let change = "permit (principal, action in [Action::\"insert\", Action::\"update\", Action::\"delete\", Action::\"drop\"], resource is Table);";
    let free = engine(&format!("{ALL} {change}"));
    let held = engine(&format!(
        "{ALL} {change} forbid (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\") when {{ resource.id == 1 }};"
    ));
    let restrictions =
        |engine, action| decide(engine, &alice(), action, Resource::Table(facts())).restrictions().cloned().unwrap();
    for action in [Action::Insert, Action::Update, Action::Delete] {
        assert!(restrictions(&free, action).is_none(), "{action}");
        assert!(restrictions(&held, action).filter.is_some(), "{action}");
    }
    assert!(restrictions(&held, Action::Drop).is_none());
    assert!(restrictions(&engine(change), Action::Insert).is_none(), "who may only insert is not restricted");
}

#[test]
fn names_with_dots_and_quotes_reach_their_own_column_only() {
    let mut facts = facts();
    facts.columns.push(Column::new(FieldId(90), "odd.name", ColumnType::Text, true));
    let engine = engine(&format!(
        "{ALL} forbid (principal, action == Action::\"select\", resource == Column::\"lake.s.t.\\\"odd.name\\\"\");"
    ));
    assert_eq!(reading(&engine, &alice(), &facts).unwrap().hidden, [FieldId(90)].into());
}

#[test]
fn a_column_called_like_an_attribute_stays_a_column() {
    let mut facts = facts();
    facts.columns.push(Column::new(FieldId(91), "owner", ColumnType::Text, true));
    let engine = engine(&format!(
        "{ALL} forbid (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\") unless {{ resource.owner == principal.subject }};"
    ));
    let filter = reading(&engine, &alice(), &facts).unwrap().filter;
    assert_eq!(filter, Some(RowPredicate::compare(FieldId(91), CompareOp::Eq, text("alice"))));
}

#[test]
fn a_nested_schema_is_inside_of_its_parent() {
    let nested = table("lake", "s.inner", "t", &[("a", ColumnType::Text)]);
    let sibling = table("lake", "sx", "t", &[("a", ColumnType::Text)]);
    let engine = engine(ALL);
    assert!(may(&engine, &alice(), Action::Select, &nested));
    assert!(!may(&engine, &alice(), Action::Select, &sibling));
}

#[test]
fn a_condition_that_grows_too_large_is_refused() {
    let mut condition = "resource.id == 0".to_owned();
    for number in 1..30 {
        condition =
            format!("({condition} || resource.id == {number}) && ({condition} || resource.name == \"{number}\")");
        if condition.len() > 4000 {
            break;
        }
    }
    let engine = engine(&format!(
        "{ALL} forbid (principal, action == Action::\"select\", resource is Row in Table::\"lake.s.t\") unless {{ {condition} }};"
    ));
    assert_eq!(reading(&engine, &alice(), &facts()), None);
}

/// The largest integer and one more: the one thing that validation cannot rule out.
const OVERFLOW: &str = "9223372036854775807 + 1";

#[test]
fn a_forbid_that_cannot_be_evaluated_still_forbids() {
    for (what, resource, condition) in [
        ("table", "is Table", format!("{OVERFLOW} == 1")),
        ("column", "is Column", "resource.field_id + 9223372036854775807 == 1".to_owned()),
        ("row", "is Row", format!("{OVERFLOW} == resource.strict")),
    ] {
        let forbid = |condition: &str| {
            let policy = format!(
                "forbid (principal, action == Action::\"select\", resource {resource}) when {{ {condition} }};"
            );
            reading(&engine(&format!("{ALL} {policy}")), &alice(), &facts())
        };
        assert_eq!(forbid(&condition), None, "{what}");
        assert!(forbid(&condition.replace("9223372036854775807", "-100")).is_some(), "{what}");
    }
}

#[test]
fn a_mask_that_cannot_be_evaluated_hides_the_value_and_a_permit_permits_nothing() {
    let restrictions = restricted(
        "permit (principal, action == Action::\"mask_keyed_hash\", resource is Column)
         when { resource.name == \"name\" && resource.field_id + 9223372036854775807 == 1 };",
    );
    assert_eq!(restrictions.masks, [(id("name"), Mask::Null)].into());
    let permit =
        format!("permit (principal, action == Action::\"select\", resource is Table) when {{ {OVERFLOW} == 1 }};");
    assert_eq!(reading(&engine(&permit), &alice(), &facts()), None);
}

#[test]
fn describing_what_may_not_be_read_shows_the_columns_that_nobody_forbids() {
    let describe = "permit (principal, action == Action::\"describe\", resource is Table);";
    let forbid = "forbid (principal, action == Action::\"select\", resource == Column::\"lake.s.t.name\");";
    let hidden = |policies: &str| {
        let decision = decide(&engine(policies), &alice(), Action::Describe, Resource::Table(facts()));
        decision.restrictions().cloned().unwrap().hidden
    };
    assert_eq!(hidden(describe), [].into());
    assert_eq!(hidden(&format!("{describe} {forbid}")), [id("name")].into());
}

#[test]
fn who_decided_may_be_known_if_every_policy_that_decided_says_so() {
    let explainable = |policies: &str, action| {
        let decision = decide(&engine(policies), &alice(), action, Resource::Table(facts()));
        (decision.explainable, decision.policies)
    };
    let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let open = ALL.replace("@id", "@explainable @id");
    let rows = |mark: &str| {
        format!(
            "{mark} @id(\"rows\") forbid (principal, action == Action::\"select\", resource is Row) unless {{ resource.live }};"
        )
    };
    let hides = |mark: &str| {
        format!(
            "{mark} @id(\"hides\") forbid (principal, action == Action::\"select\", resource == Column::\"lake.s.t.id\");"
        )
    };
    let masks = |mark: &str| {
        format!(
            "{mark} @id(\"masks\") permit (principal, action == Action::\"mask_null\", resource == Column::\"lake.s.t.name\");"
        )
    };
    assert_eq!(explainable(&open, Action::Select), (true, ids(&["all"])));
    assert_eq!(explainable(ALL, Action::Select), (false, ids(&["all"])));
    // Any one of several that does not say so.
    for marks in [["@explainable"; 3], ["", "@explainable", "@explainable"], ["@explainable", "", "@explainable"]]
        .into_iter()
        .chain([["@explainable", "@explainable", ""]])
    {
        let [first, second, third] = marks;
        let policies = [open.clone(), rows(first), hides(second), masks(third)].concat();
        let all_marked = marks.iter().all(|mark| !mark.is_empty());
        assert_eq!(explainable(&policies, Action::Select), (all_marked, ids(&["all", "hides", "masks", "rows"])));
    }
    // One that concerns somebody else has no say.
    let elsewhere = "@id(\"auditors\") permit (principal in Group::\"auditor\", action, resource);";
    assert_eq!(explainable(&format!("{open}{elsewhere}"), Action::Select), (true, ids(&["all"])));
    // Nor is there anything to know where no policy decided, or a denial without a mark.
    assert_eq!(explainable(&open, Action::Insert), (false, ids(&[])));
    let forbids = "@id(\"no\") forbid (principal, action == Action::\"select\", resource is Table);";
    assert_eq!(explainable(&format!("{open}{forbids}"), Action::Select), (false, ids(&["no"])));
    assert_eq!(explainable(&format!("{open}@explainable {forbids}"), Action::Select), (true, ids(&["no"])));
}
