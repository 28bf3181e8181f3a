//! Where a receiver is, and what it is shown.

use std::{path::Path, str::FromStr, time::Duration};

use anyhow::{Context, Result};
use tonic::{
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use url::Url;

use crate::config::ConfigError;

/// A receiver that speaks OTLP over gRPC.
#[derive(Clone)]
pub(crate) struct Receiver {
    /// Connects when something is sent, and again when it was cut.
    pub(crate) channel: Channel,
    /// What each call carries. It may hold secrets.
    pub(crate) headers: MetadataMap,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receiver(redacted)")
    }
}

impl Receiver {
    /// Does not connect yet.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(crate) fn new(endpoint: &Url, headers_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Self> {
        let mut to = Endpoint::from_shared(endpoint.to_string())
            .context("the OTLP endpoint cannot be used")?
            .connect_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(false);
        if endpoint.scheme() == "https" {
            let tls = match ca_file {
                Some(path) => {
                    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
                None => ClientTlsConfig::new().trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            };
            to = to.tls_config(tls).context("the certificates for the OTLP receiver cannot be used")?;
        }
        let headers = match headers_file {
            None => MetadataMap::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                headers(&text).map_err(|problem| ConfigError(format!("{}: {problem}", path.display())))?
            }
        };
        Ok(Self { channel: to.connect_lazy(), headers })
    }

    /// A call of the receiver.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
    }
}

/// Reads `name: value` lines; empty ones and those that begin with `#` are left out. What is told of a wrong line is its
/// number: it may hold a secret.
fn headers(text: &str) -> Result<MetadataMap, String> {
    let mut headers = MetadataMap::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("line {number} is not `name: value`"))?;
        let name = MetadataKey::<Ascii>::from_str(&name.trim().to_lowercase());
        let name = name.map_err(|_| format!("line {number} begins with no name of a header"))?;
        let value = MetadataValue::<Ascii>::from_str(value.trim());
        let mut value = value.map_err(|_| format!("line {number} has a value that is no header"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_do_not_print() {
        let read = headers("# for the collector\n\nAuthorization: Bearer canary:1\nx-tenant:  a \n").unwrap();
        assert_eq!(read.get("authorization").unwrap().to_str().unwrap(), "Bearer canary:1");
        assert_eq!(read.get("x-tenant").unwrap().to_str().unwrap(), "a");
        assert!(!format!("{read:?}").contains("canary"), "{read:?}");
        let channel = Endpoint::from_static("http://127.0.0.1:1");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _entered = runtime.enter();
        let receiver = Receiver { channel: channel.connect_lazy(), headers: read };
        assert!(!format!("{receiver:?} {:?}", receiver.request(())).contains("canary"));
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_alone() {
        for wrong in ["a: 1\ncanary", "a: 1\nca nary: 2", "a: 1\nb: canary\u{7f}"] {
            let problem = headers(wrong).unwrap_err();
            assert!(problem.starts_with("line 2") && !problem.contains("canary"), "{problem}");
        }
    }
}
