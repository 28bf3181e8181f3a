//! The end of a chain, and making it longer.

use std::{collections::HashMap, io, path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sqe_core::{Error, QueryId, Result};
use uuid::Uuid;

use super::disk::{Disk, DiskFile};
use crate::{
    hash::{Hash, Head},
    record::{self, Bounds, Mark, OpenIntent, Record, SegmentHeader},
    segment::Segment,
};

/// How far a trail is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) head: Head,
    /// The first sequence number of the last segment.
    pub(crate) segment: u64,
    /// The durable length of the last segment, in bytes.
    pub(crate) len: u64,
}

/// What a record's body and its meaning are.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) body: Vec<u8>,
    pub(crate) mark: Mark,
}

impl Draft {
    pub(crate) fn system(record: &Record) -> Result<Self> {
        Ok(Self { body: record.to_bytes()?, mark: Mark::System })
    }
}

/// Everything that the next record depends on.
#[derive(Debug, Clone)]
pub(crate) struct Tip {
    pub(crate) position: Position,
    /// Intents without an effect.
    pub(crate) open: HashMap<QueryId, OpenIntent>,
    /// The times in the last segment.
    pub(crate) bounds: Option<Bounds>,
}

impl Tip {
    /// Before the first record of a new chain.
    pub(crate) fn before_genesis() -> Self {
        let head = Head::new(Uuid::new_v4(), 0, Hash::NONE);
        Self { position: Position { head, segment: 1, len: 0 }, open: HashMap::new(), bounds: None }
    }

    /// Takes note of an event at `seq`, whose line begins at `offset`.
    pub(crate) fn note(&mut self, mark: Mark, seq: u64, offset: u64) {
        match mark {
            Mark::System => {}
            Mark::Intent(query, time) => {
                Bounds::include(&mut self.bounds, time);
                self.open.insert(query, OpenIntent { query, time, seq, offset });
            }
            Mark::Effect(query, time) => {
                Bounds::include(&mut self.bounds, time);
                if let Some(intent) = self.open.remove(&query) {
                    Bounds::include(&mut self.bounds, intent.time);
                }
            }
            Mark::Alone(time) => Bounds::include(&mut self.bounds, time),
        }
    }

    /// The first record of the segment that comes next.
    fn header(&self, now: DateTime<Utc>) -> Record {
        let chain = self.position.head.chain;
        if self.position.head.seq == 0 {
            return Record::Genesis { chain, created: now, format: 1 };
        }
        let mut open: Vec<_> = self.open.values().copied().collect();
        open.sort_by_key(|intent| intent.seq);
        Record::Segment(SegmentHeader { chain, created: now, previous: self.bounds, open })
    }
}

/// Writes a chain. There is one a chain.
#[derive(Debug)]
pub(crate) struct Chain {
    dir: PathBuf,
    disk: Box<dyn Disk>,
    segment_bytes: u64,
    tip: Tip,
    /// The last segment; `None` if the next record begins a new one.
    file: Option<Box<dyn DiskFile>>,
    /// Why nothing may be written any more. INVARIANT: once set it stays.
    poison: Option<Error>,
    /// Events that were refused since the last one that was taken.
    refused: u64,
    shared: Arc<Mutex<Position>>,
}

/// How a write failed.
enum Failure {
    /// The chain ends where it ended before; the next write may succeed.
    Undone(io::Error),
    /// Nobody knows what the disk holds.
    Unknown(io::Error),
}

impl Chain {
    pub(crate) fn new(
        dir: PathBuf,
        disk: Box<dyn Disk>,
        segment_bytes: u64,
        tip: Tip,
        file: Option<Box<dyn DiskFile>>,
    ) -> Self {
        let shared = Arc::new(Mutex::new(tip.position));
        Self { dir, disk, segment_bytes, tip, file, poison: None, refused: 0, shared }
    }

    /// Where others see how far the trail is durable.
    pub(crate) fn shared(&self) -> Arc<Mutex<Position>> {
        Arc::clone(&self.shared)
    }

