//! Statements that define views, and the columns of views.

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::sql::{
    parser::Statement as Parsed,
    sqlparser::ast::{CreateView, ObjectName},
};
use futures::future::BoxFuture;

use super::{
    Session,
    bind::{Bound, bind_against, parameters},
    decide::decide,
    listing::VisibleTable,
    plan::{Work, aside, count_batch},
    resolve::{Loaded, load, name_of_parts, of_known, refusal},
    sources::{Own, Scope, bind_sources},
    statement::{self, normal, quoted},
    trail::Case,
    versions,
    write::{change, permit_create, to_remove},
};
use crate::{
    Access, Action, Error, ErrorKind, Resource, Result, TableName,
    catalog::{CatalogChange, NewView, ViewDefinition},
    govern::plain,
};

/// `CREATE [OR REPLACE] VIEW`: the query is bound as its creator, so that there are no views of what they may not read.
pub(super) async fn plan_create(case: &mut Case, create: CreateView, text: String) -> Result<Work> {
    let session = case.session.clone();
    let name = name_of_parts(&session, &statement::parts(&create.name)?)?;
    let catalog = permit_create(case, &name).await?;
    let existing = load(&session, std::slice::from_ref(&name)).await.pop();
    if create.if_not_exists && matches!(existing, Some(Ok(_))) {
        return Ok(Work::Ready(count_batch(0)?));
    }
    let replaced = match existing {
        Some(Ok(loaded)) if create.or_replace => Some(replaceable(case, &name, loaded).await?),
        // What does not load is the catalog's to tell, once the new one is made.
        _ => None,
    };
    let scope = Scope::of(&session);
    let bound = bind(case, query(&session, &text)?, &scope).await?;
    let called: Vec<String> = create.columns.iter().map(|column| normal(&column.name)).collect();
    let (text, bound) = if called.is_empty() {
        (text, bound)
    } else {
        // As it will be read, and noted once.
        let text = with_columns(&text, &name, bound.plan.schema().as_arrow(), &called)?;
        let bound = bind(&mut case.clone(), query(&session, &text)?, &scope).await?;
        (text, bound)
    };
    if !parameters(&bound.plan)?.fields().is_empty() {
        return Err(Error::unsupported("a view has no parameters; write values into its query"));
    }
    if bound.views.iter().any(|view| view.name == name) {
        return Err(Error::invalid(format!("view {name} would read itself")));
    }
    let mut names = HashSet::new();
    if let Some(twice) = bound.plan.schema().fields().iter().find(|field| !names.insert(field.name().clone())) {
        return Err(Error::invalid(format!("two columns of the view are called {:?}; name them", twice.name())));
    }
    let definition = ViewDefinition::new(text, &scope.catalog, &scope.schema);
    let schema = plain(bound.plan.schema().as_arrow());
    let new = NewView::new(name, definition, schema, session.identity().principal.clone());
    let ignore = create.if_not_exists.then_some(ErrorKind::AlreadyExists);
    let step = match replaced {
        Some(old) => (old.session, CatalogChange::ReplaceView(old.table, new)),
        None => (catalog, CatalogChange::CreateView(new)),
    };
    Ok(change(case, vec![step], ignore))
}

/// Binds a query that is looked at for its columns alone.
async fn bind(case: &mut Case, mut query: Parsed, scope: &Scope) -> Result<Bound> {
    let versions = versions::take(case, &mut query).await?;
    let sources = bind_sources(case, &query, scope, &versions, Own::Columns).await?;
    bind_against(case, query, scope, sources, Vec::new()).await
}

/// A view's text as what is read.
fn query(session: &Session, text: &str) -> Result<Parsed> {
    match statement::parse(text, session.engine().limits.statement_bytes)? {
        statement::Kind::Query(query) => Ok(query),
        _ => Err(Error::invalid("a view needs a query; write CREATE VIEW name AS SELECT …")),
    }
}

