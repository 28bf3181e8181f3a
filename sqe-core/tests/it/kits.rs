//! The conformance kits on what these tests themselves rely on.

use sqe_core::conformance::catalog::{CatalogFixture, check};

use crate::{lake::Lake, people::people};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lake_of_these_tests_is_a_catalog() {
    let lake = Lake::new();
    lake.put("app", "people", people());
    assert_eq!(check(lake, &CatalogFixture::writable().with_views().with_table("app", "people", 6)).await, Ok(()));
}
