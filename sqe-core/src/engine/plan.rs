//! A statement → what it will answer with, and the verified plan that answers.

use std::{collections::HashMap, sync::Arc, time::Instant};

use arrow::{
    array::{ArrayRef, Int64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
    record_batch::RecordBatch,
};
use datafusion::{
    common::tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    execution::{SessionState, TaskContext},
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, coop::CooperativeExec},
    physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner},
};
use datafusion_proto::physical_plan::PhysicalExtensionCodec;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Session,
    bind::{Bound, bind_query, parameters, with_parameters},
    explain::{self, Explain},
    metered::metered,
    observed::{Place, in_trace},
    prepared,
    resolve::{load_one, name_of_parts, of_known, refusal},
    run::{self, QueryStream},
    session::SessionChange,
    settings,
    sources::Own,
    statement::{self, Kind},
    trail::Case,
    vend::{runtime, vend_for_plan},
    views,
    write::{self, Change, Write},
};
use crate::{
    Access, Action, Error, ErrorKind, QueryId, Resource, Result, TableName,
    catalog::StoreRef,
    govern::{Authorized, Decisions, GovernedTable, plain},
    observe::{Room, Turn},
};

/// A statement and its parameters.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Statement {
    /// One SQL statement.
    pub sql: String,
    /// Values of `$1`, `$2`, … as the columns of exactly one row. `None`: there are none.
    pub parameters: Option<RecordBatch>,
}

impl Statement {
    /// A statement without parameters.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), parameters: None }
    }

    /// Binds one row of parameters.
    #[must_use]
    pub fn with_parameters(mut self, row: RecordBatch) -> Self {
        self.parameters = Some(row);
        self
    }
}

/// What kind of effect a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatementKind {
    /// Reads.
    Query,
    /// Changes rows; answers with one row `count`.
    Update,
    /// Changes definitions (DDL); answers with one row `count`.
    Definition,
}

/// What a statement will answer with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StatementShape {
    /// The columns of the answer.
    pub schema: SchemaRef,
    /// The parameters, in order, named `$1`, `$2`, …; a type that cannot be known is Null.
    pub parameters: SchemaRef,
    /// The kind of effect.
    pub kind: StatementKind,
}

/// A verified plan that returns rows, and all that it needs to run.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) plan: Authorized<Arc<dyn ExecutionPlan>>,
    pub(super) logical: LogicalPlan,
    pub(super) stores: Vec<StoreRef>,
    pub(super) context: Arc<TaskContext>,
    pub(super) codecs: Vec<Arc<dyn PhysicalExtensionCodec>>,
    pub(super) schema: SchemaRef,
    /// Whether policy holds back something of what they are made from.
    pub(super) restricted: bool,
}

/// What a planned statement does when it runs.
#[derive(Debug)]
pub(super) enum Work {
    Rows(Box<Rows>),
    Explain(Explain),
    Ready(RecordBatch),
    Write(Box<Write>),
    Change(Change),
    Session(SessionChange),
}

/// An authorised statement that has not run yet.
#[derive(Debug)]
pub struct Planned {
    pub(super) case: Case,
    pub(super) schema: SchemaRef,
    pub(super) kind: StatementKind,
    pub(super) work: Work,
    pub(super) started: Instant,
}

impl Planned {
    /// The columns of the answer: exactly those of the batches that [`run`](Self::run) yields, nullability included.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The kind of effect.
    #[must_use]
    pub fn kind(&self) -> StatementKind {
        self.kind
    }

    /// The query's id.
    #[must_use]
    pub fn query_id(&self) -> QueryId {
        self.case.query
    }

    /// Runs it, once. When this returns, the intent is durable in the audit trail, and a change has been made.
    ///
    /// # Errors
    /// `ResourceExhausted` if its turn does not come, `Unavailable` if the audit trail cannot be written, and whatever
    /// the statement itself meets.
    pub async fn run(self) -> Result<QueryStream> {
        Box::pin(run::run(self)).await
    }
}

