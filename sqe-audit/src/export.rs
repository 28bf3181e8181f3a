//! Handing a trail's records to somebody else: in batches, in order, each at least once.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqe_core::{Error, ErrorKind, Result};

use crate::{
    follow::{Followed, Follower},
    hash::Head,
    segment::io_error,
    trail::private_file,
};

/// Records that are handed over at once at most.
const TOGETHER: usize = 512;

/// Bytes of records that are handed over at once, unless one alone has more.
const BYTES_TOGETHER: usize = 2 << 20;

/// How often an exporter looks for new records.
const LOOK: Duration = Duration::from_millis(250);

/// After how long a batch is offered again first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// How far the two places of a bookmark are apart, in bytes: a sector.
const PLACE: u64 = 512;

/// Where records go.
#[async_trait]
pub trait Destination: fmt::Debug + Send + Sync + 'static {
    /// Takes some records, in the order of the trail. Once it says so, they are not offered again; after an error, or
    /// after a crash, the same ones can come again. Their [`Followed::head`] tells who has seen one before.
    ///
    /// # Errors
    /// They were not taken, or not all of them.
    async fn take(&self, records: &[Followed]) -> Result<()>;
}

/// A file that remembers how far an export has come: the [`Head`] of the last record that was taken.
///
/// It has one user at a time; a second one is refused. It holds nothing that is secret.
#[derive(Debug)]
pub struct Bookmark {
    path: PathBuf,
    file: File,
    head: Option<Head>,
    /// Whether the next one goes to the second place.
    second: bool,
}

