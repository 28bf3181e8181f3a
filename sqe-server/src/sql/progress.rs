//! That something happens, on standard error, while a statement takes long.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// Until then nobody wonders.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line that is renewed and taken away.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    wanted: bool,
    shown: bool,
    ticks: Interval,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let mut ticks = interval(Duration::from_millis(250));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { began: Instant::now(), wanted: io::stderr().is_terminal(), shown: false, ticks }
    }

    /// How long it takes so far.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until the line should be renewed. Never ready where nobody would see it.
    pub(super) async fn tick(&mut self) {
        match self.wanted {
            true => {
                self.ticks.tick().await;
            }
            false => std::future::pending().await,
        }
    }

    /// Renews the line.
    pub(super) fn show(&mut self, rows: usize) {
        if self.elapsed() < PATIENCE {
            return;
        }
        self.shown = true;
        let rows = if rows == 0 { String::new() } else { format!(", {rows} rows") };
        eprint!("\r\u{1b}[Krunning for {} s{rows} (Ctrl-C stops it)", self.elapsed().as_secs());
        let _unseen = io::stderr().flush();
    }

    /// Takes the line away, before something else is written.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\u{1b}[K");
        }
    }

    /// Takes the line away for good: rows appear on the same terminal.
    pub(super) fn end(&mut self) {
        self.clear();
        self.wanted = false;
    }
}
