use std::{collections::HashMap, sync::atomic::Ordering};

use arrow::datatypes::DataType;
use arrow_flight::Action;
use futures::TryStreamExt;
use prost::Message;
use rstest::rstest;
use sqe_flight::protocol::{
    self, CloseSessionRequest, CloseSessionResult, CloseStatus, GetSessionOptionsRequest, GetSessionOptionsResult,
    OptionErrorValue, OptionValue, SessionOptionValue, SetSessionOptionsRequest, SetSessionOptionsResult,
    StringListValue,
};
use tonic::Code;

use crate::harness::{Raw, code, eventually, query, server, status};

async fn act<A: Message + Default>(client: &mut Raw, name: &str, request: impl Message) -> A {
    let action = Action::new(name, request.encode_to_vec());
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    A::decode(&*results[0].body).unwrap()
}

async fn set(client: &mut Raw, name: &str, value: Option<OptionValue>) -> Option<OptionErrorValue> {
    let session_options = HashMap::from([(name.to_owned(), SessionOptionValue { option_value: value })]);
    let request = SetSessionOptionsRequest { session_options };
    let result: SetSessionOptionsResult = act(client, protocol::SET_SESSION_OPTIONS, request).await;
    result.errors.get(name).map(|error| error.value())
}

async fn options(client: &mut Raw) -> HashMap<String, OptionValue> {
    let result: GetSessionOptionsResult = act(client, protocol::GET_SESSION_OPTIONS, GetSessionOptionsRequest {}).await;
    result.session_options.into_iter().map(|(name, value)| (name, value.option_value.unwrap())).collect()
}

fn text(value: &str) -> Option<OptionValue> {
    Some(OptionValue::String(value.into()))
}

#[tokio::test]
async fn the_schema_option_decides_where_names_point() {
    let server = server().await;
    let mut client = server.nobody().await;
    client.handshake("alice", "alice-password").await.unwrap();
    assert_eq!(options(&mut client).await["schema"], OptionValue::String("main".into()));
    assert_eq!(set(&mut client, "schema", text("other")).await, None);
    assert_eq!(code(query(&mut client, "SELECT id FROM words").await), Code::NotFound);
    assert_eq!(options(&mut client).await["schema"], OptionValue::String("other".into()));
    // Without a value it goes back to what it was.
    assert_eq!(set(&mut client, "schema", None).await, None);
    assert_eq!(code(query(&mut client, "SELECT id FROM words").await), Code::Ok);
    assert_eq!(set(&mut client, "catalog", text("lake")).await, None);
    assert_eq!(options(&mut client).await["catalog"], OptionValue::String("lake".into()));
}

#[tokio::test]
async fn unknown_options_and_wrong_values_have_their_own_errors() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    assert_eq!(set(&mut client, "colour", text("red")).await, Some(OptionErrorValue::InvalidName));
    assert_eq!(set(&mut client, "schema", Some(OptionValue::Bool(true))).await, Some(OptionErrorValue::InvalidValue));
    assert_eq!(set(&mut client, "schema", text("")).await, Some(OptionErrorValue::InvalidValue));
    assert_eq!(set(&mut client, "schema", text("main")).await, None);
}

#[rstest]
#[case::text(Some(OptionValue::String("x".into())))]
#[case::truth(Some(OptionValue::Bool(true)))]
#[case::number(Some(OptionValue::Int64(7)))]
#[case::fraction(Some(OptionValue::Double(0.5)))]
#[case::texts(Some(OptionValue::StringList(StringListValue { values: vec!["a".into(), "b".into()] })))]
#[case::nothing(None)]
#[tokio::test]
async fn values_of_every_kind_are_read_and_each_option_has_its_own_error(#[case] value: Option<OptionValue>) {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let session_options = ["colour", "schema", "catalog", "arrow_views"]
        .map(|name| (name.to_owned(), SessionOptionValue { option_value: value.clone() }))
        .into();
    let request = SetSessionOptionsRequest { session_options };
    let result: SetSessionOptionsResult = act(&mut client, protocol::SET_SESSION_OPTIONS, request).await;
    let error = |name: &str| result.errors.get(name).map(|error| error.value());
    let text = matches!(value, Some(OptionValue::String(_)) | None);
    let truth = matches!(value, Some(OptionValue::Bool(_)) | None);
    let invalid = Some(OptionErrorValue::InvalidValue);
    assert_eq!(error("colour"), Some(OptionErrorValue::InvalidName));
    assert_eq!(error("schema"), if text { None } else { invalid });
    assert_eq!(error("catalog"), if text { None } else { invalid });
    assert_eq!(error("arrow_views"), if truth { None } else { invalid });
    let set = options(&mut client).await;
    let expected = match &value {
        Some(OptionValue::String(_)) => "x",
        _ => "main",
    };
    assert_eq!(set["schema"], OptionValue::String(expected.into()), "what was refused changed nothing");
    let mut told: Vec<_> = set.keys().map(String::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, ["arrow_views", "catalog", "groups", "issuer", "schema", "subject"]);
}

