//! The durable trail.

mod chain;
mod disk;
mod queue;
mod recover;

#[cfg(test)]
mod tests;

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::Utc;
use parking_lot::Mutex;
use sqe_core::{
    Error, Result,
    audit::{AuditEvent, AuditSink, EventKind, Outcome, QueryEffect},
};

pub(crate) use chain::Position;
pub(crate) use disk::private as private_file;
pub(crate) use recover::read_intent;

use self::{
    chain::{Chain, Draft},
    disk::{Disk, SystemDisk},
    queue::Queue,
};
use crate::{
    hash::Head,
    record::{self, Mark, Record},
    segment::{self, io_error},
};

/// The file whose lock makes one process the writer of a folder.
pub(crate) const LOCK: &str = "lock";

/// An event larger than this is refused, and with it its query.
const EVENT_LIMIT: usize = 16 << 20;

/// How long a start waits for the lock: as long as a `verify` may hold it, not as long as another writer does.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// How a [`Trail`] writes.
#[derive(Debug, Clone)]
pub struct TrailOptions {
    segment_bytes: u64,
    pending_bytes: u64,
}

impl Default for TrailOptions {
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, pending_bytes: 64 << 20 }
    }
}

impl TrailOptions {
    /// Segments of 32 MiB, 64 MiB of waiting events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A segment file that has reached this size is followed by a new one. A start reads one segment.
    #[must_use]
    pub fn with_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Bytes of events that may wait for the disk at once; further callers wait until there is room.
    #[must_use]
    pub fn with_pending_bytes(mut self, bytes: u64) -> Self {
        self.pending_bytes = bytes;
        self
    }

    /// Opens the trail in `dir`, or begins one. Blocks while it reads the last segment.
    ///
    /// # Errors
    /// See [`Trail::open`].
    pub fn open(&self, dir: impl Into<PathBuf>) -> Result<Trail> {
        self.open_on(dir.into(), Box::new(SystemDisk))
    }

    fn open_on(&self, dir: PathBuf, disk: Box<dyn Disk>) -> Result<Trail> {
        disk::create_dir(&dir).map_err(|error| io_error("cannot create the audit trail's folder", &dir, error))?;
        let lock = lock(&dir)?;
        let found = recover::find_end(&dir, &*disk)?;
        let mut chain = Chain::new(dir.clone(), disk, self.segment_bytes, found.tip, found.file);

        let open = chain.open_intents();
        let holders = segment::list(&dir)?;
        let now = Utc::now();
        let mut start = Vec::new();
        for torn in found.torn {
            start.push(Draft::system(&Record::Recovered { time: now, torn })?);
        }
        start.push(Draft::system(&Record::Opened { time: now, interrupted: open.len() as u64 })?);
        chain.append(&start)?;
        for intents in open.chunks(256) {
            let effects: Result<Vec<_>> = intents
                .iter()
                .map(|intent| {
                    let mut event = read_intent(&holders, intent)?;
                    event.time = now;
                    event.kind = EventKind::Effect(QueryEffect::new(Outcome::Interrupted, 0, 0));
                    Ok(Draft { body: record::event_bytes(&event)?, mark: Mark::of(&event) })
                })
                .collect();
            chain.append(&effects?)?;
        }

        let position = chain.shared();
        let queue = Arc::new(Queue::new(self.pending_bytes));
        let writer = std::thread::Builder::new()
            .name("sqe-audit".into())
            .spawn({
                let queue = Arc::clone(&queue);
                move || {
                    queue::write_groups(&queue, &mut chain);
                    // INVARIANT: nobody else may write while this chain can.
                    drop(chain);
                    drop(lock);
                }
            })
            .map_err(|error| Error::unavailable("cannot start the audit trail's thread").with_source(error))?;
        Ok(Trail { dir, queue, position, writer: Some(writer) })
    }
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK);
    let mut options = File::options();
    let file = disk::private(options.read(true).write(true).create(true).truncate(false)).open(&path);
    let file = file.map_err(|error| io_error("cannot open", &path, error))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::conflict(format!(
                    "another process writes the audit trail in {}; a trail has one writer, so give each process a \
                     folder of its own",
                    dir.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(io_error("cannot lock", &path, error)),
        }
    }
}

/// A durable, append-only, hash-chained audit trail in a folder of segment files.
///
/// One folder is one chain and has one writer at a time; a second one, in this process or another, is refused. Several
/// processes write several folders. Dropping the trail writes what waits and gives the folder free.
#[derive(Debug)]
pub struct Trail {
    dir: PathBuf,
    queue: Arc<Queue>,
    position: Arc<Mutex<Position>>,
    writer: Option<JoinHandle<()>>,
}

impl Trail {
    /// Opens the trail in `dir`, or begins one, with the default [`TrailOptions`].
    ///
    /// Intents that an earlier process left open are closed as [`Outcome::Interrupted`], and bytes that a crash left
    /// unfinished are moved to a file of their own, before this returns. Blocks while it does so: call it before
    /// serving.
    ///
    /// # Errors
    /// `Conflict` if somebody else writes this trail, or if its last segment was changed; `Unavailable` if the disk
    /// fails.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        TrailOptions::new().open(dir)
    }

    /// The end of the durable chain now. Keep it where this process cannot change it, to notice a cut or rewritten
    /// trail later.
    #[must_use]
    pub fn head(&self) -> Head {
        self.position.lock().head
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many calls wait for their events to be durable.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Whether it takes events. After a refusal this tries: the record that says that the trail goes on is written then,
    /// or the disk is still full. So a server that takes itself out of service finds its way back without a statement.
    ///
    /// # Errors
    /// As [`AuditSink::record`].
    pub async fn check(&self) -> Result<()> {
        self.queue.append(Vec::new()).await
    }

    /// The trail as SQL tables, up to what is durable when a query begins. It may outlive the trail.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn catalog(&self) -> crate::AuditCatalog {
        crate::AuditCatalog::live(self.dir.clone(), Arc::clone(&self.position))
    }

    /// What follows this trail from its first record on, and never beyond what is durable. It may outlive the trail.
    #[must_use]
    pub fn follower(&self) -> crate::Follower {
        crate::Follower::live(self.dir.clone(), Arc::clone(&self.position))
    }

    /// Records several events with one write: next to each other, in this order, all of them or none. Returns once
    /// they are durable.
    ///
    /// # Errors
    /// As [`AuditSink::record`].
    pub async fn record_all(&self, events: Vec<AuditEvent>) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let drafts: Result<Vec<_>> = events.iter().map(draft).collect();
        self.queue.append(drafts?).await
    }
}

fn draft(event: &AuditEvent) -> Result<Draft> {
    let body = record::event_bytes(event)?;
    if body.len() > EVENT_LIMIT {
        return Err(Error::exhausted(format!(
            "the audit record of this statement needs {} bytes, more than {EVENT_LIMIT}; use a shorter statement",
            body.len()
        )));
    }
    Ok(Draft { body, mark: Mark::of(event) })
}

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, event: AuditEvent) -> Result<()> {
        self.queue.append(vec![draft(&event)?]).await
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // A panic of the thread has been seen by whoever waited for it.
            let _ = writer.join();
        }
    }
}
