use std::{path::Path as FilePath, sync::Arc};

use futures::{StreamExt, TryStreamExt};
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutPayload, path::Path};
use rstest::rstest;
use sqe_core::{
    ErrorKind, Identity, Principal, TableName,
    catalog::StoreOpener,
    credentials::{CredentialVendor, Lease, LeaseSource, Operation, StoreCredentials, VendRequest},
};

use super::Stores;
use crate::vend::LocalVendor;

async fn lease(root: &FilePath, folder: &str, operation: Operation) -> Lease {
    let vendor = LocalVendor::new([root]).unwrap();
    let identity = Identity::new(Principal::new("idp", "alice"));
    let prefixes = vec![format!("file://{}/{folder}/", root.display())];
    let name = TableName::new("lake", "s", "t");
    vendor.vend(&VendRequest::new(&identity, &name, &prefixes, operation)).await.unwrap()
}

async fn store(root: &FilePath, folder: &str, operation: Operation) -> Arc<dyn ObjectStore> {
    Stores.open(&lease(root, folder, operation).await).await.unwrap()
}

fn at(root: &FilePath, path: &str) -> Path {
    Path::parse(root.join(path).to_str().unwrap()).unwrap()
}

fn denied<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::PermissionDenied { .. }))
}

/// A canonical temporary folder: some systems keep theirs behind a link.
fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    (dir, path)
}

#[tokio::test]
async fn a_writable_lease_writes_inside_and_is_refused_outside() {
    let (_dir, root) = folder();
    let store = store(&root, "t", Operation::Write).await;
    let inside = at(&root, "t/data/a b=c%20d");
    store.put(&inside, PutPayload::from_static(b"rows")).await.unwrap();
    assert_eq!(store.get(&inside).await.unwrap().bytes().await.unwrap().as_ref(), b"rows");
    let mut upload = store.put_multipart(&at(&root, "t/data/big")).await.unwrap();
    upload.put_part(PutPayload::from_static(b"part")).await.unwrap();
    upload.complete().await.unwrap();
    let listed: Vec<_> = store.list(Some(&at(&root, "t"))).try_collect().await.unwrap();
    assert_eq!(listed.len(), 2);

    for outside in ["t_other/a", "t", "a"] {
        let outside = at(&root, outside);
        assert!(denied(store.put(&outside, PutPayload::from_static(b"x")).await), "{outside}");
        assert!(denied(store.put_multipart(&outside).await.map(drop)), "{outside}");
        assert!(denied(store.get(&outside).await.map(drop)), "{outside}");
        assert!(denied(store.head(&outside).await), "{outside}");
        assert!(denied(store.get_ranges(&outside, &[0..1, 1..2]).await), "{outside}");
        assert!(denied(store.delete(&outside).await), "{outside}");
        assert!(denied(store.copy(&inside, &outside).await), "{outside}");
        assert!(denied(store.copy(&outside, &inside).await), "{outside}");
        assert!(denied(store.rename(&inside, &outside).await), "{outside}");
    }
    assert!(denied(store.list(None).next().await.unwrap()));
    assert!(denied(store.list(Some(&at(&root, "t_other"))).next().await.unwrap()));
    assert!(denied(store.list_with_delimiter(Some(&at(&root, ""))).await));
    assert!(denied(store.list_with_offset(None, &inside).next().await.unwrap()));
    store.delete(&inside).await.unwrap();
}

#[tokio::test]
async fn a_lease_for_reading_reads_and_never_writes() {
    let (_dir, root) = folder();
    std::fs::create_dir_all(root.join("t")).unwrap();
    std::fs::write(root.join("t/a"), b"rows").unwrap();
    for operation in [Operation::Read, Operation::ReadMetadata] {
        let store = store(&root, "t", operation).await;
        let file = at(&root, "t/a");
        assert_eq!(store.get(&file).await.unwrap().bytes().await.unwrap().as_ref(), b"rows");
        assert!(denied(store.put(&file, PutPayload::from_static(b"x")).await));
        assert!(denied(store.delete(&file).await));
        assert!(denied(store.copy(&file, &at(&root, "t/b")).await));
        assert!(denied(store.rename(&file, &at(&root, "t/b")).await));
        assert!(denied(store.put_multipart(&at(&root, "t/b")).await.map(drop)));
    }
    assert_eq!(std::fs::read(root.join("t/a")).unwrap(), b"rows");
}

#[cfg(unix)]
#[tokio::test]
async fn links_out_of_the_folder_are_refused_and_links_inside_work() {
    use std::os::unix::fs::symlink;
    let (_dir, root) = folder();
    std::fs::create_dir_all(root.join("t/data")).unwrap();
    std::fs::create_dir_all(root.join("secret")).unwrap();
    std::fs::write(root.join("secret/a"), b"secret").unwrap();
    std::fs::write(root.join("t/data/a"), b"rows").unwrap();
    symlink(root.join("secret"), root.join("t/out")).unwrap();
    symlink(root.join("secret/a"), root.join("t/file")).unwrap();
    symlink(root.join("nowhere"), root.join("t/dangling")).unwrap();
    symlink(root.join("t/data"), root.join("t/in")).unwrap();
    let store = store(&root, "t", Operation::Write).await;
    for escape in ["t/out/a", "t/file", "t/out/new"] {
        assert!(denied(store.get(&at(&root, escape)).await.map(drop)), "{escape}");
        assert!(denied(store.put(&at(&root, escape), PutPayload::from_static(b"x")).await), "{escape}");
        assert!(denied(store.delete(&at(&root, escape)).await), "{escape}");
    }
    assert!(store.put(&at(&root, "t/dangling/x"), PutPayload::from_static(b"x")).await.is_err());
    assert_eq!(store.get(&at(&root, "t/in/a")).await.unwrap().bytes().await.unwrap().as_ref(), b"rows");
    let names: Vec<String> = store
        .list(Some(&at(&root, "t")))
        .filter_map(|m| async { m.ok() })
        .map(|m| m.location.to_string())
        .collect()
        .await;
    assert!(names.iter().all(|name| !name.contains("/out/") && !name.ends_with("/file")), "{names:?}");
    assert_eq!(std::fs::read(root.join("secret/a")).unwrap(), b"secret");
}

#[derive(Debug)]
struct Bucket;

#[async_trait::async_trait]
impl LeaseSource for Bucket {
    async fn credentials(&self) -> sqe_core::Result<StoreCredentials> {
        Ok(StoreCredentials::LocalFiles)
    }

    fn expires_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        None
    }
}

#[rstest]
#[case("s3://bucket/t/")]
#[case("file://host/t/")]
#[case("file:///w/t")]
#[case("file:///w/../t/")]
#[case("relative/t/")]
#[tokio::test]
async fn prefixes_that_are_no_local_folders_open_nothing(#[case] prefix: &str) {
    let identity = Identity::new(Principal::new("idp", "alice"));
    let (name, prefixes) = (TableName::new("lake", "s", "t"), vec![prefix.to_owned()]);
    let request = VendRequest::new(&identity, &name, &prefixes, Operation::Read);
    let error = Stores.open(&Lease::for_request(&request, Arc::new(Bucket))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
