//! How long a server takes from nothing to its first answer.

use std::{path::Path, process::Stdio, time::Instant};

use anyhow::{Context, Result, bail};
use sqe_core::Secret;
use sqe_flight::client::{Client, ConnectOptions};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::point::median;
use crate::{config::PREFIX, demo::site};

const STARTS: usize = 5;

/// The median, in seconds, from the start of a process `sqe serve` over the data of `folder` to the last row of its first
/// statement. Nobody else may hold the trail of the folder.
pub(super) async fn measure(folder: &Path, token: &Secret) -> Result<f64> {
    let mut samples = Vec::new();
    for _ in 0..STARTS {
        samples.push(once(folder, token).await.context("a server over the data cannot be started")?);
    }
    Ok(median(samples))
}

async fn once(folder: &Path, token: &Secret) -> Result<f64> {
    let begin = Instant::now();
    let server = Server::start(folder, Stdio::null()).await?;
    let client = Client::connect(&ConnectOptions::new(&server.uri).with_token(token.clone())).await?;
    client.execute("SELECT 1").await?.collect().await?;
    let elapsed = begin.elapsed().as_secs_f64();
    // The trail is durable, and the next start closes what was open.
    server.stop().await?;
    Ok(elapsed)
}

/// `sqe serve` in a process of its own, on a free port of loopback.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) uri: String,
    child: Child,
}

impl Server {
    /// Starts it over the data of `folder` and waits until it serves. Its log goes to `log`.
    #[expect(clippy::disallowed_methods, reason = "to take them away from a child")]
    pub(super) async fn start(folder: &Path, log: Stdio) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--config").arg(folder.join(site::CONFIG));
        // As for the benchmark itself, variables of whoever runs it change nothing.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(PREFIX)) {
            command.env_remove(name);
        }
        command.env(format!("{PREFIX}SERVER__LISTEN"), "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn()?;
        let said = child.stdout.take().context("the server has no standard output")?;
        let line = BufReader::new(said).lines().next_line().await?;
        let Some(uri) = line.as_deref().and_then(|line| line.strip_prefix("serving ")) else {
            bail!("the server ended before it was ready");
        };
        Ok(Self { uri: uri.to_owned(), child })
    }

    /// The id of its process, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
