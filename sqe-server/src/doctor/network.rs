//! Promises 6 and 7: where the server listens, and whom it calls.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{finding::Finding, words};
use crate::{
    certificates,
    config::{Config, IdentityConfig, TlsConfig},
};

/// So long before a certificate ends somebody should know.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let listen = config.server.listen;
    let mut findings = vec![match (&config.tls, listen.ip().is_loopback()) {
        (Some(_), _) => Finding::ok(6, "listener", format!("{listen}, with TLS")),
        (None, true) => {
            Finding::ok(6, "listener", format!("{listen}, in plaintext, which does not leave this machine"))
        }
        (None, false) => Finding::fail(
            6,
            "listener",
            format!("{listen}, in plaintext: whoever listens on the network can read tokens and answers"),
            "configure [tls]",
        ),
    }];
    findings.extend(config.tls.as_ref().map(certificate));
    findings.extend(calls(config));
    findings
}

fn certificate(tls: &TlsConfig) -> Finding {
    let what = "certificate";
    let chain = match certificates::check(tls) {
        Ok(chain) => chain,
        Err(error) => return Finding::fail(6, what, words(&error), "give the server a certificate and its own key"),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let validity = chain.iter().map(|it| &it.tbs_certificate.validity);
    let Some((start, end)) = validity
        .map(|it| (it.not_before.to_unix_duration(), it.not_after.to_unix_duration()))
        .reduce(|(start, end), (later, earlier)| (start.max(later), end.min(earlier)))
    else {
        return Finding::fail(6, what, "there is none in the file", "give the server a certificate and its own key");
    };
    let shown = chrono::DateTime::from_timestamp(end.as_secs().try_into().unwrap_or_default(), 0);
    let shown = shown.map(|time| time.to_rfc3339()).unwrap_or_default();
    if end <= now {
        Finding::fail(6, what, format!("ended at {shown}: clients refuse it"), "renew it")
    } else if start > now {
        Finding::fail(6, what, "is not valid yet: clients refuse it", "check the clock of this machine")
    } else if end - now < SOON {
        Finding::warn(6, what, format!("ends at {shown}"), "renew it; the server follows its files")
    } else {
        Finding::ok(6, what, format!("fits its key and ends at {shown}"))
    }
}

/// Every address that the configuration names, and what goes there.
fn calls(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut called = |address: &str, what: &str| {
        findings.push(Finding::ok(7, format!("the server calls {}", bare(address)), what.to_owned()));
    };
    for identity in &config.identity {
        match identity {
            IdentityConfig::Jwt { jwks_url: Some(url), .. } => {
                called(url.as_str(), "for the keys of an issuer; no data goes there")
            }
            IdentityConfig::Oidc(oidc) => {
                called(&oidc.issuer, "an issuer: for its keys, and to ask about tokens; no data goes there");
            }
            IdentityConfig::Jwt { .. }
            | IdentityConfig::Dev { .. }
            | IdentityConfig::ApiTokens(_)
            | IdentityConfig::ClientCertificates(_) => {}
        }
    }
    if let Some(otlp) = &config.audit.otlp {
        called(otlp.endpoint.as_str(), "records of the audit trail go there: who read what, without the data");
    }
    if let Some(telemetry) = &config.telemetry {
        called(
            telemetry.otlp_endpoint.as_str(),
            "spans and log lines go there: what the server does, without the data",
        );
    }
    if findings.is_empty() {
        findings.push(Finding::ok(7, "the server calls", "nobody"));
    }
    findings
}

/// An address without what could be secret in it.
pub(super) fn bare(address: &str) -> String {
    match address.parse::<url::Url>() {
        Ok(mut url) => {
            url.set_query(None);
            // An address that can hold no password holds none.
            let _ = url.set_password(None);
            let _ = url.set_username("");
            url.to_string()
        }
        Err(_) => "an address that cannot be read".to_owned(),
    }
}
