//! P1 and P2 over Iceberg tables in real Parquet files: random policies, data, layouts, queries and settings.
//!
//! - **P1 oracle**: what a person gets equals what anybody gets from a copy that holds only what the person may see.
//! - **P2 non-interference**: changing what the person may not see changes nothing the person can observe, be it rows,
//!   errors, plans or measured numbers of rows.
//!
//! The same over tables in memory, and P3, are in `sqe-core`. The reference is that of the test kit.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, Int64Array, StringArray},
    record_batch::RecordBatch,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use parking_lot::Mutex;
use proptest::{
    prelude::*,
    test_runner::{Config, TestError, TestRunner},
};
use sqe_core::{
    Decision, Engine, FieldId, Result, TableName,
    engine::Ingest,
    policy::Restrictions,
    predicate::{CompareOp, Mask, RowPredicate, Value},
};
use sqe_testkit::reference::{Got, divisions, is_true};
use tokio::runtime::Runtime;

use crate::{
    governed::{Rule, config, governed_engine},
    world::{rows, session, timeless},
};

fn cases(default: u32) -> Config {
    Config {
        cases: sqe_testkit::property_cases(default),
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::default()
    }
}

/// A row of `t(k BIGINT NOT NULL, n BIGINT, seg VARCHAR, x BIGINT, y VARCHAR)`.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    k: i64,
    n: Option<i64>,
    seg: Option<String>,
    x: Option<i64>,
    y: Option<String>,
}

const COLUMNS: [&str; 5] = ["k", "n", "seg", "x", "y"];
const N: FieldId = FieldId(2);
const SEG: FieldId = FieldId(3);
const X: FieldId = FieldId(4);
const Y: FieldId = FieldId(5);

fn row() -> impl Strategy<Value = Row> {
    let number = || proptest::option::weighted(0.8, -3_i64..9);
    let seg = proptest::option::weighted(0.85, prop_oneof![Just("a"), Just("b"), Just("ab"), Just("a_")]);
    // Long texts make files of different sizes, and so other groups of files.
    let text = prop_oneof![
        Just(String::new()),
        Just("b".to_owned()),
        Just("abc".to_owned()),
        "[a-z]{300}".prop_map(|text| text)
    ];
    (0_i64..12, number(), seg, number(), proptest::option::weighted(0.8, text)).prop_map(|(k, n, seg, x, y)| Row {
        k,
        n,
        seg: seg.map(Into::into),
        x,
        y,
    })
}

impl Row {
    fn column(&self, id: FieldId) -> Got {
        match id.0 {
            1 => Some(self.k).into(),
            2 => self.n.into(),
            3 => self.seg.as_deref().into(),
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
        ("seg", texts(|row| row.seg.as_deref()), true),
        ("x", numbers(|row| row.x), true),
        ("y", texts(|row| row.y.as_deref()), true),
    ])
    .unwrap()
}

fn predicate() -> impl Strategy<Value = RowPredicate> {
    let number = prop_oneof![Just(FieldId(1)), Just(N), Just(X)];
    let text = prop_oneof![3 => Just(SEG), 1 => Just(Y)];
    let op = prop_oneof![
        Just(CompareOp::Eq),
        Just(CompareOp::NotEq),
        Just(CompareOp::Lt),
        Just(CompareOp::LtEq),
        Just(CompareOp::Gt),
        Just(CompareOp::GtEq)
    ];
    let leaf = prop_oneof![
        (number.clone(), op.clone(), -3_i64..12).prop_map(|(id, op, value)| RowPredicate::compare(
            id,
            op,
            Value::Integer(value)
        )),
        (text.clone(), op, "[ab_]{0,2}").prop_map(|(id, op, value)| RowPredicate::compare(id, op, Value::Text(value))),
        (number, proptest::collection::vec(-3_i64..12, 1..4)).prop_map(|(id, list)| RowPredicate::In {
            value: Box::new(RowPredicate::Column(id)),
            list: list.into_iter().map(Value::Integer).collect(),
        }),
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("z")], 1..3).prop_map(|list| {
            RowPredicate::In {
                value: Box::new(RowPredicate::Column(SEG)),
                list: list.into_iter().map(|text| Value::Text(text.into())).collect(),
            }
        }),
        (text.clone(), prop_oneof![Just("a%"), Just("%b"), Just("a\\_"), Just("_")]).prop_map(|(id, pattern)| {
            RowPredicate::Like { value: Box::new(RowPredicate::Column(id)), pattern: pattern.into() }
        }),
        text.prop_map(|id| RowPredicate::IsNull(Box::new(RowPredicate::Column(id)))),
        Just(RowPredicate::IsNull(Box::new(RowPredicate::Column(N)))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3).prop_map(RowPredicate::And),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(RowPredicate::Or),
            inner.clone().prop_map(|inner| RowPredicate::Coalesce(Box::new(inner), Value::Boolean(true))),
            inner.prop_map(|inner| RowPredicate::Not(Box::new(inner))),
        ]
    })
}

