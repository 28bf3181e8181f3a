//! Lowered filters against Cedar itself, on random policies and rows.
//!
//! The oracle asks `Authorizer::is_authorized` about every row, with all policies and with nothing sliced, validated
//! or partially evaluated. Decisions here may be stricter in one case: a forbid that is an error for a row. Cedar skips
//! such a policy; here it hides the row.

use std::{collections::BTreeMap, fmt::Write as _, str::FromStr};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision as Answer, Effect, Entities, EntityUid, PolicySet, Request,
    Response,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::json;
use sqe_core::{
    Action, ColumnType, Identity, Resource,
    policy::{Restrictions, TableFacts},
    predicate::{CompareOp, RowPredicate, Value},
};
use sqe_policy::CedarPolicy;

use crate::world::{ISSUER, decide, person, table};

fn facts() -> TableFacts {
    let mut facts = table(
        "lake",
        "s",
        "t",
        &[
            ("a", ColumnType::Integer),
            ("b", ColumnType::Integer),
            ("t", ColumnType::Text),
            ("f", ColumnType::Boolean),
            ("day", ColumnType::Date),
            ("price", ColumnType::Decimal),
        ],
    );
    facts.columns[1].nullable = false;
    facts
}

/// A row: a value of each column, or NULL. `b` is never NULL.
#[derive(Debug, Clone)]
struct Row {
    a: Option<i64>,
    b: i64,
    t: Option<String>,
    f: Option<bool>,
    day: Option<i32>,
    /// In hundredths.
    price: Option<i64>,
}

fn rows() -> impl Strategy<Value = Row> {
    (
        option::of(-1..3_i64),
        -1..3_i64,
        option::of(select(vec!["", "x", "y", "t1", "x%", "xyz", "alice"])),
        option::of(any::<bool>()),
        option::of(-1..3_i32),
        option::of(select(vec![-50_i64, 0, 125, 150, 200])),
    )
        .prop_map(|(a, b, t, f, day, price)| Row { a, b, t: t.map(str::to_owned), f, day, price })
}

fn conditions() -> impl Strategy<Value = String> {
    let order = || select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let atom = prop_oneof![
        4 => (select(vec!["a", "b"]), order(), -1..3_i64).prop_map(|(c, op, n)| format!("resource.{c} {op} {n}")),
        1 => (order(), -1..3_i64).prop_map(|(op, n)| format!("{n} {op} resource.a")),
        1 => order().prop_map(|op| format!("resource.a {op} resource.b")),
        2 => select(vec!["", "x", "y"]).prop_map(|text| format!("resource.t == \"{text}\"")),
        2 => select(vec!["x*", "*", "x%", "*z", "_"]).prop_map(|pattern| format!("resource.t like \"{pattern}\"")),
        2 => Just("[\"x\", \"y\"].contains(resource.t)".to_owned()),
        1 => Just("[0, 2].contains(resource.a)".to_owned()),
        2 => Just("resource.f".to_owned()),
        3 => select(vec!["a", "b", "t", "f", "day", "price"]).prop_map(|column| format!("resource has {column}")),
        2 => (order(), select(vec!["1969-12-31", "1970-01-01", "1970-01-03"]))
            .prop_map(|(op, day)| format!("resource.day {op} datetime(\"{day}\")")),
        2 => (select(vec!["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]), select(vec!["-0.5", "1.25", "1.5"]))
            .prop_map(|(op, price)| format!("resource.price.{op}(decimal(\"{price}\"))")),
        1 => Just("resource.price == decimal(\"1.50\")".to_owned()),
        1 => Just("resource.t == principal.subject".to_owned()),
        1 => Just("(principal.hasTag(\"tenant\") && principal.getTag(\"tenant\") == resource.t)".to_owned()),
        1 => select(vec!["one", "two"]).prop_map(|group| format!("principal in Group::\"{group}\"")),
    ];
    atom.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} && {r})")),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| format!("({l} || {r})")),
            inner.clone().prop_map(|c| format!("!({c})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(c, t, e)| format!("(if {c} then {t} else {e})")),
        ]
    })
}

fn principals() -> impl Strategy<Value = &'static str> {
    select(vec!["principal", "principal in Group::\"one\"", "principal in Group::\"two\"", "principal in Role::\"r\""])
}

