//! What there is for this person, asked when it is needed and kept for a while: for completion and `\d`.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sqe_flight::client::{Client, ListedTable, TableFilter};

/// Who presses Tab does not wait longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Names by where they are. What could not be asked is asked again next time.
#[derive(Debug)]
pub(super) struct Catalog {
    client: Mutex<Client>,
    defaults: Mutex<(String, String)>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    catalogs: Option<Vec<String>>,
    schemas: HashMap<String, Vec<String>>,
    tables: HashMap<(String, String), Vec<String>>,
    columns: HashMap<(String, String, String), Vec<String>>,
}

impl Catalog {
    pub(super) fn new(client: Client) -> Self {
        Self { client: Mutex::new(client), defaults: Mutex::default(), kept: Mutex::default() }
    }

    /// Asks by another connection from now on.
    pub(super) fn reconnect(&self, client: Client) {
        *self.client.lock() = client;
    }

    /// Where names without a catalog and a schema point.
    pub(super) fn defaults(&self) -> (String, String) {
        self.defaults.lock().clone()
    }

    pub(super) fn set_defaults(&self, catalog: String, schema: String) {
        *self.defaults.lock() = (catalog, schema);
    }

    /// Something may have been made or dropped.
    pub(super) fn forget(&self) {
        *self.kept.lock() = Kept::default();
    }

    pub(super) async fn catalogs(&self) -> Vec<String> {
        if let Some(kept) = self.kept.lock().catalogs.clone() {
            return kept;
        }
        let client = self.client.lock().clone();
        let found = patiently(client.catalogs()).await;
        self.kept.lock().catalogs.clone_from(&found);
        found.unwrap_or_default()
    }

    pub(super) async fn schemas(&self, catalog: &str) -> Vec<String> {
        if let Some(kept) = self.kept.lock().schemas.get(catalog).cloned() {
            return kept;
        }
        let client = self.client.lock().clone();
        let Some(found) = patiently(client.schemas(Some(catalog))).await else { return Vec::new() };
        let found: Vec<String> = found.into_iter().map(|(_, schema)| schema).collect();
        self.kept.lock().schemas.insert(catalog.to_owned(), found.clone());
        found
    }

    pub(super) async fn tables(&self, catalog: &str, schema: &str) -> Vec<String> {
        let key = (catalog.to_owned(), schema.to_owned());
        if let Some(kept) = self.kept.lock().tables.get(&key).cloned() {
            return kept;
        }
        let filter = TableFilter::default().in_catalog(catalog).in_schemas_like(schema);
        let client = self.client.lock().clone();
        let Some(found) = patiently(client.tables(&filter)).await else { return Vec::new() };
        let found: Vec<String> =
            found.into_iter().filter(|table| table.schema == schema).map(|table| table.name).collect();
        self.kept.lock().tables.insert(key, found.clone());
        found
    }

    pub(super) async fn columns(&self, catalog: &str, schema: &str, table: &str) -> Vec<String> {
        let key = (catalog.to_owned(), schema.to_owned(), table.to_owned());
        if let Some(kept) = self.kept.lock().columns.get(&key).cloned() {
            return kept;
        }
        let client = self.client.lock().clone();
        let Some(found) = patiently(one_table(&client, catalog, schema, table)).await else { return Vec::new() };
        let names = |table: ListedTable| {
            let columns = table.columns.into_iter();
            columns.flat_map(|columns| columns.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()).collect()
        };
        let found: Vec<String> = found.map(names).unwrap_or_default();
        self.kept.lock().columns.insert(key, found.clone());
        found
    }
}

/// A table of exactly this name, with its columns.
///
/// # Errors
/// Any.
pub(super) async fn one_table(
    client: &Client,
    catalog: &str,
    schema: &str,
    table: &str,
) -> sqe_core::Result<Option<ListedTable>> {
    // A pattern can mean more than a name, so what comes back is compared.
    let filter = TableFilter::default().in_catalog(catalog).in_schemas_like(schema).named_like(table).with_columns();
    let found = client.tables(&filter).await?;
    Ok(found.into_iter().find(|found| found.schema == schema && found.name == table))
}

async fn patiently<T>(asked: impl Future<Output = sqe_core::Result<T>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
}

/// Shared by the prompt and what runs statements.
pub(super) type SharedCatalog = Arc<Catalog>;