impl Session {
    /// What a statement will answer with, without running it.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub async fn describe(&self, sql: &str) -> Result<StatementShape> {
        let text = sql.to_owned();
        apart(self, sql, async move |case: &mut Case| describe(case, &text, None).await).await.map(|(shape, _)| shape)
    }

    /// Authorises and plans a statement.
    ///
    /// # Errors
    /// `InvalidInput`, `Unsupported` for the statement itself; `NotFound` and `PermissionDenied` for its tables;
    /// `Unavailable` if a catalog, the policy engine or the audit trail does not answer; `ResourceExhausted` if too much
    /// is being planned.
    pub async fn plan(&self, statement: Statement) -> Result<Planned> {
        let started = Instant::now();
        let sql = statement.sql.clone();
        let planned = apart(self, &sql, async move |case: &mut Case| plan(case, &statement).await).await;
        planned.map(|((work, schema, kind), case)| Planned { case, schema, kind, work, started })
    }

    /// Plans and runs a statement without parameters.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan) and [`Planned::run`].
    pub async fn query(&self, sql: &str) -> Result<QueryStream> {
        self.plan(Statement::new(sql)).await?.run().await
    }
}

/// Plans `sql` on a thread of its own and in turn, since planners compute without a pause: whatever somebody asks, the
/// threads that serve everybody stay free. What fails is put on record, also if nobody waits for the answer any more.
async fn apart<T, F>(session: &Session, sql: &str, work: F) -> Result<(T, Case)>
where
    T: Send + 'static,
    F: AsyncFnOnce(&mut Case) -> Result<T> + Send + 'static,
{
    session.check_alive()?;
    let engine = Arc::clone(session.engine());
    let place = Place::here();
    // First: such a text does not wait for its turn.
    if let Err(error) = statement::check_length(sql, engine.limits.statement_bytes) {
        return Err(Case::at(session, sql, place).refuse(error).await);
    }
    let turn = engine.admission.admit_planning(&session.identity().principal);
    let slot = match in_trace(place.context, engine.watch(Room::Turn(Turn::Planning), turn)).await {
        Ok(slot) => slot,
        Err(error) => return Err(Case::at(session, sql, place).refuse(error).await),
    };
    let (asking, text) = (session.clone(), sql.to_owned());
    let here = place.clone();
    let planned = on_planning_thread(async move |abandoned: CancellationToken| {
        let _slot = slot;
        let (span, context) = (here.span.clone(), here.context);
        let planning = in_trace(context, async {
            let mut case = Case::at(&asking, &text, here);
            let planned = unless_abandoned(&abandoned, async {
                let late = "planning took longer than a statement may take";
                let planned = tokio::time::timeout(asking.deadline(), work(&mut case)).await;
                planned.unwrap_or_else(|_| Err(Error::new(ErrorKind::DeadlineExceeded, late)))
            });
            match planned.await {
                Ok(planned) => Ok((planned, case)),
                Err(error) => Err(case.refuse(error).await),
            }
        });
        planning.instrument(span).await
    });
    match planned.await {
        Ok(planned) => planned,
        // It panicked. What was asked is on record all the same.
        Err(_) => {
            Err(Case::at(session, sql, place).refuse(Error::internal("planning failed; see the engine's log")).await)
        }
    }
}

/// An expression nests as deep as a person cares to write, and planners recurse.
fn on_tall_stack<T>(work: impl FnOnce() -> T) -> T {
    const NEEDED: usize = 48 << 20;
    const TALL: usize = 64 << 20;
    stacker::maybe_grow(NEEDED, TALL, work)
}

/// Runs what computes without a pause on a thread of its own, with a stack as tall as that needs. The token that it gets is
/// cancelled when nobody waits for it any more.
async fn on_planning_thread<T: Send + 'static>(
    work: impl AsyncFnOnce(CancellationToken) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let abandoned = CancellationToken::new();
    let _guard = abandoned.clone().drop_guard();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || on_tall_stack(|| runtime.block_on(work(abandoned)))).await
}

async fn unless_abandoned<T>(abandoned: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = abandoned.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the client went away")),
        done = work => done,
    }
}

/// Does work of planners that is no statement's own, until nobody waits for it any more.
pub(super) async fn aside<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let done = on_planning_thread(async move |abandoned: CancellationToken| unless_abandoned(&abandoned, work).await);
    done.await.unwrap_or_else(|_| Err(Error::internal("planning failed; see the engine's log")))
}

/// The answer of a change: one row `count`.
pub(super) fn count_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("count", DataType::Int64, false)]))
}

