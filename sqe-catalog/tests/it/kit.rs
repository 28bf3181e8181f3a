//! The conformance kit of catalogs.

use sqe_catalog::{LocalVendor, SqlCatalog, SqlOptions, Stores};
use sqe_core::conformance::catalog::{CatalogFixture, check};

use crate::memory;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_in_memory_passes() {
    let fixture = CatalogFixture::writable().with_views().with_table("s", "people", 3);
    assert_eq!(check(memory::catalog(), &fixture).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sql_catalog_over_local_files_passes() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = dir.path().join("wh");
    let options = SqlOptions::new(dir.path().join("catalog.db"), format!("file://{}", warehouse.display()));
    let catalog = SqlCatalog::open(options.create_if_missing()).await.unwrap();
    let fixture = CatalogFixture::writable().with_views().with_storage(LocalVendor::new([warehouse]).unwrap(), Stores);
    assert_eq!(check(catalog, &fixture).await, Ok(()));
}
