//! The benchmark: queries × rounds × contenders, and the report.
//!
//! Rounds are interleaved. Every contender runs a query once before any runs it again, and who begins changes from
//! round to round, so that what disturbs the machine disturbs all of them. Times are medians.

mod machine;
mod median;
mod report;
mod show;

pub use machine::{Machine, peak_memory, peak_memory_of};
pub use report::{Outcome, QueryReport, Report, Slowest, Summary};

use std::collections::BTreeMap;

use sqe_core::{Error, Result};

use crate::{
    by_hand::{self, Restriction},
    compare::{Ordering, compare},
    contender::{Contender, Timed},
    suite::{Scale, Suite},
};
use median::median;

/// What to run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Benchmark {
    /// The suite's name, such as `tpch`.
    pub suite: String,
    /// Its scale factor.
    pub scale: f64,
    /// The queries, in order.
    pub cases: Vec<Case>,
    /// How many times each contender runs each query on the clock.
    pub rounds: usize,
    /// How many times before, off the clock. The answers of these runs are compared as well.
    pub warm_ups: usize,
    /// The contender whose answers are taken for right. `None`: there is none, and nothing is said to match.
    pub reference: Option<String>,
    /// The command that repeats this run, for the report.
    pub command: String,
}

/// A query of a benchmark.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Case {
    /// Its number in the suite.
    pub id: u32,
    /// Its text.
    pub sql: String,
    /// Its text for contenders, by name, that need another one, such as one with a policy's filters written by hand.
    pub variants: BTreeMap<String, String>,
}

impl Case {
    /// A query with the same text for all.
    pub fn new(id: u32, sql: impl Into<String>) -> Self {
        Self { id, sql: sql.into(), variants: BTreeMap::new() }
    }

    /// Gives one contender another text.
    #[must_use]
    pub fn with_variant(mut self, contender: impl Into<String>, sql: impl Into<String>) -> Self {
        self.variants.insert(contender.into(), sql.into());
        self
    }

    /// The text for a contender.
    #[must_use]
    pub fn sql_for(&self, contender: &str) -> &str {
        self.variants.get(contender).unwrap_or(&self.sql)
    }
}

impl Benchmark {
    /// A suite of one's own: three rounds after one warm-up, without a reference.
    pub fn new(suite: impl Into<String>, scale: f64, cases: Vec<Case>) -> Self {
        let (suite, command) = (suite.into(), String::new());
        Self { suite, scale, cases, rounds: 3, warm_ups: 1, reference: None, command }
    }

    /// All queries of a suite.
    ///
    /// # Errors
    /// None: the suite has a text for each of its numbers.
    pub fn of(suite: &Suite, scale: Scale) -> Result<Self> {
        let cases = suite.ids().map(|id| Ok(Case::new(id, suite.query(id, scale)?)));
        Ok(Self::new(suite.name(), scale.factor(), cases.collect::<Result<_>>()?))
    }

    /// Keeps only these queries, in the suite's order.
    ///
    /// # Errors
    /// `NotFound` if there is no query of such a number.
    pub fn only(mut self, ids: &[u32]) -> Result<Self> {
        if let Some(unknown) = ids.iter().find(|id| self.cases.iter().all(|case| case.id != **id)) {
            return Err(Error::not_found(format!("{} has no query {unknown}", self.suite)));
        }
        self.cases.retain(|case| ids.contains(&case.id));
        Ok(self)
    }

    /// Sets the number of rounds.
    #[must_use]
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Sets the number of warm-ups.
    #[must_use]
    pub fn with_warm_ups(mut self, warm_ups: usize) -> Self {
        self.warm_ups = warm_ups;
        self
    }

    /// Names the contender whose answers are taken for right.
    #[must_use]
    pub fn with_reference(mut self, contender: impl Into<String>) -> Self {
        self.reference = Some(contender.into());
        self
    }

    /// Keeps only the queries that read a restricted table, and gives `contender` their text with the restrictions
    /// written by hand: what another contender, over governed tables, is then measured against.
    ///
    /// # Errors
    /// As [`restrict`](crate::by_hand::restrict).
    pub fn by_hand(mut self, contender: &str, restrictions: &[Restriction]) -> Result<Self> {
        let tables: Vec<_> = restrictions.iter().map(|restriction| restriction.table).collect();
        let mut cases = Vec::with_capacity(self.cases.len());
        for case in self.cases {
            if by_hand::reads_any(&case.sql, &tables)? {
                let written = by_hand::restrict(&case.sql, restrictions)?;
                cases.push(case.with_variant(contender, written));
            }
        }
        self.cases = cases;
        Ok(self)
    }

