//! The kit that every policy engine runs.

use sqe_core::conformance::policy::{PolicyFixture, check};
use sqe_policy::CedarPolicy;

use crate::world::{alice, bob, customer, engine, mallory};

#[tokio::test]
async fn the_demo_policies_conform_for_a_restricted_and_for_an_unrestricted_reader() {
    let policies = concat!(env!("CARGO_MANIFEST_DIR"), "/../sqe-server/demo/policies");
    let engine = CedarPolicy::from_dir(policies).unwrap();
    for reader in [alice(), bob()] {
        check(&engine, &PolicyFixture::new(reader, mallory(), customer())).await.unwrap();
    }
}

#[tokio::test]
async fn a_policy_that_permits_everybody_everything_is_found_by_the_kit() {
    let engine = engine("permit (principal, action, resource);");
    let found = check(&engine, &PolicyFixture::new(alice(), mallory(), customer())).await.unwrap_err();
    assert!(found.contains("the stranger"), "{found}");
}
