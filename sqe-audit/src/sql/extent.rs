//! How much of a trail a query sees.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use sqe_core::{Error, Result};

use super::range::TimeRange;
use crate::{
    record::{Line, Outline},
    segment::{self, Lines, Segment, Step, io_error},
    trail::Position,
};

/// One trail.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    dir: PathBuf,
    /// How far it is durable, if this process writes it.
    position: Option<Arc<Mutex<Position>>>,
}

impl Source {
    pub(crate) fn folder(dir: PathBuf) -> Self {
        Self { dir, position: None }
    }

    pub(crate) fn live(dir: PathBuf, position: Arc<Mutex<Position>>) -> Self {
        Self { dir, position: Some(position) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is there now: of a trail that this process writes what is durable, of another one its whole records.
    pub(crate) fn extent(&self) -> Result<Extent> {
        self.look().map_err(unreadable)
    }

    fn look(&self) -> Result<Extent> {
        let position = self.position.as_ref().map(|position| *position.lock());
        let mut segments = segment::list(&self.dir)?;
        if let Some(position) = position {
            segments.retain(|segment| segment.first <= position.segment);
            if segments.last().is_none_or(|last| last.first != position.segment) {
                let folder = self.dir.display();
                return Err(Error::unavailable(format!("the last segment is missing from {folder}; verify the trail")));
            }
            return Ok(Extent { segments, last_len: position.len, seq: Some(position.head.seq) });
        }
        // A segment without a whole record is one that is just being begun.
        while let Some(last) = segments.last() {
            let failed = |error: io::Error| io_error("cannot read", &last.path, error);
            let len = std::fs::metadata(&last.path).map_err(failed)?.len();
            let begun = Lines::open(&last.path, len).and_then(|mut lines| lines.step()).map_err(failed)?;
            if begun == Step::Line {
                return Ok(Extent { segments, last_len: len, seq: None });
            }
            segments.pop();
        }
        Ok(Extent { segments, last_len: 0, seq: None })
    }
}

/// What people are told who read the trail with SQL. Which file it is and what the system says about it is the
/// operator's business, and stands in the operator's log.
pub(super) fn unreadable(error: Error) -> Error {
    Error::new(error.kind(), "the audit trail cannot be read; verify the trail").with_source(error)
}

/// A prefix of a trail.
#[derive(Debug)]
pub(crate) struct Extent {
    segments: Vec<Segment>,
    /// How much of the last segment belongs to it, in bytes.
    last_len: u64,
    /// The last record, if it is known.
    pub(crate) seq: Option<u64>,
}

impl Extent {
    /// The segments, without those that hold no row of `range`, if that is a table with one row a query.
    pub(crate) fn parts(self: &Arc<Self>, range: Option<&TimeRange>) -> Result<Vec<Part>> {
        let mut parts = Vec::with_capacity(self.segments.len());
        for (index, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(index + 1);
            if let (Some(range), Some(next)) = (range.filter(|range| range.is_bounded()), next)
                && !may_hold(next, range).map_err(unreadable)?
            {
                continue;
            }
            let len = if next.is_some() { u64::MAX } else { self.last_len };
            parts.push(Part { extent: Arc::clone(self), segment: segment.clone(), len, last: next.is_none() });
        }
        Ok(parts)
    }
}

/// Whether the segment *before* `next` may hold rows of `range`: the header of `next` knows.
fn may_hold(next: &Segment, range: &TimeRange) -> Result<bool> {
    let failed = |error: io::Error| io_error("cannot read", &next.path, error);
    let mut lines = next.lines().map_err(failed)?;
    if lines.step().map_err(failed)? != Step::Line {
        return Ok(true);
    }
    match Line::parse(lines.line()).map(|line| line.outline()).transpose()? {
        Some(Outline::Segment(header)) => Ok(header.previous.is_some_and(|bounds| range.overlaps(&bounds))),
        _ => Ok(true),
    }
}

/// One segment of an extent.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    extent: Arc<Extent>,
    segment: Segment,
    len: u64,
    /// Whether it is the extent's last: what has no effect up to its end is running.
    pub(crate) last: bool,
}

impl Part {
    /// All segments of the extent.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.extent.segments
    }

    /// Calls `each` with every record and where its line begins, until it says `false`.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Line<'_>, u64) -> Result<bool>) -> Result<bool> {
        let failed = |error: io::Error| unreadable(io_error("cannot read", &self.segment.path, error));
        let mut lines = Lines::open(&self.segment.path, self.len).map_err(failed)?;
        while lines.step().map_err(failed)? == Step::Line {
            let Some(line) = Line::parse(lines.line()) else {
                let segment = self.segment.name();
                let damage = format!("there is something else than a record in {segment}; verify the trail");
                return Err(unreadable(Error::internal(damage)));
            };
            if !each(&line, lines.offset())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
