//! The conformance kit of schedulers, over Iceberg tables.

use sqe_catalog::Stores;
use sqe_core::conformance::scheduler::{check, check_over};

use crate::{
    cluster::Cluster,
    world::{Lake, grant_key, mask_key},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_pass_the_kit() {
    let lake = Lake::new().await;
    let cluster = Cluster::start(lake.fitting()).await;
    assert_eq!(check(cluster.clone()).await, Ok(()));
    let verdict =
        check_over(cluster.clone(), lake.catalog.clone(), lake.vendor(), Stores, grant_key("k"), mask_key()).await;
    assert_eq!(verdict, Ok(()));
    assert!(cluster.ran().iter().any(|ran| ran.distributed), "nothing left this process");
}
