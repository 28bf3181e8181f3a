//! A store that ends where its lease ends.

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult, path::Path,
};
use sqe_core::{Error, Result, credentials::Lease};

use crate::iceberg::io::store_path;

/// Refuses every request outside of a lease's prefixes, and writes through a lease that is not writable.
#[derive(Debug)]
pub struct PrefixGuard {
    inner: Arc<dyn ObjectStore>,
    /// Store paths of folders, each ending in `/`.
    prefixes: Arc<[String]>,
    writable: bool,
    lease: uuid::Uuid,
}

impl PrefixGuard {
    /// `inner`, limited to what `lease` covers.
    ///
    /// # Errors
    /// `InvalidInput` if a prefix of the lease is not the URL of a folder.
    pub fn new(inner: Arc<dyn ObjectStore>, lease: &Lease) -> Result<Self> {
        let folder = |prefix: &String| match prefix.ends_with('/') {
            true => store_path(prefix).map(|path| format!("{path}/")),
            false => Err(Error::invalid(format!("the prefix {prefix:?} of a lease is not a folder: it must end in /"))),
        };
        let prefixes = lease.prefixes.iter().map(folder).collect::<Result<_>>()?;
        Ok(Self { inner, prefixes, writable: lease.writable, lease: lease.id })
    }

    fn readable(&self, location: &Path) -> StoreResult<()> {
        inside(&self.prefixes, location.as_ref())
    }

    fn writable(&self, location: &Path) -> StoreResult<()> {
        match self.writable {
            true => self.readable(location),
            false => Err(refused(location.as_ref(), "the lease does not allow to write")),
        }
    }

    /// Listing names the folder without its trailing `/`; the root is never inside.
    fn listable(&self, prefix: Option<&Path>) -> StoreResult<()> {
        inside(&self.prefixes, &format!("{}/", prefix.map(Path::as_ref).unwrap_or_default()))
    }
}

fn inside(prefixes: &[String], location: &str) -> StoreResult<()> {
    let climbs = location.split('/').any(|part| part == ".." || part == ".");
    if !climbs && prefixes.iter().any(|prefix| location.starts_with(prefix)) {
        return Ok(());
    }
    Err(refused(location, "the lease does not cover this location"))
}

pub(super) fn refused(location: &str, why: &'static str) -> StoreError {
    StoreError::PermissionDenied { path: location.to_owned(), source: why.into() }
}

impl fmt::Display for PrefixGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {} of {}", self.lease, self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for PrefixGuard {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.writable(location)?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.writable(location)?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.readable(location)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.readable(location)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let (prefixes, writable) = (Arc::clone(&self.prefixes), self.writable);
        let checked = locations.and_then(move |location| {
            let verdict = match writable {
                true => inside(&prefixes, location.as_ref()),
                false => Err(refused(location.as_ref(), "the lease does not allow to write")),
            };
            futures::future::ready(verdict.map(|()| location))
        });
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.listable(prefix) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(futures::future::ready(Err(error))).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.listable(prefix) {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => futures::stream::once(futures::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.listable(prefix)?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.readable(from)?;
        self.writable(to)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        self.writable(from)?;
        self.writable(to)?;
        self.inner.rename_opts(from, to, options).await
    }
}
