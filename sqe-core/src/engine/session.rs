//! A person's session.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use futures::Stream;

use crate::{Credentials, Error, Identity, QueryId, Result, TableName, audit::ClientInfo};

/// A sovereign SQL engine.
#[derive(Debug, Clone)]
pub struct Engine {}

/// How a session begins.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Where it comes from, for the audit trail.
    pub client: ClientInfo,
    /// The catalog of names without one. `None`: the engine's default.
    pub catalog: Option<String>,
    /// The schema of names without one. `None`: the engine's default.
    pub schema: Option<String>,
}

impl SessionOptions {
    /// A session of `client` with the engine's defaults.
    #[must_use]
    pub fn new(client: ClientInfo) -> Self {
        Self { client, catalog: None, schema: None }
    }
}

impl Engine {
    /// Authenticates and opens a session.
    ///
    /// # Errors
    /// `Unauthenticated`, `Unavailable`.
    pub async fn session(&self, _credentials: &Credentials, _options: SessionOptions) -> Result<Session> {
        Err(Error::unsupported("not built yet"))
    }
}

/// One person's session.
#[derive(Debug, Clone)]
pub struct Session {}

/// A statement and its parameters.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Statement {
    /// One SQL statement.
    pub sql: String,
    /// Values of `$1`, `$2`, … as the columns of exactly one row. `None`: there are none.
    pub parameters: Option<RecordBatch>,
}

impl Statement {
    /// A statement without parameters.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), parameters: None }
    }

    /// Binds one row of parameters.
    #[must_use]
    pub fn with_parameters(mut self, row: RecordBatch) -> Self {
        self.parameters = Some(row);
        self
    }
}

/// What kind of effect a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementKind {
    /// Reads.
    Query,
    /// Changes rows; answers with one row `count`.
    Update,
    /// Changes definitions (DDL); answers with one row `count`.
    Definition,
}

/// What a statement will answer with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatementShape {
    /// The columns of the answer.
    pub schema: SchemaRef,
    /// The parameters, in order, named `$1`, `$2`, …; a type that cannot be known is Null.
    pub parameters: SchemaRef,
    /// The kind of effect.
    pub kind: StatementKind,
}

/// An authorised statement that has not run yet.
#[derive(Debug)]
pub struct Planned {}

impl Planned {
    /// The columns of the answer: exactly those of the batches that [`run`](Self::run) yields.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        todo!()
    }

    /// The kind of effect.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        todo!()
    }

    /// The query's id.
    #[must_use]
    pub fn query_id(&self) -> QueryId {
        todo!()
    }

    /// Runs it, once. The intent is durable when this returns.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](crate::ErrorKind).
    pub async fn run(self) -> Result<QueryStream> {
        todo!()
    }
}

/// The rows of a query. Dropping it cancels the query.
#[derive(Debug)]
pub struct QueryStream {}

impl QueryStream {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        todo!()
    }

    /// The query's id.
    #[must_use]
    pub fn query_id(&self) -> QueryId {
        todo!()
    }

    /// All batches.
    ///
    /// # Errors
    /// The first error of the stream.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        todo!()
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        todo!()
    }
}

/// Which tables to list. Patterns are SQL `LIKE` patterns.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListingRequest {
    /// Only this catalog.
    pub catalog: Option<String>,
    /// Only schemas like this.
    pub schema_pattern: Option<String>,
    /// Only tables like this.
    pub table_pattern: Option<String>,
}

/// A table that a person may see.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VisibleTable {
    /// Its name.
    pub name: TableName,
    /// `BASE TABLE` or `VIEW`.
    pub table_type: &'static str,
    /// The columns that this person may see.
    pub schema: SchemaRef,
}

impl Session {
    /// Who this session runs as.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        todo!()
    }

    /// The catalog and the schema of names that have none.
    #[must_use]
    pub fn defaults(&self) -> (String, String) {
        todo!()
    }

    /// Sets the catalog, the schema, or both. They need not exist.
    pub fn set_defaults(&self, _catalog: Option<String>, _schema: Option<String>) {
        todo!()
    }

    /// What a statement will answer with, without running it.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](crate::ErrorKind).
    pub async fn describe(&self, _sql: &str) -> Result<StatementShape> {
        todo!()
    }

    /// Authorises and plans a statement.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](crate::ErrorKind).
    pub async fn plan(&self, _statement: Statement) -> Result<Planned> {
        todo!()
    }

    /// Plans and runs a statement without parameters.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](crate::ErrorKind).
    pub async fn query(&self, sql: &str) -> Result<QueryStream> {
        self.plan(Statement::new(sql)).await?.run().await
    }

    /// The names of the catalogs that this person may see.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn catalogs(&self) -> Result<Vec<String>> {
        todo!()
    }

    /// The schemas, as (catalog, schema), that this person may see.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn schemas(&self, _request: &ListingRequest) -> Result<Vec<(String, String)>> {
        todo!()
    }

    /// The tables that this person may see, with their visible columns.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tables(&self, _request: &ListingRequest) -> Result<Vec<VisibleTable>> {
        todo!()
    }

    /// Ends the session: its queries stop, and later calls are `Unauthenticated`.
    pub fn close(&self) {
        todo!()
    }
}
