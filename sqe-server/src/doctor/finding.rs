//! What was found.

use std::fmt::Write as _;

use serde::Serialize;

use crate::sql::write::visible::visible_lines;

/// The promises of the project, in its order.
const PROMISES: [&str; 7] = [
    "every query runs as the authenticated person",
    "that identity reaches every system the query touches",
    "policy is enforced inside the engine",
    "the engine has no ambient credentials",
    "the audit trail says which person read which data",
    "it runs on the operator's own machines",
    "the configuration is the operator's, and the data never leaves",
];

/// How good it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As promised.
    Ok,
    /// As promised, but look at it.
    Warn,
    /// Not as promised.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Which promise it is about, from 1.
    pub(super) promise: usize,
    /// What was looked at.
    pub(super) what: String,
    pub(super) state: State,
    /// What was seen.
    pub(super) evidence: String,
    /// What to do; empty if nothing.
    pub(super) advice: String,
}

impl Finding {
    pub(super) fn ok(promise: usize, what: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { promise, what: what.into(), state: State::Ok, evidence: evidence.into(), advice: String::new() }
    }

    pub(super) fn warn(
        promise: usize,
        what: impl Into<String>,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { state: State::Warn, advice: advice.into(), ..Self::ok(promise, what, evidence) }
    }

    pub(super) fn fail(
        promise: usize,
        what: impl Into<String>,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { state: State::Fail, ..Self::warn(promise, what, evidence, advice) }
    }
}

/// For people: the findings under the promises that they are about. `findings` are in the promises' order.
pub(super) fn table(findings: &[Finding]) -> String {
    let mut text = String::new();
    for (index, promise) in PROMISES.iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}. {promise}", index + 1);
        for finding in findings.iter().filter(|finding| finding.promise == index + 1) {
            let state = match finding.state {
                State::Ok => "ok  ",
                State::Warn => "WARN",
                State::Fail => "FAIL",
            };
            let _ = writeln!(text, "   {state} {}: {}", visible_lines(&finding.what), visible_lines(&finding.evidence));
            if !finding.advice.is_empty() {
                let _ = writeln!(text, "        → {}", visible_lines(&finding.advice));
            }
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let _ = writeln!(text, "{} ok, {} to look at, {} failed", count(State::Ok), count(State::Warn), count(State::Fail));
    text
}
