//! The conformance kits: of sinks on both sinks, of catalogs on the trail as a catalog.

use async_trait::async_trait;
use sqe_audit::{AuditCatalog, MemoryTrail, Trail};
use sqe_core::{
    Result,
    audit::{AuditEvent, AuditSink},
    conformance::{
        audit::{AuditFixture, check},
        catalog::{self, CatalogFixture},
    },
};

use crate::events::{events, segments, trail_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_durable_trail_passes_the_kit() {
    let (dir, broken_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trail = Trail::open(dir.path()).unwrap();
    let broken = closed_trail(broken_dir.path());
    let fixture = AuditFixture::new(|| Ok(events(dir.path())), &broken, || Ok(events(broken_dir.path())));
    check(&trail, &fixture).await.unwrap();
}

/// A trail whose segments cannot be created: their folder is gone.
fn closed_trail(dir: &std::path::Path) -> Trail {
    let inner = dir.join("inner");
    let trail = sqe_audit::TrailOptions::new().with_segment_bytes(1).open(&inner).unwrap();
    std::fs::remove_dir_all(inner).unwrap();
    trail
}

#[tokio::test]
async fn the_trail_in_memory_passes_the_kit() {
    let (trail, full) = (MemoryTrail::new(), MemoryTrail::with_capacity(0));
    let fixture = AuditFixture::new(|| Ok(trail.events()), &full, || Ok(full.events()));
    check(&trail, &fixture).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_as_a_catalog_passes_the_kit() {
    let dir = tempfile::tempdir().unwrap();
    let head = trail_of(dir.path(), 12, 4096).await;
    assert!(segments(dir.path()).len() > 1);
    for (table, rows) in [("access", 12), ("events", usize::try_from(head.seq).unwrap())] {
        let fixture = CatalogFixture::read_only("audit", table, rows);
        let found = catalog::check(AuditCatalog::of_folder(dir.path()), &fixture).await;
        assert_eq!(found, Ok(()), "{table}");
    }
}

#[tokio::test]
async fn the_trail_in_memory_refuses_what_exceeds_its_capacity() {
    let trail = MemoryTrail::with_capacity(1);
    trail.record(crate::events::intent("alice")).await.unwrap();
    trail.record(crate::events::intent("alice")).await.unwrap_err();
    assert_eq!(trail.events().len(), 1);
}

/// The kit must find what it is there to find.
#[derive(Debug)]
struct Wrong {
    inner: MemoryTrail,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Loses,
    Repeats,
    Changes,
    Refuses,
}

#[async_trait]
impl AuditSink for Wrong {
    async fn record(&self, mut event: AuditEvent) -> Result<()> {
        match self.fault {
            Fault::Loses => return Ok(()),
            Fault::Repeats => self.inner.record(event.clone()).await?,
            Fault::Changes => event.query.statement.push(' '),
            Fault::Refuses => return Err(sqe_core::Error::unavailable("no")),
        }
        self.inner.record(event).await
    }
}

#[rstest::rstest]
#[case::loses(Fault::Loses)]
#[case::repeats(Fault::Repeats)]
#[case::changes(Fault::Changes)]
#[case::refuses(Fault::Refuses)]
#[tokio::test]
async fn the_kit_finds_a_wrong_sink(#[case] fault: Fault) {
    let (sink, full) = (Wrong { inner: MemoryTrail::new(), fault }, MemoryTrail::with_capacity(0));
    let fixture = AuditFixture::new(|| Ok(sink.inner.events()), &full, || Ok(full.events()));
    check(&sink, &fixture).await.unwrap_err();
}

#[tokio::test]
async fn the_kit_finds_a_sink_that_takes_what_it_cannot_keep() {
    let trail = MemoryTrail::new();
    let careless = Wrong { inner: MemoryTrail::new(), fault: Fault::Loses };
    let fixture = AuditFixture::new(|| Ok(trail.events()), &careless, || Ok(careless.inner.events()));
    let said = check(&trail, &fixture).await.unwrap_err();
    assert!(said.contains("took an event"), "{said}");
}
