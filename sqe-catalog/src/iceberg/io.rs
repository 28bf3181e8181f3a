//! Iceberg's file access over a leased store, and the one mapping from locations to store paths.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use iceberg::io::{
    FileIO, FileIOBuilder, FileMetadata, FileRead, FileWrite, InputFile, OutputFile, Storage, StorageConfig,
    StorageFactory,
};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use serde::{Serialize, Serializer};
use sqe_core::{Error, Result};

/// Bytes that a writer gathers before it starts an upload in parts. Manifests stay below it and go up in one piece.
const PART: usize = 8 * 1024 * 1024;

/// A location as a path of the store that its lease opens: the URL without scheme and authority and without the leading
/// `/`. `file:///w/t`, `file:/w/t` and the plain absolute `/w/t` are the same. Nothing is percent-decoded, as in the
/// other implementations of the format.
///
/// # Errors
/// `InvalidInput` for relative locations and for paths with `..`, `.`, empty or control-character segments.
pub fn store_path(location: &str) -> Result<Path> {
    // Where files are is the operator's business, and stands in the operator's log.
    let refuse = || {
        Error::invalid("a location of this table is not an absolute path or URL")
            .with_source(format!("the location is {location:?}"))
    };
    let path = match location.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => match rest.strip_prefix("//") {
            Some(authority_and_path) => match authority_and_path.find('/') {
                Some(slash) => authority_and_path.get(slash..).unwrap_or_default(),
                None => return Err(refuse()),
            },
            None => rest,
        },
        _ => location,
    };
    let relative = path.strip_prefix('/').ok_or_else(refuse)?;
    let parsed = Path::parse(relative).map_err(|_| refuse())?;
    // `Path` itself drops one leading and one trailing slash; a location that says more than its path is refused.
    if parsed.as_ref() != relative.strip_suffix('/').unwrap_or(relative) || parsed.is_root() {
        return Err(refuse());
    }
    Ok(parsed)
}

/// Whether `text` is the scheme of a URL (RFC 3986, section 3.1).
fn is_scheme(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The format's file access through `store`: what the store refuses, this refuses.
#[must_use]
pub fn file_io(store: Arc<dyn ObjectStore>) -> FileIO {
    FileIOBuilder::new(Arc::new(Leased(store))).build()
}

/// A store in the clothes of the format's storage. It cannot be serialised: a store is a right, and rights travel as
/// leases only.
#[derive(Debug, Clone)]
struct Leased(Arc<dyn ObjectStore>);

impl Serialize for Leased {
    fn serialize<S: Serializer>(&self, _serializer: S) -> std::result::Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a leased store cannot be serialised"))
    }
}

fn path(location: &str) -> iceberg::Result<Path> {
    store_path(location).map_err(|error| {
        iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "the location is not usable").with_source(error)
    })
}

fn failed(error: object_store::Error) -> iceberg::Error {
    iceberg::Error::new(iceberg::ErrorKind::Unexpected, "the storage failed").with_source(error)
}

// The trait is declared through `typetag`, whose two hidden methods are written by hand: registering the type would make
// it constructible from serialised text.
impl StorageFactory for Leased {
    fn build(&self, _config: &StorageConfig) -> iceberg::Result<Arc<dyn Storage>> {
        Ok(Arc::new(self.clone()))
    }

    fn typetag_name(&self) -> &'static str {
        "sqe-leased-store"
    }

    fn typetag_deserialize(&self) {}
}

