//! The schema that a client is told.

use std::sync::Arc;

use arrow::{
    compute::can_cast_types,
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use arrow_flight::{IpcMessage, SchemaAsIpc};
use bytes::Bytes;
use sqe_core::{Error, Result};

/// Whether view types may reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Views {
    /// They become `Utf8` and `Binary`.
    #[default]
    Flatten,
    /// The session asked for them.
    Keep,
}

/// The schema of an answer as clients see it: no dictionaries or run-end encoding, no views unless asked for, and no
/// metadata but Arrow's own (extension types): field ids and the like are between the engine and its catalogs.
pub(crate) fn declare(schema: &Schema, views: Views) -> SchemaRef {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field| {
            let mut metadata = field.metadata().clone();
            metadata.retain(|key, _| key.starts_with("ARROW:"));
            Field::new(field.name(), declared_type(field.data_type(), views), field.is_nullable())
                .with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// The type as clients see it; unchanged where Arrow has no cast for it.
fn declared_type(from: &DataType, views: Views) -> DataType {
    let to = flatten(from, views);
    if to == *from || can_cast_types(from, &to) { to } else { from.clone() }
}

fn flatten(ty: &DataType, views: Views) -> DataType {
    let inner = |field: &FieldRef| -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(flatten(field.data_type(), views)))
    };
    match ty {
        DataType::Utf8View if views == Views::Flatten => DataType::Utf8,
        DataType::BinaryView if views == Views::Flatten => DataType::Binary,
        DataType::Dictionary(_, values) => flatten(values, views),
        DataType::RunEndEncoded(_, values) => flatten(values.data_type(), views),
        DataType::List(field) => DataType::List(inner(field)),
        DataType::LargeList(field) => DataType::LargeList(inner(field)),
        DataType::ListView(field) if views == Views::Flatten => DataType::List(inner(field)),
        DataType::LargeListView(field) if views == Views::Flatten => DataType::LargeList(inner(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(inner(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// A schema as an encapsulated IPC message, the form in which Flight carries schemas.
///
/// # Errors
/// `Internal` if it cannot be encoded.
pub(crate) fn ipc_bytes(schema: &Schema) -> Result<Bytes> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &Default::default())
        .try_into()
        .map_err(|error| Error::internal("a schema could not be encoded").with_source(error))?;
    Ok(bytes)
}
