//! The release gate: P1 to P3 over random policies, data, queries and settings.
//!
//! - **P1 oracle**: what a person gets equals what anybody gets from a copy that holds only what the person may see.
//! - **P2 non-interference**: changing what the person may not see changes nothing the person can observe.
//! - **P3 spy**: a function that records its arguments records visible rows only.
//!
//! The reference of the test kit interprets policies on its own, row by row; it shares no code with the engine.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use datafusion::{
    logical_expr::{ColumnarValue, Volatility, create_udf},
    prelude::SessionConfig,
};
use parking_lot::Mutex;
use proptest::{prelude::*, test_runner::Config};
use sqe_core::{
    Action, Decision, FieldId, Result,
    catalog::ViewDefinition,
    policy::Restrictions,
    predicate::{CompareOp, Mask, RowPredicate, Value},
};
use sqe_testkit::reference::{Got, divisions, is_true};

use crate::people::{World, world_with};

fn cases(default: u32) -> Config {
    Config {
        cases: sqe_testkit::property_cases(default),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    }
}

/// A row of `t(k BIGINT NOT NULL, n BIGINT, s VARCHAR, x BIGINT, y VARCHAR)`.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    k: i64,
    n: Option<i64>,
    s: Option<String>,
    x: Option<i64>,
    y: Option<String>,
}

const COLUMNS: [&str; 5] = ["k", "n", "s", "x", "y"];

fn row() -> impl Strategy<Value = Row> {
    let number = || proptest::option::weighted(0.8, -3_i64..6);
    let text =
        || proptest::option::weighted(0.8, prop_oneof![Just("a"), Just("b"), Just("abc"), Just("a_c"), Just("")]);
    (0_i64..8, number(), text(), number(), text()).prop_map(|(k, n, s, x, y)| Row {
        k,
        n,
        s: s.map(Into::into),
        x,
        y: y.map(Into::into),
    })
}

impl Row {
    fn column(&self, id: FieldId) -> Got {
        match id.0 {
            1 => Some(self.k).into(),
            2 => self.n.into(),
            3 => self.s.as_deref().into(),
            4 => self.x.into(),
            _ => self.y.as_deref().into(),
        }
    }

    fn is_visible(&self, held: &Restrictions) -> bool {
        held.filter.as_ref().is_none_or(|filter| is_true(filter, &|id| self.column(id)))
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let numbers = |pick: fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(pick).collect::<Int64Array>()) as ArrayRef;
    let texts = |pick: fn(&Row) -> Option<&str>| Arc::new(rows.iter().map(pick).collect::<StringArray>()) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable(vec![
        ("k", numbers(|row| Some(row.k)), false),
        ("n", numbers(|row| row.n), true),
        ("s", texts(|row| row.s.as_deref()), true),
        ("x", numbers(|row| row.x), true),
        ("y", texts(|row| row.y.as_deref()), true),
    ])
    .unwrap()
}

fn predicate() -> impl Strategy<Value = RowPredicate> {
    let number = prop_oneof![Just(1), Just(2), Just(4)].prop_map(FieldId);
    let text = prop_oneof![Just(3), Just(5)].prop_map(FieldId);
    let op = prop_oneof![
        Just(CompareOp::Eq),
        Just(CompareOp::NotEq),
        Just(CompareOp::Lt),
        Just(CompareOp::LtEq),
        Just(CompareOp::Gt),
        Just(CompareOp::GtEq)
    ];
    let leaf = prop_oneof![
        (number.clone(), op.clone(), -3_i64..6).prop_map(|(id, op, value)| RowPredicate::compare(
            id,
            op,
            Value::Integer(value)
        )),
        (text.clone(), op, "[abc_]{0,2}").prop_map(|(id, op, value)| RowPredicate::compare(id, op, Value::Text(value))),
        (number, proptest::collection::vec(-3_i64..6, 1..4)).prop_map(|(id, list)| RowPredicate::In {
            value: Box::new(RowPredicate::Column(id)),
            list: list.into_iter().map(Value::Integer).collect(),
        }),
        (text.clone(), prop_oneof![Just("a%"), Just("%c"), Just("a\\_c"), Just("_")]).prop_map(|(id, pattern)| {
            RowPredicate::Like { value: Box::new(RowPredicate::Column(id)), pattern: pattern.into() }
        }),
        text.prop_map(|id| RowPredicate::IsNull(Box::new(RowPredicate::Column(id)))),
        any::<bool>().prop_map(|value| RowPredicate::Literal(Value::Boolean(value))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(RowPredicate::And),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(RowPredicate::Or),
            inner.clone().prop_map(|inner| RowPredicate::Not(Box::new(inner))),
            inner.clone().prop_map(|inner| RowPredicate::Coalesce(Box::new(inner), Value::Boolean(true))),
            (inner.clone(), inner.clone(), inner).prop_map(|(condition, then, otherwise)| RowPredicate::If {
                condition: Box::new(condition),
                then: Box::new(then),
                otherwise: Box::new(otherwise),
            }),
        ]
    })
}

