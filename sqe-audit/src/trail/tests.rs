//! The trail on a disk that fails when told to.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use sqe_core::{
    ErrorKind, Identity, Principal, QueryId,
    audit::{AuditEvent, AuditSink, ClientInfo, EventKind, Outcome, QueryEffect, QueryFacts},
};

use super::{
    Trail, TrailOptions,
    disk::{Disk, DiskFile, SystemDisk},
};
use crate::{Record, Records, verify};

/// What goes wrong, and how often anything was synced.
#[derive(Debug, Default)]
struct Faults {
    /// Bytes that still fit; negative: any number.
    room: AtomicI64,
    sync: AtomicI64,
    cut: AtomicI64,
    create: AtomicI64,
    syncs: AtomicU32,
}

impl Faults {
    fn none() -> Arc<Self> {
        let faults = Self::default();
        faults.room.store(-1, Ordering::SeqCst);
        Arc::new(faults)
    }

    fn check(flag: &AtomicI64) -> io::Result<()> {
        if flag.load(Ordering::SeqCst) == 0 { Ok(()) } else { Err(io::Error::other("injected")) }
    }
}

#[derive(Debug)]
struct FailingDisk(Arc<Faults>);

#[derive(Debug)]
struct FailingFile(Box<dyn DiskFile>, Arc<Faults>);

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Faults::check(&self.0.create)?;
        Ok(Box::new(FailingFile(SystemDisk.create(path)?, Arc::clone(&self.0))))
    }

    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FailingFile(SystemDisk.open(path, len)?, Arc::clone(&self.0))))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
}

impl DiskFile for FailingFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.1.room.load(Ordering::SeqCst);
        match usize::try_from(room) {
            // A full disk takes what still fits.
            Ok(room) if room < bytes.len() => {
                self.0.append(&bytes[..room])?;
                Err(io::ErrorKind::StorageFull.into())
            }
            Ok(_) => {
                self.1.room.fetch_sub(bytes.len() as i64, Ordering::SeqCst);
                self.0.append(bytes)
            }
            Err(_) => self.0.append(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        Faults::check(&self.1.sync)?;
        self.0.sync()
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        Faults::check(&self.1.cut)?;
        self.0.cut(len)
    }
}

fn intent() -> AuditEvent {
    let identity = Identity::new(Principal::new("https://idp.example", "alice"));
    let facts = QueryFacts::new(QueryId::random(), &identity, ClientInfo::new("test"), "SELECT ?");
    AuditEvent::now(facts, EventKind::Intent, Vec::new())
}

fn effect(intent: &AuditEvent) -> AuditEvent {
    let effect = QueryEffect::new(Outcome::Completed, 1, 8);
    AuditEvent::now(intent.query.clone(), EventKind::Effect(effect), Vec::new())
}

fn events(dir: &Path) -> Vec<AuditEvent> {
    Records::open(dir).unwrap().filter_map(|entry| entry.unwrap().record.into_event()).collect()
}

fn open(dir: &Path, faults: &Arc<Faults>) -> sqe_core::Result<Trail> {
    TrailOptions::new().open_on(dir.to_owned(), Box::new(FailingDisk(Arc::clone(faults))))
}

#[tokio::test]
async fn a_full_disk_refuses_events_and_goes_on_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    let trail = open(dir.path(), &faults).unwrap();
    let kept = intent();
    trail.record(kept.clone()).await.unwrap();
    let head = trail.head();

    // At every point within a line, and with several callers waiting.
    for room in [0, 1, 9, 100, 300] {
        faults.room.store(room, Ordering::SeqCst);
        let (one, two) = tokio::join!(trail.record(intent()), trail.record(intent()));
        for refused in [one, two] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.message().contains("cannot be written"), "{error}");
        }
        assert_eq!(trail.head(), head);
        assert_eq!(events(dir.path()), std::slice::from_ref(&kept), "nothing that was refused is in the trail");
        assert!(verify(dir.path(), Some(&head)).unwrap().is_intact());
    }

    faults.room.store(-1, Ordering::SeqCst);
    let later = intent();
    trail.record(later.clone()).await.unwrap();
    let head = trail.head();
    drop(trail);
    assert_eq!(events(dir.path()), [kept, later]);
    assert!(verify(dir.path(), Some(&head)).unwrap().is_intact());
}