#[async_trait]
impl Storage for Leased {
    async fn exists(&self, location: &str) -> iceberg::Result<bool> {
        match self.0.head(&path(location)?).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    async fn metadata(&self, location: &str) -> iceberg::Result<FileMetadata> {
        let meta = self.0.head(&path(location)?).await.map_err(failed)?;
        Ok(FileMetadata { size: meta.size })
    }

    async fn read(&self, location: &str) -> iceberg::Result<Bytes> {
        self.0.get(&path(location)?).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    async fn reader(&self, location: &str) -> iceberg::Result<Box<dyn FileRead>> {
        Ok(Box::new(Reader { store: Arc::clone(&self.0), path: path(location)? }))
    }

    async fn write(&self, location: &str, bytes: Bytes) -> iceberg::Result<()> {
        self.0.put(&path(location)?, PutPayload::from_bytes(bytes)).await.map_err(failed)?;
        Ok(())
    }

    async fn writer(&self, location: &str) -> iceberg::Result<Box<dyn FileWrite>> {
        let path = path(location)?;
        Ok(Box::new(Writer { store: Arc::clone(&self.0), path, buffer: Vec::new(), upload: None, closed: false }))
    }

    async fn delete(&self, location: &str) -> iceberg::Result<()> {
        match self.0.delete(&path(location)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn delete_prefix(&self, location: &str) -> iceberg::Result<()> {
        let listed = self.0.list(Some(&path(location)?)).map_ok(|meta| meta.location).boxed();
        self.0.delete_stream(listed).try_for_each(|_| futures::future::ready(Ok(()))).await.map_err(failed)
    }

    async fn delete_stream(&self, mut locations: BoxStream<'static, String>) -> iceberg::Result<()> {
        while let Some(location) = locations.next().await {
            self.delete(&location).await?;
        }
        Ok(())
    }

    fn new_input(&self, location: &str) -> iceberg::Result<InputFile> {
        Ok(InputFile::new(Arc::new(self.clone()), location.to_owned()))
    }

    fn new_output(&self, location: &str) -> iceberg::Result<OutputFile> {
        Ok(OutputFile::new(Arc::new(self.clone()), location.to_owned()))
    }

    fn typetag_name(&self) -> &'static str {
        "sqe-leased-store"
    }

    fn typetag_deserialize(&self) {}
}

struct Reader {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

#[async_trait]
impl FileRead for Reader {
    async fn read(&self, range: Range<u64>) -> iceberg::Result<Bytes> {
        self.store.get_range(&self.path, range).await.map_err(failed)
    }
}

/// Gathers bytes; what fits one part goes up as a single put, which appears whole or not at all.
struct Writer {
    store: Arc<dyn ObjectStore>,
    path: Path,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    closed: bool,
}

#[async_trait]
impl FileWrite for Writer {
    async fn write(&mut self, bytes: Bytes) -> iceberg::Result<()> {
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() >= PART {
            let part = PutPayload::from(std::mem::take(&mut self.buffer));
            let upload = match &mut self.upload {
                Some(upload) => upload,
                none => none.insert(self.store.put_multipart(&self.path).await.map_err(failed)?),
            };
            upload.put_part(part).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn close(&mut self) -> iceberg::Result<()> {
        if std::mem::replace(&mut self.closed, true) {
            return Err(iceberg::Error::new(iceberg::ErrorKind::DataInvalid, "the file is closed already"));
        }
        let rest = PutPayload::from(std::mem::take(&mut self.buffer));
        match &mut self.upload {
            None => {
                self.store.put(&self.path, rest).await.map_err(failed)?;
            }
            Some(upload) => {
                if rest.content_length() > 0 {
                    upload.put_part(rest).await.map_err(failed)?;
                }
                upload.complete().await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("file:///w/t/a.parquet", "w/t/a.parquet")]
    #[case("file:/w/t/a.parquet", "w/t/a.parquet")]
    #[case("/w/t/a.parquet", "w/t/a.parquet")]
    #[case("file:///w/t/data/region=a%20b/x y.parquet", "w/t/data/region=a%20b/x y.parquet")]
    #[case("s3://bucket/w/t/", "w/t")]
    #[case("/w/a:b/c", "w/a:b/c")]
    fn locations_map_to_paths_without_scheme_and_authority(#[case] location: &str, #[case] expected: &str) {
        assert_eq!(store_path(location).unwrap().as_ref(), expected);
    }

    #[rstest]
    #[case("w/t")]
    #[case("file://host")]
    #[case("/w/../t")]
    #[case("/w/./t")]
    #[case("/w//t")]
    #[case("file:////w/t")]
    #[case("/")]
    #[case("")]
    #[case("/w/\u{0}/t")]
    fn locations_that_climb_or_are_relative_are_refused(#[case] location: &str) {
        assert!(store_path(location).is_err());
    }

    #[tokio::test]
    async fn files_written_are_read_back_in_whole_and_in_ranges() {
        let io = file_io(Arc::new(object_store::memory::InMemory::new()));
        let output = io.new_output("file:///w/a").unwrap();
        let mut writer = output.writer().await.unwrap();
        for _ in 0..3 {
            writer.write(Bytes::from(vec![7; PART / 2 + 1])).await.unwrap();
        }
        writer.close().await.unwrap();
        assert!(writer.close().await.is_err());
        let input = io.new_input("/w/a").unwrap();
        assert_eq!(input.metadata().await.unwrap().size as usize, 3 * (PART / 2 + 1));
        assert_eq!(input.reader().await.unwrap().read(5..8).await.unwrap().as_ref(), [7, 7, 7]);
        io.delete("file:///w/a").await.unwrap();
        assert!(!io.exists("file:///w/a").await.unwrap());
        io.delete("file:///w/a").await.unwrap();
    }
}
