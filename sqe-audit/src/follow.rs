//! Following a trail: each record once, in order, proven to be the one that stood there, and not before it is durable.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use sqe_core::{Error, Result};
use uuid::Uuid;

use crate::{
    hash::{Hash, Head},
    read::Entry,
    record::{Line, Record},
    segment::{self, Lines, Segment, Step, io_error},
    trail::Position,
};

/// One record of a trail that is being followed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Followed {
    /// The chain's id.
    pub chain: Uuid,
    /// The record and its place in the chain.
    pub entry: Entry,
    /// The record as it stands in the trail: one line of JSON, without its line feed.
    pub line: String,
}

impl Followed {
    /// The chain up to this record: where to go on after it.
    #[must_use]
    pub fn head(&self) -> Head {
        Head::new(self.chain, self.entry.seq, self.entry.hash)
    }
}

/// Reads a trail's records as they come, also while it is being written.
///
/// Each record is checked against its own hash and against the record before it, so what comes out of here is the chain
/// that [`verify`](crate::verify()) would find intact. A follower of a [`Trail`](crate::Trail) sees what is durable; one of
/// a folder makes the bytes that it found durable itself before it reads them.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    durable: Option<Arc<Mutex<Position>>>,
    chain: Option<Uuid>,
    /// The last record that was handed over, or skipped.
    seq: u64,
    hash: Hash,
    /// What to be sure of before anything is handed over.
    expected: Option<Head>,
    /// The segment being read and where its next line begins.
    place: Option<(Segment, u64)>,
    lines: Option<Lines>,
}

impl Follower {
    /// Follows the trail in `dir`, which another process may be writing, from its first record on.
    #[must_use]
    pub fn of_folder(dir: impl Into<PathBuf>) -> Self {
        Self::new(dir.into(), None)
    }

    pub(crate) fn live(dir: PathBuf, durable: Arc<Mutex<Position>>) -> Self {
        Self::new(dir, Some(durable))
    }

    fn new(dir: PathBuf, durable: Option<Arc<Mutex<Position>>>) -> Self {
        let hash = Hash::NONE;
        Self { dir, durable, chain: None, seq: 0, hash, expected: None, place: None, lines: None }
    }

    /// Begins with the record after `head`, once the trail was seen to hold the record that `head` names.
    #[must_use]
    pub fn after(mut self, head: &Head) -> Self {
        self.expected = Some(*head);
        self
    }

