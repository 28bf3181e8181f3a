//! What an operator writes: one TOML file, with `SQE__SECTION__KEY` variables over it. Data only: `wire` makes objects.

mod identity;
mod load;
mod log;
mod nearest;
mod profile;
mod telemetry;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use identity::{
    ApiTokensConfig, CertificateName, ClientCertificatesConfig, ClientCredentialsConfig, IdentityConfig,
    ImpersonationConfig, IntrospectionConfig, Keys, LoginConfig, OidcConfig, RevocationConfig, WellKnown,
};
pub(crate) use load::{Layers, PREFIX, explain, layers, load};
pub(crate) use log::{FILTER, LogConfig, LogFormat};
pub(crate) use nearest::nearest;
pub(crate) use telemetry::{TelemetryConfig, check_endpoint};

/// A configuration that cannot be used, and what to change.
#[derive(Debug)]
pub(crate) struct ConfigError(pub(crate) String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The whole file.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the server listens, and as what.
    pub(crate) server: ServerConfig,
    /// TLS for everybody who connects.
    pub(crate) tls: Option<TlsConfig>,
    /// Who vouches for people. Asked in this order; the first that knows a credential's kind decides.
    pub(crate) identity: Vec<IdentityConfig>,
    /// Acting as somebody else. Without it nobody may.
    pub(crate) impersonation: Option<ImpersonationConfig>,
    /// Rights that end before their time.
    pub(crate) revocation: Option<RevocationConfig>,
    /// Who decides what people may do.
    pub(crate) policy: PolicyConfig,
    /// Which tables there are, by the name that statements call a catalog by. The name `system` is the engine's own.
    pub(crate) catalogs: BTreeMap<String, CatalogConfig>,
    /// Who hands out leases on the files of catalogs.
    #[serde(default)]
    pub(crate) credentials: CredentialsConfig,
    /// Where plans run.
    #[serde(default)]
    pub(crate) scheduler: SchedulerConfig,
    /// The audit trail.
    pub(crate) audit: AuditConfig,
    /// What bounds statements. What is unset has the engine's default, save the memory.
    #[serde(default)]
    pub(crate) limits: LimitsConfig,
    /// The server's own log, on standard error.
    #[serde(default)]
    pub(crate) log: LogConfig,
    /// Spans and log lines for an OpenTelemetry collector.
    pub(crate) telemetry: Option<TelemetryConfig>,
}

/// `[server]`
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerConfig {
    /// Where Flight SQL listens.
    #[serde(default = "loopback")]
    pub(crate) listen: SocketAddr,
    /// Where probes and metrics are served over HTTP: `/healthz`, `/readyz` and `/metrics`. With TLS beyond loopback. Unset:
    /// nowhere.
    pub(crate) http: Option<SocketAddr>,
    /// How much is refused that protects nobody.
    #[serde(default)]
    pub(crate) profile: Profile,
    /// The catalog of names without one. Unset: the first in the alphabet.
    pub(crate) catalog: Option<String>,
    /// The schema of names without one.
    #[serde(default = "default_schema")]
    pub(crate) schema: String,
    /// How long running statements may go on once the server was told to stop, in seconds.
    #[serde(default = "drain_seconds")]
    pub(crate) drain_seconds: u64,
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 50051))
}

fn default_schema() -> String {
    "default".to_owned()
}

fn drain_seconds() -> u64 {
    30
}

/// How much the configuration is trusted to be meant for real people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// For one developer's machine.
    Dev,
    /// Refuses what protects nobody: the development issuer, plaintext beyond loopback, permit-all.
    Production,
}

impl Default for Profile {
    /// Who names no profile gets the strict one.
    fn default() -> Self {
        Self::Production
    }
}

/// `[tls]`
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// The certificate chain, PEM.
    pub(crate) cert_file: PathBuf,
    /// The private key, PEM.
    pub(crate) key_file: PathBuf,
    /// The authorities of certificates that clients may show, PEM. Unset: clients show none.
    pub(crate) client_ca_file: Option<PathBuf>,
    /// Whether a client has to show one, where `client_ca_file` is set.
    #[serde(default)]
    pub(crate) client_certificates: Demand,
    /// How often the files are looked at for a change.
    #[serde(default = "reload_seconds")]
    pub(crate) reload_seconds: u64,
}

fn reload_seconds() -> u64 {
    30
}

/// Whether something has to be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Demand {
    /// It may be missing.
    Optional,
    /// It must be there.
    #[default]
    Required,
}

/// `[policy]`
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum PolicyConfig {
    /// Cedar policies of a folder.
    Cedar {
        /// The folder.
        path: PathBuf,
        /// The key of keyed-hash masks. Without one hashes differ from one start to the next.
        mask_key_file: Option<PathBuf>,
    },
    /// Everybody may do everything. The development profile alone accepts it.
    PermitAll {},
}

/// `[catalogs.NAME]`
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum CatalogConfig {
    /// Iceberg's SQL catalog on SQLite.
    Sql {
        /// The SQLite file; made when it is not there.
        path: PathBuf,
        /// The folder of the tables' files.
        warehouse: PathBuf,
        /// The catalog's name inside of the SQLite file, where several can live. Unset: the name it has here.
        name: Option<String>,
    },
    /// Tables in memory, gone at the end.
    Memory {},
}

/// `[credentials]`
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum CredentialsConfig {
    /// Nobody gets any: catalogs that keep files cannot be read.
    #[default]
    None,
    /// Files of this machine inside of the catalogs' warehouses.
    Local {},
}

/// `[scheduler]`
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum SchedulerConfig {
    /// In this process.
    #[default]
    Local,
}

/// `[audit]`
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditConfig {
    /// The folder of the trail.
    pub(crate) path: PathBuf,
    /// Hands the trail's records to an OpenTelemetry collector as well. Unset: to nobody.
    pub(crate) otlp: Option<AuditOtlpConfig>,
}

/// `[audit.otlp]`: the trail's records as OpenTelemetry log records.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditOtlpConfig {
    /// Where a receiver of OTLP over gRPC listens, such as `http://127.0.0.1:4317`. Beyond loopback it is `https`.
    pub(crate) endpoint: url::Url,
    /// Headers for the receiver, one `name: value` a line, such as a token.
    pub(crate) headers_file: Option<PathBuf>,
    /// The certificate, PEM, of the authority that an `https` receiver's comes from. Unset: the public authorities.
    pub(crate) ca_file: Option<PathBuf>,
}

/// `[limits]`; what is unset has the engine's default, save the memory.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    /// Statements that run at once, of all people.
    pub(crate) statements: Option<usize>,
    /// Statements that one person runs at once.
    pub(crate) statements_per_person: Option<usize>,
    /// How long a statement waits for its turn before it is refused, in seconds.
    pub(crate) queue_seconds: Option<u64>,
    /// The longest that one statement may take, in seconds.
    pub(crate) statement_seconds: Option<u64>,
    /// How long a statement may go on after its person's credentials ended. Unset: it stops with them.
    pub(crate) expiry_grace_seconds: Option<u64>,
    /// Memory that all statements share, in bytes. Unset: 60 % of what this process may have.
    pub(crate) memory_bytes: Option<usize>,
    /// Threads that one statement uses.
    pub(crate) threads: Option<usize>,
    /// Connections of clients that are open at once.
    pub(crate) connections: Option<usize>,
    /// The largest message that a client may send, in bytes.
    pub(crate) message_bytes: Option<usize>,
    /// How often logging in may fail.
    #[serde(default)]
    pub(crate) login: LoginConfig,
}
