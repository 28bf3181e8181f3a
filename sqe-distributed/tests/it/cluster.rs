//! A scheduler over two workers, for these tests only. Each worker is a gRPC server on a loopback port with a runtime, a
//! codec and leases of its own; nothing but bytes reaches it from the coordinator, except for the stores.
//!
//! What is only good for a spike: there is no TLS and no gate, whoever reaches a worker's port may send it a plan and
//! ask for rows; the worker is *given* the query's stores, where a real one opens its own from the lease in a sealed
//! envelope; an error of the engine loses its kind on the way; nothing is retried, and memory is not bounded.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    datasource::{
        physical_plan::{FileGroup, FileScanConfig},
        source::DataSourceExec,
    },
    error::Result as DataFusionResult,
    execution::{
        SendableRecordBatchStream, SessionStateBuilder, TaskContext, object_store::ObjectStoreRegistry,
        runtime_env::RuntimeEnvBuilder,
    },
    physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream, stream::RecordBatchStreamAdapter},
};
use datafusion_distributed::{
    ChannelResolver, DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExec, DistributedExt,
    DistributedLeafExec, NetworkBoundaryExt, ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse,
    SessionStateBuilderExt, Worker, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
    WorkerResolver, grpc::DefaultChannelResolver,
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use futures::StreamExt;
use object_store::ObjectStore;
use parking_lot::Mutex;
use sqe_core::{
    Error, Result,
    scheduler::{Job, LocalScheduler, Scheduler},
};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_stream::wrappers::TcpListenerStream;
use url::Url;

/// The nodes that the planner of `datafusion-distributed` adds. They move batches.
const NODES: [&str; 7] = [
    "BroadcastExec",
    "ChildrenIsolatorUnionExec",
    "DistributedExec",
    "DistributedLeafExec",
    "NetworkBroadcastExec",
    "NetworkCoalesceExec",
    "NetworkShuffleExec",
];

/// The stores of one worker, by lease id. It finds what a running query brought, and nothing of this machine.
#[derive(Debug, Default)]
struct Leases(Mutex<HashMap<String, Arc<dyn ObjectStore>>>);

impl ObjectStoreRegistry for Leases {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn deregister_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.get_store(url)
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        let id = url.host_str().filter(|_| url.scheme() == "sqe-lease");
        let found = id.and_then(|id| self.0.lock().get(id).cloned());
        found.ok_or_else(|| Error::denied("this worker holds no lease on the storage that its task names").into())
    }
}

/// What a worker was given to do.
#[derive(Debug, Default)]
struct Tasks {
    /// Decoded plans, as long as the worker keeps them.
    plans: Vec<Weak<dyn ExecutionPlan>>,
    /// Their scans, for the rows that each one read.
    scans: Vec<Arc<dyn ExecutionPlan>>,
    /// The names of all nodes.
    nodes: Vec<String>,
}

#[derive(Debug)]
struct Member {
    url: Url,
    leases: Arc<Leases>,
    tasks: Arc<Mutex<Tasks>>,
    server: AbortHandle,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What a job was, when it came to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    pub distributed: bool,
    pub boundaries: usize,
    pub codecs: usize,
}

#[derive(Debug)]
struct Inner {
    workers: Vec<Member>,
    ran: Mutex<Vec<Ran>>,
    lends: bool,
}

/// Two workers, and the scheduler that uses them.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

impl Cluster {
    /// Workers that open plans with `codecs`: the same, in the same order, as those of the jobs to come.
    pub async fn start(codecs: Vec<Arc<dyn PhysicalExtensionCodec>>) -> Self {
        Self::launch(codecs, true).await
    }

    /// Workers that get plans and no leases.
    pub async fn without_leases(codecs: Vec<Arc<dyn PhysicalExtensionCodec>>) -> Self {
        Self::launch(codecs, false).await
    }

    async fn launch(codecs: Vec<Arc<dyn PhysicalExtensionCodec>>, lends: bool) -> Self {
        let workers = vec![member(codecs.clone()).await, member(codecs).await];
        Self(Arc::new(Inner { workers, ran: Mutex::default(), lends }))
    }

    /// Stops listening on one worker's port. Who is connected already stays so.
    pub fn lose_one(&self) {
        self.0.workers[1].server.abort();
    }

    /// The jobs since the last call.
    pub fn ran(&self) -> Vec<Ran> {
        std::mem::take(&mut *self.0.ran.lock())
    }

