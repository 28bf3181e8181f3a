use arrow::{array::AsArray, record_batch::RecordBatch};
use datafusion::prelude::{SessionConfig, SessionContext};
use rstest::rstest;

use super::*;
use crate::ErrorKind;

fn session() -> SessionState {
    let mut state = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1)).state();
    bound(&mut state).unwrap();
    state
}

async fn answer(state: SessionState, sql: &str) -> Result<Vec<RecordBatch>> {
    Ok(SessionContext::new_with_state(state).sql(sql).await?.collect().await?)
}

async fn ask(sql: &str) -> Result<usize> {
    Ok(answer(session(), sql).await?.iter().map(RecordBatch::num_rows).sum())
}

async fn kind_of_refusal(sql: &str) -> ErrorKind {
    match ask(sql).await {
        Ok(rows) => panic!("{rows} rows instead of a refusal: {sql}"),
        Err(refused) => refused.kind(),
    }
}

#[rstest]
#[case::repeat("repeat('xy', @)", 1_000, 2_000_000_000)]
#[case::repeat_of_rows("repeat(CAST(value AS VARCHAR), @)", 10, 1_000_000)]
#[case::lpad("lpad('x', @)", 1_000, 2_000_000_000)]
#[case::rpad("rpad('x', @, 'y')", 1_000, 2_000_000_000)]
#[case::replace("replace(repeat('x', @), 'x', repeat('y', @))", 100, 1_000_000)]
#[case::regexp_replace("regexp_replace(repeat('x', @), 'x', repeat('y', @), 'g')", 100, 1_000_000)]
#[case::array_repeat("array_repeat('x', @)", 1_000, 2_000_000_000)]
#[case::list_repeat("list_repeat('x', @)", 1_000, 2_000_000_000)]
#[case::array_resize("array_resize(make_array(1), @, 0)", 1_000, 2_000_000_000)]
#[case::join("array_to_string(range(@), repeat(',', @))", 100, 1_000_000)]
#[case::range("range(0, @)", 1_000, 3_000_000_000)]
#[case::series_backwards("generate_series(@, 0, -1)", 1_000, 3_000_000_000)]
#[case::concat("concat(repeat('x', @), CAST(value AS VARCHAR))", 100, 1_000_000)]
#[case::concat_ws("concat_ws(repeat(',', @), CAST(value AS VARCHAR), 'y')", 100, 1_000_000)]
#[case::operator("CAST(value AS VARCHAR) || repeat('x', @)", 100, 1_000_000)]
#[case::list_of_operands("[CAST(value AS VARCHAR), repeat('x', @)]", 100, 1_000_000)]
#[case::append("array_append([CAST(value AS VARCHAR)], repeat('x', @))", 100, 1_000_000)]
#[case::append_operator("[CAST(value AS VARCHAR)] || repeat('x', @)", 100, 1_000_000)]
#[case::position("position(CAST(value AS VARCHAR) IN repeat('x', @))", 100, 1_000_000)]
#[case::instr("instr(repeat('x', @), CAST(value AS VARCHAR))", 100, 1_000_000)]
#[case::substring("substring(repeat('x', @), value)", 100, 1_000_000)]
#[case::format("to_char(to_timestamp(value), repeat('%Y', @))", 10, 100_000)]
#[case::format_by_its_alias("date_format(to_timestamp(value), repeat('%Y', @))", 10, 100_000)]
#[case::groups("regexp_match(CAST(value AS VARCHAR), repeat('(', @) || '1' || repeat(')', @))", 2, 500_000)]
#[case::distance("levenshtein(repeat('x', @), repeat('y', @))", 100, 1_000_000)]
#[case::distance_of_rows("levenshtein(repeat('x', @ + value), repeat('y', @ + value))", 10, 40_000)]
#[case::has_all("array_has_all(range(0, @ + value), range(1, @ + value))", 10, 40_000)]
#[case::has_all_by_its_alias("list_has_all(range(0, @ + value), range(1, @ + value))", 10, 40_000)]
#[case::has_any("array_has_any(range(0, @ + value), range(-@ - value, 0))", 10, 40_000)]
#[tokio::test]
async fn answers_that_fit_are_given_and_others_refused(#[case] call: &str, #[case] few: u64, #[case] many: u64) {
    // Few enough rows for the arguments themselves, many enough for what is made of them.
    let sql = |times: u64| format!("SELECT {} FROM generate_series(1, 300)", call.replace('@', &times.to_string()));
    assert_eq!(ask(&sql(few)).await.unwrap(), 300, "{call}");
    assert_eq!(kind_of_refusal(&sql(many)).await, ErrorKind::ResourceExhausted, "{call}");
}

