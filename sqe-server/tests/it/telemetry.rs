//! Spans and log lines: that they arrive, where they belong, and what is not in them.

use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use futures::TryStreamExt;
use sqe_testkit::rotel::Rotel;
use tonic::transport::Endpoint;

use crate::{
    collector::Collector,
    site::{Site, binary, eventually, sql_as},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asks as a client that is in a trace.
async fn ask(uri: &str, token: &str, sql: &str) -> Result<usize, String> {
    let channel = Endpoint::from_shared(uri.replace("grpc://", "http://")).unwrap().connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    client.set_token(token.to_owned());
    client.set_header("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    let info = client.execute(sql.to_owned(), None).await.map_err(|error| error.to_string())?;
    let rows = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.map_err(|error| error.to_string())?;
    let batches: Vec<_> = rows.try_collect().await.map_err(|error| error.to_string())?;
    Ok(batches.iter().map(|batch| batch.num_rows()).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_in_its_clients_trace_at_the_collector_and_on_record() {
    let (site, collector) = (Site::new(), Collector::start());
    let variables = [("SQE__TELEMETRY__OTLP_ENDPOINT", &*collector.endpoint), ("SQE_LOG", "warn,sqe=debug")];
    let (mut server, uri) = site.serve(&variables);
    let token = site.token("ann");
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t AS SELECT 'stored-canary' AS a");
    let rows = ask(&uri, &token, "SELECT a FROM lake.s.t WHERE a <> 'asked-canary'").await.unwrap();
    assert_eq!(rows, 1);
    ask(&uri, &token, "SELECT 'failed-canary' FROM lake.s.missing").await.unwrap_err();
    let mine = || collector.spans().into_iter().filter(|span| hex(&span.trace_id) == TRACE).collect::<Vec<_>>();
    eventually("both statements came", || mine().iter().filter(|span| span.name == "SELECT").count() == 2);

    let spans = mine();
    let statement = spans.iter().find(|span| span.name == "SELECT" && span.status.as_ref().unwrap().code != 2).unwrap();
    assert_eq!(hex(&statement.parent_span_id), PARENT);
    assert!(statement.start_time_unix_nano <= statement.end_time_unix_nano);
    let below = |span: &str| spans.iter().any(|it| it.name == span && it.parent_span_id == statement.span_id);
    let names: Vec<_> = spans.iter().map(|span| span.name.clone()).collect();
    assert!(spans.iter().filter(|span| span.parent_span_id == statement.span_id).count() >= 3, "{names:?}");
    assert!(names.iter().filter(|name| *name != "SELECT").any(|name| below(name)), "{names:?}");
    assert!(spans.iter().any(|span| span.name == "SELECT" && span.status.as_ref().unwrap().code == 2), "{names:?}");
    // What another client did is in a trace of its own.
    assert!(collector.spans().iter().any(|span| span.name == "CREATE TABLE" && hex(&span.trace_id) != TRACE));
    let recorded = format!("SELECT DISTINCT subject FROM system.audit.access WHERE trace_id = '{TRACE}'");
    assert_eq!(site.run(&uri, &recorded), "subject\nann\n");

    server.signal("TERM").unwrap();
    assert!(server.wait(Duration::from_secs(60)).unwrap().success(), "{}", server.log());
    let lines = collector.records();
    assert!(lines.iter().any(|line| format!("{:?}", line.body).contains("stopping")), "the last lines came, too");
    let all = format!("{:?} {lines:?}", collector.spans());
    assert!(!all.contains("canary") && !all.contains(&token), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_understands_spans() {
    let site = Site::new();
    let Some(rotel) = Rotel::start(site.path(), "traces").unwrap() else { return };
    let endpoint = rotel.endpoint();
    let (_server, uri) = site.serve(&[("SQE__TELEMETRY__OTLP_ENDPOINT", &endpoint)]);
    ask(&uri, &site.token("ann"), "SELECT 'literal-canary' AS a").await.unwrap();
    eventually("the spans came", || rotel.said().contains(TRACE) && rotel.said().contains("SELECT"));
    assert!(!rotel.said().contains("canary"));
}

#[test]
fn a_collector_that_is_not_there_costs_no_statement() {
    let site = Site::new();
    let endpoint = format!("http://127.0.0.1:{}", sqe_testkit::free_port().unwrap());
    let (mut server, uri) = site.serve(&[("SQE__TELEMETRY__OTLP_ENDPOINT", &endpoint)]);
    for _ in 0..20 {
        assert_eq!(site.run(&uri, "SELECT 1 AS a"), "a\n1\n");
    }
    server.signal("TERM").unwrap();
    assert!(server.wait(Duration::from_secs(60)).unwrap().success(), "{}", server.log());
}

/// Everything that a client can send, at the finest level that there is.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_no_secrets_at_any_level() {
    let site = Site::new();
    let (mut server, uri) = site.serve(&[("SQE_LOG", "trace"), ("SQE__LOG__FORMAT", "json")]);
    let token = site.token("ann");
    let secret = token.rsplit('.').next().unwrap();
    site.run_as(&uri, &token, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t AS SELECT 'value-canary' AS a");
    site.run_as(&uri, &token, "SELECT a FROM lake.s.t WHERE a <> 'literal-canary'");
    for (token, sql) in [(&*token, "SELEC 'syntax-canary'"), ("token-canary", "SELECT 1")] {
        assert!(!sql_as(&uri, token, &["-c", sql]).status.success());
    }
    let channel = Endpoint::from_shared(uri.replace("grpc://", "http://")).unwrap().connect().await.unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    client.handshake("ann", "password-canary").await.unwrap_err();
    // The command line's own log, too.
    let mut command = std::process::Command::new(binary());
    command
        .args(["sql", "--uri", &uri, "-c", "SELECT 'own-canary'"])
        .env("SQE_TOKEN", &token)
        .env("SQE_LOG", "sqe=trace");
    let output = command.output().unwrap();
    assert!(output.status.success());
    let own = crate::site::stderr(&output);
    assert!(!own.contains("canary") && !own.contains(secret), "{own}");

    server.signal("TERM").unwrap();
    server.wait(Duration::from_secs(60)).unwrap();
    let log = server.log();
    assert!(log.contains("\"level\":\"DEBUG\""), "the level was taken: {log}");
    let found = log.lines().find(|line| line.contains("canary") || line.contains(secret));
    assert!(found.is_none(), "{found:?}");
}
