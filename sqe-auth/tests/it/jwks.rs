//! Keys that are fetched from a server on this machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode, header},
    routing::get,
};
use futures::{StreamExt as _, future::join_all};
use rstest::rstest;
use serde_json::json;
use sqe_auth::{JwksSettings, JwtVerifier, KeyFamily};
use sqe_core::ErrorKind;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle, time::sleep};

use crate::{
    forge::{AUDIENCE, Forge, ISSUER, accepted, ask, cause, jwks, rejected},
    tls::TlsListener,
};

/// What the issuer's server does with a request.
#[derive(Debug, Clone)]
enum Answer {
    Set(String),
    SlowSet(Duration, String),
    Status(u16),
    Redirect(String),
    /// Bytes without end, which do not say how many they are.
    Endless,
    /// Says that it is so long, and then sends nothing.
    Announces(usize),
    Hang,
}

struct Served {
    answer: Mutex<Answer>,
    requests: AtomicUsize,
}

/// An issuer's server.
struct Server {
    served: Arc<Served>,
    url: String,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let served = Arc::new(Served { answer: Mutex::new(answer), requests: AtomicUsize::new(0) });
        let app = Router::new().route("/keys", get(answer_request)).with_state(Arc::clone(&served));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { served, url, task }
    }

    /// The same over TLS, with a certificate for `localhost` and 127.0.0.1 of a root that nobody else knows.
    async fn start_tls(answer: Answer) -> Self {
        let served = Arc::new(Served { answer: Mutex::new(answer), requests: AtomicUsize::new(0) });
        let app = Router::new().route("/keys", get(answer_request)).with_state(Arc::clone(&served));
        let listener = TlsListener::bind().await;
        let url = format!("https://{}/keys", listener.address());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { served, url, task }
    }

    async fn of(forges: &[&Forge]) -> Self {
        Self::start(Answer::Set(jwks(forges))).await
    }

    async fn now_answers(&self, answer: Answer) {
        *self.served.answer.lock().await = answer;
    }

    fn requests(&self) -> usize {
        self.served.requests.load(Ordering::SeqCst)
    }

    fn verifier(&self, change: impl FnOnce(&mut JwksSettings)) -> JwtVerifier {
        let mut settings = JwksSettings::default();
        settings.min_interval = Duration::ZERO;
        settings.timeout = Duration::from_secs(2);
        change(&mut settings);
        let builder = JwtVerifier::builder(ISSUER).audience(AUDIENCE).family(KeyFamily::Ed);
        builder.jwks_url(&self.url, settings).build().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer_request(State(served): State<Arc<Served>>) -> Response<Body> {
    let answer = served.answer.lock().await.clone();
    served.requests.fetch_add(1, Ordering::SeqCst);
    let response = Response::builder();
    match answer {
        Answer::Set(set) => response.body(Body::from(set)),
        Answer::SlowSet(delay, set) => {
            sleep(delay).await;
            response.body(Body::from(set))
        }
        Answer::Status(status) => response.status(StatusCode::from_u16(status).unwrap()).body(Body::empty()),
        Answer::Redirect(to) => response.status(302).header(header::LOCATION, to).body(Body::empty()),
        Answer::Endless => {
            let chunks = futures::stream::repeat("x".repeat(16 * 1024)).then(|chunk| async {
                sleep(Duration::from_millis(1)).await;
                Ok::<_, std::io::Error>(chunk)
            });
            response.body(Body::from_stream(chunks))
        }
        Answer::Announces(bytes) => {
            let silence = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
            response.header(header::CONTENT_LENGTH, bytes).body(Body::from_stream(silence))
        }
        Answer::Hang => {
            sleep(Duration::from_secs(60)).await;
            response.body(Body::empty())
        }
    }
    .unwrap()
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_who_ask_at_once() {
    let forge = Forge::ed_a();
    let server = Server::start(Answer::SlowSet(Duration::from_millis(100), jwks(&[&forge]))).await;
    let verifier = server.verifier(|settings| settings.min_interval = Duration::from_secs(60));
    join_all((0..50).map(|_| accepted(&verifier, forge.good()))).await;
    accepted(&verifier, forge.good()).await;
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_key_that_is_new_is_found_and_the_one_before_it_is_not_forgotten() {
    let (old, new) = (Forge::ed_a(), Forge::ed_b());
    let server = Server::of(&[&old]).await;
    let verifier = server.verifier(|_| {});
    accepted(&verifier, old.good()).await;
    server.now_answers(Answer::SlowSet(Duration::from_millis(50), jwks(&[&new]))).await;
    // Old and new tokens at once, in the middle of the rotation.
    let both = (0..20).map(|i| accepted(&verifier, if i % 2 == 0 { old.good() } else { new.good() }));
    join_all(both).await;
    accepted(&verifier, old.good()).await;
}

/// One of an issuer's machines still answers with the old set after another answered with the new one.
#[tokio::test]
async fn a_set_that_lags_behind_takes_no_key_away() {
    let (old, new) = (Forge::ed_a(), Forge::ed_b());
    let server = Server::of(&[&old, &new]).await;
    let verifier = server.verifier(|settings| settings.refresh_after = Duration::ZERO);
    accepted(&verifier, new.good()).await;
    server.now_answers(Answer::Set(jwks(&[&old]))).await;
    let before = server.requests();
    while server.requests() == before {
        accepted(&verifier, new.good()).await;
        sleep(Duration::from_millis(10)).await;
    }
    accepted(&verifier, new.good()).await;
    accepted(&verifier, old.good()).await;
}

#[tokio::test]
async fn a_withdrawn_key_ends() {
    let (old, new) = (Forge::ed_a(), Forge::ed_b());
    let server = Server::of(&[&old]).await;
    let verifier = server.verifier(|settings| settings.retire_after = Duration::ZERO);
    accepted(&verifier, old.good()).await;
    server.now_answers(Answer::Set(jwks(&[&new]))).await;
    accepted(&verifier, new.good()).await;
    assert!(rejected(&verifier, old.good()).await.contains("does not publish"));
}

/// The fetch under way when the token comes began before its key was published.
#[tokio::test]
async fn a_key_published_during_a_fetch_is_found_by_the_next() {
    let (old, new) = (Forge::ed_a(), Forge::ed_b());
    let server = Server::start(Answer::SlowSet(Duration::from_millis(200), jwks(&[&old]))).await;
    let verifier = server.verifier(|_| {});
    let publish_and_use = async {
        while server.requests() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        server.now_answers(Answer::Set(jwks(&[&old, &new]))).await;
        accepted(&verifier, new.good()).await;
    };
    tokio::join!(accepted(&verifier, old.good()), publish_and_use);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn unknown_key_ids_do_not_flood_the_issuer() {
    let forge = Forge::ed_a();
    let server = Server::of(&[&forge]).await;
    let verifier = server.verifier(|settings| settings.min_interval = Duration::from_secs(60));
    accepted(&verifier, forge.good()).await;
    let flood = (0..200).map(|i| rejected(&verifier, forge.with_header(&json!({"kid": format!("unknown-{i}")}))));
    assert!(join_all(flood).await.iter().all(|reason| reason.contains("does not publish")));
    accepted(&verifier, forge.good()).await;
    assert_eq!(server.requests(), 1);
}

/// A client that asks and goes away must not use up the one attempt of an interval.
#[tokio::test]
async fn a_fetch_outlives_the_client_that_began_it() {
    let forge = Forge::ed_a();
    let server = Server::start(Answer::SlowSet(Duration::from_millis(1000), jwks(&[&forge]))).await;
    let verifier = server.verifier(|settings| settings.min_interval = Duration::from_secs(60));
    let gone = tokio::time::timeout(Duration::from_millis(50), ask(&verifier, forge.good())).await;
    assert!(gone.is_err(), "the first client gave up");
    accepted(&verifier, forge.good()).await;
    assert_eq!(server.requests(), 1);
}

#[rstest]
#[case::errors(Answer::Status(500))]
#[case::not_found(Answer::Status(404))]
#[case::no_content(Answer::Status(204))]
#[case::nonsense(Answer::Set("<html>".into()))]
#[case::no_keys(Answer::Set(r#"{"keys": []}"#.into()))]
#[case::hangs(Answer::Hang)]
#[case::redirects(Answer::Redirect("https://elsewhere.example/keys".into()))]
#[case::too_large(Answer::Set("x".repeat(10 << 20)))]
#[tokio::test]
async fn an_outage_does_not_lock_out_known_keys(#[case] outage: Answer) {
    let (known, unknown) = (Forge::ed_a(), Forge::ed_b());
    let server = Server::of(&[&known]).await;
    let verifier = server.verifier(|settings| {
        settings.refresh_after = Duration::ZERO;
        settings.timeout = Duration::from_secs(1);
    });
    accepted(&verifier, known.good()).await;
    server.now_answers(outage).await;
    for _ in 0..3 {
        accepted(&verifier, known.good()).await;
        sleep(Duration::from_millis(20)).await;
    }
    // Whether an unknown key is the issuer's cannot be said now.
    assert_eq!(ask(&verifier, unknown.good()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    server.now_answers(Answer::Set(jwks(&[&known, &unknown]))).await;
    accepted(&verifier, unknown.good()).await;
}

#[tokio::test]
async fn known_keys_are_not_believed_for_ever() {
    let forge = Forge::ed_a();
    let server = Server::of(&[&forge]).await;
    let verifier = server.verifier(|settings| {
        settings.refresh_after = Duration::from_millis(50);
        settings.stale_ceiling = Duration::from_millis(2000);
    });
    accepted(&verifier, forge.good()).await;
    server.now_answers(Answer::Status(500)).await;
    sleep(Duration::from_millis(100)).await;
    accepted(&verifier, forge.good()).await;
    sleep(Duration::from_millis(2000)).await;
    let error = ask(&verifier, forge.good()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains("500"), "{error:?}");
    server.now_answers(Answer::Set(jwks(&[&forge]))).await;
    accepted(&verifier, forge.good()).await;
}

/// With nothing known, every kind of bad answer is an outage: neither "accepted" nor "wrong token".
#[rstest]
#[case::of_10_mb(Answer::Set("x".repeat(10 << 20)), "larger than")]
#[case::announcing_10_mb(Answer::Announces(10 << 20), "larger than")]
#[case::endless(Answer::Endless, "larger than")]
#[case::no_set(Answer::Set("[]".into()), "not a JSON object")]
#[case::hangs(Answer::Hang, "within")]
#[case::weak_keys(Answer::Set(jwks(&[&Forge::rsa_weak()])), "no usable")]
#[case::other_family(Answer::Set(jwks(&[&Forge::ec_a()])), "no usable")]
#[case::error(Answer::Status(503), "503")]
#[tokio::test]
async fn a_bad_answer_is_an_outage(#[case] answer: Answer, #[case] reason: &str) {
    let forge = Forge::ed_a();
    let server = Server::start(answer).await;
    let verifier = server.verifier(|settings| settings.timeout = Duration::from_secs(2));
    assert_eq!(verifier.warm_up().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let error = ask(&verifier, forge.good()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains(reason), "{error:?}");
    assert!(!error.message().contains(&server.url));
    server.now_answers(Answer::Set(jwks(&[&forge]))).await;
    verifier.warm_up().await.unwrap();
    accepted(&verifier, forge.good()).await;
}

#[tokio::test]
async fn a_set_of_ten_thousand_keys_is_refused_whatever_its_size() {
    let forge = Forge::ed_a();
    let many = json!({"keys": vec![forge.jwk(); 10_000]}).to_string();
    let server = Server::start(Answer::Set(many)).await;
    let by_size = server.verifier(|_| {});
    assert!(cause(&by_size.warm_up().await.unwrap_err()).contains("larger than"));
    let by_count = server.verifier(|settings| settings.max_bytes = 64 << 20);
    assert!(cause(&by_count.warm_up().await.unwrap_err()).contains("more than 100 keys"));
    let raised = server.verifier(|settings| (settings.max_bytes, settings.max_keys) = (64 << 20, 10_000));
    raised.warm_up().await.unwrap();
    accepted(&raised, forge.good()).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed_even_to_good_keys() {
    let forge = Forge::ed_a();
    let target = Server::of(&[&forge]).await;
    let server = Server::start(Answer::Redirect(target.url.clone())).await;
    let error = ask(&server.verifier(|_| {}), forge.good()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains("redirect"), "{error:?}");
    assert_eq!((server.requests(), target.requests()), (1, 0));
    accepted(&target.verifier(|_| {}), forge.good()).await;
}

#[tokio::test]
async fn one_bad_key_does_not_lock_out_the_good_ones() {
    let (good, other) = (Forge::ed_a(), Forge::ec_a());
    let mut secret = Forge::ed_b().jwk();
    secret["d"] = json!("AA");
    let keys = json!({"keys": [{"kty": "OKP"}, 7, secret, other.jwk(), good.jwk(), {"kty": "oct", "k": "AA"}]});
    let server = Server::start(Answer::Set(keys.to_string())).await;
    let verifier = server.verifier(|_| {});
    accepted(&verifier, good.good()).await;
    // A private key that its issuer publishes is everybody's.
    assert!(rejected(&verifier, Forge::ed_b().good()).await.contains("does not publish"));
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_an_outage() {
    let forge = Forge::ed_a();
    let url = {
        let server = Server::of(&[&forge]).await;
        server.url.clone()
    };
    sleep(Duration::from_millis(50)).await;
    let builder = JwtVerifier::builder(ISSUER).audience(AUDIENCE).family(KeyFamily::Ed);
    let verifier = builder.jwks_url(url, JwksSettings::default()).build().unwrap();
    assert_eq!(ask(&verifier, forge.good()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // Tokens that are not this issuer's need no keys to be passed on.
    assert_eq!(ask(&verifier, "password").await.unwrap(), None);
}

#[test]
fn without_a_runtime_nothing_panics() {
    let forge = Forge::ed_a();
    let builder = JwtVerifier::builder(ISSUER).audience(AUDIENCE).family(KeyFamily::Ed);
    let verifier = builder.jwks_url("https://idp.example/keys", JwksSettings::default()).build().unwrap();
    let error = futures::executor::block_on(ask(&verifier, forge.good())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[rstest]
#[case("http://idp.example/keys", false)]
#[case("http://192.168.0.1/keys", false)]
#[case("ftp://127.0.0.1/keys", false)]
#[case("https://user:secret@idp.example/keys", false)]
#[case("not a url", false)]
#[case("https://idp.example/keys", true)]
#[case("http://127.0.0.1:1/keys", true)]
fn keys_over_http_come_from_this_machine_only(#[case] url: &str, #[case] permitted: bool) {
    let built = JwtVerifier::builder(ISSUER).audience(AUDIENCE).jwks_url(url, JwksSettings::default()).build();
    assert_eq!(built.is_ok(), permitted);
    if let Err(error) = built {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let built = |change: fn(&mut JwksSettings)| {
        let mut settings = JwksSettings::default();
        change(&mut settings);
        JwtVerifier::builder(ISSUER).audience(AUDIENCE).jwks_url("https://idp.example/keys", settings).build()
    };
    built(|settings| settings.stale_ceiling = Duration::from_secs(1)).unwrap_err();
    built(|settings| settings.timeout = Duration::ZERO).unwrap_err();
    built(|settings| settings.max_keys = 0).unwrap_err();
    built(|_| {}).unwrap();
}

/// No TLS provider is installed in this process, and none is needed.
#[rstest]
#[case::by_address("127.0.0.1")]
#[case::by_name("localhost")]
#[tokio::test]
async fn keys_come_over_tls_from_a_server_of_a_known_root_only(#[case] host: &str) {
    let forge = Forge::ed_a();
    let mut server = Server::start_tls(Answer::Set(jwks(&[&forge]))).await;
    server.url = server.url.replace("127.0.0.1", host);
    let of_the_web = server.verifier(|_| {});
    let error = ask(&of_the_web, forge.good()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(cause(&error).contains("certificate"), "{error:?}");
    let root = include_str!("keys/tls-root.pem").to_owned();
    let of_the_house = server.verifier(|settings| settings.root_certificates = Some(root));
    accepted(&of_the_house, forge.good()).await;
    assert!(tokio_rustls::rustls::crypto::CryptoProvider::get_default().is_none());
}

#[rstest]
#[case("")]
#[case("not pem")]
#[case("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
#[case("-----BEGIN CERTIFICATE-----\n")]
fn roots_that_cannot_be_read_are_refused(#[case] pem: &str) {
    let mut settings = JwksSettings::default();
    settings.root_certificates = Some(pem.to_owned());
    let builder = JwtVerifier::builder(ISSUER).audience(AUDIENCE).jwks_url("https://idp.example/keys", settings);
    assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::InvalidInput);
}