fn restrictions() -> impl Strategy<Value = Restrictions> {
    let number = prop_oneof![Just(Mask::Null), (-3_i64..9).prop_map(|value| Mask::Constant(Value::Integer(value)))];
    let text =
        prop_oneof![Just(Mask::Null), Just(Mask::Constant(Value::Text("masked".into()))), Just(Mask::KeepLast(1))];
    let treatment = |mask: BoxedStrategy<Mask>| prop_oneof![3 => Just(None), 1 => Just(Some(None)), 3 => mask.prop_map(|mask| Some(Some(mask)))];
    (proptest::option::weighted(0.9, predicate()), treatment(number.boxed()), treatment(text.boxed())).prop_map(
        |(filter, number, text)| {
            let mut held = Restrictions::default();
            held.filter = filter;
            for (id, treatment) in [(X, number), (Y, text)] {
                match treatment {
                    None => {}
                    Some(None) => drop(BTreeSet::insert(&mut held.hidden, id)),
                    Some(Some(mask)) => drop(held.masks.insert(id, mask)),
                }
            }
            held
        },
    )
}

/// What the person may see of a row that is there: masked values, and nothing in hidden columns.
fn masked(held: &Restrictions, row: &Row) -> Row {
    let mut row = row.clone();
    match held.masks.get(&X) {
        Some(Mask::Constant(Value::Integer(value))) => row.x = Some(*value),
        Some(_) => row.x = None,
        None if held.hidden.contains(&X) => row.x = None,
        None => {}
    }
    match held.masks.get(&Y) {
        Some(Mask::Constant(Value::Text(text))) => row.y = Some(text.clone()),
        Some(Mask::KeepLast(1)) => {
            let last = |text: &String| match text.chars().count() {
                0 | 1 => String::new(),
                _ => text.chars().last().unwrap().to_string(),
            };
            row.y = row.y.as_ref().map(last);
        }
        Some(_) => row.y = None,
        None if held.hidden.contains(&Y) => row.y = None,
        None => {}
    }
    row
}

/// The same files to the person: hidden rows and hidden values replaced, each by another that stays hidden.
fn disguised(held: &Restrictions, row: &Row, other: &Row, salt: i64) -> Row {
    if !row.is_visible(held) {
        return if other.is_visible(held) { row.clone() } else { other.clone() };
    }
    let read_by_filter = held.filter.as_ref().map(RowPredicate::columns).unwrap_or_default();
    let blank = |id: FieldId| {
        let mask = held.masks.get(&id);
        let gone = held.hidden.contains(&id) || mask.is_some_and(|mask| !matches!(mask, Mask::KeepLast(_)));
        gone && !read_by_filter.contains(&id)
    };
    let mut row = row.clone();
    if blank(X) {
        row.x = row.x.map_or(Some(salt), |x| Some(x + salt));
    }
    if blank(Y) {
        row.y = Some("other ".repeat(100 * usize::try_from(salt).unwrap()));
    }
    row
}

/// A query, and whether the numbers of rows that its operators measure are the same each time it runs.
#[derive(Debug, Clone)]
struct Query {
    sql: String,
    steady: bool,
}

