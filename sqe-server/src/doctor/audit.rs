//! Promise 5: the trail.

use std::{net::TcpStream, path::Path, time::Duration};

use sqe_audit::{Record, Records, verify};
use sqe_core::ErrorKind;
use url::Url;

use super::{finding::Finding, network::bare};
use crate::config::Config;

/// The port of OTLP over gRPC.
const OTLP: u16 = 4317;

/// How long somebody may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let path = &config.audit.path;
    let mut findings = vec![writable(path)];
    if path.is_dir() {
        findings.push(intact(path));
    }
    findings.extend(config.audit.otlp.as_ref().map(|otlp| receiver(&otlp.endpoint)));
    findings
}

/// Whether somebody listens; nothing is sent.
fn receiver(endpoint: &Url) -> Finding {
    let what = format!("receiver of records, {}", bare(endpoint.as_str()));
    let addresses = match endpoint.socket_addrs(|| Some(OTLP)) {
        Ok(addresses) => addresses,
        Err(error) => {
            let advice = "records wait in the trail until its name is known: check audit.otlp.endpoint";
            return Finding::warn(5, what, format!("its name is not known here: {error}"), advice);
        }
    };
    let problems: Vec<String> = addresses
        .iter()
        .map_while(|address| TcpStream::connect_timeout(address, PATIENCE).err())
        .map(|error| error.to_string())
        .collect();
    if problems.len() < addresses.len() {
        return Finding::ok(5, what, "somebody listens there");
    }
    let advice = "records wait in the trail, and none is lost: start the receiver, or check audit.otlp.endpoint";
    Finding::warn(5, what, format!("nobody listens there: {}", problems.join(", ")), advice)
}

fn writable(path: &Path) -> Finding {
    let what = format!("folder of the trail, {}", path.display());
    let folder = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    // It vanishes by itself.
    match tempfile::tempfile_in(folder) {
        Ok(_) if folder == path => Finding::ok(5, what, "it can be written"),
        Ok(_) => Finding::warn(5, what, "it is not there", "the first start of the server makes it"),
        Err(error) => Finding::fail(
            5,
            what,
            format!("{} cannot be written: {error}", folder.display()),
            "without a trail no statement runs: give the server's user the folder, and room on its disk",
        ),
    }
}

fn intact(path: &Path) -> Finding {
    let what = "chain of the trail";
    let report = match verify(path, None) {
        Ok(report) => report,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::warn(5, what, "there are no records yet", "the first start of the server writes one");
        }
        Err(error) => return Finding::fail(5, what, error.message(), "give the server's user the files"),
    };
    if !report.is_intact() {
        let fault = report.faults.first().map(ToString::to_string).unwrap_or_default();
        let evidence = format!("NOT INTACT, {} faults, such as {fault}", report.fault_count);
        return Finding::fail(5, what, evidence, "find out who changed it: sqe audit verify lists everything");
    }
    let last = Records::open(path).ok().and_then(|records| records.filter_map(Result::ok).last());
    let last = last.map(|entry| {
        let who = match &entry.record {
            Record::Event(event) => format!(" of {}", event.query.principal.subject),
            _ => String::new(),
        };
        format!(
            "; the last is record {}, {}{who}, at {}",
            entry.seq,
            entry.record.kind(),
            entry.record.time().to_rfc3339()
        )
    });
    let evidence = format!("{} records are intact{}", report.records, last.unwrap_or_default());
    Finding::ok(5, what, evidence)
}
