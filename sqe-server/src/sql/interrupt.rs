//! Ctrl-C while a statement runs.

use anyhow::{Context, Result};
use futures::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C stops what runs, and no longer the program.
#[derive(Debug)]
pub(super) struct Interrupts(Signal);

impl Interrupts {
    /// From now on Ctrl-C waits here.
    pub(super) fn catch() -> Result<Self> {
        Ok(Self(signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?))
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            // Nobody will ever press it.
            std::future::pending::<()>().await;
        }
    }

    /// Forgets those that were meant for something that is over.
    pub(super) fn forget(&mut self) {
        while let Some(Some(())) = self.0.recv().now_or_never() {}
    }
}
