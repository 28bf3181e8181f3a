//! Proving that a trail is what its writers wrote.

mod report;
mod walk;

use std::{fs::File, fs::TryLockError, path::Path};

use sqe_core::{Error, Result};

pub use report::{Fault, FaultKind, Report};

use crate::{hash::Head, segment, trail::LOCK};

/// Checks every record of the trail in `dir` and their chain, and, with a `head` that was kept elsewhere, that nothing
/// up to it was cut off or rewritten. Reads only; the trail may be in use meanwhile.
///
/// Without a head a chain proves that no record was changed, removed, reordered or added in the middle by somebody who
/// did not also rewrite everything behind it. Records cut from the end, and a chain rewritten as a whole, show only
/// against a head.
///
/// # Errors
/// `NotFound` if there is no trail in `dir`; `Unavailable` if it cannot be read. Everything that is wrong with the
/// trail itself is in the report.
pub fn verify(dir: impl AsRef<Path>, head: Option<&Head>) -> Result<Report> {
    let dir = dir.as_ref();
    let nothing = || Error::not_found(format!("there is no audit trail in {}", dir.display()));
    if !dir.is_dir() {
        return Err(nothing());
    }
    let mut second = false;
    loop {
        let segments = segment::list(dir)?;
        if segments.is_empty() && head.is_none() {
            return Err(nothing());
        }
        let (mut report, unfinished) = walk::walk(&segments, head)?;
        let clean = report.is_intact() && unfinished.is_none();
        // A writer may have been in the middle of a write, or have taken a failed one back while we read it. What is
        // wrong with a trail is still wrong a moment later.
        if !clean && !second && is_being_written(dir) {
            second = true;
            continue;
        }
        if let Some(fault) = unfinished
            && !is_being_written(dir)
        {
            report.add(fault);
        }
        return Ok(report);
    }
}

/// Whether a writer holds the folder's lock.
fn is_being_written(dir: &Path) -> bool {
    let Ok(lock) = File::open(dir.join(LOCK)) else { return false };
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}
