//! The README's first command.

use std::{os::unix::fs::PermissionsExt, process::Command};

use crate::site::{Demo, binary, stderr, stdout};

#[test]
fn once_ends_with_success_and_shows_the_tour() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = Command::new(binary());
        command.args(["demo", "--once", "--scale", "0.001", "--data-dir"]).arg(folder.path()).output().unwrap()
    };
    let first = run();
    let said = stdout(&first);
    assert!(first.status.success(), "{said}");
    assert!(said.contains("loaded") && said.contains("checks, all true"), "{said}");
    let reads = reads_of_customer(&said);
    assert!(reads.len() > 5, "{said}");
    let second = run();
    let said = stdout(&second);
    assert!(second.status.success(), "{said}");
    assert!(said.contains("using the data that is there"), "{said}");
    // What the first tour left on record proves nothing about the second.
    assert_eq!(reads_of_customer(&said), reads);
}

/// Who read customer by the tour, in order.
fn reads_of_customer(said: &str) -> Vec<String> {
    let (_, part) = said.split_once("Who read customer").unwrap();
    let (part, _) = part.split_once("alice>").unwrap();
    let rows = part.lines().filter(|line| line.starts_with("| ") && !line.contains("subject"));
    rows.map(|line| line.split('|').nth(1).unwrap().trim().to_owned()).collect()
}

#[test]
fn data_of_another_scale_is_refused_and_never_used_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let run = |scale: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["demo", "--once", "--data-dir"]).arg(folder.path()).args(scale).output().unwrap()
    };
    let refused = |scale: &str| {
        let output = run(&["--scale", scale]);
        assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains(&format!("at scale 0.002, not {scale}")), "{}", stderr(&output));
    };
    let accepted = |scale: &[&str]| {
        let output = run(scale);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    };
    accepted(&["--scale", "0.002"]);
    refused("0.001");
    accepted(&["--scale", "0.002"]);
    // Who names no scale takes what is there.
    accepted(&[]);
    // Data of a time when nothing was noted down is counted.
    std::fs::remove_file(folder.path().join("tpch.scale")).unwrap();
    refused("0.001");
    accepted(&["--scale", "0.002"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("tpch.scale")).unwrap(), "0.002\n");
    // If not even that tells, nothing is guessed.
    std::fs::remove_file(folder.path().join("tpch.scale")).unwrap();
    std::fs::remove_file(folder.path().join("policies/ownership.cedar")).unwrap();
    let output = run(&["--scale", "0.002"]);
    assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("nothing tells of which scale"), "{}", stderr(&output));
}

#[test]
fn once_fails_if_something_that_is_shown_is_not_true() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = Command::new(binary());
        command.args(["demo", "--once", "--scale", "0.001", "--data-dir"]).arg(folder.path()).output().unwrap()
    };
    assert!(run().status.success());
    // With this policy alice sees other rows than the tour says.
    let file = folder.path().join("policies/analysts.cedar");
    let text = std::fs::read_to_string(&file).unwrap();
    let other = text.replace("== \"BUILDING\"", "== \"MACHINERY\"");
    assert_ne!(text, other);
    std::fs::write(&file, other).unwrap();
    let output = run();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("NOT TRUE: alice sees the segment BUILDING alone"), "{}", stdout(&output));
}

#[test]
fn the_connection_file_is_its_owners_alone_and_names_three_people() {
    let demo = Demo::shared();
    let mode = std::fs::metadata(demo.folder.join("connection.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(demo.connection.uri.starts_with("grpc://127.0.0.1:"));
    let names: Vec<&str> = demo.connection.people.keys().map(String::as_str).collect();
    assert_eq!(names, ["alice", "bob", "mallory"]);
}

#[test]
fn no_token_is_written_anywhere_but_into_the_connection_file() {
    let demo = Demo::shared();
    assert!(demo.sql("bob", "SELECT count(*) FROM region").status.success());
    let token = demo.connection.people["bob"].token.as_bytes();
    // The signature: a part that only this token has.
    let signature = token.rsplit(|byte| *byte == b'.').next().unwrap();
    let holds = |path: &std::path::Path| {
        std::fs::read(path).unwrap().windows(signature.len()).any(|window| window == signature)
    };
    assert!(holds(&demo.folder.join("connection.json")));
    let mut folders = vec![demo.folder.clone()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().unwrap() != "connection.json" {
                files += 1;
                assert!(!holds(&path), "{}", path.display());
            }
        }
    }
    assert!(files > 20);
    assert!(!holds(&demo.folder.with_extension("log")));
}
