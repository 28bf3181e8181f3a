use rstest::rstest;

use super::*;
use crate::answer::Value;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn decimal(unscaled: i128, scale: u8) -> Value {
    Value::Decimal { unscaled, scale }
}

fn answer(rows: Vec<Vec<Value>>) -> Answer {
    let columns = rows.first().map_or(0, Vec::len);
    Answer { columns: (0..columns).map(|index| format!("c{index}")).collect(), rows }
}

fn by(keys: &[usize], limit: Option<usize>) -> Ordering {
    Ordering { keys: keys.to_vec(), complete: true, limit }
}

fn people(rows: &[(i128, &str)]) -> Answer {
    answer(rows.iter().map(|(id, name)| vec![Value::Integer(*id), text(name)]).collect())
}

#[test]
fn rows_without_an_order_may_come_in_any() {
    let (one, two) = (people(&[(1, "a"), (2, "b"), (2, "b")]), people(&[(2, "b"), (1, "a"), (2, "b")]));
    assert_eq!(compare(&one, &two, None), Ok(()));
}

#[test]
fn an_ordered_answer_in_another_order_differs() {
    let (right, wrong) = (people(&[(1, "a"), (2, "b")]), people(&[(2, "b"), (1, "a")]));
    assert!(matches!(compare(&right, &wrong, Some(&by(&[0], None))), Err(Difference::Order { row: 1, .. })));
    assert_eq!(compare(&right, &right, Some(&by(&[0], None))), Ok(()));
}

#[test]
fn rows_that_tie_may_swap() {
    let (one, two) = (people(&[(1, "a"), (1, "b"), (2, "c")]), people(&[(1, "b"), (1, "a"), (2, "c")]));
    assert_eq!(compare(&one, &two, Some(&by(&[0], None))), Ok(()));
    assert!(compare(&one, &two, Some(&by(&[0, 1], None))).is_err());
}

#[test]
fn a_missing_row_an_extra_row_and_one_row_too_often_are_found() {
    let right = people(&[(1, "a"), (2, "b")]);
    let fewer = people(&[(1, "a")]);
    assert_eq!(compare(&right, &fewer, None), Err(Difference::Missing { row: "(2, \"b\")".to_owned() }));
    assert_eq!(compare(&fewer, &right, None), Err(Difference::Extra { row: "(2, \"b\")".to_owned() }));
    let twice = people(&[(1, "a"), (2, "b"), (2, "b")]);
    assert_eq!(compare(&right, &twice, None), Err(Difference::Extra { row: "(2, \"b\")".to_owned() }));
    assert_eq!(compare(&twice, &right, None), Err(Difference::Missing { row: "(2, \"b\")".to_owned() }));
}

#[test]
fn a_changed_value_is_found() {
    let (right, wrong) = (people(&[(1, "a"), (2, "b")]), people(&[(1, "a"), (2, "B")]));
    assert!(compare(&right, &wrong, None).is_err());
    assert!(compare(&right, &wrong, Some(&by(&[0], None))).is_err());
}

#[test]
fn an_answer_with_another_number_of_columns_differs() {
    let (one, two) = (answer(vec![vec![Value::Null]]), answer(vec![vec![Value::Null, Value::Null]]));
    assert_eq!(compare(&one, &two, None), Err(Difference::Columns { expected: 1, actual: 2 }));
}

#[rstest]
#[case::trailing_zeros(decimal(150, 2), decimal(15, 1), true)]
#[case::integer_and_decimal(Value::Integer(7), decimal(700, 2), true)]
#[case::last_digit(decimal(10_000_000_001, 2), decimal(10_000_000_002, 2), false)]
#[case::large_integers(Value::Integer(9_007_199_254_740_993), Value::Integer(9_007_199_254_740_992), false)]
#[case::null_is_not_zero(Value::Null, Value::Integer(0), false)]
#[case::null_is_not_empty_text(Value::Null, text(""), false)]
#[case::nulls(Value::Null, Value::Null, true)]
#[case::float_noise(Value::Float(0.1 + 0.2), Value::Float(0.3), true)]
#[case::float_beyond_noise(Value::Float(100.0), Value::Float(100.001), false)]
#[case::average_as_decimal(Value::Float(0.049_985_295_8), decimal(49_985, 6), true)]
#[case::average_as_decimal_but_wrong(Value::Float(0.049_985_295_8), decimal(49_988, 6), false)]
#[case::float_and_null(Value::Float(0.0), Value::Null, false)]
#[case::not_a_number(Value::Float(f64::NAN), Value::Float(f64::NAN), true)]
#[case::infinity(Value::Float(f64::INFINITY), Value::Float(1.0), false)]
#[case::float_and_text(Value::Float(1.0), text("1.0"), false)]
#[case::date_and_integer(Value::Date(1), Value::Integer(1), false)]
fn values_are_equal_by_their_types_rule(#[case] one: Value, #[case] two: Value, #[case] equal: bool) {
    let (one, two) = (answer(vec![vec![one]]), answer(vec![vec![two]]));
    assert_eq!(compare(&one, &two, None).is_ok(), equal);
    assert_eq!(compare(&two, &one, None).is_ok(), equal);
}

#[test]
fn float_noise_does_not_pair_the_wrong_rows() {
    let (one, two) = (0.1 + 0.2, 0.3);
    let left = answer(vec![vec![Value::Float(one), text("x")], vec![Value::Float(two), text("y")]]);
    let right = answer(vec![vec![Value::Float(one), text("y")], vec![Value::Float(two), text("x")]]);
    assert_eq!(compare(&left, &right, None), Ok(()));
}

#[test]
fn of_rows_that_tie_where_a_limit_cuts_any_may_be_chosen() {
    let (one, two) = (people(&[(9, "a"), (5, "b")]), people(&[(9, "a"), (5, "c")]));
    assert_eq!(compare(&one, &two, Some(&by(&[0], Some(2)))), Ok(()));
    // Nothing was cut, so nothing may be chosen.
    assert!(compare(&one, &two, Some(&by(&[0], Some(3)))).is_err());
    assert!(compare(&one, &two, Some(&by(&[0], None))).is_err());
    // A row above the last place is no tie.
    let three = people(&[(9, "z"), (5, "b")]);
    assert!(compare(&one, &three, Some(&by(&[0], Some(2)))).is_err());
    // If not all keys are known, neither is what ties.
    let partial = Ordering { complete: false, ..by(&[0], Some(2)) };
    assert!(compare(&one, &two, Some(&partial)).is_err());
}

#[test]
fn an_ordered_answer_that_lacks_rows_names_one() {
    let (right, fewer) = (people(&[(1, "a"), (2, "b")]), people(&[(2, "b")]));
    let difference = compare(&right, &fewer, Some(&by(&[0], None))).unwrap_err();
    assert_eq!(difference.to_string(), "the row (1, \"a\") is missing");
}
