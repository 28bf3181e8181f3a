//! Opens data files: footers come from a cache if they can, and leave under the table's names.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use datafusion::{
    datasource::{
        listing::PartitionedFile,
        physical_plan::parquet::{
            CachedParquetMetaData, DefaultParquetFileReaderFactory, ObjectStoreFetch, ParquetFileReaderFactory,
            metadata::DFParquetMetadata,
        },
    },
    error::Result,
    execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadataCache},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};

use super::resolve::FieldNames;

/// What a scan keeps to open its files: where footers are cached, and how fields are called.
#[derive(Clone)]
pub(crate) struct Footers {
    pub(crate) names: Arc<FieldNames>,
    pub(crate) cache: Arc<dyn FileMetadataCache>,
    /// Tells apart equal paths of different tables and stores. Footers of a table are found only by who planned a scan
    /// of that table.
    pub(crate) namespace: Arc<str>,
}

impl fmt::Debug for Footers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Footers").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Footers {
    fn key(&self, file: &ObjectMeta) -> Path {
        let place = format!("{}/{:016x}/{}", self.namespace, self.names.fingerprint(), file.location);
        Path::from(place)
    }
}

/// Opens files of one store.
#[derive(Debug)]
pub(crate) struct ReaderFactory {
    pub(crate) footers: Footers,
    pub(crate) store: Arc<dyn ObjectStore>,
}

impl ParquetFileReaderFactory for ReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let file = partitioned_file.object_meta.clone();
        // The default factory's reader counts the bytes; only the metadata is ours.
        let bytes = DefaultParquetFileReaderFactory::new(Arc::clone(&self.store)).create_reader(
            partition_index,
            partitioned_file,
            metadata_size_hint,
            metrics,
        )?;
        let (footers, store) = (self.footers.clone(), Arc::clone(&self.store));
        Ok(Box::new(Reader { bytes, file, footers, store, metadata_size_hint }))
    }
}

struct Reader {
    bytes: Box<dyn AsyncFileReader + Send>,
    file: ObjectMeta,
    footers: Footers,
    store: Arc<dyn ObjectStore>,
    metadata_size_hint: Option<usize>,
}

impl Reader {
    async fn metadata(&mut self, policy: PageIndexPolicy) -> parquet::errors::Result<Arc<ParquetMetaData>> {
        let key = self.footers.key(&self.file);
        let cached = self.footers.cache.get(&key).filter(|entry| entry.is_valid_for(&self.file)).and_then(|entry| {
            let metadata = entry.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>()?;
            Some(Arc::clone(metadata.parquet_metadata()))
        });
        let metadata = match cached {
            Some(metadata) if policy == PageIndexPolicy::Skip || has_page_index(&metadata) => return Ok(metadata),
            Some(metadata) => {
                let owned = Arc::unwrap_or_clone(metadata);
                let mut reader = ParquetMetaDataReader::new_with_metadata(owned).with_page_index_policy(policy);
                reader.load_page_index(ObjectStoreFetch::new(&self.store, &self.file)).await?;
                reader.finish()?
            }
            None => {
                let fetched = DFParquetMetadata::new(&self.store, &self.file)
                    .with_metadata_size_hint(self.metadata_size_hint)
                    .with_page_index_policy(Some(policy))
                    .fetch_metadata()
                    .await
                    .map_err(|error| ParquetError::External(Box::new(error)))?;
                self.footers.names.resolve(Arc::unwrap_or_clone(fetched))?
            }
        };
        let metadata = Arc::new(metadata);
        let entry = Arc::new(CachedParquetMetaData::new(Arc::clone(&metadata)));
        self.footers.cache.put(&key, CachedFileMetadataEntry::new(self.file.clone(), entry));
        Ok(metadata)
    }
}

fn has_page_index(metadata: &ParquetMetaData) -> bool {
    metadata.column_index().is_some() && metadata.offset_index().is_some()
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.bytes.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.bytes.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let policy = options.map_or(PageIndexPolicy::Skip, ArrowReaderOptions::column_index_policy);
        self.metadata(policy).boxed()
    }
}