/// A query over `t` whose answer depends neither on the order of rows nor on how they are dealt out: at most one of its
/// expressions can fail, and the rows that this one looks at are chosen by leakproof predicates alone.
fn query(columns: Vec<&'static str>) -> impl Strategy<Value = Query> {
    let column = proptest::sample::select(columns.clone());
    let names = |among: &str| columns.iter().copied().filter(|name| among.contains(name)).collect::<Vec<_>>();
    let number = proptest::sample::select(names("knx"));
    let open = proptest::sample::select(vec!["k", "n"]);
    let op = proptest::sample::select(vec!["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"]);
    let value = -4_i64..13;
    let simple = prop_oneof![
        Just("true".to_owned()),
        (open.clone(), op.clone(), value.clone()).prop_map(|(name, op, value)| format!("{name} {op} {value}")),
        (open.clone(), value.clone(), value.clone())
            .prop_map(|(name, low, high)| { format!("{name} BETWEEN {low} AND {high}") }),
        (open, value.clone(), value.clone()).prop_map(|(name, one, two)| format!("{name} NOT IN ({one}, {two})")),
        (op.clone(), proptest::sample::select(vec!["a", "b", "aa", ""]))
            .prop_map(|(op, text)| { format!("seg {op} '{text}'") }),
        proptest::sample::select(vec!["seg LIKE 'a%'", "seg NOT LIKE '%b'", "seg IS NULL", "n IS NOT NULL"])
            .prop_map(str::to_owned),
    ];
    let leakproof = prop_oneof![
        simple.clone(),
        (simple.clone(), simple.clone()).prop_map(|(one, two)| format!("({one} OR {two})")),
        (simple.clone(), simple.clone()).prop_map(|(one, two)| format!("{one} AND {two}")),
        simple.prop_map(|one| format!("NOT ({one})")),
    ];
    let any = prop_oneof![
        3 => Just("true".to_owned()),
        2 => (number.clone(), op, value).prop_map(|(name, op, value)| format!("{name} {op} {value}")),
        1 => column.clone().prop_map(|name| format!("{name} IS NOT NULL")),
        1 => column.clone().prop_map(|name| format!("CAST({name} AS VARCHAR) LIKE 'a%'")),
        2 => number.clone().prop_map(|name| format!("{name} IN (SELECT {name} FROM t WHERE k > 3)")),
        1 => column.clone().prop_map(|name| format!("EXISTS (SELECT 1 FROM t u WHERE u.{name} = t.{name} AND u.k <> t.k)")),
    ];
    let term = prop_oneof![
        column.clone().prop_map(str::to_owned),
        number.clone().prop_map(|name| format!("{name} + 1")),
        column.prop_map(|name| format!("coalesce(CAST({name} AS VARCHAR), 'none')")),
        number.clone().prop_map(|name| format!("CASE WHEN {name} > 2 THEN 'big' ELSE 'small' END")),
    ];
    let division = (number.clone(), -1_i64..9).prop_map(|(name, value)| format!("10 / ({name} - {value})"));
    let terms = proptest::collection::vec(term, 1..3);
    (terms, leakproof, any, number, division, 0..10_u8).prop_map(|(terms, leakproof, any, key, division, shape)| {
        let list = terms.join(", ");
        let places = (1..=terms.len()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        let subquery = any.contains("SELECT");
        let (sql, steady) = match shape {
            0 | 1 => (format!("SELECT {list} FROM t WHERE {leakproof} AND {any}"), !subquery),
            2 => (format!("SELECT {list}, count(*) FROM t WHERE {leakproof} AND {any} GROUP BY {places}"), false),
            3 => (format!("SELECT {list} FROM t WHERE {leakproof} AND {any} ORDER BY {places} LIMIT 3"), false),
            4 => (format!("SELECT count(*), min({key}), max({key}), sum({key}) FROM t WHERE {leakproof}"), false),
            5 => (
                format!("SELECT t.k, v.k FROM (SELECT * FROM t WHERE {leakproof}) t JOIN t v ON t.{key} = v.{key}"),
                false,
            ),
            6 => (
                format!("SELECT v.c, t.k FROM t JOIN (VALUES (2), (5), (40)) v(c) ON t.{key} = v.c WHERE {leakproof}"),
                false,
            ),
            7 => (format!("SELECT {list} FROM t WHERE {leakproof} AND {division} > 1"), true),
            8 => (format!("SELECT {division}, {list} FROM t WHERE {leakproof}"), true),
            _ => (format!("SELECT DISTINCT {list} FROM t WHERE {leakproof} AND {any}"), false),
        };
        Query { sql, steady }
    })
}

/// How a table's rows lie in files: the number of files, and whether each value of `seg` has its own.
#[derive(Debug, Clone, Copy)]
struct Layout {
    files: usize,
    partitioned: bool,
}

/// Target partitions, batch size, and whether filters are evaluated while decoding.
type Settings = (usize, usize, bool);

#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Row>,
    others: Vec<Row>,
    salt: i64,
    held: Restrictions,
    queries: Vec<(Query, Settings)>,
    layout: Layout,
}