/// The text of a query whose columns are called like this. Each is named by what the query itself calls it: of a list behind
/// the query's alias DataFusion 54.1 takes columns for one another that differ in case only.
fn with_columns(text: &str, view: &TableName, found: &Schema, columns: &[String]) -> Result<String> {
    if found.fields().len() != columns.len() {
        let (found, given) = (found.fields().len(), columns.len());
        return Err(Error::invalid(format!("the query has {found} columns and {given} names are given")));
    }
    let pairs = found.fields().iter().zip(columns);
    let columns: Vec<String> =
        pairs.map(|(field, name)| format!("{} AS {}", quoted(field.name()), quoted(name))).collect();
    // The line ends a comment that the query may end with.
    Ok(format!("SELECT {} FROM ({text}\n) AS {}", columns.join(", "), quoted(&view.table)))
}

/// The view that this person may give another query.
async fn replaceable(case: &mut Case, name: &TableName, loaded: Loaded) -> Result<Loaded> {
    let facts = loaded.table.facts().clone();
    let accesses = [Action::Discover, Action::Alter].map(|action| Access::new(action, Resource::Table(facts.clone())));
    let decisions = decide(&case.session, &accesses).await?;
    let [discover, alter] = decisions.as_slice() else { return Err(Error::internal("a decision is missing")) };
    let alter = of_known(discover, alter);
    case.note_decision(facts.id, Action::Alter, alter, loaded.table.snapshot());
    if !alter.is_permit() {
        // Whoever may create here learns that the name is taken, as from CREATE VIEW; nobody learns more.
        return Err(match discover.is_permit() {
            true => refusal(name, discover, Action::Alter),
            false => Error::already_exists(format!("table {name} exists already")),
        });
    }
    match loaded.table.view() {
        Some(_) => Ok(loaded),
        None => Err(Error::invalid(format!("{name} is a table, which no view replaces; drop it first"))),
    }
}

/// `DROP VIEW`.
pub(super) async fn plan_drop(case: &mut Case, names: Vec<ObjectName>, if_exists: bool) -> Result<Work> {
    let mut steps = Vec::new();
    for name in names {
        let name = name_of_parts(&case.session, &statement::parts(&name)?)?;
        match to_remove(case, &name).await {
            Ok(loaded) if loaded.table.view().is_some() => {
                let view = loaded.table.facts().id.clone();
                steps.push((loaded.session, CatalogChange::DropView { view }));
            }
            Ok(_) => return Err(Error::invalid(format!("{name} is a table; write DROP TABLE"))),
            Err(error) if if_exists && error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(change(case, steps, if_exists.then_some(ErrorKind::NotFound)))
}

/// The columns that a view's query has for this person.
///
/// # Errors
/// Those of reading it. Nothing is noted for the trail: nothing is read.
pub(super) async fn columns(case: &Case, name: &TableName) -> Result<SchemaRef> {
    let mut case = case.clone();
    let name = [&name.catalog, &name.schema, &name.table].map(|part| quoted(part)).join(".");
    let statement = query(&case.session, &format!("SELECT * FROM {name}"))?;
    let scope = Scope::of(&case.session);
    let bound = bind(&mut case, statement, &scope).await?;
    Ok(plain(bound.plan.schema().as_arrow()))
}

/// Gives views the columns that their queries have for this person; none if they may not read them.
///
/// # Errors
/// Those that say nothing about a view, such as an outage. That one is too much for the engine hides no other.
pub(super) async fn describe(session: &Session, views: Vec<&mut VisibleTable>) -> Result<()> {
    if views.is_empty() {
        return Ok(());
    }
    let names = views.iter().map(|view| view.name.clone()).collect();
    for (view, schema) in views.into_iter().zip(all_columns(session, names).await?) {
        view.schema = schema;
    }
    Ok(())
}

fn all_columns(session: &Session, names: Vec<TableName>) -> BoxFuture<'static, Result<Vec<SchemaRef>>> {
    let case = Case::new(session, "");
    Box::pin(aside(async move {
        let mut found = Vec::with_capacity(names.len());
        for name in &names {
            match columns(&case, name).await {
                Err(error) if is_passing(error.kind()) => return Err(error),
                one => found.push(one.unwrap_or_else(|_| Arc::new(Schema::empty()))),
            }
        }
        Ok(found)
    }))
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable | ErrorKind::Unauthenticated | ErrorKind::DeadlineExceeded | ErrorKind::Cancelled
    )
}
