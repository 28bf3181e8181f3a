//! Statements that change something: INSERT, CREATE, DROP.

use std::sync::Arc;

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::{
    execution::{SessionState, TaskContext},
    logical_expr::{DdlStatement, LogicalPlan, WriteOp, dml::InsertOp},
    sql::{
        parser::Statement as Parsed,
        sqlparser::ast::{CreateTable, CreateTableOptions, ObjectName, SqlOption, Statement as Ast},
    },
};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    Session,
    bind::{bind_against, bind_query, with_parameters},
    decide::decide,
    plan::{Rows, Work, count_batch, plan_rows},
    prepared::{typed, untyped},
    resolve::{INFORMATION_SCHEMA, Loaded, load, load_one, name_of_parts, of_known, refusal},
    run::{Ledger, Stop, concluded, start, wrap},
    sources::{Own, Scope, Source, bind_sources},
    statement::{self, Kind},
    trail::Case,
    vend::{runtime, vend},
    versions,
};
use crate::{
    Access, Action, Decision, Error, ErrorKind, QueryId, Resource, Result, TableId, TableName,
    catalog::{CatalogChange, CatalogSession, NewTable, StoreRef, TableWrite, WriteRequest, WriteTarget},
    credentials::Operation,
    govern::{GovernedTable, WriteGrant, plain},
};

/// An authorised write of rows.
#[derive(Debug)]
pub(super) struct Write {
    rows: Rows,
    target: WriteTarget,
    store: Option<StoreRef>,
    catalog: Arc<dyn CatalogSession>,
    shared: super::builder::SharedRuntime,
}

impl Write {
    /// The plan of the rows that are written.
    pub(super) fn logical(&self) -> &LogicalPlan {
        &self.rows.logical
    }
}

/// An authorised change of definitions; several drops are made one by one, in order.
#[derive(Debug)]
pub(super) struct Change {
    steps: Vec<(Arc<dyn CatalogSession>, CatalogChange)>,
    grant: WriteGrant,
    ignore: Option<ErrorKind>,
}

/// An INSERT bound against its target and its sources.
pub(super) struct BoundInsert {
    pub(super) input: LogicalPlan,
    tables: Vec<Arc<GovernedTable>>,
    state: SessionState,
    target: Loaded,
}

pub(super) async fn bind_insert(case: &mut Case, target: &ObjectName, mut statement: Parsed) -> Result<BoundInsert> {
    let session = case.session.clone();
    let name = name_of_parts(&session, &statement::parts(target)?)?;
    if name.schema == INFORMATION_SCHEMA {
        return Err(Error::denied("information_schema cannot be changed"));
    }
    let (versions, scope) = (versions::take(case, &mut statement).await?, Scope::of(&session));
    let Parsed::Statement(ast) = &statement else { return Err(Error::internal("an INSERT is not one")) };
    let Ast::Insert(insert) = &**ast else { return Err(Error::internal("an INSERT is not one")) };
    let Some(query) = insert.source.clone() else {
        return Err(Error::unsupported("INSERT needs VALUES or a query; DEFAULT VALUES is not offered"));
    };
    let query = Parsed::Statement(Box::new(Ast::Query(query)));
    let sources = bind_sources(case, &query, &scope, &versions, Own::Rows).await?;
    let (loaded, table) = writable(case, &name).await?;
    let statement = typed(statement, &case.types);
    let bound = bind_against(case, statement, &scope, sources, vec![Source::governed(name, table)]).await?;
    let LogicalPlan::Dml(dml) = untyped(bound.plan) else {
        return Err(Error::internal("an INSERT was bound to something else"));
    };
    if !matches!(dml.op, WriteOp::Insert(InsertOp::Append)) {
        return Err(Error::unsupported("only INSERT INTO is offered"));
    }
    let input = Arc::unwrap_or_clone(dml.input);
    Ok(BoundInsert { input, tables: bound.tables, state: bound.state, target: loaded })
}

