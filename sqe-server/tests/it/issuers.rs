//! A server whose people come from real OpenID providers.

use serde_json::json;
use sqe_testkit::{
    idp::{Idp, Issuer2},
    process::Sqe,
};

use crate::site::{Site, eventually, sql_as, stderr, stdout};

/// A server of the configuration `identity`, with the provider's secret in the file `secret`.
fn serve(identity: &str) -> (Site, Sqe, String) {
    let site = Site::new();
    let file = site.path().join("sqe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace("kind = \"dev\"\n            path = \".\"", identity);
    assert_ne!(changed, text);
    std::fs::write(&file, changed).unwrap();
    std::fs::write(site.path().join("secret"), Idp::SECRET).unwrap();
    let (server, uri) = site.serve(&[]);
    (site, server, uri)
}

fn oidc(issuer: &str) -> String {
    format!("kind = \"oidc\"\nissuer = \"{issuer}\"\naudience = \"sqe\"\n")
}

fn asks(uri: &str, token: &str) -> Option<i32> {
    let output = sql_as(uri, token, &["-c", "SELECT 1 AS a"]);
    assert!(!stderr(&output).contains(token), "an error shows the token");
    assert_eq!(stdout(&output), if output.status.success() { "a\n1\n" } else { "" });
    output.status.code()
}

#[test]
fn people_of_two_issuers_log_in_and_what_is_not_for_us_does_not() {
    let (Some(idp), Some(second)) = (Idp::start().unwrap(), Issuer2::start().unwrap()) else { return };
    let identity = format!("{}[[identity]]\n{}", oidc(idp.issuer()), oidc(second.issuer()));
    let (_site, server, uri) = serve(&identity);
    let alice = idp.login("alice").unwrap();
    assert_eq!(asks(&uri, &alice.access_token), Some(0), "{}", server.log());
    assert_eq!(asks(&uri, &second.sign(&json!({"sub": "alice", "aud": "sqe"})).unwrap()), Some(0));
    let elsewhere = idp.login_with("alice", &json!({"resource": "urn:other"})).unwrap();
    let pretended = second.sign(&json!({"iss": idp.issuer(), "sub": "alice", "aud": "sqe"})).unwrap();
    for token in [alice.id_token.unwrap(), alice.refresh_token.unwrap(), elsewhere.access_token, pretended] {
        assert_eq!(asks(&uri, &token), Some(3));
    }
    assert_eq!(asks(&uri, &alice.access_token), Some(0));
}

#[test]
fn a_server_starts_while_its_issuer_is_down_and_says_so() {
    let Some(idp) = Idp::start().unwrap() else { return };
    let alice = idp.login("alice").unwrap().access_token;
    idp.down().unwrap();
    let (_site, server, uri) = serve(&oidc(idp.issuer()));
    eventually("the log names the issuer", || {
        let log = server.log();
        log.contains("does not answer") && log.contains(idp.issuer())
    });
    assert_eq!(asks(&uri, &alice), Some(6), "an outage is no rejection");
    idp.up().unwrap();
    // The last attempt was some seconds ago at most; the next begins after its interval.
    eventually("alice can log in", || asks(&uri, &alice) == Some(0));
}

#[test]
fn an_opaque_token_that_is_revoked_opens_nothing_any_more_and_others_go_on() {
    let Some(idp) = Idp::start().unwrap() else { return };
    let introspection =
        "[identity.introspection]\nclient_id = \"sqe\"\nsecret_file = \"secret\"\nrecheck_seconds = 1\n";
    let (_site, server, uri) = serve(&format!("{}{introspection}", oidc(idp.issuer())));
    let token = |user: &str| idp.login_opaque(user).unwrap().access_token;
    let (alice, bob) = (token("alice"), token("bob"));
    assert_eq!((asks(&uri, &alice), asks(&uri, &bob)), (Some(0), Some(0)), "{}", server.log());
    assert_eq!(asks(&uri, "nobodys-token"), Some(3));
    idp.revoke("alice").unwrap();
    eventually("alice's token opens nothing", || asks(&uri, &alice) == Some(3));
    assert!(server.log().contains("no longer good"), "{}", server.log());
    assert_eq!((asks(&uri, &bob), asks(&uri, &idp.login("alice").unwrap().access_token)), (Some(0), Some(0)));
    assert!(!server.log().contains(&alice) && !server.log().contains(Idp::SECRET));
}
