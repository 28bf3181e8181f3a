//! How long the smallest statement takes: what a query costs before it reads anything.

use std::{fmt, io::Write, path::Path, time::Instant};

use anyhow::{Context, Result};
use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use serde::Serialize;
use sqe_core::Secret;
use tonic::transport::Endpoint;

const ROUNDS: usize = 200;

/// Medians, in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    /// One prepared `SELECT 1`, from its execution to its last row.
    select_one_seconds: f64,
    /// Making a small write to a file of the same folder durable: what the audit trail has to wait for.
    fsync_seconds: f64,
    /// From the start of a server's process over this data to the answer of its first statement.
    pub(super) ready_seconds: Option<f64>,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (select, sync) = (self.select_one_seconds * 1e3, self.fsync_seconds * 1e3);
        write!(f, "one prepared SELECT 1: {select:.2} ms; one fsync: {sync:.2} ms")?;
        match self.ready_seconds {
            Some(seconds) => write!(f, "; ready after {:.0} ms", seconds * 1e3),
            None => Ok(()),
        }
    }
}

/// Measures statement and fsync, taking turns. How long a start takes is measured elsewhere.
pub(super) async fn measure(uri: &str, token: &Secret, folder: &Path) -> Result<Point> {
    let channel = Endpoint::from_shared(uri.replacen("grpc://", "http://", 1))?.tcp_nodelay(true).connect().await?;
    let mut client = FlightSqlServiceClient::new(channel);
    client.set_token(token.expose().to_owned());
    let mut prepared = client.prepare("SELECT 1".to_owned(), None).await?;
    let mut file = tempfile::tempfile_in(folder).context("cannot write beside the data")?;
    let (mut selects, mut syncs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let info = prepared.execute().await?;
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.context("an endpoint without a ticket")?;
            client.do_get(ticket).await?.try_collect::<Vec<_>>().await?;
        }
        selects.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        file.write_all(&[0; 512])?;
        file.sync_data()?;
        syncs.push(begin.elapsed().as_secs_f64());
    }
    prepared.close().await?;
    Ok(Point { select_one_seconds: median(selects), fsync_seconds: median(syncs), ready_seconds: None })
}

pub(super) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
