//! Putting an engine together.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use datafusion::{
    catalog::MemoryCatalogProviderList,
    execution::{
        FunctionRegistry, SessionStateBuilder,
        memory_pool::{GreedyMemoryPool, MemoryPool, UnboundedMemoryPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::ScalarUDF,
    prelude::SessionConfig,
};

use super::{
    Engine, Inner,
    admission::Admission,
    bounded,
    grouping::BySet,
    json,
    login::{LoginLimits, Logins},
    session::OpenSessions,
};
use crate::{
    Error, IdentityProvider, PolicyEngine, Result, Secret,
    audit::AuditSink,
    catalog::{CatalogProvider, RefusingStores, StoreOpener},
    credentials::{CredentialVendor, RefusingVendor},
    govern::{GovernedCodec, GrantKey},
    observe::Observer,
    scheduler::{LocalScheduler, Scheduler},
};

/// What bounds the engine's work.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Statements that may run at once, of all people together.
    pub concurrent: usize,
    /// Statements of one person that may run at once.
    pub concurrent_per_person: usize,
    /// How long a statement may wait for its turn before it is refused: to be planned (four at once a core of
    /// the machine, of which one person gets a quarter), and to run.
    pub queue: Duration,
    /// How long a statement may take from the start of planning to its last row.
    pub deadline: Duration,
    /// Memory, in bytes, that all running statements may hold in operators. `None`: not bounded.
    pub memory: Option<usize>,
    /// The longest accepted statement text, in bytes.
    pub statement_bytes: usize,
    /// What happens to a statement whose person's credentials end while it runs.
    pub expiry: Expiry,
    /// How often logging in may fail.
    pub login: LoginLimits,
}

/// What happens to a statement whose person's credentials end while it runs. New statements are refused from that moment
/// on either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expiry {
    /// It stops. The default: a right that has ended reads nothing.
    #[default]
    Stop,
    /// It may end within so long, and is stopped then. What withdraws the right explicitly stops it at once.
    Finish(Duration),
}

impl Default for Limits {
    /// 64 statements, 16 a person, 10 s in the queue, 1 h in all, memory not bounded, 1 MiB of text, stop at expiry.
    fn default() -> Self {
        Self {
            concurrent: 64,
            concurrent_per_person: 16,
            queue: Duration::from_secs(10),
            deadline: Duration::from_secs(3600),
            memory: None,
            statement_bytes: 1 << 20,
            expiry: Expiry::Stop,
            login: LoginLimits::default(),
        }
    }
}

/// A catalog and what belongs to it.
pub(super) struct CatalogBinding {
    pub(super) provider: Arc<dyn CatalogProvider>,
    pub(super) vendor: Arc<dyn CredentialVendor>,
    pub(super) stores: Arc<dyn StoreOpener>,
}

impl fmt::Debug for CatalogBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogBinding")
            .field("provider", &self.provider)
            .field("vendor", &self.vendor)
            .field("stores", &self.stores)
            .finish()
    }
}

/// Builds an [`Engine`]. Identity, policy, a catalog and audit are required; nothing permissive stands in for them.
#[derive(Default)]
pub struct EngineBuilder {
    identity: Option<Arc<dyn IdentityProvider>>,
    policy: Option<Arc<dyn PolicyEngine>>,
    audit: Option<Arc<dyn AuditSink>>,
    scheduler: Option<Arc<dyn Scheduler>>,
    catalogs: BTreeMap<String, CatalogBinding>,
    default_catalog: Option<String>,
    default_schema: Option<String>,
    limits: Limits,
    config: Option<SessionConfig>,
    mask_key: Option<Secret>,
    grant_key: Option<GrantKey>,
    nodes: Vec<String>,
    functions: Vec<Arc<ScalarUDF>>,
    observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("catalogs", &self.catalogs).finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Who turns credentials into identities. Required.
    #[must_use]
    pub fn identity(mut self, provider: impl IdentityProvider) -> Self {
        self.identity = Some(Arc::new(provider));
        self
    }

    /// Who decides. Required.
    #[must_use]
    pub fn policy(self, engine: impl PolicyEngine) -> Self {
        self.shared_policy(Arc::new(engine))
    }

    /// Who decides, kept elsewhere too, for instance to reload it.
    #[must_use]
    pub fn shared_policy(mut self, engine: Arc<dyn PolicyEngine>) -> Self {
        self.policy = Some(engine);
        self
    }

    /// Who keeps the audit trail. Required.
    #[must_use]
    pub fn audit(self, sink: impl AuditSink) -> Self {
        self.shared_audit(Arc::new(sink))
    }

    /// Who keeps the audit trail, kept elsewhere too, for instance to read it.
    #[must_use]
    pub fn shared_audit(mut self, sink: Arc<dyn AuditSink>) -> Self {
        self.audit = Some(sink);
        self
    }

    /// Where plans run. Default: in this process.
    #[must_use]
    pub fn scheduler(mut self, scheduler: impl Scheduler) -> Self {
        self.scheduler = Some(Arc::new(scheduler));
        self
    }

    /// Adds a catalog that keeps nothing in a storage, such as one in memory. At least one catalog is required; the
    /// first one is the default.
    #[must_use]
    pub fn catalog(self, name: impl Into<String>, provider: impl CatalogProvider) -> Self {
        self.catalog_with_storage(name, provider, RefusingVendor, RefusingStores)
    }

