//! The trail's disk is full. A limit on the size of files fails writes in the middle, as a full disk does, and needs no
//! privileges.
#![cfg(target_os = "linux")]

use std::{path::Path, process::Command, time::Duration};

use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use sqe_testkit::process::Sqe;

use crate::{
    probe,
    site::{Site, binary, eventually, rows, sql_as, stderr, stdout},
};

/// Sets the size, in bytes, up to which the server's files may grow.
fn limit_files(server: &Sqe, bytes: &str) {
    let command =
        Command::new("prlimit").args(["--pid", &server.id().to_string()]).arg(format!("--fsize={bytes}:")).status();
    assert!(command.unwrap().success());
}

/// The bytes of the largest segment of the trail.
fn trail_bytes(site: &Site) -> u64 {
    let segments = std::fs::read_dir(site.path().join("audit")).unwrap();
    segments.map(|segment| segment.unwrap().metadata().unwrap().len()).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_audit_disk_refuses_every_statement_until_there_is_room_again() {
    let site = Site::new();
    // Without this the limit's signal would end the process instead of failing its write.
    let words = ["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", binary().to_str().unwrap()];
    let (mut server, uri) = site.serve_by(Path::new("sh"), &words, &[("SQE__SERVER__HTTP", "127.0.0.1:0")]);
    let http = probe::address(&server);
    site.run(&uri, "CREATE SCHEMA lake.s; CREATE TABLE lake.s.t AS SELECT 7 AS a");
    let (token, read) = (site.token("ann"), "SELECT a FROM lake.s.t");
    assert_eq!(site.run(&uri, read), "a\n7\n");
    let client = Client::connect(&ConnectOptions::new(&uri).with_token(Secret::new(&*token))).await.unwrap();
    assert_eq!(client.execute(read).await.unwrap().collect().await.unwrap()[0].num_rows(), 1);

    assert_eq!(probe::get(&http, "/readyz").status, 200);
    assert_eq!(probe::metric(&http, "sqe_audit_failures_total"), 0.0);

    limit_files(&server, &(trail_bytes(&site) + 10).to_string());
    for sql in [read, "INSERT INTO lake.s.t VALUES (8)", "SELECT nothing FROM lake.s.t"] {
        let output = sql_as(&uri, &token, &["-c", sql]);
        assert_eq!((output.status.code(), rows(&output)), (Some(6), 0), "{sql}: {}", stderr(&output));
        assert!(stderr(&output).contains("audit trail cannot be written"), "{}", stderr(&output));
        assert!(!stderr(&output).contains(site.path().to_str().unwrap()), "{}", stderr(&output));
    }
    // On a connection that was there before.
    let refused = match client.execute(read).await {
        Ok(rows) => rows.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    // Nobody is sent here any more, and whoever watches can see why.
    eventually("it is not ready", || probe::get(&http, "/readyz").status == 503);
    let answer = probe::get(&http, "/readyz");
    let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(said["missing"], serde_json::json!(["the audit trail cannot be written"]));
    assert!(!answer.body.contains(site.path().to_str().unwrap()), "{}", answer.body);
    assert_eq!(probe::get(&http, "/healthz").status, 200, "a restart would not help");
    assert!(probe::metric(&http, "sqe_audit_failures_total") >= 4.0);
    assert_eq!(probe::metric(&http, "sqe_ready"), 0.0);
    assert!(probe::metric(&http, "sqe_statements_total{operation=\"SELECT\",outcome=\"unavailable\"}") >= 2.0);

    // It finds its way back without a statement, which nobody would send it.
    limit_files(&server, "unlimited");
    eventually("the server is ready again", || probe::get(&http, "/readyz").status == 200);
    // The refused INSERT left nothing.
    assert_eq!(site.run(&uri, read), "a\n7\n");
    let resumed = site.run(&uri, "SELECT record FROM system.audit.events WHERE kind = 'resumed'");
    assert_eq!(resumed.lines().count(), 2, "the trail says once that it refused: {resumed}");
    site.run(&uri, "INSERT INTO lake.s.t VALUES (9)");
    server.signal("TERM").unwrap();
    drop(client);
    assert!(server.wait(Duration::from_secs(30)).unwrap().success(), "{}", server.log());
    let verified = Command::new(binary()).args(["audit", "verify", "--path"]).arg(site.path().join("audit")).output();
    let verified = verified.unwrap();
    assert!(verified.status.success(), "{}{}", stdout(&verified), stderr(&verified));

    // And so does the next one.
    let (_server, uri) = site.serve(&[]);
    assert_eq!(site.run(&uri, "SELECT a FROM lake.s.t ORDER BY a"), "a\n7\n9\n");
}
