//! Names → tables of this query, governed for this person.

use std::{collections::BTreeMap, error::Error as _, sync::Arc};

use datafusion::common::TableReference;
use futures::future::join_all;

use super::{Session, decide::decide, listing::is_of_one_table, trail::Case};
use crate::{
    Access, Action, Decision, Error, ErrorKind, Resource, Result, TableId, TableName,
    catalog::{CatalogSession, CatalogTable},
    govern::GovernedTable,
    policy::TableFacts,
};

/// The schema of the engine's own tables, in every catalog.
pub(super) const INFORMATION_SCHEMA: &str = "information_schema";

/// A table as its catalog knows it, and the session that loaded it.
pub(super) struct Loaded {
    pub(super) table: Arc<dyn CatalogTable>,
    pub(super) session: Arc<dyn CatalogSession>,
}

/// The full name that a reference stands for.
pub(super) fn full_name(session: &Session, reference: &TableReference) -> TableName {
    let (catalog, schema) = session.defaults();
    match reference {
        TableReference::Bare { table } => TableName::new(catalog, schema, table.as_ref()),
        TableReference::Partial { schema, table } => TableName::new(catalog, schema.as_ref(), table.as_ref()),
        TableReference::Full { catalog, schema, table } => {
            TableName::new(catalog.as_ref(), schema.as_ref(), table.as_ref())
        }
    }
}

/// The full name that the parts of an object name stand for.
pub(super) fn name_of_parts(session: &Session, parts: &[String]) -> Result<TableName> {
    let (default_catalog, default_schema) = session.defaults();
    match parts {
        [table] => Ok(TableName::new(default_catalog, default_schema, table)),
        [schema, table] => Ok(TableName::new(default_catalog, schema, table)),
        [catalog, schema, table] => Ok(TableName::new(catalog, schema, table)),
        _ => Err(Error::invalid(format!("{} is no name of a table; write catalog.schema.table", parts.join(".")))),
    }
}

/// What a person is told about a table that is missing, and about one that may not be known to exist.
pub(super) fn not_found(name: &TableName) -> Error {
    Error::not_found(format!("table {name} does not exist; list what you can see with SHOW TABLES"))
}

/// Loads tables as the person, all catalogs at once, in the order of the names.
pub(super) async fn load(session: &Session, names: &[TableName]) -> Vec<Result<Loaded>> {
    let mut groups: BTreeMap<&str, Vec<(usize, TableName)>> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        groups.entry(&name.catalog).or_default().push((index, name.clone()));
    }
    let mut results: Vec<Option<Result<Loaded>>> = names.iter().map(|_| None).collect();
    let loads = groups.into_iter().map(|(catalog, group)| async move {
        let (indexes, names): (Vec<usize>, Vec<TableName>) = group.into_iter().unzip();
        (indexes, load_from(session, catalog, &names).await)
    });
    for (indexes, loaded) in join_all(loads).await {
        for (index, result) in indexes.into_iter().zip(loaded) {
            if let Some(slot) = results.get_mut(index) {
                *slot = Some(result);
            }
        }
    }
    let unanswered = || Err(Error::internal("a catalog left a table unanswered"));
    results.into_iter().map(|result| result.unwrap_or_else(unanswered)).collect()
}

async fn load_from(session: &Session, catalog: &str, names: &[TableName]) -> Vec<Result<Loaded>> {
    let opened = match session.catalog(catalog).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return names.iter().map(|name| Err(not_found(name))).collect(),
        Err(error) => return names.iter().map(|_| Err(error.clone())).collect(),
    };
    let tables = session.engine().watch_loading(catalog, opened.load(names)).await;
    let mut loaded: Vec<Result<Loaded>> = Vec::with_capacity(names.len());
    for (name, table) in names.iter().zip(tables) {
        loaded.push(match table {
            // INVARIANT: policy decides about the name that the person wrote, so the catalog must mean the same one.
            Ok(table) if table.facts().id.name != *name => Err(Error::internal("a catalog answered for another table")),
            Ok(table) => Ok(Loaded { table, session: Arc::clone(&opened) }),
            Err(error) => Err(error),
        });
    }
    while loaded.len() < names.len() {
        loaded.push(Err(Error::internal("a catalog left a table unanswered")));
    }
    loaded
}

/// Loads the one table that `action` is about.
///
/// # Errors
/// Those of [`unloaded`], which is noted for the trail.
pub(super) async fn load_one(case: &mut Case, name: &TableName, action: Action) -> Result<Loaded> {
    let session = case.session.clone();
    let loaded = load(&session, std::slice::from_ref(name)).await.pop();
    match loaded.unwrap_or_else(|| Err(Error::internal("a catalog left a table unanswered"))) {
        Ok(loaded) => Ok(loaded),
        Err(error) => {
            let discover = decide(&session, &[discovery(name)]).await?.pop();
            let discover = discover.ok_or_else(|| Error::internal("a decision is missing"))?;
            Err(unloaded(case, name, action, error, &discover).await)
        }
    }
}

/// Whether a table may be known of which nothing is known but its name: neither columns nor an owner.
pub(super) fn discovery(name: &TableName) -> Access {
    Access::new(Action::Discover, Resource::Table(TableFacts::new(bare_id(name), Vec::new())))
}

