use datafusion::{
    prelude::SessionContext,
    sql::{
        parser::{DFParser, DFParserBuilder, Statement as Parsed},
        sqlparser::{ast::Visit, dialect::GenericDialect, tokenizer::Tokenizer},
    },
};
use rstest::rstest;

use super::{
    relations::{GROUPINGS, NESTED, RELATIONS, Relations},
    *,
};
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
#[case::interval(" INTERVAL")]
#[case::interval_of_a_type(" INTERVAL DAY TO SECOND (3)")]
#[case::pivot(" PIVOT(sum(a) FOR b IN (1, 2))")]
#[case::pipe(" |> SELECT a, b")]
#[case::explain(" EXPLAIN ANALYZE")]
#[case::types_in_angle_brackets(" STRUCT<a INT, b")]
#[case::types_that_are_closed_in_other_brackets(" STRUCT<a INT OPTIONS(x = 1 > 2), b")]
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

#[rstest]
#[case::types("nullable(")]
#[case::functions("f(")]
#[case::expressions("(")]
#[case::dictionaries("{")]
#[case::patterns("(A ")]
#[test]
fn many_open_brackets_are_refused_and_many_closed_ones_are_not(#[case] open: &str) {
    let nested = |times: usize| text(&format!("SELECT {}a", open.repeat(times)));
    nested(BRACKETS - 1).unwrap();
    assert_eq!(nested(BRACKETS + 1).unwrap_err().kind(), ErrorKind::InvalidInput, "{open}");
    text(&format!("SELECT {}", vec!["f((a), nullable(b))"; 5 * BRACKETS].join(", "))).unwrap();
}

#[test]
fn brackets_that_close_nothing_close_no_more_than_there_is() {
    let closed = [vec![Token::RParen; 10], vec![Token::Plus; HEIGHT]].concat();
    check_text(&closed, HEIGHT).unwrap();
    assert!(check_text(&[closed, vec![Token::Plus]].concat(), HEIGHT).is_err(), "the outermost level is never closed");
}

#[test]
fn types_may_be_as_many_as_they_like_as_long_as_they_do_not_nest() {
    let columns: Vec<String> =
        (0..2 * HEIGHT).map(|at| format!("c{at} STRUCT<a INT, b ARRAY<STRUCT<c INT>>>")).collect();
    text(&format!("CREATE TABLE t ({})", columns.join(", "))).unwrap();
    text(&format!("SELECT {} FROM t", vec!["map < 3"; HEIGHT / 2].join(", "))).unwrap();
}

#[test]
fn brackets_before_queries_are_counted_where_they_multiply() {
    let nested = |times: usize, open: &str, close: &str| {
        let query = format!("SELECT * FROM {open}");
        text(&format!("{}t{}", query.repeat(times), close.repeat(times)))
    };
    nested(20, "(", ")").unwrap();
    nested(13, "((", "))").unwrap();
    assert_eq!(nested(14, "((", "))").unwrap_err().kind(), ErrorKind::InvalidInput);
    text(&vec!["((SELECT 1) UNION (SELECT 2))"; 50].join(" UNION ")).unwrap();
}

