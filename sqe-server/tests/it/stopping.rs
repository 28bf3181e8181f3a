//! SIGTERM: nothing new begins, and what runs may end.

use std::{
    process::{Command, Output},
    time::Duration,
};

use futures::TryStreamExt;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};

use crate::site::{Site, binary, eventually, stderr, stdout};

/// More than all buffers between the engine and a client that does not read.
const ROWS: usize = 8_000_000;

async fn connect(uri: &str, token: &str) -> sqe_core::Result<Client> {
    Client::connect(&ConnectOptions::new(uri).with_token(Secret::new(token))).await
}

/// How many rows there were, and how the stream ended.
async fn read_slowly(drain_seconds: &str, pause: Duration) -> (usize, sqe_core::Result<()>) {
    let site = Site::new();
    let (mut server, uri) = site.serve(&[("SQE__SERVER__DRAIN_SECONDS", drain_seconds)]);
    let token = site.token("ann");
    let client = connect(&uri, &token).await.unwrap();
    let sql = format!("SELECT value FROM generate_series(1, {ROWS}) AS t(value)");
    let mut rows = client.execute(&sql).await.unwrap();
    let mut read = rows.try_next().await.unwrap().unwrap().num_rows();

    server.signal("TERM").unwrap();
    eventually("the server is stopping", || server.log().contains("stopping"));
    // On a connection that was there before, and on a new one.
    for client in [client.clone(), connect(&uri, &token).await.unwrap()] {
        let refused = client.execute("SELECT 1").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.message().contains("shutting down"), "{refused}");
    }

    tokio::time::sleep(pause).await;
    let end = loop {
        match rows.try_next().await {
            Ok(Some(batch)) => read += batch.num_rows(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    drop((rows, client));
    let status = server.wait(Duration::from_secs(60)).unwrap();
    assert!(status.success(), "{}", server.log());
    (read, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_statement_ends_normally_within_the_drain_time() {
    let (read, end) = read_slowly("60", Duration::from_secs(1)).await;
    end.unwrap();
    assert_eq!(read, ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_drain_time_a_statement_is_cut_with_an_error_and_never_looks_finished() {
    let (read, end) = read_slowly("1", Duration::from_secs(4)).await;
    assert!(end.is_err(), "{read} of {ROWS} rows passed for all");
    assert!(read < ROWS);
}

/// How the statements of one client under load ended.
#[derive(Debug, Default)]
struct Tally {
    completed: usize,
    refused: usize,
    cut: usize,
}

/// Asks until it is refused or cut. A wrong answer is never accepted.
async fn ask_until_refused(uri: String, token: String) -> Tally {
    let mut tally = Tally::default();
    let Ok(client) = connect(&uri, &token).await else { return tally };
    loop {
        let answer = match client.execute("SELECT value FROM generate_series(1, 20000) AS t(value)").await {
            Ok(rows) => rows.collect().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(batches) => {
                assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 20_000);
                tally.completed += 1;
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tally.refused += 1;
                return tally;
            }
            Err(error) => {
                // A connection that ends under an answer is an error, too.
                assert!(matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Internal), "{error:?}");
                tally.cut += 1;
                return tally;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_stop_cuts_nobody_loses_no_record_and_ends_with_0() {
    let site = Site::new();
    let (mut server, uri, http) = site.serve_watched(&[("SQE__SERVER__DRAIN_SECONDS", "60")]);
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t (a BIGINT)");
    let clients: Vec<_> = (0..16)
        .map(|number| tokio::spawn(ask_until_refused(uri.clone(), site.token(&format!("person-{number}")))))
        .collect();
    let writer = tokio::spawn({
        let (uri, token) = (uri.clone(), site.token("writer"));
        async move {
            let client = connect(&uri, &token).await.unwrap();
            let mut written = 0;
            loop {
                let sql = "INSERT INTO lake.s.t SELECT value FROM generate_series(1, 10) AS t(value)";
                match client.execute(sql).await {
                    Ok(rows) => written += rows.collect().await.map_or(0, |_| 10),
                    Err(_) => return written,
                }
            }
        }
    });
    let done = "sqe_statements_total{operation=\"SELECT\",outcome=\"completed\"}";
    eventually("there is load", || crate::probe::metric(&http, done) > 50.0);
    server.signal("TERM").unwrap();
    let mut total = Tally::default();
    for client in clients {
        let tally = client.await.unwrap();
        total.completed += tally.completed;
        total.refused += tally.refused;
        total.cut += tally.cut;
    }
    let written: i64 = writer.await.unwrap();
    assert!(server.wait(Duration::from_secs(90)).unwrap().success(), "{}", server.log());
    assert_eq!((total.cut, total.refused), (0, 16), "{total:?}");

    // Each intent has its effect, and none of them is that of a crash.
    let (_server, uri) = site.serve(&[]);
    let ends = site.run(&uri, "SELECT outcome, count(*) AS n FROM system.audit.access GROUP BY 1 ORDER BY 1");
    assert!(!ends.contains("interrupted") && !ends.contains("cancelled"), "{ends}");
    let completed = "SELECT count(*) AS n FROM system.audit.access WHERE outcome = 'completed' \
                     AND statement LIKE '%generate_series%' AND subject LIKE 'person-%'";
    assert_eq!(site.run(&uri, completed), format!("n\n{}\n", total.completed));
    assert_eq!(site.run(&uri, "SELECT count(*) AS n FROM lake.s.t"), format!("n\n{written}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_cancels_at_once_and_the_end_is_on_record() {
    let site = Site::new();
    let (mut server, uri) = site.serve(&[("SQE__SERVER__DRAIN_SECONDS", "3600")]);
    let client = connect(&uri, &site.token("ann")).await.unwrap();
    let mut rows = client.execute(&format!("SELECT value FROM generate_series(1, {ROWS}) AS t(value)")).await.unwrap();
    rows.try_next().await.unwrap().unwrap();
    server.signal("TERM").unwrap();
    eventually("the server is stopping", || server.log().contains("stopping"));
    server.signal("TERM").unwrap();
    assert!(server.wait(Duration::from_secs(60)).unwrap().success(), "{}", server.log());
    let failed = rows.collect().await;
    assert!(failed.is_err(), "a statement that was cancelled looks finished");
    let (_server, uri) = site.serve(&[]);
    let outcome = "SELECT outcome FROM system.audit.access WHERE subject = 'ann'";
    assert_eq!(site.run(&uri, outcome), "outcome\ncancelled\n");
}

/// Asks for something that takes long, and gives how many batches came and how it ended.
async fn ask_for_long(uri: String, token: String, sql: &'static str) -> (usize, sqe_core::Result<()>) {
    let mut read = 0;
    let end = async {
        let mut rows = connect(&uri, &token).await?.execute(sql).await?;
        while rows.try_next().await?.is_some() {
            read += 1;
            // Reads more slowly than the server could send.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    let end = end.await;
    (read, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_drain_time_long_statements_of_many_end_in_clear_words_and_the_trail_is_whole() {
    const EACH: usize = 5;
    const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) \
                           WHERE x + y = 7";
    const LONG: &str = "SELECT value FROM generate_series(1, 800000000) AS t(value)";
    let site = Site::new();
    let (mut server, uri, http) = site.serve_watched(&[("SQE__SERVER__DRAIN_SECONDS", "1")]);
    // Some compute and say nothing, and some send rows.
    let long: Vec<_> = (0..2 * EACH)
        .map(|number| {
            let (sql, token) = (if number % 2 == 0 { ENDLESS } else { LONG }, site.token(&format!("long-{number}")));
            tokio::spawn(ask_for_long(uri.clone(), token, sql))
        })
        .collect();
    eventually("all of them run", || crate::probe::metric(&http, "sqe_statements_running") == (2 * EACH) as f64);
    // And some come and go.
    let short: Vec<_> = (0..4)
        .map(|number| tokio::spawn(ask_until_refused(uri.clone(), site.token(&format!("short-{number}")))))
        .collect();
    let done = "sqe_statements_total{operation=\"SELECT\",outcome=\"completed\"}";
    eventually("there is load", || crate::probe::metric(&http, done) > 10.0);
    server.signal("TERM").unwrap();
    // None of the long ones would end within the patience of any test.
    assert!(server.wait(Duration::from_secs(60)).unwrap().success(), "{}", server.log());
    assert!(server.log().contains("what still ran was cancelled"), "{}", server.log());
    for (number, client) in long.into_iter().enumerate() {
        let (read, end) = client.await.unwrap();
        let error = end.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{number}, after {read} batches: {error:?}");
        let words = error.message();
        assert!(words.contains("cancelled") && words.contains("the server is stopping"), "{number}: {error}");
    }
    let mut completed = 0;
    for client in short {
        let tally = client.await.unwrap();
        assert_eq!(tally.refused + tally.cut, 1, "{tally:?}");
        completed += tally.completed;
    }

    let verified = audit(&site, &["verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let open = audit(&site, &["search", "--outcome", "running", "-o", "ndjson"]);
    let open = stdout(&open).lines().count();
    let (_server, uri) = site.serve(&[]);
    let count = |what: &str| {
        let sql = format!("SELECT count(*) AS n FROM system.audit.access WHERE {what}");
        site.run(&uri, &sql).lines().nth(1).unwrap().parse::<usize>().unwrap()
    };
    // Each that began has an end; whichever had none when the server ended is marked by the next.
    let ended = |outcome: &str| count(&format!("subject LIKE 'long-%' AND outcome = '{outcome}'"));
    assert_eq!((ended("cancelled") + ended("interrupted"), count("subject LIKE 'long-%'")), (2 * EACH, 2 * EACH));
    assert_eq!(count("outcome = 'interrupted'"), open);
    assert!(count("subject LIKE 'short-%' AND outcome = 'completed'") >= completed);
    assert_eq!(count("outcome = 'running' AND statement NOT LIKE '%outcome = %'"), 0);
    assert!(audit(&site, &["verify"]).status.success());
}

fn audit(site: &Site, words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("audit").args(words).arg("--path").arg(site.path().join("audit")).output().unwrap()
}
