use sqe_catalog::LocalVendor;
use sqe_core::{
    Identity, Principal, TableName,
    conformance::credentials::{CredentialsFixture, check},
};

#[tokio::test]
async fn the_vendor_of_local_files_keeps_the_rules_of_vendors() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let vendor = LocalVendor::new([root.join("wh")]).unwrap();
    let people = ["alice", "bob"].map(|subject| Identity::new(Principal::new("idp", subject)));
    let url = |folder: &str| format!("file://{}/{folder}", root.display());
    let fixture = CredentialsFixture::new(people, TableName::new("lake", "s", "t"), url("wh/s/t/"))
        .forbidden(url(""))
        .forbidden(url("wh/"))
        .forbidden(url("wh_other/s/t/"))
        .forbidden(url("wh/../secret/"))
        .forbidden("s3://bucket/s/t/")
        .forbidden("file:///etc/");
    assert_eq!(check(&vendor, &fixture).await, Ok(()));
}