pub(super) fn count_batch(rows: u64) -> Result<RecordBatch> {
    let count: ArrayRef = Arc::new(Int64Array::from(vec![i64::try_from(rows).unwrap_or(i64::MAX)]));
    Ok(RecordBatch::try_new(count_schema(), vec![count])?)
}

/// What `sql` answers with, given values for its parameters or not.
async fn describe(case: &mut Case, sql: &str, row: Option<&RecordBatch>) -> Result<StatementShape> {
    let none = || Arc::new(Schema::empty());
    let of = |schema, kind| StatementShape { schema, parameters: none(), kind };
    let limit = case.session.engine().limits.statement_bytes;
    let parsed = statement::parse(sql, limit)?;
    case.does(parsed.operation());
    let (plan, kind) = match parsed {
        Kind::Query(parsed) => (bind_query(case, parsed).await?.plan, StatementKind::Query),
        Kind::Show(sql) => (bind_query(case, show(&sql, limit)?).await?.plan, StatementKind::Query),
        Kind::ShowSettings(_) => return Ok(of(settings::schema(), StatementKind::Query)),
        Kind::Describe(_) => return Ok(of(explain::description_schema(), StatementKind::Query)),
        Kind::Explain { inner, options } => {
            let bound = bind_query(case, *inner).await?;
            bound.check_described(case)?;
            let parameters = parameters(&bound.plan)?;
            return Ok(StatementShape { schema: explain::schema(options), parameters, kind: StatementKind::Query });
        }
        Kind::Insert { target, statement } => {
            let bound = write::bind_insert(case, &target, statement).await?;
            let parameters = parameters(&bound.input)?;
            return Ok(StatementShape { schema: count_schema(), parameters, kind: StatementKind::Update });
        }
        Kind::Execute { name, values } => {
            let prepared = case.session.prepared(&name)?;
            case.note_prepared(&prepared);
            let asked = prepared.parameters(case, values.clone()).await?;
            let row = if asked.fields().is_empty() { prepared.bind(case, values, None).await? } else { None };
            case.types.clone_from(&prepared.declared);
            let shape = Box::pin(describe(case, &prepared.sql, row.as_ref())).await?;
            return Ok(StatementShape { parameters: asked, ..shape });
        }
        _ => return Ok(of(count_schema(), StatementKind::Definition)),
    };
    let parameters = parameters(&plan)?;
    let plan = if row.is_some() { with_parameters(plan, row)? } else { plan };
    Ok(StatementShape { schema: plain(plan.schema().as_arrow()), parameters, kind })
}

fn show(sql: &str, limit: usize) -> Result<datafusion::sql::parser::Statement> {
    match statement::parse(sql, limit)? {
        Kind::Query(parsed) => Ok(parsed),
        _ => Err(Error::internal("a SHOW statement was rewritten to something else")),
    }
}

