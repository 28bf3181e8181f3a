//! Asks a server what its operators ask.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use sqe_testkit::process::Sqe;

/// An answer over HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
        let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = headers.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no status: {text}")),
            headers: headers.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

/// Where a server answers, as `host:port`, by what it said at its start.
pub(crate) fn address(server: &Sqe) -> String {
    let log = server.log();
    log.lines().find_map(|line| line.strip_prefix("probes and metrics http://")).expect("it says where").to_owned()
}

/// A request, as it is written.
pub(crate) fn request(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
}

/// The answer to any bytes.
pub(crate) fn send(address: &str, bytes: &[u8]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(bytes)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn get(address: &str, path: &str) -> Answer {
    Answer::parse(&send(address, request("GET", path).as_bytes()).unwrap())
}

/// All metrics.
pub(crate) fn metrics(address: &str) -> String {
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200);
    answer.body
}

/// The value of one series, by its name and labels as they are written; 0 if it is not there.
pub(crate) fn metric(address: &str, series: &str) -> f64 {
    value(&metrics(address), series)
}

pub(crate) fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}
