//! What governing costs: queries under policy beside the same queries with filter and mask written by hand.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use sqe_bench::{
    by_hand::{Restriction, restrict},
    run::{Benchmark, Report},
    tpcds, tpch,
};
use sqe_core::Secret;

use super::sqe::Sqe;

/// Who is in this group sees some tables through filters and masks.
pub(super) const GROUP: &str = "restricted";

/// The names of the two contenders.
const BY_POLICY: &str = "sqe";
const BY_HAND: &str = "by_hand";

/// The same restrictions twice: for the engine to enforce, and to be written into a query.
#[derive(Debug)]
pub(crate) struct Governed {
    /// The policy's name in the folder.
    file: &'static str,
    policy: &'static str,
    restrictions: fn() -> Vec<Restriction>,
    /// What is restricted, for people.
    pub(super) what: &'static str,
}

/// Of TPC-H.
pub(super) const TPCH: Governed = Governed {
    file: "bench.cedar",
    policy: include_str!("policies/tpch.cedar"),
    restrictions: || {
        vec![
            Restriction::new(tpch::CUSTOMER)
                .with_filter("c_mktsegment <> 'MACHINERY'")
                .with_mask("c_phone", "right(c_phone, 4)"),
            Restriction::new(tpch::ORDERS)
                .with_filter("o_orderpriority <> '5-LOW'")
                .with_mask("o_clerk", "right(o_clerk, 4)"),
        ]
    },
    what: "a row filter and a mask on customer and orders",
};

/// Of TPC-DS.
pub(super) const TPCDS: Governed = Governed {
    file: "bench-tpcds.cedar",
    policy: include_str!("policies/tpcds.cedar"),
    restrictions: || {
        vec![
            Restriction::new(tpcds::CUSTOMER)
                .with_filter("c_birth_month <> 12")
                .with_mask("c_email_address", "right(c_email_address, 4)"),
            Restriction::new(tpcds::STORE_SALES).with_filter("ss_quantity <= 95"),
        ]
    },
    what: "a row filter and a mask on customer, and a row filter on store_sales",
};

impl Governed {
    /// Puts the policy beside those of the folder.
    pub(super) fn add_policies(&self, folder: &Path) -> Result<()> {
        let path = folder.join("policies").join(self.file);
        fs::write(&path, self.policy).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Runs all queries as somebody restricted, and, with the restrictions in their text, as somebody who is not.
    pub(super) async fn run(
        &self,
        benchmark: &Benchmark,
        uri: &str,
        all: &Secret,
        restricted: &Secret,
    ) -> Result<Report> {
        let mut benchmark = benchmark.clone().with_reference(BY_HAND);
        let restrictions = (self.restrictions)();
        for case in &mut benchmark.cases {
            let by_hand = restrict(&case.sql, &restrictions)?;
            case.variants.insert(BY_HAND.to_owned(), by_hand);
        }
        let by_policy = Sqe::connect(BY_POLICY, uri, restricted).await?;
        let by_hand = Sqe::connect(BY_HAND, uri, all).await?;
        Ok(benchmark.run(&[&by_policy, &by_hand]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policies_load_alone_and_together() {
        let sources = [TPCH, TPCDS].map(|governed| (governed.file, governed.policy));
        for source in sources {
            sqe_policy::CedarPolicy::from_sources([source]).unwrap();
        }
        sqe_policy::CedarPolicy::from_sources(sources).unwrap();
    }

    #[test]
    fn every_query_can_be_restricted_by_hand() {
        let scale = sqe_bench::suite::Scale::new(1.0).unwrap();
        for (suite, governed) in [(tpch::SUITE, TPCH), (tpcds::SUITE, TPCDS)] {
            for id in suite.ids() {
                restrict(&suite.query(id, scale).unwrap(), &(governed.restrictions)()).unwrap();
            }
        }
    }
}
