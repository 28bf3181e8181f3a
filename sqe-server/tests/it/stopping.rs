//! SIGTERM: nothing new begins, and what runs may end.

use std::time::Duration;

use futures::TryStreamExt;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};

use crate::site::{Site, eventually};

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
