//! What a statement names → governed tables and, below views, the tables that they are made of.
//!
//! A view is named, owned and governed like a table, and lends nobody its owner's rights: its query is bound again in every
//! statement, as the person who asks, who needs to be permitted what it reads. It is planned as what it is, so below each of
//! its tables stands the same barrier as in a query without views. Of its text, and so of what it reads, only those are told
//! who may describe it.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session as DataFusionSession, TableProvider},
    common::TableReference,
    error::{DataFusionError, Result as DataFusionResult},
    logical_expr::{Expr, LogicalPlan, TableType},
    physical_plan::ExecutionPlan,
    sql::parser::Statement as Parsed,
};

use futures::future::BoxFuture;

use super::{
    Session,
    bind::{Bound, bind_against, parameters},
    information_schema,
    resolve::{INFORMATION_SCHEMA, Judged, judged, worse},
    statement::{self, Kind},
    trail::Case,
    versions::{self, Versions},
};
use crate::{
    Error, ErrorKind, Result, TableName,
    catalog::{TableVersion, ViewDefinition},
    govern::{ConstantTable, GovernedTable, plain},
};

/// Tables and views that one statement may stand for.
const RELATIONS: usize = 500;
/// Views inside of one another.
const DEEPEST: usize = 16;

/// Where names look that say no catalog or no schema.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) catalog: String,
    pub(super) schema: String,
}

impl Scope {
    pub(super) fn of(session: &Session) -> Self {
        let (catalog, schema) = session.defaults();
        Self { catalog, schema }
    }

    fn of_view(definition: &ViewDefinition) -> Self {
        Self { catalog: definition.catalog.clone(), schema: definition.schema.clone() }
    }

    /// The full name that a reference stands for.
    pub(super) fn name(&self, reference: &TableReference) -> TableName {
        match reference {
            TableReference::Bare { table } => TableName::new(&self.catalog, &self.schema, table.as_ref()),
            TableReference::Partial { schema, table } => TableName::new(&self.catalog, schema.as_ref(), table.as_ref()),
            TableReference::Full { catalog, schema, table } => {
                TableName::new(catalog.as_ref(), schema.as_ref(), table.as_ref())
            }
        }
    }
}

/// A table or a view, and which of its states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) name: TableName,
    pub(super) version: Option<TableVersion>,
}

/// The names in a statement, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// What each table in a catalog is called in the statement, and what it is.
    tables: Vec<(TableName, Wanted)>,
    /// Of the engine's own.
    own: Vec<TableName>,
}

impl Names {
    /// The names of what a statement reads.
    fn of(session: &Session, statement: &Parsed, scope: &Scope, versions: &Versions) -> Result<Self> {
        let mut names = Self::default();
        let mut seen = HashSet::new();
        for reference in session.engine().template.resolve_table_references(statement)? {
            if is_table_function(session, &reference) {
                continue;
            }
            let called = scope.name(&reference);
            if !seen.insert(called.clone()) {
                continue;
            }
            match versions.find(&called.table) {
                Some((table, version)) => {
                    let name = TableName::new(&called.catalog, &called.schema, table);
                    if name.schema == INFORMATION_SCHEMA {
                        return Err(Error::unsupported("information_schema has no older states"));
                    }
                    names.tables.push((called, Wanted { name, version: Some(version.clone()) }));
                }
                None if called.schema == INFORMATION_SCHEMA => names.own.push(called),
                None => names.tables.push((called.clone(), Wanted { name: called, version: None })),
            }
        }
        Ok(names)
    }
}

/// Whether a name means one of DataFusion's table functions, such as `generate_series`, which read nothing.
fn is_table_function(session: &Session, reference: &TableReference) -> bool {
    matches!(reference, TableReference::Bare { table } if session.engine().table_functions.contains(table.as_ref()))
}

/// A view that this person may read, as far as its own name goes.
#[derive(Debug)]
pub(super) struct Opened {
    statement: Parsed,
    scope: Scope,
    names: Names,
    within: Within,
    /// Whether this person may describe it.
    pub(super) described: bool,
}

