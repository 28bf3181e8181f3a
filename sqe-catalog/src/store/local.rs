//! Files of this machine: no way out through symbolic links, and on disk when a write says so.

use std::{
    fmt, fs, io,
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult, UploadPart,
    local::LocalFileSystem, path::Path,
};
use sqe_core::{Error, Result};

use super::guard::refused;
use crate::iceberg::io::store_path;

/// The file system from its root, for files whose real place is inside of some folders.
#[derive(Debug, Clone)]
pub(crate) struct LocalFiles {
    inner: Arc<LocalFileSystem>,
    folders: Arc<[PathBuf]>,
}

impl LocalFiles {
    /// Files inside of the folders that `prefixes` name as URLs.
    pub(crate) fn within(prefixes: &[String]) -> Result<Self> {
        let folders = prefixes.iter().map(|prefix| real_folder(prefix)).collect::<Result<_>>()?;
        Ok(Self { inner: Arc::new(LocalFileSystem::new()), folders })
    }

    /// Refuses a location that a symbolic link leads out of the folders.
    fn settled(&self, location: &Path) -> StoreResult<()> {
        match real_path(&file_path(location)) {
            Ok(real) if self.folders.iter().any(|folder| real.starts_with(folder)) => Ok(()),
            Ok(_) => Err(refused(location.as_ref(), "a link leads out of what the lease covers")),
            Err(source) => Err(StoreError::Generic { store: "local files", source: Box::new(source) }),
        }
    }
}

/// The place on disk of a store path.
fn file_path(location: &Path) -> PathBuf {
    FilePath::new("/").join(location.as_ref())
}

/// The folder that a URL of a file system names, with symbolic links followed. It need not exist yet.
///
/// # Errors
/// `InvalidInput` if the URL is not one of this machine's files or climbs.
pub(crate) fn real_folder(prefix: &str) -> Result<PathBuf> {
    let local = prefix.starts_with("file:///") || prefix.starts_with("file:/") && !prefix.starts_with("file://");
    if !local && !prefix.starts_with('/') {
        return Err(Error::invalid(format!(
            "{prefix:?} is not a folder of this machine, such as file:///warehouse/t/"
        )));
    }
    let path = store_path(prefix)?;
    real_path(&file_path(&path))
        .map_err(|error| Error::unavailable(format!("the folder {prefix:?} cannot be reached")).with_source(error))
}

/// `path` with the symbolic links of its existing part followed.
///
/// # Errors
/// A link that leads nowhere is an error: what it would lead to once its target exists cannot be said now.
pub(crate) fn real_path(path: &FilePath) -> io::Result<PathBuf> {
    let mut existing = path;
    let mut rest = Vec::new();
    loop {
        match fs::canonicalize(existing) {
            Ok(mut real) => {
                real.extend(rest.iter().rev());
                return Ok(real);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(existing).is_err() => {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else { return Err(error) };
                rest.push(name);
                existing = parent;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits until a file and its folder's entry of it are on disk.
async fn synced(path: PathBuf) -> StoreResult<()> {
    let write = move || -> io::Result<()> {
        fs::File::open(&path)?.sync_all()?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    let done = tokio::task::spawn_blocking(write).await?;
    done.map_err(|source| StoreError::Generic { store: "local files", source: Box::new(source) })
}

/// An upload whose completion waits for the disk.
#[derive(Debug)]
struct SyncedUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        let result = self.inner.complete().await?;
        synced(self.path.clone()).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> StoreResult<()> {
        self.inner.abort().await
    }
}

impl fmt::Display for LocalFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local files")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for LocalFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.settled(location)?;
        let result = self.inner.put_opts(location, payload, options).await?;
        synced(file_path(location)).await?;
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.settled(location)?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { inner, path: file_path(location) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.settled(location)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.settled(location)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let this = self.clone();
        let checked = locations.and_then(move |path| futures::future::ready(this.settled(&path).map(|()| path)));
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let this = self.clone();
        let listed = self.inner.list(prefix);
        listed.try_filter(move |meta| futures::future::ready(this.settled(&meta.location).is_ok())).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let this = self.clone();
        let listed = self.inner.list_with_offset(prefix, offset);
        listed.try_filter(move |meta| futures::future::ready(this.settled(&meta.location).is_ok())).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.retain(|meta| self.settled(&meta.location).is_ok());
        listed.common_prefixes.retain(|folder| self.settled(folder).is_ok());
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.settled(from)?;
        self.settled(to)?;
        self.inner.copy_opts(from, to, options).await?;
        synced(file_path(to)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        self.settled(from)?;
        self.settled(to)?;
        self.inner.rename_opts(from, to, options).await?;
        synced(file_path(to)).await
    }
}