#[test]
fn names_of_types_in_literals_are_measured_where_a_function_may_read_them() {
    let list = |times: usize| format!("{}Int8{}", "List(".repeat(times), ")".repeat(times));
    text(&format!("SELECT arrow_cast(a, '{}')", list(20))).unwrap();
    text(&format!("SELECT concat(a, '{}')", list(1_000))).unwrap();
    assert_eq!(text(&format!("SELECT Arrow_Cast(a, '{}')", list(1_000))).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(text(&format!("SELECT arrow_cast(a, E'{}')", "List\\x28".repeat(1_000))).is_err());
}

/// What a parser makes of a statement that it may try for a limited time.
fn metered(sql: &str) -> Result<Option<Parsed>> {
    let dialect = MeteredDialect::new(sql.len());
    let mut parser = DFParserBuilder::new(sql).with_dialect(&dialect).build().unwrap();
    let parsed = parser.parse_statements();
    dialect.check()?;
    Ok(parsed.ok().and_then(|mut statements| statements.pop_front()))
}

#[rstest]
#[case::cast("cast(", ")", 42)]
#[case::try_cast("try_cast(", ")", 42)]
#[case::extract_and_case("extract(case(", "))", 22)]
#[case::array("array[", "]", 42)]
#[case::position("position(", ")", 42)]
#[case::case_as_a_name("case - ", "", 42)]
#[case::named_arguments("f(a := ", ")", 22)]
#[case::fields("a.", ")", 42)]
#[test]
fn parsers_that_try_everything_twice_are_stopped(#[case] open: &str, #[case] close: &str, #[case] many: usize) {
    let fault = if open == "a." { "" } else { "1 1" };
    let nested = |times: usize| metered(&format!("SELECT 1 + {}{fault}{}", open.repeat(times), close.repeat(times)));
    assert!(nested(3).unwrap().is_none(), "{open}: a syntax error, soon");
    assert_eq!(nested(many).unwrap_err().kind(), ErrorKind::InvalidInput, "{open}");
}

#[rstest]
#[case("SELECT cast(cast(cast(a AS INT) AS BIGINT) AS VARCHAR), position(a, b), floor(x, 2), interval FROM t")]
#[case("SELECT * FROM ((SELECT 1) a JOIN (SELECT 2) b ON true) WHERE x IN ((SELECT 1))")]
#[case("FROM t |> WHERE a > 1 |> SELECT a, b")]
#[case("SELECT a, count(*) FROM t GROUP BY CUBE(a, b), GROUPING SETS((a), ()) QUALIFY row_number() OVER () = 1")]
#[case("CREATE TABLE t (a STRUCT<x INT, y ARRAY<INT>>, b INT[][], `c` NULLABLE(INT))")]
#[case("SELECT {fn f(1)}, {'a': 1}, MAP {'a': 1}, ARRAY[1, 2][1], a -> 'b', x ~ 'y', DATE '2024-01-01' FROM t")]
#[case("INSERT INTO t VALUES (1, INTERVAL '1' DAY), (2, NULL)")]
#[case("EXPLAIN VERBOSE SELECT a.* EXCEPT (b) FROM t AS a LIMIT 1, 2")]
#[case("WITH a (SELECT 1) SELECT U&'\\0041', E'a', $1, @x FROM a")]
#[test]
fn the_metered_dialect_reads_what_the_generic_one_reads(#[case] sql: &str) {
    let generic = DFParser::parse_sql(sql).unwrap().pop_front();
    assert!(generic.is_some());
    assert_eq!(metered(sql).unwrap(), generic);
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

fn relations(sql: &str) -> Result<()> {
    check_relations(&DFParser::parse_sql(sql).unwrap().pop_front().unwrap())
}

#[test]
fn common_table_expressions_nest_a_few_times_and_stand_side_by_side_as_often_as_they_like() {
    let nested =
        |times| (0..times).fold("SELECT 1".to_owned(), |inner, _| format!("WITH a AS ({inner}) SELECT 1 FROM a"));
    relations(&nested(NESTED)).unwrap();
    assert_eq!(relations(&nested(NESTED + 1)).unwrap_err().kind(), ErrorKind::InvalidInput);
    let siblings: Vec<String> = (0..10 * NESTED).map(|at| format!("a{at} AS (SELECT 1)")).collect();
    relations(&format!("WITH {} SELECT 1 FROM a0", siblings.join(", "))).unwrap();
}

#[rstest]
#[case::cube("CUBE(a1, a2, a3, a4, a5, a6, a7, a8)", true)]
#[case::cube_of_more("CUBE(a1, a2, a3, a4, a5, a6, a7, a8, a9)", false)]
#[case::cubes("CUBE(a, b, c, d), CUBE(e, f, g, h)", true)]
#[case::cubes_of_more("x, CUBE(a, b, c, d), CUBE(e, f, g, h, i)", false)]
#[case::rollup("ROLLUP(a, b, c, d, e, f, g, h, i, j), k", true)]
#[case::rollup_times_cube("ROLLUP(a, b, c, d), CUBE(e, f, g, h, i, j)", false)]
#[case::sets("GROUPING SETS((a, b), (a), ()), ROLLUP(c, d)", true)]
#[case::sets_times_cube("GROUPING SETS((a, b), (a), ()), CUBE(c, d, e, f, g, h, i)", false)]
#[test]
fn groupings_multiply(#[case] group_by: &str, #[case] permitted: bool) {
    let sql = format!("SELECT count(*) FROM t GROUP BY {group_by}");
    for sql in [sql.clone(), format!("SELECT 1 WHERE x IN ({sql})"), format!("WITH a AS ({sql}) SELECT 1 FROM a")] {
        let found = relations(&sql).map_err(|error| error.kind());
        assert_eq!(found, if permitted { Ok(()) } else { Err(ErrorKind::InvalidInput) }, "{sql}");
    }
}

#[test]
fn many_groupings_are_refused_whatever_they_are() {
    let items = |count: u64| (0..count).map(|at| format!("a{at}")).collect::<Vec<_>>().join(", ");
    for grouping in ["CUBE", "ROLLUP", "GROUPING SETS"] {
        assert!(relations(&format!("SELECT 1 FROM t GROUP BY {grouping}({})", items(GROUPINGS + 1))).is_err());
    }
    relations(&format!("SELECT 1 FROM t GROUP BY {}", items(10 * GROUPINGS))).unwrap();
    assert!(relations(&format!("SELECT 1 FROM t GROUP BY CUBE(a, b, c, d), {}", items(20 * GROUPINGS))).is_err());
}

#[rstest]
#[case::map("map(1, ", ")", 9, 10)]
#[case::all("1 = ALL(ARRAY[", "])", 4, 5)]
#[case::any("1 <> ANY(ARRAY[", "])", 4, 5)]
#[case::case_in_functions("abs(CASE WHEN a THEN ", " END)", 9, 10)]
#[case::case_in_case("CASE WHEN a THEN 1 ELSE ", " END", 30, 0)]
#[case::functions("abs(", ")", 40, 0)]
#[test]
fn expressions_that_are_read_again_and_again_nest_a_few_times(
    #[case] open: &str,
    #[case] close: &str,
    #[case] permitted: usize,
    #[case] refused: usize,
) {
    let nested = |times: usize| relations(&format!("SELECT {}1{}", open.repeat(times), close.repeat(times)));
    nested(permitted).unwrap();
    if refused > 0 {
        assert_eq!(nested(refused).unwrap_err().kind(), ErrorKind::InvalidInput, "{open}");
    }
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

#[rstest]
#[case::coalesce("coalesce(x, 0)")]
#[case::coalesce_of_conditions("CAST(coalesce(x > 0, false) AS INT)")]
#[case::nvl("nvl(x, 0)")]
#[case::ifnull("ifnull(x, 0)")]
#[case::between("CAST(x BETWEEN 0 AND 1 AS INT)")]
#[case::not_between("CAST(x NOT BETWEEN 0 AND 1 AS INT)")]
#[case::in_list("CAST(x IN (1, 2, 3) AS INT)")]
#[case::condition("CAST(CASE WHEN x > 0 THEN true ELSE false END AS INT)")]
#[case::regular_expression("CAST(CAST(x AS VARCHAR) ~ 'a|b|c|d' AS INT)")]
#[case::function("CAST(regexp_like(CAST(x AS VARCHAR), 'a|b') AS INT)")]
#[case::range("CAST(floor(x) = 1.0 AS INT)")]
#[case::types("abs(CASE WHEN random() > 0.5 THEN x END)")]
#[case::types_of_text("CAST(CASE WHEN random() > 0.5 THEN CAST(x AS VARCHAR) || '1' END AS INT)")]
#[test]
fn shorthands_that_write_their_operand_out_several_times_are_weighed(#[case] expr: &str) {
    let chain = |times| plan(chained(times, "SELECT 1 AS x", &format!("SELECT {expr} AS x FROM c@")));
    chain(5).unwrap();
    assert_eq!(chain(40).unwrap_err().kind(), ErrorKind::InvalidInput, "{expr}");
}

#[rstest]
#[case::numbers("CASE WHEN x > 0 THEN 1 ELSE 0 END")]
#[case::last_argument("coalesce(1, x)")]
#[case::high_limit("CAST(1 BETWEEN 0 AND x AS INT)")]
#[case::plain_pattern("CAST(CAST(x AS VARCHAR) ~ 'abc' AS INT)")]
#[test]
fn operands_that_are_written_out_once_are_not_weighed(#[case] expr: &str) {
    plan(chained(40, "SELECT 1 AS x", &format!("SELECT {expr} AS x FROM c@"))).unwrap();
}

#[test]
fn conditions_of_many_arms_are_weighed_and_other_choices_are_not() {
    let choice = |arms: usize, then: &str, other: &str| {
        let arms = format!("WHEN x = 1 THEN {then} ").repeat(arms);
        plan(format!("SELECT CASE {arms} ELSE {other} END FROM (SELECT 1 AS x) t"))
    };
    choice(50, "false", "true").unwrap();
    choice(400, "'a'", "'b'").unwrap();
    assert_eq!(choice(400, "false", "true").unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// The text as the engine reads it, from the beginning.
fn statement(sql: &str) -> Result<String> {
    crate::engine::statement::parse(sql, 1 << 20).map(|kind| format!("{kind:?}"))
}

#[rstest]
#[case::types("SELECT ", "nullable(", "a", 116_000)]
#[case::explain("", "EXPLAIN ", "SELECT 1", 131_000)]
#[case::intervals("SELECT ", "INTERVAL ", "'1' DAY", 100_000)]
#[case::angles("SELECT ", "STRUCT<a INT, b ", "INT", 60_000)]
#[case::casts("SELECT 1 + ", "cast(", "1", 45)]
#[test]
fn text_that_would_end_the_process_is_refused(
    #[case] head: &str,
    #[case] open: &str,
    #[case] tail: &str,
    #[case] times: usize,
) {
    let refused = statement(&format!("{head}{}{tail}", open.repeat(times))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("split it"), "{refused}: not for its syntax");
    statement("EXPLAIN SELECT cast(nullable(INTERVAL '1' DAY) AS VARCHAR) FROM t").unwrap();
}

#[test]
fn what_hints_hide_is_measured_and_what_they_comment_out_stays_so() {
    // Parameters are numbered by writing the text again, and then it is one word.
    let unions = |times: usize| statement(&format!("SELECT ?{}", " U/*!NION*/ SELECT 1".repeat(times)));
    assert!(unions(20).unwrap().contains("Union"));
    assert_eq!(unions(HEIGHT + 1).unwrap_err().kind(), ErrorKind::InvalidInput);
    let hidden = statement("SELECT ? /*! /*! UNION SELECT secret FROM t */ */").unwrap();
    assert!(!hidden.contains("secret"), "{hidden}");
    assert!(statement("SELECT ? /*! UNION SELECT seen FROM t */").unwrap().contains("seen"));
}
