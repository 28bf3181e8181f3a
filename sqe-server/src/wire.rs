//! From configuration to objects: one line for each way to do a thing.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use datafusion::prelude::SessionConfig;
use sqe_audit::Trail;
use sqe_auth::{Chain, DevIssuer, JwksSettings, JwtVerifier, KeyFamily, KeySet};
use sqe_catalog::{memory::MemoryCatalog, sql::SqlCatalog, store::Stores, vend::LocalVendor};
use sqe_core::{
    Engine, IdentityProvider, PolicyEngine, Secret,
    engine::{EngineBuilder, Limits},
    policy::danger::PermitAll,
};
use sqe_policy::CedarPolicy;

use crate::config::{
    CatalogConfig, Config, ConfigError, CredentialsConfig, IdentityConfig, Keys, LimitsConfig, PolicyConfig,
    SchedulerConfig,
};

/// The name of the catalog that the engine's own tables are in.
const SYSTEM: &str = "system";

/// An engine, and those of its parts that are of use by themselves.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) engine: Engine,
    pub(crate) trail: Arc<Trail>,
}

/// Builds what the configuration says.
///
/// # Errors
/// Something cannot be opened, is not accepted, or does not fit together.
pub(crate) async fn wire(config: &Config) -> Result<Wired> {
    cryptography()?;
    let mut builder = Engine::builder().identity(identity(&config.identity)?).limits(limits(&config.limits));
    builder = policy(builder, &config.policy)?;
    for (name, catalog) in &config.catalogs {
        builder = self::catalog(builder, name, catalog, &config.credentials)
            .await
            .with_context(|| format!("catalog {name} cannot be opened"))?;
    }
    if let Some(threads) = config.limits.threads {
        builder = builder.session_config(SessionConfig::new().with_target_partitions(threads.max(1)));
    }
    let first = config.catalogs.keys().next().cloned().unwrap_or_default();
    builder = builder.defaults(config.server.catalog.clone().unwrap_or(first), config.server.schema.clone());
    builder = match &config.scheduler {
        SchedulerConfig::Local => builder,
    };
    // Last: opening a trail writes to it.
    let trail = Arc::new(Trail::open(&config.audit.path).context("the audit trail cannot be opened")?);
    let engine = builder.catalog(SYSTEM, trail.catalog()).shared_audit(Arc::clone(&trail) as _).build()?;
    Ok(Wired { engine, trail })
}

/// The cryptography of TLS and of tokens is chosen once a process, and tried before anybody logs in.
fn cryptography() -> Result<()> {
    // An error says that one is installed already: fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(sqe_auth::self_test()?)
}

fn identity(configured: &[IdentityConfig]) -> Result<Chain> {
    let mut chain = Chain::default();
    for provider in configured {
        chain = chain.then(match provider {
            IdentityConfig::Jwt { .. } => jwt(provider)?,
            IdentityConfig::Dev { path } => DevIssuer::open(path)?.verifier_builder()?.accept_basic_password_token(true).build()?,
        });
    }
    Ok(chain)
}
