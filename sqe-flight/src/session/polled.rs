//! A statement that works while its client asks what became of it.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use arrow_flight::FlightDescriptor;
use bytes::Bytes;
use parking_lot::Mutex;
use sqe_core::{Error, engine::Progress};
use tokio::{sync::watch, task::AbortHandle};

use super::entry::Ending;

/// Where it is.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// It is being planned, then its schema is known, or it runs.
    Working {
        /// As an IPC message; empty as long as nobody knows.
        schema: Bytes,
        /// How far it is.
        progress: Progress,
    },
    /// Its rows can be fetched.
    Ready {
        /// As an IPC message.
        schema: Bytes,
        /// How many there are; -1 if nobody knows.
        records: i64,
    },
    /// It came to nothing.
    Failed(Error),
}

/// One such statement.
#[derive(Debug)]
pub(crate) struct Polled {
    /// What it was asked with first.
    pub(crate) descriptor: FlightDescriptor,
    stages: watch::Receiver<Stage>,
    task: AbortHandle,
    asked: Mutex<Instant>,
    ending: OnceLock<Ending>,
}

impl Polled {
    pub(crate) fn new(descriptor: FlightDescriptor, stages: watch::Receiver<Stage>, task: AbortHandle) -> Self {
        Self { descriptor, stages, task, asked: Mutex::new(Instant::now()), ending: OnceLock::new() }
    }

    /// Where it is, and when that changes. Stopped statements change no more.
    pub(crate) fn stages(&self) -> watch::Receiver<Stage> {
        self.stages.clone()
    }

    /// Notes that its client is there.
    pub(crate) fn touch(&self) {
        *self.asked.lock() = Instant::now();
    }

    /// How long nobody asked about it.
    pub(crate) fn idle(&self) -> Duration {
        self.asked.lock().elapsed()
    }

    /// Stops it, if it still works.
    pub(crate) fn stop(&self, why: Ending) {
        // The first reason is the one.
        let _other = self.ending.set(why);
        self.task.abort();
    }

    /// Why it works no more and has come to nothing.
    pub(crate) fn ending(&self) -> Ending {
        self.ending.get().copied().unwrap_or(Ending::Cancelled)
    }
}
