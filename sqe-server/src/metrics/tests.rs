//! The book's table of metrics is what the code tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::Path,
    sync::Arc,
};

use super::*;
use crate::{config, wire};

const BEGIN: &str = "<!-- metrics: made of what the code tells; a test compares -->\n";
const END: &str = "<!-- end of metrics -->\n";

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
profile = "dev"
[[identity]]
kind = "dev"
path = "."
[policy]
kind = "permit-all"
[catalogs.lake]
kind = "sql"
path = "catalog.db"
warehouse = "warehouse"
[credentials]
kind = "local"
[audit]
path = "audit"
"#;

/// Has everything that is told about happen once: what never happened has no line.
fn happen(metrics: &Metrics) {
    // A metric that is added does not compile here until it happens, too.
    let Metrics {
        registry: _,
        statements,
        statement_time,
        rows: _,
        bytes: _,
        wait_time,
        refusals,
        logins,
        login_time: _,
        plan_time: _,
        run_time: _,
        decisions,
        policy_time: _,
        policy_failures,
        calls,
        call_time,
        leases,
        audit_time: _,
        audit_failures: _,
    } = metrics;
    let catalog = || "lake".to_owned();
    let (operation, outcome, turn, call) = ("SELECT", "ok", "running", "resolve");
    statements.get_or_create(&StatementLabels { operation, outcome: "completed".to_owned() }).inc();
    statement_time.get_or_create(&OperationLabels { operation }).observe(1.0);
    wait_time.get_or_create(&TurnLabels { turn }).observe(1.0);
    refusals.get_or_create(&RefusalLabels { turn, reason: "stopping" }).inc();
    logins.get_or_create(&OutcomeLabels { outcome }).inc();
    decisions.get_or_create(&DecisionLabels { decision: "permitted" }).inc();
    policy_failures.get_or_create(&OutcomeLabels { outcome: "unavailable" }).inc();
    calls.get_or_create(&CallLabels { catalog: catalog(), call, outcome }).inc();
    call_time.get_or_create(&CallTimeLabels { catalog: catalog(), call }).observe(1.0);
    leases.get_or_create(&LeaseLabels { catalog: catalog(), outcome }).inc();
}

/// The metrics of an answer as a table: name, kind, labels, meaning.
fn table(text: &str) -> String {
    let mut told: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
            told.entry(name).or_default().1 = help;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            told.entry(name).or_default().0 = kind;
        } else if let Some((series, of)) = line.split_once('{') {
            // The buckets of a histogram are its own.
            let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| series.strip_suffix(end));
            let name = name.filter(|name| told.contains_key(name)).unwrap_or(series);
            let of = of.rsplit_once('}').unwrap().0.split(',').map(|label| label.split_once('=').unwrap().0);
            labels.entry(name).or_default().extend(of.filter(|label| *label != "le"));
        }
    }
    let mut table = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for (name, (kind, help)) in told {
        let labels = labels.remove(name).unwrap_or_default();
        let labels: Vec<_> = labels.into_iter().map(|label| format!("`{label}`")).collect();
        let help = help.trim_end_matches('.');
        writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join(", ")).unwrap();
    }
    assert!(labels.is_empty(), "series of no metric: {labels:?}");
    table
}

#[tokio::test]
async fn the_book_lists_every_metric_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sqe.toml");
    std::fs::write(&path, CONFIG).unwrap();
    let wired = wire::wire(&config::load(&path, []).unwrap()).await.unwrap();
    let sources = Arc::new(Sources::default());
    sources.memory_limit.set(1 << 30).unwrap();
    *sources.engine.lock() = Some((wired.engine.clone(), Arc::clone(&wired.trail)));
    let metrics = Metrics::new(Moments(Arc::clone(&sources)));
    happen(&metrics);
    let made = table(&metrics.text().unwrap());

    let chapter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/book/src/operations.md");
    let book = std::fs::read_to_string(chapter).unwrap();
    let written = book.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(table, _)| table.trim());
    assert_eq!(written, Some(made.trim()), "docs/book/src/operations.md should have this table:\n{made}");
    *sources.engine.lock() = None;
}