    /// Appends all drafts with one write and makes them durable, or none of them. The first write that succeeds after some
    /// that did not says so in the trail, too: that is what an append of nothing is for.
    pub(crate) fn append(&mut self, drafts: &[Draft]) -> Result<()> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        if drafts.is_empty() && self.refused == 0 {
            return Ok(());
        }
        let now = Utc::now();
        let resumed = match self.refused {
            0 => None,
            refused => Some(Record::Resumed { time: now, refused }.to_bytes()?),
        };
        let fresh = self.file.is_none() || self.tip.position.len >= self.segment_bytes;
        let mut next = Tip { position: self.tip.position, open: HashMap::new(), bounds: None };
        let mut bytes = Vec::new();
        let mut places = Vec::with_capacity(drafts.len());
        let start = if fresh { 0 } else { self.tip.position.len };
        let mut write = |body: &[u8]| {
            let head = &mut next.position.head;
            let offset = start + bytes.len() as u64;
            head.seq += 1;
            head.hash = record::append_line(&mut bytes, head.seq, &head.hash, body);
            (head.seq, offset)
        };
        if fresh {
            write(&self.tip.header(now).to_bytes()?);
        }
        if let Some(resumed) = &resumed {
            write(resumed);
        }
        for draft in drafts {
            places.push(write(&draft.body));
        }

        let outcome = if fresh { self.begin_segment(&bytes) } else { self.extend_segment(&bytes) };
        match outcome {
            Ok(()) => {}
            Err(Failure::Undone(error)) => {
                self.refused += drafts.len() as u64;
                tracing::error!(folder = %self.dir.display(), %error, "the audit trail cannot be written");
                return Err(Error::unavailable(
                    "the audit trail cannot be written, so nothing may run; check the space on its disk",
                )
                .with_source(error));
            }
            Err(Failure::Unknown(error)) => {
                let folder = self.dir.display();
                tracing::error!(%folder, %error, "the disk of the audit trail failed; check it and restart");
                let poison = Error::unavailable(
                    "the audit trail's disk failed, so nothing may run until a restart; check the disk first",
                )
                .with_source(error);
                self.poison = Some(poison.clone());
                return Err(poison);
            }
        }

        if self.refused > 0 {
            tracing::info!(folder = %self.dir.display(), refused = self.refused, "the audit trail can be written again");
            self.refused = 0;
        }
        next.position.len = start + bytes.len() as u64;
        if fresh {
            next.position.segment = self.tip.position.head.seq + 1;
            self.tip.bounds = None;
        }
        self.tip.position = next.position;
        for (draft, (seq, offset)) in drafts.iter().zip(places) {
            self.tip.note(draft.mark, seq, offset);
        }
        *self.shared.lock() = self.tip.position;
        Ok(())
    }

    fn extend_segment(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let len = self.tip.position.len;
        let Some(file) = &mut self.file else {
            return Err(Failure::Undone(io::Error::other("there is no open segment")));
        };
        if let Err(error) = file.append(bytes) {
            // Part of a line may stand there. Unless it can be cut off, the next record would follow garbage.
            return Err(if file.cut(len).is_ok() { Failure::Undone(error) } else { Failure::Unknown(error) });
        }
        if let Err(error) = file.sync() {
            // After a failed sync the kernel may forget which pages it never wrote, and a second sync may succeed
            // without them. So this one is final; the cut is only tidiness.
            let _ = file.cut(len);
            return Err(Failure::Unknown(error));
        }
        Ok(())
    }

    fn begin_segment(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let segment = Segment::new(&self.dir, self.tip.position.head.seq + 1);
        let mut file = self.disk.create(&segment.path).map_err(Failure::Undone)?;
        if let Err(error) = file.append(bytes) {
            drop(file);
            let gone = self.disk.remove(&segment.path).is_ok();
            return Err(if gone { Failure::Undone(error) } else { Failure::Unknown(error) });
        }
        if let Err(error) = file.sync().and_then(|()| self.disk.sync_dir(&self.dir)) {
            let _ = self.disk.remove(&segment.path);
            return Err(Failure::Unknown(error));
        }
        self.file = Some(file);
        Ok(())
    }

    /// Intents without an effect, oldest first.
    pub(crate) fn open_intents(&self) -> Vec<OpenIntent> {
        let mut open: Vec<_> = self.tip.open.values().copied().collect();
        open.sort_by_key(|intent| intent.seq);
        open
    }
}