fn restrictions() -> impl Strategy<Value = Restrictions> {
    let number_mask = prop_oneof![
        Just(Mask::Null),
        (-3_i64..6).prop_map(|value| Mask::Constant(Value::Integer(value))),
        // Masks that do not fit a number hide everything.
        Just(Mask::Constant(Value::Text("seven".into()))),
        Just(Mask::KeepLast(2)),
    ];
    let text_mask = prop_oneof![
        Just(Mask::Null),
        Just(Mask::Constant(Value::Text("masked".into()))),
        Just(Mask::KeepLast(1)),
        // A number is shown as its text.
        Just(Mask::Constant(Value::Integer(7))),
    ];
    let treatment = |mask: BoxedStrategy<Mask>| prop_oneof![3 => Just(None), 1 => Just(Some(None)), 3 => mask.prop_map(|mask| Some(Some(mask)))];
    (proptest::option::weighted(0.85, predicate()), treatment(number_mask.boxed()), treatment(text_mask.boxed()))
        .prop_map(|(filter, number, text)| {
            let mut held = Restrictions::default();
            held.filter = filter;
            for (id, treatment) in [(FieldId(4), number), (FieldId(5), text)] {
                match treatment {
                    None => {}
                    Some(None) => drop(BTreeSet::insert(&mut held.hidden, id)),
                    Some(Some(mask)) => drop(held.masks.insert(id, mask)),
                }
            }
            held
        })
}

fn visible(held: &Restrictions, rows: &[Row]) -> Vec<Row> {
    rows.iter().filter(|row| row.is_visible(held)).cloned().collect()
}

/// The copy that a person may see: rows that pass, with masked values and empty hidden columns.
fn masked(held: &Restrictions, rows: &[Row]) -> Vec<Row> {
    let mut rows = visible(held, rows);
    for row in &mut rows {
        if held.hidden.contains(&FieldId(4)) {
            row.x = None;
        }
        if held.hidden.contains(&FieldId(5)) {
            row.y = None;
        }
        match held.masks.get(&FieldId(4)) {
            Some(Mask::Constant(Value::Integer(value))) => row.x = Some(*value),
            Some(_) => row.x = None,
            None => {}
        }
        match held.masks.get(&FieldId(5)) {
            Some(Mask::Constant(Value::Text(text))) => row.y = Some(text.clone()),
            Some(Mask::Constant(Value::Integer(number))) => row.y = Some(number.to_string()),
            Some(Mask::KeepLast(1)) => {
                row.y = row.y.as_ref().map(|text| {
                    if text.chars().count() <= 1 { String::new() } else { text.chars().last().unwrap().to_string() }
                });
            }
            Some(_) => row.y = None,
            None => {}
        }
    }
    rows
}

fn columns_of(held: &Restrictions) -> Vec<&'static str> {
    let ids = (1..).map(FieldId);
    COLUMNS.into_iter().zip(ids).filter(|(_, id)| !held.hidden.contains(id)).map(|(name, _)| name).collect()
}

