use std::time::Duration;

use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, HandshakeRequest, Ticket,
    flight_service_client::FlightServiceClient,
};
use chrono::Utc;
use futures::stream;
use rstest::rstest;
use sqe_core::{ErrorKind, Secret};
use sqe_flight::{
    Settings,
    client::{Client, ConnectOptions},
};
use tonic::{Code, Request, Status};

use crate::harness::{code, numbers, query, server, server_with, status};

#[tokio::test]
async fn a_handshake_with_a_password_gives_a_token_that_opens_a_session() {
    let server = server().await;
    let mut client = server.nobody().await;
    let payload = client.handshake("alice", "alice-password").await.unwrap();
    let token = client.token().unwrap().clone();
    assert_eq!(payload, token.as_bytes());
    assert!(token.len() > 43 && !token.contains("alice"), "opaque, 256 bits: {token}");
    assert_eq!(numbers(&query(&mut client, "SELECT id FROM words ORDER BY id").await.unwrap(), 0), [1, 2, 3]);
    assert_eq!(*server.people.asked.lock(), ["alice"], "the session is not authenticated anew");
}

#[tokio::test]
async fn a_handshake_with_a_token_works_too() {
    let server = server().await;
    let mut client = server.client("bob").await;
    client.login().await.unwrap();
    assert_eq!(client.execute("SELECT id FROM words").await.unwrap().collect().await.unwrap()[0].num_rows(), 3);
    assert_eq!(*server.people.asked.lock(), ["bob"]);
}

#[tokio::test]
async fn a_token_shown_with_every_call_is_verified_once() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    for _ in 0..3 {
        query(&mut client, "SELECT 1").await.unwrap();
    }
    assert_eq!(*server.people.asked.lock(), ["alice"]);
    // Another token of the same person is another session.
    client.set_token("alice-token-2".into());
    query(&mut client, "SELECT 1").await.unwrap();
    assert_eq!(*server.people.asked.lock(), ["alice", "alice"]);
}

#[rstest]
#[case::nothing(None)]
#[case::empty(Some(""))]
#[case::no_scheme(Some("alice-token"))]
#[case::unknown(Some("Bearer eve-token"))]
#[case::forged_session(Some("Bearer sqe_session_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))]
#[case::wrong_password(Some("Basic YWxpY2U6d3Jvbmc="))]
#[case::garbage(Some("Basic ////"))]
#[tokio::test]
async fn without_valid_credentials_every_call_is_refused_in_the_same_words(#[case] header: Option<&str>) {
    let server = server().await;
    let mut client = FlightServiceClient::new(server.channel().await);
    fn with<T>(message: T, header: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        request
    }
    let hello = HandshakeRequest::default();
    let data = FlightData::new().with_descriptor(FlightDescriptor::new_cmd("x"));
    let descriptor = || FlightDescriptor::new_cmd("x");
    let outcomes: Vec<Status> = vec![
        client.handshake(with(stream::iter([hello]), header)).await.err().unwrap(),
        client.list_flights(with(Criteria::default(), header)).await.err().unwrap(),
        client.get_flight_info(with(descriptor(), header)).await.err().unwrap(),
        client.poll_flight_info(with(descriptor(), header)).await.err().unwrap(),
        client.get_schema(with(descriptor(), header)).await.err().unwrap(),
        client.do_get(with(Ticket::new("x"), header)).await.err().unwrap(),
        client.do_put(with(stream::iter([data.clone()]), header)).await.err().unwrap(),
        client.do_exchange(with(stream::iter([data]), header)).await.err().unwrap(),
        client.do_action(with(Action::new("x", "x"), header)).await.err().unwrap(),
        client.list_actions(with(Empty {}, header)).await.err().unwrap(),
    ];
    for outcome in outcomes {
        assert_eq!(outcome.code(), Code::Unauthenticated);
        assert_eq!(outcome.message(), "not logged in: show a valid token, or log in again");
    }
}