#[tokio::test]
async fn operators_on_lists_have_the_bounds_of_their_functions() {
    let sql = |length: usize| {
        format!("SELECT range(0, {length} + value) @> range(1, {length} + value) FROM generate_series(1, 2)")
    };
    assert_eq!(ask(&sql(10)).await.unwrap(), 2);
    assert_eq!(kind_of_refusal(&sql(40_000)).await, ErrorKind::ResourceExhausted);
}

#[rstest]
#[case("SELECT regexp_count(repeat('x', @), 'x+y')", 100_000)]
#[case("SELECT regexp_instr(repeat('x', @), 'x+y')", 100_000)]
#[case("SELECT regexp_replace(repeat('x', @), 'x+y', '', 'g')", 100_000)]
#[tokio::test]
async fn patterns_that_repeat_are_not_looked_for_everywhere_in_long_texts(#[case] sql: &str, #[case] few: u64) {
    // What is short, or cannot read the whole text again and again, is looked for.
    assert_eq!(ask(&sql.replace('@', "100").replace("x+y", "y+x")).await.unwrap(), 1);
    assert_eq!(ask(&sql.replace('@', &few.to_string()).replace("x+y", "y")).await.unwrap(), 1);
    assert_eq!(kind_of_refusal(&sql.replace('@', "500000")).await, ErrorKind::ResourceExhausted);
}

#[tokio::test]
async fn a_batch_with_much_work_is_answered_in_slices() {
    let text = "repeat(CASE WHEN value % 2 = 0 THEN 'xx' ELSE '1 ' END, 50000)";
    let sql = format!("SELECT 1 FROM generate_series(1, 40) WHERE regexp_count({text}, '[0-9]+') = 50000");
    assert_eq!(ask(&sql).await.unwrap(), 20);
}

#[tokio::test]
async fn constants_are_smaller_than_what_rows_may_have() {
    assert_eq!(ask("SELECT repeat('a', 1000000)").await.unwrap(), 1);
    assert_eq!(kind_of_refusal("SELECT repeat('a', 1100000)").await, ErrorKind::ResourceExhausted);
    assert_eq!(ask("SELECT repeat('a', 1100000 + value) FROM generate_series(1, 2)").await.unwrap(), 2);
}

#[tokio::test]
async fn the_constants_of_a_statement_are_counted_together() {
    let sql = |columns: usize| {
        let column = |number: usize| format!("octet_length(repeat('a', {})) AS c{number}", 1_000_000 + number);
        format!("SELECT {}", (0..columns).map(column).collect::<Vec<_>>().join(", "))
    };
    let statement = || {
        let template = session();
        let mut state = template.clone();
        // A copy that sets something of its own, as statements do.
        state.config_mut().options_mut().catalog.default_schema = "own".to_owned();
        state
    };
    assert_eq!(answer(statement(), &sql(20)).await.unwrap().len(), 1);
    let refused = answer(statement(), &sql(80)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted, "{refused}");
    assert_eq!(answer(statement(), &sql(20)).await.unwrap().len(), 1, "another statement has a budget of its own");
}

#[tokio::test]
async fn a_series_of_moments_is_counted_by_its_step() {
    let series = |step: &str| {
        format!("SELECT generate_series(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-03', INTERVAL '{step}')")
    };
    assert_eq!(ask(&series("1 hour")).await.unwrap(), 1);
    assert_eq!(kind_of_refusal(&series("1 microsecond")).await, ErrorKind::ResourceExhausted);
}

#[rstest]
#[case::day("DATE '2024-01-01'", "DATE '2024-01-02'", "1 day -24 hours")]
#[case::month("DATE '2024-04-01'", "DATE '2024-03-01'", "1 month -30 days")]
#[case::moment("TIMESTAMP '2024-01-01'", "TIMESTAMP '2024-01-02'", "1 day -24 hours")]
#[case::month_of_moments("TIMESTAMP '2024-04-01'", "TIMESTAMP '2024-03-01'", "1 month -30 days")]
#[tokio::test]
async fn a_step_that_may_stand_still_is_refused(
    #[case] start: &str,
    #[case] stop: &str,
    #[case] step: &str,
    #[values("generate_series", "range")] function: &str,
) {
    let sql = |step: &str| format!("SELECT {function}({start}, {stop}, INTERVAL '{step}')");
    assert_eq!(kind_of_refusal(&sql(step)).await, ErrorKind::InvalidInput);
    assert_eq!(ask(&sql("1 month 1 day")).await.unwrap(), 1);
    assert_eq!(ask(&sql("-1 month -1 day")).await.unwrap(), 1);
}

