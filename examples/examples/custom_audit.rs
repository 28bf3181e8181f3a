//! An audit sink of one's own: a file of JSON lines, each on disk before anybody is told so.

use std::{
    fs::{File, OpenOptions, read_to_string},
    io::{Error as IoError, Result as IoResult, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Error, Result, ensure};
use async_trait::async_trait;
use sqe_auth::DevPerson;
use sqe_catalog::MemoryCatalog;
use sqe_core::{
    ErrorKind,
    audit::{AuditEvent, AuditSink, EventKind},
    conformance::audit::{AuditFixture, check},
};
use sqe_examples::{People, ask};

// ANCHOR: sink
/// `None` once something went wrong that could not be taken back: nobody knows then what the file holds.
#[derive(Debug, Clone)]
struct JsonLines(Arc<Mutex<Option<File>>>);

impl JsonLines {
    fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(Some(file))))
    }

    fn append(&self, event: &AuditEvent) -> IoResult<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = place.take().ok_or_else(|| IoError::other("an earlier failure closed the file"))?;
        let end = file.metadata()?.len();
        match file.write_all(&line) {
            // A disk that fails to sync leaves the file closed: there is no telling what is on it.
            Ok(()) => file.sync_data()?,
            // No room: half a line is taken back, and when there is room again, the next event is taken.
            Err(error) => {
                file.set_len(end)?;
                *place = Some(file);
                return Err(error);
            }
        }
        *place = Some(file);
        Ok(())
    }
}

#[async_trait]
impl AuditSink for JsonLines {
    async fn record(&self, event: AuditEvent) -> sqe_core::Result<()> {
        let sink = self.clone();
        // On a thread that may block, and to its end, even if the caller goes away meanwhile.
        let written = tokio::task::spawn_blocking(move || sink.append(&event)).await;
        let written = written.unwrap_or_else(|error| Err(IoError::other(error)));
        written.map_err(|error| sqe_core::Error::unavailable("the audit trail cannot be written").with_source(error))
    }
}
// ANCHOR_END: sink

/// All events of a file, as an auditor reads them.
fn read(path: &Path) -> Result<Vec<AuditEvent>> {
    read_to_string(path)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (path, sealed) = (folder.path().join("trail.jsonl"), folder.path().join("sealed.jsonl"));
    let sink = JsonLines::new(OpenOptions::new().append(true).create(true).open(&path)?);
    File::create(&sealed)?;
    // Opened for reading: whatever is written fails, as on a broken disk.
    let broken = JsonLines::new(File::open(&sealed)?);

    let people = People::default();
    let engine = people.builder()?.catalog("lake", MemoryCatalog::new()).audit(sink.clone()).build()?;
    let ana = people.session(&engine, &DevPerson::new("ana")).await?;
    ensure!(ask(&ana, "SELECT 1").await? == ["1"], "the engine does not answer");
    let kinds: Vec<EventKind> = read(&path)?.into_iter().map(|event| event.kind).collect();
    ensure!(matches!(kinds.as_slice(), [EventKind::Intent, EventKind::Effect(_)]), "the file holds {kinds:?}");

    // What cannot be put on record does not happen.
    let engine = people.builder()?.catalog("lake", MemoryCatalog::new()).audit(broken.clone()).build()?;
    let ana = people.session(&engine, &DevPerson::new("ana")).await?;
    let refused = ask(&ana, "SELECT 1").await.err().context("a query ran without a record")?;
    ensure!(refused.kind() == ErrorKind::Unavailable, "without a trail ana is told {refused}");

    // ANCHOR: kit
    let read_back = |path| move || read(path).map_err(|error| error.to_string());
    check(&sink, &AuditFixture::new(read_back(&path), &broken, read_back(&sealed))).await.map_err(Error::msg)
    // ANCHOR_END: kit
}
