//! Policies, and files about identities, change while the server runs: SIGHUP reads them again.

use std::{error::Error as _, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sqe_auth::Withdrawn;
use sqe_core::Engine;
use sqe_policy::CedarPolicy;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinSet, spawn_blocking},
    time::MissedTickBehavior,
};

use crate::wire::identity::{Changing, Watched};

/// From now on reads the policies, and the files about identities, again at each SIGHUP, and never ends the process by
/// one. The sessions of those whose right is gone then end, with what they run.
///
/// Each batch of decisions is wholly by the old or wholly by the new policies. What is refused changes nothing.
///
/// # Errors
/// The system takes no handler.
pub(crate) fn on_hangup(
    watches: &mut JoinSet<()>,
    policy: Option<Arc<CedarPolicy>>,
    changing: Vec<Changing>,
    engine: Engine,
) -> Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    if let Some(policy) = &policy {
        tracing::info!(snapshot = policy.snapshot(), "the policies are in force");
    }
    watches.spawn(async move {
        while hangups.recv().await.is_some() {
            match &policy {
                Some(policy) => again(policy).await,
                None => tracing::warn!("SIGHUP: a policy of this kind has nothing to read again"),
            }
            for files in &changing {
                match files.reload().await {
                    Ok(Ok(withdrawn)) => {
                        let ended = end(&engine, &withdrawn);
                        tracing::info!(what = files.what, ended, "SIGHUP: read again and in force");
                    }
                    Ok(Err(error)) => {
                        let source = error.source().map(ToString::to_string);
                        tracing::error!(
                            what = files.what,
                            source,
                            "SIGHUP: what was read before stays in force: {error}"
                        );
                    }
                    Err(error) => {
                        tracing::error!(what = files.what, %error, "SIGHUP: what was read before stays in force");
                    }
                }
            }
        }
    });
    Ok(())
}

/// Looks at the file of withdrawn rights every so often, and ends the sessions of those whom it covers. Never returns.
pub(crate) async fn watch(Watched { revocations, every }: Watched, engine: Engine) {
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A file that stays broken is told of once.
    let mut told: Option<String> = None;
    loop {
        ticks.tick().await;
        let revocations = Arc::clone(&revocations);
        match spawn_blocking(move || revocations.reload_if_changed()).await {
            Ok(Ok(None)) => told = None,
            Ok(Ok(Some(withdrawn))) => {
                let ended = end(&engine, &withdrawn);
                tracing::info!(ended, "the revocation file was read again and is in force");
                told = None;
            }
            Ok(Err(error)) => {
                let said = error.to_string();
                if told.as_ref() != Some(&said) {
                    tracing::error!("the revocations that were read before stay in force: {said}");
                    told = Some(said);
                }
            }
            Err(error) => tracing::error!(%error, "the revocation file was not read"),
        }
    }
}

fn end(engine: &Engine, withdrawn: &Withdrawn) -> usize {
    engine.end_sessions(|identity| withdrawn.covers(identity))
}

async fn again(policy: &Arc<CedarPolicy>) {
    let before = policy.snapshot();
    // It reads files.
    let reading = spawn_blocking({
        let policy = Arc::clone(policy);
        move || policy.reload()
    });
    match reading.await {
        Ok(Ok(snapshot)) => {
            let changed = snapshot != before;
            tracing::info!(snapshot, before, changed, "SIGHUP: the policies were read again and are in force");
        }
        Ok(Err(error)) => {
            let source = error.source().map(ToString::to_string);
            tracing::error!(snapshot = before, source, "SIGHUP: the old policies stay in force: {error}");
        }
        Err(error) => {
            tracing::error!(snapshot = before, %error, "SIGHUP: the old policies stay in force");
        }
    }
}
