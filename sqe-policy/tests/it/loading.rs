//! What is refused when policies are loaded, and what happens to the policies in force.

use std::fs;

use rstest::rstest;
use sqe_core::{Action, ErrorKind};
use sqe_policy::CedarPolicy;

use crate::world::{alice, customer, may, reading};

const GOOD: &str = "permit (principal in Group::\"analyst\", action, resource in Catalog::\"lake\");";

fn refusal(text: &str) -> String {
    let error = CedarPolicy::from_sources([("good.cedar", GOOD), ("bad.cedar", text)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.message().to_owned()
}

/// A policy that is refused, under the id `wrong`, or in a file that is.
#[rstest]
#[case::syntax("permit (principal, action, resource)\n\nwhen { 1 ==", "bad.cedar:3:")]
#[case::a_misspelt_action(
    r#"permit (principal, action == Action::"selct", resource);"#,
    r#"unrecognized action `Action::"selct"`"#
)]
#[case::what_was_meant(r#"permit (principal, action == Action::"selct", resource);"#, r#"`Action::"select"`"#)]
#[case::a_misspelt_type(r#"permit (principal in Groop::"a", action, resource);"#, "unrecognized entity type `Groop`")]
#[case::an_unknown_attribute(
    r#"permit (principal, action == Action::"drop", resource is Table) when { resource.ownr == principal };"#,
    "ownr"
)]
#[case::an_optional_attribute_unasked(
    r#"permit (principal, action == Action::"drop", resource is Table) when { resource.owner == principal };"#,
    "owner"
)]
#[case::an_action_that_does_not_apply(
    r#"forbid (principal, action == Action::"insert", resource is Column);"#,
    "unable to find"
)]
#[case::an_impossible_policy(
    r#"forbid (principal, action == Action::"select", resource is Table) when { 1 == 2 };"#,
    "policy is impossible"
)]
#[case::a_template(r#"permit (principal == ?principal, action, resource);"#, "nothing fills slots")]
#[case::a_short_column(
    r#"forbid (principal, action == Action::"select", resource == Column::"customer.c_acctbal");"#,
    "can name nothing; write a full name"
)]
#[case::a_short_table(r#"forbid (principal, action, resource in Table::"customer");"#, "can name nothing")]
#[case::a_long_catalog(r#"forbid (principal, action, resource in Catalog::"lake.tpch");"#, "can name nothing")]
#[case::a_user_without_issuer(r#"forbid (principal == User::"alice", action, resource);"#, "issuer#subject")]
#[case::a_named_row(r#"forbid (principal, action == Action::"select", resource == Row::"r");"#, "rows have no names")]
#[case::an_attribute_of_anything(
    r#"permit (principal, action == Action::"select", resource) when { resource has owner };"#,
    "without saying what the resource is"
)]
#[case::arithmetic(
    r#"permit (principal, action == Action::"select", resource is Row) when { resource.a + 1 == 2 };"#,
    "cannot be turned into a row filter"
)]
#[case::a_chosen_column(
    r#"permit (principal, action == Action::"select", resource is Row) when { (if resource.a then resource.b else resource.c) == 1 };"#,
    "cannot be turned into a row filter"
)]
#[case::an_entity_in_a_column(
    r#"permit (principal, action == Action::"select", resource is Row) when { resource.a.b == 1 };"#,
    "cannot be turned into a row filter"
)]
#[case::a_set_of_columns(
    r#"permit (principal, action == Action::"select", resource is Row) when { [resource.a].contains(1) };"#,
    "set of columns"
)]
#[case::a_column_of_two_types(
    r#"permit (principal, action == Action::"select", resource is Row) when { resource.a == 1 || resource.a == "x" };"#,
    "used both as Long and as String"
)]
#[case::a_row_action(r#"permit (principal, action == Action::"insert", resource is Row);"#, "unable to find")]
#[case::a_mask_without_parameter(
    r#"permit (principal, action == Action::"mask_keep_last", resource is Column);"#,
    "add @keep(\"4\")"
)]
#[case::a_mask_with_a_wrong_parameter(
    r#"@keep("four") permit (principal, action == Action::"mask_keep_last", resource is Column);"#,
    "not a number of characters"
)]
#[case::a_constant_without_value(
    r#"permit (principal, action == Action::"mask_constant", resource is Column);"#,
    "add @value"
)]
#[case::a_parameter_of_another_mask(
    r#"@keep("4") permit (principal, action == Action::"mask_null", resource is Column);"#,
    "@keep means nothing to mask_null"
)]
#[case::a_parameter_without_mask(
    r#"@keep("4") permit (principal, action == Action::"select", resource is Column);"#,
    "@keep belongs to masks"
)]
#[case::a_value_where_none_counts(
    r#"@explainable("no") permit (principal, action == Action::"select", resource is Table);"#,
    "@explainable takes no value"
)]
#[case::a_lifted_mask(
    r#"forbid (principal, action == Action::"mask_null", resource is Column);"#,
    "a forbid cannot lift a mask"
)]
#[case::a_mask_in_a_list(
    r#"permit (principal, action in [Action::"select", Action::"mask_null"], resource is Column);"#,
    "a mask stands alone"
)]
#[case::context_that_nobody_gives(
    r#"permit (principal, action == Action::"select", resource is Table) when { context.hour == 1 };"#,
    "hour"
)]
#[case::letters_of_two_scripts(r#"forbid (principal in Group::"аnalyst", action, resource);"#, "script")]
fn a_policy_that_cannot_mean_what_it_says_is_refused_by_name(#[case] policy: &str, #[case] because: &str) {
    let message = refusal(&format!("@id(\"wrong\") {policy}"));
    assert!(message.contains(because), "{message}");
    assert!(message.contains("bad.cedar"), "{message}");
    if !because.contains("bad.cedar") {
        assert!(message.contains("wrong"), "{message}");
    }
}

