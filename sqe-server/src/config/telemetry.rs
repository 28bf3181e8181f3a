//! `[telemetry]`: a receiver that speaks OTLP.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// `[telemetry]`: spans of statements, and log lines, for an OpenTelemetry collector. Without it nothing is sent to anybody.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TelemetryConfig {
    /// Where the receiver listens for OTLP over gRPC, such as `http://127.0.0.1:4317`.
    pub(crate) otlp_endpoint: Url,
    /// Headers for the receiver, one `name: value` a line, such as a token.
    pub(crate) otlp_headers_file: Option<PathBuf>,
    /// The certificate, PEM, of the authority that an `https` receiver's comes from. Unset: the public authorities.
    pub(crate) otlp_ca_file: Option<PathBuf>,
    /// What the server is called there.
    #[serde(default = "service_name")]
    pub(crate) service_name: String,
    /// Which part of the traces is sent of which nobody has decided yet, from 0 to 1. A client that sends a `traceparent` has.
    #[serde(default = "sample_ratio")]
    pub(crate) sample_ratio: f64,
    /// Whether log lines are sent as well.
    #[serde(default = "logs")]
    pub(crate) logs: bool,
}

fn service_name() -> String {
    "sqe".to_owned()
}

fn sample_ratio() -> f64 {
    1.0
}

fn logs() -> bool {
    true
}

/// What of an OTLP address cannot work, or, with `strict`, gives away what is sent.
pub(crate) fn check_endpoint(key: &str, endpoint: &Url, strict: bool) -> Result<(), String> {
    let loopback = match endpoint.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(format!("{key} names no machine; write http://HOST:PORT or https://HOST:PORT")),
    };
    if !endpoint.username().is_empty() || endpoint.password().is_some() || endpoint.query().is_some() {
        return Err(format!("{key} holds more than an address; put credentials as a header into the headers file"));
    }
    match endpoint.scheme() {
        "https" => Ok(()),
        "http" if loopback || !strict => Ok(()),
        "http" => Err(format!("{key} is plaintext beyond loopback: what is sent would travel readable; use https")),
        other => Err(format!("{key} begins with {other}; write http://HOST:PORT or https://HOST:PORT")),
    }
}
