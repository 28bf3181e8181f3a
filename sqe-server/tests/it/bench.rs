//! `sqe bench`, on little data.

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::site::{binary, stderr, stdout};

fn bench(folder: &Path, arguments: &[&str]) -> (Output, Value) {
    let out = folder.with_extension("json");
    let mut command = Command::new(binary());
    command.args(["bench", "tpch", "--runs", "1", "--data-dir"]).arg(folder).arg("--out").arg(&out).args(arguments);
    let output = command.output().unwrap();
    let report = std::fs::read(&out).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    (output, report)
}

#[test]
fn a_vacuous_answer_does_not_match_and_fails_a_run_that_compares() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("data");
    // At this scale some queries have no rows to find.
    let (output, report) = bench(&folder, &["--scale", "0.001", "--compare", "datafusion"]);
    let queries = report["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 22);
    let (vacuous, full): (Vec<_>, Vec<_>) = queries.iter().partition(|query| query["vacuous"] == true);
    assert!(!vacuous.is_empty() && full.len() > 10, "{} of 22", vacuous.len());
    assert!(vacuous.iter().all(|query| query["match"] == Value::Null && query["outcome"] == "vacuous"));
    assert!(full.iter().all(|query| query["match"] == true && query["outcome"] == "pass"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(1));
    let ids: Vec<String> = vacuous.iter().map(|query| query["id"].to_string()).collect();
    assert!(stderr(&output).contains(&format!("proves nothing: {}", ids.join(", "))), "{}", stderr(&output));

    // Who compares with nobody has asked for no verdict. The data is used again, and its scale need not be said again.
    let (output, report) = bench(&folder, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((&report["scale"], &report["summary"]["unchecked"]), (&0.001.into(), &22.into()));
    for key in ["select_one_seconds", "fsync_seconds", "ready_seconds"] {
        assert!(report["point"][key].as_f64().unwrap() > 0.0, "{key}: {}", report["point"]);
    }

    // Data of one scale does not pass for data of another.
    let (output, _) = bench(&folder, &["--scale", "0.002"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("at scale 0.001, not 0.002"), "{}", stderr(&output));
}

#[test]
fn a_load_of_several_clients_has_answers_of_every_class_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("load.json");
    let mut command = Command::new(binary());
    command.args(["bench", "load", "--clients", "4", "--seconds", "8", "--scale", "0.001", "--out"]).arg(&out);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((&report["clients"], &report["failed"], &report["refused"]), (&4.into(), &0.into(), &0.into()));
    for class in ["constant", "lookup", "list", "page", "dashboard", "report"] {
        let class = &report["classes"][class];
        assert!(class["answered"].as_u64() > Some(0) && class["rows"].as_u64() > Some(0), "{report}");
        assert!(class["p50_seconds"].as_f64() > Some(0.0) && class["p99_seconds"].as_f64() > Some(0.0), "{report}");
    }
    assert!(report["server_peak_memory_bytes"].as_u64() > Some(1 << 20), "{report}");
}