#[tokio::test]
async fn a_series_of_dates_is_counted_in_days() {
    let sql = |start: &str, step: &str| {
        format!("SELECT cardinality(generate_series(DATE '{start}', DATE '9999-12-31', INTERVAL '{step}'))")
    };
    // Dates that no timestamp in nanoseconds can stand for.
    let batches = answer(session(), &sql("9999-12-01", "1 day")).await.unwrap();
    let days = arrow::compute::cast(batches[0].column(0), &arrow::datatypes::DataType::Int64).unwrap();
    assert_eq!(days.as_primitive::<arrow::datatypes::Int64Type>().value(0), 31);
    assert_eq!(kind_of_refusal(&sql("0001-01-01", "1 day")).await, ErrorKind::ResourceExhausted);
    assert_eq!(ask(&sql("0001-01-01", "1 year")).await.unwrap(), 1);
    assert_eq!(ask(&sql("0001-01-01", "-1 day")).await.unwrap(), 1, "a step away from the end makes no values");
}

#[tokio::test]
async fn separators_of_string_agg_are_short() {
    let sql = |bytes: usize, more: &str| {
        format!(
            "SELECT string_agg(CAST(value AS VARCHAR), repeat(',', {bytes}){more}) FROM generate_series(1, 10) \
             GROUP BY value % 2"
        )
    };
    for more in ["", " ORDER BY value DESC"] {
        assert_eq!(ask(&sql(1000, more)).await.unwrap(), 2);
        assert_eq!(kind_of_refusal(&sql(2000, more)).await, ErrorKind::ResourceExhausted, "{more}");
    }
}

#[rstest]
#[case::texts("'a' || 'b'", Some("ab"))]
#[case::nothing("'a' || NULL", None)]
#[case::nothing_in_a_row("CAST(value AS VARCHAR) || NULL || 'b'", None)]
#[case::number("1 || 'b'", Some("1b"))]
#[case::row("'<' || value || '>'", Some("<1>"))]
#[tokio::test]
async fn the_operator_means_what_it_did(#[case] joined: &str, #[case] expected: Option<&str>) {
    let sql = format!("SELECT {joined} AS joined FROM generate_series(1, 1)");
    let batches = answer(session(), &sql).await.unwrap();
    let text = arrow::compute::cast(batches[0].column(0), &arrow::datatypes::DataType::Utf8).unwrap();
    assert_eq!(text.as_string::<i32>().iter().collect::<Vec<_>>(), [expected]);
}

/// A list that is written out is looked into as `IN` is, where unknown stays unknown.
#[rstest]
#[case("value = ANY(ARRAY[nullif(value, 1), 7])")]
#[case("array_has(make_array(nullif(value, 1), 7), value)")]
#[case("value IN (nullif(value, 1), 7)")]
#[tokio::test]
async fn lists_that_are_written_out_know_unknown(#[case] condition: &str) {
    let sql = format!("SELECT value FROM generate_series(1, 1) WHERE NOT ({condition})");
    assert_eq!(ask(&sql).await.unwrap(), 0, "{condition}");
    assert_eq!(ask(&sql.replace("nullif(value, 1)", "8")).await.unwrap(), 1, "{condition}");
}

#[tokio::test]
async fn columns_of_the_operator_keep_their_names_and_types() {
    let sql = "SELECT 'a' || CAST(value AS VARCHAR) || 'b' FROM generate_series(1, 1)";
    let plain = SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap();
    let bounded = answer(session(), sql).await.unwrap();
    assert_eq!(plain[0].schema(), bounded[0].schema());
    assert_eq!(plain, bounded);
}

#[tokio::test]
async fn another_function_of_the_same_name_is_left_alone() {
    use datafusion::logical_expr::{Volatility, create_udf};
    let mut state = session();
    let own = create_udf(
        "repeat",
        vec![arrow::datatypes::DataType::Utf8, arrow::datatypes::DataType::Int64],
        arrow::datatypes::DataType::Int64,
        Volatility::Immutable,
        Arc::new(|args: &[ColumnarValue]| Ok(args[1].clone())),
    );
    state.register_udf(Arc::new(own)).unwrap();
    assert_eq!(answer(state, "SELECT repeat('x', 2000000000)").await.unwrap().len(), 1);
}
