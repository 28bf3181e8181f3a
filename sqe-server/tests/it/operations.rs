//! What those who operate a server see of it.

use std::{process::Command, sync::Arc, time::Duration};

use futures::TryStreamExt;
use rstest::rstest;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    probe::{self, Answer, get, metric, value},
    site::{Site, binary, eventually, sql_as, stderr},
};

const FLIGHT: &str = "arrow.flight.protocol.FlightService";

#[test]
fn a_server_that_works_is_alive_and_ready_and_says_what_it_knows() {
    let site = Site::new();
    let (_server, uri, http) = site.serve_watched(&[]);
    let alive = get(&http, "/healthz");
    assert_eq!((alive.status, alive.body.as_str()), (200, "ok\n"));
    let ready = get(&http, "/readyz");
    assert_eq!(ready.status, 200, "{}", ready.body);
    assert!(ready.headers.contains("content-type: application/json"));
    let said = |answer: &Answer| serde_json::from_str::<serde_json::Value>(&answer.body).unwrap();
    let expected = serde_json::json!({
        "ready": true, "missing": [], "audit": "ok", "identity": "unknown", "catalogs": { "lake": "unknown" },
    });
    assert_eq!(said(&ready), expected);

    // What statements met is known from then on.
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t (a BIGINT)");
    eventually("what was met is told", || said(&get(&http, "/readyz"))["catalogs"]["lake"] == "ok");
    assert_eq!(said(&get(&http, "/readyz"))["identity"], "ok");
}

#[rstest]
#[case::another_path("GET", "/", 404)]
#[case::a_path_that_climbs("GET", "/../../etc/passwd", 404)]
#[case::a_path_of_the_metrics_alone("GET", "/metrics/x", 404)]
#[case::a_change("POST", "/healthz", 405)]
#[case::a_removal("DELETE", "/metrics", 405)]
#[case::control("GET", "/healthz", 200)]
fn only_what_is_offered_is_answered(#[case] method: &str, #[case] path: &str, #[case] status: u16) {
    let site = Site::new();
    let (_server, _, http) = site.serve_watched(&[]);
    let answer = probe::send(&http, probe::request(method, path).as_bytes()).unwrap();
    assert_eq!(Answer::parse(&answer).status, status, "{answer}");
}

#[test]
fn strangers_who_send_anything_or_nothing_keep_nobody_from_probing() {
    let site = Site::new();
    let (_server, uri, http) = site.serve_watched(&[]);
    // Far more than there are places, and none of them ever says what it wants.
    let silent: Vec<_> = (0..200).filter_map(|_| std::net::TcpStream::connect(&*http).ok()).collect();
    assert!(silent.len() > 64);
    for bytes in [&b"\0\xff\xfe"[..], b"GET", b"GET /healthz HTTP/9.9\r\n\r\n", &[b'a'; 100_000]] {
        // Whatever comes back, if anything: the server lives.
        let _ = probe::send(&http, bytes);
    }
    assert_eq!(site.run(&uri, "SELECT 1 AS a"), "a\n1\n");
    drop(silent);
    eventually("there is room again", || {
        probe::send(&http, probe::request("GET", "/healthz").as_bytes()).is_ok_and(|text| text.contains(" 200 "))
    });
}

