//! What a run found out, in the form of its JSON file.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::{Benchmark, Machine};

/// The result of a run. Serialises to the file that `sqe bench --out` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The suite's name.
    pub suite: String,
    /// Its scale factor.
    pub scale: f64,
    /// The command that repeats the run.
    pub command: String,
    /// When it began, in UTC.
    pub started: String,
    /// How many times each contender ran each query on the clock.
    pub rounds: usize,
    /// How many times before.
    pub warm_ups: usize,
    /// Whose answers were taken for right.
    pub reference: Option<String>,
    /// Seconds of all queries together, by contender: the sum of the medians. Nothing for a contender that failed a
    /// query, because leaving queries out must not make an engine look fast.
    pub totals: BTreeMap<String, Option<f64>>,
    /// The subject's total divided by each other contender's.
    pub ratios: BTreeMap<String, Option<f64>>,
    /// By other contender, the queries in which the subject is slowest beside it, the slowest first, at most
    /// [`Slowest::COUNT`]: where to look first.
    #[serde(default)]
    pub slowest: BTreeMap<String, Vec<Slowest>>,
    /// How the queries ended.
    pub summary: Summary,
    /// The queries.
    pub queries: Vec<QueryReport>,
    /// The most memory used, in bytes: of this process (key `process`) and of contenders with one of their own.
    pub peak_memory_bytes: BTreeMap<String, u64>,
    /// What it ran on.
    pub machine: Machine,
    /// The versions of the contenders.
    pub versions: BTreeMap<String, String>,
}

/// A query in which the subject is slow beside another contender.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slowest {
    /// Its number in the suite.
    pub id: u32,
    /// The subject's median divided by the other's.
    pub ratio: f64,
}

impl Slowest {
    /// How many of them a report names.
    pub const COUNT: usize = 10;

    fn beside(other: &str, subject: &str, queries: &[QueryReport]) -> Vec<Self> {
        let seconds = |query: &QueryReport, name: &str| query.seconds.get(name).copied().flatten();
        let ratios = queries.iter().filter_map(|query| {
            let ratio = ratio(seconds(query, subject), seconds(query, other))?;
            Some(Self { id: query.id, ratio })
        });
        let mut slowest: Vec<Self> = ratios.collect();
        slowest.sort_by(|one, two| two.ratio.total_cmp(&one.ratio));
        slowest.truncate(Self::COUNT);
        slowest
    }
}

/// How many queries ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The answer is the reference's.
    pub passed: usize,
    /// The answer is another one.
    pub mismatched: usize,
    /// The reference's answer proves nothing.
    pub vacuous: usize,
    /// A contender could not answer.
    pub failed: usize,
    /// There is no reference.
    pub unchecked: usize,
}

/// One query of a [`Report`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueryReport {
    /// Its number in the suite.
    pub id: u32,
    /// Whether every answer of the subject equals the reference's. Nothing without a reference, and nothing if both are
    /// empty, or all NULL and zero (`vacuous`): that they are the same says nothing about the engine.
    #[serde(rename = "match")]
    pub matches: Option<bool>,
    /// Whether the reference's answer is empty, or all NULL and zero.
    pub vacuous: bool,
    /// All in all.
    pub outcome: Outcome,
    /// The rows of the subject's answer; nothing if it failed.
    pub rows: Option<usize>,
    /// Median seconds by contender; nothing for one that failed.
    pub seconds: BTreeMap<String, Option<f64>>,
    /// The seconds of each round by contender.
    pub samples: BTreeMap<String, Vec<f64>>,
    /// By contender, how its answer differs from the reference's. The reference itself stands here if its rounds
    /// contradict each other.
    pub differences: BTreeMap<String, String>,
    /// By contender, why it could not answer.
    pub errors: BTreeMap<String, String>,
}

/// How a query ended. A failure hides all else, and a vacuous answer never passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// The subject's answer is the reference's, and it proves something.
    Pass,
    /// The subject's answer is another one.
    Mismatch,
    /// The reference's answer is empty, or all NULL and zero, and the subject's is the same.
    Vacuous,
    /// A contender could not answer.
    Error,
    /// There is no reference.
    Unchecked,
}

impl Outcome {
    pub(super) fn of(matches: Option<bool>, vacuous: bool, failed: bool) -> Self {
        match matches {
            _ if failed => Self::Error,
            None => Self::Unchecked,
            Some(false) => Self::Mismatch,
            Some(true) if vacuous => Self::Vacuous,
            Some(true) => Self::Pass,
        }
    }

    /// The outcome as one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Mismatch => "mismatch",
            Self::Vacuous => "vacuous",
            Self::Error => "error",
            Self::Unchecked => "unchecked",
        }
    }
}

impl Report {
    pub(super) fn new(
        benchmark: &Benchmark,
        started: DateTime<Utc>,
        queries: Vec<QueryReport>,
        peak_memory_bytes: BTreeMap<String, u64>,
        versions: BTreeMap<String, String>,
        subject: &str,
    ) -> Self {
        let totals: BTreeMap<String, Option<f64>> = versions
            .keys()
            .map(|name| {
                let seconds = queries.iter().map(|query| query.seconds.get(name).copied().flatten());
                (name.clone(), seconds.sum())
            })
            .collect();
        let of_subject = totals.get(subject).copied().flatten();
        let others = || totals.iter().filter(|(name, _)| *name != subject);
        let ratios = others().map(|(name, total)| (name.clone(), ratio(of_subject, *total))).collect();
        let slowest = others().map(|(name, _)| (name.clone(), Slowest::beside(name, subject, &queries))).collect();
        Self {
            suite: benchmark.suite.clone(),
            scale: benchmark.scale,
            command: benchmark.command.clone(),
            started: started.to_rfc3339_opts(SecondsFormat::Secs, true),
            rounds: benchmark.rounds,
            warm_ups: benchmark.warm_ups,
            reference: benchmark.reference.clone(),
            totals,
            ratios,
            slowest,
            summary: Summary::of(&queries),
            queries,
            peak_memory_bytes,
            machine: Machine::this(),
            versions,
        }
    }

    /// Whether every query passed: none differed, failed, was vacuous or unchecked.
    #[must_use]
    pub fn all_passed(&self) -> bool {
        self.summary.passed == self.queries.len()
    }

    /// The report as indented JSON.
    ///
    /// # Errors
    /// `Internal` if a number in it is not finite.
    pub fn to_json(&self) -> sqe_core::Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|error| sqe_core::Error::internal("the report cannot be written as json").with_source(error))
    }
}

fn ratio(one: Option<f64>, two: Option<f64>) -> Option<f64> {
    Some(one? / two.filter(|seconds| *seconds > 0.0)?)
}

impl Summary {
    fn of(queries: &[QueryReport]) -> Self {
        let mut summary = Self::default();
        for query in queries {
            match query.outcome {
                Outcome::Pass => summary.passed += 1,
                Outcome::Mismatch => summary.mismatched += 1,
                Outcome::Vacuous => summary.vacuous += 1,
                Outcome::Error => summary.failed += 1,
                Outcome::Unchecked => summary.unchecked += 1,
            }
        }
        summary
    }
}
