//! Log-ins that fail, and who has to wait for it. The test's clients come from several of this machine's own addresses.
#![cfg(target_os = "linux")]

use std::time::Duration;

use arrow_flight::sql::client::FlightSqlServiceClient;
use sqe_core::engine::{FailureRate, Limits};
use sqe_flight::Settings;
use tonic::{Code, transport::Channel};

use crate::harness::{Raw, Server, code, query, server_of, status};

/// Ten failures at once, and one more in an hour.
async fn server() -> Server {
    let mut limits = Limits::default();
    let rate = FailureRate { at_once: 10, one_more_after: Duration::from_secs(3600) };
    limits.login.per_address = Some(rate);
    limits.login.per_credential = Some(rate);
    limits.login.per_name = Some(FailureRate { at_once: 50, ..rate });
    server_of(Settings::default(), limits, sqe_flight::incoming).await
}

/// A client of another address, showing nothing yet.
async fn nobody(server: &Server, address: &str) -> Raw {
    let endpoint = Channel::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.local_address(Some(address.parse().unwrap())).connect().await.unwrap();
    FlightSqlServiceClient::new(channel)
}

/// A client of another address that shows a token.
async fn from(server: &Server, address: &str, token: &str) -> Raw {
    let mut client = nobody(server, address).await;
    client.set_token(token.to_owned());
    client
}

#[tokio::test]
async fn a_flood_of_bad_tokens_locks_out_its_own_address_and_nobody_else() {
    let server = server().await;
    let mut open = from(&server, "127.0.0.2", "alice-token-open").await;
    query(&mut open, "SELECT 1").await.unwrap();
    let mut codes = Vec::new();
    for number in 0..40 {
        // They claim to be alice's.
        let mut flood = from(&server, "127.0.0.2", &format!("eve{number}-token")).await;
        codes.push(code(query(&mut flood, "SELECT 1").await));
    }
    assert!(codes[..10].iter().all(|code| *code == Code::Unauthenticated), "{codes:?}");
    assert!(codes[10..].iter().all(|code| *code == Code::ResourceExhausted), "{codes:?}");
    assert_eq!(server.people.asked.lock().len(), 11, "nobody was asked about the others");

    // From another address everything is as before, for alice as for all others.
    query(&mut from(&server, "127.0.0.3", "alice-token").await, "SELECT 1").await.unwrap();
    query(&mut from(&server, "127.0.0.3", "bob-token").await, "SELECT 1").await.unwrap();
    assert_eq!(
        code(query(&mut from(&server, "127.0.0.3", "eve-token").await, "SELECT 1").await),
        Code::Unauthenticated
    );
    // From the flooded one: what was let in stays in, what was good a while ago is let in, what is new has to wait.
    query(&mut open, "SELECT 1").await.unwrap();
    assert_eq!(server.engine.end_sessions(|_| true), 3);
    query(&mut open, "SELECT 1").await.unwrap();
    query(&mut from(&server, "127.0.0.2", "alice-token").await, "SELECT 1").await.unwrap();
    let error = query(&mut from(&server, "127.0.0.2", "alice-token-new").await, "SELECT 1").await.unwrap_err();
    assert_eq!(status(&error).code(), Code::ResourceExhausted);
    assert!(status(&error).message().contains("from your address"), "{error}");
    assert!(status(&error).message().contains("try again in "), "{error}");
}

#[tokio::test]
async fn a_program_with_an_old_token_locks_out_itself_and_not_its_neighbours() {
    let server = server().await;
    let mut old = from(&server, "127.0.0.2", "eve-token").await;
    let mut refused = 0;
    for _ in 0..40 {
        match code(query(&mut old, "SELECT 1").await) {
            Code::Unauthenticated => {}
            Code::ResourceExhausted => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, server.people.asked.lock().len()), (30, 10));
    query(&mut from(&server, "127.0.0.2", "alice-token").await, "SELECT 1").await.unwrap();
}

#[tokio::test]
async fn guessing_a_password_from_one_address_locks_out_nobody_elsewhere() {
    let server = server().await;
    for number in 0..40 {
        let mut guess = nobody(&server, "127.0.0.2").await;
        let refused = guess.handshake("alice", &format!("guess {number}")).await.unwrap_err();
        assert_eq!(refused.to_string().contains("too many"), number >= 10, "{refused}");
    }
    let mut alice = nobody(&server, "127.0.0.3").await;
    alice.handshake("alice", "alice-password").await.unwrap();
}
