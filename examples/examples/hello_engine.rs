//! An engine of one's own: who may log in, which tables there are, what people may do, and who writes it all down.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use sqe_audit::MemoryTrail;
use sqe_auth::{DevIssuer, DevPerson};
use sqe_catalog::MemoryCatalog;
use sqe_core::{
    Credentials, Engine, ErrorKind,
    audit::{ClientInfo, EventKind},
    engine::SessionOptions,
};
use sqe_examples::{ask, orders};
use sqe_policy::CedarPolicy;

// ANCHOR: policy
const CLERKS: &str = r#"
    @id("clerks-read-the-shop")
    permit (principal in Group::"clerk", action in [Action::"discover", Action::"select"], resource in Schema::"lake.shop");
    @id("clerks-see-the-north")
    forbid (principal in Group::"clerk", action == Action::"select", resource is Row in Table::"lake.shop.orders")
    unless { resource.region == "north" };
"#;
// ANCHOR_END: policy

#[tokio::main]
async fn main() -> Result<()> {
    // ANCHOR: engine
    let issuer = DevIssuer::generate();
    let lake = MemoryCatalog::new();
    lake.create_schema("shop")?;
    lake.insert_table("shop", "orders", vec![orders()?])?;
    let policy = CedarPolicy::from_sources([("clerks.cedar", CLERKS)])?;
    let trail = Arc::new(MemoryTrail::new());
    let engine = Engine::builder()
        .identity(issuer.verifier()?)
        .policy(policy)
        .catalog("lake", lake)
        .defaults("lake", "shop")
        .shared_audit(Arc::clone(&trail) as _)
        .build()?;
    // ANCHOR_END: engine

    // ANCHOR: ask
    let session = async |person: DevPerson| {
        let token = issuer.issue(&person, Duration::from_secs(3600))?;
        engine.session(&Credentials::Bearer(token), SessionOptions::new(ClientInfo::new("example"))).await
    };
    let sql = "SELECT id, amount FROM orders WHERE amount > 50 ORDER BY id";

    // Orders 2 and 5 are of the south: for a clerk they do not exist.
    let ana = session(DevPerson::new("ana").with_groups(["clerk"])).await?;
    let answer = ask(&ana, sql).await?;
    println!("ana: {answer:?}");
    ensure!(answer == ["1|120", "3|200"], "a clerk sees {answer:?}");

    // Nothing is permitted to ben, so there is no such table for him.
    let ben = session(DevPerson::new("ben")).await?;
    let refused = ask(&ben, sql).await.err().context("somebody without permission got an answer")?;
    println!("ben: {refused}");
    ensure!(refused.kind() == ErrorKind::NotFound, "ben is told: {refused}");

    // The trail knows better. Intents come before the first row; what is asked for here is how things ended.
    let mut ends = Vec::new();
    for event in trail.events() {
        let (EventKind::Effect(end) | EventKind::Refused(end)) = &event.kind else { continue };
        let who = &event.query.principal.subject;
        for access in &event.tables {
            let columns: Vec<&str> = access.columns.iter().map(|column| column.name.as_str()).collect();
            let (table, verdict, policies) = (&access.table.name, access.verdict.as_str(), &access.policies);
            println!("{who} read {columns:?} of {table}: {verdict} by {policies:?}, {} rows", end.rows);
            ends.push(format!("{who} {verdict} {} {}", end.outcome.as_str(), end.rows));
        }
    }
    // ANCHOR_END: ask
    ensure!(ends == ["ana restricted completed 2", "ben denied denied 0"], "the trail says {ends:?}");
    Ok(())
}
