//! The rows of the catalog's file. Every statement names all that it reads; nothing is built from text.

use std::fmt;

use sqe_core::{Error, Principal, Result};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::SqlOptions;
use crate::iceberg::table::{OWNER_ISSUER, OWNER_SUBJECT};

/// As PyIceberg creates them.
const LAYOUT: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (
        catalog_name VARCHAR(255) NOT NULL,
        table_namespace VARCHAR(255) NOT NULL,
        table_name VARCHAR(255) NOT NULL,
        metadata_location VARCHAR(1000),
        previous_metadata_location VARCHAR(1000),
        iceberg_type VARCHAR(5),
        PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
        catalog_name VARCHAR(255) NOT NULL,
        namespace VARCHAR(255) NOT NULL,
        property_key VARCHAR(255) NOT NULL,
        property_value VARCHAR(1000) NOT NULL,
        PRIMARY KEY (catalog_name, namespace, property_key))",
];

/// A schema is there if it has a property or holds a table.
const SCHEMAS: &str = "SELECT namespace FROM iceberg_namespace_properties WHERE catalog_name = ?1
    UNION SELECT table_namespace FROM iceberg_tables WHERE catalog_name = ?1 ORDER BY 1";
const SCHEMA_EXISTS: &str = "SELECT
    EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
    OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";
const TABLES: &str = "SELECT table_name FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2
    AND (iceberg_type IN ('TABLE', 'VIEW') OR iceberg_type IS NULL) ORDER BY 1";
const ENTRY: &str = "SELECT metadata_location, iceberg_type FROM iceberg_tables WHERE catalog_name = ?1
    AND table_namespace = ?2 AND table_name = ?3 AND (iceberg_type IN ('TABLE', 'VIEW') OR iceberg_type IS NULL)";
const INSERT: &str = "INSERT INTO iceberg_tables
    (catalog_name, table_namespace, table_name, metadata_location, previous_metadata_location, iceberg_type)
    SELECT ?1, ?2, ?3, ?4, NULL, ?5
    WHERE EXISTS (SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2)
    OR EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";
const SWAP: &str = "UPDATE iceberg_tables SET metadata_location = ?5, previous_metadata_location = ?4
    WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3 AND metadata_location = ?4
    AND coalesce(iceberg_type, 'TABLE') = ?6";
const DELETE: &str = "DELETE FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3
    AND metadata_location = ?4 AND coalesce(iceberg_type, 'TABLE') = ?5";
const ANY_TABLE: &str = "SELECT EXISTS (SELECT 1 FROM iceberg_tables WHERE catalog_name = ?1 AND table_namespace = ?2)";
const INSERT_PROPERTY: &str = "INSERT INTO iceberg_namespace_properties
    (catalog_name, namespace, property_key, property_value) VALUES (?1, ?2, ?3, ?4)";
const DELETE_SCHEMA: &str = "DELETE FROM iceberg_namespace_properties WHERE catalog_name = ?1 AND namespace = ?2";
/// Takes the write lock at once: what is read inside stays true until the end.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// The catalog's file.
#[derive(Debug, Clone)]
pub(super) struct Database {
    pool: SqlitePool,
}

impl Database {
    pub(super) async fn open(options: &SqlOptions) -> Result<Self> {
        // Commits survive a power failure (`Full`), readers never wait for writers (`Wal`).
        let connect = SqliteConnectOptions::new()
            .filename(&options.file)
            .create_if_missing(options.create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.busy_timeout);
        let pool = SqlitePoolOptions::new().max_connections(8).connect_with(connect).await;
        let pool = pool.map_err(|error| {
            let file = options.file.display();
            Error::unavailable(format!("the catalog file {file} cannot be opened; check that it exists"))
                .with_source(error)
        })?;
        if options.create {
            for statement in LAYOUT {
                sqlx::query(statement).execute(&pool).await.map_err(|error| failed(error, "create the catalog"))?;
            }
        }
        Ok(Self { pool })
    }

    #[cfg(test)]
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// The entries of one catalog.
    pub(super) fn entries(&self, catalog: String) -> Entries {
        Entries { pool: self.pool.clone(), catalog }
    }
}

/// The entries that a file keeps under one catalog's name.
#[derive(Clone)]
pub(super) struct Entries {
    pool: SqlitePool,
    catalog: String,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

/// What an entry is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Table,
    View,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::View => "VIEW",
        }
    }
}

/// A table or a view, and where its metadata file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) location: String,
}

/// Why an entry was not inserted.
#[derive(Debug)]
pub(super) enum InsertError {
    NoSchema,
    Exists,
    Failed(Error),
}

impl Entries {
    pub(super) async fn schemas(&self) -> Result<Vec<String>> {
        let rows = sqlx::query_scalar(SCHEMAS).bind(&self.catalog).fetch_all(&self.pool).await;
        rows.map_err(|error| failed(error, "list the schemas"))
    }

