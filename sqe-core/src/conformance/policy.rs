//! What every [`PolicyEngine`] must do.
//!
//! A test makes a fixture out of somebody who may read a table and somebody who may not, and asserts that [`check`]
//! finds nothing to say.

use futures::future::join_all;
use uuid::Uuid;

use crate::{
    Access, Action, Decision, Identity, PolicyEngine, PolicyRequest, Principal, Resource, TableId, TableName,
    policy::TableFacts,
};

/// How often every question is put, at once and in turn.
const ROUNDS: usize = 4;

/// Two people and a table, of which the engine's policies let only one read the table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PolicyFixture {
    /// May `select` the table, as a whole or in part.
    pub reader: Identity,
    /// May do nothing at all.
    pub stranger: Identity,
    /// The table.
    pub table: TableFacts,
}

impl PolicyFixture {
    /// A fixture.
    #[must_use]
    pub fn new(reader: Identity, stranger: Identity, table: TableFacts) -> Self {
        Self { reader, stranger, table }
    }

    /// The table, a table that no policy knows, and the same questions about them in another order.
    fn accesses(&self) -> Vec<Access> {
        let known = || Resource::Table(self.table.clone());
        let unknown = || Resource::Table(unknown_table(&self.table));
        let name = &self.table.id.name;
        let schema = Resource::Schema { catalog: name.catalog.clone(), schema: name.schema.clone() };
        vec![
            Access::new(Action::Select, known()),
            Access::new(Action::Select, unknown()),
            Access::new(Action::Discover, unknown()),
            Access::new(Action::Discover, known()),
            Access::new(Action::Discover, schema),
            Access::new(Action::Insert, unknown()),
            Access::new(Action::Discover, Resource::Catalog(name.catalog.clone())),
            Access::new(Action::Drop, unknown()),
            Access::new(Action::Select, known()),
        ]
    }
}

/// A table with the same columns in a catalog, a schema and under a name that no policy can mean.
fn unknown_table(like: &TableFacts) -> TableFacts {
    let unique = Uuid::new_v4();
    let name = TableName::new(format!("nowhere_{unique}"), format!("none_{unique}"), format!("nothing_{unique}"));
    TableFacts::new(TableId::new(name, unique), like.columns.clone())
}

/// Checks an engine against the contract of [`PolicyEngine`]:
///
/// - one decision an access, in order, the same whether asked in a batch or alone; none for an empty batch;
/// - a table that no policy knows is denied, whoever asks;
/// - whoever has no permission gets none, also after and while somebody who has it was answered, and also under the
///   other's subject, display name or actors;
/// - repeated questions have the same answers;
/// - every decision names the policy snapshot that made it.
///
/// # Errors
/// What the engine does wrong, or that the fixture cannot tell.
pub async fn check(engine: &dyn PolicyEngine, fixture: &PolicyFixture) -> Result<(), String> {
    let accesses = fixture.accesses();
    if !ask(engine, &fixture.reader, &[]).await?.is_empty() {
        return Err("an empty batch has decisions".into());
    }
    denied("the stranger, first of all,", &ask(engine, &fixture.stranger, &accesses).await?, &accesses)?;

    let first = ask(engine, &fixture.reader, &accesses).await?;
    let alone =
        join_all(accesses.iter().map(|access| ask(engine, &fixture.reader, std::slice::from_ref(access)))).await;
    for ((access, batched), alone) in accesses.iter().zip(&first).zip(alone) {
        if alone? != std::slice::from_ref(batched) {
            return Err(format!("{} on {} is decided differently in a batch", access.action, access.resource));
        }
    }
    let permitted = (accesses.iter().zip(&first)).any(|(access, decision)| {
        access.action == Action::Select
            && access.resource == Resource::Table(fixture.table.clone())
            && decision.is_permit()
    });
    if !permitted {
        return Err("the fixture's reader may not select the fixture's table".into());
    }
    let unknown = Resource::Table(unknown_table(&fixture.table));
    for action in [Action::Discover, Action::Describe, Action::Select, Action::Insert, Action::Drop] {
        let access = [Access::new(action, unknown.clone())];
        denied("the reader, of an unknown table,", &ask(engine, &fixture.reader, &access).await?, &access)?;
    }

    for _ in 0..ROUNDS {
        let people = [&fixture.reader, &fixture.stranger, &fixture.reader];
        let answers = join_all(people.map(|person| ask(engine, person, &accesses))).await;
        for (person, answers) in people.iter().zip(answers) {
            let answers = answers?;
            if *person == &fixture.stranger {
                denied("the stranger, beside the reader,", &answers, &accesses)?;
            } else if answers != first {
                return Err("the same questions of the same person have other answers".into());
            }
        }
    }
    for (what, disguised) in disguises(fixture) {
        denied(what, &ask(engine, &disguised, &accesses).await?, &accesses)?;
    }
    Ok(())
}

/// Checks an engine that cannot decide, because what it depends on is out of reach: it answers with an error or denies,
/// and never permits.
///
/// # Errors
/// What the engine permitted.
pub async fn check_outage(engine: &dyn PolicyEngine, fixture: &PolicyFixture) -> Result<(), String> {
    let accesses = fixture.accesses();
    for person in [&fixture.reader, &fixture.stranger] {
        if let Ok(decisions) = engine.decide(&PolicyRequest::new(person, &accesses)).await {
            denied("during an outage somebody", &decisions, &accesses)?;
        }
    }
    Ok(())
}