#[tokio::test]
async fn a_forged_session_token_is_never_shown_to_the_identity_provider() {
    let server = server().await;
    let mut client = server.nobody().await;
    client.set_token("sqe_session_alice-token".into());
    assert_eq!(code(query(&mut client, "SELECT 1").await), Code::Unauthenticated);
    assert!(server.people.asked.lock().is_empty());
}

#[tokio::test]
async fn when_the_credentials_end_so_does_the_session() {
    let server = server().await;
    server.people.ends.lock().insert("alice".into(), Utc::now() + chrono::Duration::milliseconds(700));
    let mut client = server.nobody().await;
    client.handshake("alice", "alice-password").await.unwrap();
    query(&mut client, "SELECT 1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(code(query(&mut client, "SELECT 1").await), Code::Unauthenticated);
    // Credentials that have ended open nothing.
    let refused = client.handshake("alice", "alice-password").await.unwrap_err();
    assert!(refused.to_string().contains("not logged in"), "{refused}");
    // Somebody else's session lives.
    let mut bob = server.raw("bob").await;
    query(&mut bob, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn an_idle_session_ends_and_a_used_one_does_not() {
    let mut settings = Settings::default();
    settings.session_idle_timeout = Duration::from_millis(400);
    let server = server_with(settings).await;
    let mut used = server.nobody().await;
    let mut idle = server.nobody().await;
    used.handshake("alice", "alice-password").await.unwrap();
    idle.handshake("alice", "alice-password").await.unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        query(&mut used, "SELECT 1").await.unwrap();
    }
    assert_eq!(code(query(&mut idle, "SELECT 1").await), Code::Unauthenticated);
}

#[tokio::test]
async fn a_session_that_is_too_old_must_log_in_again() {
    let mut settings = Settings::default();
    settings.session_max_age = Duration::from_millis(300);
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    query(&mut client, "SELECT 1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(350)).await;
    query(&mut client, "SELECT 1").await.unwrap();
    assert_eq!(*server.people.asked.lock(), ["alice", "alice"], "its token was looked at again");
}

#[tokio::test]
async fn sessions_are_limited_for_each_person_and_for_all() {
    let mut settings = Settings::default();
    settings.max_sessions_per_person = 2;
    settings.max_sessions = 3;
    let server = server_with(settings).await;
    let mut clients = Vec::new();
    for person in ["alice", "alice", "bob"] {
        let mut client = server.nobody().await;
        client.handshake(person, &format!("{person}-password")).await.unwrap();
        clients.push(client);
    }
    let mut alice = server.nobody().await;
    let refused = alice.handshake("alice", "alice-password").await.unwrap_err();
    assert!(refused.to_string().contains("sessions"), "{refused}");
    let mut bob = server.raw("bob").await;
    assert_eq!(code(query(&mut bob, "SELECT 1").await), Code::ResourceExhausted);
    // Those that are open go on.
    for client in &mut clients {
        query(client, "SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn our_client_says_what_is_wrong() {
    let server = server().await;
    let wrong = ConnectOptions::new(server.uri()).with_password("alice", Secret::new("wrong"));
    assert_eq!(Client::connect(&wrong).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    let right = ConnectOptions::new(server.uri()).with_password("alice", Secret::new("alice-password"));
    Client::connect(&right).await.unwrap().execute("SELECT 1").await.unwrap();
    let nobody = ConnectOptions::new("grpc://127.0.0.1:1");
    assert_eq!(Client::connect(&nobody).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn the_audit_trail_knows_where_a_call_came_from() {
    let server = server().await;
    let mut client = server.raw("alice").await;
    query(&mut client, "SELECT id FROM words").await.unwrap();
    let info = server.trail.last_client();
    assert_eq!(info.protocol.as_deref(), Some("flight-sql"));
    assert!(info.address.unwrap().starts_with("127.0.0.1:"));
    assert!(info.application.unwrap().contains("tonic"));
    let error = query(&mut client, "SELECT nothing FROM words").await.unwrap_err();
    assert_eq!(status(&error).code(), Code::InvalidArgument);
}