    /// For each worker, the rows that its scans read, and the nodes of its tasks, since the last call.
    pub fn work(&self) -> Vec<(usize, Vec<String>)> {
        (self.0.workers.iter())
            .map(|worker| {
                let mut tasks = worker.tasks.lock();
                let rows = rows_read(&tasks);
                tasks.scans.clear();
                (rows, std::mem::take(&mut tasks.nodes))
            })
            .collect()
    }

    /// Whether both workers have read rows since the last call of [`work`](Self::work).
    pub fn begun(&self) -> bool {
        self.0.workers.iter().all(|worker| rows_read(&worker.tasks.lock()) > 0)
    }

    /// The decoded plans of all tasks so far, without keeping any of them alive.
    pub fn plans(&self) -> Vec<Weak<dyn ExecutionPlan>> {
        self.0.workers.iter().flat_map(|worker| worker.tasks.lock().plans.clone()).collect()
    }

    /// How many leases the workers hold.
    pub fn leases(&self) -> usize {
        self.0.workers.iter().map(|worker| worker.leases.0.lock().len()).sum()
    }
}

fn rows_read(tasks: &Tasks) -> usize {
    tasks.scans.iter().filter_map(|scan| scan.metrics()?.output_rows()).sum()
}

async fn member(codecs: Vec<Arc<dyn PhysicalExtensionCodec>>) -> Member {
    let (leases, tasks) = (Arc::new(Leases::default()), Arc::new(Mutex::new(Tasks::default())));
    let registry: Arc<dyn ObjectStoreRegistry> = Arc::clone(&leases) as _;
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(registry).build_arc().unwrap();
    let (noted, channels) = (Arc::clone(&tasks), channels());
    let session = move |context: WorkerQueryContext| {
        let (codecs, noted, channels) = (codecs.clone(), Arc::clone(&noted), Arc::clone(&channels));
        async move {
            let builder = (context.builder)
                .with_distributed_channel_resolver(channels)
                .with_distributed_worker_plan_rewrite_handler(move |event: WorkerPlanRewriteEvent<'_>| {
                    note(&noted, &event.plan)?;
                    Ok(WorkerPlanRewriteEventResponse::new(event.plan))
                });
            Ok(with_codecs(builder, &codecs).build())
        }
    };
    let worker = Worker::from_session_builder(session).with_runtime_env(runtime);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(worker.into_worker_server())
        .serve_with_incoming(TcpListenerStream::new(listener));
    Member { url, leases, tasks, server: tokio::spawn(server).abort_handle() }
}

/// Connections to workers. Without any of its own a session uses those kept under the *address* of its runtime, which the
/// next query's runtime may have.
fn channels() -> Arc<dyn ChannelResolver + Send + Sync> {
    Arc::new(DefaultChannelResolver::default())
}

fn with_codecs<T: DistributedExt>(to: T, codecs: &[Arc<dyn PhysicalExtensionCodec>]) -> T {
    codecs.iter().fold(to, |to, codec| to.with_distributed_user_codec_arc(Arc::clone(codec)))
}

