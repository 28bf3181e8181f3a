//! What every [`CatalogProvider`] must do.
//!
//! A test makes a fixture that says what the catalog holds and can do, and asserts that [`check`] finds nothing to say.
//! The kit runs an engine over the catalog, in which two people may do everything, and looks at the catalog from both
//! sides: as people do, in SQL, and as the engine does, at every answer that the catalog gives it.

mod reads;
mod spy;
mod views;
mod writes;

use std::sync::Arc;

use super::stage::{CATALOG, Shared, Storage, builder, session};
use crate::{
    catalog::{CatalogProvider, RefusingStores, StoreOpener},
    credentials::{CredentialVendor, RefusingVendor},
};
use spy::{Findings, Spy};

/// A table that the catalog holds before the kit begins.
#[derive(Debug, Clone)]
struct Known {
    schema: String,
    table: String,
    rows: usize,
}

/// What a catalog holds and can do.
#[derive(Debug, Clone)]
pub struct CatalogFixture {
    known: Option<Known>,
    writable: bool,
    views: bool,
    storage: Storage,
}

impl CatalogFixture {
    fn new(known: Option<Known>, writable: bool) -> Self {
        let storage = Storage { vendor: Shared(Arc::new(RefusingVendor)), stores: Shared(Arc::new(RefusingStores)) };
        Self { known, writable, views: false, storage }
    }

    /// A catalog in which schemas and tables can be created, filled and dropped. The kit works in schemas of its own.
    #[must_use]
    pub fn writable() -> Self {
        Self::new(None, true)
    }

    /// A catalog that can only be read, and one of its tables with its number of rows, at least one.
    #[must_use]
    pub fn read_only(schema: impl Into<String>, table: impl Into<String>, rows: usize) -> Self {
        Self::new(None, false).with_table(schema, table, rows)
    }

    /// A table that is there already, with its number of rows, at least one.
    #[must_use]
    pub fn with_table(mut self, schema: impl Into<String>, table: impl Into<String>, rows: usize) -> Self {
        self.known = Some(Known { schema: schema.into(), table: table.into(), rows });
        self
    }

    /// A writable catalog that keeps views, too.
    #[must_use]
    pub fn with_views(mut self) -> Self {
        self.views = true;
        self
    }

    /// What opens the catalog's files.
    #[must_use]
    pub fn with_storage(mut self, vendor: impl CredentialVendor, stores: impl StoreOpener) -> Self {
        self.storage = Storage { vendor: Shared(Arc::new(vendor)), stores: Shared(Arc::new(stores)) };
        self
    }
}

/// Checks a catalog.
///
/// - a table or a schema that does not exist is not found, which is never the same as empty;
/// - a table is loaded under the name that was asked for, with a uuid of its own, and with columns that carry distinct
///   field ids, the same each time;
/// - listings name what is there and nothing else; repeated reads, of both people, alone and at once, agree;
/// - columns, filters and limits that are pushed into a scan change what is read, never the answer.
///
/// Of one that is writable:
///
/// - what is created is listed, read back as it was written, and gone once it is dropped; a new table of an old name is
///   another table;
/// - what exists is not created again, what does not exist is not dropped, and no table is dropped in the place of another
///   that had its name;
/// - a write that fails leaves no trace;
/// - of tables that several people create at once one wins, of rows that several insert at once none is lost.
///
/// Of one that keeps views: they are listed as such, read as they are defined at the moment, replaced and dropped as tables
/// are, and share their names with tables. Of one that does not: creating one is unsupported.
///
/// Of one that is not writable: changes are unsupported.
///
/// # Errors
/// What the catalog does wrong, or that the fixture shows too little.
pub async fn check(provider: impl CatalogProvider, fixture: &CatalogFixture) -> Result<(), String> {
    let findings = Findings::default();
    let Storage { vendor, stores } = fixture.storage.clone();
    let engine = builder()
        .catalog_with_storage(CATALOG, Spy::new(provider, findings.clone()), vendor, stores)
        .build()
        .map_err(|error| format!("no engine can be built: {error}"))?;
    let people = [session(&engine, "ann").await?, session(&engine, "ben").await?];
    let verdict = async {
        if let Some(known) = &fixture.known {
            reads::check(&people, &known.schema, &known.table, known.rows).await?;
        }
        match (fixture.writable, &fixture.known) {
            (true, _) => writes::check(&engine, &people, &findings, fixture.views).await,
            (false, Some(known)) => writes::check_refused(&people, &known.schema, &known.table).await,
            (false, None) => Err("the fixture of a catalog that is only read needs a table".into()),
        }
    };
    let verdict = verdict.await;
    // What the spy saw is the cause of what people see, so it goes first.
    findings.verdict().and(verdict)
}
