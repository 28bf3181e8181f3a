//! The report as a table for people.

use std::fmt;

use super::{Report, Slowest};

const GIBIBYTE: f64 = (1u64 << 30) as f64;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} at scale {}, median of {} rounds, seconds", self.suite, self.scale, self.rounds)?;
        write!(f, "{:>5}  {:<9} {:>9}", "query", "outcome", "rows")?;
        for name in self.totals.keys() {
            write!(f, "  {name:>10}")?;
        }
        writeln!(f)?;
        for query in &self.queries {
            let rows = query.rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
            write!(f, "{:>5}  {:<9} {rows:>9}", query.id, query.outcome.as_str())?;
            for name in self.totals.keys() {
                seconds(f, query.seconds.get(name).copied().flatten())?;
            }
            writeln!(f)?;
        }
        write!(f, "{:>5}  {:<9} {:>9}", "total", "", "")?;
        for total in self.totals.values() {
            seconds(f, *total)?;
        }
        writeln!(f)?;
        for (name, ratio) in &self.ratios {
            if let Some(ratio) = ratio {
                writeln!(f, "{ratio:.2} times the total of {name}")?;
            }
        }
        for (name, slowest) in self.slowest.iter().filter(|(_, slowest)| !slowest.is_empty()) {
            write!(f, "slowest beside {name}:")?;
            for (index, Slowest { id, ratio }) in slowest.iter().enumerate() {
                write!(f, "{} query {id} ({ratio:.2})", if index == 0 { "" } else { "," })?;
            }
            writeln!(f)?;
        }
        for (name, bytes) in &self.peak_memory_bytes {
            writeln!(f, "peak memory of {name}: {:.2} GiB", *bytes as f64 / GIBIBYTE)?;
        }
        for query in &self.queries {
            for (name, difference) in &query.differences {
                writeln!(f, "query {}: {name} differs: {difference}", query.id)?;
            }
            for (name, error) in &query.errors {
                writeln!(f, "query {}: {name} failed: {error}", query.id)?;
            }
        }
        let sum = &self.summary;
        write!(
            f,
            "{} passed, {} differ, {} vacuous, {} failed, {} unchecked",
            sum.passed, sum.mismatched, sum.vacuous, sum.failed, sum.unchecked
        )
    }
}

fn seconds(f: &mut fmt::Formatter<'_>, seconds: Option<f64>) -> fmt::Result {
    match seconds {
        Some(seconds) => write!(f, "  {seconds:>10.4}"),
        None => write!(f, "  {:>10}", "-"),
    }
}
