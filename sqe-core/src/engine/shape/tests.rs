use datafusion::{
    prelude::SessionContext,
    sql::{
        parser::DFParser,
        sqlparser::{dialect::GenericDialect, tokenizer::Tokenizer},
    },
};
use rstest::rstest;

use super::*;
use crate::ErrorKind;

fn text(sql: &str) -> Result<()> {
    check_text(&Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap(), HEIGHT)
}

fn chain(link: &str, times: usize) -> String {
    format!("SELECT a{}", link.repeat(times))
}

#[rstest]
#[case::plus(" + 1")]
#[case::and(" AND b")]
#[case::is_null(" IS NULL")]
#[case::in_list(" IN (1, 2)")]
#[case::between(" BETWEEN 1 AND 2")]
#[case::time_zone(" AT TIME ZONE 'UTC'")]
#[case::xor(" XOR b")]
#[case::not_like(" NOT LIKE 'x'")]
#[case::cast("::INT")]
#[case::subscript("[1]")]
#[case::collate(" COLLATE x")]
#[case::distinct_from(" IS DISTINCT FROM b")]
#[case::union(" UNION SELECT 1, 2")]
#[case::union_behind_an_operator_without_a_right_side(" NOTNULL UNION SELECT 1")]
#[case::case_arms(" + CASE WHEN a THEN b ELSE c END")]
#[case::name_that_is_a_keyword(" + on")]
#[case::another_such_name(" + where")]
#[case::end_as_a_name(" + end")]
#[case::within_group(" + f(x) WITHIN GROUP (ORDER BY y)")]
#[test]
fn long_chains_are_refused_and_short_ones_are_not(#[case] link: &str) {
    text(&chain(link, 20)).unwrap();
    assert_eq!(text(&chain(link, HEIGHT + 1)).unwrap_err().kind(), ErrorKind::InvalidInput, "{link}");
}

#[test]
fn brackets_add_the_heights_of_what_they_enclose() {
    let nested =
        |times: usize| format!("SELECT {}a{}", "(".repeat(20), format!("{})", " + 1".repeat(times)).repeat(20));
    assert!(text(&nested(10)).is_ok());
    // The chains before a bracket that is already closed do not count.
    assert!(text(&format!("SELECT {}", vec!["f(1 + 1 + 1)"; 200].join(", "))).is_ok());
    let inside = |times: usize| format!("SELECT {}a{}", "(1 + 1 + ".repeat(times), ")".repeat(times));
    assert!(text(&inside(30)).is_ok());
    assert!(text(&inside(300)).is_err());
}

#[test]
fn brackets_without_operators_are_left_to_the_parser_however_many_there_are() {
    let tokens = vec![Token::LParen; 2_000_000];
    check_text(&tokens, HEIGHT).unwrap();
    let closed = [vec![Token::RParen; 10], vec![Token::Plus; HEIGHT]].concat();
    check_text(&closed, HEIGHT).unwrap();
    assert!(check_text(&[closed, vec![Token::Plus]].concat(), HEIGHT).is_err(), "the outermost level is never closed");
}

#[test]
fn what_is_wide_and_not_tall_passes() {
    let arms = "WHEN a = 1 AND b = 2 THEN 'x' ".repeat(400);
    assert!(text(&format!("SELECT CASE {arms} ELSE 'y' END FROM t")).is_ok());
    assert!(text(&format!("SELECT a FROM t WHERE a IN ({})", vec!["1"; 50_000].join(", "))).is_ok());
    let query = "SELECT a + b * c AS x, d - e AS y FROM t WHERE a > 1 AND b < 2 OR c = 3";
    assert!(text(&vec![query; 90].join(" UNION ALL ")).is_ok());
    let joins = " JOIN u ON t.a = u.a AND t.b = u.b AND t.c > u.c".repeat(200);
    assert!(text(&format!("SELECT count(*) FROM t{joins}")).is_ok());
}

