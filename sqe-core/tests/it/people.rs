//! People, policies and a trail, for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use async_trait::async_trait;
use parking_lot::Mutex;
use sqe_core::{
    Action, Credentials, Decision, Engine, Error, FieldId, Identity, IdentityProvider, PolicyEngine, PolicyRequest,
    Principal, Resource, Result, Secret, Session,
    audit::{AuditEvent, AuditSink},
    engine::{EngineBuilder, SessionOptions},
    policy::Restrictions,
    predicate::{CompareOp, Mask, RowPredicate, Value},
};

use crate::lake::Lake;

/// Whoever shows a token is the person of that name; `expired` is nobody.
#[derive(Debug, Clone)]
pub struct Names;

#[async_trait]
impl IdentityProvider for Names {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(token) = credentials else { return Ok(None) };
        if token.expose() == "expired" {
            return Err(Error::unauthenticated("the token was not accepted; log in again"));
        }
        Ok(Some(Identity::new(Principal::new("test", token.expose()))))
    }
}

/// What each person may do with each table: (subject, table) → decision on SELECT. Owners may do everything, and `keeper`
/// may create schemas.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    select: Arc<Mutex<BTreeMap<(String, String), Decision>>>,
    discover: Arc<Mutex<BTreeMap<(String, String), bool>>>,
    insert: Arc<Mutex<BTreeMap<(String, String), Decision>>>,
    further: Arc<Mutex<BTreeSet<(String, String, Action)>>>,
    pub outage: Arc<Mutex<bool>>,
}

impl Rules {
    pub fn select(&self, subject: &str, table: &str, decision: Decision) {
        self.select.lock().insert((subject.into(), table.into()), decision.decided_by(vec!["rule".into()], "v1"));
    }

    pub fn discover(&self, subject: &str, table: &str) {
        self.discover.lock().insert((subject.into(), table.into()), true);
    }

    /// Nothing is known of the table, whatever else is permitted.
    pub fn conceal(&self, subject: &str, table: &str) {
        self.discover.lock().insert((subject.into(), table.into()), false);
    }

    /// Permits something else than reading and adding.
    pub fn permit(&self, subject: &str, table: &str, action: Action) {
        self.further.lock().insert((subject.into(), table.into(), action));
    }

    pub fn insert(&self, subject: &str, table: &str) {
        self.insert.lock().insert((subject.into(), table.into()), Decision::permit());
    }
}

#[async_trait]
impl PolicyEngine for Rules {
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
        if *self.outage.lock() {
            return Err(Error::unavailable("the policy engine does not answer"));
        }
        let subject = request.identity.principal.subject.clone();
        let decide = |access: &sqe_core::Access| {
            let table = match &access.resource {
                Resource::Table(facts) if facts.owner.as_ref() == Some(&request.identity.principal) => {
                    return Decision::permit();
                }
                Resource::Table(facts) => facts.id.name.table.clone(),
                Resource::Schema { schema, .. } => {
                    let open = schema == "scratch" && subject != "mallory";
                    return if open && matches!(access.action, Action::Create | Action::Discover) {
                        Decision::permit()
                    } else {
                        Decision::deny()
                    };
                }
                Resource::Catalog(_) if subject == "keeper" => return Decision::permit(),
                _ => return Decision::deny(),
            };
            let key = (subject.clone(), table);
            match access.action {
                Action::Select => self.select.lock().get(&key).cloned().unwrap_or_else(Decision::deny),
                Action::Insert => self.insert.lock().get(&key).cloned().unwrap_or_else(Decision::deny),
                Action::Discover => {
                    let permits =
                        |rules: &Mutex<BTreeMap<_, Decision>>| rules.lock().get(&key).is_some_and(Decision::is_permit);
                    let known = self.discover.lock().get(&key).copied();
                    let known = known.unwrap_or_else(|| permits(&self.select) || permits(&self.insert));
                    if known { Decision::permit() } else { Decision::deny() }
                }
                action if self.further.lock().contains(&(key.0, key.1, action)) => Decision::permit(),
                _ => Decision::deny(),
            }
        };
        Ok(request.accesses.iter().map(decide).collect())
    }
}

/// Keeps events, and refuses them when told to.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    pub events: Arc<Mutex<Vec<AuditEvent>>>,
    pub full: Arc<Mutex<bool>>,
}

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, event: AuditEvent) -> Result<()> {
        if *self.full.lock() {
            return Err(Error::exhausted("the disk is full"));
        }
        self.events.lock().push(event);
        Ok(())
    }
}

/// An engine over `people(id, name, segment, salary, phone, born)` and `orders(id, person, total)`.
pub struct World {
    pub engine: Engine,
    pub lake: Lake,
    pub rules: Rules,
    pub trail: Trail,
}

pub fn world() -> World {
    world_with(|builder| builder)
}