/// The view that names something, and the outermost around it, itself included, of whose text this person is told nothing.
#[derive(Debug, Clone)]
struct Within {
    view: TableName,
    hidden: Option<TableName>,
    depth: usize,
}

impl Within {
    fn of(view: TableName, described: bool, around: Option<&Self>) -> Self {
        let hidden = around.and_then(|around| around.hidden.clone());
        let hidden = hidden.or_else(|| (!described).then(|| view.clone()));
        Self { view, hidden, depth: around.map_or(0, |around| around.depth) + 1 }
    }

    /// What a person is told of a failure inside of a view.
    fn told(&self, error: Error) -> Error {
        let Some(view) = &self.hidden else {
            return Error::new(error.kind(), format!("in view {}: {}", self.view, error.message())).with_source(error);
        };
        let kind = error.kind();
        let message = match kind {
            ErrorKind::Unavailable | ErrorKind::ResourceExhausted | ErrorKind::DeadlineExceeded => {
                format!("view {view} cannot be read at the moment; try again later")
            }
            ErrorKind::Unauthenticated => format!("a catalog that view {view} reads does not accept you; log in again"),
            ErrorKind::Cancelled => format!("view {view} was not read to its end"),
            ErrorKind::Internal => format!("view {view} cannot be read; see the engine's log"),
            _ => {
                let message =
                    format!("view {view} reads something that is not there or that you may not read; ask its owner");
                return Error::denied(message).with_source(error);
            }
        };
        Error::new(kind, message).with_source(error)
    }
}

/// A name that was found.
#[derive(Debug)]
pub(super) enum Known {
    Table(Arc<GovernedTable>),
    View(Arc<Opened>),
}

/// Everything that a statement stands for, in the order in which it was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) order: Vec<Wanted>,
    pub(super) known: HashMap<Wanted, Result<Known>>,
}

impl Found {
    /// Of all failures the one that a person is told.
    fn check(&self) -> Result<()> {
        let mut failure = None;
        for wanted in &self.order {
            if let Some(Err(error)) = self.known.get(wanted) {
                failure = Some(worse(failure, error.clone()));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The first view that this person may read and not describe.
    fn undescribed(&self) -> Option<TableName> {
        let is_secret =
            |wanted: &&Wanted| matches!(self.known.get(*wanted), Some(Ok(Known::View(view))) if !view.described);
        self.order.iter().find(is_secret).map(|wanted| wanted.name.clone())
    }
}

/// Finds everything that `names` stand for, as this person: all of a round at once, until views name nothing new.
///
/// # Errors
/// `InvalidInput` if that is too much, `Unavailable` if the policy engine does not answer; what else fails is in the answer.
async fn find(case: &mut Case, names: &Names) -> Result<Found> {
    let mut found = Found::default();
    let mut round: Vec<(Wanted, Option<Within>)> =
        names.tables.iter().map(|(_, wanted)| (wanted.clone(), None)).collect();
    loop {
        let mut new = HashSet::new();
        round.retain(|(wanted, _)| !found.known.contains_key(wanted) && new.insert(wanted.clone()));
        if round.is_empty() {
            return Ok(found);
        }
        if found.order.len() + round.len() > RELATIONS {
            return Err(Error::invalid(format!(
                "the statement stands for more than {RELATIONS} tables and views; split it"
            )));
        }
        let wanted: Vec<Wanted> = round.iter().map(|(wanted, _)| wanted.clone()).collect();
        let answers = judged(case, &wanted).await?;
        let mut next = Vec::new();
        for ((wanted, around), answer) in round.into_iter().zip(answers) {
            let one = match answer {
                Ok(Judged::Table(table)) => Ok(Known::Table(table)),
                Ok(Judged::View { definition, described }) => {
                    // As in `Binder::view`.
                    tokio::task::yield_now().await;
                    let within = Within::of(wanted.name.clone(), described, around.as_ref());
                    let opened = open(case, &definition, within.clone(), described).await;
                    opened.map(|view| Known::View(Arc::new(view))).map_err(|error| within.told(error))
                }
                Err(error) => Err(around.map_or_else(|| error.clone(), |around| around.told(error.clone()))),
            };
            if let Ok(Known::View(view)) = &one {
                next.extend(view.names.tables.iter().map(|(_, below)| (below.clone(), Some(view.within.clone()))));
            }
            found.order.push(wanted.clone());
            found.known.insert(wanted, one);
        }
        round = next;
    }
}

/// Reads a view's text.
async fn open(case: &Case, definition: &ViewDefinition, within: Within, described: bool) -> Result<Opened> {
    if within.depth > DEEPEST {
        return Err(Error::invalid(format!("more than {DEEPEST} views stand on one another")));
    }
    let limit = case.session.engine().limits.statement_bytes;
    let Kind::Query(mut statement) = statement::parse(&definition.sql, limit)? else {
        return Err(Error::invalid("its text is not a query"));
    };
    let versions = versions::take(case, &mut statement).await?;
    let scope = Scope::of_view(definition);
    let names = Names::of(&case.session, &statement, &scope, &versions)?;
    Ok(Opened { statement, scope, names, within, described })
}

/// A table or a view that a statement may name.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) name: TableName,
    pub(super) provider: Arc<dyn TableProvider>,
    pub(super) governed: Vec<Arc<GovernedTable>>,
    /// The views that it is made of.
    pub(super) views: Vec<ReadView>,
}

/// A view that a statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadView {
    pub(super) name: TableName,
    /// Whether this person may describe it.
    pub(super) described: bool,
}

impl Source {
    pub(super) fn governed(name: TableName, table: Arc<GovernedTable>) -> Self {
        let provider = Arc::clone(&table) as Arc<dyn TableProvider>;
        Self { name, provider, governed: vec![table], views: Vec::new() }
    }
}

/// Whether the engine's own tables are read, or only looked at for their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Rows,
    Columns,
}

