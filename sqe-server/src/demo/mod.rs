//! `sqe demo`: the first thing a newcomer runs. It makes a folder with everything that an engine needs, fills it with
//! TPC-H data, serves it on loopback, and shows by real queries over Flight SQL what three people see.

mod connection;
pub(crate) mod data;
mod people;
mod scale;
pub(crate) mod site;
mod tour;
mod whole;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use sqe_auth::DevIssuer;
use sqe_bench::tpch;

use crate::{
    cli::DemoArguments,
    config, reload,
    serve::{Serving, Signals},
    wire,
};

/// The scale of the data when there is none and none is asked for.
const SCALE: f64 = 0.01;

/// Runs the demo.
///
/// # Errors
/// It cannot be set up, or, with `--once`, something that the tour shows is not true.
pub(crate) async fn run(arguments: DemoArguments) -> Result<()> {
    // Kept alive until the end: dropping it removes the folder.
    let (_temporary, folder) = match &arguments.data_dir {
        Some(folder) => (None, folder.clone()),
        None => {
            let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
            let folder = temporary.path().to_path_buf();
            (Some(temporary), folder)
        }
    };
    let folder = site::prepare(&folder)?;
    // The demo is its configuration and nothing else; variables of whoever tries it out do not change it.
    let config = config::load(&folder.join(site::CONFIG), [])?;
    let mut wired = wire::wire(&config).await?;
    let issuer = DevIssuer::open(&folder)?;
    data::load(&tpch::SUITE, &wired.engine, &issuer, &folder, arguments.scale, SCALE).await?;
    reload::on_hangup(&mut wired.watches, wired.policy, wired.changing, wired.engine.clone())?;
    let serving =
        Serving::start(wired.engine.clone(), arguments.listen, None, &config::LimitsConfig::default()).await?;
    let tokens = people::tokens(&issuer)?;
    connection::write(&folder, &serving.uri, &tokens)?;
    let mut signals = Signals::new()?;
    let tour = tour::Tour::new(&serving.uri, &tokens, &folder, Arc::clone(&wired.trail));
    let mut shown = tour.run().await;
    if !arguments.once {
        if let Err(error) = std::mem::replace(&mut shown, Ok(())) {
            eprintln!("error: {error:#}");
        }
        invite(&serving.uri, &folder);
        signals.told().await;
    }
    let stopped = serving.stop(Duration::from_secs(10), &mut signals).await;
    // They hold the engine, and so the trail.
    wired.watches.shutdown().await;
    stopped.and(shown)
}

fn invite(uri: &str, folder: &Path) {
    println!("serving {uri} until Ctrl-C");
    println!("tokens: {}", folder.join(connection::FILE).display());
    println!("policies, catalog, audit trail: {}", folder.display());
}
