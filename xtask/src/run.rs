//! Runs stages one after another and tells how long each took. A failed stage does not stop the later ones, so that one
//! run shows all that is wrong; the result is a failure all the same.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    process::Counts,
    stages::{self, Stage},
    workspace::Workspace,
};

struct Report {
    stage: &'static Stage,
    took: Duration,
    counts: Counts,
    failure: Option<String>,
}

/// Runs the named stages, or all, or those that a developer wants between two edits (`--quick`). `false`: one failed.
pub(crate) fn test(arguments: &[&str]) -> Result<bool> {
    let chosen = choose(arguments)?;
    let workspace = Workspace::find()?;
    let started = Instant::now();
    let reports: Vec<Report> = chosen.into_iter().map(|stage| run(stage, &workspace)).collect();
    print_table(&reports, started.elapsed());
    Ok(reports.iter().all(|report| report.failure.is_none()))
}

fn choose(arguments: &[&str]) -> Result<Vec<&'static Stage>> {
    let quick = arguments.contains(&"--quick");
    let names: Vec<&str> = arguments.iter().copied().filter(|word| *word != "--quick").collect();
    if let Some(unknown) = names.iter().find(|name| !stages::ALL.iter().any(|stage| stage.name == **name)) {
        let known: Vec<&str> = stages::ALL.iter().map(|stage| stage.name).collect();
        bail!("there is no stage {unknown}; the stages are {}", known.join(", "));
    }
    let wanted = |stage: &&Stage| {
        if names.is_empty() { !quick || stage.quick } else { names.contains(&stage.name) }
    };
    Ok(stages::ALL.iter().filter(wanted).collect())
}

fn run(stage: &'static Stage, workspace: &Workspace) -> Report {
    println!("\n==== {}: {}", stage.name, stage.about);
    let started = Instant::now();
    let (counts, failure) = match (stage.run)(workspace) {
        Ok(counts) if counts.failed > 0 => (counts, Some(format!("{} tests failed", counts.failed))),
        Ok(counts) => (counts, None),
        Err(error) => (Counts { passed: 0, failed: 1 }, Some(format!("{error:#}"))),
    };
    if let Some(failure) = &failure {
        eprintln!("==== {} FAILED: {failure}", stage.name);
    }
    Report { stage, took: started.elapsed(), counts, failure }
}

fn print_table(reports: &[Report], total: Duration) {
    println!("\n{:<10} {:>8} {:>7}  result", "stage", "seconds", "checks");
    for report in reports {
        let first_line = report.failure.as_deref().and_then(|failure| failure.lines().next());
        println!(
            "{:<10} {:>8.1} {:>7}  {}",
            report.stage.name,
            report.took.as_secs_f64(),
            report.counts.passed,
            first_line.map_or_else(|| "ok".to_owned(), |line| format!("FAILED: {line}")),
        );
    }
    println!("{:<10} {:>8.1}\n", "total", total.as_secs_f64());
    let passed: usize = reports.iter().map(|report| report.counts.passed).sum();
    let failed: usize = reports.iter().map(|report| report.counts.failed).sum();
    println!("{passed} passed, {failed} failed");
}

#[cfg(test)]
mod tests {
    use super::choose;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        choose(arguments).unwrap().into_iter().map(|stage| stage.name).collect()
    }

    #[test]
    fn named_stages_run_in_their_own_order_and_an_unknown_one_is_refused() {
        assert_eq!(names(&["fences", "format"]), ["format", "fences"]);
        assert!(choose(&["formt"]).unwrap_err().to_string().contains("no stage formt"));
    }

    #[test]
    fn quick_is_a_part_of_everything() {
        assert!(names(&["--quick"]).len() < names(&[]).len());
        assert!(names(&["--quick"]).contains(&"clippy"));
    }
}
