//! Views as their catalog keeps them (Apache Iceberg view specification, version 1).

use std::{any::Any, collections::HashMap, sync::Arc};

use arrow::datatypes::SchemaRef;
use chrono::Utc;
use datafusion::common::Statistics;
use iceberg::{
    NamespaceIdent, ViewCreation,
    spec::{Schema, ViewMetadata, ViewMetadataBuilder, ViewRepresentation, ViewRepresentations, ViewVersion},
};
use serde_json::json;
use sqe_core::{
    Error, Result, TableId, TableName,
    catalog::{CatalogTable, NewView, ViewDefinition},
    policy::TableFacts,
};

use super::{
    definition::check_nesting,
    error::from_iceberg,
    schema::{arrow_schema, new_schema},
    table::{OWNER_ISSUER, OWNER_SUBJECT, columns_of, owner_of},
};

/// What this engine calls its SQL in a view's representations.
pub const DIALECT: &str = "sqe";

/// A view in its current version.
#[derive(Debug, Clone)]
pub struct IcebergView {
    facts: TableFacts,
    schema: SchemaRef,
    definition: ViewDefinition,
    metadata: Arc<ViewMetadata>,
    location: String,
}

impl IcebergView {
    /// A view whose metadata file is at `metadata_location`. Names in it that say no catalog mean the view's own, as the
    /// engine calls it, unless the metadata name another.
    ///
    /// # Errors
    /// `Unsupported` for a view without a text in this engine's [`DIALECT`], and for column types that cannot be read.
    pub fn try_new(name: TableName, metadata: ViewMetadata, metadata_location: &str) -> Result<Self> {
        let version = metadata.current_version();
        let texts: Vec<_> = version.representations().iter().map(|ViewRepresentation::Sql(text)| text).collect();
        let own = texts.iter().find(|text| text.dialect.eq_ignore_ascii_case(DIALECT)).ok_or_else(|| {
            let dialects: Vec<_> = texts.iter().map(|text| text.dialect.as_str()).collect();
            let dialects = dialects.join(", ");
            Error::unsupported(format!(
                "view {name} is written in the SQL of {dialects}; create it with this engine, too"
            ))
        })?;
        let catalog = version.default_catalog().cloned().unwrap_or_else(|| name.catalog.clone());
        let definition = ViewDefinition::new(&own.sql, catalog, version.default_namespace().as_ref().join("."));
        let current = metadata.current_schema();
        let schema = arrow_schema(current)?;
        let columns = columns_of(current, |_| Default::default());
        let facts = TableFacts::new(TableId::new(name, metadata.uuid()), columns);
        let facts = facts.with_owner(owner_of(metadata.properties()));
        let location = metadata_location.to_owned();
        Ok(Self { facts, schema, definition, metadata: Arc::new(metadata), location })
    }

    /// The view's metadata.
    #[must_use]
    pub fn metadata(&self) -> &ViewMetadata {
        &self.metadata
    }

    /// Where the metadata file is that this view was loaded from.
    #[must_use]
    pub fn metadata_location(&self) -> &str {
        &self.location
    }
}