pub fn world_with(change: impl FnOnce(EngineBuilder) -> EngineBuilder) -> World {
    let (lake, rules, trail) = (Lake::new(), Rules::default(), Trail::default());
    lake.put("app", "people", people());
    lake.put("app", "orders", orders());
    lake.put("app", "secrets", orders());
    lake.add_schema("scratch");
    let builder = Engine::builder()
        .identity(Names)
        .policy(rules.clone())
        .audit(trail.clone())
        .catalog("lake", lake.clone())
        .defaults("lake", "app")
        .mask_key(Secret::new("a key of this test"));
    let engine = change(builder).build().unwrap();
    for table in ["people", "orders", "secrets"] {
        rules.select("root", table, Decision::permit());
        rules.insert("root", table);
    }
    World { engine, lake, rules, trail }
}

impl World {
    pub async fn session(&self, subject: &str) -> Session {
        let credentials = Credentials::Bearer(Secret::new(subject));
        self.engine.session(&credentials, SessionOptions::default()).await.unwrap()
    }

    /// Rows as text, one a row, `|` between columns, in the order of the answer.
    pub async fn rows(&self, subject: &str, sql: &str) -> Result<Vec<String>> {
        let batches = self.session(subject).await.query(sql).await?.collect().await?;
        Ok(batches.iter().flat_map(text_rows).collect())
    }

    /// Rows as text, sorted.
    pub async fn sorted(&self, subject: &str, sql: &str) -> Result<Vec<String>> {
        let mut rows = self.rows(subject, sql).await?;
        rows.sort();
        Ok(rows)
    }
}

pub fn text_rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

pub const NAME: FieldId = FieldId(2);
pub const SEGMENT: FieldId = FieldId(3);
pub const SALARY: FieldId = FieldId(4);
pub const PHONE: FieldId = FieldId(5);

pub fn people() -> RecordBatch {
    let column = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 42])) as ArrayRef, false),
        ("name", column(vec![Some("ann"), Some("bob"), Some("cid"), Some("dee"), Some("eve"), Some("hidden")]), false),
        (
            "segment",
            column(vec![Some("BUILDING"), Some("AUTO"), Some("BUILDING"), None, Some("BUILDING"), Some("AUTO")]),
            true,
        ),
        (
            "salary",
            Arc::new(Int64Array::from(vec![Some(10), Some(20), Some(30), Some(40), None, Some(4242)])) as ArrayRef,
            true,
        ),
        (
            "phone",
            column(vec![Some("11-1111"), Some("22-2222"), Some("33-3333"), Some("44"), None, Some("66-6666")]),
            true,
        ),
        ("born", Arc::new(Date32Array::from(vec![0, 1, 2, 3, 4, 5])) as ArrayRef, false),
    ])
    .unwrap()
}

pub fn orders() -> RecordBatch {
    let totals = Decimal128Array::from(vec![100, 250, 399, 5, 77]).with_precision_and_scale(15, 2).unwrap();
    RecordBatch::try_from_iter_with_nullable(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5])) as ArrayRef, false),
        ("person", Arc::new(Int64Array::from(vec![1, 1, 2, 42, 3])) as ArrayRef, false),
        ("total", Arc::new(totals) as ArrayRef, false),
    ])
    .unwrap()
}

pub fn building() -> RowPredicate {
    RowPredicate::Coalesce(
        Box::new(RowPredicate::compare(SEGMENT, CompareOp::Eq, Value::Text("BUILDING".into()))),
        Value::Boolean(false),
    )
}

pub fn restricted(change: impl FnOnce(&mut Restrictions)) -> Decision {
    let mut restrictions = Restrictions::default();
    change(&mut restrictions);
    Decision::permit_with(restrictions)
}

/// Row filter, mask and hidden column at once: what the demo's analyst has.
pub fn analyst() -> Decision {
    restricted(|held| {
        held.filter = Some(building());
        held.masks.insert(PHONE, Mask::KeepLast(4));
        held.hidden.insert(SALARY);
    })
}

/// The kinds of restriction on `people`, each by itself and together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only the rows of segment BUILDING.
    Filter,
    /// Of each name the last two letters.
    Mask,
    /// No salaries.
    Hidden,
    /// The three of them.
    Together,
    /// Nothing at all.
    Deny,
}

impl Kind {
    pub fn decision(self) -> Decision {
        let is = |kind: Self| self == kind || self == Self::Together;
        if self == Self::Deny {
            return Decision::deny();
        }
        restricted(|held| {
            held.filter = is(Self::Filter).then(building);
            held.masks.extend(is(Self::Mask).then_some((NAME, Mask::KeepLast(2))));
            held.hidden.extend(is(Self::Hidden).then_some(SALARY));
        })
    }

    /// The names that are seen under it, sorted.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Filter => &["ann", "cid", "eve"],
            Self::Mask => &["ee", "en", "id", "nn", "ob", "ve"],
            Self::Hidden => &["ann", "bob", "cid", "dee", "eve", "hidden"],
            Self::Together => &["id", "nn", "ve"],
            Self::Deny => &[],
        }
    }

    /// The salaries that are seen under it, sorted as text. `None`: there is no such column.
    pub fn salaries(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Filter => Some(&["10", "30", "NULL"]),
            Self::Mask => Some(&["10", "20", "30", "40", "4242", "NULL"]),
            Self::Hidden | Self::Together => None,
            Self::Deny => Some(&[]),
        }
    }
}
