//! Tokens for other systems, from the real provider, and from one that lies.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use sqe_auth::{ExchangeSettings, ExchangeTarget, OAuthClient, OAuthExchange, OAuthExchangeBuilder};
use sqe_core::{
    Error, ErrorKind, Identity, Principal, Secret,
    credentials::{AccessToken, TokenExchange as _},
};
use sqe_testkit::idp::{Fault, Idp};

use crate::{
    fake::Fake,
    forge::{Forge, cause, now},
    idp::{self, claims, client, endpoint, logged_in, verifier},
};

const PATH: &str = "/token";

fn builder(issuer: &str) -> OAuthExchangeBuilder {
    OAuthExchange::builder(endpoint(issuer), client())
}

fn exchange(issuer: &str) -> OAuthExchange {
    builder(issuer).build().unwrap()
}

async fn refused(exchange: &OAuthExchange, identity: &Identity, audience: &str) -> Error {
    let error = exchange.exchange(identity, audience).await.expect_err("no token");
    let printed = format!("{error:?} {} {exchange:?}", cause(&error));
    for secret in identity.proof.iter().map(Secret::expose).chain([Idp::SECRET]) {
        assert!(!printed.contains(secret), "an error shows a secret: {printed}");
    }
    error
}

fn with_proof(issuer: &str, subject: &str, proof: &str) -> Identity {
    let mut identity = Identity::new(Principal::new(issuer, subject));
    identity.proof = Some(Secret::new(proof));
    identity
}

#[tokio::test]
async fn a_persons_token_becomes_one_for_another_system_that_names_person_and_actor() {
    let Some(idp) = idp::shared() else { return };
    let exchange = exchange(idp.issuer());
    exchange.warm_up().await.unwrap();
    let alice = logged_in(idp, &verifier(idp), "alice").await;
    let token = exchange.exchange(&alice, "catalog").await.unwrap();
    let claims = claims(token.secret.expose());
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!("catalog")));
    assert_eq!(claims["act"], json!({"sub": Idp::CLIENT}));
    let exp = claims["exp"].as_i64().unwrap();
    assert!(token.expires_at.is_some_and(|at| at.timestamp() <= exp && at > chrono::Utc::now()), "never too late");
    assert!(!format!("{token:?} {exchange:?}").contains(token.secret.expose()));
}

#[tokio::test]
async fn an_opaque_token_is_exchanged_as_well() {
    let Some(idp) = idp::shared() else { return };
    let token = idp.login_opaque("bob").unwrap().access_token;
    let token = exchange(idp.issuer()).exchange(&with_proof(idp.issuer(), "bob", &token), "storage").await.unwrap();
    assert_eq!(claims(token.secret.expose())["sub"], json!("bob"));
}

#[tokio::test]
async fn scope_and_names_at_the_issuer_are_those_of_the_target() {
    let Some(idp) = idp::shared() else { return };
    let mut target = ExchangeTarget::default();
    target.audience = Some("catalog".into());
    target.scope = Some("sql:read".into());
    let mut too_much = target.clone();
    too_much.scope = Some("sql:read admin".into());
    let exchange = builder(idp.issuer()).target("lake", target).target("all", too_much).build().unwrap();
    let alice = logged_in(idp, &verifier(idp), "alice").await;
    let token = claims(exchange.exchange(&alice, "lake").await.unwrap().secret.expose());
    assert_eq!((&token["aud"], &token["scope"]), (&json!("catalog"), &json!("sql:read")));
    let error = refused(&exchange, &alice, "all").await;
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(cause(&error).contains("invalid_scope"), "{error:?}");
}

