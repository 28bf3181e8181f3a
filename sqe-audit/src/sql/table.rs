//! The tables, fixed to a prefix of the trail.

use std::{any::Any, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use sqe_core::{TableId, TableName, catalog::CatalogTable, policy::TableFacts};
use uuid::Uuid;

use super::{access, columns, columns::Def, events, extent::Extent};

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Access,
    Events,
}

impl View {
    pub(crate) const ALL: [Self; 2] = [Self::Access, Self::Events];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Events => "events",
        }
    }

    /// INVARIANT: never changes, as policies bind to it.
    pub(crate) fn uuid(self) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("urn:sqe:audit:{}", self.name()).as_bytes())
    }
}

/// A table of the audit trail.
#[derive(Debug, Clone)]
pub(crate) struct AuditTable {
    pub(crate) view: View,
    pub(crate) extents: Vec<Arc<Extent>>,
    facts: TableFacts,
    schema: SchemaRef,
}

impl AuditTable {
    pub(crate) fn new(name: TableName, view: View, extents: Vec<Extent>) -> Self {
        let (columns, schema) = match view {
            View::Access => (access::COLUMNS.iter().map(Def::column).collect(), columns::schema(&access::COLUMNS)),
            View::Events => (events::COLUMNS.iter().map(Def::column).collect(), columns::schema(&events::COLUMNS)),
        };
        let facts = TableFacts::new(TableId::new(name, view.uuid()), columns);
        Self { view, extents: extents.into_iter().map(Arc::new).collect(), facts, schema }
    }
}

impl CatalogTable for AuditTable {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The sequence number of the last record that is read, so that the audit of the audit says what was seen.
    fn snapshot(&self) -> Option<i64> {
        match self.extents.as_slice() {
            [only] => only.seq.and_then(|seq| i64::try_from(seq).ok()),
            _ => None,
        }
    }

    /// None: the trail is read by the process that keeps it, never with a person's lease.
    fn prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