/// The sources of what a statement reads.
///
/// # Errors
/// `NotFound` for what is missing or may not be known, `PermissionDenied` for what may be known and not read; those of a
/// failing catalog. All tables are noted for the trail before the first error is returned.
pub(super) async fn bind_sources(
    case: &mut Case,
    statement: &Parsed,
    scope: &Scope,
    versions: &Versions,
    own: Own,
) -> Result<Vec<Source>> {
    let names = Names::of(&case.session, statement, scope, versions)?;
    let found = find(case, &names).await?;
    found.check()?;
    case.secret = case.secret.take().or_else(|| found.undescribed());
    Binder { case, found: &found, views: HashMap::new(), lists: HashMap::new(), own }
        .sources(&names, &mut Vec::new())
        .await
}

/// Everything that a query stands for, with what failed.
pub(super) async fn look(case: &mut Case, statement: &Parsed, versions: &Versions) -> Result<Found> {
    let names = Names::of(&case.session, statement, &Scope::of(&case.session), versions)?;
    find(case, &names).await
}

/// Binds the views of one statement, each once.
struct Binder<'a> {
    case: &'a Case,
    found: &'a Found,
    views: HashMap<TableName, Source>,
    /// The engine's own tables: each lists much, and many views can ask for the same.
    lists: HashMap<TableName, Source>,
    own: Own,
}

