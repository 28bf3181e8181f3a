//! Issuers that say where their keys are.

use std::time::Duration;

use serde_json::json;
use sqe_auth::{Chain, Discovery, DiscoverySettings, JwksSettings, JwtVerifier, KeyFamily, WellKnown};
use sqe_core::{Credentials, ErrorKind, IdentityProvider as _, Principal, Secret};
use sqe_testkit::idp::{Fault, Idp, Issuer2};

use crate::{
    fake::Fake,
    forge::{AUDIENCE, Forge, bearer, cause, jwks},
    idp::{self, accepted, claims, discovery, logged_in, rejected, unavailable, verifier, verifier_of},
};

#[tokio::test]
async fn people_of_a_real_provider_are_known_with_groups_and_the_names_of_their_token() {
    let Some(idp) = idp::shared() else { return };
    let verifier = verifier(idp);
    verifier.warm_up().await.unwrap();
    let token = idp.login("alice").unwrap().access_token;
    let alice = accepted(&verifier, &bearer(&token)).await;
    assert_eq!(alice.principal, Principal::new(idp.issuer(), "alice"));
    assert_eq!(alice.groups.iter().collect::<Vec<_>>(), ["analysts"]);
    let claims = claims(&token);
    assert_eq!(alice.credential.id.as_deref(), claims["jti"].as_str());
    assert_eq!(alice.credential.session.as_deref(), claims["sid"].as_str());
    assert_eq!(alice.credential.issued_at.map(|at| at.timestamp()), claims["iat"].as_i64());
    assert!(alice.credential.id.is_some() && alice.credential.session.is_some());
    let again = logged_in(idp, &verifier, "alice").await;
    assert_ne!(again.credential.id, alice.credential.id, "each token has a name of its own");
    assert!(logged_in(idp, &verifier, "mallory").await.groups.is_empty());
}

#[tokio::test]
async fn what_else_a_real_provider_issues_is_no_access_token() {
    let Some(idp) = idp::shared() else { return };
    let verifier = verifier(idp);
    let tokens = idp.login("alice").unwrap();
    assert!(rejected(&verifier, &bearer(tokens.id_token.unwrap())).await.contains("type"));
    // Opaque: another provider's to know.
    assert_eq!(verifier.authenticate(&bearer(tokens.refresh_token.unwrap())).await.unwrap(), None);
    let elsewhere = idp.login_with("alice", &json!({"resource": "urn:other"})).unwrap().access_token;
    assert!(rejected(&verifier, &bearer(elsewhere)).await.contains("audience"));
    accepted(&verifier, &bearer(tokens.access_token)).await;
}

#[tokio::test]
async fn two_real_issuers_in_one_chain_do_not_vouch_for_each_others_people() {
    let (Some(idp), Some(second)) = (idp::shared(), Issuer2::start().unwrap()) else { return };
    let chain =
        |first: &str, then: &str| Chain::default().then(verifier_of(first, |_| {})).then(verifier_of(then, |_| {}));
    let of_first = idp.login("alice").unwrap().access_token;
    let alice = json!({"sub": "alice", "aud": "sqe"});
    let of_second = second.sign(&alice).unwrap();
    let mut pretended = alice.clone();
    pretended["iss"] = json!(idp.issuer());
    let pretended = second.sign(&pretended).unwrap();
    // Its own key under the name of a key of the other issuer.
    let header = of_first.split('.').next().unwrap();
    let header: serde_json::Value = serde_json::from_slice(
        &base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header).unwrap(),
    )
    .unwrap();
    let mut claims = alice.clone();
    claims["iss"] = json!(idp.issuer());
    let with_their_kid = second.sign_with(&json!({"kid": header["kid"], "typ": "at+jwt"}), &claims).unwrap();
    for chain in [chain(idp.issuer(), second.issuer()), chain(second.issuer(), idp.issuer())] {
        let one = accepted(&chain, &bearer(&of_first)).await;
        let other = accepted(&chain, &bearer(&of_second)).await;
        assert_eq!((one.principal.subject.as_str(), other.principal.subject.as_str()), ("alice", "alice"));
        assert_ne!(one.principal, other.principal, "the same name is somebody else at another issuer");
        assert!(rejected(&chain, &bearer(&pretended)).await.contains("does not publish"));
        assert!(!rejected(&chain, &bearer(&with_their_kid)).await.is_empty());
        let to_another = second.sign(&json!({"sub": "alice", "aud": "other"})).unwrap();
        assert!(rejected(&chain, &bearer(to_another)).await.contains("audience"));
        let loops = json!({"sub": "alice", "aud": "sqe", "act": {"sub": "app", "act": {"sub": "alice"}}});
        assert!(rejected(&chain, &bearer(second.sign(&loops).unwrap())).await.contains("actors"));
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_at_start_is_known_when_it_comes_up() {
    let Some(idp) = idp::own() else { return };
    let verifier = verifier(&idp);
    let token = bearer(idp.login("alice").unwrap().access_token);
    idp.down().unwrap();
    let error = verifier.warm_up().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains("no connection"), "{error:?}");
    assert!(unavailable(&verifier, &token).await.contains("metadata"));
    idp.up().unwrap();
    accepted(&verifier, &token).await;
}

