//! `[[identity]]`: who is believed about who somebody is.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

/// `[[identity]]`
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
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
        /// Certificates in PEM that the issuer's server is recognised by. Unset: the roots of the web.
        ca_file: Option<PathBuf>,
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
        /// Other names for groups, by the names that the issuer writes.
        #[serde(default)]
        rename_groups: BTreeMap<String, String>,
        /// Roles that members of a group have, by the name that the issuer writes.
        #[serde(default)]
        roles_of_groups: BTreeMap<String, Vec<String>>,
    },
    /// An OpenID provider, which says itself where its keys and endpoints are.
    Oidc(OidcConfig),
    /// The issuer of `sqe demo`, for development.
    Dev {
        /// The folder of its signing key, which is made when it is not there.
        path: PathBuf,
    },
}

/// `[[identity]] kind = "oidc"`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcConfig {
    /// `iss`, compared exactly, and the address that its metadata is found by.
    pub(crate) issuer: String,
    /// One of the token's `aud`.
    pub(crate) audience: String,
    /// Where the metadata lies.
    #[serde(default)]
    pub(crate) well_known: WellKnown,
    /// Certificates in PEM that the issuer's server is recognised by. Unset: the roots of the web.
    pub(crate) ca_file: Option<PathBuf>,
    /// What the issuer signs with.
    #[serde(default)]
    pub(crate) keys: Keys,
    /// The claim that lists groups: a name, or a JSON pointer such as `/realm_access/groups`.
    #[serde(default = "groups_claim")]
    pub(crate) groups_claim: String,
    /// The claim that lists roles.
    #[serde(default = "roles_claim")]
    pub(crate) roles_claim: String,
    /// Claims that policies may use as attributes.
    #[serde(default)]
    pub(crate) attributes: Vec<String>,
    /// Other names for groups, by the names that the issuer writes.
    #[serde(default)]
    pub(crate) rename_groups: BTreeMap<String, String>,
    /// Roles that members of a group have, by the name that the issuer writes.
    #[serde(default)]
    pub(crate) roles_of_groups: BTreeMap<String, Vec<String>>,
    /// Opaque tokens of this issuer.
    pub(crate) introspection: Option<IntrospectionConfig>,
    /// Machines that log in with an id and a secret of their own.
    pub(crate) client_credentials: Option<ClientCredentialsConfig>,
}

/// `[identity.introspection]`: the issuer is asked about opaque tokens (RFC 7662).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntrospectionConfig {
    /// This server's id at the issuer.
    pub(crate) client_id: String,
    /// The file of its secret there.
    pub(crate) secret_file: PathBuf,
    /// What the issuer's opaque tokens begin with. Unset: all tokens that nobody else knows are its.
    pub(crate) prefix: Option<String>,
    /// How often the issuer is asked again about tokens in use.
    #[serde(default = "recheck_seconds")]
    pub(crate) recheck_seconds: u64,
}

/// `[identity.client_credentials]`: user name and password are a client's id and secret (RFC 6749, 4.4).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientCredentialsConfig {
    /// The clients that may log in so.
    #[serde(default)]
    pub(crate) client_ids: Vec<String>,
    /// What the ids of such clients begin with, instead of a list.
    pub(crate) prefix: Option<String>,
    /// What is asked for in their name.
    pub(crate) scope: Option<String>,
    /// The resource that is asked for (RFC 8707).
    pub(crate) resource: Option<String>,
    /// The audience that is asked for, where an issuer wants that.
    pub(crate) request_audience: Option<String>,
}

/// Where an issuer's metadata lies.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WellKnown {
    /// OpenID Connect Discovery 1.0.
    #[default]
    OpenidConfiguration,
    /// RFC 8414.
    OauthAuthorizationServer,
}

fn recheck_seconds() -> u64 {
    60
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
