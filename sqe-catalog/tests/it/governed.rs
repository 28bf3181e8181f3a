//! An engine over the SQL catalog under a policy.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use datafusion::prelude::SessionConfig;
use parking_lot::Mutex;
use sqe_catalog::{LocalVendor, SqlCatalog, SqlOptions, Stores};
use sqe_core::{
    Action, Decision, Engine, PolicyEngine, PolicyRequest, Resource, Result, Secret,
    engine::EngineBuilder,
    policy::Restrictions,
    predicate::{CompareOp, RowPredicate, Value},
};

use crate::world::builder;

/// Root may do everything. Everybody else may read every table as it is said here, and nothing more.
#[derive(Debug, Clone)]
pub struct Rule(Arc<Mutex<Decision>>);

impl Default for Rule {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Decision::deny())))
    }
}

impl Rule {
    pub fn set(&self, decision: Decision) {
        *self.0.lock() = decision;
    }
}

#[async_trait]
impl PolicyEngine for Rule {
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
        let root = request.identity.principal.subject == "root";
        let decide = |access: &sqe_core::Access| match (&access.resource, access.action) {
            _ if root => Decision::permit(),
            (Resource::Table(_), Action::Select) => self.0.lock().clone(),
            (Resource::Table(_), Action::Discover) if self.0.lock().is_permit() => Decision::permit(),
            _ => Decision::deny(),
        };
        Ok(request.accesses.iter().map(decide).collect())
    }
}

pub fn config(partitions: usize, batch: usize, pushdown: bool) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch);
    config.options_mut().execution.parquet.pushdown_filters = pushdown;
    config
}

/// An engine over the catalog in `root`, made if it is missing, in which people are held to `rule`.
pub async fn governed_engine(
    root: &Path,
    rule: &Rule,
    config: SessionConfig,
    change: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> Engine {
    let warehouse = root.join("wh");
    let options = SqlOptions::new(root.join("catalog.db"), format!("file://{}", warehouse.display()));
    let catalog = SqlCatalog::open(options.create_if_missing()).await.unwrap();
    let vendor = LocalVendor::new([warehouse]).unwrap();
    let engine = builder()
        .policy(rule.clone())
        .catalog_with_storage("lake", catalog, vendor, Stores)
        .session_config(config)
        .mask_key(Secret::new("a key of this test"));
    change(engine).build().unwrap()
}

/// Only rows whose column `id` is `text`.
pub fn only(id: i32, text: &str) -> Decision {
    let mut held = Restrictions::default();
    held.filter = Some(RowPredicate::compare(sqe_core::FieldId(id), CompareOp::Eq, Value::Text(text.into())));
    Decision::permit_with(held)
}
