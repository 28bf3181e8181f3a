//! What there is, as far as the asking person may see it: `CommandGetCatalogs`, `CommandGetDbSchemas`,
//! `CommandGetTables` (`FlightSql.proto` of Apache Arrow).

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Schema, SchemaRef},
};
use arrow_flight::{
    FlightDescriptor, IpcMessage,
    sql::{CommandGetCatalogs, CommandGetDbSchemas, CommandGetTables, ProstMessageExt},
};
use bytes::Bytes;
use prost::Message;
use sqe_core::{Error, Result};

use super::{Client, told};

/// A table that the person may see.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedTable {
    /// Its catalog; empty where the server has none.
    pub catalog: String,
    /// Its schema; empty where the server has none.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is, such as `TABLE` or `VIEW`.
    pub table_type: String,
    /// Its columns, if they were asked for.
    pub columns: Option<SchemaRef>,
}

/// Which tables to list. Patterns are those of SQL's LIKE; `None` means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableFilter {
    /// The catalog, exactly.
    pub catalog: Option<String>,
    /// A pattern for the schema.
    pub schema_pattern: Option<String>,
    /// A pattern for the name.
    pub name_pattern: Option<String>,
    /// Whether to tell the columns.
    pub with_columns: bool,
}

impl TableFilter {
    /// Keeps to one catalog.
    #[must_use]
    pub fn in_catalog(mut self, catalog: impl Into<String>) -> Self {
        self.catalog = Some(catalog.into());
        self
    }

    /// Keeps to schemas that are like this.
    #[must_use]
    pub fn in_schemas_like(mut self, pattern: impl Into<String>) -> Self {
        self.schema_pattern = Some(pattern.into());
        self
    }

    /// Keeps to tables that are named like this.
    #[must_use]
    pub fn named_like(mut self, pattern: impl Into<String>) -> Self {
        self.name_pattern = Some(pattern.into());
        self
    }

    /// Asks for the columns, too.
    #[must_use]
    pub fn with_columns(mut self) -> Self {
        self.with_columns = true;
        self
    }
}

impl Client {
    /// The catalogs.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn catalogs(&self) -> Result<Vec<String>> {
        let batches = self.metadata(CommandGetCatalogs {}).await?;
        batches.iter().map(|batch| texts(batch, "catalog_name")).collect::<Result<Vec<_>>>().map(|names| names.concat())
    }

    /// Catalogs and their schemas, of one catalog or of all.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn schemas(&self, catalog: Option<&str>) -> Result<Vec<(String, String)>> {
        let command = CommandGetDbSchemas { catalog: catalog.map(str::to_owned), db_schema_filter_pattern: None };
        let mut found = Vec::new();
        for batch in self.metadata(command).await? {
            found.extend(texts(&batch, "catalog_name")?.into_iter().zip(texts(&batch, "db_schema_name")?));
        }
        Ok(found)
    }

    /// Tables and views.
    ///
    /// # Errors
    /// Any; see [`ErrorKind`](sqe_core::ErrorKind).
    pub async fn tables(&self, filter: &TableFilter) -> Result<Vec<ListedTable>> {
        let command = CommandGetTables {
            catalog: filter.catalog.clone(),
            db_schema_filter_pattern: filter.schema_pattern.clone(),
            table_name_filter_pattern: filter.name_pattern.clone(),
            table_types: Vec::new(),
            include_schema: filter.with_columns,
        };
        let mut found = Vec::new();
        for batch in self.metadata(command).await? {
            let mut columns = if filter.with_columns { schemas(&batch)?.into_iter() } else { Vec::new().into_iter() };
            let catalogs = texts(&batch, "catalog_name")?.into_iter();
            let names = texts(&batch, "db_schema_name")?.into_iter().zip(texts(&batch, "table_name")?);
            for ((catalog, (schema, name)), table_type) in catalogs.zip(names).zip(texts(&batch, "table_type")?) {
                found.push(ListedTable { catalog, schema, name, table_type, columns: columns.next() });
            }
        }
        Ok(found)
    }

    async fn metadata(&self, command: impl ProstMessageExt) -> Result<Vec<RecordBatch>> {
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let info = self.inner.clone().get_flight_info(self.request(descriptor)).await.map_err(told)?.into_inner();
        self.rows(info).await?.collect().await
    }
}

fn unreadable() -> Error {
    Error::internal("the server's list is not what Flight SQL says it is")
}

/// A column of text; a missing value is empty.
fn texts(batch: &RecordBatch, column: &str) -> Result<Vec<String>> {
    let column = batch.column_by_name(column).ok_or_else(unreadable)?;
    let column = cast(column, &DataType::Utf8).map_err(|error| unreadable().with_source(error))?;
    Ok(column.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
}

/// The column `table_schema`: an IPC message each.
fn schemas(batch: &RecordBatch) -> Result<Vec<SchemaRef>> {
    let column = batch.column_by_name("table_schema").ok_or_else(unreadable)?;
    let column = column.as_binary_opt::<i32>().ok_or_else(unreadable)?;
    let read = |row: usize| {
        let message = IpcMessage(Bytes::copy_from_slice(column.value(row)));
        Schema::try_from(message).map(SchemaRef::new).map_err(|error| unreadable().with_source(error))
    };
    (0..column.len()).map(read).collect()
}
