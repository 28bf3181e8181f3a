//! `sqe bench`: the same queries on the same files in the same run, through SQE and through others.

mod files;
mod governed;
mod point;
mod sqe;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use sqe_auth::{DevIssuer, DevPerson};
use sqe_bench::{
    contender::{Contender, DuckDb, PlainDataFusion, Settings},
    oracle::{Options, Source},
    run::{Benchmark, Report},
    tpch::Scale,
};
use sqe_core::Secret;

use crate::{
    cli::{Other, TpchArguments},
    config, demo,
    serve::Serving,
    wire,
};

/// What goes into the file: the report, and what was measured beside it.
#[derive(Serialize)]
struct Out {
    #[serde(flatten)]
    report: Report,
    point: point::Point,
    /// The same queries under a row filter and a mask on `customer` and `orders`, beside queries with filter and mask
    /// written by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    governed: Option<Report>,
}

/// Runs TPC-H and writes the report.
///
/// # Errors
/// Something cannot be set up, or an answer differs from the reference's.
pub(crate) async fn tpch(arguments: TpchArguments) -> Result<()> {
    let temporary = match &arguments.data_dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
    };
    let folder = match (&arguments.data_dir, &temporary) {
        (Some(folder), _) => folder.as_path(),
        (None, Some(temporary)) => temporary.path(),
        (None, None) => bail!("there is no folder for the data"),
    };
    let folder = demo::site::prepare(folder)?;
    governed::add_policies(&folder)?;
    let config = config::load(&folder.join(demo::site::CONFIG), [])?;
    let wired = wire::wire(&config).await?;
    let issuer = DevIssuer::open(&folder)?;
    demo::data::load(&wired.engine, &issuer, arguments.scale).await?;
    let serving = Serving::start(wired.engine.clone(), ([127, 0, 0, 1], 0).into(), None).await?;

    let scale = Scale::new(arguments.scale)?;
    let benchmark = Benchmark::tpch(scale)?.with_rounds(arguments.runs).with_command(command());
    let bob = token(&issuer, "bob", "auditor")?;
    let report = compared(&benchmark, &arguments, &folder, &serving.uri, &bob).await?;
    println!("{report}");
    let governed = match arguments.governed {
        true => Some(governed::run(&benchmark, &serving.uri, &bob, &token(&issuer, "grace", governed::GROUP)?).await?),
        false => None,
    };
    if let Some(report) = &governed {
        println!("\nwith a row filter and a mask on customer and orders\n{report}");
    }
    let point = point::measure(&serving.uri, &bob, &folder).await?;
    println!("\n{point}");
    serving.stop(Duration::from_secs(10)).await?;
    let failed = disappointing(&report).or(governed.as_ref().and_then(disappointing));
    let out = serde_json::to_vec_pretty(&Out { report, point, governed })?;
    std::fs::write(&arguments.out, out).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    match failed {
        Some(problem) => bail!("{problem}; see {}", arguments.out.display()),
        None => Ok(()),
    }
}

/// SQE and the others, on all tables without restrictions.
async fn compared(
    benchmark: &Benchmark,
    arguments: &TpchArguments,
    folder: &Path,
    uri: &str,
    token: &Secret,
) -> Result<Report> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tables = files::tables(&folder.join("warehouse").join(demo::data::SCHEMA))?;
    let mut others: Vec<Box<dyn Contender>> = Vec::new();
    let mut benchmark = benchmark.clone();
    if arguments.compare.contains(&Other::Datafusion) {
        let files = tables.iter().map(|(name, table)| (name.clone(), table.data.clone())).collect();
        others.push(Box::new(PlainDataFusion::open(&files, &Settings::new(threads)).await?));
        benchmark = benchmark.with_reference("datafusion");
    }
    if arguments.compare.contains(&Other::Duckdb) {
        let mut options = Options::new(&arguments.python, threads);
        for (name, table) in &tables {
            options = options.with_table(name, Source::Iceberg(table.metadata.clone()));
        }
        others.push(Box::new(DuckDb::start(&options).await?));
        // Another engine with another reader of Iceberg: the better witness.
        benchmark = benchmark.with_reference("duckdb");
    }
    let ours = sqe::Sqe::connect("sqe", uri, token).await?;
    let mut contenders: Vec<&dyn Contender> = vec![&ours];
    contenders.extend(others.iter().map(|other| &**other));
    Ok(benchmark.run(&contenders).await?)
}

/// Whether a report must not look like success.
fn disappointing(report: &Report) -> Option<String> {
    let sum = &report.summary;
    (sum.mismatched + sum.failed > 0)
        .then(|| format!("{} queries have other answers and {} failed", sum.mismatched, sum.failed))
}

fn token(issuer: &DevIssuer, name: &str, group: &str) -> Result<Secret> {
    Ok(issuer.issue(&DevPerson::new(name).with_groups([group]), Duration::from_secs(24 * 60 * 60))?)
}

/// The command that repeats this run.
fn command() -> String {
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("sqe {words}")
}
