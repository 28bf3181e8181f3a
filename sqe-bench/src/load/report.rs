//! What a load showed.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use sqe_core::ErrorKind;

use super::Samples;
use crate::run::Machine;

/// The outcome of a load. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadReport {
    /// How many clients asked at once.
    pub clients: usize,
    /// From the first statement to the end of the last.
    pub seconds: f64,
    /// Statements that were sent.
    pub statements: u64,
    /// Statements that were answered, a second.
    pub answered_per_second: f64,
    /// Statements that admission refused for want of room: not a failure.
    pub refused: u64,
    /// Statements that failed otherwise.
    pub failed: u64,
    /// By class.
    pub classes: BTreeMap<String, ClassReport>,
    /// The most memory that the server's process used, in bytes, if that is known.
    pub server_peak_memory_bytes: Option<u64>,
    /// The command that repeats the run.
    pub command: String,
    /// Where it ran.
    pub machine: Machine,
}

/// What clients saw of the statements of one class. Times, in seconds, are those of answered statements: the nearest rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClassReport {
    /// Statements that were answered.
    pub answered: u64,
    /// The rows of all answers.
    pub rows: u64,
    /// Half of the statements took no longer. `None` if none was answered.
    pub p50_seconds: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_seconds: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99_seconds: Option<f64>,
    /// The longest.
    pub max_seconds: Option<f64>,
    /// Statements that were not answered, by the error's kind.
    pub errors: BTreeMap<String, u64>,
    /// The words of the first error of each kind.
    pub first_errors: BTreeMap<String, String>,
}

impl LoadReport {
    pub(super) fn new(clients: usize, time: Duration, samples: BTreeMap<String, Samples>) -> Self {
        let errors = samples.values().flat_map(|samples| &samples.errors);
        let sum = |admission: bool| {
            let counted =
                errors.clone().filter(|(kind, _)| (**kind == ErrorKind::ResourceExhausted.as_str()) == admission);
            counted.map(|(_, count)| count).sum::<u64>()
        };
        let (refused, failed) = (sum(true), sum(false));
        let answered: u64 = samples.values().map(|samples| samples.seconds.len() as u64).sum();
        Self {
            clients,
            seconds: time.as_secs_f64(),
            statements: answered + refused + failed,
            #[expect(clippy::cast_precision_loss, reason = "counts of statements are far below 2^52")]
            answered_per_second: answered as f64 / time.as_secs_f64(),
            refused,
            failed,
            classes: samples.into_iter().map(|(name, samples)| (name, ClassReport::new(samples))).collect(),
            server_peak_memory_bytes: None,
            command: String::new(),
            machine: Machine::this(),
        }
    }

    /// Names the command that repeats the run.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// Sets the most memory that the server's process used, in bytes.
    #[must_use]
    pub fn with_server_peak_memory(mut self, bytes: Option<u64>) -> Self {
        self.server_peak_memory_bytes = bytes;
        self
    }
}

impl ClassReport {
    fn new(mut samples: Samples) -> Self {
        samples.seconds.sort_by(f64::total_cmp);
        let ranked = |percent| ranked(&samples.seconds, percent);
        Self {
            answered: samples.seconds.len() as u64,
            rows: samples.rows,
            p50_seconds: ranked(50),
            p95_seconds: ranked(95),
            p99_seconds: ranked(99),
            max_seconds: ranked(100),
            errors: samples.errors.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
            first_errors: samples.words.iter().map(|(kind, words)| ((*kind).to_owned(), words.clone())).collect(),
        }
    }
}

/// The smallest sample that so many of a hundred are not above.
fn ranked(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, seconds, statements, answered_per_second, refused, failed, .. } = self;
        writeln!(
            f,
            "{clients} clients, {seconds:.0} s: {statements} statements, {answered_per_second:.1} answered a second"
        )?;
        writeln!(f, "{refused} refused by admission, {failed} failed otherwise")?;
        if let Some(bytes) = self.server_peak_memory_bytes {
            writeln!(f, "the server used at most {} MiB", bytes >> 20)?;
        }
        writeln!(
            f,
            "\n{:<16} {:>9} {:>10} {:>10} {:>10} {:>10}",
            "class", "answered", "p50 ms", "p95 ms", "p99 ms", "max ms"
        )?;
        let ms =
            |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{:.1}", seconds * 1e3));
        for (name, class) in &self.classes {
            let (p50, p95, p99) = (ms(class.p50_seconds), ms(class.p95_seconds), ms(class.p99_seconds));
            let max = ms(class.max_seconds);
            writeln!(f, "{name:<16} {:>9} {p50:>10} {p95:>10} {p99:>10} {max:>10}", class.answered)?;
            for (kind, count) in &class.errors {
                let words = class.first_errors.get(kind).map_or("", String::as_str);
                writeln!(f, "  {kind}: {count}, the first: {words}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::ranked;

    #[rstest]
    #[case(&[], 50, None)]
    #[case(&[1.0], 50, Some(1.0))]
    #[case(&[1.0], 99, Some(1.0))]
    #[case(&[1.0, 2.0, 3.0, 4.0], 50, Some(2.0))]
    #[case(&[1.0, 2.0, 3.0, 4.0], 95, Some(4.0))]
    #[case(&[1.0, 2.0, 3.0, 4.0], 100, Some(4.0))]
    fn percentiles_are_the_nearest_rank(#[case] sorted: &[f64], #[case] percent: usize, #[case] expected: Option<f64>) {
        assert_eq!(ranked(sorted, percent), expected);
    }
}
