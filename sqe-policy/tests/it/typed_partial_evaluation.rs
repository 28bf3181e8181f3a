//! What Cedar's typed partial evaluation really does. Row filters stand on these facts; the feature is experimental,
//! and a new version that breaks one of them must fail here first.

use std::{
    collections::{BTreeMap, HashSet},
    str::FromStr,
};

use cedar_policy::{
    Context, EntityUid, PartialEntities, PartialEntity, PartialEntityUid, PartialRequest, PolicySet,
    RestrictedExpression, Schema, SchemaFragment, pst,
};
use rstest::rstest;

/// The shipped schema with some columns in `Row`, all of them required attributes.
fn schema() -> Schema {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(sqe_policy::cedar::SCHEMA).unwrap();
    let mut json = fragment.to_json_value().unwrap();
    let attribute = |ty: &str| serde_json::json!({ "type": "EntityOrCommon", "name": ty, "required": true });
    json[""]["entityTypes"]["Row"]["shape"] = serde_json::json!({ "type": "Record", "attributes": {
        "seg": attribute("String"), "n": attribute("Long"), "price": attribute("decimal"),
        "day": attribute("datetime"), "flag": attribute("Bool"), "blob": attribute("Opaque"),
    }});
    Schema::from_json_value(json).unwrap()
}

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn policies(condition: &str) -> PolicySet {
    let policy = format!(
        "permit (principal in Group::\"analyst\", action == Action::\"select\", resource is Row in Table::\"l.s.t\")
         when {{ {condition} }};"
    );
    PolicySet::from_str(&policy).unwrap()
}

/// What is left of a condition for alice of tenant t1 in the group of analysts, as text.
fn residual(policies: &PolicySet) -> Result<Vec<String>, String> {
    let schema = schema();
    let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
    let (alice, row) = (uid("User::\"i#alice\""), uid("Row::\"l.s.t\""));
    let attributes = BTreeMap::from([("issuer".into(), text("i")), ("subject".into(), text("alice"))]);
    let tags = BTreeMap::from([("tenant".into(), text("t1"))]);
    let groups = HashSet::from([uid("Group::\"analyst\"")]);
    let holders = HashSet::from([uid("Table::\"l.s.t\"")]);
    let entities = [
        PartialEntity::new(alice.clone(), Some(attributes), Some(groups), Some(tags), &schema).unwrap(),
        PartialEntity::new(row.clone(), None, Some(holders), Some(BTreeMap::new()), &schema).unwrap(),
    ];
    let entities = PartialEntities::from_partial_entities(entities, &schema).unwrap();
    let request = PartialRequest::new(
        PartialEntityUid::from_concrete(alice),
        uid("Action::\"select\""),
        PartialEntityUid::from_concrete(row),
        Some(Context::empty()),
        &schema,
    )
    .unwrap();
    let response = policies.tpe(&request, &entities, &schema).map_err(|error| format!("{error:?}"))?;
    let clauses = response.policies().map(|policy| {
        let pst::Policy::Static(policy) = policy.to_pst().unwrap() else { panic!("a linked policy") };
        assert_eq!(policy.body().resource, pst::ResourceConstraint::Any, "a residual has no scope");
        policy.body().clauses().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    });
    Ok(clauses.collect())
}

#[rstest]
#[case::comparison(r#"resource.seg == "BUILDING""#, r#"Row::"l.s.t".seg == "BUILDING""#)]
#[case::scope_and_groups_are_gone(
    r#"principal in Group::"analyst" && resource in Table::"l.s.t" && resource.n > 5"#,
    r#"!(Row::"l.s.t".n <= 5)"#
)]
#[case::attributes_of_the_person_are_gone("principal.subject == resource.seg", r#""alice" == Row::"l.s.t".seg"#)]
#[case::tags_of_the_person_are_gone(
    r#"principal.hasTag("tenant") && resource.seg == principal.getTag("tenant")"#,
    r#"Row::"l.s.t".seg == "t1""#
)]
#[case::decimals_have_four_digits(
    r#"resource.price.lessThan(decimal("1.5"))"#,
    r#"Row::"l.s.t".price.lessThan(decimal("1.5000"))"#
)]
#[case::moments_are_offsets_from_the_epoch(
    r#"resource.day < datetime("1970-01-02")"#,
    r#"Row::"l.s.t".day < datetime("1970-01-01").offset(duration("86400000ms"))"#
)]
#[case::a_required_attribute_may_still_be_missing("resource has n", r#"Row::"l.s.t" has n"#)]
#[case::an_unknown_attribute_is_missing("!(resource has nope) && resource.flag", r#"Row::"l.s.t".flag"#)]
#[case::an_error_may_stand_left_of_a_truth("resource.flag || true", r#"Row::"l.s.t".flag || true"#)]
#[case::like_is_kept_as_a_pattern(r#"resource.seg like "a*""#, r#"Row::"l.s.t".seg like "a*""#)]
fn only_what_depends_on_the_row_is_left(#[case] condition: &str, #[case] left: &str) {
    assert_eq!(residual(&policies(condition)).unwrap(), [format!("when {{ {left} }}")]);
}

#[test]
fn a_condition_without_columns_is_decided() {
    assert_eq!(residual(&policies("principal.subject == \"alice\"")).unwrap(), ["when { true }"]);
    assert_eq!(residual(&policies("principal.subject == \"bob\"")).unwrap(), ["when { false }"]);
}

#[test]
fn one_policy_that_does_not_fit_the_table_fails_the_whole_set() {
    let mut both = policies("resource.seg == \"a\"");
    both.add(policies("resource.other == 1").policies().next().unwrap().new_id(cedar_policy::PolicyId::new("other")))
        .unwrap();
    assert!(residual(&both).unwrap_err().contains("UnsafeAttributeAccess"));
}

#[test]
fn columns_that_policies_cannot_look_into_can_be_asked_for_and_not_compared() {
    assert_eq!(residual(&policies("resource has blob")).unwrap(), [r#"when { Row::"l.s.t" has blob }"#]);
    assert!(residual(&policies("resource.blob == \"x\"")).is_err());
}
