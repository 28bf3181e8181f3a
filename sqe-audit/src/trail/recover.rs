//! Finding the end of a chain on disk.

use std::{collections::HashMap, io, path::Path};

use sqe_core::{Error, Result, audit::AuditEvent};

use super::{
    chain::{Position, Tip},
    disk::{self, Disk, DiskFile},
};
use crate::{
    hash::{Hash, Head},
    record::{Line, OpenIntent, Outline, Torn},
    segment::{self, Lines, Segment, Step, io_error},
};

/// A chain's end, ready to go on.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) tip: Tip,
    pub(crate) file: Option<Box<dyn DiskFile>>,
    /// Unfinished bytes that were moved aside.
    pub(crate) torn: Vec<Torn>,
}

/// Finds the end of the chain in `dir`, reading the last segment only, and moves unfinished bytes behind it aside.
///
/// What may be moved aside was never acknowledged: a line that lacks its end, or one with bytes that the disk never
/// received (they read as NUL, which no record holds). Anything else that is not a record in its place was changed
/// later, and refuses the start.
pub(crate) fn find_end(dir: &Path, disk: &dyn Disk) -> Result<Found> {
    let mut segments = segment::list(dir)?;
    let mut torn = Vec::new();
    while let Some(last) = segments.pop() {
        let before = segments.last().map(last_hash).transpose()?;
        let (tip, end) = scan(&last, before)?;
        let len = tip.as_ref().map_or(0, |tip| tip.position.len);
        if end > len {
            torn.push(set_aside(dir, disk, &last, len, end)?);
        }
        let Some(tip) = tip else {
            // A crash while the segment began. The one before it goes on.
            disk.remove(&last.path).map_err(|error| io_error("cannot remove", &last.path, error))?;
            continue;
        };
        let mut file = disk.open(&last.path, len).map_err(|error| io_error("cannot open", &last.path, error))?;
        if end > len {
            let cut = file.cut(len).and_then(|()| file.sync());
            cut.map_err(|error| io_error("cannot remove the unfinished record from", &last.path, error))?;
        }
        return Ok(Found { tip, file: Some(file), torn });
    }
    Ok(Found { tip: Tip::before_genesis(), file: None, torn })
}

/// Reads a segment up to its last record. Gives `None` for a segment without one, and the length of the file.
fn scan(segment: &Segment, before: Option<Hash>) -> Result<(Option<Tip>, u64)> {
    let unreadable = |error: io::Error| io_error("cannot read", &segment.path, error);
    let file_len = std::fs::metadata(&segment.path).map_err(unreadable)?.len();
    let mut lines = segment.lines().map_err(unreadable)?;
    let mut tip: Option<Tip> = None;
    loop {
        match lines.step().map_err(unreadable)? {
            Step::End => return Ok((tip, file_len)),
            Step::Unfinished => return Ok((tip, file_len)),
            Step::Line => {}
        }
        let expected = tip.as_ref().map_or(segment.first, |tip| tip.position.head.seq + 1);
        let prev = match (&tip, before) {
            (Some(tip), _) => tip.position.head.hash,
            (None, Some(hash)) => hash,
            (None, None) => Hash::NONE,
        };
        let line = Line::parse(lines.line()).filter(|line| line.seq == expected && line.prev == prev);
        let Some(line) = line.filter(Line::is_intact) else {
            if lines.line().contains(&0) {
                return Ok((tip, file_len));
            }
            return Err(changed(segment, expected));
        };
        let outline = line.outline()?;
        let tip = match (&mut tip, outline) {
            (Some(tip), Outline::Event(event)) => {
                tip.note(event.mark(), line.seq, lines.offset());
                tip
            }
            (Some(tip), Outline::Opened {} | Outline::Recovered { .. } | Outline::Resumed {}) => tip,
            (tip @ None, Outline::Genesis { chain }) if segment.first == 1 => tip.insert(begin(chain, segment.first)),
            (tip @ None, Outline::Segment(header)) if segment.first > 1 => {
                let mut begun = begin(header.chain, segment.first);
                begun.open = header.open.into_iter().map(|intent| (intent.query, intent)).collect();
                tip.insert(begun)
            }
            _ => return Err(changed(segment, expected)),
        };
        tip.position.head.seq = line.seq;
        tip.position.head.hash = line.hash;
        tip.position.len = lines.offset() + lines.line().len() as u64 + 1;
    }
}

fn begin(chain: uuid::Uuid, segment: u64) -> Tip {
    let position = Position { head: Head::new(chain, 0, Hash::NONE), segment, len: 0 };
    Tip { position, open: HashMap::new(), bounds: None }
}

fn changed(segment: &Segment, seq: u64) -> Error {
    Error::conflict(format!(
        "the audit trail was changed: record {seq} is not in its place in {}; verify the trail, keep its folder for \
         the inquiry and begin a new one in another",
        segment.path.display()
    ))
}

/// The hash of a whole segment's last record, read from the file's end.
fn last_hash(segment: &Segment) -> Result<Hash> {
    let unreadable = |error: io::Error| io_error("cannot read", &segment.path, error);
    let len = std::fs::metadata(&segment.path).map_err(unreadable)?.len();
    let mut back = 64 << 10;
    loop {
        let start = len.saturating_sub(back);
        let tail = segment::bytes(&segment.path, start, len - start).map_err(unreadable)?;
        let Some(whole) = tail.strip_suffix(b"\n") else { return Err(changed(segment, segment.first)) };
        let line = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.len() < whole.len() || start == 0 {
            let line = Line::parse(line).filter(Line::is_intact);
            return line.map(|line| line.hash).ok_or_else(|| changed(segment, segment.first));
        }
        back *= 8;
    }
}

/// Copies the bytes from `len` to `end` of a segment to a file of their own, durably. Nothing is ever thrown away:
/// should somebody have made a record look unfinished, it is still there.
fn set_aside(dir: &Path, disk: &dyn Disk, segment: &Segment, len: u64, end: u64) -> Result<Torn> {
    let bytes =
        segment::bytes(&segment.path, len, end - len).map_err(|error| io_error("cannot read", &segment.path, error))?;
    let name = format!("torn-{:020}-{len}", segment.first);
    let path = dir.join(&name);
    let keep = || {
        use std::io::Write as _;
        let mut options = std::fs::OpenOptions::new();
        // A crash right here leaves a file that the next start writes again.
        let mut file = disk::private(options.write(true).create(true).truncate(true)).open(&path)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        disk.sync_dir(dir)
    };
    keep().map_err(|error| io_error("cannot keep an unfinished audit record in", &path, error))?;
    Ok(Torn { segment: segment.name(), offset: len, bytes: end - len, sha256: Hash::plain(&bytes), kept_in: name })
}

/// Reads an open intent's event out of the chain's segments.
pub(crate) fn read_intent(segments: &[Segment], intent: &OpenIntent) -> Result<AuditEvent> {
    let holder = segments.iter().rev().find(|segment| segment.first <= intent.seq);
    let missing = || {
        Error::conflict(format!("the audit trail lacks record {}, an intent that is still open; verify it", intent.seq))
    };
    let holder = holder.ok_or_else(missing)?;
    let line = Lines::at(&holder.path, intent.offset).map_err(|error| io_error("cannot read", &holder.path, error))?;
    let line = Line::parse(&line).filter(|line| line.seq == intent.seq && line.is_intact()).ok_or_else(missing)?;
    line.record()?.into_event().ok_or_else(missing)
}
