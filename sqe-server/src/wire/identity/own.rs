//! Providers that need no issuer, and what bounds guessing.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use sqe_auth::{ApiTokenSettings, ApiTokens, CertificateSubject, ClientCertificateSettings, ClientCertificates};
use sqe_core::engine::{FailureRate, LoginLimits};

use super::Changing;
use crate::config::{ApiTokensConfig, CertificateName, ClientCertificatesConfig, LoginConfig};

pub(super) fn api_tokens(configured: &ApiTokensConfig, changing: &mut Vec<Changing>) -> Result<Arc<ApiTokens>> {
    let mut settings = ApiTokenSettings::default();
    settings.max_lifetime = Duration::from_secs(u64::from(configured.max_days) * 24 * 60 * 60);
    // Database drivers that know only a user name and a password send a token as the latter.
    settings.basic_password = true;
    let tokens = Arc::new(ApiTokens::open(&configured.path, settings)?);
    changing.push(Changing::new("API tokens", &tokens, ApiTokens::reload));
    Ok(tokens)
}

pub(super) fn client_certificates(
    configured: &ClientCertificatesConfig,
    changing: &mut Vec<Changing>,
) -> Result<Arc<ClientCertificates>> {
    let ClientCertificatesConfig { issuer, ca_file, crl_files, subject, uri_prefix, people_file } = configured;
    let mut settings = ClientCertificateSettings::new(issuer, ca_file);
    settings.crl_files.clone_from(crl_files);
    settings.subject = match subject {
        CertificateName::SanUri => CertificateSubject::SanUri,
        CertificateName::SanDns => CertificateSubject::SanDns,
        CertificateName::SanEmail => CertificateSubject::SanEmail,
        CertificateName::CommonName => CertificateSubject::CommonName,
    };
    settings.uri_prefix.clone_from(uri_prefix);
    settings.people_file.clone_from(people_file);
    let certificates = Arc::new(ClientCertificates::open(settings)?);
    changing.push(Changing::new("client certificates", &certificates, ClientCertificates::reload));
    Ok(certificates)
}

/// What is unset has the engine's default; 0 is any number.
pub(crate) fn login_limits(configured: &LoginConfig) -> LoginLimits {
    let LoginConfig { per_address, per_name, per_credential, one_more_after_seconds } = configured;
    let mut limits = LoginLimits::default();
    for (rate, at_once) in [
        (&mut limits.per_address, per_address),
        (&mut limits.per_name, per_name),
        (&mut limits.per_credential, per_credential),
    ] {
        let default = rate.unwrap_or(FailureRate { at_once: 0, one_more_after: Duration::from_secs(2) });
        let one_more_after = one_more_after_seconds.map_or(default.one_more_after, Duration::from_secs);
        let at_once = at_once.unwrap_or(default.at_once);
        *rate = (at_once > 0).then_some(FailureRate { at_once, one_more_after });
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unset_has_the_engines_default_and_zero_is_any_number() {
        let (unset, default) = (login_limits(&LoginConfig::default()), LoginLimits::default());
        assert_eq!((unset.per_address, unset.per_name), (default.per_address, default.per_name));
        let config = LoginConfig {
            per_address: Some(0),
            per_name: Some(7),
            per_credential: None,
            one_more_after_seconds: Some(60),
        };
        let limits = login_limits(&config);
        let minute = Duration::from_secs(60);
        assert_eq!(limits.per_address, None);
        assert_eq!(limits.per_name, Some(FailureRate { at_once: 7, one_more_after: minute }));
        assert_eq!(limits.per_credential.unwrap().one_more_after, minute);
    }
}