    pub(super) async fn schema_exists(&self, schema: &str) -> Result<bool> {
        let row = sqlx::query_scalar(SCHEMA_EXISTS).bind(&self.catalog).bind(schema).fetch_one(&self.pool).await;
        row.map_err(|error| failed(error, "look for the schema"))
    }

    pub(super) async fn tables(&self, schema: &str) -> Result<Vec<String>> {
        let rows = sqlx::query_scalar(TABLES).bind(&self.catalog).bind(schema).fetch_all(&self.pool).await;
        rows.map_err(|error| failed(error, "list the tables"))
    }

    /// The entry of a table or a view; `None` if there is none.
    pub(super) async fn entry(&self, schema: &str, table: &str) -> Result<Option<Entry>> {
        let query = sqlx::query_as(ENTRY).bind(&self.catalog).bind(schema).bind(table);
        let row: Option<(Option<String>, Option<String>)> =
            query.fetch_optional(&self.pool).await.map_err(|error| failed(error, "look for the table"))?;
        match row {
            None => Ok(None),
            Some((Some(location), kind)) => {
                let kind = if kind.as_deref() == Some(Kind::View.as_str()) { Kind::View } else { Kind::Table };
                Ok(Some(Entry { kind, location }))
            }
            Some((None, _)) => {
                Err(Error::internal("the catalog's entry of this table names no metadata file; repair it"))
            }
        }
    }

    /// Where the metadata file of a table or a view is; `None` if there is none.
    pub(super) async fn location(&self, schema: &str, table: &str) -> Result<Option<String>> {
        Ok(self.entry(schema, table).await?.map(|entry| entry.location))
    }

    pub(super) async fn insert(
        &self,
        kind: Kind,
        schema: &str,
        table: &str,
        location: &str,
    ) -> Result<(), InsertError> {
        let query = sqlx::query(INSERT).bind(&self.catalog).bind(schema).bind(table).bind(location).bind(kind.as_str());
        match query.execute(&self.pool).await {
            Ok(done) if done.rows_affected() == 1 => Ok(()),
            Ok(_) => Err(InsertError::NoSchema),
            Err(error) if unique(&error) => Err(InsertError::Exists),
            Err(error) => Err(InsertError::Failed(failed(error, "create the table"))),
        }
    }

    /// Replaces a table's metadata file if it is still `base`; says whether it was.
    pub(super) async fn swap(&self, kind: Kind, schema: &str, table: &str, base: &str, next: &str) -> Result<bool> {
        let query = sqlx::query(SWAP).bind(&self.catalog).bind(schema).bind(table).bind(base).bind(next);
        let query = query.bind(kind.as_str());
        let done = query.execute(&self.pool).await.map_err(|error| failed(error, "commit to the table"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a table's entry if its metadata file is still `base`; says whether it was.
    pub(super) async fn delete(&self, kind: Kind, schema: &str, table: &str, base: &str) -> Result<bool> {
        let query = sqlx::query(DELETE).bind(&self.catalog).bind(schema).bind(table).bind(base).bind(kind.as_str());
        let done = query.execute(&self.pool).await.map_err(|error| failed(error, "drop the table"))?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn create_schema(&self, schema: &str, owner: &Principal) -> Result<()> {
        let failed = |error| failed(error, "create the schema");
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(failed)?;
        let exists = sqlx::query_scalar(SCHEMA_EXISTS).bind(&self.catalog).bind(schema);
        if exists.fetch_one(&mut *transaction).await.map_err(failed)? {
            return Err(Error::already_exists(format!("schema {schema} exists already")));
        }
        // `exists` is how PyIceberg marks a namespace without properties.
        let properties = [("exists", "true"), (OWNER_ISSUER, &owner.issuer), (OWNER_SUBJECT, &owner.subject)];
        for (key, value) in properties {
            let insert = sqlx::query(INSERT_PROPERTY).bind(&self.catalog).bind(schema).bind(key).bind(value);
            insert.execute(&mut *transaction).await.map_err(failed)?;
        }
        transaction.commit().await.map_err(failed)
    }

    pub(super) async fn drop_schema(&self, schema: &str) -> Result<()> {
        let failed = |error| failed(error, "drop the schema");
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(failed)?;
        let holds = sqlx::query_scalar(ANY_TABLE).bind(&self.catalog).bind(schema);
        if holds.fetch_one(&mut *transaction).await.map_err(failed)? {
            return Err(Error::conflict(format!("schema {schema} still holds tables; drop them first")));
        }
        let delete = sqlx::query(DELETE_SCHEMA).bind(&self.catalog).bind(schema);
        let done = delete.execute(&mut *transaction).await.map_err(failed)?;
        if done.rows_affected() == 0 {
            return Err(Error::not_found(format!("schema {schema} does not exist")));
        }
        transaction.commit().await.map_err(failed)
    }
}

fn unique(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// Whatever is wrong with the file, it is never an empty catalog.
fn failed(error: sqlx::Error, what: &str) -> Error {
    Error::unavailable(format!("cannot {what}: the catalog does not answer; try again later")).with_source(error)
}
