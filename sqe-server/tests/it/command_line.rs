//! `sqe sql` and `sqe audit verify`: formats, exit codes, tokens.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use rstest::rstest;

use crate::site::{Demo, Site, binary, eventually, sql_as, stderr, stdout};

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
    assert!(with(&["-o", "table"]).contains("|           0 | AFRICA  |"));
    let lines: Vec<serde_json::Value> =
        with(&["-o", "ndjson"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::Array(lines), expected);
    assert!(with(&["-o", "vertical"]).contains("r_name      | AMERICA\n"));
    assert_eq!(with(&["-o", "markdown"]).lines().nth(2), Some("| 0 | AFRICA |"));
}

#[test]
fn arrow_is_a_stream_of_ipc_messages() {
    let demo = Demo::shared();
    let token = &demo.connection.people["bob"].token;
    let sql = "SELECT r_name FROM region ORDER BY 1";
    let output = sql_as(&demo.connection.uri, token, &["-o", "arrow", "-c", sql]);
    assert!(output.status.success(), "{}", stderr(&output));
    let reader = arrow::ipc::reader::StreamReader::try_new(output.stdout.as_slice(), None).unwrap();
    assert_eq!(reader.schema().field(0).name(), "r_name");
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 5);
}

#[test]
fn programs_get_data_as_it_is_and_people_get_what_their_terminal_bears() {
    let demo = Demo::shared();
    let ask = |format: &str| {
        let sql = "SELECT chr(27) || '[2J' AS x, '' AS empty, CAST(NULL AS VARCHAR) AS missing";
        let token = &demo.connection.people["bob"].token;
        let output = sql_as(&demo.connection.uri, token, &["-o", format, "-c", sql]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(ask("csv"), "x,empty,missing\n\u{1b}[2J,\"\",\n");
    for format in ["table", "vertical", "markdown"] {
        let shown = ask(format);
        assert!(!shown.contains('\u{1b}') && shown.contains("u001b") && shown.contains("NULL"), "{shown}");
    }
}

#[test]
fn statements_and_commands_come_from_files() {
    let demo = Demo::shared();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "SELECT 1 AS a;\n\\pset format json\nSELECT 2 AS b;\n\\q\nSELECT 3 AS c;\n").unwrap();
    let token = &demo.connection.people["bob"].token;
    let output = sql_as(&demo.connection.uri, token, &["-f", file.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "a\n1\n[{\"b\":2}]\n");
    let output =
        sql_as(&demo.connection.uri, token, &["-c", "SELECT 1 AS a", "-c", "\\d region", "-c", "SELECT 2 AS b"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = "a\n1\ncolumn,type,nullable\n";
    assert!(stdout(&output).starts_with(expected) && stdout(&output).ends_with("b\n2\n"), "{}", stdout(&output));
    for wrong in [&["-f", "no-such-file"][..], &["-c", "\\frobnicate"], &["-f", "x", "-c", "SELECT 1"]] {
        let output = sql_as(&demo.connection.uri, token, wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
}

#[test]
fn failures_can_be_told_and_passed_over_and_the_first_gives_the_code() {
    let demo = Demo::shared();
    let token = &demo.connection.people["alice"].token;
    let text = "SELECT 1 AS a; INSERT INTO region VALUES (9, 'ATLANTIS', ''); SELECT nothing; SELECT 2 AS b";
    let output = sql_as(&demo.connection.uri, token, &["--stop-on-error=false", "-c", text]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(stdout(&output), "a\n1\nb\n2\n");
    assert_eq!(stderr(&output).matches("error: ").count(), 2, "{}", stderr(&output));
    let output = sql_as(&demo.connection.uri, token, &["--stop-on-error", "-c", text]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(4), "a\n1\n"), "{}", stderr(&output));
}

#[test]
fn ctrl_c_cancels_a_script_on_the_server() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    let sql = "SELECT sum(a.value * b.value) FROM generate_series(1, 300000) AS a(value), \
               generate_series(1, 300000) AS b(value); SELECT 1";
    let mut command = Command::new(binary());
    command.args(["sql", "--uri", &uri, "-c", sql, "--stop-on-error=false"]).env("SQE_TOKEN", site.token("ann"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    site.wait_until_running(&uri, "ann");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1, "more than a header: {}", stdout(&output));
    let ended = "SELECT outcome FROM system.audit.access WHERE subject = 'ann'";
    eventually("the trail says that it was cancelled", || site.run(&uri, ended) == "outcome\ncancelled\n");
}

#[test]
fn ctrl_c_stops_a_change_before_it_is_one() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    site.run(&uri, "CREATE SCHEMA lake.s");
    let sql = "CREATE TABLE lake.s.t AS SELECT sum(a.value * b.value) AS x FROM generate_series(1, 300000) AS a(value), \
               generate_series(1, 300000) AS b(value)";
    let child = site.start(&uri, "ann", sql);
    site.wait_until_running(&uri, "ann");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let ended = "SELECT DISTINCT outcome FROM system.audit.access WHERE subject = 'ann'";
    eventually("the trail says that it was cancelled", || site.run(&uri, ended) == "outcome\ncancelled\n");
    let tables = "SELECT count(*) AS n FROM information_schema.tables WHERE table_schema = 's'";
    assert_eq!(site.run(&uri, tables), "n\n0\n");
}

#[test]
fn who_does_not_read_on_ends_the_script_quietly() {
    let demo = Demo::shared();
    let mut command = Command::new("sh");
    let sql = "SELECT value FROM generate_series(1, 50000000) AS t(value); SELECT nothing";
    command.args(["-c", "\"$0\" sql -c \"$1\" | head -n 2"]).arg(binary()).arg(sql);
    command.env("SQE_URI", &demo.connection.uri).env("SQE_TOKEN", &demo.connection.people["bob"].token);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("value\n1\n", ""));
}

/// A home with profiles.
fn home(profiles: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".config/sqe")).unwrap();
    std::fs::write(home.path().join(".config/sqe/config.toml"), profiles).unwrap();
    home
}

#[test]
fn a_profile_says_where_as_whom_and_how() {
    let demo = Demo::shared();
    let text = format!(
        "[profiles.lab]\nuri = \"{}\"\ntoken_file = \"bob.token\"\nschema = \"scratch\"\nformat = \"ndjson\"\n\
         [profiles.none]\nuri = \"grpc://127.0.0.1:1\"\n",
        demo.connection.uri
    );
    let home = home(&text);
    let folder = home.path().join(".config/sqe");
    std::fs::write(folder.join("bob.token"), &demo.connection.people["bob"].token).unwrap();
    let ask = |arguments: &[&str], variables: &[(&str, &str)], sql: &str| {
        let mut command = Command::new(binary());
        command.arg("sql").args(arguments).args(["-c", sql]).env_clear().env("HOME", home.path());
        command.envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap()
    };
    let suppliers = "SELECT count(*) AS n FROM tpch.supplier";
    assert_eq!(stdout(&ask(&["--profile", "lab"], &[], suppliers)), "{\"n\":100}\n");
    assert_eq!(stdout(&ask(&[], &[("SQE_PROFILE", "lab")], suppliers)), "{\"n\":100}\n");
    // Names point where the profile says, and an argument wins over it.
    assert_eq!(ask(&["--profile", "lab"], &[], "SELECT count(*) FROM supplier").status.code(), Some(5));
    let output = ask(&["--profile", "lab", "--schema", "tpch", "-o", "csv"], &[], "SELECT count(*) AS n FROM supplier");
    assert_eq!(stdout(&output), "n\n100\n", "{}", stderr(&output));
    // So does a variable: alice sees no suppliers.
    let alice = demo.connection.people["alice"].token.as_str();
    assert_eq!(ask(&["--profile", "lab"], &[("SQE_TOKEN", alice)], suppliers).status.code(), Some(5));
    let output = ask(&["--profile", "none", "--uri", &demo.connection.uri], &[("SQE_TOKEN", alice)], "SELECT 1 AS n");
    assert_eq!(stdout(&output), "n\n1\n", "{}", stderr(&output));
    let nowhere = ask(&["--profile", "none"], &[("SQE_URI", &demo.connection.uri), ("SQE_TOKEN", alice)], "SELECT 1");
    assert_eq!(nowhere.status.code(), Some(6), "a variable won over --profile: {}", stderr(&nowhere));

    let wrong = ask(&["--profile", "lub"], &[], "SELECT 1");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("is lab meant?"), "{}", stderr(&wrong));
    std::fs::write(folder.join("config.toml"), text.replace("schema", "shcema")).unwrap();
    let wrong = ask(&["--profile", "lab"], &[], "SELECT 1");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("is `schema` meant?"), "{}", stderr(&wrong));
}

#[test]
fn explain_shows_a_plan_as_text_and_runs_it_only_where_asked() {
    let demo = Demo::shared();
    let explain = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["explain", "--uri", &demo.connection.uri]).args(arguments).stdin(Stdio::null());
        command.env("SQE_TOKEN", &demo.connection.people["alice"].token).output().unwrap()
    };
    let sql = "SELECT count(*) FROM customer";
    let plan = explain(&[sql]);
    assert!(plan.status.success(), "{}", stderr(&plan));
    assert!(stdout(&plan).contains("physical_plan\n") && stdout(&plan).contains("Aggregate"), "{}", stdout(&plan));
    assert!(!stdout(&plan).contains("BUILDING"), "the policy's filter is shown");
    assert!(stdout(&explain(&["--analyze", sql])).contains("output_rows"));
    assert!(stdout(&explain(&["-o", "csv", sql])).starts_with("plan_type,plan\n"));
    assert_eq!(explain(&["SELECT nothing FROM customer"]).status.code(), Some(5));
    assert_eq!(explain(&["SELECT 1; SELECT 2"]).status.code(), Some(2));
    assert_eq!(explain(&["--analyze", "--policy", sql]).status.code(), Some(2));
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