#[tokio::test]
async fn metadata_that_cannot_be_believed_is_an_outage() {
    let Some(idp) = idp::own() else { return };
    let token = bearer(idp.login("alice").unwrap().access_token);
    let somebody_else = r#"{"issuer": "https://evil.example", "jwks_uri": "https://evil.example/"}"#;
    for (fault, reason) in [
        (Fault::Hang, "within"),
        (Fault::Answer(500, "{}".into()), "500"),
        (Fault::Close, "no connection"),
        (Fault::Answer(200, "<html>".into()), "not a JSON object"),
        (Fault::Answer(200, "{}".into()), "names no issuer"),
        (Fault::Answer(200, somebody_else.into()), "evil.example"),
    ] {
        let verifier = verifier(&idp);
        idp.fault("/.well-known", &fault).unwrap();
        let said = unavailable(&verifier, &token).await;
        assert!(said.contains(reason), "{said}");
        idp.fault("/.well-known", &Fault::None).unwrap();
        accepted(&verifier, &token).await;
        // From now on it is known.
        idp.fault("/.well-known", &fault).unwrap();
        accepted(&verifier, &token).await;
    }
}

#[tokio::test]
async fn metadata_is_fetched_once_for_all_who_ask_at_once_and_not_again_too_soon() {
    let Some(idp) = idp::own() else { return };
    let path = "/.well-known/openid-configuration";
    let mut settings = DiscoverySettings::default();
    settings.remote = idp::remote();
    let discovery = Discovery::new(idp.issuer(), settings).unwrap();
    idp.fault("/.well-known", &Fault::Answer(503, String::new())).unwrap();
    let ask = || discovery.metadata();
    let refused = futures::future::join_all((0..20).map(|_| ask())).await;
    assert!(refused.into_iter().all(|answer| answer.unwrap_err().kind() == ErrorKind::Unavailable));
    ask().await.unwrap_err();
    assert_eq!(idp.requests(path).unwrap(), 1);

    idp.fault("/.well-known", &Fault::Delay(Duration::from_millis(100))).unwrap();
    let discovery = self::discovery(idp.issuer());
    let known = futures::future::join_all((0..20).map(|_| discovery.metadata())).await;
    let token_endpoint = known[0].as_ref().unwrap().token_endpoint.clone().unwrap();
    assert!(token_endpoint.as_str().starts_with(idp.issuer()));
    assert!(known.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(idp.requests(path).unwrap(), 2);
}

#[tokio::test]
async fn keys_that_moved_are_found_where_they_are_now() {
    let fake = Fake::start().await;
    let (old, new) = (Forge::ed_a(), Forge::ed_b());
    let of = |forge: &Forge| forge.with_claims(&json!({"iss": fake.issuer}));
    fake.says("/jwks", 200, &jwks(&[&old]));
    let builder = JwtVerifier::builder(&fake.issuer).audience(AUDIENCE).family(KeyFamily::Ed);
    let verifier = builder.discover(&discovery(&fake.issuer), idp::jwks(|_| {})).build().unwrap();
    accepted(&verifier, &bearer(of(&old))).await;
    let mut moved = fake.metadata();
    moved["jwks_uri"] = json!(format!("{}/moved", fake.issuer));
    fake.answers("/.well-known/openid-configuration", 200, &moved);
    fake.says("/jwks", 404, "");
    fake.says("/moved", 200, &jwks(&[&old, &new]));
    unavailable(&verifier, &bearer(of(&new))).await;
    // That failure cast doubt on the metadata; it is fetched behind the next who need it.
    let token = bearer(of(&new));
    for _ in 0..200 {
        if verifier.authenticate(&token).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    accepted(&verifier, &token).await;
    assert!(fake.asked("/moved").len() == 1, "{:?}", fake.asked("/moved"));
}

#[tokio::test]
async fn a_redirect_of_metadata_is_not_followed_even_to_the_right_document() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    other.answers("/document", 200, &fake.metadata());
    fake.redirects("/.well-known/openid-configuration", &format!("{}/document", other.issuer));
    let error = discovery(&fake.issuer).metadata().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && cause(&error).contains("redirect"), "{error:?}");
    assert!(other.asked("/document").is_empty());
    fake.answers("/.well-known/openid-configuration", 200, &fake.metadata());
    discovery(&fake.issuer).metadata().await.unwrap();
}

