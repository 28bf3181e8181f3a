//! A sink that keeps events in memory.

use async_trait::async_trait;
use parking_lot::Mutex;
use sqe_core::{
    Error, Result,
    audit::{AuditEvent, AuditSink},
};

/// Keeps events in memory: for tests and an embedder's first steps. **Not durable**: everything is lost with the
/// process, and nothing proves that it was not changed. Use a [`Trail`](crate::Trail) for anything that counts.
///
/// It refuses events beyond its capacity, as a full disk would: an embedder who forgot to replace it finds out.
#[derive(Debug)]
pub struct MemoryTrail {
    capacity: usize,
    events: Mutex<Vec<AuditEvent>>,
}

impl Default for MemoryTrail {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTrail {
    /// Room for 100,000 events.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(100_000)
    }

    /// Room for `capacity` events; one more is refused. None at all makes a sink that always refuses, to test that an
    /// engine fails closed.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity, events: Mutex::new(Vec::new()) }
    }

    /// All events in the order in which they were recorded.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().clone()
    }
}

#[async_trait]
impl AuditSink for MemoryTrail {
    async fn record(&self, event: AuditEvent) -> Result<()> {
        let mut events = self.events.lock();
        if events.len() >= self.capacity {
            return Err(Error::unavailable("the audit trail in memory is full; configure a durable one to go on"));
        }
        events.push(event);
        Ok(())
    }
}
