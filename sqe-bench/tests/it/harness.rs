use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use sqe_bench::{
    answer::{Answer, Value},
    contender::{Contender, Timed},
    run::{Benchmark, Case, Outcome, Report},
};
use sqe_core::{Error, ErrorKind, Result};

/// Gives the next of its answers each time, the last one for ever, and notes when it ran what.
#[derive(Debug)]
struct Fake {
    name: &'static str,
    milliseconds: Mutex<VecDeque<u64>>,
    answers: Mutex<VecDeque<Result<Answer>>>,
    log: Arc<Mutex<Vec<(String, String)>>>,
}

impl Fake {
    fn new(name: &'static str, milliseconds: &[u64], answers: impl IntoIterator<Item = Result<Answer>>) -> Self {
        Self {
            name,
            milliseconds: Mutex::new(milliseconds.iter().copied().collect()),
            answers: Mutex::new(answers.into_iter().collect()),
            log: Arc::default(),
        }
    }

    fn logging(mut self, log: &Arc<Mutex<Vec<(String, String)>>>) -> Self {
        self.log = Arc::clone(log);
        self
    }
}

fn next<T: Clone>(of: &Mutex<VecDeque<T>>) -> T {
    let mut of = of.lock().unwrap();
    if of.len() > 1 { of.pop_front().unwrap() } else { of.front().cloned().unwrap() }
}

#[async_trait]
impl Contender for Fake {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        format!("{} 1", self.name)
    }

    async fn run(&self, sql: &str) -> Result<Timed> {
        self.log.lock().unwrap().push((self.name.to_owned(), sql.to_owned()));
        let elapsed = Duration::from_millis(next(&self.milliseconds));
        next(&self.answers).map(|answer| Timed { answer, elapsed })
    }

    async fn peak_memory(&self) -> Result<Option<u64>> {
        Ok((self.name == "duckdb").then_some(7))
    }
}

fn number(value: i128) -> Result<Answer> {
    Ok(Answer { columns: vec!["n".to_owned()], rows: vec![vec![Value::Integer(value)]] })
}

fn nothing() -> Result<Answer> {
    Ok(Answer { columns: vec!["n".to_owned()], rows: vec![] })
}

fn benchmark(cases: u32) -> Benchmark {
    let cases = (1..=cases).map(|id| Case::new(id, format!("select {id} as n"))).collect();
    Benchmark::new("fake", 0.5, cases).with_reference("duckdb").with_command("sqe bench fake")
}

async fn one(subject: Vec<Result<Answer>>, oracle: Vec<Result<Answer>>) -> Report {
    let (subject, oracle) = (Fake::new("sqe", &[1], subject), Fake::new("duckdb", &[1], oracle));
    benchmark(1).run(&[&subject, &oracle]).await.unwrap()
}

#[tokio::test]
async fn the_report_is_json_with_the_agreed_keys() {
    let sqe = Fake::new("sqe", &[900, 30, 10, 20], [number(1)]);
    let datafusion = Fake::new("datafusion", &[900, 10, 10, 10], [number(1)]);
    let duckdb = Fake::new("duckdb", &[900, 5, 5, 8], [number(1)]);
    let report = benchmark(1).run(&[&sqe, &datafusion, &duckdb]).await.unwrap();
    let json: Json = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    // The warm-up's 0.9 s are in no median.
    assert_eq!(json["totals"], json!({"sqe": 0.02, "datafusion": 0.01, "duckdb": 0.005}));
    assert_eq!(json["ratios"], json!({"datafusion": 2.0, "duckdb": 4.0}));
    let query = &json["queries"][0];
    assert_eq!(query["id"], 1);
    assert_eq!(query["match"], true);
    assert_eq!(query["vacuous"], false);
    assert_eq!(query["outcome"], "pass");
    assert_eq!(query["rows"], 1);
    assert_eq!(query["seconds"], json!({"sqe": 0.02, "datafusion": 0.01, "duckdb": 0.005}));
    assert_eq!(query["samples"]["sqe"], json!([0.03, 0.01, 0.02]));
    assert_eq!(json["versions"], json!({"sqe": "sqe 1", "datafusion": "datafusion 1", "duckdb": "duckdb 1"}));
    assert_eq!(json["peak_memory_bytes"]["duckdb"], 7);
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0);
    assert_eq!((&json["scale"], &json["rounds"], &json["command"]), (&json!(0.5), &json!(3), &json!("sqe bench fake")));
    assert!(json["started"].as_str().unwrap().ends_with('Z'));
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    assert!(report.all_passed());
    let table = report.to_string();
    assert!(table.contains("4.00 times the total of duckdb"), "{table}");
}

#[tokio::test]
async fn contenders_take_turns_and_the_first_turn_changes() {
    let log = Arc::default();
    let (a, b) = (Fake::new("a", &[1], [number(1)]).logging(&log), Fake::new("b", &[1], [number(1)]).logging(&log));
    let cases = vec![Case::new(1, "select 1 as n").with_variant("b", "select 1 as by_hand")];
    Benchmark::new("fake", 1.0, cases).with_rounds(3).run(&[&a, &b]).await.unwrap();
    let log = log.lock().unwrap();
    let order: Vec<&str> = log.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(order, ["a", "b", "b", "a", "a", "b", "b", "a"]);
    assert!(log.iter().all(|(name, sql)| sql == if name == "b" { "select 1 as by_hand" } else { "select 1 as n" }));
}

