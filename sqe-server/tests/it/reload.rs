//! Policies that change while the server runs.

use crate::site::{Site, eventually};

const PEOPLE: &str = r#"
@id("admins")
permit (
  principal in Group::"admin",
  action in [Action::"discover", Action::"describe", Action::"select", Action::"create", Action::"insert"],
  resource in Catalog::"lake"
);

@id("readers")
permit (
  principal in Group::"reader",
  action in [Action::"discover", Action::"describe", Action::"select"],
  resource in Catalog::"lake"
);
"#;

/// Readers see the rows with this value alone.
fn rows(value: i64) -> String {
    format!(
        r#"
        @id("readers-see-some-rows")
        forbid (
          principal in Group::"reader",
          action == Action::"select",
          resource is Row in Table::"lake.s.t"
        )
        unless {{ resource.a == {value} }};
        "#
    )
}

#[test]
fn a_hangup_brings_new_policies_into_force_and_a_broken_file_leaves_the_old_ones() {
    let site = Site::governed([("people.cedar", PEOPLE), ("rows.cedar", &rows(1))]);
    let (mut server, uri) = site.serve(&[]);
    let (admin, reader) = (site.token_in("ann", "admin"), site.token_in("rob", "reader"));
    let make = "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t (a BIGINT); INSERT INTO lake.s.t VALUES (1), (2), (3)";
    site.run_as(&uri, &admin, make);
    let seen = |token: &str| site.run_as(&uri, token, "SELECT a FROM lake.s.t ORDER BY a");
    let (log, file) = (site.path().join("server.log"), site.path().join("policies/rows.cedar"));
    let said = |words: &str| std::fs::read_to_string(&log).unwrap().matches(words).count();
    const TAKEN: &str = "were read again and are in force";
    const KEPT: &str = "the old policies stay in force";
    assert_eq!(said("the policies are in force"), 1, "the snapshot at the start is in the log");
    assert_eq!(seen(&reader), "a\n1\n");

    // A file alone changes nothing; the signal does.
    std::fs::write(&file, rows(2)).unwrap();
    assert_eq!(seen(&reader), "a\n1\n");
    server.signal("HUP").unwrap();
    eventually("new policies are in force", || said(TAKEN) == 1);
    assert_eq!(seen(&reader), "a\n2\n");
    assert_eq!(seen(&admin), "a\n1\n2\n3\n");

    // A bundle is refused as a whole, and why is in the log.
    std::fs::write(&file, "permit (principal, action, resource").unwrap();
    server.signal("HUP").unwrap();
    eventually("the refusal is in the log", || said(KEPT) == 1);
    assert_eq!(said(TAKEN), 1);
    assert!(said("rows.cedar") > 0, "{}", server.log());
    assert_eq!(seen(&reader), "a\n2\n");

    // So is one whose files are gone: nothing left is not nothing permitted, nor everything.
    std::fs::rename(site.path().join("policies"), site.path().join("elsewhere")).unwrap();
    server.signal("HUP").unwrap();
    eventually("the second refusal is in the log", || said(KEPT) == 2);
    assert_eq!(seen(&reader), "a\n2\n");
    std::fs::rename(site.path().join("elsewhere"), site.path().join("policies")).unwrap();

    std::fs::write(&file, rows(3)).unwrap();
    server.signal("HUP").unwrap();
    eventually("the repaired policies are in force", || said(TAKEN) == 2);
    assert_eq!(seen(&reader), "a\n3\n");
    server.signal("TERM").unwrap();
    assert!(server.wait(std::time::Duration::from_secs(30)).unwrap().success(), "{}", server.log());
}

#[test]
fn a_hangup_ends_no_server_whose_policy_has_nothing_to_read() {
    let site = Site::new();
    let (server, uri) = site.serve(&[]);
    server.signal("HUP").unwrap();
    eventually("it is in the log", || server.log().contains("nothing to read again"));
    assert_eq!(site.run(&uri, "SELECT 1 AS a"), "a\n1\n");
}
