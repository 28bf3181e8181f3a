//! `sqe bench load`: many clients at once against a server in a process of its own.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use futures::TryStreamExt;
use sqe_auth::DevIssuer;
use sqe_bench::{
    load::{Class, Load, LoadClient},
    run::peak_memory_of,
    suite::Scale,
    tpch,
};
use sqe_core::Secret;
use sqe_flight::client::{Client, ConnectOptions};

use super::{SCALE, governed, ready::Server, token};
use crate::{cli::LoadArguments, config, demo, wire};

/// One client over Flight SQL, with a session of its own.
#[derive(Debug)]
struct Flight(Client);

#[async_trait]
impl LoadClient for Flight {
    async fn run(&self, sql: &str) -> sqe_core::Result<u64> {
        let rows = self.0.execute(sql).await?;
        rows.try_fold(0, |count, batch| async move { Ok(count + batch.num_rows() as u64) }).await
    }
}

/// Runs the load and writes the report.
///
/// # Errors
/// Something cannot be set up, or a statement failed for another reason than that admission had no room.
pub(crate) async fn load(arguments: LoadArguments) -> Result<()> {
    let temporary = match &arguments.data_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
    };
    let folder = arguments.data_dir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path));
    let folder = demo::site::prepare(folder.context("there is no folder for the data")?)?;
    governed::TPCH.add_policies(&folder)?;
    let issuer = DevIssuer::open(&folder)?;
    let scale = {
        let wired = wire::wire(&config::load(&folder.join(demo::site::CONFIG), [])?).await?;
        demo::data::load(&tpch::SUITE, &wired.engine, &issuer, &folder, arguments.scale, SCALE).await?
        // The server needs the trail for itself.
    };
    let server = Server::start(&folder, Stdio::inherit()).await?;
    // People under policy and without share the server.
    let people = [token(&issuer, "bob", "auditor")?, token(&issuer, "grace", governed::GROUP)?];
    let mut clients: Vec<Arc<dyn LoadClient>> = Vec::new();
    for person in people.iter().cycle().take(arguments.clients) {
        clients.push(Arc::new(Flight(connect(&server.uri, person).await?)));
    }
    let time = Duration::from_secs(arguments.seconds);
    let orders = 1_500_000.0 * scale.factor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of orders")]
    let load = Load::new(classes(scale)?, time).with_keys(orders as u64);
    let report = load.run(clients).await?;
    let report = report.with_command(super::command()).with_server_peak_memory(peak_memory_of(server.id()));
    server.stop().await?;
    println!("{report}");
    write(&arguments.out, &report)?;
    match report.failed {
        0 => Ok(()),
        failed => bail!("{failed} statements failed; see {}", arguments.out.display()),
    }
}

fn write(path: &Path, report: &sqe_bench::load::LoadReport) -> Result<()> {
    let text = serde_json::to_vec_pretty(report)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

async fn connect(uri: &str, token: &Secret) -> Result<Client> {
    let mut client = Client::connect(&ConnectOptions::new(uri).with_token(token.clone())).await?;
    client.login().await?;
    Ok(client)
}

/// What a room full of people asks: mostly small things, some dashboards, now and then a report over everything.
fn classes(scale: Scale) -> Result<Vec<Class>> {
    let tpch = |ids: &[u32]| ids.iter().map(|id| tpch::SUITE.query(*id, scale)).collect::<sqe_core::Result<Vec<_>>>();
    Ok(vec![
        Class::new("constant", 20, ["SELECT 1"]),
        Class::new("lookup", 30, ["SELECT o_orderdate, o_totalprice FROM tpch.orders WHERE o_orderkey = {key}"]),
        Class::new("list", 10, ["SELECT table_schema, table_name FROM information_schema.tables"]),
        Class::new("page", 15, ["SELECT * FROM tpch.customer WHERE c_custkey > {key} ORDER BY c_custkey LIMIT 100"]),
        Class::new("dashboard", 20, tpch(&[6, 12, 14])?),
        Class::new("report", 5, tpch(&[1, 3, 5, 10])?),
    ])
}
