//! The engine that kits run: whoever shows a name is that person, everything is permitted, the trail is in memory.

use std::{fmt, sync::Arc, time::Duration};

use arrow::{
    array::Array,
    datatypes::SchemaRef,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use parking_lot::Mutex;

use crate::{
    Credentials, Engine, ErrorKind, Identity, IdentityProvider, Principal, Result, Secret, Session,
    audit::{AuditEvent, AuditSink},
    catalog::StoreOpener,
    credentials::{CredentialVendor, Lease, VendRequest},
    engine::{EngineBuilder, Limits, QueryStream, SessionOptions},
    policy::danger::PermitAll,
};

/// What the engine calls the catalog of a kit.
pub(super) const CATALOG: &str = "kit";

/// How a row's NULL is spelled, so that no text can be mistaken for it.
pub(super) const NULL: &str = "\u{0}null";

/// A row as text, one entry a column.
pub(super) type Row = Vec<String>;

#[derive(Debug)]
struct Everybody;

#[async_trait]
impl IdentityProvider for Everybody {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(name) = credentials else { return Ok(None) };
        Ok(Some(Identity::new(Principal::new("kit", name.expose()))))
    }
}

#[derive(Debug, Default)]
struct Trail(Mutex<Vec<AuditEvent>>);

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, event: AuditEvent) -> Result<()> {
        self.0.lock().push(event);
        Ok(())
    }
}

/// Part of a fixture, so that an engine can own it.
pub(super) struct Shared<T: ?Sized>(pub(super) Arc<T>);

impl<T: ?Sized> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CredentialVendor for Shared<dyn CredentialVendor> {
    async fn vend(&self, request: &VendRequest<'_>) -> Result<Lease> {
        self.0.vend(request).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl StoreOpener for Shared<dyn StoreOpener> {
    async fn open(&self, lease: &Lease) -> Result<Arc<dyn ObjectStore>> {
        self.0.open(lease).await
    }
}

/// What of a catalog's surroundings is needed to open it.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub(super) vendor: Shared<dyn CredentialVendor>,
    pub(super) stores: Shared<dyn StoreOpener>,
}

/// An engine without catalogs that splits work in several partitions and batches even where there is little of it.
pub(super) fn builder() -> EngineBuilder {
    let limits = Limits { queue: Duration::from_secs(120), deadline: Duration::from_secs(300), ..Limits::default() };
    Engine::builder()
        .identity(Everybody)
        .policy(PermitAll)
        .audit(Trail::default())
        .limits(limits)
        .session_config(SessionConfig::new().with_target_partitions(3).with_batch_size(1000))
}

pub(super) async fn session(engine: &Engine, name: &str) -> Result<Session, String> {
    let credentials = Credentials::Bearer(Secret::new(name));
    let session = engine.session(&credentials, SessionOptions::default()).await;
    session.map_err(|error| format!("a session cannot be opened: {error}"))
}

/// The columns and rows of a whole answer, in its order.
pub(super) async fn drain(stream: QueryStream) -> Result<(SchemaRef, Vec<Row>)> {
    let schema = stream.schema();
    let mut rows = Vec::new();
    for batch in stream.collect().await? {
        rows.extend(text(&batch)?);
    }
    Ok((schema, rows))
}

fn text(batch: &RecordBatch) -> Result<Vec<Row>> {
    let options = FormatOptions::default().with_null(NULL);
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref() as &dyn Array, &options))
        .collect::<Result<_, _>>()?;
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect();
    Ok((0..batch.num_rows()).map(row).collect())
}

/// The rows of an answer, sorted.
pub(super) async fn rows(session: &Session, sql: &str) -> Result<Vec<Row>, String> {
    try_rows(session, sql).await.map_err(|error| format!("{sql:?} failed ({}): {error}", error.kind()))
}

pub(super) async fn try_rows(session: &Session, sql: &str) -> Result<Vec<Row>> {
    let (_, mut rows) = drain(session.query(sql).await?).await?;
    rows.sort();
    Ok(rows)
}

/// A statement that must end with one of these kinds of error.
pub(super) async fn refused(session: &Session, sql: &str, kinds: &[ErrorKind]) -> Result<(), String> {
    let expected = || kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" or ");
    match try_rows(session, sql).await {
        Ok(rows) => Err(format!("{sql:?} answers with {} rows instead of {}", rows.len(), expected())),
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        Err(error) => Err(format!("{sql:?} fails as {} instead of {}: {error}", error.kind(), expected())),
    }
}

/// A statement whose rows, whatever their order, must be these.
pub(super) async fn answers(session: &Session, sql: &str, expected: &[Row]) -> Result<(), String> {
    let found = rows(session, sql).await?;
    let mut expected = expected.to_vec();
    expected.sort();
    if found == expected {
        return Ok(());
    }
    let missing = expected.iter().find(|row| !found.contains(row));
    let excess = found.iter().find(|row| !expected.contains(row));
    Err(format!(
        "{sql:?} answers with {} rows instead of {}; the first that is missing is {missing:?}, in excess {excess:?}",
        found.len(),
        expected.len()
    ))
}

/// An identifier as SQL spells it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
