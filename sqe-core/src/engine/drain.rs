//! What an engine is doing, and letting it come to its end.

use std::time::Duration;

use super::Engine;

/// How often somebody who waits for the end looks.
const LOOK: Duration = Duration::from_millis(25);

/// How often in a row nothing must be going on. A client that was told where its rows are needs a moment to ask for them.
const QUIET: usize = 10;

/// What an engine is doing at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// Statements that run.
    pub running: usize,
    /// Statements that wait for their turn to run.
    pub waiting: usize,
    /// Statements that are being planned.
    pub planning: usize,
    /// Statements that wait for their turn to be planned.
    pub waiting_for_planning: usize,
    /// Lists that are being made.
    pub listing: usize,
    /// Sessions that are open.
    pub sessions: usize,
    /// Memory that operators of running statements hold, in bytes.
    pub memory_bytes: usize,
    /// Bytes of running statements in temporary files.
    pub spilled_bytes: u64,
    /// The temporary files of running statements.
    pub spilled_files: usize,
}

impl Engine {
    /// What it is doing now, for those who operate it. It names nobody and nothing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let inner = &self.0;
        let (running, planning) = (inner.admission.running(), inner.admission.planning());
        let spilled = inner.runtime.disk_manager.spilling_progress();
        Activity {
            running: running.taken,
            waiting: running.waiting,
            planning: planning.taken,
            waiting_for_planning: planning.waiting,
            listing: inner.admission.listing().taken,
            sessions: inner.sessions.count(),
            memory_bytes: inner.runtime.memory_pool.reserved(),
            spilled_bytes: spilled.current_bytes,
            spilled_files: spilled.active_files_count,
        }
    }

    /// From now on nobody logs in, and nothing is planned or listed any more: whoever asks is told, as `Unavailable`, that
    /// the engine is shutting down. Statements that run, and those that were planned, may go on.
    pub fn drain(&self) {
        self.0.admission.close();
    }

    /// Whether it was told to [`drain`](Self::drain).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.admission.check_open().is_err()
    }

    /// Waits until nothing is planned, listed or run any more, and for a moment nothing has been. Without a
    /// [`drain`](Self::drain) before it that may never come.
    pub async fn idle(&self) {
        let mut quiet = 0;
        while quiet < QUIET {
            let now = self.activity();
            let busy = now.running + now.waiting + now.planning + now.waiting_for_planning + now.listing;
            quiet = if busy == 0 { quiet + 1 } else { 0 };
            tokio::time::sleep(LOOK).await;
        }
    }
}