/// A policy about rows.
fn row_policies(effect: &'static str) -> impl Strategy<Value = String> {
    (principals(), any::<bool>(), select(vec!["when", "unless"]), conditions()).prop_map(
        move |(principal, schema, clause, condition)| {
            let holder = if schema { "Schema::\"lake.s\"" } else { "Table::\"lake.s.t\"" };
            format!("{effect} ({principal}, action == Action::\"select\", resource is Row in {holder}) {clause} {{ {condition} }};")
        },
    )
}

/// A policy about the table as a whole, or what holds it.
fn plain_policies(effect: &'static str) -> impl Strategy<Value = String> {
    let resources = vec![
        "resource == Table::\"lake.s.t\"",
        "resource in Schema::\"lake.s\"",
        "resource in Catalog::\"lake\"",
        "resource is Row in Table::\"lake.s.t\"",
        "resource is Row in Table::\"lake.s.other\"",
    ];
    let conditions = vec![
        "",
        "when { principal.subject == \"alice\" }",
        "unless { principal in Group::\"two\" }",
        "when { principal.hasTag(\"tenant\") }",
    ];
    (principals(), select(vec!["action", "action == Action::\"select\""]), select(resources), select(conditions))
        .prop_map(move |(principal, action, resource, condition)| {
            format!("{effect} ({principal}, {action}, {resource}) {condition};")
        })
}

fn policies() -> impl Strategy<Value = Vec<String>> {
    let any_policy = prop_oneof![
        3 => row_policies("permit"),
        3 => row_policies("forbid"),
        2 => plain_policies("permit"),
        1 => plain_policies("forbid"),
    ];
    vec(any_policy, 1..5)
}

fn people() -> impl Strategy<Value = Identity> {
    (
        select(vec!["alice", "bob"]),
        vec(select(vec!["one", "two"]), 0..3),
        any::<bool>(),
        option::of(select(vec!["t1", "x"])),
    )
        .prop_map(|(subject, groups, role, tenant)| {
            let mut identity = person(subject, &groups);
            if role {
                identity = identity.with_roles(["r"]);
            }
            match tenant {
                Some(tenant) => identity.with_attribute("tenant", tenant),
                None => identity,
            }
        })
}

/// The columns are everybody's: these tests are about rows.
const COLUMNS: &str = "permit (principal, action == Action::\"select\", resource is Column in Table::\"lake.s.t\");";

fn text(policies: &[String]) -> String {
    let mut text = COLUMNS.to_owned();
    for policy in policies {
        let _ = write!(text, "\n{policy}");
    }
    text
}

fn restrictions(engine: &CedarPolicy, who: &Identity) -> Option<Restrictions> {
    decide(engine, who, Action::Select, Resource::Table(facts())).restrictions().cloned()
}

fn shows(restrictions: Option<&Restrictions>, row: &Row) -> bool {
    match restrictions {
        None => false,
        Some(Restrictions { filter: None, .. }) => true,
        Some(Restrictions { filter: Some(filter), .. }) => truth(filter, row) == Some(true),
    }
}

// --- SQL's logic, as the engine has it.

fn truth(predicate: &RowPredicate, row: &Row) -> Option<bool> {
    let all = |parts: &[RowPredicate], decisive: bool| {
        let parts: Vec<_> = parts.iter().map(|part| truth(part, row)).collect();
        if parts.contains(&Some(decisive)) {
            Some(decisive)
        } else if parts.contains(&None) {
            None
        } else {
            Some(!decisive)
        }
    };
    match predicate {
        RowPredicate::And(parts) => all(parts, false),
        RowPredicate::Or(parts) => all(parts, true),
        RowPredicate::Not(inner) => truth(inner, row).map(|known| !known),
        RowPredicate::IsNull(inner) => Some(value(inner, row) == Value::Null),
        RowPredicate::Compare { op, left, right } => {
            let order = compare(&value(left, row), &value(right, row))?;
            Some(match op {
                CompareOp::Eq => order.is_eq(),
                CompareOp::NotEq => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            })
        }
        RowPredicate::Like { value: inner, pattern } => match value(inner, row) {
            Value::Text(text) => Some(like(&text, pattern)),
            _ => None,
        },
        RowPredicate::In { value: inner, list } => {
            let value = value(inner, row);
            (value != Value::Null).then(|| list.contains(&value))
        }
        RowPredicate::Column(_) | RowPredicate::Literal(_) => match value(predicate, row) {
            Value::Boolean(known) => Some(known),
            _ => None,
        },
        other => panic!("lowering does not produce {other:?}"),
    }
}

