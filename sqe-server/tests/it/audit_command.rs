//! `sqe audit search` and `sqe audit export`, and the export of a server.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use sqe_testkit::rotel::Rotel;

use crate::{
    collector::Collector,
    site::{Site, binary, eventually, sql_as, stderr, stdout},
};

const CANARY: &str = "canary-7f3a";

fn audit(command: &str, site: &Site, arguments: &[&str]) -> Output {
    let mut words = Command::new(binary());
    words.args(["audit", command, "--path"]).arg(site.path().join("audit")).args(arguments).output().unwrap()
}

fn ok(output: Output) -> String {
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn exported_to(site: &Site, endpoint: &str) {
    let file = site.path().join("sqe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let otlp = format!("[audit]\n            otlp = {{ endpoint = \"{endpoint}\" }}");
    std::fs::write(&file, text.replace("[audit]", &otlp)).unwrap();
}

/// Some people, some tables, a denial, and a literal that nobody is to see again.
fn busy(site: &Site, uri: &str) {
    site.run(uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.people AS SELECT 1 AS id, 'x' AS name, 5 AS age");
    site.run(uri, &format!("SELECT name FROM lake.s.people WHERE name <> '{CANARY}'"));
    let reader = site.token("o'brien");
    site.run_as(uri, &reader, "SELECT id, age FROM lake.s.people");
    let missing = sql_as(uri, &reader, &["-c", "SELECT * FROM lake.s.nowhere"]);
    assert_eq!(missing.status.code(), Some(5), "{}", stderr(&missing));
}

fn stopped(mut server: sqe_testkit::process::Sqe) {
    server.signal("TERM").unwrap();
    server.wait(Duration::from_secs(30)).unwrap();
}

fn records(site: &Site) -> usize {
    std::fs::read_dir(site.path().join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .map(|path| std::fs::read_to_string(path).unwrap().lines().count())
        .sum()
}

/// Everything in a file of the site, where `CANARY` may stand in the data but nowhere else.
fn assert_no_canary(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{}", path.display());
}

#[test]
fn search_tells_who_read_which_columns_of_a_table_and_proves_the_trail() {
    let site = Site::new();
    let (server, uri) = site.serve(&[]);
    busy(&site, &uri);
    stopped(server);
    let rows = |arguments: &[&str]| {
        let text = ok(audit("search", &site, &[&["-o", "ndjson"], arguments].concat()));
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let reads = rows(&["--table", "people", "--action", "select"]);
    assert_eq!(reads.len(), 2, "{reads:?}");
    let brien = rows(&["--table", "s.people", "--user", "o'brien"]);
    assert_eq!(brien.len(), 1, "{brien:?}");
    assert_eq!(brien[0]["columns"], serde_json::json!(["id", "age"]), "{brien:?}");
    assert_eq!((brien[0]["rows"].as_i64(), brien[0]["outcome"].as_str()), (Some(1), Some("completed")));
    assert_eq!(rows(&["--table", "lake.s.people", "--column", "age"]).len(), 1);
    assert_eq!(rows(&["--decision", "missing"]).len(), 1);
    assert_eq!(rows(&["--table", "eople"]).len(), 0, "a part of a name is no name");
    assert_eq!(rows(&["--table", "people", "--to", "2020-01-01"]).len(), 0);
    assert_eq!(rows(&["--table", "people", "--from", "2020-01-01", "--action", "select"]).len(), 2);
    let shown = audit("search", &site, &["--table", "people", "-o", "table"]);
    assert!(stderr(&shown).contains("intact") && stdout(&shown).contains("o'brien"), "{}", stdout(&shown));

    // The same over a trail that somebody changed: the rows are there, and so is the failure.
    let segment = site.path().join("audit/00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("o'brien", "o'brian", 1)).unwrap();
    let output = audit("search", &site, &["--table", "people"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("changed") && stdout(&output).contains("people"), "{}", stderr(&output));
    assert_eq!(audit("search", &site, &["--head", "x"]).status.code(), Some(2));
}

#[test]
fn an_export_is_one_event_a_record_goes_on_at_its_bookmark_and_holds_no_literals() {
    let site = Site::new();
    let (server, uri) = site.serve(&[]);
    busy(&site, &uri);
    let mark = site.path().join("mark");
    let mark = mark.to_str().unwrap();
    // The server runs.
    let first = ok(audit("export", &site, &["--format", "ocsf", "--bookmark", mark]));
    site.run(&uri, "SELECT count(*) FROM lake.s.people");
    stopped(server);
    let second = ok(audit("export", &site, &["--format", "ocsf", "--bookmark", mark]));
    let sequence: Vec<u64> = format!("{first}{second}")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["metadata"]["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequence, (1..=records(&site) as u64).collect::<Vec<_>>());
    assert!(second.lines().count() >= 2 && !first.contains(CANARY));
    assert_eq!(ok(audit("export", &site, &["--format", "ocsf", "--bookmark", mark])), "");

    // As they stand in the trail.
    let whole = ok(audit("export", &site, &["--format", "ndjson"]));
    assert_eq!(whole, std::fs::read_to_string(site.path().join("audit/00000000000000000001.jsonl")).unwrap());
    assert!(!whole.contains(CANARY));
    assert_eq!(ok(audit("export", &site, &["--format", "ocsf", "--to", "2020-01-01"])), "");

    // Nothing from a changed record on, and not as if that were all.
    let segment = site.path().join("audit/00000000000000000001.jsonl");
    std::fs::write(&segment, whole.replacen("o'brien", "o'brian", 1)).unwrap();
    let output = audit("export", &site, &["--format", "ocsf"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let told = stdout(&output);
    assert!(!told.contains("o'brian") && told.lines().count() < sequence.len(), "{told}");
}

#[test]
fn an_export_that_follows_and_is_killed_goes_on_without_a_gap() {
    let site = Site::new();
    let (server, uri) = site.serve(&[]);
    let (out, mark) = (site.path().join("out"), site.path().join("mark"));
    let follow = || {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&out).unwrap();
        let mut command = Command::new(binary());
        command.args(["audit", "export", "--format", "ocsf", "--follow", "--path"]).arg(site.path().join("audit"));
        command.arg("--bookmark").arg(&mark).stdout(file).stderr(Stdio::null()).spawn().unwrap()
    };
    let seen = || {
        let text = std::fs::read_to_string(&out).unwrap();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        whole.map(|event| event["metadata"]["sequence"].as_u64().unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    for round in 0..4 {
        let mut export = follow();
        site.run(&uri, &format!("SELECT {round} AS a"));
        if round % 2 == 0 {
            eventually("some of it came", || !seen().is_empty());
        }
        export.kill().unwrap();
        export.wait().unwrap();
    }
    let mut export = follow();
    let all = records(&site) as u64;
    eventually("all of it came", || seen().into_iter().eq(1..=all));
    // Its bookmark is its own.
    let words = ["--format", "ocsf", "--bookmark", mark.to_str().unwrap()];
    let second = audit("export", &site, &words);
    assert!(!second.status.success() && stderr(&second).contains("another export"), "{}", stderr(&second));
    export.kill().unwrap();
    export.wait().unwrap();
    stopped(server);
}

#[rstest::rstest]
#[case(&["--format", "otlp"], "--endpoint")]
#[case(&["--format", "otlp", "--endpoint", "http://192.0.2.1:4317"], "plaintext")]
#[case(&["--format", "ocsf", "--endpoint", "http://127.0.0.1:4317"], "for --format otlp")]
fn an_export_that_cannot_be_meant_is_wrong_usage(#[case] arguments: &[&str], #[case] problem: &str) {
    let site = Site::new();
    std::fs::create_dir(site.path().join("audit")).unwrap();
    let output = audit("export", &site, arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(problem), "{}", stderr(&output));
}

#[test]
fn a_real_collector_understands_every_record_of_a_servers_statements() {
    let site = Site::new();
    let Some(collector) = Rotel::start(site.path(), "logs").unwrap() else { return };
    exported_to(&site, &collector.endpoint());
    let (server, uri) = site.serve(&[]);
    busy(&site, &uri);
    let all = records(&site);
    // As the collector writes an attribute down.
    let count = |attribute: &str| collector.said().lines().filter(|line| line.trim() == attribute).count();
    eventually("the collector has all of them", || {
        (1..=all).all(|seq| count(&format!("-> sqe.audit.seq: Int({seq})")) > 0)
    });
    assert_eq!(count("-> user.id: Str(o'brien)"), 3, "an intent, its effect, and a refusal\n{}", collector.said());
    assert_eq!(count("-> error.type: Str(not_found)"), 1);
    assert!(count("-> db.collection.name: Str(people)") > 2 && count("-> db.namespace: Str(lake.s)") > 2);
    assert!(collector.said().contains("WHERE name <> ?"), "{}", collector.said());
    assert!(!collector.said().contains(CANARY) && !server.log().contains(CANARY));
    stopped(server);
}

#[test]
fn a_killed_server_and_a_collector_that_was_away_lose_nothing() {
    let port = sqe_testkit::free_port().unwrap();
    let site = Site::new();
    exported_to(&site, &format!("http://127.0.0.1:{port}"));
    // Nobody takes anything, and nobody waits for that.
    let (server, uri) = site.serve(&[]);
    busy(&site, &uri);
    server.signal("KILL").unwrap();
    drop(server);
    // A part of it is taken, then this one goes, too.
    let collector = Collector::at(([127, 0, 0, 1], port).into());
    let (server, uri) = site.serve(&[]);
    eventually("the first records came", || !collector.sequence().is_empty());
    server.signal("KILL").unwrap();
    drop(server);
    let before = collector.sequence();
    let (server, again) = site.serve(&[]);
    assert_ne!(uri, "");
    site.run(&again, "SELECT 1 AS a");
    let all = i64::try_from(records(&site)).unwrap();
    eventually("all of them came", || collector.sequence().len() as i64 >= all);
    stopped(server);
    let after = collector.sequence();
    assert!(after.keys().copied().take(all as usize).eq(1..=all), "{after:?}");
    assert!(before.keys().all(|seq| after.contains_key(seq)));
    // What the bookmark says was taken is not sent a third time.
    let (server, again) = site.serve(&[]);
    site.run(&again, "SELECT 2 AS b");
    let last = i64::try_from(records(&site)).unwrap();
    eventually("the newest came", || collector.sequence().contains_key(&last));
    stopped(server);
    let first_twice = |counts: &std::collections::BTreeMap<i64, usize>| counts[&1];
    assert_eq!(first_twice(&collector.sequence()), first_twice(&after));
}

#[test]
fn what_the_collector_is_shown_stays_secret() {
    let collector = Collector::start();
    let site = Site::new();
    let headers = site.path().join("headers");
    std::fs::write(&headers, format!("authorization: Bearer {CANARY}\n")).unwrap();
    let (server, uri) = site.serve(&[]);
    site.run(&uri, "SELECT 1 AS a");
    stopped(server);
    let headers = headers.to_str().unwrap();
    let output =
        audit("export", &site, &["--format", "otlp", "--endpoint", &collector.endpoint, "--headers-file", headers]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(collector.sequence().len(), records(&site));
    assert!(!stderr(&output).contains(CANARY) && !format!("{:?}", collector.records()).contains(CANARY));
    for entry in std::fs::read_dir(site.path().join("audit")).unwrap() {
        assert_no_canary(&entry.unwrap().path());
    }
    // A line that is no header is named by its number alone.
    std::fs::write(headers, format!("a: 1\n{CANARY}")).unwrap();
    let output =
        audit("export", &site, &["--format", "otlp", "--endpoint", &collector.endpoint, "--headers-file", headers]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("line 2") && !stderr(&output).contains(CANARY), "{}", stderr(&output));
}
