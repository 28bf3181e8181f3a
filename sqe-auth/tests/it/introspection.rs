//! Opaque tokens, about which the real provider is asked.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use sqe_auth::{Chain, Introspection, IntrospectionBuilder, IntrospectionSettings, OAuthClient, OpaqueTokens};
use sqe_core::{
    Credentials, ErrorKind, Identity, IdentityProvider as _, Principal, Secret,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use sqe_testkit::idp::{Fault, Idp};

use crate::{
    fake::Fake,
    forge::bearer,
    idp::{self, accepted, basic, client, endpoint, rejected, unavailable, verifier},
};

const PATH: &str = "/token/introspection";

fn builder(issuer: &str) -> IntrospectionBuilder {
    Introspection::builder(endpoint(issuer), client(), OpaqueTokens::AllButJwts).audience(Idp::AUDIENCE)
}

fn settings(change: impl FnOnce(&mut IntrospectionSettings)) -> IntrospectionSettings {
    let mut settings = IntrospectionSettings::default();
    change(&mut settings);
    settings
}

fn opaque(idp: &Idp, user: &str) -> Credentials {
    bearer(idp.login_opaque(user).unwrap().access_token)
}

#[tokio::test]
async fn what_the_provider_says_about_a_token_becomes_an_identity() {
    let Some(idp) = idp::shared() else { return };
    let provider = builder(idp.issuer()).build().unwrap();
    provider.warm_up().await.unwrap();
    let token = idp.login_opaque("alice").unwrap().access_token;
    let alice = accepted(&provider, &bearer(&token)).await;
    assert_eq!(alice.principal, Principal::new(idp.issuer(), "alice"));
    assert!(alice.groups.contains("analysts") && alice.credential.session.is_some());
    assert!(alice.expires_at.is_some_and(|at| at > chrono::Utc::now()));
    assert_eq!(alice.proof, Some(Secret::new(token)));
}

#[tokio::test]
async fn it_passes_the_kit() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(idp.issuer()).leeway(Duration::ZERO).build().unwrap();
    let elsewhere = idp.login_with("alice", &json!({"resource": "urn:other:opaque"})).unwrap().access_token;
    idp.set_lifetime(1).unwrap();
    let expired = opaque(&idp, "alice");
    idp.set_lifetime(300).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let logged_out = opaque(&idp, "mallory");
    idp.logout("mallory").unwrap();
    let alice = idp.login_opaque("alice").unwrap();
    let fixture = IdentityFixture::new(bearer(alice.access_token), Principal::new(idp.issuer(), "alice"))
        .accepted(opaque(&idp, "bob"), Principal::new(idp.issuer(), "bob"))
        .foreign(bearer(idp.login("alice").unwrap().access_token))
        .foreign(bearer("not a bearer token"))
        .foreign(basic("alice", "password"))
        .rejected(EXPIRED, expired)
        .rejected(FORGED, bearer("c2VjcmV0LXRva2VuLW9mLW5vYm9keQ"))
        .rejected(WRONG_AUDIENCE, bearer(elsewhere))
        .rejected("logged out", logged_out)
        .rejected("a refresh token", bearer(alice.refresh_token.unwrap()))
        .secret(Idp::SECRET);
    check(&provider, &fixture).await.unwrap();
}

#[tokio::test]
async fn a_token_is_asked_about_once_for_all_who_show_it_at_once_and_then_believed_for_a_while() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(idp.issuer()).build().unwrap();
    let token = opaque(&idp, "alice");
    futures::future::join_all((0..50).map(|_| accepted(&provider, &token))).await;
    accepted(&provider, &token).await;
    assert_eq!(idp.requests(PATH).unwrap(), 1);
    for _ in 0..20 {
        rejected(&provider, &bearer("nobodys-token")).await;
    }
    assert_eq!(idp.requests(PATH).unwrap(), 2);
    let impatient = builder(idp.issuer()).settings(settings(|settings| settings.accepted_for = Duration::ZERO));
    let impatient = impatient.build().unwrap();
    accepted(&impatient, &token).await;
    accepted(&impatient, &token).await;
    assert_eq!(idp.requests(PATH).unwrap(), 4);
}

