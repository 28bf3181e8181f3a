//! `sqe bench`: the same queries on the same files in the same run, through SQE and through others.

mod files;
mod governed;
mod load;
mod point;
mod ready;
mod sqe;

pub(crate) use load::load;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use sqe_auth::{DevIssuer, DevPerson};
use sqe_bench::{
    contender::{Contender, DuckDb, PlainDataFusion, Settings},
    oracle::{Options, Source},
    run::{Benchmark, Outcome, Report},
    suite::Suite,
    tpcds, tpch,
};
use sqe_core::Secret;

use crate::{
    cli::{BenchArguments, Other},
    config, demo,
    serve::{Serving, Signals},
    wire,
};

/// The scale of the data when there is none and none is asked for.
const SCALE: f64 = 1.0;

/// A suite, and what of it is restricted for a comparison with restrictions by hand.
#[derive(Debug)]
pub(crate) struct Bench {
    suite: Suite,
    governed: governed::Governed,
}

/// The 22 queries of TPC-H.
pub(crate) const TPCH: Bench = Bench { suite: tpch::SUITE, governed: governed::TPCH };

/// The 99 queries of TPC-DS.
pub(crate) const TPCDS: Bench = Bench { suite: tpcds::SUITE, governed: governed::TPCDS };

/// What goes into the file: the report, and what was measured beside it.
#[derive(Serialize)]
struct Out {
    #[serde(flatten)]
    report: Report,
    point: point::Point,
    /// The same queries under row filters and masks, beside queries with filters and masks written by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    governed: Option<Report>,
}

/// Runs a suite and writes the report.
///
/// # Errors
/// There is no such query, something cannot be set up, or some query does not have the reference's answer, or that answer proves nothing.
pub(crate) async fn run(Bench { suite, governed }: &Bench, arguments: BenchArguments) -> Result<()> {
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
    governed.add_policies(&folder)?;
    // The queries name tables without their schema; nothing else of the configuration changes.
    let schema = (format!("{}SERVER__SCHEMA", config::PREFIX), suite.name().to_owned());
    let config = config::load(&folder.join(demo::site::CONFIG), [schema])?;
    let wired = wire::wire(&config).await?;
    let issuer = DevIssuer::open(&folder)?;
    let scale = demo::data::load(suite, &wired.engine, &issuer, &folder, arguments.scale, SCALE).await?;
    let limits = config::LimitsConfig::default();
    let serving = Serving::start(wired.engine.clone(), ([127, 0, 0, 1], 0).into(), None, &limits).await?;

    let mut benchmark = Benchmark::of(suite, scale)?
        .with_rounds(arguments.runs)
        .with_warm_ups(arguments.warm_ups)
        .with_command(command());
    if !arguments.queries.is_empty() {
        benchmark = benchmark.only(&arguments.queries)?;
    }
    let bob = token(&issuer, "bob", "auditor")?;
    let report = compared(suite, &benchmark, &arguments, &folder, &serving.uri, &bob).await?;
    println!("{report}");
    let restricted = match arguments.governed {
        true => Some(governed.run(&benchmark, &serving.uri, &bob, &token(&issuer, "grace", governed::GROUP)?).await?),
        false => None,
    };
    if let Some(report) = &restricted {
        println!("\nwith {}\n{report}", governed.what);
    }
    let mut point = point::measure(&serving.uri, &bob, &folder).await?;
    serving.stop(Duration::from_secs(10), &mut Signals::new()?).await?;
    // The next server needs the trail for itself.
    drop(wired);
    point.ready_seconds = Some(ready::measure(&folder, &bob).await?);
    println!("\n{point}");
    let failed = disappointing(&report).or(restricted.as_ref().and_then(disappointing));
    let out = serde_json::to_vec_pretty(&Out { report, point, governed: restricted })?;
    std::fs::write(&arguments.out, out).with_context(|| format!("cannot write {}", arguments.out.display()))?;
    match failed {
        Some(problem) => bail!("{problem}; see {}", arguments.out.display()),
        None => Ok(()),
    }
}

/// SQE and the others, on all tables without restrictions.
async fn compared(
    suite: &Suite,
    benchmark: &Benchmark,
    arguments: &BenchArguments,
    folder: &Path,
    uri: &str,
    token: &Secret,
) -> Result<Report> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tables = files::tables(suite, &folder.join("warehouse").join(suite.name()))?;
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

/// Whether a report must not look like success, and why: which queries failed, have other answers, have answers that
/// prove nothing, or were not compared although somebody was there to compare with.
fn disappointing(report: &Report) -> Option<String> {
    let which = |outcome: Outcome| -> Vec<String> {
        report.queries.iter().filter(|query| query.outcome == outcome).map(|query| query.id.to_string()).collect()
    };
    let mut problems = Vec::new();
    let mut tell = |outcome: Outcome, what: &str| match which(outcome) {
        ids if ids.is_empty() => {}
        ids => problems.push(format!("{what}: {}", ids.join(", "))),
    };
    tell(Outcome::Mismatch, "queries with other answers than the reference's");
    tell(Outcome::Error, "queries that somebody could not answer");
    tell(Outcome::Vacuous, "queries whose answers are empty, or all NULL and zero, which proves nothing");
    if report.reference.is_some() {
        tell(Outcome::Unchecked, "queries that were compared with nothing");
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}

fn token(issuer: &DevIssuer, name: &str, group: &str) -> Result<Secret> {
    Ok(issuer.issue(&DevPerson::new(name).with_groups([group]), Duration::from_secs(24 * 60 * 60))?)
}

/// The command that repeats this run.
fn command() -> String {
    let words = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("sqe {words}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    /// A report of two queries, the second of which ended like this.
    fn report(outcome: &str, reference: Option<&str>) -> Report {
        let query = |id: u32, outcome: &str| {
            json!({
                "id": id, "match": null, "vacuous": false, "outcome": outcome, "rows": 1, "seconds": {},
                "samples": {}, "differences": {}, "errors": {},
            })
        };
        serde_json::from_value(json!({
            "suite": "tpch", "scale": 1.0, "command": "", "started": "", "rounds": 1, "warm_ups": 0,
            "reference": reference, "totals": {}, "ratios": {},
            "summary": {"passed": 1, "mismatched": 0, "vacuous": 0, "failed": 0, "unchecked": 0},
            "queries": [query(1, "pass"), query(18, outcome)],
            "peak_memory_bytes": {}, "machine": {"cpu": null, "cores": 1, "memory_bytes": 1, "system": ""},
            "versions": {},
        }))
        .unwrap()
    }

    #[rstest]
    #[case("mismatch", "other answers")]
    #[case("error", "could not answer")]
    #[case("vacuous", "proves nothing")]
    #[case("unchecked", "compared with nothing")]
    fn what_does_not_pass_is_told_with_its_number(#[case] outcome: &str, #[case] words: &str) {
        let problem = disappointing(&report(outcome, Some("duckdb"))).unwrap();
        assert!(problem.contains(words) && problem.ends_with(": 18"), "{problem}");
    }

    #[test]
    fn what_passes_and_what_nobody_wanted_compared_is_no_disappointment() {
        assert_eq!(disappointing(&report("pass", Some("duckdb"))), None);
        assert_eq!(disappointing(&report("unchecked", None)), None);
    }
}