fn case() -> impl Strategy<Value = Case> {
    let layout = (2_usize..5, any::<bool>()).prop_map(|(files, partitioned)| Layout { files, partitioned });
    let data = (proptest::collection::vec((row(), row()), 4..24), 0_i64..4);
    (data, restrictions(), layout).prop_flat_map(|((pairs, salt), held, layout)| {
        let visible = COLUMNS.into_iter().zip((1..).map(FieldId)).filter(|(_, id)| !held.hidden.contains(id));
        let settings = (1_usize..5, prop_oneof![Just(1_usize), Just(3), Just(8192)], any::<bool>());
        let one = (query(visible.map(|(name, _)| name).collect()), settings);
        let (rows, others): (Vec<Row>, Vec<Row>) = pairs.into_iter().unzip();
        proptest::collection::vec(one, QUERIES..=QUERIES).prop_map(move |queries| {
            let (rows, others, held) = (rows.clone(), others.clone(), held.clone());
            Case { rows, others, salt, held, queries, layout }
        })
    })
}

/// Queries that a case asks of its table.
const QUERIES: usize = 4;

/// A folder with a catalog in which one table is made again and again, and engines over it.
struct Site {
    dir: tempfile::TempDir,
    rule: Rule,
    engines: Mutex<HashMap<Settings, Engine>>,
}

impl Site {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let site = Self { dir, rule: Rule::default(), engines: Mutex::default() };
        let root = session(&site.engine((1, 8192, false)).await, "root").await;
        rows(&root, "CREATE SCHEMA s").await.unwrap();
        site
    }

    async fn engine(&self, settings: Settings) -> Engine {
        let known = self.engines.lock().get(&settings).cloned();
        if let Some(engine) = known {
            return engine;
        }
        let (partitions, batch, pushdown) = settings;
        let config = config(partitions, batch, pushdown);
        let engine = governed_engine(self.dir.path(), &self.rule, config, |builder| builder).await;
        self.engines.lock().insert(settings, engine.clone());
        engine
    }

    async fn fill(&self, rows: &[Row], layout: Layout, decision: Decision) {
        self.rule.set(decision);
        let root = session(&self.engine((1, 8192, false)).await, "root").await;
        crate::world::rows(&root, "DROP TABLE IF EXISTS t").await.unwrap();
        let name = TableName::new("lake", "s", "t");
        let mut ingest = Ingest::create(name.clone());
        if layout.partitioned {
            ingest.partitioning = vec![("identity".into(), "seg".into())];
        }
        let parts: Vec<&[Row]> = match rows {
            // Also a table without rows has columns.
            [] => vec![rows],
            rows => rows.chunks(rows.len().div_ceil(layout.files)).collect(),
        };
        for part in parts {
            let batch = batch(part);
            let stream = RecordBatchStreamAdapter::new(batch.schema(), futures::stream::iter([Ok(batch)]));
            let next = std::mem::replace(&mut ingest, Ingest::append(name.clone()));
            root.ingest(next, Box::pin(stream)).await.unwrap();
        }
    }

    async fn ask(&self, sql: &str, settings: Settings) -> Result<Vec<String>> {
        rows(&session(&self.engine(settings).await, "alice").await, sql).await
    }
}