async fn plan(case: &mut Case, statement: &Statement) -> Result<(Work, SchemaRef, StatementKind)> {
    let parameters = statement.parameters.as_ref();
    let limit = case.session.engine().limits.statement_bytes;
    let kind = statement::parse(&statement.sql, limit)?;
    case.does(kind.operation());
    let fixed = matches!(
        kind,
        Kind::Describe(_)
            | Kind::Show(_)
            | Kind::ShowSettings(_)
            | Kind::Set(_)
            | Kind::Prepare { .. }
            | Kind::Deallocate { .. }
            | Kind::CreateView(..)
            | Kind::DropView { .. }
    );
    if fixed {
        none_given(parameters)?;
    }
    match kind {
        Kind::Query(parsed) => {
            let rows = plan_query(case, parsed, parameters).await?;
            let schema = Arc::clone(&rows.schema);
            Ok((Work::Rows(Box::new(rows)), schema, StatementKind::Query))
        }
        Kind::Show(sql) => {
            let rows = plan_query(case, show(&sql, limit)?, None).await?;
            let schema = Arc::clone(&rows.schema);
            Ok((Work::Rows(Box::new(rows)), schema, StatementKind::Query))
        }
        Kind::Explain { options, inner } if options.policy => {
            let batch = explain::decisions(case, *inner).await?;
            let schema = batch.schema();
            Ok((Work::Ready(batch), schema, StatementKind::Query))
        }
        Kind::Explain { options, inner } => {
            let bound = bind_query(case, *inner).await?;
            bound.check_described(case)?;
            let rows = plan_bound(case, bound, parameters).await?;
            let work = Work::Explain(Explain { rows: Box::new(rows), options });
            Ok((work, explain::schema(options), StatementKind::Query))
        }
        Kind::ShowSettings(wanted) => {
            let batch = settings::answer(&case.session, wanted)?;
            Ok((Work::Ready(batch), settings::schema(), StatementKind::Query))
        }
        Kind::Set(wish) => {
            let changes = settings::changes(wish, case.session.engine())?;
            Ok((Work::Session(SessionChange::Set(changes)), count_schema(), StatementKind::Definition))
        }
        Kind::Prepare { name, types, sql } => {
            case.types.clone_from(&types);
            let shape = Box::pin(describe(case, &sql, None)).await?;
            let prepared = prepared::prepared(case, sql, types, shape.parameters.fields().len()).await?;
            let change = SessionChange::Keep(name, Arc::new(prepared));
            Ok((Work::Session(change), count_schema(), StatementKind::Definition))
        }
        Kind::Deallocate { name } => {
            let change = SessionChange::Forget(name);
            Ok((Work::Session(change), count_schema(), StatementKind::Definition))
        }
        Kind::Execute { name, values } => {
            let prepared = case.session.prepared(&name)?;
            case.note_prepared(&prepared);
            let mut statement = Statement::new(&prepared.sql);
            statement.parameters = prepared.bind(case, values, parameters).await?;
            case.types.clone_from(&prepared.declared);
            Box::pin(plan(case, &statement)).await
        }
        Kind::Describe(name) => {
            let name = name_of_parts(&case.session, &statement::parts(&name)?)?;
            let batch = describe_table(case, &name).await?;
            let schema = batch.schema();
            Ok((Work::Ready(batch), schema, StatementKind::Query))
        }
        Kind::Insert { target, statement } => {
            let write = write::plan_insert(case, &target, statement, parameters).await?;
            Ok((Work::Write(Box::new(write)), count_schema(), StatementKind::Update))
        }
        Kind::CreateView(create, text) => views::plan_create(case, *create, text).await.map(defined),
        Kind::DropView { names, if_exists } => views::plan_drop(case, names, if_exists).await.map(defined),
        other => write::plan_definition(case, other, parameters).await.map(defined),
    }
}

fn defined(work: Work) -> (Work, SchemaRef, StatementKind) {
    (work, count_schema(), StatementKind::Definition)
}

fn none_given(parameters: Option<&RecordBatch>) -> Result<()> {
    match parameters {
        Some(_) => Err(Error::invalid("this statement takes no parameters")),
        None => Ok(()),
    }
}

async fn plan_query(
    case: &mut Case,
    statement: datafusion::sql::parser::Statement,
    row: Option<&RecordBatch>,
) -> Result<Rows> {
    let bound = bind_query(case, statement).await?;
    plan_bound(case, bound, row).await
}

async fn plan_bound(case: &mut Case, bound: Bound, row: Option<&RecordBatch>) -> Result<Rows> {
    let plan = with_parameters(bound.plan, row)?;
    plan_rows(case, plan, bound.tables, &bound.state).await
}

/// Verifies, optimises, vends, plans and verifies again.
pub(super) async fn plan_rows(
    case: &mut Case,
    plan: LogicalPlan,
    tables: Vec<Arc<GovernedTable>>,
    state: &SessionState,
) -> Result<Rows> {
    let engine = Arc::clone(case.session.engine());
    let planned = engine.watch(Room::Plan, plan_verified(case, plan, tables, state)).await;
    planned.map_err(|error| case.told(error))
}