    /// Adds a catalog whose tables live in a storage: `vendor` hands out leases on it, `stores` turns them into stores.
    #[must_use]
    pub fn catalog_with_storage(
        mut self,
        name: impl Into<String>,
        provider: impl CatalogProvider,
        vendor: impl CredentialVendor,
        stores: impl StoreOpener,
    ) -> Self {
        let name = name.into();
        self.default_catalog.get_or_insert_with(|| name.clone());
        let binding =
            CatalogBinding { provider: Arc::new(provider), vendor: Arc::new(vendor), stores: Arc::new(stores) };
        self.catalogs.insert(name, binding);
        self
    }

    /// The catalog and the schema of names that have none. Default: the first catalog, schema `default`.
    #[must_use]
    pub fn defaults(mut self, catalog: impl Into<String>, schema: impl Into<String>) -> Self {
        self.default_catalog = Some(catalog.into());
        self.default_schema = Some(schema.into());
        self
    }

    /// What bounds the engine's work.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// DataFusion settings: target partitions, batch size, Parquet options. The engine overrides what would weaken it.
    #[must_use]
    pub fn session_config(mut self, config: SessionConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// The key of keyed-hash masks. Default: a random one, so that hashes differ from one start to the next.
    #[must_use]
    pub fn mask_key(mut self, key: Secret) -> Self {
        self.mask_key = Some(key);
        self
    }

    /// The key that seals grants for other processes, without which plans never leave this one. Demands a
    /// [`mask_key`](Self::mask_key), which those processes must have too.
    #[must_use]
    pub fn grant_key(mut self, key: GrantKey) -> Self {
        self.grant_key = Some(key);
        self
    }

    /// Adds a scalar function. It sees what its caller may see, whatever its volatility.
    #[must_use]
    pub fn function(mut self, function: impl Into<Arc<ScalarUDF>>) -> Self {
        self.functions.push(function.into());
        self
    }

    /// Who is told what the engine does, for metrics and traces. Default: nobody.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Lets the verifier accept plan nodes of this name, for embedders who bring their own operators. The node must
    /// neither read nor write anything by itself.
    #[must_use]
    pub fn allow_node(mut self, name: impl Into<String>) -> Self {
        self.nodes.push(name.into());
        self
    }

    /// Builds the engine.
    ///
    /// # Errors
    /// `InvalidInput` names what is missing.
    pub fn build(self) -> Result<Engine> {
        let missing = |what: &str| Error::invalid(format!("an engine needs {what}; set it before building"));
        let identity = self.identity.ok_or_else(|| missing("an identity provider"))?;
        let policy = self.policy.ok_or_else(|| missing("a policy engine"))?;
        let audit = self.audit.ok_or_else(|| missing("an audit sink"))?;
        let catalog = self.default_catalog.ok_or_else(|| missing("a catalog"))?;
        if self.catalogs.is_empty() {
            return Err(missing("a catalog"));
        }
        let codec = match (&self.grant_key, &self.mask_key) {
            (None, _) => None,
            (Some(_), None) => return Err(missing("a mask key that workers share, since it has a grant key")),
            (Some(grant_key), Some(mask_key)) => Some(GovernedCodec::new(grant_key, mask_key.clone())?),
        };
        let schema = self.default_schema.unwrap_or_else(|| "default".to_owned());
        let scheduler = self.scheduler.unwrap_or_else(|| Arc::new(LocalScheduler));
        let pool: Arc<dyn MemoryPool> = match self.limits.memory {
            Some(bytes) => Arc::new(GreedyMemoryPool::new(bytes)),
            None => Arc::new(UnboundedMemoryPool::default()),
        };
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let config = harden(self.config.unwrap_or_default());
        let builder = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::clone(&runtime))
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_table_factories(Default::default())
            .with_analyzer_rule(Arc::new(BySet));
        let mut template = scheduler.configure(builder)?.build();
        json::register(&mut template)?;
        bounded::bound(&mut template)?;
        for function in self.functions {
            template.register_udf(function)?;
        }
        let functions: BTreeSet<String> = template.table_functions().keys().cloned().collect();
        Ok(Engine(Arc::new(Inner {
            identity,
            policy,
            audit,
            scheduler,
            catalogs: self.catalogs,
            defaults: (catalog, schema),
            admission: Admission::new(&self.limits),
            logins: Logins::new(self.limits.login.clone()),
            limits: self.limits,
            template,
            table_functions: functions,
            runtime,
            mask_key: self.mask_key.unwrap_or_else(random_key),
            codec,
            nodes: self.nodes,
            sessions: OpenSessions::default(),
            observer: self.observer.unwrap_or_else(|| Arc::new(())),
        })))
    }
}

/// Settings that enforcement relies on, whatever the embedder chose.
fn harden(config: SessionConfig) -> SessionConfig {
    let mut config = config.with_information_schema(false).with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.optimizer.skip_failed_rules = false;
    options.sql_parser.enable_ident_normalization = true;
    config
}

pub(super) fn random_key() -> Secret {
    Secret::new(format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4()))
}

/// The runtime that statements share: memory pool, spill directory, caches.
pub(super) type SharedRuntime = Arc<RuntimeEnv>;