#[test]
fn without_an_address_nothing_is_served_over_http() {
    let site = Site::new();
    let (server, _) = site.serve(&[]);
    assert!(!server.log().contains("probes and metrics"));
    // An address that is taken is a reason not to start.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(server);
    let mut command = Command::new(binary());
    command.args(["serve", "--config"]).arg(site.path().join("sqe.toml")).env("SQE__SERVER__HTTP", &address);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

async fn health(uri: &str, service: &str) -> Result<ServingStatus, tonic::Code> {
    let channel = tonic::transport::Endpoint::from_shared(uri.replace("grpc://", "http://")).unwrap();
    let mut client = HealthClient::new(channel.connect().await.map_err(|_| tonic::Code::Unavailable)?);
    let request = HealthCheckRequest { service: service.to_owned() };
    match client.check(request).await {
        Ok(answer) => Ok(answer.into_inner().status()),
        Err(status) => Err(status.code()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grpc_health_service_knows_the_server_and_flight_and_nothing_else() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    assert_eq!(health(&uri, "").await, Ok(ServingStatus::Serving));
    assert_eq!(health(&uri, FLIGHT).await, Ok(ServingStatus::Serving));
    assert_eq!(health(&uri, "other.Service").await, Err(tonic::Code::NotFound));
}

#[test]
fn metrics_count_what_was_done_and_name_neither_people_nor_tables() {
    let site = Site::governed([(
        "people.cedar",
        r#"
        @id("admins")
        permit (principal in Group::"admin", action, resource in Catalog::"lake");
        "#,
    )]);
    let (_server, uri, http) = site.serve_watched(&[]);
    let admin = site.token_in("person-canary", "admin");
    let make =
        "CREATE SCHEMA lake.schemacanary; CREATE TABLE lake.schemacanary.tablecanary AS SELECT 7 AS columncanary";
    site.run_as(&uri, &admin, make);
    site.run_as(&uri, &admin, "SELECT columncanary FROM lake.schemacanary.tablecanary WHERE columncanary = 7");
    let stranger = site.token("stranger-canary");
    assert_eq!(sql_as(&uri, &stranger, &["-c", "SELECT * FROM lake.schemacanary.tablecanary"]).status.code(), Some(5));
    assert_eq!(sql_as(&uri, "token-canary", &["-c", "SELECT 1"]).status.code(), Some(3));
    assert_eq!(sql_as(&uri, &admin, &["-c", "SELEC 'canary'"]).status.code(), Some(5));

    let text = probe::metrics(&http);
    let statements = |operation: &str, outcome: &str| {
        value(&text, &format!("sqe_statements_total{{operation=\"{operation}\",outcome=\"{outcome}\"}}"))
    };
    assert_eq!(statements("CREATE SCHEMA", "completed"), 1.0);
    assert_eq!(statements("CREATE TABLE", "completed"), 1.0);
    assert_eq!(statements("SELECT", "completed"), 1.0);
    assert_eq!(statements("SELECT", "denied"), 1.0);
    assert_eq!(statements("none", "invalid_input"), 1.0);
    assert_eq!(value(&text, "sqe_statement_duration_seconds_count{operation=\"SELECT\"}"), 2.0);
    // Each call that shows the token is one.
    assert!(value(&text, "sqe_logins_total{outcome=\"unauthenticated\"}") >= 1.0);
    assert!(value(&text, "sqe_logins_total{outcome=\"ok\"}") >= 2.0);
    assert!(value(&text, "sqe_statement_rows_total") >= 2.0);
    assert!(value(&text, "sqe_statement_answer_bytes_total") > 0.0);
    assert!(value(&text, "sqe_policy_decisions_total{decision=\"denied\"}") >= 2.0);
    assert!(value(&text, "sqe_policy_decisions_total{decision=\"permitted\"}") >= 2.0);
    assert!(value(&text, "sqe_catalog_calls_total{catalog=\"lake\",call=\"resolve\",outcome=\"ok\"}") >= 2.0);
    assert_eq!(value(&text, "sqe_catalog_calls_total{catalog=\"lake\",call=\"commit\",outcome=\"ok\"}"), 2.0);
    assert!(value(&text, "sqe_leases_total{catalog=\"lake\",outcome=\"ok\"}") >= 2.0);
    assert!(value(&text, "sqe_audit_write_duration_seconds_count") >= 8.0);
    assert_eq!(value(&text, "sqe_audit_failures_total"), 0.0);
    assert!(value(&text, "sqe_connections_total") >= 4.0);
    assert!(value(&text, "sqe_memory_limit_bytes") > 1e6);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "process_cpu_seconds_total") > 0.0);
    assert!(value(&text, "process_open_fds") > 3.0);
    assert_eq!(value(&text, &format!("sqe_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    assert!(!text.contains("canary"), "{text}");
    sqe_testkit::promtool::check(&text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_and_waits_can_be_seen_while_it_does() {
    let site = Site::new();
    let variables = [("SQE__LIMITS__STATEMENTS_PER_PERSON", "1"), ("SQE__LIMITS__QUEUE_SECONDS", "2")];
    let (_server, uri, http) = site.serve_watched(&variables);
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) \
                   WHERE x + y = 7";
    let mut running = site.start(&uri, "rob", endless);
    eventually("it runs", || metric(&http, "sqe_statements_running") == 1.0);
    assert!(metric(&http, "sqe_sessions_open") >= 1.0 && metric(&http, "sqe_connections_open") >= 1.0);
    let client = Client::connect(&ConnectOptions::new(&uri).with_token(Secret::new(site.token("rob")))).await.unwrap();
    let second = tokio::spawn(async move { client.execute("SELECT 1").await?.collect().await });
    eventually("the second waits", || metric(&http, "sqe_statements_waiting{turn=\"running\"}") == 1.0);
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::ResourceExhausted);
    let text = probe::metrics(&http);
    assert_eq!(value(&text, "sqe_admission_refusals_total{turn=\"running\",reason=\"queue_full\"}"), 1.0);
    assert_eq!(value(&text, "sqe_statements_total{operation=\"SELECT\",outcome=\"resource_exhausted\"}"), 1.0);
    running.kill().unwrap();
    running.wait().unwrap();
    eventually("nothing runs", || metric(&http, "sqe_statements_running") == 0.0);
    let cancelled = "sqe_statements_total{operation=\"SELECT\",outcome=\"cancelled\"}";
    eventually("its end is counted", || metric(&http, cancelled) == 1.0);
    eventually("nobody is connected", || metric(&http, "sqe_connections_open") == 0.0);
}

/// A certificate of `127.0.0.1` and its key, PEM, in the site's folder.
fn certificate(site: &Site) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(site.path().join("server.crt"), made.cert.pem()).unwrap();
    std::fs::write(site.path().join("server.key"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_probes_are_served_with_the_servers_certificate() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let _ = rustls::crypto::ring::default_provider().install_default();
    let site = Site::new();
    let certificate = certificate(&site);
    let path = |name: &str| site.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("server.crt"), path("server.key"));
    let variables = [
        ("SQE__SERVER__HTTP", "0.0.0.0:0"),
        ("SQE__TLS__CERT_FILE", cert.as_str()),
        ("SQE__TLS__KEY_FILE", key.as_str()),
    ];
    let (server, uri) = site.serve(&variables);
    assert!(uri.starts_with("grpc+tls://"), "{uri}");
    let log = server.log();
    let address = log.lines().find_map(|line| line.strip_prefix("probes and metrics https://0.0.0.0:")).unwrap();
    let port: u16 = address.parse().unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(probe::request("GET", "/readyz").as_bytes()).await.unwrap();
    let mut text = Vec::new();
    // The server need not say goodbye in TLS.
    let _ = stream.read_to_end(&mut text).await;
    assert_eq!(Answer::parse(&String::from_utf8(text).unwrap()).status, 200);
    // Plaintext is answered with nothing that could be taken for an answer.
    let plain = probe::send(&format!("127.0.0.1:{port}"), probe::request("GET", "/readyz").as_bytes());
    assert!(!plain.is_ok_and(|text| text.contains("200")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_told_to_stop_is_not_ready_and_refuses_what_is_new_in_clear_words() {
    let site = Site::new();
    let (mut server, uri, http) = site.serve_watched(&[("SQE__SERVER__DRAIN_SECONDS", "60")]);
    let token = site.token("ann");
    let connect = || async { Client::connect(&ConnectOptions::new(&uri).with_token(Secret::new(&*token))).await };
    let client = connect().await.unwrap();
    // Runs until somebody has read it.
    let mut rows = client.execute("SELECT value FROM generate_series(1, 8000000) AS t(value)").await.unwrap();
    let first = rows.try_next().await.unwrap().unwrap().num_rows();
    server.signal("TERM").unwrap();
    eventually("it is not ready", || get(&http, "/readyz").status == 503);
    assert!(get(&http, "/readyz").body.contains("the server is shutting down"));
    assert_eq!(get(&http, "/healthz").status, 200);
    assert_eq!(health(&uri, FLIGHT).await, Ok(ServingStatus::NotServing));
    assert_eq!(health(&uri, "").await, Ok(ServingStatus::NotServing));

    // On a connection that was there before, and on a new one.
    let old = client.execute("SELECT 1").await.unwrap_err();
    let new = connect().await.unwrap().execute("SELECT 1").await.unwrap_err();
    for refused in [old, new] {
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.message().contains("shutting down"), "{refused}");
    }
    let refusals = "sqe_admission_refusals_total{turn=\"planning\",reason=\"stopping\"}";
    assert_eq!(metric(&http, refusals), 2.0);
    let read = first + rows.collect().await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>();
    assert_eq!(read, 8_000_000);
    drop(client);
    assert!(server.wait(Duration::from_secs(60)).unwrap().success(), "{}", server.log());
    assert!(probe::send(&http, b"").is_err(), "nobody answers any more");
}
