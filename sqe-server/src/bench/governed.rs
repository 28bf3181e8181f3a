//! What governing costs: queries under policy beside the same queries with filter and mask written by hand.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use sqe_bench::{
    by_hand::{Restriction, restrict},
    run::{Benchmark, Report},
    tpch::Table,
};
use sqe_core::Secret;

use super::sqe::Sqe;

/// Who is in this group sees customers and orders through a filter and a mask.
pub(super) const GROUP: &str = "restricted";

/// The names of the two contenders.
const BY_POLICY: &str = "sqe";
const BY_HAND: &str = "by_hand";

/// The policy; [`restrictions`] are the same in SQL.
const POLICY: &str = r#"// Written by `sqe bench`: what grace may see of lake.tpch.
@id("restricted-read-tpch")
permit (
  principal in Group::"restricted",
  action in [Action::"discover", Action::"describe", Action::"select"],
  resource in Catalog::"lake"
);

@id("restricted-see-no-machinery")
forbid (
  principal in Group::"restricted",
  action == Action::"select",
  resource is Row in Table::"lake.tpch.customer"
)
unless { resource.c_mktsegment != "MACHINERY" };

@id("restricted-see-four-digits")
@keep("4")
permit (
  principal in Group::"restricted",
  action == Action::"mask_keep_last",
  resource == Column::"lake.tpch.customer.c_phone"
);

@id("restricted-see-no-low-priority")
forbid (
  principal in Group::"restricted",
  action == Action::"select",
  resource is Row in Table::"lake.tpch.orders"
)
unless { resource.o_orderpriority != "5-LOW" };

@id("restricted-see-the-end-of-clerks")
@keep("4")
permit (
  principal in Group::"restricted",
  action == Action::"mask_keep_last",
  resource == Column::"lake.tpch.orders.o_clerk"
);
"#;

fn restrictions() -> [Restriction; 2] {
    [
        Restriction::new(Table::Customer)
            .with_filter("c_mktsegment <> 'MACHINERY'")
            .with_mask("c_phone", "right(c_phone, 4)"),
        Restriction::new(Table::Orders)
            .with_filter("o_orderpriority <> '5-LOW'")
            .with_mask("o_clerk", "right(o_clerk, 4)"),
    ]
}

/// Puts the policy beside those of the folder.
pub(super) fn add_policies(folder: &Path) -> Result<()> {
    let path = folder.join("policies/bench.cedar");
    fs::write(&path, POLICY).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs all queries as somebody restricted, and, with the restrictions in their text, as somebody who is not.
pub(super) async fn run(benchmark: &Benchmark, uri: &str, all: &Secret, restricted: &Secret) -> Result<Report> {
    let mut benchmark = benchmark.clone().with_reference(BY_HAND);
    let restrictions = restrictions();
    for case in &mut benchmark.cases {
        let by_hand = restrict(&case.sql, &restrictions)?;
        case.variants.insert(BY_HAND.to_owned(), by_hand);
    }
    let by_policy = Sqe::connect(BY_POLICY, uri, restricted).await?;
    let by_hand = Sqe::connect(BY_HAND, uri, all).await?;
    Ok(benchmark.run(&[&by_policy, &by_hand]).await?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_policy_loads() {
        sqe_policy::CedarPolicy::from_sources([("bench.cedar", super::POLICY)]).unwrap();
    }
}
