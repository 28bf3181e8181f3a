//! Reading a trail from its beginning, record by record.

use std::path::Path;

use sqe_core::{Error, Result};

use crate::{
    hash::Hash,
    record::{Line, Record},
    segment::{self, Lines, Segment, Step, io_error},
};

/// One record and its place in the chain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Its sequence number; a chain begins with 1.
    pub seq: u64,
    /// The hash of the record before it.
    pub prev: Hash,
    /// Its own hash.
    pub hash: Hash,
    /// What it says.
    pub record: Record,
}

/// A trail's records in order, read as they are asked for: a folder of any size needs the memory of one record.
///
/// Reads a trail that is being written, too: it ends before a record that is not whole yet. It reads what is there and
/// proves nothing; that is what [`verify`](crate::verify()) does.
#[derive(Debug)]
pub struct Records {
    left: std::vec::IntoIter<Segment>,
    current: Option<(Segment, Lines)>,
}

impl Records {
    /// The records of the trail in `dir`.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be listed.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { left: segment::list(dir.as_ref())?.into_iter(), current: None })
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        loop {
            let Some((segment, lines)) = &mut self.current else {
                let Some(segment) = self.left.next() else { return Ok(None) };
                let lines = segment.lines().map_err(|error| io_error("cannot read", &segment.path, error))?;
                self.current = Some((segment, lines));
                continue;
            };
            match lines.step().map_err(|error| io_error("cannot read", &segment.path, error))? {
                Step::Line => {
                    let Some(line) = Line::parse(lines.line()) else {
                        return Err(Error::internal(format!(
                            "the audit trail holds something else than a record at byte {} of {}; verify the trail",
                            lines.offset(),
                            segment.name()
                        )));
                    };
                    let record = line.record()?;
                    return Ok(Some(Entry { seq: line.seq, prev: line.prev, hash: line.hash, record }));
                }
                Step::Unfinished | Step::End => self.current = None,
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose();
        if matches!(item, Some(Err(_))) {
            // One error ends the iteration: what follows would look like a whole trail.
            self.left = Vec::new().into_iter();
            self.current = None;
        }
        item
    }
}
