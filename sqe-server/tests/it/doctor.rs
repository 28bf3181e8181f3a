//! `sqe doctor`, of healthy installations and of each that is not; and `sqe config`.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use rcgen::{CertificateParams, KeyPair};
use rstest::rstest;
use serde_json::Value;
use sqe_testkit::trap::Trap;

use crate::{
    rights::{add, operator},
    site::{Site, binary, stderr, stdout},
};

fn doctor(site: &Site, variables: &[(&str, &str)]) -> (Output, Vec<Value>) {
    let mut command = Command::new(binary());
    command.args(["doctor", "-o", "json", "--config"]).arg(site.path().join("sqe.toml"));
    // Of a person without any files.
    let output = sqe_testkit::without_cloud(&mut command)
        .env("HOME", site.path())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let findings = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, findings)
}

/// The finding about something, as `state: evidence`.
fn finding(findings: &[Value], what: &str) -> String {
    let of = |finding: &&Value| finding["what"].as_str().unwrap().contains(what);
    let found: Vec<_> = findings.iter().filter(of).map(told).collect();
    assert!(!found.is_empty(), "nothing about {what}: {findings:?}");
    found.join("\n")
}

fn told(finding: &Value) -> String {
    format!("{}: {}", finding["state"].as_str().unwrap(), finding["evidence"].as_str().unwrap())
}

fn change(site: &Site, from: &str, to: &str) {
    let file = site.path().join("sqe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

const STAFF: &str = "@id(\"staff\") permit (principal in Group::\"staff\", action, resource);";

/// An installation with a table, a trail, and policies that mean some people.
fn healthy() -> Site {
    let site = Site::governed([("staff.cedar", STAFF)]);
    let (mut server, uri) = site.serve(&[]);
    let token = site.token_in("ana", "staff");
    site.run_as(&uri, &token, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t AS SELECT 1 AS a");
    server.signal("TERM").unwrap();
    server.wait(std::time::Duration::from_secs(30)).unwrap();
    site
}

#[test]
fn a_healthy_installation_fails_nothing_and_each_promise_has_evidence() {
    let site = healthy();
    let (output, findings) = doctor(&site, &[]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    for promise in 1..=7 {
        assert!(findings.iter().any(|finding| finding["promise"] == promise), "{promise}");
    }
    assert!(findings.iter().all(|finding| finding["state"] != "fail"), "{findings:?}");
    assert!(finding(&findings, "chain of the trail").contains("are intact; the last is record"), "{findings:?}");
    assert!(finding(&findings, "made-up person in catalog lake").starts_with("ok"), "{findings:?}");
    assert_eq!(finding(&findings, "made-up table of lake"), "ok: is refused");
    assert!(finding(&findings, "the server calls").contains("nobody"), "{findings:?}");
    assert!(finding(&findings, "development issuer").starts_with("warn"), "{findings:?}");
    // It only looked: a server starts as before, and the trail has no records of it.
    let before = std::fs::read(site.path().join("audit/00000000000000000001.jsonl")).unwrap();
    doctor(&site, &[]);
    assert_eq!(std::fs::read(site.path().join("audit/00000000000000000001.jsonl")).unwrap(), before);
    let mut table = Command::new(binary());
    let table = table.args(["doctor", "--config"]).arg(site.path().join("sqe.toml")).output().unwrap();
    assert!(stdout(&table).contains("3. policy is enforced inside the engine"), "{}", stdout(&table));
}

#[test]
fn an_installation_that_never_ran_is_told_from_one_that_fails_and_stays_untouched() {
    let site = Site::governed([("staff.cedar", STAFF)]);
    let (output, findings) = doctor(&site, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(finding(&findings, "catalog lake").contains("is not there"), "{findings:?}");
    assert!(finding(&findings, "folder of the trail").starts_with("warn"), "{findings:?}");
    let mut names: Vec<_> = std::fs::read_dir(site.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["policies", "sqe.toml"]);
}

#[test]
fn credentials_that_lie_around_are_named_and_never_shown() {
    let site = healthy();
    let trap = Trap::set().unwrap();
    let variables = trap.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (output, findings) = doctor(&site, &variables);
    assert!(output.status.success(), "{}", stdout(&output));
    let found = finding(&findings, "variables of cloud providers");
    assert!(found.starts_with("warn") && found.contains("AWS_SECRET_ACCESS_KEY"), "{found}");
    assert!(!stdout(&output).contains("canary") && !stderr(&output).contains("canary"));
    assert_eq!(trap.calls(), 0);
}

#[test]
fn permit_all_fails_and_public_policies_are_to_be_looked_at() {
    let site = Site::new();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(findings.iter().any(|it| told(it).starts_with("fail: permit-all")), "{findings:?}");

    let site = healthy();
    let everybody = "@id(\"everybody\") permit (principal, action, resource);";
    std::fs::write(site.path().join("policies/everybody.cedar"), everybody).unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(finding(&findings, "made-up person in catalog lake").starts_with("warn: sees 1 tables"), "{findings:?}");
    assert!(finding(&findings, "made-up table of lake").starts_with("warn: is permitted"), "{findings:?}");
}

#[test]
fn policies_that_are_refused_fail() {
    let site = healthy();
    std::fs::write(site.path().join("policies/wrong.cedar"), "permit (principal").unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "policies of").starts_with("fail"), "{findings:?}");
}

#[test]
fn a_changed_trail_and_one_that_cannot_be_written_fail() {
    let site = healthy();
    let segment = site.path().join("audit/00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("ana", "bob", 1)).unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "chain of the trail").contains("NOT INTACT"), "{findings:?}");
    std::fs::write(&segment, text).unwrap();
    assert!(doctor(&site, &[]).0.status.success());

    change(&site, "path = \"audit\"", "path = \"/proc/nowhere\"");
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "folder of the trail").contains("cannot be written"), "{findings:?}");
}

#[test]
fn an_issuer_that_does_not_answer_fails() {
    let site = healthy();
    let port = sqe_testkit::free_port().unwrap();
    let file = site.path().join("sqe.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(&format!(
        "\n[[identity]]\nkind = \"jwt\"\nissuer = \"http://127.0.0.1:{port}\"\naudience = \"sqe\"\n\
         jwks_url = \"http://127.0.0.1:{port}/jwks?key=canary\"\n"
    ));
    std::fs::write(&file, text).unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "issuer http://127.0.0.1").starts_with("fail"), "{findings:?}");
    assert!(finding(&findings, "the server calls http://127.0.0.1").starts_with("ok"), "{findings:?}");
    assert!(!stdout(&output).contains("canary"), "{}", stdout(&output));
}

