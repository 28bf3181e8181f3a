//! Policies change while the server runs: SIGHUP reads them again.

use std::sync::Arc;

use anyhow::{Context, Result};
use sqe_policy::CedarPolicy;
use tokio::signal::unix::{SignalKind, signal};

/// From now on reads the policies again at each SIGHUP, and never ends the process by one.
///
/// Each batch of decisions is wholly by the old or wholly by the new policies. Policies that are refused change nothing.
///
/// # Errors
/// The system takes no handler.
pub(crate) fn on_hangup(policy: Option<Arc<CedarPolicy>>) -> Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    if let Some(policy) = &policy {
        tracing::info!(snapshot = policy.snapshot(), "the policies are in force");
    }
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match &policy {
                Some(policy) => again(policy).await,
                None => tracing::warn!("SIGHUP: a policy of this kind has nothing to read again"),
            }
        }
    });
    Ok(())
}

async fn again(policy: &Arc<CedarPolicy>) {
    let before = policy.snapshot();
    // It reads files.
    let reading = tokio::task::spawn_blocking({
        let policy = Arc::clone(policy);
        move || policy.reload()
    });
    match reading.await {
        Ok(Ok(snapshot)) => {
            let changed = snapshot != before;
            tracing::info!(snapshot, before, changed, "SIGHUP: the policies were read again and are in force");
        }
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(snapshot = before, source, "SIGHUP: the old policies stay in force: {error}");
        }
        Err(error) => {
            tracing::error!(snapshot = before, %error, "SIGHUP: the old policies stay in force");
        }
    }
}
