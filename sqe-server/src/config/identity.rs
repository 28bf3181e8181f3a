//! `[[identity]]`: who is believed about who somebody is.

mod own;

use std::path::PathBuf;

use serde::Deserialize;

pub(crate) use own::{
    ApiTokensConfig, CertificateName, ClientCertificatesConfig, ImpersonationConfig, LoginConfig, RevocationConfig,
};

/// `[[identity]]`
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "there are a few of them in a process")]
pub(crate) enum IdentityConfig {
    /// JWT access tokens of one issuer.
    Jwt {
        /// `iss`, compared exactly.
        issuer: String,
        /// One of the token's `aud`.
        audience: String,
        /// The issuer's key set (RFC 7517), fetched when it is needed.
        jwks_url: Option<url::Url>,
        /// The issuer's key set as a file.
        jwks_file: Option<PathBuf>,
        /// What the issuer signs with.
        #[serde(default)]
        keys: Keys,
        /// The claim that lists groups: a name, or a JSON pointer such as `/realm_access/groups`.
        #[serde(default = "groups_claim")]
        groups_claim: String,
        /// The claim that lists roles.
        #[serde(default = "roles_claim")]
        roles_claim: String,
        /// Claims that policies may use as attributes.
        #[serde(default)]
        attributes: Vec<String>,
    },
    /// The issuer of `sqe demo`, for development.
    Dev {
        /// The folder of its signing key, which is made when it is not there.
        path: PathBuf,
    },
    /// Tokens that the operator hands out.
    ApiTokens(ApiTokensConfig),
    /// Certificates of TLS clients.
    ClientCertificates(ClientCertificatesConfig),
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn roles_claim() -> String {
    "roles".to_owned()
}

/// A family of signature algorithms.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Keys {
    /// RS256 to RS512, PS256 to PS512.
    #[default]
    Rsa,
    /// ES256, ES384.
    Ec,
    /// Ed25519.
    Ed,
}
