//! Back-channel logout.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};
use sqe_auth::{LogoutVerifier, NOT_ACCEPTED, Revocations};
use sqe_core::{CredentialRef, ErrorKind, Identity, Principal, Secret};

use crate::forge::{AUDIENCE, Forge, ISSUER, cause, changed, now, verifier};

const CLIENT: &str = "sqe-web";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "iat": now(), "exp": now() + 120, "jti": "1",
        "events": {EVENT: {}}, "sub": "alice", "sid": "login",
    })
}

fn token(forge: &Forge, header: &Value, claims: &Value) -> Secret {
    let header = changed(changed(forge.header(), &json!({"typ": "logout+jwt"})), header);
    Secret::new(forge.token(&header, &changed(self::claims(), claims)))
}

fn logout() -> LogoutVerifier {
    LogoutVerifier::new(Arc::new(verifier(&[&Forge::ec_a()])), [CLIENT]).unwrap()
}

async fn rejected(verifier: &LogoutVerifier, token: &Secret) -> String {
    let error = verifier.verify(token).await.expect_err("it is rejected");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, NOT_ACCEPTED), "{error:?}");
    assert!(!format!("{error:?}").contains(token.expose()));
    cause(&error)
}

#[tokio::test]
async fn a_logout_token_says_who_logged_out_and_where() {
    let forge = Forge::ec_a();
    let said = logout().verify(&token(&forge, &json!({}), &json!({}))).await.unwrap();
    assert_eq!(
        (said.issuer.as_str(), said.subject.as_deref(), said.session.as_deref()),
        (ISSUER, Some("alice"), Some("login"))
    );
    let said = logout().verify(&token(&forge, &json!({}), &json!({"sub": null}))).await.unwrap();
    assert_eq!((said.subject, said.session.as_deref()), (None, Some("login")));
    let said = logout()
        .verify(&token(&forge, &json!({"typ": "application/logout+JWT"}), &json!({"sid": null})))
        .await
        .unwrap();
    assert_eq!((said.subject.as_deref(), said.session), (Some("alice"), None));
    logout().verify(&token(&forge, &json!({}), &json!({"aud": ["other", CLIENT]}))).await.unwrap();
    logout().verify(&token(&forge, &json!({}), &json!({"events": {EVENT: {}, "other": 1}}))).await.unwrap();
}

