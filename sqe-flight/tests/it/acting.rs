//! Acting as somebody else, and sessions that somebody ends.

use rstest::rstest;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use tonic::Code;

use crate::harness::{Raw, Server, code, query, server};

/// arrow-flight's client, showing a token and asking to act as somebody.
async fn acting(server: &Server, person: &str, subject: &str) -> Raw {
    let mut client = server.raw(person).await;
    client.set_header("x-sqe-act-as", subject);
    client
}

#[tokio::test]
async fn a_statement_runs_as_the_person_and_the_trail_names_the_actor() {
    let server = server().await;
    let mut client = acting(&server, "bob", "alice").await;
    query(&mut client, "SELECT id FROM words").await.unwrap();
    assert_eq!(server.trail.last_asked(), ("alice".to_owned(), vec!["bob".to_owned()]));
    // bob may read what alice may not; as alice he may not.
    let secret = "SELECT * FROM secret";
    assert_eq!(code(query(&mut client, secret).await), Code::PermissionDenied);
    let mut himself = server.raw("bob").await;
    query(&mut himself, secret).await.unwrap();
    assert_eq!(server.trail.last_asked(), ("bob".to_owned(), vec![]));
}

#[tokio::test]
async fn one_token_has_a_session_for_each_person_it_acts_as() {
    let server = server().await;
    for _ in 0..2 {
        query(&mut acting(&server, "bob", "alice").await, "SELECT id FROM words").await.unwrap();
        assert_eq!(server.trail.last_asked().0, "alice");
        query(&mut server.raw("bob").await, "SELECT id FROM words").await.unwrap();
        assert_eq!(server.trail.last_asked().0, "bob");
        query(&mut server.raw("alice").await, "SELECT id FROM words").await.unwrap();
        assert_eq!(server.trail.last_asked(), ("alice".to_owned(), vec![]));
    }
    assert_eq!(server.people.asked.lock().len(), 3, "once each");
    // A ticket of one is nothing to the other.
    let info = acting(&server, "bob", "alice").await.execute("SELECT id FROM words".into(), None).await.unwrap();
    let stolen = server.raw("bob").await.do_get(info.endpoint[0].ticket.clone().unwrap()).await;
    assert_eq!(code(stolen.map(drop)), Code::NotFound);
}

#[rstest]
#[case::another_person("bob", "mallory")]
#[case::nobody("bob", "nobody")]
#[case::without_a_right("alice", "bob")]
#[case::oneself("bob", "bob")]
#[tokio::test]
async fn who_may_not_is_denied_in_the_same_words(#[case] person: &str, #[case] subject: &str) {
    let server = server().await;
    let error = query(&mut acting(&server, person, subject).await, "SELECT 1").await.unwrap_err();
    let status = crate::harness::status(&error);
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "you may not act as this person"));
    query(&mut acting(&server, "bob", "alice").await, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_wrong_name_is_wrong_input_but_only_for_those_who_show_credentials() {
    let server = server().await;
    assert_eq!(code(query(&mut acting(&server, "bob", "").await, "SELECT 1").await), Code::InvalidArgument);
    let long = "x".repeat(1025);
    assert_eq!(code(query(&mut acting(&server, "bob", &long).await, "SELECT 1").await), Code::InvalidArgument);
    let mut nobody = server.nobody().await;
    nobody.set_header("x-sqe-act-as", "");
    assert_eq!(code(query(&mut nobody, "SELECT 1").await), Code::Unauthenticated);
    assert_eq!(code(query(&mut acting(&server, "eve", "alice").await, "SELECT 1").await), Code::Unauthenticated);
}

#[tokio::test]
async fn a_session_of_its_own_never_changes_its_person() {
    let server = server().await;
    let mut client = server.nobody().await;
    client.set_header("x-sqe-act-as", "alice");
    client.handshake("bob", "bob-password").await.unwrap();
    query(&mut client, "SELECT id FROM words").await.unwrap();
    assert_eq!(server.trail.last_asked(), ("alice".to_owned(), vec!["bob".to_owned()]));
    // The token alone is enough, and no other name goes with it.
    let token = client.token().unwrap().clone();
    let with = async |subject: Option<&str>| {
        let mut client = server.nobody().await;
        client.set_token(token.clone());
        if let Some(subject) = subject {
            client.set_header("x-sqe-act-as", subject);
        }
        code(query(&mut client, "SELECT id FROM words").await)
    };
    assert_eq!(with(None).await, Code::Ok);
    assert_eq!(with(Some("alice")).await, Code::Ok);
    assert_eq!(with(Some("bob")).await, Code::Unauthenticated);
    assert_eq!(server.trail.last_asked().0, "alice");
    // Nor does one that began without a name take one later.
    let mut own = server.nobody().await;
    own.handshake("bob", "bob-password").await.unwrap();
    own.set_header("x-sqe-act-as", "alice");
    assert_eq!(code(query(&mut own, "SELECT 1").await), Code::Unauthenticated);
}

#[tokio::test]
async fn our_client_asks_with_a_token_and_with_a_password() {
    let server = server().await;
    let options = ConnectOptions::new(server.uri());
    for options in [
        options.clone().with_token(Secret::new("bob-token")),
        options.clone().with_password("bob", Secret::new("bob-password")),
    ] {
        let client = Client::connect(&options.clone().acting_as("mallory").acting_as("alice")).await.unwrap();
        client.execute("SELECT id FROM words").await.unwrap().collect().await.unwrap();
        assert_eq!(server.trail.last_asked(), ("alice".to_owned(), vec!["bob".to_owned()]));
    }
    let denied =
        Client::connect(&options.clone().with_token(Secret::new("alice-token")).acting_as("bob")).await.unwrap();
    assert_eq!(denied.execute("SELECT 1").await.err().unwrap().kind(), ErrorKind::PermissionDenied);
    let unspeakable = options.with_token(Secret::new("bob-token")).acting_as("j\u{fc}rgen");
    assert_eq!(Client::connect(&unspeakable).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_token_whose_session_was_ended_opens_a_new_one_if_it_still_may() {
    let server = server().await;
    let (mut alice, mut bob) = (server.raw("alice").await, server.raw("bob").await);
    let mut own = server.nobody().await;
    own.handshake("alice", "alice-password").await.unwrap();
    for client in [&mut alice, &mut bob, &mut own] {
        query(client, "SELECT id FROM words").await.unwrap();
    }
    let info = alice.execute("SELECT id FROM words".into(), None).await.unwrap();
    assert_eq!(server.engine.end_sessions(|identity| identity.principal.subject == "alice"), 2);
    // What the session held is gone with it.
    let late = alice.do_get(info.endpoint[0].ticket.clone().unwrap()).await;
    assert_eq!(code(late.map(drop)), Code::NotFound);
    query(&mut alice, "SELECT id FROM words").await.unwrap();
    assert_eq!(code(query(&mut own, "SELECT 1").await), Code::Unauthenticated, "its token was that session's");
    query(&mut bob, "SELECT id FROM words").await.unwrap();
    assert_eq!(*server.people.asked.lock(), ["alice", "alice", "bob", "alice"], "bob's session went on");
}