/// Tries a property on random cases, all with the same two folders.
fn check(default: u32, property: impl AsyncFn(&[Site; 2], Case) -> Result<(), TestCaseError>) {
    let runtime = Runtime::new().unwrap();
    let sites = runtime.block_on(async { [Site::new().await, Site::new().await] });
    let outcome = TestRunner::new(cases(default)).run(&case(), |case| runtime.block_on(property(&sites, case)));
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\nminimal case: {case:#?}"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn p1_answers_equal_those_of_a_copy_that_holds_what_may_be_seen() {
    check(100, async |[governed, copy], case| {
        let visible = case.rows.iter().filter(|row| row.is_visible(&case.held));
        let visible: Vec<Row> = visible.map(|row| masked(&case.held, row)).collect();
        governed.fill(&case.rows, case.layout, Decision::permit_with(case.held.clone())).await;
        copy.fill(&visible, case.layout, Decision::permit()).await;
        for (Query { sql, .. }, settings) in &case.queries {
            match (governed.ask(sql, *settings).await, copy.ask(sql, *settings).await) {
                (Ok(got), Ok(expected)) => prop_assert_eq!(got, expected, "{}", sql),
                // Statistics tell the copy that an expression need not be looked at, or must be. That only visible rows
                // can make a statement fail is what counts.
                (Ok(_), Err(_)) => {}
                (Err(got), Err(expected)) => prop_assert_eq!(got.kind(), expected.kind(), "{}", sql),
                (Err(error), Ok(_)) => {
                    let mut fails = false;
                    for division in divisions(sql) {
                        fails |= copy.ask(&division, *settings).await.is_err();
                    }
                    prop_assert!(fails, "{} failed on what cannot be seen: {:?}", sql, error);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn p2_what_may_not_be_seen_changes_nothing() {
    check(80, async |[one, two], case| {
        let pairs = case.rows.iter().zip(&case.others);
        let others: Vec<Row> = pairs.map(|(row, other)| disguised(&case.held, row, other, case.salt)).collect();
        let seen = |rows: &[Row]| -> Vec<Row> {
            rows.iter().filter(|row| row.is_visible(&case.held)).map(|row| masked(&case.held, row)).collect()
        };
        prop_assert_eq!(seen(&case.rows), seen(&others));
        if case.held.is_none() {
            // Nothing is hidden, and plans show the names of files.
            return Ok(());
        }
        let decision = Decision::permit_with(case.held.clone());
        one.fill(&case.rows, case.layout, decision.clone()).await;
        two.fill(&others, case.layout, decision).await;
        let mut asked = vec![
            ("SELECT * FROM information_schema.columns".to_owned(), (2, 8192, true)),
            ("SHOW TABLES".to_owned(), (2, 8192, true)),
            ("DESCRIBE t".to_owned(), (2, 8192, true)),
        ];
        for (Query { sql, steady }, settings) in &case.queries {
            asked.push((sql.clone(), *settings));
            asked.push((format!("EXPLAIN VERBOSE {sql}"), *settings));
            if *steady {
                asked.push((format!("EXPLAIN ANALYZE {sql}"), *settings));
            }
        }
        for (sql, settings) in asked {
            match (one.ask(&sql, settings).await, two.ask(&sql, settings).await) {
                (Ok(one), Ok(two)) => prop_assert_eq!(timeless(&one.join("\n")), timeless(&two.join("\n")), "{}", sql),
                (Err(one), Err(two)) => {
                    prop_assert_eq!(one.kind(), two.kind(), "{}", sql);
                    prop_assert_eq!(one.message(), two.message(), "{}", sql);
                }
                (one, two) => prop_assert!(false, "{}: {:?} and {:?}", sql, one, two),
            }
        }
        Ok(())
    });
}