fn value(operand: &RowPredicate, row: &Row) -> Value {
    match operand {
        RowPredicate::Literal(value) => value.clone(),
        RowPredicate::Column(id) => match id.0 {
            1 => row.a.map(Value::Integer),
            2 => Some(Value::Integer(row.b)),
            3 => row.t.clone().map(Value::Text),
            4 => row.f.map(Value::Boolean),
            5 => row.day.map(Value::Date),
            6 => row.price.map(|hundredths| Value::Decimal(decimal(hundredths))),
            other => panic!("there is no column {other}"),
        }
        .unwrap_or(Value::Null),
        other => panic!("{other:?} is not an operand"),
    }
}

fn compare(left: &Value, right: &Value) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Date(left), Value::Date(right)) => Some(left.cmp(right)),
        (Value::Decimal(left), Value::Decimal(right)) => {
            left.parse::<f64>().unwrap().partial_cmp(&right.parse::<f64>().unwrap())
        }
        other => panic!("{other:?} cannot be compared"),
    }
}

fn like(text: &str, pattern: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    match pattern_chars.next() {
        None => text.is_empty(),
        Some('%') => (0..=text.len()).any(|at| like(&text[at..], pattern_chars.as_str())),
        Some('_') => text.chars().next().is_some_and(|c| like(&text[c.len_utf8()..], pattern_chars.as_str())),
        Some('\\') => {
            let escaped = pattern_chars.next().unwrap();
            text.strip_prefix(escaped).is_some_and(|rest| like(rest, pattern_chars.as_str()))
        }
        Some(char) => text.strip_prefix(char).is_some_and(|rest| like(rest, pattern_chars.as_str())),
    }
}

fn decimal(hundredths: i64) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

// --- Cedar itself.

struct Oracle {
    policies: PolicySet,
    who: Identity,
}

impl Oracle {
    fn entities(&self, row: &Row) -> Entities {
        let mut attributes = serde_json::Map::new();
        let mut set = |name: &str, value: Option<serde_json::Value>| {
            if let Some(value) = value {
                attributes.insert(name.to_owned(), value);
            }
        };
        set("a", row.a.map(|a| json!(a)));
        set("b", Some(json!(row.b)));
        set("t", row.t.clone().map(|t| json!(t)));
        set("f", row.f.map(|f| json!(f)));
        set(
            "day",
            row.day.map(|day| {
                let arg = ["1969-12-31", "1970-01-01", "1970-01-02", "1970-01-03"][usize::try_from(day + 1).unwrap()];
                json!({ "__extn": { "fn": "datetime", "arg": arg } })
            }),
        );
        set("price", row.price.map(|price| json!({ "__extn": { "fn": "decimal", "arg": decimal(price) } })));
        let who = &self.who;
        let group = |kind: &str, name: &String| json!({ "type": kind, "id": name });
        let parents: Vec<_> =
            who.groups.iter().map(|g| group("Group", g)).chain(who.roles.iter().map(|r| group("Role", r))).collect();
        let json = json!([
            { "uid": { "type": "User", "id": user(who) }, "parents": parents, "tags": who.attributes,
              "attrs": { "issuer": who.principal.issuer, "subject": who.principal.subject } },
            { "uid": { "type": "Catalog", "id": "lake" }, "parents": [], "attrs": {} },
            { "uid": { "type": "Schema", "id": "lake.s" }, "parents": [{ "type": "Catalog", "id": "lake" }], "attrs": {} },
            { "uid": { "type": "Table", "id": "lake.s.t" }, "parents": [{ "type": "Schema", "id": "lake.s" }], "attrs": {} },
            { "uid": { "type": "Row", "id": "some" }, "parents": [{ "type": "Table", "id": "lake.s.t" }], "attrs": attributes },
        ]);
        Entities::from_json_value(json, None).unwrap()
    }

    fn ask(&self, resource: &str, entities: &Entities) -> Response {
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let who = uid(&format!("User::\"{}\"", user(&self.who)));
        let request = Request::new(who, uid("Action::\"select\""), uid(resource), Context::empty(), None).unwrap();
        Authorizer::new().is_authorized(&request, &self.policies, entities)
    }

