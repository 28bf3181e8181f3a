use std::sync::Arc;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use parking_lot::Mutex;
use sqe_core::{
    ErrorKind, Result,
    catalog::{CatalogSession, NewTable},
    credentials::{CredentialVendor, Lease, Operation, RefusingVendor, VendRequest},
};

use super::{
    super::database::Kind,
    bed::{Bed, alice, columns, name},
};
use crate::LocalVendor;

/// Remembers what was asked for.
#[derive(Debug)]
struct Recorder {
    inner: LocalVendor,
    asked: Mutex<Vec<(String, Vec<String>, Operation)>>,
}

#[async_trait]
impl CredentialVendor for Recorder {
    async fn vend(&self, request: &VendRequest<'_>) -> Result<Lease> {
        let asked = (request.identity.principal.to_string(), request.prefixes.to_vec(), request.operation);
        self.asked.lock().push(asked);
        self.inner.vend(request).await
    }
}

async fn with_table() -> Bed {
    let bed = Bed::new().await;
    let new = NewTable::new(name("t"), columns(&[("id", DataType::Int64)]), alice());
    bed.session().create_table(&new).await.unwrap();
    bed
}

#[tokio::test]
async fn metadata_is_read_as_the_person_and_only_in_the_tables_folder() {
    let bed = with_table().await;
    let inner = LocalVendor::new([bed.root.join("wh")]).unwrap();
    let recorder = Arc::new(Recorder { inner, asked: Mutex::default() });
    let session = bed.session_with(Arc::clone(&recorder) as Arc<dyn CredentialVendor>);
    session.load_one(&name("t")).await.unwrap();
    assert_eq!(session.load_one(&name("missing")).await.unwrap_err().kind(), ErrorKind::NotFound);
    let folder = format!("file://{}/wh/s/t/", bed.root.display());
    let expected = ("https://idp#alice".to_owned(), vec![folder], Operation::ReadMetadata);
    assert_eq!(*recorder.asked.lock(), [expected]);
}

#[tokio::test]
async fn without_a_lease_nothing_is_read_and_listing_still_works() {
    let bed = with_table().await;
    let session = bed.session_with(Arc::new(RefusingVendor));
    assert_eq!(session.load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(session.tables("s").await.unwrap(), [name("t")]);
    let elsewhere = LocalVendor::new([bed.root.join("other")]).unwrap();
    let session = bed.session_with(Arc::new(elsewhere));
    assert_eq!(session.load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert!(bed.session().load_one(&name("t")).await.is_ok());
}

#[tokio::test]
async fn a_broken_metadata_file_is_the_tables_own_fault_and_no_unknown_table() {
    let bed = with_table().await;
    let file = bed.root.join("wh/s/t").join(&bed.files("s/t")[0]);
    let content = std::fs::read(&file).unwrap();
    for broken in [b"".as_slice(), b"{}", b"\x1f\x8bxx", &content[..content.len() / 2]] {
        std::fs::write(&file, broken).unwrap();
        assert_eq!(bed.session().load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::Internal);
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::write(file.with_file_name("other"), b"").unwrap();
    assert_eq!(bed.session().load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::Internal);
    std::fs::write(&file, content).unwrap();
    assert!(bed.session().load_one(&name("t")).await.is_ok());
}

#[tokio::test]
async fn a_storage_without_any_file_of_the_table_is_unavailable() {
    let bed = with_table().await;
    let (here, away) = (bed.root.join("wh"), bed.root.join("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::create_dir_all(&here).unwrap();
    assert_eq!(bed.session().load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    std::fs::remove_dir(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    assert!(bed.session().load_one(&name("t")).await.is_ok());
}

#[tokio::test]
async fn an_entry_that_points_out_of_the_warehouse_is_refused() {
    let bed = with_table().await;
    std::fs::create_dir_all(bed.root.join("secret/metadata")).unwrap();
    let file = bed.root.join("wh/s/t").join(&bed.files("s/t")[0]);
    let outside = bed.root.join("secret/metadata/00000-x.metadata.json");
    std::fs::copy(&file, &outside).unwrap();
    let entries = bed.session().entries();
    for location in [format!("file://{}", outside.display()), outside.display().to_string()] {
        let before = entries.location("s", "t").await.unwrap().unwrap();
        assert!(entries.swap(Kind::Table, "s", "t", &before, &location).await.unwrap());
        assert_eq!(bed.session().load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    let climbing = format!("file://{}/wh/s/t/../../../secret/metadata/00000-x.metadata.json", bed.root.display());
    let before = entries.location("s", "t").await.unwrap().unwrap();
    assert!(entries.swap(Kind::Table, "s", "t", &before, &climbing).await.unwrap());
    assert_eq!(bed.session().load_one(&name("t")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}