#[tokio::test]
async fn a_trail_finds_out_by_itself_that_there_is_room_again_and_says_what_it_refused() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    let trail = open(dir.path(), &faults).unwrap();
    let head = trail.head();
    trail.check().await.unwrap();
    assert_eq!(trail.head(), head, "nothing is owed, so nothing is written");

    faults.room.store(5, Ordering::SeqCst);
    trail.record(intent()).await.unwrap_err();
    trail.record_all(vec![intent(), intent()]).await.unwrap_err();
    for _ in 0..3 {
        assert_eq!(trail.check().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    faults.room.store(-1, Ordering::SeqCst);
    trail.check().await.unwrap();
    trail.check().await.unwrap();
    let head = trail.head();
    drop(trail);
    let resumed = |entry: sqe_core::Result<crate::Entry>| match entry.unwrap().record {
        Record::Resumed { refused, .. } => Some(refused),
        _ => None,
    };
    assert_eq!(Records::open(dir.path()).unwrap().filter_map(resumed).collect::<Vec<_>>(), [3]);
    assert!(verify(dir.path(), Some(&head)).unwrap().is_intact());

    // The next start reads it, and a disk that is lost for good is never well again.
    let trail = open(dir.path(), &faults).unwrap();
    faults.sync.store(1, Ordering::SeqCst);
    trail.record(intent()).await.unwrap_err();
    faults.sync.store(0, Ordering::SeqCst);
    assert!(trail.check().await.unwrap_err().message().contains("until a restart"));
    assert_eq!(trail.waiting(), 0);
}

#[tokio::test]
async fn a_full_disk_whose_partial_line_cannot_be_cut_off_refuses_everything_until_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    let trail = open(dir.path(), &faults).unwrap();
    let kept = intent();
    trail.record(kept.clone()).await.unwrap();

    faults.room.store(40, Ordering::SeqCst);
    faults.cut.store(1, Ordering::SeqCst);
    trail.record(intent()).await.unwrap_err();
    faults.room.store(-1, Ordering::SeqCst);
    faults.cut.store(0, Ordering::SeqCst);
    let error = trail.record(intent()).await.unwrap_err();
    assert!(error.message().contains("until a restart"), "{error}");
    drop(trail);
    let report = verify(dir.path(), None).unwrap();
    assert!(!report.is_intact(), "the partial line is there: {report}");

    let trail = open(dir.path(), &faults).unwrap();
    let later = intent();
    trail.record(later.clone()).await.unwrap();
    drop(trail);
    let held = events(dir.path());
    assert_eq!((&held[0], held.last()), (&kept, Some(&later)));
    let report = verify(dir.path(), None).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.recovered.len(), 1);
    assert_eq!(report.recovered[0].bytes, 40);
    let aside = std::fs::read(dir.path().join(&report.recovered[0].kept_in)).unwrap();
    assert!(aside.starts_with(b"{\"seq\":") && aside.len() == 40);
}

#[tokio::test]
async fn a_failed_sync_refuses_everything_until_a_restart_even_if_the_next_sync_would_succeed() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    let trail = open(dir.path(), &faults).unwrap();
    let kept = intent();
    trail.record(kept.clone()).await.unwrap();
    let head = trail.head();

    faults.sync.store(1, Ordering::SeqCst);
    assert_eq!(trail.record(intent()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    faults.sync.store(0, Ordering::SeqCst);
    for _ in 0..3 {
        let error = trail.record(intent()).await.unwrap_err();
        assert!(error.message().contains("until a restart"), "{error}");
    }
    assert_eq!(trail.head(), head);
    drop(trail);

    let trail = open(dir.path(), &faults).unwrap();
    trail.record(effect(&kept)).await.unwrap();
    drop(trail);
    let report = verify(dir.path(), Some(&head)).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(events(dir.path())[0], kept);
}

#[tokio::test]
async fn a_segment_that_cannot_begin_refuses_events_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    let disk = Box::new(FailingDisk(Arc::clone(&faults)));
    let trail = TrailOptions::new().with_segment_bytes(1).open_on(dir.path().to_owned(), disk).unwrap();
    let kept = intent();
    trail.record(kept.clone()).await.unwrap();

    faults.create.store(1, Ordering::SeqCst);
    trail.record(intent()).await.unwrap_err();
    faults.create.store(0, Ordering::SeqCst);
    faults.room.store(30, Ordering::SeqCst);
    trail.record(intent()).await.unwrap_err();
    faults.room.store(-1, Ordering::SeqCst);
    trail.record(effect(&kept)).await.unwrap();

    let head = trail.head();
    drop(trail);
    let report = verify(dir.path(), Some(&head)).unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.open_intents, 0);
    assert_eq!(events(dir.path()).len(), 2);
}

#[tokio::test]
async fn a_start_that_cannot_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    faults.room.store(10, Ordering::SeqCst);
    assert_eq!(open(dir.path(), &faults).unwrap_err().kind(), ErrorKind::Unavailable);
    faults.room.store(-1, Ordering::SeqCst);
    open(dir.path(), &faults).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_wait_at_once_share_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::none();
    let trail = Arc::new(open(dir.path(), &faults).unwrap());
    let before = faults.syncs.load(Ordering::SeqCst);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..400 {
        let trail = Arc::clone(&trail);
        tasks.spawn(async move { trail.record(intent()).await });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap().unwrap();
    }
    let syncs = faults.syncs.load(Ordering::SeqCst) - before;
    assert!((1..400).contains(&syncs), "{syncs} syncs for 400 events");

    let before = faults.syncs.load(Ordering::SeqCst);
    trail.record_all(vec![intent(), intent(), intent()]).await.unwrap();
    assert_eq!(faults.syncs.load(Ordering::SeqCst) - before, 1);
}

#[tokio::test]
async fn more_events_than_may_wait_are_written_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let trail = TrailOptions::new().with_pending_bytes(2048).open(dir.path()).unwrap();
    let all: Vec<_> = (0..200).map(|_| intent()).collect();
    let outcomes = futures::future::join_all(all.iter().map(|event| trail.record(event.clone()))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    drop(trail);
    assert_eq!(events(dir.path()), all, "calls made in order stay in order");
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_any_more_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path(), &Faults::none()).unwrap();
    let event = intent();
    let mut call = Box::pin(trail.record(event.clone()));
    assert!(futures::poll!(&mut call).is_pending());
    drop(call);
    drop(trail);
    assert_eq!(events(dir.path()), [event]);
}

#[tokio::test]
async fn an_event_beyond_the_limit_is_refused_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path(), &Faults::none()).unwrap();
    let mut large = intent();
    large.query.statement = "x".repeat(super::EVENT_LIMIT);
    assert_eq!(trail.record(large.clone()).await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
    large.query.statement = "x".repeat(super::EVENT_LIMIT - 4096);
    trail.record(large).await.unwrap();
}