#[rstest]
#[case::an_access_token(json!({"typ": "at+jwt"}), json!({}), "type")]
#[case::some_jwt(json!({"typ": "JWT"}), json!({}), "type")]
#[case::untyped(json!({"typ": null}), json!({}), "type")]
#[case::unsecured(json!({"alg": "none"}), json!({}), "algorithm")]
#[case::of_another_family(json!({"alg": "RS256"}), json!({}), "algorithm")]
#[case::with_critical_extensions(json!({"crit": ["x"]}), json!({}), "critical")]
#[case::of_another_issuer(json!({}), json!({"iss": "https://other.example"}), "another issuer")]
#[case::of_several_issuers(json!({}), json!({"iss": [ISSUER]}), "iss")]
#[case::for_the_engine(json!({}), json!({"aud": AUDIENCE}), "audience")]
#[case::for_nobody(json!({}), json!({"aud": null}), "aud")]
#[case::expired(json!({}), json!({"exp": now() - 60}), "expired")]
#[case::endless(json!({}), json!({"exp": null}), "exp")]
#[case::too_long(json!({}), json!({"exp": now() + 3600}), "too long")]
#[case::from_the_future(json!({}), json!({"iat": now() + 60}), "future")]
#[case::undated(json!({}), json!({"iat": null}), "iat")]
#[case::with_a_nonce(json!({}), json!({"nonce": "n"}), "nonce")]
#[case::without_events(json!({}), json!({"events": null}), "event")]
#[case::about_something_else(json!({}), json!({"events": {"http://example.org": {}}}), "event")]
#[case::about_a_text(json!({}), json!({"events": {EVENT: ""}}), "event")]
#[case::with_a_list_of_events(json!({}), json!({"events": [EVENT]}), "event")]
#[case::without_id(json!({}), json!({"jti": null}), "jti")]
#[case::with_a_number_as_id(json!({}), json!({"jti": 1}), "jti")]
#[case::about_nobody(json!({}), json!({"sub": null, "sid": null}), "neither")]
#[case::about_a_number(json!({}), json!({"sub": 1}), "sub")]
#[case::about_an_empty_log_in(json!({}), json!({"sid": ""}), "sid")]
#[tokio::test]
async fn a_token_with_one_fault_is_rejected(#[case] header: Value, #[case] claims: Value, #[case] words: &str) {
    let forge = Forge::ec_a();
    let verifier = logout();
    let reason = rejected(&verifier, &token(&forge, &header, &claims)).await;
    assert!(reason.contains(words), "{reason}");
    // A rejected token uses up no id.
    verifier.verify(&token(&forge, &json!({}), &json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_forged_or_malformed_token_is_rejected() {
    let (forge, thief) = (Forge::ec_a(), Forge::ec_b());
    let verifier = logout();
    rejected(&verifier, &token(&thief, &json!({"kid": forge.kid}), &json!({}))).await;
    rejected(&verifier, &token(&thief, &json!({}), &json!({}))).await;
    let good = token(&forge, &json!({}), &json!({}));
    for text in ["x".to_owned(), "a.b.c".to_owned(), format!("{}x", good.expose()), "x".repeat(100_000)] {
        rejected(&verifier, &Secret::new(text)).await;
    }
    // The engine's own tokens are none, and a logout token opens no session.
    rejected(&verifier, &Secret::new(forge.good())).await;
    let as_access_token = self::verifier(&[&forge]);
    crate::forge::rejected(&as_access_token, token(&forge, &json!({}), &json!({"aud": AUDIENCE})).expose()).await;
    verifier.verify(&good).await.unwrap();
}

#[tokio::test]
async fn a_token_is_accepted_once() {
    let (forge, verifier) = (Forge::ec_a(), logout());
    let one = token(&forge, &json!({}), &json!({}));
    verifier.verify(&one).await.unwrap();
    let reason = rejected(&verifier, &one).await;
    assert!(reason.contains("before"), "{reason}");
    // The id counts, not the text.
    rejected(&verifier, &token(&forge, &json!({}), &json!({"sid": "another"}))).await;
    verifier.verify(&token(&forge, &json!({}), &json!({"jti": "2"}))).await.unwrap();
}

#[tokio::test]
async fn what_follows_covers_the_log_in_or_the_person() {
    let forge = Forge::ec_a();
    let person = |subject: &str, session: Option<&str>, age: i64| {
        let mut identity = Identity::new(Principal::new(ISSUER, subject));
        let mut credential = CredentialRef::default();
        credential.session = session.map(str::to_owned);
        credential.issued_at = chrono::DateTime::from_timestamp(now() - age, 0);
        identity.credential = credential;
        identity
    };
    let said = logout().verify(&token(&forge, &json!({}), &json!({}))).await.unwrap();
    let revocations = Revocations::in_memory();
    let withdrawn = revocations.add(&said.revocation().unwrap()).unwrap();
    assert!(withdrawn.covers(&person("alice", Some("login"), 100)));
    assert!(
        !withdrawn.covers(&person("alice", Some("another"), 100)) && !withdrawn.covers(&person("alice", None, 100))
    );

    let withdrawn = revocations.add(&said.of_person().unwrap()).unwrap();
    assert!(withdrawn.covers(&person("alice", None, 100)) && withdrawn.covers(&person("alice", Some("another"), 100)));
    assert!(!withdrawn.covers(&person("alice", None, -100)), "who logged in again stays");
    assert!(!withdrawn.covers(&person("bob", None, 100)));

    let nobody = logout().verify(&token(&forge, &json!({}), &json!({"sub": null}))).await.unwrap();
    assert!(nobody.of_person().is_none() && nobody.revocation().is_some());
}

#[test]
fn a_verifier_needs_a_client() {
    let verifier = Arc::new(verifier(&[&Forge::ec_a()]));
    assert_eq!(LogoutVerifier::new(Arc::clone(&verifier), [""; 0]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(LogoutVerifier::new(verifier, [""]).unwrap_err().kind(), ErrorKind::InvalidInput);
}
