//! Tokens that must not open anything, and one that does.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sqe_auth::{DevIssuer, DevPerson};
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use std::time::Duration;

use crate::site::{Site, sql_as, stderr, stdout};

/// Signs with the key of the issuer whose folder this is, whatever the claims say.
pub(crate) fn signed(site: &Site, change: impl FnOnce(&mut Value)) -> String {
    let issuer = DevIssuer::open(site.path()).unwrap();
    let keys: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(keys["keys"][0]["kid"].as_str().unwrap().to_owned());
    let now = chrono::Utc::now().timestamp();
    let mut claims = json!({
        "iss": DevIssuer::ISSUER, "aud": DevIssuer::AUDIENCE, "sub": "ann", "client_id": "test",
        "iat": now - 7200, "exp": now + 3600, "jti": "1",
    });
    change(&mut claims);
    let pem = std::fs::read(site.path().join(DevIssuer::KEY_FILE)).unwrap();
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_pem(&pem).unwrap()).unwrap()
}

/// A token that opens the door, and by name those that must not: each differs from it in one thing.
pub(crate) fn good_and_bad(site: &Site) -> (String, Vec<(&'static str, String)>) {
    let now = chrono::Utc::now().timestamp();
    let stranger = DevIssuer::generate().issue(&DevPerson::new("ann"), Duration::from_secs(3600)).unwrap();
    let good = signed(site, |_| {});
    let bad = vec![
        ("expired", signed(site, |claims| claims["exp"] = (now - 3600).into())),
        ("not yet valid", signed(site, |claims| claims["nbf"] = (now + 3600).into())),
        ("for another audience", signed(site, |claims| claims["aud"] = "billing".into())),
        ("for other audiences", signed(site, |claims| claims["aud"] = json!(["billing", "sqe-other"]))),
        ("in another issuer's name", signed(site, |claims| claims["iss"] = "https://idp.example".into())),
        ("validly signed by another issuer", stranger.expose().to_owned()),
        ("changed after it was signed", format!("{good}x")),
        ("garbage", "garbage".to_owned()),
    ];
    (good, bad)
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_foreign_and_misdirected_tokens_are_unauthenticated_in_the_same_words() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    let (good, bad) = good_and_bad(&site);
    let ask = async |token: &str| {
        let client = Client::connect(&ConnectOptions::new(&uri).with_token(Secret::new(token))).await.unwrap();
        client.execute("SELECT 1 AS a").await
    };
    assert_eq!(ask(&good).await.unwrap().collect().await.unwrap()[0].num_rows(), 1);
    let mut words = std::collections::BTreeSet::new();
    for (what, token) in &bad {
        let error = ask(token).await.err().unwrap_or_else(|| panic!("a token that is {what} was accepted"));
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{what}: {error}");
        words.insert(error.message().to_owned());
    }
    assert_eq!(words.len(), 1, "the answer tells why: {words:?}");
    ask(&good).await.unwrap();
}

#[test]
fn the_command_line_tells_an_authentication_failure_from_others() {
    let site = Site::new();
    let (_server, uri) = site.serve(&[]);
    let (good, bad) = good_and_bad(&site);
    for (what, token) in &bad {
        let output = sql_as(&uri, token, &["-c", "SELECT 1 AS a"]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), ""), "{what}: {}", stderr(&output));
    }
    assert_eq!(site.run_as(&uri, &good, "SELECT 1 AS a"), "a\n1\n");
}
