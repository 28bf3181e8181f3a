//! What a sudden end leaves behind.

use std::time::Duration;

use crate::site::Site;

const ACCESS: &str = "SELECT outcome, count(*) AS n FROM system.audit.access WHERE subject = 'victim' GROUP BY 1";

fn rows(site: &Site, uri: &str, sql: &str) -> i64 {
    let csv = site.run(uri, sql);
    csv.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_query_cut_short_by_a_kill_is_closed_as_interrupted_by_the_next_start() {
    let site = Site::new();
    let (mut server, uri) = site.serve(&[]);
    site.run(
        &uri,
        "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t AS SELECT value FROM generate_series(1, 2000) AS t(value)",
    );
    // Far longer than this test.
    let mut client = site.start(
        &uri,
        "victim",
        "SELECT count(*) FROM lake.s.t a, lake.s.t b, lake.s.t c, lake.s.t d WHERE a.value + b.value + c.value + d.value = 7",
    );
    site.wait_until_running(&uri, "victim");
    server.signal("KILL").unwrap();
    server.wait(Duration::from_secs(10)).unwrap();
    client.wait().unwrap();
    let (_server, uri) = site.serve(&[]);
    assert!(site.run(&uri, ACCESS).contains("interrupted,"), "{}", site.run(&uri, ACCESS));
}

#[test]
fn a_kill_in_the_middle_of_inserts_leaves_whole_inserts_only() {
    const ROWS: i64 = 5000;
    let site = Site::new();
    let (mut server, mut uri) = site.serve(&[]);
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t (a BIGINT)");
    let mut least = 0;
    for round in 0..4_u64 {
        let insert = format!("INSERT INTO lake.s.t SELECT value FROM generate_series(1, {ROWS}) AS t(value)");
        let mut clients: Vec<_> =
            (0..2).map(|_| site.start(&uri, "victim", &format!("{insert}; {insert}; {insert}"))).collect();
        std::thread::sleep(Duration::from_millis(150 + 400 * round));
        server.signal("KILL").unwrap();
        server.wait(Duration::from_secs(10)).unwrap();
        for client in &mut clients {
            client.wait().unwrap();
        }
        (server, uri) = site.serve(&[]);
        let found = rows(&site, &uri, "SELECT count(*) AS n FROM lake.s.t");
        assert_eq!(found % ROWS, 0, "a part of an insert is visible");
        assert!(found >= least, "an insert that was there is gone");
        least = found;
    }
    // The table still takes inserts.
    site.run(&uri, &format!("INSERT INTO lake.s.t SELECT value FROM generate_series(1, {ROWS}) AS t(value)"));
    assert_eq!(rows(&site, &uri, "SELECT count(*) AS n FROM lake.s.t"), least + ROWS);
}

#[test]
fn two_servers_that_insert_into_one_table_at_once_lose_nothing() {
    let site = Site::new();
    let (_first, uri) = site.serve(&[]);
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t (a BIGINT)");
    // A trail has one writer, so the second server keeps one of its own.
    let other = site.path().join("audit-2");
    let (_second, other_uri) = second(&site, other.to_str().unwrap());
    std::thread::scope(|scope| {
        for uri in [&uri, &other_uri] {
            scope.spawn(|| {
                for _ in 0..5 {
                    site.run(uri, "INSERT INTO lake.s.t SELECT value FROM generate_series(1, 10) AS t(value)");
                }
            });
        }
    });
    for uri in [&uri, &other_uri] {
        assert_eq!(rows(&site, uri, "SELECT count(*) AS n FROM lake.s.t"), 100);
    }
}

fn second(site: &Site, trail: &str) -> (sqe_testkit::process::Sqe, String) {
    // The log of the first server must not be taken for that of the second.
    std::fs::rename(site.path().join("server.log"), site.path().join("first.log")).unwrap();
    site.serve(&[("SQE__AUDIT__PATH", trail)])
}