impl Bookmark {
    /// Opens the bookmark at `path`, or begins one that says "nothing yet".
    ///
    /// # Errors
    /// `Conflict` if another export uses it; `InvalidInput` if the file holds something else; `Unavailable` if it cannot
    /// be read or written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let mut options = File::options();
        let file = private_file(options.read(true).write(true).create(true).truncate(false)).open(&path);
        let mut file = file.map_err(|error| io_error("cannot open", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::conflict(format!("another export goes on from {}; end it first", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(io_error("cannot lock", &path, error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| io_error("cannot read", &path, error))?;
        // One of the places may be half written; the other one is whole then.
        let places = text.split('\n').map(|place| place.trim_matches([' ', '\0']));
        let head = places.filter_map(|place| place.parse::<Head>().ok()).max_by_key(|head| head.seq);
        if head.is_none() && !text.is_empty() {
            return Err(Error::invalid(format!(
                "{} is no bookmark of an export and stays as it is; name another file",
                path.display()
            )));
        }
        Ok(Self { path, file, head, second: false })
    }

    /// The last record that was taken.
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Remembers `head`; returns once it is durable. What was remembered before stays in a place of its own until then, so
    /// that a crash at any moment leaves one of the two.
    ///
    /// # Errors
    /// `Unavailable` if the disk fails.
    pub fn remember(&mut self, head: &Head) -> Result<()> {
        let start = if self.second { PLACE } else { 0 };
        let mut write = || {
            self.file.seek(SeekFrom::Start(start))?;
            self.file.write_all(format!("{head:<511}\n", head = head.to_string()).as_bytes())?;
            self.file.sync_data()
        };
        write().map_err(|error| io_error("cannot write", &self.path, error))?;
        self.second = !self.second;
        self.head = Some(*head);
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What an export did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// Records that were taken.
    pub records: u64,
    /// The last record that was looked at.
    pub head: Option<Head>,
}

/// Hands a trail's records to a [`Destination`].
///
/// What waits is what the trail holds on disk, so nothing is lost while a destination is away, and no query ever waits for
/// one. With a [`Bookmark`] an export goes on where it was after a restart.
#[derive(Debug)]
pub struct Exporter {
    /// `None` while a thread reads with it.
    follower: Option<Follower>,
    bookmark: Option<Bookmark>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    done: Exported,
}

impl Exporter {
    /// Exports what `follower` finds.
    #[must_use]
    pub fn new(follower: Follower) -> Self {
        Self { follower: Some(follower), bookmark: None, from: None, to: None, done: Exported::default() }
    }

    /// Goes on where `bookmark` says, and moves it on.
    #[must_use]
    pub fn with_bookmark(mut self, bookmark: Bookmark) -> Self {
        if let Some(head) = bookmark.head() {
            self.follower = self.follower.map(|follower| follower.after(head));
        }
        self.bookmark = Some(bookmark);
        self
    }

    /// Exports only what happened at `from` or later, and before `to`.
    #[must_use]
    pub fn between(mut self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// Exports all there is now, and says what was done so far.
    ///
    /// # Errors
    /// Those of [`Follower::advance`] and of the destination. What was taken before stays taken, and remembered.
    pub async fn catch_up(&mut self, destination: &dyn Destination) -> Result<Exported> {
        loop {
            let batch = self.read().await?;
            if !self.hand_over(batch, destination).await? {
                return Ok(self.done);
            }
        }
    }

    /// Exports what there is and what comes, and never ends by itself as long as the trail is intact: a destination that
    /// takes nothing is offered the same records again after a while. Drop the future to stop.
    ///
    /// # Errors
    /// The trail is not what its writers wrote, or not the one that was exported before. Nothing behind that is exported.
    pub async fn follow(&mut self, destination: &dyn Destination) -> Result<()> {
        let mut wait = AGAIN.0;
        let mut silent = false;
        loop {
            match self.catch_up(destination).await {
                Ok(_) => {
                    if std::mem::take(&mut silent) {
                        tracing::info!("the export of the audit trail goes on");
                    }
                    wait = AGAIN.0;
                    tokio::time::sleep(LOOK).await;
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    if !std::mem::replace(&mut silent, true) {
                        tracing::warn!(%error, "records of the audit trail are not taken; they wait in the trail");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(AGAIN.1);
                }
            }
        }
    }

    /// Hands one batch over; says whether there may be more.
    async fn hand_over(&mut self, batch: Batch, destination: &dyn Destination) -> Result<bool> {
        let Some(head) = batch.head else { return Ok(false) };
        if !batch.records.is_empty()
            && let Err(error) = destination.take(&batch.records).await
        {
            // Refused: the next attempt reads the same again, from the last record that was taken.
            if let Some(follower) = self.follower.take() {
                self.follower = Some(follower.again(self.done.head.or(self.bookmark.as_ref().and_then(|it| it.head))));
            }
            return Err(if is_final(&error) {
                Error::unavailable(error.message().to_owned()).with_source(error)
            } else {
                error
            });
        }
        self.done.records += batch.records.len() as u64;
        self.done.head = Some(head);
        if let Some(bookmark) = &mut self.bookmark {
            bookmark.remember(&head)?;
        }
        Ok(true)
    }

    async fn read(&mut self) -> Result<Batch> {
        let Some(mut follower) = self.follower.take() else {
            return Err(Error::internal(
                "an earlier read of the audit trail was given up in the middle; begin a new export",
            ));
        };
        let (from, to) = (self.from, self.to);
        // The disk can be slow, and others run on this thread.
        let read = move || {
            let mut batch = Batch::default();
            let read =
                batch.fill(&mut follower, |time| from.is_none_or(|from| from <= time) && to.is_none_or(|to| time < to));
            (follower, read.map(|()| batch))
        };
        let (follower, batch) = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Error::internal("the audit trail cannot be read").with_source(error))?;
        self.follower = Some(follower);
        batch
    }
}

/// Whether trying again cannot help.
fn is_final(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::ResourceExhausted)
}

/// Records that are handed over together.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<Followed>,
    /// The last record, also of those that are left out.
    head: Option<Head>,
}

impl Batch {
    fn fill(&mut self, follower: &mut Follower, wanted: impl Fn(DateTime<Utc>) -> bool) -> Result<()> {
        let mut bytes = 0;
        while self.records.len() < TOGETHER && bytes < BYTES_TOGETHER {
            match follower.advance() {
                Ok(Some(found)) => {
                    self.head = Some(found.head());
                    if wanted(found.entry.record.time()) {
                        bytes += found.line.len();
                        self.records.push(found);
                    }
                }
                Ok(None) => break,
                // What came before it is good; the next call fails in the same way.
                Err(_) if self.head.is_some() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use parking_lot::Mutex;
    use sqe_core::{Identity, Principal, QueryId, audit::*};

    use super::*;
    use crate::{Trail, TrailOptions};

    #[derive(Debug, Default)]
    struct Shelf {
        taken: Mutex<Vec<u64>>,
        closed: AtomicBool,
    }

    #[async_trait]
    impl Destination for Shelf {
        async fn take(&self, records: &[Followed]) -> Result<()> {
            if self.closed.load(Ordering::SeqCst) {
                return Err(Error::unavailable("closed"));
            }
            self.taken.lock().extend(records.iter().map(|record| record.entry.seq));
            Ok(())
        }
    }

    async fn write(trail: &Trail, events: usize) {
        for _ in 0..events {
            let identity = Identity::new(Principal::new("i", "s"));
            let facts = QueryFacts::new(QueryId::random(), &identity, ClientInfo::new("test"), "SELECT ?");
            let refused = EventKind::Refused(QueryEffect::new(Outcome::Denied, 0, 0));
            trail.record(AuditEvent::now(facts, refused, vec![])).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_bookmark_goes_on_after_a_restart_and_nothing_is_lost_or_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("export.position");
        let trail = TrailOptions::new().with_segment_bytes(2000).open(dir.path()).unwrap();
        let shelf = Shelf::default();
        for round in 0..5 {
            write(&trail, 7 * round).await;
            let mut exporter = Exporter::new(trail.follower()).with_bookmark(Bookmark::open(&mark).unwrap());
            exporter.catch_up(&shelf).await.unwrap();
        }
        assert_eq!(*shelf.taken.lock(), (1..=trail.head().seq).collect::<Vec<_>>());
        assert_eq!(Bookmark::open(&mark).unwrap().head(), Some(&trail.head()));
    }

    #[tokio::test]
    async fn what_is_refused_is_offered_again_and_the_writer_never_waits() {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path()).unwrap();
        let shelf = Arc::new(Shelf::default());
        let mut exporter = Exporter::new(trail.follower());
        write(&trail, 3).await;
        exporter.catch_up(&*shelf).await.unwrap();
        shelf.closed.store(true, Ordering::SeqCst);
        write(&trail, 2000).await;
        exporter.catch_up(&*shelf).await.unwrap_err();
        exporter.catch_up(&*shelf).await.unwrap_err();
        let task = tokio::spawn({
            let shelf = Arc::clone(&shelf);
            async move { exporter.follow(&*shelf).await }
        });
        shelf.closed.store(false, Ordering::SeqCst);
        let last = trail.head().seq;
        while shelf.taken.lock().last() != Some(&last) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        task.abort();
        assert_eq!(*shelf.taken.lock(), (1..=last).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn only_a_range_of_time_is_handed_over_and_the_rest_is_passed() {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path()).unwrap();
        write(&trail, 3).await;
        let shelf = Shelf::default();
        let now = Utc::now();
        let done = Exporter::new(trail.follower()).between(Some(now), None).catch_up(&shelf).await.unwrap();
        assert_eq!((done.records, done.head), (0, Some(trail.head())));
        let done = Exporter::new(trail.follower()).between(None, Some(now)).catch_up(&shelf).await.unwrap();
        assert_eq!(done.records, trail.head().seq);
    }

    #[tokio::test]
    async fn a_bookmark_survives_half_a_write_has_one_user_and_leaves_other_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        let trail = Trail::open(dir.path().join("trail")).unwrap();
        let path = dir.path().join("mark");
        let first = trail.head();
        write(&trail, 1).await;
        let mut mark = Bookmark::open(&path).unwrap();
        mark.remember(&first).unwrap();
        mark.remember(&trail.head()).unwrap();
        assert_eq!(Bookmark::open(&path).unwrap_err().kind(), ErrorKind::Conflict);
        drop(mark);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..600]).unwrap();
        assert_eq!(Bookmark::open(&path).unwrap().head(), Some(&first));
        let other = dir.path().join("notes");
        std::fs::write(&other, "mine\n").unwrap();
        assert_eq!(Bookmark::open(&other).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "mine\n");
    }
}