#[tokio::test]
async fn the_client_can_show_who_it_is() {
    let Some(idp) = idp::shared() else { return };
    let gateway = OAuthClient::new("gateway", Secret::new("gateway-secret")).unwrap();
    let exchange = OAuthExchange::builder(endpoint(idp.issuer()), gateway).show_actor_token(true).build().unwrap();
    let alice = logged_in(idp, &verifier(idp), "alice").await;
    let token = exchange.exchange(&alice, "catalog").await.unwrap();
    assert_eq!(claims(token.secret.expose())["act"], json!({"sub": "gateway"}));
    // A client without the grant has nothing to show.
    let error = refused(&builder(idp.issuer()).show_actor_token(true).build().unwrap(), &alice, "catalog").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn tokens_are_kept_for_each_person_proof_and_audience_and_exchanged_once() {
    let Some(idp) = idp::own() else { return };
    let (exchange, verifier) = (exchange(idp.issuer()), verifier(&idp));
    let (alice, bob) = (logged_in(&idp, &verifier, "alice").await, logged_in(&idp, &verifier, "bob").await);
    let alice_again = logged_in(&idp, &verifier, "alice").await;
    let before = idp.requests(PATH).unwrap();
    let ask = |identity| exchange.exchange(identity, "catalog");
    let tokens = futures::future::join_all((0..20).map(|_| ask(&alice))).await;
    let tokens: Vec<AccessToken> = tokens.into_iter().map(Result::unwrap).collect();
    assert!(tokens.windows(2).all(|pair| pair[0].secret == pair[1].secret));
    assert_eq!(idp.requests(PATH).unwrap(), before + 1);
    let bobs = ask(&bob).await.unwrap();
    assert_eq!(claims(bobs.secret.expose())["sub"], json!("bob"));
    assert_ne!(ask(&alice_again).await.unwrap().secret, tokens[0].secret);
    assert_ne!(exchange.exchange(&alice, "storage").await.unwrap().secret, tokens[0].secret);
    assert_eq!(idp.requests(PATH).unwrap(), before + 4);
    assert_eq!(ask(&alice).await.unwrap().secret, tokens[0].secret);
}

#[tokio::test]
async fn who_may_not_have_a_token_is_denied_and_who_may_is_not() {
    let Some(idp) = idp::shared() else { return };
    let (exchange, verifier) = (exchange(idp.issuer()), verifier(idp));
    let (alice, bob) = (logged_in(idp, &verifier, "alice").await, logged_in(idp, &verifier, "bob").await);
    for audience in ["ledger", "nowhere"] {
        let error = refused(&exchange, &alice, audience).await;
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(cause(&error).contains("invalid_target") && error.message().contains(audience), "{error:?}");
    }
    exchange.exchange(&bob, "ledger").await.unwrap();
}

#[tokio::test]
async fn without_a_proof_of_this_issuer_nobody_stands_in() {
    let Some(idp) = idp::own() else { return };
    let exchange = exchange(idp.issuer());
    let alice = logged_in(&idp, &verifier(&idp), "alice").await;
    let mut without = alice.clone();
    without.proof = None;
    let mut of_another = alice.clone();
    of_another.principal.issuer = "https://other.example".into();
    let expired = alice.clone().with_expiry(chrono::Utc::now() - chrono::Duration::seconds(1));
    let before = idp.requests(PATH).unwrap();
    for identity in [without, of_another, expired] {
        assert_eq!(refused(&exchange, &identity, "catalog").await.kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(idp.requests(PATH).unwrap(), before, "nothing was shown to anybody");
    exchange.exchange(&alice, "catalog").await.unwrap();
}

#[tokio::test]
async fn a_proof_that_the_issuer_no_longer_accepts_is_unauthenticated() {
    let Some(idp) = idp::shared() else { return };
    let exchange = exchange(idp.issuer());
    let forged = with_proof(idp.issuer(), "alice", &Forge::rsa_a().good());
    let nonsense = with_proof(idp.issuer(), "alice", "nobodys-token");
    for identity in [forged, nonsense] {
        let error = refused(&exchange, &identity, "catalog").await;
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(cause(&error).contains("invalid_grant"), "{error:?}");
    }
}

#[tokio::test]
async fn an_outage_is_neither_a_denial_nor_a_token() {
    let Some(idp) = idp::own() else { return };
    let alice = logged_in(&idp, &verifier(&idp), "alice").await;
    for (fault, reason) in [
        (Fault::Hang, "within"),
        (Fault::Answer(502, "<html>".into()), "502"),
        (Fault::Close, "no connection"),
        (Fault::Answer(200, "<html>".into()), "not a JSON object"),
        (Fault::Answer(401, r#"{"error": "invalid_client"}"#.into()), "invalid_client"),
        (Fault::Answer(429, r#"{"error": "slow_down"}"#.into()), "429"),
    ] {
        let exchange = exchange(idp.issuer());
        exchange.exchange(&alice, "catalog").await.unwrap();
        idp.fault(PATH, &fault).unwrap();
        let error = refused(&exchange, &alice, "storage").await;
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(cause(&error).contains(reason), "{error:?}");
        exchange.exchange(&alice, "catalog").await.unwrap();
        idp.fault(PATH, &Fault::None).unwrap();
        exchange.exchange(&alice, "storage").await.unwrap();
    }
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let Some(idp) = idp::own() else { return };
    let alice = logged_in(&idp, &verifier(&idp), "alice").await;
    // Renewed in its last quarter.
    idp.set_lifetime(4).unwrap();
    let exchange = exchange(idp.issuer());
    let first = exchange.exchange(&alice, "catalog").await.unwrap();
    assert_eq!(exchange.exchange(&alice, "catalog").await.unwrap().secret, first.secret);
    loop {
        let token = exchange.exchange(&alice, "catalog").await.unwrap();
        if token.secret != first.secret {
            assert!(token.expires_at.unwrap() > first.expires_at.unwrap());
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn response(token: &str) -> Value {
    json!({
        "access_token": token,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 300,
    })
}

/// An issuer, or somebody in its place, that gives something else than it was asked for.
#[rstest]
#[case::of_another_person(json!({"sub": "bob"}), json!({}), "somebody else")]
#[case::of_nobody(json!({"sub": null}), json!({}), "somebody else")]
#[case::of_another_issuer(json!({"iss": "https://other.example"}), json!({}), "issuer")]
#[case::for_another_audience(json!({"aud": "ledger"}), json!({}), "audience")]
#[case::for_nobody(json!({"aud": null}), json!({}), "audience")]
#[case::expired(json!({"exp": 1}), json!({}), "lifetime")]
#[case::expired_by_its_word(json!({}), json!({"expires_in": 0}), "lifetime")]
#[case::of_no_lifetime(json!({}), json!({"expires_in": "300"}), "expires_in")]
#[case::of_negative_lifetime(json!({}), json!({"expires_in": -1}), "expires_in")]
#[case::an_id_token(json!({}), json!({"issued_token_type": "urn:ietf:params:oauth:token-type:id_token"}), "issued_token_type")]
#[case::a_refresh_token(json!({}), json!({"issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}), "issued_token_type")]
#[case::of_no_type(json!({}), json!({"issued_token_type": null}), "issued_token_type")]
#[case::no_bearer_token(json!({}), json!({"token_type": "N_A"}), "token_type")]
#[case::bound_to_a_key(json!({}), json!({"token_type": "DPoP"}), "token_type")]
#[case::no_token(json!({}), json!({"access_token": null}), "access_token")]
#[case::empty(json!({}), json!({"access_token": ""}), "access_token")]
#[tokio::test]
async fn a_token_that_was_not_asked_for_is_not_used(
    #[case] changed_claims: Value,
    #[case] changed_response: Value,
    #[case] reason: &str,
) {
    let fake = Fake::start().await;
    let exchange = exchange(&fake.issuer);
    let alice = with_proof(&fake.issuer, "alice", "a-proof");
    let good = json!({"iss": fake.issuer, "sub": "alice", "aud": ["catalog"], "exp": now() + 300});
    let signed = |changes: &Value| {
        let forge = Forge::ed_a();
        forge.token(&forge.header(), &crate::forge::changed(good.clone(), changes))
    };
    let answer = crate::forge::changed(response(&signed(&changed_claims)), &changed_response);
    fake.answers("/token", 200, &answer);
    let error = refused(&exchange, &alice, "catalog").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains(reason), "{error:?}");
    fake.answers("/token", 200, &response(&signed(&json!({}))));
    exchange.exchange(&alice, "catalog").await.unwrap();
}

#[tokio::test]
async fn what_is_sent_is_what_rfc_8693_asks_for() {
    let fake = Fake::start().await;
    fake.answers("/token", 200, &response("an-opaque-token"));
    let mut target = ExchangeTarget::default();
    target.resource = Some("https://catalog.example/".into());
    let exchange = builder(&fake.issuer).target("catalog", target).build().unwrap();
    let token = exchange.exchange(&with_proof(&fake.issuer, "alice", "a-proof"), "catalog").await.unwrap();
    assert_eq!(token.secret.expose(), "an-opaque-token");
    let asked = fake.asked("/token");
    let [asked] = asked.as_slice() else { panic!("{asked:?}") };
    assert!(asked.authorization.starts_with("Basic "));
    let sent: Vec<_> = ["grant_type", "subject_token", "subject_token_type", "requested_token_type", "resource"]
        .into_iter()
        .map(|name| asked.form[name].as_str())
        .collect();
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    assert_eq!(sent, [grant, "a-proof", access_token, access_token, "https://catalog.example/"]);
    assert_eq!(asked.form.len(), 5, "nothing else is sent");
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    let empty = |change: fn(&mut ExchangeTarget)| {
        let mut target = ExchangeTarget::default();
        change(&mut target);
        builder("https://idp.example").target("catalog", target)
    };
    let mut none = ExchangeSettings::default();
    none.most = 0;
    for refused in [
        empty(|target| target.audience = Some(String::new())),
        empty(|target| target.scope = Some(String::new())),
        builder("https://idp.example").target("", ExchangeTarget::default()),
        builder("https://idp.example").settings(none),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    builder("https://idp.example").target("catalog", ExchangeTarget::default()).build().unwrap();
}
