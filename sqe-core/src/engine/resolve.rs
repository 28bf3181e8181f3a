//! Names → tables of this query, governed for this person.

use std::{collections::BTreeMap, error::Error as _, sync::Arc};

use futures::future::join_all;

use super::{Session, decide::decide, listing::is_of_one_table, sources::Wanted, trail::Case};
use crate::{
    Access, Action, Decision, Error, ErrorKind, Resource, Result, TableId, TableName,
    catalog::{CatalogSession, CatalogTable, ViewDefinition},
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

/// What a person may read, as far as its own name goes.
pub(super) enum Judged {
    Table(Arc<GovernedTable>),
    /// A view: what it reads is not looked at yet.
    View {
        definition: ViewDefinition,
        /// Whether this person may describe it.
        described: bool,
    },
}

/// Resolves and decides tables and views that a statement reads, one by one.
///
/// # Errors
/// `Unavailable` if the policy engine does not answer. Each has its own: `NotFound` if it is missing or may not be known,
/// `PermissionDenied` if it may be known and not read; those of [`unloaded`].
pub(super) async fn judged(case: &mut Case, wanted: &[Wanted]) -> Result<Vec<Result<Judged>>> {
    let session = case.session.clone();
    let names: Vec<TableName> = wanted.iter().map(|wanted| wanted.name.clone()).collect();
    let loaded = load(&session, &names).await;
    let mut accesses = Vec::with_capacity(2 * names.len());
    for (name, loaded) in names.iter().zip(&loaded) {
        match loaded {
            Ok(loaded) => {
                let actions = [Action::Discover, Action::Select].into_iter();
                let actions = actions.chain(loaded.table.view().map(|_| Action::Describe));
                let facts = loaded.table.facts();
                accesses.extend(actions.map(|action| Access::new(action, Resource::Table(facts.clone()))));
            }
            Err(_) => accesses.push(discovery(name)),
        }
    }
    let mut decisions = decide(&session, &accesses).await?.into_iter();
    let mut next = || decisions.next().ok_or_else(|| Error::internal("a decision is missing"));
    let mut judged = Vec::with_capacity(names.len());
    for (wanted, loaded) in wanted.iter().zip(loaded) {
        judged.push(match loaded {
            Ok(loaded) => {
                let (discover, select) = (next()?, next()?);
                let describe = if loaded.table.view().is_some() { Some(next()?) } else { None };
                let effective = of_known(&discover, &select);
                match describe {
                    None => governed(case, wanted, loaded, &discover, effective).map(Judged::Table),
                    Some(describe) => viewed(case, wanted, &loaded, &discover, effective, &describe),
                }
            }
            Err(error) => {
                let discover = next()?;
                Err(unloaded(case, &wanted.name, Action::Select, error, &discover).await)
            }
        });
    }
    Ok(judged)
}

fn governed(
    case: &mut Case,
    wanted: &Wanted,
    mut loaded: Loaded,
    discover: &Decision,
    select: &Decision,
) -> Result<Arc<GovernedTable>> {
    // Only for those who may read it: whether there is such a state is a fact about the table.
    let state = match &wanted.version {
        Some(version) if select.is_permit() => {
            let now = loaded.table.facts().id.clone();
            loaded.table.at(version).and_then(|older| match older.facts().id == now {
                true => Ok(Some(older)),
                false => Err(Error::internal("a catalog answered with the state of another table")),
            })
        }
        _ => Ok(None),
    };
    if let Ok(Some(older)) = &state {
        loaded.table = Arc::clone(older);
    }
    let id = loaded.table.facts().id.clone();
    case.note_decision(id, Action::Select, select, state.as_ref().ok().and_then(|_| loaded.table.snapshot()));
    state?;
    if !select.is_permit() {
        return Err(refusal(&wanted.name, discover, Action::Select));
    }
    let session = &case.session;
    let principal = session.identity().principal.clone();
    let key = session.engine().mask_key.clone();
    GovernedTable::new(case.query, select, loaded.table, loaded.session, principal, key).map(Arc::new)
}

fn viewed(
    case: &mut Case,
    wanted: &Wanted,
    loaded: &Loaded,
    discover: &Decision,
    select: &Decision,
    describe: &Decision,
) -> Result<Judged> {
    let name = &wanted.name;
    case.note_decision(loaded.table.facts().id.clone(), Action::Select, select, loaded.table.snapshot());
    let Some(restrictions) = select.restrictions() else { return Err(refusal(name, discover, Action::Select)) };
    if !restrictions.is_none() {
        return Err(Error::denied(format!(
            "policy shows you a part of view {name} only, which is not offered: restrict the tables that it reads"
        )));
    }
    if wanted.version.is_some() {
        return Err(Error::invalid(format!("{name} is a view, which has no older states; ask for one inside of it")));
    }
    let definition = loaded.table.view().cloned().ok_or_else(|| Error::internal("a view has no definition"))?;
    Ok(Judged::View { definition, described: describe.is_permit() })
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
