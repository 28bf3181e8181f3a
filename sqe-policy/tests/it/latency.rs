//! How long a decision takes. Printed, not asserted: `cargo test --release -p sqe-policy latency -- --nocapture`.

use std::time::{Duration, Instant};

use sqe_core::{Access, Action, Identity, PolicyEngine, PolicyRequest, Resource};
use sqe_policy::CedarPolicy;

use crate::world::{alice, customer, person};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sqe-server/demo/policies");

#[tokio::test]
async fn decision_latency() {
    let start = Instant::now();
    let engine = CedarPolicy::from_dir(POLICIES).unwrap();
    println!("loading the demo's policies: {:?}", start.elapsed());

    let accesses = [Access::new(Action::Select, Resource::Table(customer()))];
    let once = async |who: Identity| {
        let start = Instant::now();
        let decisions = engine.decide(&PolicyRequest::new(&who, &accesses)).await.unwrap();
        assert!(decisions[0].is_permit());
        start.elapsed()
    };
    println!("select on customer, first of all: {:?}", once(alice()).await);
    let mut new = Vec::new();
    let mut known = Vec::new();
    for number in 0..200 {
        let analyst = person(&format!("analyst-{number}"), &["analyst"]);
        new.push(once(analyst.clone()).await);
        known.push(once(analyst).await);
    }
    println!("select on customer, new person: median {:?}", median(new));
    println!("select on customer, asked before: median {:?}", median(known));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