/// A query over `t` whose answer does not depend on the order of rows; `$` stands for a column.
fn query(columns: Vec<&'static str>) -> impl Strategy<Value = String> {
    let column = proptest::sample::select(columns.clone());
    let number =
        proptest::sample::select(columns.iter().copied().filter(|name| "knx".contains(name)).collect::<Vec<_>>());
    let term = prop_oneof![
        column.clone().prop_map(str::to_owned),
        number.clone().prop_map(|name| format!("{name} + 1")),
        (number.clone(), -1_i64..6).prop_map(|(name, value)| format!("10 / ({name} - {value})")),
        column.clone().prop_map(|name| format!("coalesce(CAST({name} AS VARCHAR), 'none')")),
        number.clone().prop_map(|name| format!("CASE WHEN {name} > 2 THEN 'big' ELSE 'small' END")),
    ];
    let condition = prop_oneof![
        Just("true".to_owned()),
        (number.clone(), -3_i64..6).prop_map(|(name, value)| format!("{name} >= {value}")),
        (number.clone(), -3_i64..6).prop_map(|(name, value)| format!("{name} = {value}")),
        (column.clone()).prop_map(|name| format!("{name} IS NOT NULL")),
        (number.clone(), -1_i64..6).prop_map(|(name, value)| format!("10 / ({name} - {value}) > 1")),
        column.clone().prop_map(|name| format!("CAST({name} AS VARCHAR) LIKE 'a%'")),
        number.clone().prop_map(|name| format!("{name} IN (SELECT {name} FROM t WHERE k > 3)")),
        column.clone().prop_map(|name| format!("EXISTS (SELECT 1 FROM t u WHERE u.{name} = t.{name} AND u.k <> t.k)")),
    ];
    let pair = (condition.clone(), condition).prop_map(|(one, two)| format!("{one} AND {two}"));
    (proptest::collection::vec(term, 1..4), pair, number, 0..7_u8).prop_map(|(terms, condition, key, shape)| {
        let list = terms.join(", ");
        let places = (1..=terms.len()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        match shape {
            0 => format!("SELECT {list} FROM t WHERE {condition}"),
            1 => format!("SELECT {list}, count(*) FROM t WHERE {condition} GROUP BY {places}"),
            2 => format!("SELECT DISTINCT {list} FROM t WHERE {condition}"),
            3 => format!("SELECT {list} FROM t WHERE {condition} ORDER BY {places} LIMIT 3"),
            4 => format!("SELECT count(*), min({key}), max({key}), sum({key}) FROM t WHERE {condition}"),
            5 => format!(
                "SELECT t.k, v.k FROM t JOIN t v ON t.{key} = v.{key} WHERE {}",
                condition.replace("(k ", "(t.k ").replace("(n ", "(t.n ").replace("(x ", "(t.x ")
            ),
            _ => format!(
                "WITH c AS (SELECT * FROM t WHERE {condition}) SELECT count(*) FROM c a, c b WHERE a.{key} < b.{key}"
            ),
        }
    })
}

#[derive(Debug, Clone)]
struct Settings {
    partitions: usize,
    batch: usize,
    pushdown: bool,
    hash_joins: bool,
}

impl Settings {
    fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new().with_target_partitions(self.partitions).with_batch_size(self.batch);
        config.options_mut().execution.parquet.pushdown_filters = self.pushdown;
        config.options_mut().optimizer.prefer_hash_join = self.hash_joins;
        config
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    (1_usize..4, prop_oneof![Just(1_usize), Just(3), Just(8192)], any::<bool>(), any::<bool>())
        .prop_map(|(partitions, batch, pushdown, hash_joins)| Settings { partitions, batch, pushdown, hash_joins })
}

/// What `t` is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Table,
    View,
    /// A view of a state to which others followed.
    OlderState,
}

fn world_of(rows: &[Row], decision: Decision, case: &Case) -> World {
    let world = world_with(|builder| builder.session_config(case.config.config()));
    if case.form == Form::Table {
        world.lake.put("app", "t", batch(rows));
        world.rules.select("alice", "t", decision);
        return world;
    }
    world.lake.put("app", "base", batch(rows));
    world.rules.select("alice", "base", decision);
    let mut text = "SELECT * FROM base".to_owned();
    if case.form == Form::OlderState {
        let later: Vec<Row> = rows.iter().map(|row| Row { k: row.k + 1, n: None, ..row.clone() }).collect();
        world.lake.follow("app", "base", &batch(&later));
        text.push_str(" FOR VERSION AS OF 1");
    }
    world.lake.put_view("app", "t", ViewDefinition::new(text, "lake", "app"));
    world.rules.select("alice", "t", Decision::permit());
    world.rules.permit("alice", "t", Action::Describe);
    world
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The answer's rows, sorted, or the kind of its error.
fn answer(world: &World, sql: &str) -> Result<Vec<String>> {
    runtime().block_on(world.sorted("alice", sql))
}

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Row>,
    held: Restrictions,
    sql: String,
    config: Settings,
    form: Form,
}

