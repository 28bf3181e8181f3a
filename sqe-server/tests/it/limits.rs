//! What bounds statements: memory, time, and how many a person may run.

use std::time::{Duration, Instant};

use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};

use crate::site::{Site, eventually, rows, sql_as, stderr};

/// Far longer than any test.
const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) \
                       WHERE x + y = 7";

/// Keeps `rows` rows in memory, for a join cannot begin before it has one side.
fn hungry(rows: u64) -> String {
    format!(
        "SELECT count(*) AS n FROM generate_series(1, {rows}) AS a(x) JOIN generate_series(1, {rows}) AS b(y) ON x = y"
    )
}

/// The kind of a statement's failure.
async fn failure(uri: &str, token: &str, sql: &str) -> Option<ErrorKind> {
    let client = Client::connect(&ConnectOptions::new(uri).with_token(Secret::new(token))).await.unwrap();
    match client.execute(sql).await {
        Ok(rows) => rows.collect().await.err().map(|error| error.kind()),
        Err(error) => Some(error.kind()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_wants_more_memory_than_there_is_fails_and_gives_it_back() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[("SQE__LIMITS__MEMORY_BYTES", "16000000")]);
    let token = site.token("ann");
    let small = || assert_eq!(site.run(&uri, &hungry(20_000)), "n\n20000\n");
    small();
    for _ in 0..3 {
        assert_eq!(failure(&uri, &token, &hungry(3_000_000)).await, Some(ErrorKind::ResourceExhausted));
        small();
    }
    let output = sql_as(&uri, &token, &["-c", &hungry(3_000_000)]);
    assert_eq!((output.status.code(), rows(&output)), (Some(6), 0), "{}", stderr(&output));
    // Beside others, too.
    std::thread::scope(|scope| {
        let large = scope.spawn(|| sql_as(&uri, &token, &["-c", &hungry(3_000_000)]));
        assert_eq!(site.run(&uri, "SELECT 1 AS a"), "a\n1\n");
        assert_eq!(large.join().unwrap().status.code(), Some(6));
    });
    small();
}

#[test]
fn without_a_limit_of_memory_the_server_takes_one_of_its_own_and_says_so() {
    let site = Site::new();
    let (server, uri) = site.serve(&[]);
    let log = server.log();
    let line = log.lines().find(|line| line.contains("memory that all statements share")).unwrap();
    // The log may be coloured.
    let bytes: String = line.rsplit("bytes").next().unwrap().chars().filter(char::is_ascii_digit).collect();
    assert!(bytes.len() > 7, "{line}");
    assert_eq!(site.run(&uri, &hungry(300_000)), "n\n300000\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_at_its_deadline_and_others_do_not() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[("SQE__LIMITS__STATEMENT_SECONDS", "2")]);
    let token = site.token("ann");
    let begin = Instant::now();
    assert_eq!(failure(&uri, &token, ENDLESS).await, Some(ErrorKind::DeadlineExceeded));
    assert!((2..60).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert_eq!(failure(&uri, &token, "SELECT 1").await, None);
    let output = sql_as(&uri, &token, &["-c", ENDLESS]);
    assert_eq!((output.status.code(), rows(&output)), (Some(6), 0), "{}", stderr(&output));
    let outcomes = site.run(&uri, "SELECT seq FROM system.audit.events WHERE record LIKE '%deadline_exceeded%'");
    assert!(outcomes.lines().count() > 1, "the trail does not say so: {outcomes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_persons_statements_take_no_place_from_others() {
    let site = Site::new();
    let (_server, uri) =
        site.serve(&[("SQE__LIMITS__STATEMENTS_PER_PERSON", "1"), ("SQE__LIMITS__QUEUE_SECONDS", "1")]);
    let mut first = site.start(&uri, "rob", ENDLESS);
    site.wait_until_running(&uri, "rob");
    let (rob, ann) = (site.token("rob"), site.token("ann"));
    assert_eq!(failure(&uri, &rob, "SELECT 1").await, Some(ErrorKind::ResourceExhausted));
    assert_eq!(failure(&uri, &ann, "SELECT 1").await, None);
    // Whoever ends the first may run the next.
    first.kill().unwrap();
    first.wait().unwrap();
    eventually("there is a place again", || sql_as(&uri, &rob, &["-c", "SELECT 1"]).status.success());
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(failure(&uri, &rob, "SELECT 1").await, None);
}
