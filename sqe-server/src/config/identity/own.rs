//! Identities that need no issuer, acting as others, and rights that end before their time.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[[identity]]` of kind `api-tokens`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiTokensConfig {
    /// The file that `sqe api-token` writes.
    pub(crate) path: PathBuf,
    /// The longest that a token may live. A file with longer ones is refused.
    #[serde(default = "max_days")]
    pub(crate) max_days: u32,
}

fn max_days() -> u32 {
    366
}

/// `[[identity]]` of kind `client-certificates`.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCertificatesConfig {
    /// The name under which the authorities vouch.
    pub(crate) issuer: String,
    /// The authorities that are believed, PEM.
    pub(crate) ca_file: PathBuf,
    /// Their lists of revoked certificates, PEM or DER.
    #[serde(default)]
    pub(crate) crl_files: Vec<PathBuf>,
    /// Where a certificate says who its holder is.
    #[serde(default)]
    pub(crate) subject: CertificateName,
    /// What a URI must begin with.
    pub(crate) uri_prefix: Option<String>,
    /// People with their groups.
    pub(crate) people_file: Option<PathBuf>,
}

/// Where a certificate says who its holder is.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CertificateName {
    /// A URI, as in SPIFFE.
    #[default]
    SanUri,
    /// A DNS name.
    SanDns,
    /// An e-mail address.
    SanEmail,
    /// The common name of the subject.
    CommonName,
}

/// `[impersonation]`
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImpersonationConfig {
    /// Those whom others may act as.
    pub(crate) people_file: PathBuf,
    /// Who may act as whom.
    pub(crate) rules_file: PathBuf,
}

/// `[revocation]`
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationConfig {
    /// The file that `sqe revoke` writes.
    pub(crate) file: PathBuf,
    /// How often it is looked at.
    #[serde(default = "poll_seconds")]
    pub(crate) poll_seconds: u64,
}

fn poll_seconds() -> u64 {
    2
}

/// `[limits.login]`; what is unset has the engine's default.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginConfig {
    /// Failures from one address before more are refused; 0: any number.
    pub(crate) per_address: Option<u32>,
    /// Failures of one user name with passwords; 0: any number.
    pub(crate) per_name: Option<u32>,
    /// Failures with the same credentials; 0: any number.
    pub(crate) per_credential: Option<u32>,
    /// How long it takes until there may be one more.
    pub(crate) one_more_after_seconds: Option<u64>,
}