    /// Records the command that repeats this run.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// Runs everything. The first contender is the subject: the report's `match` and `rows` are its.
    ///
    /// A contender that fails a query fails it in the report, has no time for it and no total; the run goes on.
    ///
    /// # Errors
    /// `InvalidInput` if there is no contender, no round, a name twice, or a reference that does not take part.
    pub async fn run(&self, contenders: &[&dyn Contender]) -> Result<Report> {
        self.check(contenders)?;
        let begin = chrono::Utc::now();
        let mut queries = Vec::with_capacity(self.cases.len());
        for (index, case) in self.cases.iter().enumerate() {
            let query = self.run_case(case, index, contenders).await?;
            tracing::info!(
                suite = self.suite, query = case.id, outcome = query.outcome.as_str(), seconds = ?query.seconds, "ran"
            );
            queries.push(query);
        }
        let mut peaks = BTreeMap::new();
        if let Some(bytes) = peak_memory() {
            peaks.insert("process".to_owned(), bytes);
        }
        for contender in contenders {
            // An engine that died has errors in its queries; its memory is not known then.
            if let Ok(Some(bytes)) = contender.peak_memory().await {
                peaks.insert(contender.name().to_owned(), bytes);
            }
        }
        let versions = contenders.iter().map(|one| (one.name().to_owned(), one.version())).collect();
        let subject = contenders.first().map(|one| one.name()).unwrap_or_default();
        Ok(Report::new(self, begin, queries, peaks, versions, subject))
    }

    fn check(&self, contenders: &[&dyn Contender]) -> Result<()> {
        if contenders.is_empty() || self.rounds == 0 {
            return Err(Error::invalid("a benchmark needs at least one contender and one round"));
        }
        let names: BTreeMap<&str, ()> = contenders.iter().map(|one| (one.name(), ())).collect();
        if names.len() != contenders.len() {
            return Err(Error::invalid("two contenders have the same name"));
        }
        match &self.reference {
            Some(reference) if !names.contains_key(reference.as_str()) => {
                Err(Error::invalid(format!("the reference {reference} is not among the contenders")))
            }
            _ => Ok(()),
        }
    }

    async fn run_case(&self, case: &Case, index: usize, contenders: &[&dyn Contender]) -> Result<QueryReport> {
        let mut tracks: Vec<Track<'_>> = contenders.iter().map(|one| Track::new(*one)).collect();
        let count = tracks.len();
        for round in 0..self.warm_ups + self.rounds {
            tracks.rotate_left((index + round) % count);
            for track in &mut tracks {
                track.step(case, round >= self.warm_ups).await;
            }
            tracks.rotate_right((index + round) % count);
        }
        self.judge(case, &tracks)
    }

    fn judge(&self, case: &Case, tracks: &[Track<'_>]) -> Result<QueryReport> {
        let subject = tracks.first().map(|track| track.contender.name()).unwrap_or_default();
        let reference = tracks.iter().find(|track| self.reference.as_deref() == Some(track.contender.name()));
        let mut differences = BTreeMap::new();
        // A reference that contradicts itself is no reference.
        let right = match reference {
            Some(track) if track.error.is_none() => track.answers.first(),
            _ => None,
        };
        if let (Some(right), Some(reference)) = (right, reference) {
            let ordering = Ordering::of(case.sql_for(reference.contender.name()), &right.columns)?;
            for track in tracks {
                let wrong = track.answers.iter().find_map(|answer| compare(right, answer, ordering.as_ref()).err());
                if let Some(difference) = wrong {
                    differences.insert(track.contender.name().to_owned(), difference.to_string());
                }
            }
        }
        let errors: BTreeMap<_, _> =
            tracks.iter().filter_map(|track| Some((track.contender.name().to_owned(), track.error.clone()?))).collect();
        let bad_reference = self.reference.as_ref().is_some_and(|name| differences.contains_key(name));
        let matches = right
            .map(|_| !bad_reference && !differences.contains_key(subject) && !errors.contains_key(subject))
            .or(reference.map(|_| false));
        let vacuous = right.is_some_and(|answer| answer.is_vacuous());
        let rows = tracks.first().and_then(|track| track.answers.first()).map(|answer| answer.rows.len());
        Ok(QueryReport {
            id: case.id,
            // Two answers with nothing in them match by having nothing in them.
            matches: matches.filter(|same| !(*same && vacuous)),
            vacuous,
            outcome: Outcome::of(matches, vacuous, !errors.is_empty()),
            rows,
            seconds: tracks.iter().map(|track| (track.contender.name().to_owned(), track.median())).collect(),
            samples: tracks.iter().map(|track| (track.contender.name().to_owned(), track.seconds.clone())).collect(),
            differences,
            errors,
        })
    }
}

/// What one contender did with one query.
struct Track<'a> {
    contender: &'a dyn Contender,
    /// The different answers, normally one.
    answers: Vec<crate::answer::Answer>,
    seconds: Vec<f64>,
    error: Option<String>,
}

impl<'a> Track<'a> {
    fn new(contender: &'a dyn Contender) -> Self {
        Self { contender, answers: Vec::new(), seconds: Vec::new(), error: None }
    }

    async fn step(&mut self, case: &Case, on_the_clock: bool) {
        if self.error.is_some() {
            return;
        }
        match self.contender.run(case.sql_for(self.contender.name())).await {
            Ok(Timed { answer, elapsed }) => {
                if on_the_clock {
                    self.seconds.push(elapsed.as_secs_f64());
                }
                // Each round's answer counts, but the same one need not be kept twice.
                if !self.answers.contains(&answer) {
                    self.answers.push(answer);
                }
            }
            Err(error) => {
                let why = std::error::Error::source(&error).map(|source| format!(" ({source})")).unwrap_or_default();
                self.error = Some(format!("{error}{why}"));
            }
        }
    }

    fn median(&self) -> Option<f64> {
        if self.error.is_some() { None } else { median(&self.seconds) }
    }
}
