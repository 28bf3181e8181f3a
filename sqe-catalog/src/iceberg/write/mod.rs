//! Writes: rows into new data files, on any machine, and a description of each file for the one commit.
//!
//! A [`WriteSpec`] says everything a machine needs to write; it holds no right: the store is found in the query's own
//! registry under the lease's URL.

mod fanout;
mod file;
mod metrics;
mod settings;
mod sink;
mod staged;
mod statement;

use std::{collections::HashSet, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{DataFile, PartitionSpecRef, SchemaRef as IcebergSchemaRef, TableMetadata};
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use sqe_core::{Error, Result};
use uuid::Uuid;

pub use settings::FileSettings;
pub use sink::WriteExec;
pub(crate) use statement::Destination;
pub use statement::IcebergWrite;

use super::{definition::is_avro_name, error::from_store, io::store_path, schema};

/// Property that moves a table's data files away from `<location>/data`.
const DATA_PATH: &str = "write.data.path";

/// What a machine needs to know to write data files of one table for one statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WriteSpec {
    /// The table's current columns.
    pub(crate) schema: IcebergSchemaRef,
    /// How new files are partitioned.
    pub(crate) partitioning: PartitionSpecRef,
    /// The folder of data files, without a trailing `/`.
    pub(crate) folder: String,
    /// Part of every file's name, so that a failed statement finds its own files.
    pub(crate) id: Uuid,
    /// `sqe-lease-<id>://`, under which the query's registry holds the writable store.
    pub(crate) store: String,
    /// Sizes and compression.
    pub(crate) settings: FileSettings,
}

impl WriteSpec {
    /// A write to a table with this metadata through the store registered as `store`.
    ///
    /// # Errors
    /// `InvalidInput` for a location that is none, `Unsupported` for settings that are not offered.
    pub fn try_new(metadata: &TableMetadata, store: &str) -> Result<Self> {
        let folder = data_folder(metadata);
        store_path(&folder)?;
        let partitioning = metadata.default_partition_spec();
        if let Some(field) = partitioning.fields().iter().find(|field| !is_avro_name(&field.name)) {
            return Err(Error::unsupported(format!(
                "the table's partition field {:?} has a name that manifests written here cannot hold",
                field.name
            )));
        }
        Ok(Self {
            schema: Arc::clone(metadata.current_schema()),
            partitioning: Arc::clone(partitioning),
            folder,
            id: Uuid::new_v4(),
            store: store.to_owned(),
            settings: FileSettings::of(metadata.properties())?,
        })
    }

    /// The schema that the written rows have: that of reads.
    ///
    /// # Errors
    /// `Unsupported` for types without an Arrow counterpart.
    pub fn arrow_schema(&self) -> Result<SchemaRef> {
        schema::arrow_schema(&self.schema)
    }

    /// A plan that writes the rows of `input` and emits one description a file.
    ///
    /// # Errors
    /// `InvalidInput` if the number or the types of the columns differ.
    pub fn sink(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(WriteExec::try_new(input, self.clone())?))
    }

    /// The data files that the sink's output describes.
    ///
    /// # Errors
    /// `Internal` if a description is not one, lies outside of the table's folder or comes twice.
    pub fn data_files(&self, staged: &[RecordBatch]) -> Result<Vec<DataFile>> {
        let mut seen = HashSet::new();
        let mut files = Vec::new();
        for described in staged::decode(staged)? {
            if !self.owns(&described.path) || !seen.insert(described.path.clone()) {
                return Err(Error::internal("a description of a written file does not belong to this statement"));
            }
            files.push(described.data_file(&self.schema, &self.partitioning)?);
        }
        Ok(files)
    }

    /// Removes every file that this statement left in the table's folder. What cannot be removed is left for
    /// maintenance: it is part of no snapshot.
    pub async fn remove_files(&self, store: &Arc<dyn ObjectStore>) {
        if let Err(error) = self.try_remove_files(store).await {
            tracing::warn!(%error, folder = %self.folder, write = %self.id, "files of a failed write were left behind");
        }
    }

    async fn try_remove_files(&self, store: &Arc<dyn ObjectStore>) -> Result<()> {
        let what = "remove the files of a failed write";
        let own = self.id.to_string();
        let listed = store.list(Some(&store_path(&self.folder)?));
        let found: Vec<Path> = listed
            .try_filter_map(|meta| {
                let ours = meta.location.filename().is_some_and(|name| name.contains(&own)).then_some(meta.location);
                futures::future::ready(Ok(ours))
            })
            .try_collect()
            .await
            .map_err(|error| from_store(error, what))?;
        let paths = futures::stream::iter(found.into_iter().map(Ok)).boxed();
        let mut removed = store.delete_stream(paths);
        while let Some(result) = removed.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(from_store(error, what)),
            }
        }
        Ok(())
    }

    /// Whether a file lies in the table's data folder and carries this statement's id.
    fn owns(&self, location: &str) -> bool {
        let inside = location.strip_prefix(&self.folder).is_some_and(|rest| rest.starts_with('/'));
        let name = location.rsplit('/').next().unwrap_or_default();
        inside && store_path(location).is_ok() && name.contains(&self.id.to_string())
    }
}