#[test]
fn a_catalog_that_cannot_be_opened_fails() {
    let site = healthy();
    // Its log as well: SQLite makes whole what it can.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path().join(format!("catalog.db{end}")));
    }
    std::fs::write(site.path().join("catalog.db"), "no database".repeat(1000)).unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "catalog lake").contains("fail"), "{findings:?}");
}

#[test]
fn a_receiver_that_is_not_there_is_to_be_looked_at_and_one_that_is_fine() {
    let site = healthy();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    change(&site, "path = \"audit\"", &format!("path = \"audit\"\notlp = {{ endpoint = \"http://{address}\" }}"));
    let (output, findings) = doctor(&site, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(finding(&findings, "receiver of records").starts_with("ok"), "{findings:?}");
    assert!(
        finding(&findings, &format!("the server calls http://{address}")).contains("who read what"),
        "{findings:?}"
    );
    drop(listener);
    let (output, findings) = doctor(&site, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(finding(&findings, "receiver of records").starts_with("warn: nobody listens"), "{findings:?}");
}

#[test]
fn the_files_of_who_may_act_as_whom_and_of_withdrawn_rights_are_read() {
    let site = Site::governed([("staff.cedar", STAFF)]);
    let put = |name: &str, text: &str, mode: u32| {
        std::fs::write(site.path().join(name), text).unwrap();
        std::fs::set_permissions(site.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    let people = "people = [{ issuer = \"https://idp.example\", subject = \"alice\" }]";
    put("people.toml", people, 0o644);
    put("may-act.toml", "administrators = []", 0o644);
    operator(&site, &["revoke", "init", "--file", "revoked"]);
    add(
        &site,
        "[impersonation]\npeople_file = \"people.toml\"\nrules_file = \"may-act.toml\"\n[revocation]\nfile = \"revoked\"\n",
    );
    let (output, findings) = doctor(&site, &[]);
    assert!(output.status.success(), "{}", stdout(&output));
    let (acting, withdrawn) = ("who may act as whom", "withdrawn rights");
    for what in [acting, withdrawn] {
        assert!(finding(&findings, what).starts_with("ok"), "{findings:?}");
    }
    let fails = |what: &str, fine: &str, says: &str| {
        let (output, findings) = doctor(&site, &[]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        let told = finding(&findings, what);
        assert!(told.starts_with("fail") && told.contains(says), "{told}");
        assert!(finding(&findings, fine).starts_with("ok"), "{findings:?}");
    };
    put("people.toml", people, 0o666);
    fails(acting, withdrawn, "set its mode to");
    put("people.toml", "people = 7", 0o644);
    fails(acting, withdrawn, "people.toml");
    put("people.toml", people, 0o644);
    std::fs::remove_file(site.path().join("may-act.toml")).unwrap();
    fails(acting, withdrawn, "there is no");
    put("may-act.toml", "administrators = []", 0o644);
    put("revoked", "nonsense", 0o600);
    fails(withdrawn, acting, "revoked");
    std::fs::remove_file(site.path().join("revoked")).unwrap();
    fails(withdrawn, acting, "sqe revoke init");
    operator(&site, &["revoke", "init", "--file", "revoked"]);
    assert!(doctor(&site, &[]).0.status.success());
}

/// A certificate that is good for so many days from now, and ended if they are negative.
fn certified(site: &Site, days: i64) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let day = std::time::Duration::from_secs(24 * 3600);
    let now = std::time::SystemTime::now();
    params.not_before = (now - 400 * day).into();
    let span = day * u32::try_from(days.abs()).unwrap();
    params.not_after = if days < 0 { now - span } else { now + span }.into();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(site.path().join("server.crt"), certificate.pem()).unwrap();
    std::fs::write(site.path().join("server.key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(site.path().join("server.key"), PermissionsExt::from_mode(0o600)).unwrap();
}

#[rstest]
#[case::good(100, "ok", true)]
#[case::soon(5, "warn", true)]
#[case::ended(-1, "fail", false)]
fn a_certificate_is_looked_at_before_clients_refuse_it(#[case] days: i64, #[case] state: &str, #[case] healthy: bool) {
    let site = Site::governed([("staff.cedar", STAFF)]);
    certified(&site, days);
    change(
        &site,
        "[audit]",
        "[tls]\n            cert_file = \"server.crt\"\n            key_file = \"server.key\"\n            [audit]",
    );
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.success(), healthy, "{}", stdout(&output));
    assert!(finding(&findings, "certificate").starts_with(state), "{findings:?}");
    // A key that everybody can read, and one of another certificate.
    std::fs::set_permissions(site.path().join("server.key"), PermissionsExt::from_mode(0o644)).unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "tls.key_file").contains("everybody"), "{findings:?}");
    std::fs::write(site.path().join("server.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let (_, findings) = doctor(&site, &[]);
    assert!(finding(&findings, "certificate").starts_with("fail"), "{findings:?}");
}

#[test]
fn plaintext_beyond_loopback_and_a_shared_configuration_fail() {
    let site = healthy();
    change(&site, "127.0.0.1:0", "0.0.0.0:0");
    std::fs::set_permissions(site.path().join("sqe.toml"), PermissionsExt::from_mode(0o666)).unwrap();
    let (output, findings) = doctor(&site, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(finding(&findings, "listener").starts_with("fail"), "{findings:?}");
    assert!(finding(&findings, "configuration").starts_with("fail"), "{findings:?}");
}

fn config(site: &Site, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(binary());
    command.args(["config", "check", "--config"]).arg(site.path().join("sqe.toml")).args(arguments);
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn what_is_in_force_is_shown_with_where_it_comes_from_and_no_secrets() {
    let site = Site::trusting("http://127.0.0.1:9");
    change(&site, "http://127.0.0.1:9/jwks", "http://me:canary@127.0.0.1:9/jwks?key=canary");
    let output = config(&site, &["--effective", "-o", "json"], &[("SQE__LIMITS__STATEMENTS", "5")]);
    assert!(output.status.success(), "{}", stderr(&output));
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let of = |key: &str| settings.iter().find(|it| it["key"] == key).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(
        (of("limits.statements")["value"].as_i64(), of("limits.statements")["variable"].as_str()),
        (Some(5), Some("SQE__LIMITS__STATEMENTS"))
    );
    assert_eq!(of("server.drain_seconds")["source"], "file");
    assert_eq!(
        (of("server.schema")["value"].as_str(), of("server.schema")["source"].as_str()),
        (Some("default"), Some("default"))
    );
    assert!(!stdout(&output).contains("canary") && stdout(&output).contains("redacted"), "{}", stdout(&output));
    let table = config(&site, &["--effective"], &[]);
    assert!(stdout(&table).contains("audit.path") && !stdout(&table).contains("canary"), "{}", stdout(&table));
    // It opened nothing.
    assert!(!site.path().join("audit").exists() && !site.path().join("catalog.db").exists());
}

#[test]
fn a_configuration_that_a_server_would_refuse_is_refused() {
    let site = Site::new();
    assert!(config(&site, &[], &[]).status.success());
    for (variable, value, problem) in [
        ("SQE__SERVER__LISTN", "\"127.0.0.1:1\"", "is `listen` meant?"),
        ("SQE__SERVER__PROFILE", "production", "development issuer"),
        ("SQE__POLICY__KIND", "ceder", "is `cedar` meant?"),
        ("SQE__AUDIT__OTLP", "{ endpoint = \"https://u:canary@c.example\" }", "headers file"),
    ] {
        let output = config(&site, &[], &[(variable, value)]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(problem) && !stderr(&output).contains("canary"), "{}", stderr(&output));
    }
    let missing = config(&site, &[], &[("SQE__TLS__CERT_FILE", "c"), ("SQE__TLS__KEY_FILE", "k")]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("tls.cert_file: cannot read"), "{}", stderr(&missing));
}

#[test]
fn the_schema_describes_what_is_accepted() {
    let output = Command::new(binary()).args(["config", "schema"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let required: Vec<_> = schema["required"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(required, ["server", "identity", "policy", "catalogs", "audit"]);
    assert_eq!(schema["additionalProperties"], false);
}
