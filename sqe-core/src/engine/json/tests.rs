use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use rstest::rstest;

use super::{
    super::bounded,
    walk::{Step, elements, find, keys, string},
};
use crate::ErrorKind;

async fn ask(sql: &str) -> crate::Result<Vec<String>> {
    let mut state = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1)).state();
    super::register(&mut state)?;
    bounded::bound(&mut state)?;
    let batches = SessionContext::new_with_state(state).sql(sql).await?.collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    Ok((batches.iter())
        .flat_map(|batch| {
            let column = ArrayFormatter::try_new(batch.column(0), &options).unwrap();
            (0..batch.num_rows()).map(|row| column.value(row).to_string()).collect::<Vec<_>>()
        })
        .collect())
}

const DOCUMENT: &str = r#"{"a": {"b": [1, "two", {"c": null}, 4.5, true]}, "q\"k": "v\u0041\n", "": 0, "a": 9}"#;

#[rstest]
#[case("json_get(d, 'a', 'b')", r#"[1, "two", {"c": null}, 4.5, true]"#)]
#[case("json_get_json(d, 'a', 'b', 1)", r#""two""#)]
#[case("json_get(d)", DOCUMENT)]
#[case("json_get(d, 'z')", "NULL")]
#[case("json_get(d, 'a', 0)", "NULL")]
#[case("json_get(d, 'a', 'b', 5)", "NULL")]
#[case("json_get(d, 'a', 'b', -1)", "NULL")]
#[case("json_get(d, NULL)", "NULL")]
#[case("json_get(NULL, 'a')", "NULL")]
#[case("json_as_text(d, 'a', 'b', 1)", "two")]
#[case("json_as_text(d, 'a', 'b', 2)", r#"{"c": null}"#)]
#[case("json_as_text(d, 'a', 'b', 2, 'c')", "NULL")]
#[case("json_as_text(d, 'a', 'b', 3)", "4.5")]
#[case("json_get_str(d, 'q\"k')", "vA\n")]
#[case("json_get_str(d, 'a', 'b', 0)", "NULL")]
#[case("json_get_int(d, 'a', 'b', 0)", "1")]
#[case("json_get_int(d, '')", "0")]
#[case("json_get_int(d, 'a', 'b', 3)", "NULL")]
#[case("json_get_float(d, 'a', 'b', 3)", "4.5")]
#[case("json_get_float(d, 'a', 'b', 0)", "1.0")]
#[case("json_get_bool(d, 'a', 'b', 4)", "true")]
#[case("json_get_bool(d, 'a', 'b', 1)", "NULL")]
#[case("json_get_array(d, 'a', 'b')", r#"[1, "two", {"c": null}, 4.5, true]"#)]
#[case("json_get_array(d, 'a')", "NULL")]
#[case("json_object_keys(d)", "[a, q\"k, , a]")]
#[case("json_keys(d, 'a', 'b')", "NULL")]
#[case("json_length(d)", "4")]
#[case("json_length(d, 'a', 'b')", "5")]
#[case("json_length(d, '')", "NULL")]
#[case("json_contains(d, 'a', 'b', 2, 'c')", "true")]
#[case("json_contains(d, 'a', 'z')", "false")]
#[case("json_contains(NULL, 'a')", "NULL")]
#[case("json_valid(d)", "true")]
#[case("is_json('{\"a\": 1')", "false")]
#[case("(d) -> 'a' -> 'b' -> 0", "1")]
#[case("d ->> 'q\"k'", "vA\n")]
#[case("t.d -> 'a' -> 'b' ->> 1", "two")]
#[case("CAST(d ->> '' AS INT) + 1", "1")]
#[case("(t.d -> 'a' ->> 'nosuch') IS NULL", "true")]
#[tokio::test]
async fn functions_and_operators_answer_the_same_of_columns_and_of_constants(
    #[case] call: &str,
    #[case] expected: &str,
) {
    let document = format!("'{DOCUMENT}'");
    // Of constants the planner computes it, of columns the operators do.
    for value in [document.clone(), format!("CASE WHEN random() < 2 THEN {document} END")] {
        let rows = ask(&format!("SELECT {call} FROM (SELECT {value} AS d) t")).await.unwrap();
        assert_eq!(rows, [expected], "{call} of {value}");
    }
}