impl Binder<'_> {
    /// `path`: the views that these names stand in.
    async fn sources(&mut self, names: &Names, path: &mut Vec<TableName>) -> Result<Vec<Source>> {
        let mut sources = Vec::with_capacity(names.own.len() + names.tables.len());
        for name in &names.own {
            if let Some(known) = self.lists.get(name) {
                sources.push(known.clone());
                continue;
            }
            // Whoever lists columns binds views, which may read such tables: the types of these futures would hold themselves.
            let table: BoxFuture<'_, Result<ConstantTable>> =
                Box::pin(information_schema::table(&self.case.session, name, self.own));
            let table = table.await?;
            let provider: Arc<dyn TableProvider> = Arc::new(table);
            let source = Source { name: name.clone(), provider, governed: Vec::new(), views: Vec::new() };
            self.lists.insert(name.clone(), source.clone());
            sources.push(source);
        }
        for (called, wanted) in &names.tables {
            let source = match self.found.known.get(wanted) {
                Some(Ok(Known::Table(table))) => Source::governed(called.clone(), Arc::clone(table)),
                Some(Ok(Known::View(view))) => self.view(&wanted.name, view, path).await?,
                Some(Err(error)) => return Err(error.clone()),
                None => return Err(Error::internal("a name of a statement was not looked for")),
            };
            sources.push(Source { name: called.clone(), ..source });
        }
        Ok(sources)
    }

    async fn view(&mut self, name: &TableName, view: &Opened, path: &mut Vec<TableName>) -> Result<Source> {
        if let Some(known) = self.views.get(name) {
            return Ok(known.clone());
        }
        // Binding does not pause by itself: here a statement whose time is up, or for which nobody waits, ends.
        tokio::task::yield_now().await;
        if path.contains(name) {
            return Err(view.within.told(Error::invalid("it reads itself; replace it")));
        }
        path.push(name.clone());
        let bound = Box::pin(self.bind(view, path)).await;
        path.pop();
        let bound = bound.map_err(|error| view.within.told(error))?;
        let mut views = vec![ReadView { name: name.clone(), described: view.described }];
        views.extend(bound.views);
        let provider: Arc<dyn TableProvider> = Arc::new(BoundView::new(bound.plan));
        let source = Source { name: name.clone(), provider, governed: bound.tables, views };
        self.views.insert(name.clone(), source.clone());
        Ok(source)
    }

    async fn bind(&mut self, view: &Opened, path: &mut Vec<TableName>) -> Result<Bound> {
        let sources = self.sources(&view.names, path).await?;
        let bound = bind_against(self.case, view.statement.clone(), &view.scope, sources, Vec::new()).await?;
        if !parameters(&bound.plan)?.fields().is_empty() {
            return Err(Error::unsupported("its query has parameters"));
        }
        Ok(bound)
    }
}

/// A view's query, bound for one statement. Planners put it where the view is named; nobody scans it.
#[derive(Debug)]
struct BoundView {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl BoundView {
    fn new(plan: LogicalPlan) -> Self {
        let schema = plain(plan.schema().as_arrow());
        Self { plan, schema }
    }
}

#[async_trait]
impl TableProvider for BoundView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }

    async fn scan(
        &self,
        _state: &dyn DataFusionSession,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal("a view was scanned".into()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// What somebody may not know looks like a denial; that nobody could tell does not.
    #[rstest]
    #[case(ErrorKind::NotFound, ErrorKind::PermissionDenied)]
    #[case(ErrorKind::PermissionDenied, ErrorKind::PermissionDenied)]
    #[case(ErrorKind::InvalidInput, ErrorKind::PermissionDenied)]
    #[case(ErrorKind::Unsupported, ErrorKind::PermissionDenied)]
    #[case(ErrorKind::Unavailable, ErrorKind::Unavailable)]
    #[case(ErrorKind::Unauthenticated, ErrorKind::Unauthenticated)]
    #[case(ErrorKind::ResourceExhausted, ErrorKind::ResourceExhausted)]
    #[case(ErrorKind::DeadlineExceeded, ErrorKind::DeadlineExceeded)]
    #[case(ErrorKind::Cancelled, ErrorKind::Cancelled)]
    #[case(ErrorKind::Internal, ErrorKind::Internal)]
    fn failures_inside_of_a_secret_view_are_told_apart_without_its_text(
        #[case] kind: ErrorKind,
        #[case] told: ErrorKind,
    ) {
        let name = |table: &str| TableName::new("lake", "s", table);
        let error = || Error::new(kind, "of a secret");
        let secret = Within::of(name("v"), false, None);
        for within in [&secret, &Within::of(name("w"), true, Some(&secret))] {
            let shown = within.told(error());
            assert_eq!(shown.kind(), told);
            assert!(shown.message().contains("lake.s.v") && !shown.message().contains("secret"), "{shown}");
        }
        let known = Within::of(name("v"), true, None).told(error());
        assert_eq!((known.kind(), known.message()), (kind, "in view lake.s.v: of a secret"));
    }
}