/// The target of an INSERT, if this person may add to it and policy holds nothing of it back.
pub(super) async fn writable(case: &mut Case, name: &TableName) -> Result<(Loaded, Arc<GovernedTable>)> {
    let session = case.session.clone();
    let loaded = load_one(case, name, Action::Insert).await?;
    let facts = loaded.table.facts().clone();
    let accesses = [Action::Discover, Action::Insert, Action::Select]
        .map(|action| Access::new(action, Resource::Table(facts.clone())));
    let decisions = decide(&session, &accesses).await?;
    let [discover, insert, select] = decisions.as_slice() else { return Err(Error::internal("a decision is missing")) };
    let (insert, select) = (of_known(discover, insert), of_known(discover, select));
    // Until write checks are built, who sees only a part of a table may not add to it.
    let partial = [insert, select].iter().any(|decision| decision.restrictions().is_some_and(|held| !held.is_none()));
    let effective = if partial {
        Decision::deny().decided_by(select.policies.clone(), select.snapshot.clone())
    } else {
        insert.clone()
    };
    case.note_decision(facts.id.clone(), Action::Insert, &effective, loaded.table.snapshot());
    if partial {
        return Err(Error::denied(format!("you see only a part of {name}, so you may not add to it")));
    }
    if !insert.is_permit() {
        return Err(refusal(name, discover, Action::Insert));
    }
    table_only(name, &loaded)?;
    let principal = session.identity().principal.clone();
    let key = session.engine().mask_key.clone();
    let (table, source) = (Arc::clone(&loaded.table), Arc::clone(&loaded.session));
    // INVARIANT: the target stands in the plan for its schema alone; a source of the same name is governed by itself.
    let governed = GovernedTable::new(case.query, insert, table, source, principal, key)?.write_only();
    Ok((loaded, Arc::new(governed)))
}

pub(super) async fn plan_insert(
    case: &mut Case,
    target: &ObjectName,
    statement: Parsed,
    parameters: Option<&RecordBatch>,
) -> Result<Write> {
    let bound = bind_insert(case, target, statement).await?;
    let input = with_parameters(bound.input, parameters)?;
    let rows = plan_rows(case, input, bound.tables, &bound.state).await?;
    let name = bound.target.table.facts().id.name.clone();
    write_to(case, rows, WriteTarget::Append(bound.target.table), &name, bound.target.session).await
}

pub(super) async fn write_to(
    case: &mut Case,
    rows: Rows,
    target: WriteTarget,
    name: &TableName,
    catalog: Arc<dyn CatalogSession>,
) -> Result<Write> {
    let prefixes = catalog.write_prefixes(&target).await?;
    let store = vend(case, name, &prefixes, Operation::Write).await?.map(|(store, _)| store);
    let shared = Arc::clone(&case.session.engine().runtime);
    Ok(Write { rows, target, store, catalog, shared })
}