#[test]
fn policies_without_an_id_are_called_by_file_and_place() {
    let message = refusal(&format!("{GOOD}\n{GOOD}\npermit (principal, action == Action::\"no\", resource);"));
    assert!(message.contains("policy \"bad.cedar#3\" in bad.cedar"), "{message}");
}

#[test]
fn two_policies_with_one_id_are_refused() {
    let message = refusal(&format!("@id(\"same\") {GOOD} @id(\"same\") {GOOD}"));
    assert!(message.contains("another policy has the same id"), "{message}");
}

#[test]
fn every_refused_policy_is_told_at_once() {
    let message = refusal(
        "@id(\"one\") forbid (principal, action, resource in Table::\"t\");
         @id(\"two\") forbid (principal == User::\"x\", action, resource);",
    );
    assert!(message.contains("\"one\"") && message.contains("\"two\""), "{message}");
}

#[test]
fn an_empty_bundle_permits_nothing_and_a_missing_directory_is_no_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let empty = CedarPolicy::from_dir(directory.path()).unwrap();
    assert!(!may(&empty, &alice(), Action::Discover, &customer()));
    let error = CedarPolicy::from_dir(directory.path().join("missing")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[test]
fn only_cedar_files_of_the_directory_itself_count() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "not a policy").unwrap();
    fs::create_dir(directory.path().join("old.cedar")).unwrap();
    fs::write(directory.path().join("old.cedar/policies.cedar"), GOOD).unwrap();
    let engine = CedarPolicy::from_dir(directory.path()).unwrap();
    assert!(!may(&engine, &alice(), Action::Select, &customer()));
    fs::write(directory.path().join("good.cedar"), GOOD).unwrap();
    engine.reload().unwrap();
    assert!(may(&engine, &alice(), Action::Select, &customer()));
}

#[test]
fn a_reload_replaces_everything_and_answers_change_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policies.cedar");
    fs::write(&file, GOOD).unwrap();
    let engine = CedarPolicy::from_dir(directory.path()).unwrap();
    let before = engine.snapshot();
    assert!(reading(&engine, &alice(), &customer()).unwrap().is_none());

    fs::write(&file, "permit (principal in Group::\"auditor\", action, resource in Catalog::\"lake\");").unwrap();
    assert!(may(&engine, &alice(), Action::Select, &customer()), "nothing changes before the reload");
    let after = engine.reload().unwrap();
    assert_eq!(engine.snapshot(), after);
    assert_ne!(before, after);
    assert!(!may(&engine, &alice(), Action::Select, &customer()));
}

#[test]
fn a_bad_bundle_is_reported_and_the_old_one_stays_in_force() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("good.cedar"), GOOD).unwrap();
    let engine = CedarPolicy::from_dir(directory.path()).unwrap();
    let before = engine.snapshot();

    fs::write(directory.path().join("bad.cedar"), "permit (principal, action == Action::\"selct\", resource);")
        .unwrap();
    assert_eq!(engine.reload().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(engine.snapshot(), before);
    assert!(may(&engine, &alice(), Action::Select, &customer()));

    fs::remove_file(directory.path().join("bad.cedar")).unwrap();
    assert_eq!(engine.reload().unwrap(), before, "the same sources are the same snapshot");
    drop(directory);
    assert_eq!(engine.reload().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(may(&engine, &alice(), Action::Select, &customer()));
}

#[test]
fn a_snapshot_changes_with_a_name_as_well_as_with_a_text() {
    let snapshot = |name: &str, text: &str| CedarPolicy::from_sources([(name, text)]).unwrap().snapshot();
    assert_eq!(snapshot("a", GOOD), snapshot("a", GOOD));
    assert_ne!(snapshot("a", GOOD), snapshot("b", GOOD));
    assert_ne!(snapshot("a", GOOD), snapshot("a", &format!("{GOOD}\n")));
    assert_eq!(snapshot("a", GOOD).len(), 64);
}

#[test]
fn two_sources_of_one_name_are_refused() {
    assert!(CedarPolicy::from_sources([("a", GOOD), ("a", GOOD)]).is_err());
}