#[tokio::test]
async fn an_endless_document_is_not_read_and_one_without_keys_is_told() {
    let fake = Fake::start().await;
    fake.says("/.well-known/openid-configuration", 200, &"x".repeat(10 << 20));
    let error = discovery(&fake.issuer).metadata().await.unwrap_err();
    assert!(cause(&error).contains("larger than"), "{error:?}");
    fake.answers("/.well-known/openid-configuration", 200, &json!({"issuer": fake.issuer}));
    let builder = JwtVerifier::builder(&fake.issuer).audience(AUDIENCE);
    let verifier = builder.discover(&discovery(&fake.issuer), idp::jwks(|_| {})).build().unwrap();
    let error = verifier.warm_up().await.unwrap_err();
    assert!(cause(&error).contains("names no jwks_uri"), "{error:?}");
}

#[tokio::test]
async fn the_document_of_oauth_is_found_at_its_own_place() {
    let fake = Fake::start().await;
    fake.says("/.well-known/openid-configuration", 404, "");
    fake.answers("/.well-known/oauth-authorization-server", 200, &fake.metadata());
    let mut settings = DiscoverySettings::default();
    settings.well_known = WellKnown::OAuthAuthorizationServer;
    let discovery = Discovery::new(&fake.issuer, settings).unwrap();
    assert!(discovery.metadata().await.unwrap().token_endpoint.is_some());
    crate::idp::discovery(&fake.issuer).metadata().await.unwrap_err();
}

/// An issuer inside an organisation, whose certificate only that organisation knows.
#[tokio::test]
async fn an_issuer_of_a_private_root_is_known_by_that_root_only() {
    let forge = Forge::ed_a();
    let server = crate::tls::Issuer::start(&forge).await;
    let root = include_str!("keys/tls-root.pem");
    let of = |root: Option<&str>| {
        let mut settings = DiscoverySettings::default();
        settings.remote.root_certificates = root.map(str::to_owned);
        let mut keys = JwksSettings::default();
        keys.root_certificates = root.map(str::to_owned);
        let builder = JwtVerifier::builder(&server.issuer).audience(AUDIENCE).family(KeyFamily::Ed);
        builder.discover(&Discovery::new(&server.issuer, settings).unwrap(), keys).build().unwrap()
    };
    let token = bearer(forge.with_claims(&json!({"iss": server.issuer})));
    assert!(unavailable(&of(None), &token).await.contains("certificate"));
    accepted(&of(Some(root)), &token).await;
}

#[test]
fn metadata_of_another_issuer_is_refused_when_a_verifier_is_built() {
    let discovery = discovery("https://idp.example");
    let build = |issuer: &str| {
        JwtVerifier::builder(issuer).audience(AUDIENCE).discover(&discovery, JwksSettings::default()).build()
    };
    assert_eq!(build("https://other.example").unwrap_err().kind(), ErrorKind::InvalidInput);
    build("https://idp.example").unwrap();
}

/// The provider's clock is ahead of ours, or behind it. Its tokens live 300 seconds.
#[tokio::test]
async fn clocks_may_differ_by_the_leeway_and_no_more() {
    let Some(idp) = idp::own() else { return };
    let verifier = verifier(&idp);
    for (ahead, reason) in [(25, None), (45, Some("future")), (-300, None), (-345, Some("expired")), (0, None)] {
        idp.set_clock_ahead(ahead).unwrap();
        let token = bearer(idp.login("alice").unwrap().access_token);
        match reason {
            None => drop(accepted(&verifier, &token).await),
            Some(reason) => {
                let said = rejected(&verifier, &token).await;
                assert!(said.contains(reason), "{ahead}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn an_exchanged_token_names_the_person_and_who_acts_and_is_for_its_audience_only() {
    use sqe_core::credentials::TokenExchange as _;

    let Some(idp) = idp::shared() else { return };
    let verifier = verifier(idp);
    let alice = logged_in(idp, &verifier, "alice").await;
    let exchange = sqe_auth::OAuthExchange::builder(idp::endpoint(idp.issuer()), idp::client()).build().unwrap();
    let for_us = exchange.exchange(&alice, Idp::AUDIENCE).await.unwrap();
    let delegated = accepted(&verifier, &Credentials::Bearer(for_us.secret)).await;
    assert_eq!(delegated.principal, alice.principal);
    assert_eq!(delegated.actors, [Principal::new(idp.issuer(), Idp::CLIENT)]);
    let for_another = exchange.exchange(&alice, "catalog").await.unwrap();
    assert!(rejected(&verifier, &Credentials::Bearer(for_another.secret)).await.contains("audience"));
    // Exchanged once more, it would be a chain of the same actor.
    let again = exchange.exchange(&delegated, Idp::AUDIENCE).await.unwrap();
    assert!(rejected(&verifier, &Credentials::Bearer(again.secret)).await.contains("actors"));
    accepted(&verifier, &Credentials::Bearer(Secret::new(idp.login("alice").unwrap().access_token))).await;
}