/// The stranger with all of the reader that must not count: names, and the subject at another issuer.
fn disguises(fixture: &PolicyFixture) -> Vec<(&'static str, Identity)> {
    let reader = &fixture.reader;
    let mut named = fixture.stranger.clone();
    named.display_name = Some(reader.display_name.clone().unwrap_or_else(|| reader.principal.subject.clone()));
    let mut acting = fixture.stranger.clone();
    acting.actors = vec![reader.principal.clone()];
    let mut elsewhere = fixture.stranger.clone();
    elsewhere.principal = Principal::new(format!("{}.elsewhere", reader.principal.issuer), &*reader.principal.subject);
    vec![
        ("the stranger under the reader's display name", named),
        ("the stranger with the reader acting for them", acting),
        ("the reader's subject at another issuer", elsewhere),
    ]
}

async fn ask(engine: &dyn PolicyEngine, person: &Identity, accesses: &[Access]) -> Result<Vec<Decision>, String> {
    let decisions = engine
        .decide(&PolicyRequest::new(person, accesses))
        .await
        .map_err(|error| format!("deciding failed ({}): {error}", error.kind()))?;
    if decisions.len() != accesses.len() {
        return Err(format!("{} accesses have {} decisions", accesses.len(), decisions.len()));
    }
    if decisions.iter().any(|decision| decision.snapshot.is_empty()) {
        return Err("a decision does not name the policy snapshot that made it".into());
    }
    Ok(decisions)
}

fn denied(who: &str, decisions: &[Decision], accesses: &[Access]) -> Result<(), String> {
    match accesses.iter().zip(decisions).find(|(_, decision)| decision.is_permit()) {
        Some((access, _)) => Err(format!("{who} may {} {}", access.action, access.resource)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures::executor::block_on;

    use super::*;
    use crate::{Column, ColumnType, Error, FieldId};

    /// An engine that is right except for one fault.
    #[derive(Debug, Default)]
    struct Faulty {
        fault: Option<&'static str>,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl PolicyEngine for Faulty {
        async fn decide(&self, request: &PolicyRequest<'_>) -> crate::Result<Vec<Decision>> {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            let may = |access: &Access| {
                let Resource::Table(table) = &access.resource else { return false };
                let reader = match self.fault {
                    Some("trusts subjects") => request.identity.principal.subject == "reader",
                    Some("trusts display names") => {
                        request.identity.display_name.as_deref() == Some("reader")
                            || request.identity.groups.contains("r")
                    }
                    _ => request.identity.groups.contains("r"),
                };
                reader && (table.id.name.catalog == "lake" || self.fault == Some("permits unknown tables"))
            };
            let mut decisions: Vec<_> = (request.accesses.iter())
                .map(|access| if may(access) { Decision::permit() } else { Decision::deny() })
                .map(|decision| decision.decided_by(vec!["p".into()], "s"))
                .collect();
            match self.fault {
                Some("reorders") => decisions.reverse(),
                Some("forgets one") => drop(decisions.pop()),
                Some("names no snapshot") => decisions.iter_mut().for_each(|decision| decision.snapshot.clear()),
                Some("changes its mind") if asked > 25 => {
                    decisions.iter_mut().for_each(|decision| decision.policies.clear());
                }
                Some("is down") => return Err(Error::unavailable("no answer")),
                _ => {}
            }
            Ok(decisions)
        }
    }

    fn fixture() -> PolicyFixture {
        let person = |name: &str| Identity::new(Principal::new("https://idp.example", name));
        let id = TableId::new(TableName::new("lake", "s", "t"), Uuid::from_u128(1));
        let columns = vec![Column::new(FieldId(1), "c", ColumnType::Text, true)];
        PolicyFixture::new(person("reader").with_groups(["r"]), person("stranger"), TableFacts::new(id, columns))
    }

    fn verdict(fault: Option<&'static str>) -> Result<(), String> {
        block_on(check(&Faulty { fault, ..Faulty::default() }, &fixture()))
    }

    #[test]
    fn a_right_engine_passes_and_each_fault_is_found() {
        verdict(None).unwrap();
        for (fault, said) in [
            ("reorders", "differently in a batch"),
            ("forgets one", "have 8 decisions"),
            ("names no snapshot", "does not name the policy snapshot"),
            ("changes its mind", "have other answers"),
            ("permits unknown tables", "of an unknown table"),
            ("trusts subjects", "at another issuer"),
            ("trusts display names", "display name"),
            ("is down", "deciding failed"),
        ] {
            let found = verdict(Some(fault)).unwrap_err();
            assert!(found.contains(said), "{fault}: {found}");
        }
    }

    #[test]
    fn an_outage_must_not_permit() {
        let down = Faulty { fault: Some("is down"), ..Faulty::default() };
        block_on(check_outage(&down, &fixture())).unwrap();
        let up = Faulty::default();
        assert!(block_on(check_outage(&up, &fixture())).unwrap_err().contains("during an outage"));
    }
}