fn bare_id(name: &TableName) -> TableId {
    TableId::new(name.clone(), uuid::Uuid::nil())
}

/// What a person is told of a table that failed to load with `error`, and a note of it for the trail. Why it failed is for
/// those who may know of the table; everybody else is told what they would be of one that is not there.
async fn unloaded(case: &mut Case, name: &TableName, action: Action, error: Error, discover: &Decision) -> Error {
    if error.kind() == ErrorKind::NotFound {
        case.note_missing(name, action);
        return not_found(name);
    }
    tracing::warn!(table = %name, %error, source = ?error.source(), "a table cannot be loaded");
    if discover.is_permit() {
        // Nothing but this was decided: what else is permitted depends on the columns and the owner.
        case.note_decision(bare_id(name), Action::Discover, discover, None);
        return error;
    }
    case.note_decision(bare_id(name), action, discover, None);
    as_if_missing(&case.session, name).await
}

/// What a table that is not there is answered with: an outage of its whole catalog is one for everybody, and tells nothing
/// of any table.
async fn as_if_missing(session: &Session, name: &TableName) -> Error {
    let nothing = TableName::new(&name.catalog, &name.schema, uuid::Uuid::new_v4().to_string());
    let of_one = |kind| is_of_one_table(kind) || matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied);
    match load(session, std::slice::from_ref(&nothing)).await.pop() {
        Some(Err(error)) if !of_one(error.kind()) => {
            let message = error.message().replace(&nothing.table, &name.table);
            Error::new(error.kind(), message).with_source(error)
        }
        _ => not_found(name),
    }
}

/// Resolves and decides all tables that a statement reads.
///
/// # Errors
/// `NotFound` for a table that is missing or may not be known, `PermissionDenied` for one that may be known and not
/// read; those of [`unloaded`]. All tables are noted for the trail before the first error is returned.
pub(super) async fn readable(case: &mut Case, names: &[TableName]) -> Result<Vec<Arc<GovernedTable>>> {
    let mut governed = Vec::with_capacity(names.len());
    let mut failure: Option<Error> = None;
    for one in judged(case, names).await? {
        match one {
            Ok(table) => governed.push(table),
            Err(error) => failure = Some(worse(failure, error)),
        }
    }
    failure.map_or(Ok(governed), Err)
}

/// The same, table by table.
///
/// # Errors
/// `Unavailable` if the policy engine does not answer.
pub(super) async fn judged(case: &mut Case, names: &[TableName]) -> Result<Vec<Result<Arc<GovernedTable>>>> {
    let session = case.session.clone();
    let loaded = load(&session, names).await;
    let mut accesses = Vec::with_capacity(2 * names.len());
    for (name, loaded) in names.iter().zip(&loaded) {
        match loaded {
            Ok(loaded) => accesses.extend(
                [Action::Discover, Action::Select]
                    .map(|action| Access::new(action, Resource::Table(loaded.table.facts().clone()))),
            ),
            Err(_) => accesses.push(discovery(name)),
        }
    }
    let mut decisions = decide(&session, &accesses).await?.into_iter();
    let mut next = || decisions.next().ok_or_else(|| Error::internal("a decision is missing"));
    let mut judged = Vec::with_capacity(names.len());
    for (name, loaded) in names.iter().zip(loaded) {
        let one = match loaded {
            Ok(loaded) => {
                let (discover, select) = (next()?, next()?);
                let effective = of_known(&discover, &select);
                case.note_decision(loaded.table.facts().id.clone(), Action::Select, effective, loaded.table.snapshot());
                govern(case, name, loaded, &discover, effective)
            }
            Err(error) => {
                let discover = next()?;
                Err(unloaded(case, name, Action::Select, error, &discover).await)
            }
        };
        judged.push(one.map(Arc::new));
    }
    Ok(judged)
}

fn govern(
    case: &Case,
    name: &TableName,
    loaded: Loaded,
    discover: &Decision,
    select: &Decision,
) -> Result<GovernedTable> {
    if !select.is_permit() {
        return Err(refusal(name, discover, Action::Select));
    }
    let session = &case.session;
    let principal = session.identity().principal.clone();
    let key = session.engine().mask_key.clone();
    GovernedTable::new(case.query, select, loaded.table, loaded.session, principal, key)
}

/// The decision that holds: nothing is permitted on a table that a person may not know of.
pub(super) fn of_known<'a>(discover: &'a Decision, decision: &'a Decision) -> &'a Decision {
    if decision.is_permit() && !discover.is_permit() { discover } else { decision }
}

/// What a person is told when `action` on a table is denied.
pub(super) fn refusal(name: &TableName, discover: &Decision, action: Action) -> Error {
    if discover.is_permit() {
        Error::denied(format!("you may not {action} {name}; ask its owner"))
    } else {
        not_found(name)
    }
}

/// Of two failures the one that a person cannot get around by fixing the other; else the first.
pub(super) fn worse(first: Option<Error>, second: Error) -> Error {
    match first {
        Some(first) if first.kind() == ErrorKind::NotFound && second.kind() != ErrorKind::NotFound => second,
        Some(first) => first,
        None => second,
    }
}
