//! `sqe sql` and `sqe audit verify`: formats, exit codes, tokens.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use rstest::rstest;

use crate::site::{Demo, Site, binary, sql_as, stderr, stdout};

#[rstest]
#[case::sql_error("SELEC 1", 5)]
#[case::unknown_column("SELECT nothing FROM region", 5)]
#[case::unknown_table("SELECT * FROM nowhere", 5)]
#[case::division_by_zero("SELECT 1 / (r_regionkey - 1) FROM region", 5)]
#[case::denial("INSERT INTO region VALUES (9, 'ATLANTIS', '')", 4)]
#[case::control("SELECT count(*) FROM region", 0)]
fn exit_codes_tell_kinds_of_failure_apart(#[case] sql: &str, #[case] code: i32) {
    let output = Demo::shared().sql("alice", sql);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    assert_eq!(code != 0, stderr(&output).starts_with("error: "), "{}", stderr(&output));
}

#[test]
fn a_rejected_token_is_an_authentication_failure_and_is_not_repeated() {
    let demo = Demo::shared();
    let forged = format!("{}x", demo.connection.people["alice"].token);
    for token in ["garbage", forged.as_str()] {
        let output = sql_as(&demo.connection.uri, token, &["-c", "SELECT 1"]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(!stderr(&output).contains(token));
    }
    assert!(demo.sql("alice", "SELECT 1").status.success());
}

#[test]
fn nobody_there_is_unavailable() {
    let port = sqe_testkit::free_port().unwrap();
    let output = sql_as(&format!("grpc://127.0.0.1:{port}"), "t", &["-c", "SELECT 1"]);
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
}

#[rstest]
#[case(&["sql", "--token", "secret", "-c", "SELECT 1"])]
#[case(&["sql", "--token-file", "no-such-file", "-c", "SELECT 1"])]
#[case(&["sql", "-c", " ; "])]
#[case(&["sql", "--uri", "nowhere", "-c", "SELECT 1"])]
#[case::a_token_in_plaintext_to_another_machine(&["sql", "--uri", "grpc://192.0.2.1:1", "--token-file", "Cargo.toml", "-c", "SELECT 1"])]
#[case(&["audit", "verify", "--path", "no-such-folder"])]
#[case(&["serve", "--config", "no-such-file"])]
#[case(&["no-such-command"])]
fn wrong_usage_is_told_from_failures(#[case] arguments: &[&str]) {
    let output = Command::new(binary()).args(arguments).env_remove("SQE_TOKEN").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn the_token_may_come_from_a_file() {
    let demo = Demo::shared();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", demo.connection.people["bob"].token)).unwrap();
    let mut command = Command::new(binary());
    command.args(["sql", "--uri", &demo.connection.uri, "-c", "SELECT count(*) AS n FROM supplier", "--token-file"]);
    let output = command.arg(file.path()).env_remove("SQE_TOKEN").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "n\n100\n");
}

#[test]
fn statements_come_from_standard_input_and_stop_at_the_first_failure() {
    let demo = Demo::shared();
    let mut command = Command::new(binary());
    command.args(["sql", "--uri", &demo.connection.uri]).env("SQE_TOKEN", &demo.connection.people["bob"].token);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = b"SELECT 1 AS a; -- one; only\nSELECT ';' AS b; SELECT nothing; SELECT 4 AS d;";
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(stdout(&output), "a\n1\nb\n;\n");
}

#[test]
fn answers_are_csv_unless_another_format_is_asked_for() {
    let demo = Demo::shared();
    let sql = "SELECT r_regionkey, r_name FROM region WHERE r_regionkey < 2 ORDER BY 1";
    let with = |format: &[&str]| {
        let arguments = [&["-c", sql], format].concat();
        let output = sql_as(&demo.connection.uri, &demo.connection.people["bob"].token, &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(with(&[]), "r_regionkey,r_name\n0,AFRICA\n1,AMERICA\n");
    let json: serde_json::Value = serde_json::from_str(&with(&["-o", "json"])).unwrap();
    let expected = serde_json::json!([{"r_regionkey": 0, "r_name": "AFRICA"}, {"r_regionkey": 1, "r_name": "AMERICA"}]);
    assert_eq!(json, expected);
    assert!(with(&["-o", "table"]).contains("| 0           | AFRICA  |"));
}

#[test]
fn audit_verify_accepts_a_trail_and_finds_a_changed_record() {
    let site = Site::new();
    let (server, uri) = site.serve(&[]);
    site.run(&uri, "SELECT 'a needle' AS a");
    drop(server);
    let trail = site.path().join("audit");
    let verify = || Command::new(binary()).args(["audit", "verify", "--path"]).arg(&trail).output().unwrap();
    let good = verify();
    assert!(good.status.success(), "{}{}", stdout(&good), stderr(&good));
    assert!(stdout(&good).contains("head "));

    let mut changed = false;
    for entry in std::fs::read_dir(&trail).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains("\"admin\"") {
            std::fs::write(&path, text.replacen("\"admin\"", "\"nimda\"", 1)).unwrap();
            changed = true;
        }
    }
    assert!(changed, "the trail does not name the person");
    let bad = verify();
    assert_eq!(bad.status.code(), Some(1), "{}", stdout(&bad));
    assert!(stderr(&bad).contains("not what its writers wrote"), "{}", stderr(&bad));
}