async fn plan_verified(
    case: &mut Case,
    plan: LogicalPlan,
    tables: Vec<Arc<GovernedTable>>,
    state: &SessionState,
) -> Result<Rows> {
    let engine = Arc::clone(case.session.engine());
    let decisions = Decisions::new(tables.iter().map(Arc::clone));
    let bound = decisions.verify_logical(plan)?;
    let optimized = decisions.verify_logical(state.optimize(&bound)?)?;
    case.note_columns(&optimized)?;
    let stores = vend_for_plan(case, &optimized, &tables).await?;
    let codecs = codecs(&case.session, &optimized)?;
    let physical = if codecs.is_empty() {
        // What cannot leave this process must not be planned for many.
        DefaultPhysicalPlanner::default().create_physical_plan(&optimized, state).await?
    } else {
        state.query_planner().create_physical_plan(&optimized, state).await?
    };
    let physical = cooperative(physical)?;
    let physical = if codecs.is_empty() { metered(physical)? } else { physical };
    let plan = decisions.verify_physical(physical, &engine.nodes, &*engine.scheduler)?;
    let restricted = tables.iter().any(|table| !table.grant().is_unconditional());
    let context = TaskContext::from(state).with_runtime(runtime(&engine.runtime, &stores)?);
    let schema = answer_schema(&bound, &plan.schema());
    Ok(Rows { plan, logical: optimized.into_inner(), stores, context: Arc::new(context), codecs, schema, restricted })
}

/// Lets operators that make many rows out of few give way now and then, so that a cancelled statement really stops.
fn cooperative(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    const MULTIPLY: [&str; 7] = [
        "CrossJoinExec",
        "HashJoinExec",
        "NestedLoopJoinExec",
        "PiecewiseMergeJoinExec",
        "RecursiveQueryExec",
        "SortMergeJoinExec",
        "UnnestExec",
    ];
    let wrapped = plan.transform_up(|node| {
        Ok(if MULTIPLY.contains(&node.name()) {
            Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)
        } else {
            Transformed::no(node)
        })
    })?;
    Ok(wrapped.data)
}

/// Names and types of the logical plan; nullable where either plan says so.
fn answer_schema(logical: &LogicalPlan, physical: &Schema) -> SchemaRef {
    let logical = plain(logical.schema().as_arrow());
    let fields = (logical.fields().iter().enumerate()).map(|(index, field)| {
        let nullable = physical.fields().get(index).is_none_or(|physical| physical.is_nullable());
        field.as_ref().clone().with_nullable(field.is_nullable() || nullable)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The engine's codec, then those of the catalogs in a plan; none at all if something of it cannot leave this process.
fn codecs(session: &Session, plan: &LogicalPlan) -> Result<Vec<Arc<dyn PhysicalExtensionCodec>>> {
    let Some(own) = &session.engine().codec else { return Ok(Vec::new()) };
    let mut found: HashMap<String, Option<Arc<dyn PhysicalExtensionCodec>>> = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(table) = crate::govern::governed(&scan.source)
        {
            let catalog = &table.grant().table().name.catalog;
            let codec = session.binding(catalog).and_then(|binding| binding.provider.codec());
            found.insert(catalog.clone(), codec);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut named: Vec<_> = found.into_iter().collect();
    named.sort_by(|left, right| left.0.cmp(&right.0));
    let own: Arc<dyn PhysicalExtensionCodec> = Arc::new(own.clone());
    let all = std::iter::once(Some(own)).chain(named.into_iter().map(|(_, codec)| codec));
    Ok(all.collect::<Option<Vec<_>>>().unwrap_or_default())
}

/// `DESCRIBE`: the columns that this person may see of one table.
async fn describe_table(case: &mut Case, name: &TableName) -> Result<RecordBatch> {
    let session = case.session.clone();
    if name.schema == super::resolve::INFORMATION_SCHEMA {
        let table = super::information_schema::table(&session, name, Own::Columns).await?;
        return explain::description(&datafusion::catalog::TableProvider::schema(&table));
    }
    let loaded = load_one(case, name, Action::Describe).await?;
    let facts = loaded.table.facts().clone();
    let accesses = [Action::Discover, Action::Select, Action::Describe]
        .map(|action| Access::new(action, Resource::Table(facts.clone())));
    let decisions = super::decide::decide(&session, &accesses).await?;
    let [discover, select, describe] = decisions.as_slice() else {
        return Err(Error::internal("a decision is missing"));
    };
    let shown = of_known(discover, if select.is_permit() { select } else { describe });
    case.note_decision(facts.id.clone(), Action::Describe, shown, loaded.table.snapshot());
    if !shown.is_permit() {
        return Err(refusal(name, discover, Action::Describe));
    }
    match loaded.table.view() {
        None => explain::description(&*super::listing::visible_schema(&*loaded.table, select, describe)?),
        Some(_) => explain::description(&*views::columns(case, name).await?),
    }
}
