//! Machines that log in at the real provider with an id and a secret of their own.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use serde_json::json;
use sqe_auth::{Chain, ClientCredentials, ClientCredentialsBuilder, ClientIds, JwtVerifier, KeyFamily};
use sqe_core::{
    Credentials, ErrorKind, IdentityProvider as _, Principal, Secret,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use sqe_testkit::idp::{Fault, Idp};

use crate::{
    fake::Fake,
    forge::{AUDIENCE, Forge, bearer, jwks, now},
    idp::{self, accepted, basic, endpoint, rejected, unavailable, verifier},
};

const PATH: &str = "/token";

fn listed() -> ClientIds {
    ClientIds::Listed(["job", "job:nightly/1", "cli", "sqe", "unknown"].map(str::to_owned).into())
}

fn builder(idp: &Idp) -> ClientCredentialsBuilder {
    ClientCredentials::builder(endpoint(idp.issuer()), Arc::new(verifier(idp)), listed())
}

#[tokio::test]
async fn a_machine_is_its_own_principal_and_can_be_exchanged_like_a_person() {
    use sqe_core::credentials::TokenExchange as _;

    let Some(idp) = idp::shared() else { return };
    let provider = builder(idp).scope("sql:read").resource("urn:sqe").build().unwrap();
    provider.warm_up().await.unwrap();
    let job = accepted(&provider, &basic("job", "job-secret")).await;
    assert_eq!(job.principal, Principal::new(idp.issuer(), "job"));
    assert!(job.groups.contains("loaders") && job.credential.id.is_some() && job.expires_at.is_some());
    let exchange = sqe_auth::OAuthExchange::builder(endpoint(idp.issuer()), idp::client()).build().unwrap();
    assert!(job.proof.is_some());
    // This provider exchanges the tokens of people; what matters is that it is asked in the machine's name.
    let answer = exchange.exchange(&job, "catalog").await;
    assert!(answer.is_ok_and(|token| idp::claims(token.secret.expose())["sub"] == json!("job")));
}

#[tokio::test]
async fn ids_and_secrets_with_special_characters_arrive_as_they_are() {
    let Some(idp) = idp::shared() else { return };
    let provider = builder(idp).build().unwrap();
    let job = accepted(&provider, &basic("job:nightly/1", "a+b %:~")).await;
    assert_eq!(job.principal.subject, "job:nightly/1");
    rejected(&provider, &basic("job:nightly/1", "a b %:~")).await;
}

#[tokio::test]
async fn it_passes_the_kit() {
    let Some(idp) = idp::shared() else { return };
    let provider = builder(idp).build().unwrap();
    let fixture = IdentityFixture::new(basic("job", "job-secret"), Principal::new(idp.issuer(), "job"))
        .accepted(basic("job:nightly/1", "a+b %:~"), Principal::new(idp.issuer(), "job:nightly/1"))
        .foreign(basic("alice", "password"))
        .foreign(bearer("job-secret"))
        .foreign(basic("job", &idp.login("alice").unwrap().access_token))
        .rejected(FORGED, basic("job", "job-secret2"))
        .rejected("of another client", basic("job", "a+b %:~"))
        .rejected("empty", basic("job", ""))
        .rejected("an unknown client", basic("unknown", "secret-of-nobody"))
        .rejected("a client that may not", basic("sqe", Idp::SECRET))
        .without(EXPIRED)
        .without(WRONG_AUDIENCE);
    check(&provider, &fixture).await.unwrap();
}

#[tokio::test]
async fn user_names_that_are_not_configured_are_shown_to_nobody() {
    let fake = Fake::start().await;
    fake.answers("/token", 401, &json!({"error": "invalid_client"}));
    let verifier = JwtVerifier::builder(&fake.issuer).audience(AUDIENCE);
    let verifier = Arc::new(verifier.discover(&idp::discovery(&fake.issuer), idp::jwks(|_| {})).build().unwrap());
    let clients = ClientIds::Prefix("svc-".into());
    let provider = ClientCredentials::builder(endpoint(&fake.issuer), verifier, clients).build().unwrap();
    for foreign in
        [basic("alice", "hunter2"), basic("", "x"), basic("SVC-a", "x"), basic("svc-a", &Forge::ed_a().good())]
    {
        assert_eq!(provider.authenticate(&foreign).await.unwrap(), None);
    }
    assert!(fake.asked("/token").is_empty());
    rejected(&provider, &basic("svc-a", "secret-of-a")).await;
    assert_eq!(fake.asked("/token").len(), 1);
    for malformed in
        [basic("svc-a", ""), basic("svc-a", &"x".repeat(5000)), basic(&format!("svc-{}", "a".repeat(300)), "x-y")]
    {
        assert_eq!(provider.authenticate(&malformed).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    assert_eq!(fake.asked("/token").len(), 1);
}

#[tokio::test]
async fn the_provider_is_asked_once_and_not_with_every_call() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(&idp).build().unwrap();
    let job = basic("job", "job-secret");
    let all = futures::future::join_all((0..50).map(|_| accepted(&provider, &job))).await;
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(idp.requests(PATH).unwrap(), 1);
    idp.fault(PATH, &Fault::Answer(503, String::new())).unwrap();
    accepted(&provider, &job).await;
}

#[tokio::test]
async fn after_some_failures_the_provider_is_not_asked_again_and_who_is_known_is_not_affected() {
    let Some(idp) = idp::own() else { return };
    let provider = builder(&idp).max_failures(3).build().unwrap();
    let job = basic("job", "job-secret");
    accepted(&provider, &job).await;
    let before = idp.requests(PATH).unwrap();
    for guess in 0..10 {
        rejected(&provider, &basic("job", &format!("guess-{guess}"))).await;
    }
    assert_eq!(idp.requests(PATH).unwrap(), before + 3);
    assert!(rejected(&provider, &basic("job", "another-guess")).await.contains("too often"));
    accepted(&provider, &job).await;
    accepted(&provider, &basic("job:nightly/1", "a+b %:~")).await;
}

#[tokio::test]
async fn an_outage_is_no_rejection_and_lets_nobody_in() {
    let Some(idp) = idp::own() else { return };
    let job = basic("job", "job-secret");
    for (fault, reason) in [
        (Fault::Hang, "within"),
        (Fault::Answer(500, "{}".into()), "500"),
        (Fault::Close, "no connection"),
        (Fault::Answer(200, "[]".into()), "not a JSON object"),
        (Fault::Answer(200, r#"{"token_type": "Bearer"}"#.into()), "access_token"),
        (Fault::Answer(200, r#"{"access_token": "a", "token_type": "mac"}"#.into()), "token_type"),
        (Fault::Answer(200, r#"{"access_token": "a", "token_type": "Bearer"}"#.into()), "JWT"),
        (Fault::Answer(400, r#"{"error": "invalid_scope"}"#.into()), "invalid_scope"),
    ] {
        let provider = builder(&idp).build().unwrap();
        idp.fault(PATH, &fault).unwrap();
        let said = unavailable(&provider, &job).await;
        assert!(said.contains(reason), "{said}");
        idp.fault(PATH, &Fault::None).unwrap();
        accepted(&provider, &job).await;
    }
}

/// The token that comes back is verified like any other, and must be that client's.
#[rstest]
#[case::its_own(json!({"sub": "svc-a", "client_id": "svc-a"}), None)]
#[case::its_own_in_keycloak(json!({"sub": "uuid-of-a", "azp": "svc-a"}), None)]
#[case::its_own_by_subject(json!({"sub": "svc-a"}), None)]
#[case::of_another_client(json!({"sub": "svc-a", "client_id": "svc-b"}), Some("another client"))]
#[case::of_a_person(json!({"sub": "alice"}), Some("another client"))]
#[case::for_another_audience(json!({"sub": "svc-a", "aud": "other"}), Some("audience"))]
#[case::expired(json!({"sub": "svc-a", "exp": 1}), Some("expired"))]
#[tokio::test]
async fn the_token_must_be_the_clients_and_for_us(#[case] claims: serde_json::Value, #[case] reason: Option<&str>) {
    let fake = Fake::start().await;
    let forge = Forge::ed_a();
    fake.says("/jwks", 200, &jwks(&[&forge]));
    let verifier = JwtVerifier::builder(&fake.issuer).audience(AUDIENCE).family(KeyFamily::Ed);
    let verifier = Arc::new(verifier.discover(&idp::discovery(&fake.issuer), idp::jwks(|_| {})).build().unwrap());
    let clients = ClientIds::Prefix("svc-".into());
    let provider =
        ClientCredentials::builder(endpoint(&fake.issuer), verifier, clients).audience("sqe").build().unwrap();
    let good = json!({"iss": fake.issuer, "aud": AUDIENCE, "exp": now() + 300});
    let token = forge.token(&forge.header(), &crate::forge::changed(good, &claims));
    fake.answers("/token", 200, &json!({"access_token": token, "token_type": "bearer", "expires_in": 300}));
    let credentials = basic("svc-a", "secret-of-a");
    match reason {
        None => assert_eq!(accepted(&provider, &credentials).await.principal.subject, claims["sub"].as_str().unwrap()),
        Some(reason) => {
            let found = rejected(&provider, &credentials).await;
            assert!(found.contains(reason), "{found}");
        }
    }
    let asked = fake.asked("/token");
    assert_eq!(asked[0].form["grant_type"], "client_credentials");
    assert_eq!((asked[0].form["audience"].as_str(), asked[0].form.len()), ("sqe", 2));
}

#[tokio::test]
async fn a_token_that_ends_takes_the_machine_with_it() {
    let Some(idp) = idp::own() else { return };
    idp.set_lifetime(1).unwrap();
    let verifier = JwtVerifier::builder(idp.issuer()).audience(Idp::AUDIENCE).leeway(Duration::ZERO);
    let verifier = verifier.discover(&idp::discovery(idp.issuer()), idp::jwks(|_| {})).build().unwrap();
    let provider = ClientCredentials::builder(endpoint(idp.issuer()), Arc::new(verifier), listed()).build().unwrap();
    let job = basic("job", "job-secret");
    // At the border of a second the token may have ended on its way; a longer one must not.
    let _ = provider.authenticate(&job).await;
    idp.fault(PATH, &Fault::Answer(503, String::new())).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let ended = provider.authenticate(&job).await.unwrap_err();
    assert!([ErrorKind::Unavailable, ErrorKind::Unauthenticated].contains(&ended.kind()), "{ended:?}");
    idp.fault(PATH, &Fault::None).unwrap();
    idp.set_lifetime(300).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let other = basic("job:nightly/1", "a+b %:~");
    accepted(&provider, &other).await;
}

#[tokio::test]
async fn in_a_chain_a_password_may_be_a_token_or_a_secret() {
    let Some(idp) = idp::shared() else { return };
    let tokens = JwtVerifier::builder(idp.issuer()).audience(Idp::AUDIENCE).accept_basic_password_token(true);
    let tokens = tokens.discover(&idp::discovery(idp.issuer()), idp::jwks(|_| {})).build().unwrap();
    let chain = Chain::default().then_shared(Arc::new(tokens)).then(builder(idp).build().unwrap());
    let token = idp.login("alice").unwrap().access_token;
    assert_eq!(accepted(&chain, &basic("job", &token)).await.principal.subject, "alice", "the token decides");
    assert_eq!(accepted(&chain, &basic("job", "job-secret")).await.principal.subject, "job");
    let nobody = Credentials::Basic { username: "nobody".into(), password: Secret::new("job-secret") };
    assert_eq!(chain.authenticate(&nobody).await.unwrap(), None);
}

#[test]
fn configurations_that_cannot_be_meant_are_refused() {
    let build = |issuer: &str, clients: ClientIds| {
        let verifier = JwtVerifier::builder("https://idp.example").audience(AUDIENCE);
        let discovery = idp::discovery("https://idp.example");
        let verifier = verifier.discover(&discovery, idp::jwks(|_| {})).build().unwrap();
        ClientCredentials::builder(endpoint(issuer), Arc::new(verifier), clients)
    };
    for refused in [
        build("https://other.example", listed()),
        build("https://idp.example", ClientIds::Listed([].into())),
        build("https://idp.example", ClientIds::Prefix(String::new())),
        build("https://idp.example", listed()).scope(""),
        build("https://idp.example", listed()).max_failures(0),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    build("https://idp.example", listed()).build().unwrap();
}