/// Plans every statement that defines or removes something.
pub(super) async fn plan_definition(case: &mut Case, kind: Kind, parameters: Option<&RecordBatch>) -> Result<Work> {
    if parameters.is_some() && !matches!(&kind, Kind::CreateTable(create) if create.query.is_some()) {
        return Err(Error::invalid("this statement takes no parameters"));
    }
    match kind {
        Kind::CreateTable(create) => plan_create_table(case, *create, parameters).await,
        Kind::CreateSchema { name, if_not_exists } => {
            let (catalog, schema) = schema_name(&case.session, &name)?;
            let resource = Resource::Catalog(catalog.clone());
            let place = TableName::new(catalog, &schema, "");
            let opened = permit_change(case, Action::Create, resource, &place).await?;
            let owner = case.session.identity().principal.clone();
            let ignore = if_not_exists.then_some(ErrorKind::AlreadyExists);
            Ok(change(case, vec![(opened, CatalogChange::CreateSchema { schema, owner })], ignore))
        }
        Kind::DropSchema { names, if_exists } => {
            let mut steps = Vec::new();
            for name in names {
                let (catalog, schema) = schema_name(&case.session, &name)?;
                let resource = Resource::Schema { catalog: catalog.clone(), schema: schema.clone() };
                let place = TableName::new(catalog, &schema, "");
                let opened = permit_change(case, Action::Drop, resource, &place).await?;
                steps.push((opened, CatalogChange::DropSchema { schema }));
            }
            Ok(change(case, steps, if_exists.then_some(ErrorKind::NotFound)))
        }
        Kind::DropTable { names, if_exists } => {
            let mut steps = Vec::new();
            for name in names {
                let name = name_of_parts(&case.session, &statement::parts(&name)?)?;
                match droppable(case, &name).await {
                    Ok((opened, table)) => steps.push((opened, CatalogChange::DropTable { table })),
                    Err(error) if if_exists && error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(change(case, steps, if_exists.then_some(ErrorKind::NotFound)))
        }
        _ => Err(Error::internal("a statement took a wrong turn")),
    }
}

pub(super) fn change(
    case: &Case,
    steps: Vec<(Arc<dyn CatalogSession>, CatalogChange)>,
    ignore: Option<ErrorKind>,
) -> Work {
    let grant = WriteGrant::mint(case.query, case.session.identity().principal.clone());
    Work::Change(Change { steps, grant, ignore })
}

fn schema_name(session: &Session, name: &ObjectName) -> Result<(String, String)> {
    let (default_catalog, _) = session.defaults();
    let (catalog, schema) = match statement::parts(name)?.as_slice() {
        [schema] => (default_catalog, schema.clone()),
        [catalog, schema] => (catalog.clone(), schema.clone()),
        _ => return Err(Error::invalid(format!("{name} is no name of a schema; write catalog.schema"))),
    };
    if schema == INFORMATION_SCHEMA {
        return Err(Error::denied("information_schema cannot be changed"));
    }
    Ok((catalog, schema))
}

/// Asks for one change, and opens its catalog. Who may not even discover the place is told that it does not exist, in the
/// words in which everybody is told of a catalog that the engine does not have.
async fn permit_change(
    case: &mut Case,
    action: Action,
    resource: Resource,
    place: &TableName,
) -> Result<Arc<dyn CatalogSession>> {
    let missing = || {
        let (kind, list) = match &resource {
            Resource::Catalog(_) => ("catalog", "SHOW CATALOGS"),
            _ => ("schema", "SHOW SCHEMAS"),
        };
        Error::not_found(format!("{kind} {resource} does not exist; list what you can see with {list}"))
    };
    let accesses = [Access::new(Action::Discover, resource.clone()), Access::new(action, resource.clone())];
    let decisions = decide(&case.session, &accesses).await?;
    let [discover, decision] = decisions.as_slice() else { return Err(Error::internal("a decision is missing")) };
    let decision = of_known(discover, decision);
    if case.session.binding(&place.catalog).is_none() {
        case.note_missing(place, action);
        return Err(missing());
    }
    let id = TableId::new(place.clone(), uuid::Uuid::nil());
    case.note_decision(id, action, decision, None);
    match (decision.is_permit(), discover.is_permit()) {
        // Only now, so that what the catalog answers tells nobody else that it is there.
        (true, _) => case.session.catalog(&place.catalog).await?.ok_or_else(missing),
        (false, true) => Err(Error::denied(format!("you may not {action} in {resource}; ask its owner"))),
        (false, false) => Err(missing()),
    }
}

/// A table that this person may drop, and the session that loaded it.
async fn droppable(case: &mut Case, name: &TableName) -> Result<(Arc<dyn CatalogSession>, TableId)> {
    let loaded = to_drop(case, name).await?;
    let table = loaded.table.facts().id.clone();
    Ok((loaded.session, table))
}

/// Tells those who may know of a view that it is one.
fn table_only(name: &TableName, loaded: &Loaded) -> Result<()> {
    match loaded.table.view() {
        Some(_) => Err(Error::invalid(format!("{name} is a view; this is offered for tables only"))),
        None => Ok(()),
    }
}

/// A table that this person may drop.
pub(super) async fn to_drop(case: &mut Case, name: &TableName) -> Result<Loaded> {
    let loaded = to_remove(case, name).await?;
    table_only(name, &loaded)?;
    Ok(loaded)
}

/// A table or a view that this person may drop.
pub(super) async fn to_remove(case: &mut Case, name: &TableName) -> Result<Loaded> {
    let loaded = load_one(case, name, Action::Drop).await?;
    let facts = loaded.table.facts().clone();
    let accesses = [Action::Discover, Action::Drop].map(|action| Access::new(action, Resource::Table(facts.clone())));
    let decisions = decide(&case.session, &accesses).await?;
    let [discover, drop] = decisions.as_slice() else { return Err(Error::internal("a decision is missing")) };
    let drop = of_known(discover, drop);
    case.note_decision(facts.id.clone(), Action::Drop, drop, loaded.table.snapshot());
    if drop.is_permit() { Ok(loaded) } else { Err(refusal(name, discover, Action::Drop)) }
}

async fn plan_create_table(case: &mut Case, mut create: CreateTable, parameters: Option<&RecordBatch>) -> Result<Work> {
    let session = case.session.clone();
    let name = name_of_parts(&session, &statement::parts(&create.name)?)?;
    let partitioning = match create.partition_by.take() {
        Some(expr) => statement::partitioning(&expr)?,
        None => Vec::new(),
    };
    let properties = properties(&create)?;
    create.table_options = CreateTableOptions::None;
    let catalog = permit_create(case, &name).await?;
    let ignore = create.if_not_exists.then_some(ErrorKind::AlreadyExists);
    // Of a table that does not load the catalog itself says, when the new one is made, whether it has the name already. Why
    // it does not load is not for everybody who may create tables here.
    if create.if_not_exists && matches!(load(&session, std::slice::from_ref(&name)).await.as_slice(), [Ok(_)]) {
        return Ok(Work::Ready(count_batch(0)?));
    }
    let new = |schema: SchemaRef| NewTable {
        name: name.clone(),
        schema,
        partitioning: partitioning.clone(),
        owner: session.identity().principal.clone(),
        properties: properties.clone(),
    };
    if let Some(query) = create.query.take() {
        if !create.columns.is_empty() {
            return Err(Error::unsupported("CREATE TABLE … AS takes its columns from its query; leave the list out"));
        }
        let bound = bind_query(case, Parsed::Statement(Box::new(Ast::Query(query)))).await?;
        let plan = with_parameters(bound.plan, parameters)?;
        let rows = plan_rows(case, plan, bound.tables, &bound.state).await?;
        let target = WriteTarget::Create(new(Arc::clone(&rows.schema)));
        return Ok(Work::Write(Box::new(write_to(case, rows, target, &name, catalog).await?)));
    }
    if create.columns.is_empty() {
        return Err(Error::invalid("a table needs columns; list them or write CREATE TABLE … AS SELECT …"));
    }
    let statement = Parsed::Statement(Box::new(Ast::CreateTable(create)));
    let bound = bind_against(case, statement, &Scope::of(&session), Vec::new(), Vec::new()).await?;
    let LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(table)) = bound.plan else {
        return Err(Error::unsupported("only plain CREATE TABLE is offered"));
    };
    if !table.column_defaults.is_empty() || table.constraints.iter().next().is_some() {
        return Err(Error::unsupported(
            "column defaults and constraints other than NOT NULL are not offered; leave them out",
        ));
    }
    let schema = plain(table.input.schema().as_arrow());
    Ok(change(case, vec![(catalog, CatalogChange::CreateTable(new(schema)))], ignore))
}

pub(super) async fn permit_create(case: &mut Case, name: &TableName) -> Result<Arc<dyn CatalogSession>> {
    if name.schema == INFORMATION_SCHEMA {
        return Err(Error::denied("information_schema cannot be changed"));
    }
    let resource = Resource::Schema { catalog: name.catalog.clone(), schema: name.schema.clone() };
    permit_change(case, Action::Create, resource, name).await
}

fn properties(create: &CreateTable) -> Result<Vec<(String, String)>> {
    let options = match &create.table_options {
        CreateTableOptions::None => return Ok(Vec::new()),
        CreateTableOptions::With(options) | CreateTableOptions::Options(options) => options,
        _ => return Err(Error::unsupported("write table properties as WITH ('name' = 'value')")),
    };
    (options.iter())
        .map(|option| match option {
            SqlOption::KeyValue { key, value } => {
                let value = value.to_string();
                Ok((statement::normal(key), value.trim_matches('\'').to_owned()))
            }
            _ => Err(Error::unsupported("write table properties as WITH ('name' = 'value')")),
        })
        .collect()
}

/// Stages, commits once, and tells the trail. Once the commit has begun the work goes on to its end even if nobody waits
/// for it any more: neither a commit nor its record is left half-done.
pub(super) async fn run_write(
    session: &Session,
    query: QueryId,
    write: Write,
    mut stop: Stop,
    mut ledger: Ledger,
) -> Result<u64> {
    let session = session.clone();
    let abandoned = CancellationToken::new();
    let _guard = abandoned.clone().drop_guard();
    let task = tokio::spawn(async move {
        let staged = tokio::select! {
            biased;
            () = abandoned.cancelled() => Err(Error::new(ErrorKind::Cancelled, "the client went away")),
            staged = stop.guard(stage(&session, query, write)) => staged,
        };
        let rows = match staged {
            Ok((sink, staged)) => ledger.commit(sink.commit(staged)).await,
            Err(error) => Err(error),
        };
        match rows {
            Ok(rows) => {
                ledger.count(rows);
                ledger.conclude(None).await.map_or(Ok(rows), Err)
            }
            Err(error) => Err(concluded(ledger, error).await),
        }
    });
    task.await.unwrap_or_else(|_| Err(Error::internal("a write failed; see the engine's log")))
}

/// Runs the sink to its end. What a failed sink staged, it removes itself.
async fn stage(session: &Session, query: QueryId, write: Write) -> Result<(Arc<dyn TableWrite>, Vec<RecordBatch>)> {
    let Write { mut rows, target, store, catalog, shared } = write;
    let grant = WriteGrant::mint(query, session.identity().principal.clone());
    let sink = catalog.begin(WriteRequest::new(&grant, target, store.as_ref())).await?;
    rows.plan = wrap(rows.plan, |input| sink.sink(input))?;
    rows.stores.extend(store);
    let runtime = runtime(&shared, &rows.stores)?;
    rows.context = Arc::new(TaskContext::new(
        rows.context.task_id(),
        rows.context.session_id(),
        rows.context.session_config().clone(),
        rows.context.scalar_functions().clone(),
        rows.context.higher_order_functions().clone(),
        rows.context.aggregate_functions().clone(),
        rows.context.window_functions().clone(),
        runtime,
    ));
    let mut stream = start(session, query, rows).await?;
    let mut staged = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(batch)) => staged.push(batch),
            Ok(None) => return Ok((sink, staged)),
            Err(error) => {
                drop(stream);
                sink.abort(staged).await;
                return Err(error.into());
            }
        }
    }
}

/// Makes a change of definitions, and tells the trail. A step that has begun is not interrupted: nobody could say whether
/// it was made.
pub(super) async fn run_change(change: Change, mut stop: Stop, ledger: Ledger) -> Result<()> {
    let task = tokio::spawn(async move {
        let Change { steps, grant, ignore } = change;
        let made = async {
            for (catalog, step) in steps {
                stop.guard(async { Ok(()) }).await?;
                match ledger.commit(catalog.change(step, &grant)).await {
                    Err(error) if Some(error.kind()) == ignore => {}
                    other => other?,
                }
            }
            Ok::<(), Error>(())
        };
        match made.await {
            Ok(()) => ledger.conclude(None).await.map_or(Ok(()), Err),
            Err(error) => Err(concluded(ledger, error).await),
        }
    });
    task.await.unwrap_or_else(|_| Err(Error::internal("a change failed; see the engine's log")))
}