#[tokio::test]
async fn a_name_that_is_longer_than_any_is_refused_and_views_may_be_asked_for_by_word() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let long = "x".repeat(1025);
    assert_eq!(set(&mut client, "schema", text(&long)).await, Some(OptionErrorValue::InvalidValue));
    assert_eq!(set(&mut client, "schema", text(&long[1..])).await, None);
    for (word, kept) in [("true", true), ("false", false)] {
        assert_eq!(set(&mut client, "arrow_views", text(word)).await, None);
        assert_eq!(options(&mut client).await["arrow_views"], OptionValue::Bool(kept));
    }
    assert_eq!(set(&mut client, "arrow_views", text("yes")).await, Some(OptionErrorValue::InvalidValue));
}

#[tokio::test]
async fn a_session_may_ask_for_views() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let sql = "SELECT word FROM words";
    let before = query(&mut client, sql).await.unwrap();
    assert_eq!(before[0].schema().field(0).data_type(), &DataType::Utf8);
    assert_eq!(set(&mut client, "arrow_views", Some(OptionValue::Bool(true))).await, None);
    let after = query(&mut client, sql).await.unwrap();
    assert_eq!(after[0].schema().field(0).data_type(), &DataType::Utf8View);
}

#[tokio::test]
async fn closing_ends_a_session_and_its_queries_and_no_other() {
    let server = server().await;
    let mut client = server.nobody().await;
    let mut other = server.nobody().await;
    client.handshake("alice", "alice-password").await.unwrap();
    other.handshake("alice", "alice-password").await.unwrap();
    let info = client.execute("SELECT id FROM endless".into(), None).await.unwrap();
    let mut rows = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    rows.try_next().await.unwrap().unwrap();

    let result: CloseSessionResult = act(&mut client, protocol::CLOSE_SESSION, CloseSessionRequest {}).await;
    assert_eq!(result.status(), CloseStatus::Closed);
    assert_eq!(code(query(&mut client, "SELECT 1").await), Code::Unauthenticated);
    eventually("the scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    let end = loop {
        match rows.try_next().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(status(&end.unwrap_err()).code(), Code::Cancelled | Code::Unauthenticated));
    query(&mut other, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_token_that_other_connections_use_too_is_not_closed_under_them() {
    let server = server().await;
    let mut one = server.raw("alice").await;
    let mut two = server.raw("alice").await;
    let info = two.execute("SELECT id FROM words".into(), None).await.unwrap();
    let result: CloseSessionResult = act(&mut one, protocol::CLOSE_SESSION, CloseSessionRequest {}).await;
    assert_eq!(result.status(), CloseStatus::NotCloseable);
    crate::harness::fetch(&mut two, info).await.unwrap();
}

#[tokio::test]
async fn closing_the_server_ends_every_session() {
    let server = server().await;
    let mut client = server.nobody().await;
    client.handshake("alice", "alice-password").await.unwrap();
    query(&mut client, "SELECT 1").await.unwrap();
    server.flight.close();
    assert_eq!(code(query(&mut client, "SELECT 1").await), Code::Unauthenticated);
}

#[tokio::test]
async fn actions_are_listed_and_unknown_ones_refused() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    let mut request = tonic::Request::new(arrow_flight::Empty {});
    request.metadata_mut().insert("authorization", "Bearer alice-token".parse().unwrap());
    let listed = client.inner_mut().list_actions(request).await.unwrap().into_inner();
    let listed: Vec<_> = listed.map_ok(|action| action.r#type).try_collect().await.unwrap();
    assert!(listed.contains(&"CloseSession".to_owned()) && listed.contains(&"CancelFlightInfo".to_owned()));
    for (name, body) in [("Dance", &b""[..]), ("BeginSavepoint", b""), ("CreatePreparedSubstraitPlan", b"")] {
        let outcome = client.do_action(Action::new(name, body.to_vec())).await;
        assert_eq!(code(outcome.map(|_| ())), Code::Unimplemented, "{name}");
    }
    let garbage = client.do_action(Action::new("CreatePreparedStatement", vec![0xff; 9])).await;
    assert_eq!(code(garbage.map(|_| ())), Code::InvalidArgument);
}
