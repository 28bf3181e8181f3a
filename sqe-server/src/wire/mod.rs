//! From configuration to objects: one line for each way to do a thing.

pub(crate) mod identity;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use datafusion::prelude::SessionConfig;
use sqe_audit::{MemoryTrail, Trail};
use sqe_catalog::{LocalVendor, SqlCatalog, SqlOptions, Stores, memory::MemoryCatalog};
use sqe_core::{
    Engine, IdentityProvider, Secret,
    engine::{EngineBuilder, Expiry, Limits},
    observe::Observer,
    policy::danger::PermitAll,
};
use sqe_policy::CedarPolicy;
use tokio::task::JoinSet;

pub(crate) use identity::{ask, files};

use identity::{Changing, Identity};

use crate::{
    audit_command,
    config::{CatalogConfig, Config, ConfigError, CredentialsConfig, LimitsConfig, PolicyConfig, SchedulerConfig},
    memory,
    threads::OwnThreads,
};

/// The name of the catalog that the engine's own tables are in.
const SYSTEM: &str = "system";

/// An engine, and those of its parts that are of use by themselves.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) engine: Engine,
    pub(crate) trail: Arc<Trail>,
    /// The policies, if they are of a kind that can be read again while the engine runs.
    pub(crate) policy: Option<Arc<CedarPolicy>>,
    /// Files about identities that can be read again while the engine runs.
    pub(crate) changing: Vec<Changing>,
    /// What statements may hold in memory together, in bytes, if that is bounded.
    pub(crate) memory: Option<usize>,
    /// What goes on beside the engine and holds it; shut it down before the trail is dropped.
    pub(crate) watches: JoinSet<()>,
}

/// Builds what the configuration says.
///
/// # Errors
/// Something cannot be opened, is not accepted, or does not fit together.
pub(crate) async fn wire(config: &Config) -> Result<Wired> {
    watched(config, ()).await
}

/// The same, with somebody who is told what the engine does.
///
/// # Errors
/// Those of [`wire`].
pub(crate) async fn watched(config: &Config, observer: impl Observer) -> Result<Wired> {
    cryptography()?;
    let limits = limits(&config.limits);
    let memory = limits.memory;
    let mut identity = Identity::wire(&config.identity, config.server.profile)?;
    let mut builder = Engine::builder().identity(identity.provider(config)?).limits(limits.clone()).observer(observer);
    let (builder_with_policy, policy) = policy(builder, &config.policy)?;
    builder = builder_with_policy;
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
        SchedulerConfig::Local => builder.scheduler(OwnThreads::new(&limits, config.limits.threads)?),
    };
    // Last: opening a trail writes to it.
    let trail = Arc::new(Trail::open(&config.audit.path).context("the audit trail cannot be opened")?);
    let engine = builder.catalog(SYSTEM, trail.catalog()).shared_audit(Arc::clone(&trail) as _).build()?;
    let changing = identity.changing();
    let mut watches = identity.watch(&engine);
    if let Some(otlp) = &config.audit.otlp {
        audit_command::push(otlp, &trail, &mut watches)?;
    }
    Ok(Wired { engine, trail, policy, changing, memory, watches })
}

/// An engine over one of the configured catalogs and the configured policies, for whomever `identity` vouches for. It
/// records nothing that lasts, and is for looking at an installation.
///
/// # Errors
/// Something cannot be opened or does not fit together.
pub(crate) async fn probe(config: &Config, name: &str, identity: impl IdentityProvider) -> Result<Engine> {
    let (builder, _) = policy(Engine::builder().identity(identity), &config.policy)?;
    let Some(configured) = config.catalogs.get(name) else {
        return Err(ConfigError(format!("there is no [catalogs.{name}]")).into());
    };
    let builder = catalog(builder, name, configured, &config.credentials).await?;
    Ok(builder.defaults(name, config.server.schema.clone()).audit(MemoryTrail::new()).build()?)
}

/// The cryptography of TLS and of tokens is chosen once a process, and tried before anybody logs in.
pub(crate) fn cryptography() -> Result<()> {
    // An error says that one is installed already: fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(sqe_auth::self_test()?)
}

fn policy(builder: EngineBuilder, configured: &PolicyConfig) -> Result<(EngineBuilder, Option<Arc<CedarPolicy>>)> {
    Ok(match configured {
        PolicyConfig::Cedar { path, mask_key_file } => {
            let builder = match mask_key_file {
                Some(path) => builder.mask_key(secret(path)?),
                None => builder,
            };
            let policy = Arc::new(CedarPolicy::from_dir(path)?);
            (builder.shared_policy(Arc::clone(&policy) as _), Some(policy))
        }
        PolicyConfig::PermitAll {} => {
            tracing::warn!("policy permit-all: everybody who can log in may do everything");
            (builder.policy(PermitAll), None)
        }
    })
}

async fn catalog(
    builder: EngineBuilder,
    name: &str,
    configured: &CatalogConfig,
    credentials: &CredentialsConfig,
) -> Result<EngineBuilder> {
    Ok(match (configured, credentials) {
        (CatalogConfig::Memory {}, _) => builder.catalog(name, MemoryCatalog::new()),
        (CatalogConfig::Sql { path, warehouse, name: inner }, CredentialsConfig::Local {}) => {
            std::fs::create_dir_all(warehouse)
                .with_context(|| format!("cannot create the warehouse {}", warehouse.display()))?;
            // The vendor compares real paths.
            let warehouse = warehouse.canonicalize()?;
            let url = url::Url::from_directory_path(&warehouse)
                .map_err(|()| ConfigError(format!("the warehouse {} has no absolute path", warehouse.display())))?;
            let mut options = SqlOptions::new(path, url.as_str()).create_if_missing();
            options.name.clone_from(inner);
            let provider = SqlCatalog::open(options).await?;
            builder.catalog_with_storage(name, provider, LocalVendor::new([&warehouse])?, Stores)
        }
        (CatalogConfig::Sql { .. }, CredentialsConfig::None) => {
            return Err(ConfigError("its files are there and nobody may reach them".to_owned()).into());
        }
    })
}

fn limits(configured: &LimitsConfig) -> Limits {
    let mut limits = Limits::default();
    // The others are not the engine's.
    let LimitsConfig {
        statements,
        statements_per_person,
        queue_seconds,
        statement_seconds,
        expiry_grace_seconds,
        memory_bytes,
        login,
        ..
    } = configured;
    limits.login = identity::login_limits(login);
    limits.concurrent = statements.unwrap_or(limits.concurrent);
    limits.concurrent_per_person = statements_per_person.unwrap_or(limits.concurrent_per_person);
    limits.queue = queue_seconds.map_or(limits.queue, Duration::from_secs);
    limits.deadline = statement_seconds.map_or(limits.deadline, Duration::from_secs);
    limits.expiry = expiry_grace_seconds.map_or(Expiry::Stop, |seconds| Expiry::Finish(Duration::from_secs(seconds)));
    limits.memory = memory_bytes.or_else(memory::share);
    match limits.memory {
        Some(bytes) => tracing::info!(bytes, "memory that all statements share"),
        None => {
            tracing::warn!("this machine does not tell its memory: statements have no bound; set limits.memory_bytes")
        }
    }
    limits
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn secret(path: &Path) -> Result<Secret> {
    let text = text(path)?;
    match text.trim() {
        "" => Err(ConfigError(format!("{} is empty", path.display())).into()),
        secret => Ok(Secret::new(secret)),
    }
}
