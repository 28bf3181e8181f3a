//! Permitted tables → leases → stores, each for this person and this query only.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result as DataFusionResult},
    execution::{
        object_store::{ObjectStoreRegistry, ObjectStoreUrl},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::LogicalPlan,
};
use futures::future::try_join_all;
use object_store::ObjectStore;
use url::Url;

use super::{builder::SharedRuntime, trail::Case};
use crate::{
    Error, Result, TableId, TableName,
    catalog::StoreRef,
    credentials::{Operation, VendRequest},
    govern::{GovernedTable, governed},
    observe::Room,
};

/// A lease on `prefixes` and its store. `None` if there are no prefixes.
pub(super) async fn vend(
    case: &Case,
    table: &TableName,
    prefixes: &[String],
    operation: Operation,
) -> Result<Option<(StoreRef, String)>> {
    if prefixes.is_empty() {
        return Ok(None);
    }
    let identity = case.session.identity();
    let binding = case
        .session
        .binding(&table.catalog)
        .ok_or_else(|| Error::internal("a table of an unknown catalog asked for a lease"))?;
    let request = VendRequest::new(identity, table, prefixes, operation).for_query(case.query);
    let room = Room::Vend { catalog: &table.catalog };
    let lease = case.session.engine().watch(room, binding.vendor.vend(&request)).await?;
    let narrow = lease.prefixes.iter().all(|held| prefixes.iter().any(|asked| held.starts_with(asked.as_str())));
    if lease.principal != identity.principal || !narrow || (lease.writable && operation != Operation::Write) {
        return Err(Error::internal("a credential vendor handed out a lease that is wider than the wish"));
    }
    let url = ObjectStoreUrl::parse(format!("sqe-lease://{}", lease.id))?;
    let store = binding.stores.open(&lease).await?;
    Ok(Some((StoreRef { lease: lease.id, prefixes: lease.prefixes.clone(), url, store }, lease.session_name)))
}

/// Vends, at the same time, for every governed table that the optimised plan scans.
pub(super) async fn vend_for_plan(
    case: &mut Case,
    plan: &LogicalPlan,
    tables: &[Arc<GovernedTable>],
) -> Result<Vec<StoreRef>> {
    let mut scanned: Vec<TableId> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = governed(&scan.source)
        {
            scanned.push(table.grant().table().clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let wanted: Vec<&Arc<GovernedTable>> =
        tables.iter().filter(|table| table.is_readable() && scanned.contains(table.grant().table())).collect();
    let leases = {
        let case = &*case;
        try_join_all(wanted.iter().map(|table| async move {
            vend(case, &table.grant().table().name, &table.raw().prefixes(), Operation::Read).await
        }))
        .await?
    };
    let mut stores = Vec::new();
    for (table, lease) in wanted.into_iter().zip(leases) {
        if let Some((store, session_name)) = &lease {
            case.note_lease(table.grant().table(), session_name);
            stores.push(store.clone());
        }
        table.provide_store(lease.map(|(store, _)| store));
    }
    Ok(stores)
}

/// The query's own registry: the stores of its leases, and nothing else. Files of this machine, or another query's
/// bucket, cannot be named.
#[derive(Debug)]
struct LeasedStores(HashMap<String, Arc<dyn ObjectStore>>);

impl ObjectStoreRegistry for LeasedStores {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.get_store(url)
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let found = url.host_str().filter(|_| url.scheme() == "sqe-lease").and_then(|id| self.0.get(id));
        found.cloned().ok_or_else(|| {
            DataFusionError::from(Error::denied("this query holds no lease on the storage that its plan names"))
        })
    }
}

/// A runtime for one query: the shared memory pool, spill space and caches, and its own stores.
pub(super) fn runtime(shared: &SharedRuntime, stores: &[StoreRef]) -> Result<Arc<RuntimeEnv>> {
    let stores = stores.iter().map(|store| (store.lease.to_string(), Arc::clone(&store.store))).collect();
    let registry = Arc::new(LeasedStores(stores));
    Ok(RuntimeEnvBuilder::from_runtime_env(shared).with_object_store_registry(registry).build_arc()?)
}
