//! What clients ask about the server and its tables. Result schemas: `FlightSql.proto` of Apache Arrow, the comments at
//! the `CommandGet…` messages. Tables, schemas and catalogs are those that the asking person may see.

mod keys;
mod sql_info;
mod tables;
mod types;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    error::FlightError,
    sql::{
        Command, CommandGetCatalogs, CommandGetDbSchemas, CommandGetTableTypes,
        metadata::{SqlInfoData, XdbcTypeInfoData},
    },
};
use sqe_core::{Error, Result, Session, engine::ListingRequest};

use crate::settings::Settings;

/// The parts of the answers that are the same for everybody.
pub(crate) struct Metadata {
    sql_info: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").finish_non_exhaustive()
    }
}

impl Metadata {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        Ok(Self { sql_info: sql_info::build(settings).map_err(broken)?, types: types::build().map_err(broken)? })
    }

    /// The schema of the answer to `command`. `None`: it is no metadata command.
    pub(crate) fn schema(&self, command: &Command) -> Option<SchemaRef> {
        Some(match command {
            Command::CommandGetCatalogs(_) => CommandGetCatalogs {}.into_builder().schema(),
            Command::CommandGetDbSchemas(_) => CommandGetDbSchemas::default().into_builder().schema(),
            Command::CommandGetTables(command) => command.clone().into_builder().schema(),
            Command::CommandGetTableTypes(_) => CommandGetTableTypes {}.into_builder().schema(),
            Command::CommandGetSqlInfo(_) => self.sql_info.schema(),
            Command::CommandGetXdbcTypeInfo(_) => self.types.schema(),
            Command::CommandGetPrimaryKeys(_) => keys::primary(),
            Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => keys::foreign(),
            _ => return None,
        })
    }

    /// The answer to `command` for the person of `session`, in the order that the specification asks for. `None`: it is
    /// no metadata command.
    ///
    /// # Errors
    /// `Unavailable` if a catalog does not answer: never an empty list instead.
    pub(crate) async fn answer(&self, session: &Session, command: Command) -> Result<Option<RecordBatch>> {
        let batch = match command {
            Command::CommandGetCatalogs(command) => {
                let mut builder = command.into_builder();
                session.catalogs().await?.into_iter().for_each(|name| builder.append(name));
                builder.build().map_err(broken)?
            }
            Command::CommandGetDbSchemas(mut command) => {
                let mut request = ListingRequest::default();
                request.catalog = command.catalog.take();
                request.schema_pattern = command.db_schema_filter_pattern.take();
                let mut builder = command.into_builder();
                for (catalog, schema) in session.schemas(&request).await? {
                    builder.append(catalog, schema);
                }
                builder.build().map_err(broken)?
            }
            Command::CommandGetTables(command) => tables::answer(session, command).await?,
            Command::CommandGetTableTypes(command) => {
                let mut builder = command.into_builder();
                tables::TABLE_TYPES.iter().for_each(|name| builder.append(name));
                builder.build().map_err(broken)?
            }
            Command::CommandGetSqlInfo(command) => sql_info::answer(&self.sql_info, &command.info).map_err(broken)?,
            Command::CommandGetXdbcTypeInfo(command) => self.types.record_batch(command.data_type).map_err(broken)?,
            other => return Ok(self.schema(&other).map(RecordBatch::new_empty)),
        };
        Ok(Some(batch))
    }
}

fn broken(error: FlightError) -> Error {
    Error::internal("the server could not describe itself").with_source(error)
}

#[cfg(test)]
mod tests;