#[test]
fn wildcards_are_counted_and_products_are_not() {
    assert!(text(&format!("SELECT {}", vec!["t.*"; WILDCARDS + 1].join(", "))).is_err());
    assert!(text(&format!("SELECT {}", vec!["a * b"; 5 * WILDCARDS].join(", "))).is_ok());
}

#[test]
fn relations_are_counted_as_often_as_they_are_named() {
    let parsed = |sql: &str| DFParser::parse_sql(sql).unwrap().pop_front().unwrap();
    let many = |times: usize| {
        let from: Vec<String> = (0..times).map(|at| format!("t a{at}")).collect();
        format!("SELECT 1 FROM {}", from.join(", "))
    };
    assert!(check_relations(&parsed(&many(RELATIONS))).is_ok());
    assert_eq!(check_relations(&parsed(&many(RELATIONS + 1))).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(check_relations(&parsed(&format!("EXPLAIN {}", many(RELATIONS + 1)))).is_err());
}

/// Common table expressions, each made of the one before.
fn chained(times: usize, first: &str, next: &str) -> String {
    let mut with = vec![format!("c0 AS ({first})")];
    for at in 1..=times {
        with.push(format!("c{at} AS ({})", next.replace('@', &(at - 1).to_string())));
    }
    format!("WITH {} SELECT * FROM c{times} WHERE x > 0", with.join(", "))
}

/// On a stack as tall as that on which the engine plans.
fn plan(sql: String) -> Result<()> {
    let planned = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { check_plan(&SessionContext::new().state().create_logical_plan(&sql).await?) })
    });
    planned.unwrap().join().unwrap()
}

#[test]
fn names_that_double_at_each_step_are_refused_before_they_are_looked_up() {
    let parsed = |sql: String| DFParser::parse_sql(&sql).unwrap().pop_front().unwrap();
    for next in ["SELECT a.x FROM c@ a, c@ b", "SELECT x FROM c@ WHERE x IN (SELECT x FROM c@)"] {
        check_relations(&parsed(chained(8, "SELECT x FROM t", next))).unwrap();
        let refused = check_relations(&parsed(chained(40, "SELECT x FROM t", next))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    let nested = "WITH a AS (WITH b AS (SELECT 1 FROM t, u) SELECT 1 FROM b, b c) SELECT 1 FROM a, a d, a e";
    let mut count = Relations::default();
    let Parsed::Statement(ast) = parsed(nested.into()) else { panic!("no statement") };
    let _ = ast.visit(&mut count);
    assert_eq!((count.written, count.outside), (7, 12));
}

#[test]
fn plans_that_double_at_each_step_are_refused() {
    let double = |times| chained(times, "SELECT 1 AS x", "SELECT a.x FROM c@ a, c@ b");
    plan(double(8)).unwrap();
    assert_eq!(plan(double(15)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let hidden = |times| chained(times, "SELECT 1 AS x", "SELECT x FROM c@ WHERE x IN (SELECT x FROM c@)");
    plan(hidden(8)).unwrap();
    assert_eq!(plan(hidden(15)).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn columns_that_double_or_deepen_at_each_step_are_refused() {
    let double = |times| chained(times, "SELECT 1 AS x", "SELECT x + x AS x FROM c@");
    plan(double(10)).unwrap();
    assert_eq!(plan(double(40)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let deepen = |times| chained(times, "SELECT 1 AS x", &format!("SELECT x{} AS x FROM c@", " + 1".repeat(100)));
    plan(deepen(5)).unwrap();
    assert_eq!(plan(deepen(50)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let joined =
        |times| chained(times, "SELECT 1 AS x", "SELECT a.x + b.x AS x FROM c@ a JOIN (SELECT 1 AS x) b ON true");
    plan(joined(10)).unwrap();
    let grouped = |times| chained(times, "SELECT 1 AS x", "SELECT x + x AS x FROM c@ GROUP BY x + x");
    assert_eq!(plan(grouped(40)).unwrap_err().kind(), ErrorKind::InvalidInput);
}