/// The folder of a table's data files, without a trailing `/`.
pub(crate) fn data_folder(metadata: &TableMetadata) -> String {
    match metadata.properties().get(DATA_PATH) {
        Some(path) => path.trim_end_matches('/').to_owned(),
        None => format!("{}/data", metadata.location().trim_end_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iceberg::spec::{
        FormatVersion, NestedField, PrimitiveType, Schema, SortOrder, TableMetadataBuilder, Transform, Type,
        UnboundPartitionSpec,
    };
    use rstest::rstest;
    use sqe_core::ErrorKind;

    use super::*;

    fn metadata(partition_field: &str, properties: &[(&str, &str)]) -> TableMetadata {
        let id = NestedField::optional(1, "id", Type::Primitive(PrimitiveType::Long)).into();
        let schema = Schema::builder().with_fields([id]).build().unwrap();
        let spec = UnboundPartitionSpec::builder().add_partition_field(1, partition_field, Transform::Bucket(2));
        let properties: HashMap<_, _> = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (location, order) = ("file:///w/t/".to_owned(), SortOrder::unsorted_order());
        let spec = spec.unwrap().build();
        let built = TableMetadataBuilder::new(schema, spec, order, location, FormatVersion::V2, properties);
        built.unwrap().build().unwrap().metadata
    }

    #[rstest]
    #[case("id bucket")]
    #[case("1st")]
    fn partition_fields_that_no_manifest_can_hold_are_refused(#[case] field: &str) {
        let error = WriteSpec::try_new(&metadata(field, &[]), "sqe-lease://x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(WriteSpec::try_new(&metadata("id_bucket", &[]), "sqe-lease://x").is_ok());
    }

    #[test]
    fn files_go_to_the_folder_that_the_table_names() {
        let spec = |properties| WriteSpec::try_new(&metadata("b", properties), "sqe-lease://x").unwrap();
        assert_eq!(spec(&[]).folder, "file:///w/t/data");
        assert_eq!(spec(&[(DATA_PATH, "file:///w/elsewhere/")]).folder, "file:///w/elsewhere");
        let spec = spec(&[]);
        let name = format!("00000-00000-{}.parquet", spec.id);
        assert!(spec.owns(&format!("file:///w/t/data/b=1/{name}")));
        for foreign in ["file:///w/t/data_other", "file:///w/t/data/../..", "file:///w/u/data"] {
            assert!(!spec.owns(&format!("{foreign}/{name}")), "{foreign}");
        }
        assert!(!spec.owns("file:///w/t/data/other.parquet"));
    }

    #[test]
    fn a_spec_travels_without_a_change() {
        let spec = WriteSpec::try_new(&metadata("b", &[]), "sqe-lease://x").unwrap();
        let wire = serde_json::to_vec(&spec).unwrap();
        assert_eq!(serde_json::from_slice::<WriteSpec>(&wire).unwrap(), spec);
    }
}
