//! SIGTERM: nothing new begins, and what runs may end.

use std::time::{Duration, Instant};

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
    let began = Instant::now();
    let refused = loop {
        match connect(&uri, &token).await {
            Err(error) => break error,
            Ok(_) => assert!(began.elapsed() < Duration::from_secs(10), "a new connection is accepted"),
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);

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