    /// Whether Cedar shows the row, and whether a forbid was an error.
    fn shows(&self, row: &Row) -> (bool, bool) {
        let entities = self.entities(row);
        let of_table = self.ask("Table::\"lake.s.t\"", &entities);
        let of_row = self.ask("Row::\"some\"", &entities);
        let forbidden =
            |answer: &Response| answer.decision() == Answer::Deny && answer.diagnostics().reason().next().is_some();
        let permitted = |answer: &Response| answer.decision() == Answer::Allow;
        let shown = !forbidden(&of_table) && !forbidden(&of_row) && (permitted(&of_table) || permitted(&of_row));
        let erred = of_table.diagnostics().errors().chain(of_row.diagnostics().errors()).any(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            self.policies.policy(error.policy_id()).unwrap().effect() == Effect::Forbid
        });
        (shown, erred)
    }
}

fn user(who: &Identity) -> String {
    format!("{ISSUER}#{}", who.principal.subject)
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, max_global_rejects: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(160))]

    #[test]
    fn a_filter_shows_exactly_the_rows_that_cedar_shows(
        policies in policies(),
        who in people(),
        rows in vec(rows(), 48),
    ) {
        let text = text(&policies);
        // Random conditions are sometimes impossible, and policies that can never apply are refused.
        let engine = match CedarPolicy::from_sources([("random.cedar", text.as_str())]) {
            Ok(engine) => engine,
            Err(error) => {
                prop_assert!(error.message().contains("policy is impossible"), "{error}");
                return Err(TestCaseError::reject("impossible policy"));
            }
        };
        let restrictions = restrictions(&engine, &who);
        let oracle = Oracle { policies: PolicySet::from_str(&text).unwrap(), who };
        for row in &rows {
            let (cedar, forbid_erred) = oracle.shows(row);
            let ours = shows(restrictions.as_ref(), row);
            prop_assert!(cedar || !ours, "shows more than Cedar: {row:?} under {restrictions:?}");
            prop_assert!(ours == cedar || forbid_erred, "hides more than Cedar: {row:?} under {restrictions:?}");
        }
    }

    #[test]
    fn adding_a_forbid_never_shows_more(
        policies in policies(),
        forbid in prop_oneof![
            row_policies("forbid"),
            plain_policies("forbid"),
            (principals(), select(vec!["a", "t", "price"])).prop_map(|(principal, column)| format!(
                "forbid ({principal}, action == Action::\"select\", resource == Column::\"lake.s.t.{column}\");"
            )),
            principals().prop_map(|principal| format!("forbid ({principal}, action, resource);")),
        ],
        masked in any::<bool>(),
        who in people(),
        rows in vec(rows(), 48),
    ) {
        let mut before = text(&policies);
        if masked {
            before.push_str("\npermit (principal, action == Action::\"mask_null\", resource == Column::\"lake.s.t.t\");");
        }
        let after = format!("{before}\n{forbid}");
        let load = |text: &str| CedarPolicy::from_sources([("random.cedar", text)]);
        let (Ok(before), Ok(after)) = (load(&before), load(&after)) else {
            return Err(TestCaseError::reject("impossible policy"));
        };
        let (before, after) = (restrictions(&before, &who), restrictions(&after, &who));
        for row in &rows {
            prop_assert!(shows(before.as_ref(), row) || !shows(after.as_ref(), row), "{row:?}: {before:?} then {after:?}");
        }
        if let Some(after) = &after {
            let before = before.as_ref().expect("a forbid gave access to the table");
            prop_assert!(after.hidden.is_superset(&before.hidden));
            for (column, mask) in &before.masks {
                prop_assert!(after.hidden.contains(column) || after.masks.get(column) == Some(mask));
            }
        }
    }
}

/// The random policies above do reach every kind of answer; otherwise they would prove nothing.
#[test]
fn random_policies_reach_every_kind_of_answer() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut found = BTreeMap::new();
    for _ in 0..150 {
        let policies = policies().new_tree(&mut runner).unwrap().current();
        let who = people().new_tree(&mut runner).unwrap().current();
        let Ok(engine) = CedarPolicy::from_sources([("random.cedar", text(&policies))]) else { continue };
        let kind = match restrictions(&engine, &who) {
            None => "denied",
            Some(restrictions) if restrictions.is_none() => "unrestricted",
            Some(_) => "filtered",
        };
        *found.entry(kind).or_insert(0) += 1;
    }
    for kind in ["denied", "unrestricted", "filtered"] {
        assert!(found.get(kind).is_some_and(|count| *count > 5), "{found:?}");
    }
}