fn case() -> impl Strategy<Value = Case> {
    let form = prop_oneof![2 => Just(Form::Table), 1 => Just(Form::View), 1 => Just(Form::OlderState)];
    let parts = (proptest::collection::vec(row(), 0..14), restrictions(), settings(), form);
    parts.prop_flat_map(|(rows, held, config, form)| {
        let columns = columns_of(&held);
        query(columns).prop_map(move |sql| {
            let (rows, held, config) = (rows.clone(), held.clone(), config.clone());
            Case { rows, held, sql, config, form }
        })
    })
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn p1_answers_equal_those_of_a_copy_that_holds_what_may_be_seen(case in case()) {
        let governed = world_of(&case.rows, Decision::permit_with(case.held.clone()), &case);
        let copy = world_of(&masked(&case.held, &case.rows), Decision::permit(), &case);
        match (answer(&governed, &case.sql), answer(&copy, &case.sql)) {
            (Ok(got), Ok(expected)) => prop_assert_eq!(got, expected, "{}", case.sql),
            // Which of several conditions meets a failing visible row first is not promised, and not the same for tables
            // with a policy and without; that only visible rows can make a statement fail is.
            (_, Err(_)) => {}
            (Err(error), Ok(_)) => {
                let fails = divisions(&case.sql).any(|division| answer(&copy, &division).is_err());
                prop_assert!(fails, "{} failed on what cannot be seen: {:?}", case.sql, error);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(700))]

    #[test]
    fn p2_what_may_not_be_seen_changes_nothing(case in case(), other in proptest::collection::vec(row(), 14), salt in 0_i64..5) {
        let one = case.rows.clone();
        let two = disguised(&case.held, &one, &other, salt);
        prop_assert_eq!(masked(&case.held, &one), masked(&case.held, &two));
        prop_assert_eq!(one.len(), two.len());
        let decision = Decision::permit_with(case.held.clone());
        let (one, two) = (world_of(&one, decision.clone(), &case), world_of(&two, decision, &case));
        let explain = format!("EXPLAIN {}", case.sql);
        let columns = "SELECT * FROM information_schema.columns";
        for sql in [case.sql.as_str(), explain.as_str(), columns, "DESCRIBE t"] {
            match (answer(&one, sql), answer(&two, sql)) {
                (Ok(one), Ok(two)) => prop_assert_eq!(one, two, "{}", sql),
                (Err(one), Err(two)) => {
                    prop_assert_eq!(one.kind(), two.kind(), "{}", sql);
                    prop_assert_eq!(one.message(), two.message(), "{}", sql);
                }
                (one, two) => prop_assert!(false, "{}: {:?} and {:?}", sql, one, two),
            }
        }
    }
}

/// The same table to the person: hidden rows and hidden values replaced, each by another that stays hidden.
fn disguised(held: &Restrictions, rows: &[Row], other: &[Row], salt: i64) -> Vec<Row> {
    let read_by_filter = held.filter.as_ref().map(RowPredicate::columns).unwrap_or_default();
    (rows.iter().zip(other))
        .map(|(row, other)| {
            let passes = !visible(held, std::slice::from_ref(row)).is_empty();
            if !passes {
                let stays_hidden = visible(held, std::slice::from_ref(other)).is_empty();
                return if stays_hidden { other.clone() } else { row.clone() };
            }
            let mut row = row.clone();
            let blank = |id: FieldId| {
                let mask = held.masks.get(&id);
                let gone = held.hidden.contains(&id) || mask.is_some_and(|mask| !matches!(mask, Mask::KeepLast(_)));
                gone && !read_by_filter.contains(&id)
            };
            if blank(FieldId(4)) {
                row.x = row.x.map_or(Some(salt), |x| Some(x + salt));
            }
            if blank(FieldId(5)) {
                row.y = Some(format!("other {salt}"));
            }
            row
        })
        .collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn p3_a_spy_sees_visible_rows_only(case in case(), place in 0..5_u8) {
        let seen: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
        let record = {
            let seen = Arc::clone(&seen);
            move |arguments: &[ColumnarValue]| {
                let arrays = ColumnarValue::values_to_arrays(arguments)?;
                seen.lock().extend(arrays[0].as_any().downcast_ref::<Int64Array>().unwrap().iter().flatten());
                Ok(ColumnarValue::Array(Arc::clone(&arrays[0])))
            }
        };
        let spy = create_udf("spy", vec![DataType::Int64], DataType::Int64, Volatility::Immutable, Arc::new(record));
        let world = world_with(|builder| builder.session_config(case.config.config()).function(spy));
        // `k` becomes a number of its own for each row, so that every row can be told apart.
        let rows: Vec<Row> = case.rows.iter().zip(0..).map(|(row, at)| Row { k: row.k + 100 * at, ..row.clone() }).collect();
        world.lake.put("app", "t", batch(&rows));
        world.rules.select("alice", "t", Decision::permit_with(case.held.clone()));
        let sql = match place {
            0 => "SELECT spy(k) FROM t WHERE n > 0",
            1 => "SELECT n FROM t WHERE spy(k) >= 0 AND k >= 0",
            2 => "SELECT a.n FROM t a JOIN t b ON spy(a.k) = b.k",
            3 => "SELECT count(*) FROM t GROUP BY spy(k)",
            _ => "SELECT n FROM t WHERE k IN (SELECT spy(k) FROM t) ORDER BY spy(k) LIMIT 2",
        };
        let _ = answer(&world, sql);
        let visible: BTreeSet<i64> = visible(&case.held, &rows).iter().map(|row| row.k).collect();
        let seen = seen.lock().clone();
        prop_assert!(seen.is_subset(&visible), "{}: {:?} is more than {:?}", sql, seen, visible);
    }
}