fn note(tasks: &Mutex<Tasks>, plan: &Arc<dyn ExecutionPlan>) -> DataFusionResult<()> {
    let mut tasks = tasks.lock();
    tasks.plans.push(Arc::downgrade(plan));
    plan.apply(|node| {
        tasks.nodes.push(node.name().to_owned());
        if node.is::<DataSourceExec>() {
            tasks.scans.push(Arc::clone(node));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

struct Urls(Vec<Url>);

impl WorkerResolver for Urls {
    fn get_urls(&self) -> DataFusionResult<Vec<Url>> {
        Ok(self.0.clone())
    }
}

#[async_trait]
impl Scheduler for Cluster {
    fn configure(&self, builder: SessionStateBuilder) -> Result<SessionStateBuilder> {
        let urls = self.0.workers.iter().map(|worker| worker.url.clone()).collect();
        // A byte a partition: every scan is worth all workers.
        let builder = builder
            .with_distributed_worker_resolver(Urls(urls))
            .with_distributed_channel_resolver(channels())
            .with_distributed_file_scan_config_bytes_per_partition(1)?
            .with_distributed_desired_task_count_handler(keep_small_scans_whole)
            .with_distributed_scale_up_leaf_node_handler(deal_files);
        Ok(builder.with_distributed_planner())
    }

    async fn execute(&self, job: Job) -> Result<SendableRecordBatchStream> {
        let boundaries = boundaries(&job.plan)?;
        let distributed = job.plan.is::<DistributedExec>();
        self.0.ran.lock().push(Ran { distributed, boundaries, codecs: job.codecs.len() });
        if !distributed {
            return LocalScheduler.execute(job).await;
        }
        let held = Held::lend(self, &job)?;
        let context = with_codecs_of(&job);
        let stream = execute_stream(job.plan.into_inner(), context)?;
        let schema = stream.schema();
        let stream = stream.inspect(move |_| {
            let _ = &held;
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn nodes(&self) -> &[&str] {
        &NODES
    }

    fn slices(&self, leaf: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
        let Some(leaf) = leaf.downcast_ref::<DistributedLeafExec>() else { return Vec::new() };
        std::iter::once(leaf.original()).chain(leaf.variants()).map(Arc::clone).collect()
    }
}

fn with_codecs_of(job: &Job) -> Arc<TaskContext> {
    let context = &job.context;
    Arc::new(TaskContext::new(
        context.task_id(),
        context.session_id(),
        with_codecs(context.session_config().clone(), &job.codecs),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ))
}

/// The stores of one query in the hands of the workers, until its stream is dropped.
struct Held {
    cluster: Cluster,
    ids: Vec<String>,
}

impl Held {
    fn lend(cluster: &Cluster, job: &Job) -> Result<Self> {
        let mut stores = HashMap::new();
        each_scan(&job.plan, &mut |scan| {
            let url: &Url = scan.object_store_url.as_ref();
            let store = job.context.runtime_env().object_store(&scan.object_store_url)?;
            stores.insert(url.host_str().unwrap_or_default().to_owned(), store);
            Ok(())
        })?;
        if !cluster.0.lends {
            stores.clear();
        }
        for worker in &cluster.0.workers {
            worker.leases.0.lock().extend(stores.iter().map(|(id, store)| (id.clone(), Arc::clone(store))));
        }
        Ok(Self { cluster: cluster.clone(), ids: stores.into_keys().collect() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for worker in &self.cluster.0.workers {
            worker.leases.0.lock().retain(|id, _| !self.ids.contains(id));
        }
    }
}

fn boundaries(plan: &Arc<dyn ExecutionPlan>) -> DataFusionResult<usize> {
    let mut found = 0;
    plan.apply(|node| {
        found += usize::from(node.is_network_boundary());
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn each_scan(
    plan: &Arc<dyn ExecutionPlan>,
    seen: &mut impl FnMut(&FileScanConfig) -> DataFusionResult<()>,
) -> DataFusionResult<()> {
    plan.apply(|node| {
        let leaf = node.downcast_ref::<DistributedLeafExec>().map_or(node, DistributedLeafExec::original);
        if let Some(scan) = files(leaf) {
            seen(scan)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn files(leaf: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    leaf.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

/// Where DataFusion saw one partition it took for granted that one stream holds all rows: it put no exchange between the
/// scan and a limit, a window or a final aggregate above. Two tasks would each compute their own.
fn keep_small_scans_whole(event: DesiredTaskCountEvent<'_>) -> Option<DataFusionResult<DesiredTaskCountEventResponse>> {
    files(event.plan)?;
    let one = event.plan.output_partitioning().partition_count() == 1;
    one.then(|| Ok(DesiredTaskCountEventResponse::maximum(1)))
}

/// Deals the files of each partition out to the tasks, so that every task has as many partitions as the scan. The
/// default cuts files by bytes: of a file with one row group, all parts but the first read nothing.
fn deal_files(event: ScaleUpLeafNodeEvent<'_>) -> Option<DataFusionResult<ScaleUpLeafNodeEventResponse>> {
    let scan = files(event.plan)?;
    let tasks = event.task_count;
    let variants = (0..tasks).map(|task| {
        let mut slice = scan.clone();
        slice.file_groups = (scan.file_groups.iter().enumerate())
            .map(|(number, group)| {
                let mine = group.iter().enumerate().filter(|(file, _)| (file + number) % tasks == task);
                FileGroup::new(mine.map(|(_, file)| file.clone()).collect())
            })
            .collect();
        DataSourceExec::from_data_source(slice) as Arc<dyn ExecutionPlan>
    });
    let leaf = DistributedLeafExec::try_new(Arc::clone(event.plan), variants);
    Some(leaf.map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf))))
}