#[tokio::test]
async fn an_outage_lets_nobody_in_and_is_no_rejection() {
    let Some(idp) = idp::own() else { return };
    let (known, unknown) = (opaque(&idp, "alice"), opaque(&idp, "bob"));
    for (fault, reason) in [
        (Fault::Hang, "within"),
        (Fault::Answer(500, r#"{"error": "server_error"}"#.into()), "500"),
        (Fault::Close, "no connection"),
        (Fault::Answer(200, "<html>".into()), "not a JSON object"),
        (Fault::Answer(200, r#"{"active": false, "active": true}"#.into()), "names everything once"),
        (Fault::Answer(200, r#"{"sub": "alice", "aud": "sqe"}"#.into()), "active"),
        (Fault::Answer(200, r#"{"active": "true"}"#.into()), "active"),
    ] {
        let provider = builder(idp.issuer()).build().unwrap();
        let forgetful = builder(idp.issuer()).settings(settings(|settings| settings.accepted_for = Duration::ZERO));
        let forgetful = forgetful.build().unwrap();
        accepted(&provider, &known).await;
        accepted(&forgetful, &known).await;
        idp.fault(PATH, &fault).unwrap();
        // What the provider said a moment ago still counts, where it counts at all.
        accepted(&provider, &known).await;
        let said = unavailable(&provider, &unknown).await;
        assert!(said.contains(reason), "{said}");
        unavailable(&forgetful, &known).await;
        idp.fault(PATH, &Fault::None).unwrap();
        accepted(&provider, &unknown).await;
    }
}

#[tokio::test]
async fn a_client_that_the_provider_does_not_know_is_an_outage_for_people() {
    let Some(idp) = idp::shared() else { return };
    let wrong = OAuthClient::new(Idp::CLIENT, Secret::new("wrong-secret")).unwrap();
    let provider = Introspection::builder(endpoint(idp.issuer()), wrong, OpaqueTokens::AllButJwts);
    let provider = provider.audience(Idp::AUDIENCE).build().unwrap();
    let token = opaque(idp, "alice");
    assert!(unavailable(&provider, &token).await.contains("invalid_client"));
    accepted(&builder(idp.issuer()).build().unwrap(), &token).await;
}

#[tokio::test]
async fn tokens_are_told_by_their_prefix_or_by_being_no_jwt() {
    let fake = Fake::start().await;
    fake.answers("/introspect", 200, &json!({"active": false}));
    let of = |tokens| {
        Introspection::builder(endpoint(&fake.issuer), client(), tokens)
            .audience("sqe")
            .accept_basic_password_token(true)
    };
    let prefixed = of(OpaqueTokens::Prefix("acme_".into())).build().unwrap();
    let all = of(OpaqueTokens::AllButJwts).build().unwrap();
    let jwt = crate::forge::Forge::ed_a().good();
    for (token, of_prefix, of_all) in [
        ("acme_token", true, true),
        ("other_token", false, true),
        ("acme_with space", false, false),
        ("acme_\u{e4}", false, false),
        ("", false, false),
        (jwt.as_str(), false, false),
        ("a.b.c", false, true),
    ] {
        assert_eq!(prefixed.authenticate(&bearer(token)).await.is_err(), of_prefix, "{token}");
        assert_eq!(all.authenticate(&bearer(token)).await.is_err(), of_all, "{token}");
        assert_eq!(prefixed.authenticate(&basic("anybody", token)).await.is_err(), of_prefix, "{token}");
    }
    let shown: Vec<_> = fake.asked("/introspect").into_iter().map(|asked| asked.form["token"].clone()).collect();
    assert!(shown.iter().all(|token| ["acme_token", "other_token", "a.b.c"].contains(&token.as_str())), "{shown:?}");
    let long = "x".repeat(5000);
    assert!(rejected(&all, &bearer(long)).await.contains("4096"));
    assert!(fake.asked("/introspect").iter().all(|asked| asked.authorization.starts_with("Basic ")));
}

#[tokio::test]
async fn last_in_a_chain_it_takes_what_others_do_not_know() {
    let Some(idp) = idp::shared() else { return };
    let chain = Chain::default().then(verifier(idp)).then(builder(idp.issuer()).build().unwrap());
    accepted(&chain, &bearer(idp.login("alice").unwrap().access_token)).await;
    accepted(&chain, &opaque(idp, "alice")).await;
    rejected(&chain, &bearer("nobodys-token")).await;
    // A JWT that the verifier rejects is not shown to the provider.
    let elsewhere = idp.login_with("alice", &json!({"resource": "urn:other"})).unwrap().access_token;
    assert!(rejected(&chain, &bearer(elsewhere)).await.contains("audience"));
}

/// A refresh token that is used twice was stolen: the provider withdraws what came from it, and we learn of it.
#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_the_access_tokens() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(idp.issuer()).settings(settings(|settings| settings.accepted_for = Duration::ZERO));
    let provider = provider.build().unwrap();
    let tokens = idp.login_opaque("alice").unwrap();
    let refresh = tokens.refresh_token.unwrap();
    let second = idp.refresh(&refresh).unwrap();
    accepted(&provider, &bearer(&second.access_token)).await;
    assert!(idp.refresh(&refresh).is_err());
    rejected(&provider, &bearer(&second.access_token)).await;
    rejected(&provider, &bearer(&tokens.access_token)).await;
}

/// Runs `watch` of a provider and collects whom it reports.
struct Watch {
    ended: Arc<Mutex<Vec<Identity>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    fn over(provider: &Introspection) -> Self {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let (provider, report) = (provider.clone(), Arc::clone(&ended));
        let task = tokio::spawn(async move { provider.watch(|identity| report.lock().push(identity.clone())).await });
        Self { ended, task }
    }

    async fn next(&self) -> Identity {
        loop {
            if let Some(identity) = self.ended.lock().pop() {
                return identity;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn a_token_in_use_that_is_revoked_or_whose_person_changes_is_reported_and_others_are_not() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(idp.issuer()).recheck(Duration::from_millis(100)).build().unwrap();
    let watch = Watch::over(&provider);
    let (alice, bob) = (opaque(&idp, "alice"), opaque(&idp, "bob"));
    let before = accepted(&provider, &alice).await;
    accepted(&provider, &bob).await;
    idp.revoke("alice").unwrap();
    let ended = watch.next().await;
    assert_eq!((ended.principal, ended.proof), (before.principal, before.proof));
    rejected(&provider, &alice).await;

    idp.set_groups("bob", &["finance", "auditors"]).unwrap();
    // The provider keeps what an issued token says; the next one says something else.
    let asked = idp.requests(PATH).unwrap();
    while idp.requests(PATH).unwrap() < asked + 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(watch.ended.lock().is_empty(), "bob's token is still good, and says the same");
    assert_eq!(accepted(&provider, &bob).await.groups.len(), 1);
}

#[tokio::test]
async fn a_person_whose_rights_change_at_the_issuer_is_reported() {
    let fake = Fake::start().await;
    let says = |groups: Value| {
        let exp = crate::forge::now() + 600;
        json!({"active": true, "iss": fake.issuer, "sub": "alice", "aud": "sqe", "exp": exp, "groups": groups})
    };
    fake.answers("/introspect", 200, &says(json!(["analysts", "finance"])));
    let provider = builder(&fake.issuer).recheck(Duration::from_millis(100)).build().unwrap();
    let watch = Watch::over(&provider);
    let token = bearer("a-token");
    assert_eq!(accepted(&provider, &token).await.groups.len(), 2);
    fake.answers("/introspect", 200, &says(json!(["analysts"])));
    assert!(watch.next().await.groups.contains("finance"), "as it was");
    assert_eq!(accepted(&provider, &token).await.groups.len(), 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_asked_about_for_too_long_is_reported() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(idp.issuer())
        .recheck(Duration::from_millis(100))
        .settings(settings(|settings| settings.unchecked_ceiling = Duration::from_millis(500)))
        .build()
        .unwrap();
    let watch = Watch::over(&provider);
    let alice = opaque(&idp, "alice");
    accepted(&provider, &alice).await;
    idp.fault(PATH, &Fault::Answer(503, String::new())).unwrap();
    assert_eq!(watch.next().await.principal.subject, "alice");
    unavailable(&provider, &alice).await;
    idp.fault(PATH, &Fault::None).unwrap();
    accepted(&provider, &alice).await;
}

#[tokio::test]
async fn a_watch_without_anything_to_do_ends() {
    let provider = builder("https://idp.example").build().unwrap();
    provider.watch(|_| panic!("nobody")).await;
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    let of = |tokens| Introspection::builder(endpoint("https://idp.example"), client(), tokens);
    for refused in [
        of(OpaqueTokens::AllButJwts),
        of(OpaqueTokens::AllButJwts).audience(""),
        of(OpaqueTokens::Prefix(String::new())).audience("sqe"),
        builder("https://idp.example").leeway(Duration::from_secs(61)),
        builder("https://idp.example").recheck(Duration::ZERO),
        builder("https://idp.example").settings(settings(|settings| settings.most = 0)),
        builder("https://idp.example").settings(settings(|settings| settings.accepted_for = Duration::from_secs(301))),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    builder("https://idp.example").build().unwrap();
}
