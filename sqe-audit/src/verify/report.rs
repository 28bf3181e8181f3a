//! What a verification found.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use crate::{hash::Head, record::Torn};

/// No more faults than this are described; all are counted.
const DESCRIBED: usize = 1000;

/// What [`verify`](crate::verify()) found. Prints as text for people; serialises for programs.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The chain's id; `None` if its first record is missing.
    pub chain: Option<Uuid>,
    /// Segment files.
    pub segments: u64,
    /// Records that are intact and in their place.
    pub records: u64,
    /// The last record that is intact and in its place. Keep it elsewhere for the next verification.
    pub head: Option<Head>,
    /// Queries with an intent and no effect yet.
    pub open_intents: u64,
    /// Unfinished bytes that starts after a crash moved aside.
    pub recovered: Vec<Torn>,
    /// How many faults there are.
    pub fault_count: u64,
    /// The first thousand of them, in the order of the files.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether nothing is wrong. A command line exits with 0 if so.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.fault_count == 0
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < DESCRIBED {
            self.faults.push(fault);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        if let Some(more) = self.fault_count.checked_sub(self.faults.len() as u64).filter(|more| *more > 0) {
            writeln!(f, "… and {more} more")?;
        }
        for torn in &self.recovered {
            writeln!(
                f,
                "note: a start after a crash moved {} unfinished bytes of {} to {}",
                torn.bytes, torn.segment, torn.kept_in
            )?;
        }
        if let Some(head) = &self.head {
            writeln!(f, "head {head}")?;
        }
        write!(
            f,
            "{}: {} records in {} segments, {} queries running, {} faults",
            if self.is_intact() { "intact" } else { "NOT INTACT" },
            self.records,
            self.segments,
            self.open_intents,
            self.fault_count
        )
    }
}

/// Something that no writer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// What it is.
    pub kind: FaultKind,
    /// The segment file's name; empty if it is about no file in particular.
    pub file: String,
    /// The line in it, from 1; 0 if it is about no line in particular.
    pub line: u64,
    /// The sequence number of the record concerned, as far as it is known.
    pub seq: Option<u64>,
    /// What is wrong, for people.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}: ", self.file, self.line)?;
        }
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// A line's contents do not have the hash that it names.
    Changed,
    /// A line is no record at all.
    Malformed,
    /// Records are missing in the middle.
    Removed,
    /// All records of a segment file are missing in the middle.
    MissingSegment,
    /// A record stands behind later ones.
    Reordered,
    /// A record is there twice.
    Duplicated,
    /// A record does not follow the one before it: that one was rewritten, or two writers went different ways.
    Forked,
    /// Records up to the head that was kept elsewhere are missing at the end.
    Truncated,
    /// The chain differs from the head that was kept elsewhere.
    Rewritten,
    /// This is another chain.
    OtherChain,
    /// The last line has no end and nobody is writing it: a crash left it, or somebody changed it. The next start
    /// moves it aside.
    Unfinished,
}

impl FaultKind {
    /// The kind in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Malformed => "malformed",
            Self::Removed => "removed",
            Self::MissingSegment => "missing segment",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
            Self::Forked => "forked",
            Self::Truncated => "truncated",
            Self::Rewritten => "rewritten",
            Self::OtherChain => "other chain",
            Self::Unfinished => "unfinished",
        }
    }
}
