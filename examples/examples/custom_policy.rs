//! A policy engine of one's own: a table of rules in code. It decides; the engine alone enforces.

use anyhow::{Context, Error, Result, ensure};
use async_trait::async_trait;
use sqe_audit::MemoryTrail;
use sqe_auth::DevPerson;
use sqe_catalog::MemoryCatalog;
use sqe_core::{
    Access, Action, Column, ColumnType, Decision, Engine, ErrorKind, FieldId, Identity, PolicyEngine, PolicyRequest,
    Principal, Resource, TableId, TableName,
    conformance::policy::{PolicyFixture, check},
    policy::{Restrictions, TableFacts},
    predicate::{CompareOp, Mask, RowPredicate, Value},
};
use sqe_examples::{People, ask, orders};
use uuid::Uuid;

// ANCHOR: policy
/// What the people of a group may read of a table.
#[derive(Debug)]
struct Rule {
    id: &'static str,
    group: &'static str,
    table: &'static str,
    /// The column that holds the name of whom a row belongs to; others' rows are not shown.
    own_rows: Option<&'static str>,
    masks: &'static [(&'static str, Mask)],
    hidden: &'static [&'static str],
}

/// The first rule that fits decides. Where none does, the answer is no.
#[derive(Debug)]
struct Rules(&'static [Rule]);

const RULES: Rules = Rules(&[
    Rule { id: "managers-read-orders", group: "manager", table: "orders", own_rows: None, masks: &[], hidden: &[] },
    Rule {
        id: "sellers-read-their-orders",
        group: "seller",
        table: "orders",
        own_rows: Some("seller"),
        masks: &[("phone", Mask::KeepLast(2))],
        hidden: &["region"],
    },
]);

impl Rule {
    fn restrictions(&self, identity: &Identity, table: &TableFacts) -> Option<Restrictions> {
        // Decisions name columns by id, so that a rename changes nothing. A column that is not there is no reason to
        // show what it was to protect: no column, no permit.
        let id = |name: &str| table.columns.iter().find(|column| column.name == name).map(|column| column.field_id);
        let mut restrictions = Restrictions::default();
        if let Some(column) = self.own_rows {
            let me = Value::Text(identity.principal.subject.clone());
            restrictions.filter = Some(RowPredicate::compare(id(column)?, CompareOp::Eq, me));
        }
        restrictions.hidden = self.hidden.iter().map(|column| id(column)).collect::<Option<_>>()?;
        let masks = self.masks.iter().map(|(column, mask)| Some((id(column)?, mask.clone())));
        restrictions.masks = masks.collect::<Option<_>>()?;
        Some(restrictions)
    }
}

impl Rules {
    fn decide_one(&self, identity: &Identity, access: &Access) -> Decision {
        let snapshot = "rules of 2026-01";
        let no = || Decision::deny().decided_by(Vec::new(), snapshot);
        let Resource::Table(table) = &access.resource else { return no() };
        let name = &table.id.name;
        let fits = |rule: &&Rule| {
            let there = name.catalog == "lake" && name.schema == "shop" && name.table == rule.table;
            there && identity.groups.contains(rule.group)
        };
        let Some(rule) = self.0.iter().find(fits) else { return no() };
        let decision = match access.action {
            Action::Discover | Action::Describe => Some(Decision::permit()),
            Action::Select => rule.restrictions(identity, table).map(Decision::permit_with),
            _ => None,
        };
        decision.map_or_else(no, |permit| permit.decided_by(vec![rule.id.to_owned()], snapshot))
    }
}

#[async_trait]
impl PolicyEngine for Rules {
    async fn decide(&self, request: &PolicyRequest<'_>) -> sqe_core::Result<Vec<Decision>> {
        Ok(request.accesses.iter().map(|access| self.decide_one(request.identity, access)).collect())
    }
}
// ANCHOR_END: policy

#[tokio::main]
async fn main() -> Result<()> {
    let (people, lake) = (People::default(), MemoryCatalog::new());
    lake.create_schema("shop")?;
    lake.insert_table("shop", "orders", vec![orders()?])?;
    let engine = Engine::builder().identity(people.verifier()?).policy(RULES).audit(MemoryTrail::new());
    let engine = engine.catalog("lake", lake).defaults("lake", "shop").build()?;

    let ana = people.session(&engine, &DevPerson::new("ana").with_groups(["seller"])).await?;
    let hers = ask(&ana, "SELECT * FROM orders ORDER BY id").await?;
    ensure!(hers == ["1|ana|01|120", "3|ana|03|200"], "ana sees {hers:?}");
    let max = people.session(&engine, &DevPerson::new("max").with_groups(["manager"])).await?;
    let all = ask(&max, "SELECT count(*), min(phone), min(region) FROM orders").await?;
    ensure!(all == ["5|555-0101|north"], "max sees {all:?}");
    let refused = ask(&ana, "DROP TABLE orders").await.err().context("ana dropped the table")?;
    ensure!(refused.kind() == ErrorKind::PermissionDenied, "ana is told {refused}");

    // ANCHOR: kit
    let columns = ["seller", "phone", "region"].into_iter().zip(1..);
    let columns = columns.map(|(name, id)| Column::new(FieldId(id), name, ColumnType::Text, true)).collect();
    let facts = TableFacts::new(TableId::new(TableName::new("lake", "shop", "orders"), Uuid::new_v4()), columns);
    let person = |subject| Identity::new(Principal::new("https://idp.example", subject));
    let fixture = PolicyFixture::new(person("ana").with_groups(["seller"]), person("eve"), facts);
    check(&RULES, &fixture).await.map_err(Error::msg)
    // ANCHOR_END: kit
}
