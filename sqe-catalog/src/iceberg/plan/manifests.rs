//! From a snapshot to its live data files.

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::{
    io::FileIO,
    spec::{
        DataContentType, DataFile, DataFileFormat, Manifest, ManifestContentType, ManifestEntryRef, ManifestFile,
        ManifestList, PartitionSpec, TableMetadata,
    },
};
use sqe_core::{Error, Result};

use super::prune::Pruner;
use crate::iceberg::error::from_iceberg;

/// Manifests that are fetched at once.
const CONCURRENT: usize = 16;

/// A live data file and the spec that its partition values belong to.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    entry: ManifestEntryRef,
    spec: std::sync::Arc<PartitionSpec>,
}

impl Live {
    pub(crate) fn file(&self) -> &DataFile {
        self.entry.data_file()
    }

    pub(crate) fn spec(&self) -> &PartitionSpec {
        &self.spec
    }
}

/// The data files of a snapshot that may hold rows satisfying the filters, in the order of the manifests.
///
/// # Errors
/// `Unsupported` if rows were deleted without rewriting their files, and for files that are encrypted or not Parquet;
/// `Unavailable` and `PermissionDenied` from the storage.
pub(crate) async fn live(
    metadata: &TableMetadata,
    snapshot: i64,
    io: &FileIO,
    pruner: Option<&Pruner>,
) -> Result<Vec<Live>> {
    let snapshot = metadata
        .snapshot_by_id(snapshot)
        .ok_or_else(|| Error::internal("the table's metadata does not hold the snapshot to read"))?;
    if snapshot.encryption_key_id().is_some() {
        return Err(encrypted());
    }
    let bytes = read(io, snapshot.manifest_list()).await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())
        .map_err(|error| from_iceberg(error, "read the table's list of manifests"))?;
    let mut manifests: Vec<ManifestFile> = list.consume_entries().into_iter().collect();
    refuse_deletes(&manifests, io).await?;
    // A manifest without counts may hold anything.
    manifests.retain(|manifest| {
        manifest.content == ManifestContentType::Data && (manifest.has_added_files() || manifest.has_existing_files())
    });
    if let Some(pruner) = pruner {
        let spec = |id| metadata.partition_spec_by_id(id).map(AsRef::as_ref);
        let mut kept = pruner.manifests(&manifests, spec).into_iter();
        manifests.retain(|_| kept.next().unwrap_or(true));
    }
    // Made before they are streamed: a closure over references inside of the stream would not be general enough for the
    // `Send` futures of the catalog's trait.
    let loading: Vec<_> = manifests.iter().map(|manifest| files(manifest, io, pruner)).collect();
    let loaded: Vec<Vec<Live>> = stream::iter(loading).buffered(CONCURRENT).try_collect().await?;
    Ok(loaded.into_iter().flatten().collect())
}

async fn files(manifest: &ManifestFile, io: &FileIO, pruner: Option<&Pruner>) -> Result<Vec<Live>> {
    let manifest = load(manifest, io).await?;
    let (entries, described) = manifest.into_parts();
    let spec = std::sync::Arc::new(described.partition_spec().clone());
    let mut live = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.is_alive()) {
        let file = entry.data_file();
        if file.content_type() != DataContentType::Data {
            return Err(deleted());
        }
        if file.file_format() != DataFileFormat::Parquet {
            return Err(Error::unsupported("the table has data files that are not Parquet, which cannot be read"));
        }
        if file.key_metadata().is_some() {
            return Err(encrypted());
        }
        live.push(Live { entry, spec: std::sync::Arc::clone(&spec) });
    }
    if let Some(pruner) = pruner {
        let mut kept = pruner.files(live.iter().map(|live| (live.file(), live.spec()))).into_iter();
        live.retain(|_| kept.next().unwrap_or(true));
    }
    Ok(live)
}

/// Deleted rows must not come back: a snapshot with delete files is refused as long as they cannot be applied.
async fn refuse_deletes(manifests: &[ManifestFile], io: &FileIO) -> Result<()> {
    for manifest in manifests.iter().filter(|manifest| manifest.content == ManifestContentType::Deletes) {
        let counts = manifest.added_files_count.zip(manifest.existing_files_count);
        let any = match counts {
            Some((added, existing)) => added > 0 || existing > 0,
            None => load(manifest, io).await?.entries().iter().any(|entry| entry.is_alive()),
        };
        if any {
            return Err(deleted());
        }
    }
    Ok(())
}

async fn load(manifest: &ManifestFile, io: &FileIO) -> Result<Manifest> {
    if manifest.key_metadata.is_some() {
        return Err(encrypted());
    }
    manifest.load_manifest(io).await.map_err(|error| from_iceberg(error, "read a manifest of the table"))
}

async fn read(io: &FileIO, location: &str) -> Result<bytes::Bytes> {
    let what = "read the table's list of manifests";
    let input = io.new_input(location).map_err(|error| from_iceberg(error, what))?;
    input.read().await.map_err(|error| from_iceberg(error, what))
}

fn deleted() -> Error {
    Error::unsupported(
        "the table has deleted rows in files of their own (merge-on-read), which cannot be read yet; compact the table",
    )
}

fn encrypted() -> Error {
    Error::unsupported("the table is encrypted, which cannot be read")
}