    /// Begins again behind `head`, or from the first record on.
    pub(crate) fn again(self, head: Option<Head>) -> Self {
        let fresh = Self::new(self.dir, self.durable);
        match head {
            Some(head) => fresh.after(&head),
            None => fresh,
        }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The next record; `None` if there is none yet, in which case a later call may find one. Blocks while it reads.
    ///
    /// # Errors
    /// `NotFound` if there is no trail; `Conflict` if the trail is not the one that was followed before; `Internal` if a
    /// record was changed, moved or removed, and then each further call says so again; `Unavailable` if the disk fails.
    pub fn advance(&mut self) -> Result<Option<Followed>> {
        loop {
            let Some(found) = self.step()? else {
                // A trail that ends before it was thought to be was cut off.
                return match self.expected {
                    Some(head) if self.durable.is_none() || self.is_past(&head) => Err(self.not_the_one(&head)),
                    _ => Ok(None),
                };
            };
            let Some(head) = self.expected else { return Ok(Some(found)) };
            if found.entry.seq == head.seq {
                if found.head() != head {
                    return Err(self.not_the_one(&head));
                }
                self.expected = None;
            }
        }
    }

    /// Whether the writer's own position is behind `head`: it was reached by somebody, so records are gone.
    fn is_past(&self, head: &Head) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.lock().head.seq < head.seq)
    }

    fn not_the_one(&self, head: &Head) -> Error {
        Error::conflict(format!(
            "the audit trail in {} does not hold record {} that was exported before: it was rewritten, cut off, or is \
             another one; run sqe audit verify with --head {head}",
            self.dir.display(),
            head.seq
        ))
    }

    fn step(&mut self) -> Result<Option<Followed>> {
        loop {
            if self.durable.as_ref().is_some_and(|durable| durable.lock().head.seq <= self.seq) {
                return Ok(None);
            }
            let Some((segment, offset)) = &mut self.place else {
                let Some(first) = self.first_segment()? else { return Ok(None) };
                self.place = Some((first, 0));
                continue;
            };
            if self.lines.is_none() {
                let len = durable_length(&segment.path, *offset)?;
                if len <= *offset {
                    // Nothing new here; the next segment, if it is there, begins with the next record.
                    let next = Segment::new(&self.dir, self.seq + 1);
                    if self.seq == 0 || !next.path.is_file() || next == *segment {
                        return Ok(None);
                    }
                    self.place = Some((next, 0));
                    continue;
                }
                let lines = Lines::open_at(&segment.path, *offset, len);
                self.lines = Some(lines.map_err(|error| io_error("cannot read", &segment.path, error))?);
            }
            let Some(lines) = &mut self.lines else { continue };
            match lines.step().map_err(|error| io_error("cannot read", &segment.path, error))? {
                Step::Line => {
                    let name = segment.name();
                    let text = lines.line();
                    let line = Line::parse(text).filter(Line::is_intact);
                    let line = line.filter(|line| line.seq == self.seq + 1 && line.prev == self.hash);
                    let Some(line) = line else {
                        // INVARIANT: `place` stays, so that the next call finds the same.
                        self.lines = None;
                        return Err(broken(self.seq + 1, &name));
                    };
                    let record = line.record()?;
                    let text = std::str::from_utf8(text).map_err(|_| broken(line.seq, &name))?.to_owned();
                    let entry = Entry { seq: line.seq, prev: line.prev, hash: line.hash, record };
                    *offset += text.len() as u64 + 1;
                    match &entry.record {
                        Record::Genesis { chain, .. } => self.chain = Some(*chain),
                        Record::Segment(header) => self.chain = Some(header.chain),
                        _ => {}
                    }
                    self.seq = entry.seq;
                    self.hash = entry.hash;
                    let Some(chain) = self.chain else { return Err(broken(entry.seq, &name)) };
                    return Ok(Some(Followed { chain, entry, line: text }));
                }
                // Unfinished: somebody writes it right now.
                Step::Unfinished | Step::End => {
                    let stuck = lines.line().is_empty();
                    self.lines = None;
                    if !stuck {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Where to begin: with the last segment that begins before what comes next, for its header holds all that is needed
    /// of those before it.
    fn first_segment(&mut self) -> Result<Option<Segment>> {
        let segments = segment::list(&self.dir)?;
        if segments.is_empty() {
            return Err(Error::not_found(format!("there is no audit trail in {}", self.dir.display())));
        }
        let from = self.expected.map_or(1, |head| head.seq);
        let Some(first) = segments.into_iter().rev().find(|segment| segment.first <= from) else {
            return Err(broken(from, "the folder"));
        };
        // The line before a segment's first is named by it; what proves it is `expected`.
        if first.first > 1 {
            let mut lines = first.lines().map_err(|error| io_error("cannot read", &first.path, error))?;
            let step = lines.step().map_err(|error| io_error("cannot read", &first.path, error))?;
            let line = Line::parse(lines.line()).filter(|line| step == Step::Line && line.is_intact());
            let line = line.filter(|line| line.seq == first.first);
            let line = line.ok_or_else(|| broken(first.first, &first.name()))?;
            (self.seq, self.hash) = (line.seq - 1, line.prev);
        }
        Ok(Some(first))
    }
}

/// How long a file is, and, if that is more than `known`, from now on whatever happens.
fn durable_length(path: &Path, known: u64) -> Result<u64> {
    let measure = || {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        if len > known {
            file.sync_data()?;
        }
        Ok(len)
    };
    measure().map_err(|error| io_error("cannot read", path, error))
}

fn broken(seq: u64, place: &str) -> Error {
    Error::internal(format!(
        "record {seq} of the audit trail, in {place}, is not the one that was written; nothing from there on is exported; \
         verify the trail"
    ))
}

#[cfg(test)]
mod tests {
    use sqe_core::{ErrorKind, Identity, Principal, QueryId, audit::*};

    use super::*;
    use crate::{Records, Trail, TrailOptions};

    async fn write(trail: &Trail, queries: usize) {
        for _ in 0..queries {
            let identity = Identity::new(Principal::new("i", "s"));
            let facts = QueryFacts::new(QueryId::random(), &identity, ClientInfo::new("test"), "SELECT ?");
            trail.record(AuditEvent::now(facts.clone(), EventKind::Intent, vec![])).await.unwrap();
            let effect = EventKind::Effect(QueryEffect::new(Outcome::Completed, 1, 8));
            trail.record(AuditEvent::now(facts, effect, vec![])).await.unwrap();
        }
    }

    fn rest(follower: &mut Follower) -> Vec<Followed> {
        std::iter::from_fn(|| follower.advance().unwrap()).collect()
    }

    #[tokio::test]
    async fn every_record_comes_once_across_segments_also_those_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let trail = TrailOptions::new().with_segment_bytes(1500).open(dir.path()).unwrap();
        let (mut live, mut folder) = (trail.follower(), Follower::of_folder(dir.path()));
        let mut seen = (Vec::new(), Vec::new());
        for _ in 0..8 {
            write(&trail, 2).await;
            seen.0.extend(rest(&mut live));
            seen.1.extend(rest(&mut folder));
            assert_eq!(seen.0.last().map(Followed::head), Some(trail.head()));
        }
        let all: Vec<_> = Records::open(dir.path()).unwrap().map(Result::unwrap).collect();
        assert!(all.iter().any(|entry| matches!(entry.record, Record::Segment(_))), "one segment proves little");
        assert_eq!(seen.0.iter().map(|found| found.entry.clone()).collect::<Vec<_>>(), all);
        assert_eq!(seen.0, seen.1);
    }

    #[tokio::test]
    async fn it_goes_on_after_any_record_and_never_on_another_trail() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let trail = TrailOptions::new().with_segment_bytes(1500).open(dir.path()).unwrap();
        write(&trail, 10).await;
        let all = rest(&mut Follower::of_folder(dir.path()));
        for found in &all {
            let after = rest(&mut Follower::of_folder(dir.path()).after(&found.head()));
            assert_eq!(after, all[usize::try_from(found.entry.seq).unwrap()..]);
        }
        let elsewhere = Trail::open(other.path()).unwrap();
        write(&elsewhere, 20).await;
        for head in [elsewhere.head(), Head::new(all[0].chain, 3, all[0].entry.hash)] {
            for mut follower in [Follower::of_folder(dir.path()).after(&head), trail.follower().after(&head)] {
                assert_eq!(follower.advance().unwrap_err().kind(), ErrorKind::Conflict, "{head}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_durable_is_not_seen_and_half_a_line_neither() {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path()).unwrap();
        write(&trail, 1).await;
        let mut live = trail.follower();
        let seen = rest(&mut live).len();
        // Bytes that the writer has not vouched for: a whole line, then half a one.
        let path = Segment::new(dir.path(), 1).path;
        let head = trail.head();
        let mut bytes = std::fs::read(&path).unwrap();
        crate::record::append_line(
            &mut bytes,
            head.seq + 1,
            &head.hash,
            br#"{"opened":{"time":"2026-01-01T00:00:00Z","interrupted":0}}"#,
        );
        let whole = bytes.len();
        bytes.extend_from_slice(b"{\"seq\":");
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(live.advance(), Ok(None)));
        let mut folder = Follower::of_folder(dir.path());
        assert_eq!(rest(&mut folder).len(), seen + 1);
        std::fs::write(&path, &bytes[..whole]).unwrap();
        assert!(matches!(folder.advance(), Ok(None)));
    }

    #[tokio::test]
    async fn a_changed_record_stops_it_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path()).unwrap();
        write(&trail, 3).await;
        drop(trail);
        let path = Segment::new(dir.path(), 1).path;
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, after) = text.split_at(text.match_indices('\n').nth(3).unwrap().0);
        std::fs::write(&path, format!("{before}{}", after.replacen("completed", "cancelled", 1))).unwrap();
        let mut follower = Follower::of_folder(dir.path());
        let mut seen = 0;
        let error = loop {
            match follower.advance() {
                Ok(Some(_)) => seen += 1,
                Ok(None) => panic!("the change went unnoticed"),
                Err(error) => break error,
            }
        };
        assert!(seen >= 3, "{seen}");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(follower.advance().is_err(), "it must not go on behind it");
    }
}