impl CatalogTable for IcebergView {
    fn facts(&self) -> &TableFacts {
        &self.facts
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The version of the view.
    fn snapshot(&self) -> Option<i64> {
        Some(self.metadata.current_version_id().into())
    }

    fn prefixes(&self) -> Vec<String> {
        Vec::new()
    }

    fn statistics(&self) -> Option<Statistics> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn view(&self) -> Option<&ViewDefinition> {
        Some(&self.definition)
    }
}

/// The metadata of a view that is about to exist, at `location`.
///
/// # Errors
/// `InvalidInput` for columns without names or with one name twice, `Unsupported` for types that the format cannot hold.
pub fn new_view(new: &NewView, location: &str) -> Result<ViewMetadata> {
    let properties = [(OWNER_ISSUER, &new.owner.issuer), (OWNER_SUBJECT, &new.owner.subject)];
    let creation = ViewCreation::builder()
        .name(new.name.table.clone())
        .location(location.to_owned())
        .representations(representations(&new.definition)?)
        .schema(schema(new)?)
        .properties(properties.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect())
        .default_namespace(namespace(&new.definition)?)
        .default_catalog(default_catalog(new))
        .summary(summary())
        .build();
    let built = ViewMetadataBuilder::from_view_creation(creation).and_then(ViewMetadataBuilder::build);
    built.map(|built| built.metadata).map_err(|error| from_iceberg(error, "define the view"))
}

/// The same view with another query.
///
/// # Errors
/// Those of [`new_view`].
pub fn replaced_view(old: &ViewMetadata, new: &NewView) -> Result<ViewMetadata> {
    let version = ViewVersion::builder()
        .with_version_id(old.current_version_id().saturating_add(1))
        .with_schema_id(0)
        .with_timestamp_ms(Utc::now().timestamp_millis())
        .with_summary(summary())
        .with_representations(representations(&new.definition)?)
        .with_default_catalog(default_catalog(new))
        .with_default_namespace(namespace(&new.definition)?)
        .build();
    let schema = schema(new)?;
    let built = old.clone().into_builder().set_current_version(version, schema).and_then(ViewMetadataBuilder::build);
    built.map(|built| built.metadata).map_err(|error| from_iceberg(error, "define the view"))
}

fn schema(new: &NewView) -> Result<Schema> {
    check_nesting(&new.schema)?;
    new_schema(&new.schema)
}

fn namespace(definition: &ViewDefinition) -> Result<NamespaceIdent> {
    let levels = definition.schema.split('.').map(str::to_owned);
    NamespaceIdent::from_strs(levels).map_err(|error| from_iceberg(error, "name the view's schema"))
}

/// The engine may call the catalog otherwise next time.
fn default_catalog(new: &NewView) -> Option<String> {
    (new.definition.catalog != new.name.catalog).then(|| new.definition.catalog.clone())
}

/// The library makes them of their own JSON alone.
fn representations(definition: &ViewDefinition) -> Result<ViewRepresentations> {
    let text = json!([{ "type": "sql", "sql": definition.sql, "dialect": DIALECT }]);
    serde_json::from_value(text).map_err(|error| Error::internal("a view's text cannot be kept").with_source(error))
}

fn summary() -> HashMap<String, String> {
    let entries = [("engine-name", "sqe"), ("engine-version", env!("CARGO_PKG_VERSION"))];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
    use sqe_core::{ErrorKind, Principal};

    use super::*;

    fn wish(sql: &str, catalog: &str) -> NewView {
        let columns = ArrowSchema::new(vec![Field::new("id", DataType::Int64, false)]);
        let definition = ViewDefinition::new(sql, catalog, "s");
        let name = TableName::new("lake", "s", "v");
        NewView::new(name, definition, Arc::new(columns), Principal::new("idp", "alice"))
    }

    fn read(metadata: ViewMetadata, catalog: &str) -> Result<IcebergView> {
        IcebergView::try_new(TableName::new(catalog, "s", "v"), metadata, "file:///w/s/v/metadata/1.json")
    }

    #[test]
    fn a_view_means_the_same_when_the_engine_calls_its_catalog_otherwise() {
        let metadata = new_view(&wish("SELECT id FROM t", "lake"), "file:///w/s/v").unwrap();
        let view = read(metadata, "house").unwrap();
        assert_eq!(view.view().unwrap(), &ViewDefinition::new("SELECT id FROM t", "house", "s"));
        assert_eq!(view.facts().owner, Some(Principal::new("idp", "alice")));
        let metadata = new_view(&wish("SELECT id FROM t", "other"), "file:///w/s/v").unwrap();
        assert_eq!(read(metadata, "house").unwrap().view().unwrap().catalog, "other");
    }

    #[test]
    fn a_replaced_view_is_the_same_view_and_keeps_what_it_was() {
        let old = new_view(&wish("SELECT 1 AS id", "lake"), "file:///w/s/v").unwrap();
        let new = replaced_view(&old, &wish("SELECT 2 AS id", "lake")).unwrap();
        assert_eq!(new.uuid(), old.uuid());
        assert_eq!(new.versions().len(), 2);
        assert_eq!(read(old, "lake").unwrap().snapshot(), Some(1));
        assert_eq!(read(new.clone(), "lake").unwrap().snapshot(), Some(2));
        assert_eq!(read(new, "lake").unwrap().view().unwrap().sql, "SELECT 2 AS id");
    }

    #[test]
    fn a_text_in_the_sql_of_another_engine_is_not_taken_for_ours() {
        let metadata = new_view(&wish("SELECT 1 AS id", "lake"), "file:///w/s/v").unwrap();
        let text = serde_json::to_string(&metadata).unwrap().replace("\"sqe\"", "\"trino\"");
        let error = read(serde_json::from_str(&text).unwrap(), "lake").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("trino"), "{error}");
    }
}