#[rstest]
#[case("json_get(1, 'a')")]
#[case("json_get()")]
#[case("json_get('{}', 1.5)")]
#[case("json_valid('{}', 'a')")]
#[case("json_get('{}', [1])")]
#[tokio::test]
async fn other_arguments_are_refused(#[case] call: &str) {
    assert_eq!(ask(&format!("SELECT {call}")).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{call}");
}

#[tokio::test]
async fn paths_differ_from_row_to_row() {
    let sql = "SELECT json_get_int(d, k, i) FROM (VALUES ('{\"a\":[1,2]}', 'a', 1), ('{\"b\":[3]}', 'b', 0), \
               (NULL, 'b', 0), ('{\"b\":[3]}', NULL, 0), ('{\"b\":[3]}', 'b', NULL)) t(d, k, i)";
    assert_eq!(ask(sql).await.unwrap(), ["2", "3", "NULL", "NULL", "NULL"]);
    let same =
        "SELECT json_get_str('{\"1\":\"one\",\"2\":\"two\"}', CAST(value AS VARCHAR)) FROM generate_series(1, 3)";
    assert_eq!(ask(same).await.unwrap(), ["one", "two", "NULL"]);
}

#[tokio::test]
async fn a_document_that_is_the_same_for_many_rows_is_not_walked_too_often() {
    let sql = |size: usize| {
        format!(
            "SELECT count(json_get(repeat('[', {size}) || repeat(']', {size}), value)) FROM generate_series(1, 10000)"
        )
    };
    assert_eq!(ask(&sql(1_000)).await.unwrap(), ["0"]);
    assert_eq!(ask(&sql(200_000)).await.unwrap_err().kind(), ErrorKind::ResourceExhausted);
}

#[test]
fn what_nests_as_deep_as_it_is_long_is_walked_and_not_called_valid() {
    let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
    assert_eq!(find(&deep, &[]), Some(deep.as_str()));
    assert_eq!(find(&deep, &[Step::Index(0), Step::Index(0)]).map(str::len), Some(deep.len() - 4));
    assert_eq!(find(&deep[1..], &[]).map(str::len), Some(deep.len() - 2));
    assert_eq!(find(&deep[..deep.len() - 1], &[]), None);
}

#[rstest]
#[case("")]
#[case(" ")]
#[case("{")]
#[case("{\"a\"")]
#[case("{\"a\":")]
#[case("{\"a\" 1}")]
#[case("{a:1}")]
#[case("{\"a\":1 \"b\":2}")]
#[case("\"open")]
#[case("\"open\\")]
#[case("]")]
#[case(",")]
#[test]
fn what_is_broken_on_the_way_is_nothing(#[case] json: &str) {
    assert_eq!(find(json, &[Step::Key("b")]), None);
    assert_eq!(find(json, &[Step::Index(0)]), None);
    assert!(keys(json).is_none() && elements(json).is_none());
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<i32>().prop_map(|it| (f64::from(it) / 8.0).into()),
        "\\PC{0,8}".prop_map(Into::into),
        "[\"\\\\\\[\\]{}:,\n]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[a-c\"\\\\\u{e9}]{0,2}", inner, 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_of_every_document_is_found_as_a_parser_finds_it(document in document(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let text = text.unwrap();
        let mut open = vec![(Vec::<serde_json::Value>::new(), &document)];
        while let Some((path, value)) = open.pop() {
            let steps: Vec<Step<'_>> = path.iter().map(|step| match step {
                serde_json::Value::String(key) => Step::Key(key),
                index => Step::Index(index.as_u64().unwrap() as usize),
            }).collect();
            let found = find(&text, &steps).unwrap();
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(found).unwrap(), value);
            let extended = |step: serde_json::Value| path.iter().cloned().chain([step]).collect::<Vec<_>>();
            match value {
                serde_json::Value::Array(items) => {
                    prop_assert_eq!(elements(found).unwrap().len(), items.len());
                    open.extend(items.iter().enumerate().map(|(at, item)| (extended(at.into()), item)));
                }
                serde_json::Value::Object(members) => {
                    let names: Vec<String> = keys(found).unwrap().into_iter().map(|key| string(key).unwrap()).collect();
                    prop_assert_eq!(names, members.keys().cloned().collect::<Vec<_>>());
                    open.extend(members.iter().map(|(key, item)| (extended(key.clone().into()), item)));
                }
                _ => prop_assert!(elements(found).is_none() && keys(found).is_none()),
            }
        }
    }

    #[test]
    fn no_text_is_a_danger(text in "[\\[\\]{}:,\"\\\\ a1\u{e9}]{0,40}", key in "[a1]{0,1}", index in 0..3_usize) {
        for path in [&[][..], &[Step::Key(&key)], &[Step::Index(index), Step::Key(&key)]] {
            if let Some(found) = find(&text, path) {
                prop_assert!(text.contains(found));
            }
        }
        if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
            prop_assert_eq!(find(&text, &[]), Some(text.trim()));
        }
    }
}