#[tokio::test]
async fn another_answer_is_a_mismatch_even_in_a_single_round() {
    for wrong in [vec![number(2)], vec![number(1), number(1), number(2), number(1)], vec![nothing()]] {
        let report = one(wrong, vec![number(1)]).await;
        assert_eq!(report.queries[0].outcome, Outcome::Mismatch);
        assert_eq!(report.queries[0].matches, Some(false));
        assert!(report.queries[0].differences.contains_key("sqe"));
        assert!(!report.all_passed());
    }
    assert!(one(vec![number(1)], vec![number(1)]).await.all_passed());
}

#[tokio::test]
async fn a_vacuous_answer_never_passes() {
    let null = || Ok(Answer { columns: vec!["n".to_owned()], rows: vec![vec![Value::Null]] });
    for empty in [nothing, null] {
        let report = one(vec![empty()], vec![empty()]).await;
        let query = &report.queries[0];
        assert_eq!((query.matches, query.vacuous, query.outcome), (None, true, Outcome::Vacuous));
        assert_eq!((report.summary.passed, report.summary.vacuous), (0, 1));
        // And an answer where there should be none is a mismatch.
        let report = one(vec![number(1)], vec![empty()]).await;
        let query = &report.queries[0];
        assert_eq!((query.matches, query.vacuous, query.outcome), (Some(false), true, Outcome::Mismatch));
    }
}

#[tokio::test]
async fn who_fails_a_query_has_no_total_and_the_others_go_on() {
    let failing = Fake::new("sqe", &[1], [number(1), Err(Error::unavailable("the storage is gone"))]);
    let (plain, duckdb) = (Fake::new("datafusion", &[1], [number(1)]), Fake::new("duckdb", &[1], [number(1)]));
    let report = benchmark(2).run(&[&failing, &plain, &duckdb]).await.unwrap();
    assert_eq!(report.totals["sqe"], None);
    assert_eq!(report.ratios["duckdb"], None);
    assert!(report.totals["duckdb"].is_some());
    assert_eq!(report.summary.failed, 2);
    assert_eq!(report.queries[0].matches, Some(false));
    assert_eq!(report.queries[0].errors["sqe"], "the storage is gone");
    assert_eq!(report.queries[0].seconds["sqe"], None);
    assert!(report.to_string().contains("the storage is gone"));
}

#[tokio::test]
async fn without_a_reference_that_answers_nothing_matches() {
    let (sqe, duckdb) =
        (|| Fake::new("sqe", &[1], [number(1)]), Fake::new("duckdb", &[1], [Err(Error::invalid("no"))]));
    let failed = benchmark(1).run(&[&sqe(), &duckdb]).await.unwrap();
    assert_eq!((failed.queries[0].matches, failed.queries[0].outcome), (Some(false), Outcome::Error));
    let mut alone = benchmark(1);
    alone.reference = None;
    let alone = alone.run(&[&sqe()]).await.unwrap();
    assert_eq!((alone.queries[0].matches, alone.queries[0].outcome), (None, Outcome::Unchecked));
    assert!(!alone.all_passed());
    // A reference that contradicts itself proves nothing either.
    let wavering = one(vec![number(1)], vec![number(1), number(2)]).await;
    assert_eq!(wavering.queries[0].outcome, Outcome::Mismatch);
    assert!(wavering.queries[0].differences.contains_key("duckdb"));
}

#[tokio::test]
async fn a_benchmark_that_cannot_be_right_is_refused() {
    let fake = || Fake::new("sqe", &[1], [number(1)]);
    let (one, same) = (fake(), fake());
    let refused = [
        benchmark(1).run(&[&one]).await,
        benchmark(1).with_reference("sqe").run(&[]).await,
        benchmark(1).with_reference("sqe").run(&[&one, &same]).await,
        benchmark(1).with_reference("sqe").with_rounds(0).run(&[&one]).await,
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(benchmark(1).with_reference("sqe").run(&[&one]).await.is_ok());
}

#[tokio::test]
async fn the_report_names_the_ten_queries_that_are_slowest_beside_each_other() {
    let sqe = Fake::new("sqe", &(1..=12).map(|id| id * 10).collect::<Vec<_>>(), [number(1)]);
    let duckdb = Fake::new("duckdb", &[10], [number(1)]);
    let report = benchmark(12).with_rounds(1).with_warm_ups(0).run(&[&sqe, &duckdb]).await.unwrap();
    let slowest = &report.slowest["duckdb"];
    assert_eq!(slowest.iter().map(|one| one.id).collect::<Vec<_>>(), [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
    assert!((slowest[0].ratio - 12.0).abs() < 1e-9);
    assert!(!report.slowest.contains_key("sqe"));
    let table = report.to_string();
    assert!(table.contains("slowest beside duckdb: query 12 (12.00), query 11 (11.00), "), "{table}");
    // Who failed a query is not slow in it.
    let failing = Fake::new("sqe", &[10], [Err(Error::unavailable("gone"))]);
    let report = benchmark(1).run(&[&failing, &Fake::new("duckdb", &[10], [number(1)])]).await.unwrap();
    assert!(report.slowest["duckdb"].is_empty() && !report.to_string().contains("slowest"));
}

#[tokio::test]
async fn only_the_named_queries_run() {
    let log = Arc::default();
    let sqe = Fake::new("sqe", &[1], [number(1)]).logging(&log);
    let mut some = benchmark(9).only(&[7, 2]).unwrap().with_rounds(1).with_warm_ups(0);
    some.reference = None;
    let report = some.run(&[&sqe]).await.unwrap();
    assert_eq!(report.queries.iter().map(|query| query.id).collect::<Vec<_>>(), [2, 7]);
    assert_eq!(log.lock().unwrap().len(), 2);
    assert_eq!(benchmark(9).only(&[2, 10]).unwrap_err().kind(), ErrorKind::NotFound);
}
