//! `sqe login --device` at a provider that says what the test wants: the answers of RFC 8628, section 3.5.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    login::write_profile,
    site::{binary, eventually, stderr},
};

const PENDING: &str = "authorization_pending";
const GRANTED: &str = "granted";

/// A provider on loopback. What it answers to a client's questions for tokens is on a list; the last answer stays.
#[derive(Clone)]
struct Provider(Arc<Inner>);

struct Inner {
    issuer: String,
    /// How long codes are good, in seconds.
    expires_in: u64,
    answers: Mutex<BTreeMap<String, VecDeque<&'static str>>>,
    /// Who asked for tokens, in order.
    asked: Mutex<Vec<String>>,
    _stop: DropGuard,
}

impl Provider {
    async fn start(expires_in: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let (answers, asked) = (Mutex::default(), Mutex::default());
        let provider = Self(Arc::new(Inner { issuer, expires_in, answers, asked, _stop: stop.drop_guard() }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/device", post(device))
            .route("/token", post(token))
            // It must not keep alive what stops it.
            .with_state(Arc::downgrade(&provider.0));
        tokio::spawn(axum::serve(listener, router).with_graceful_shutdown(stopped).into_future());
        provider
    }

    /// From now on answers a client so.
    fn answers<const N: usize>(&self, client: &str, words: [&'static str; N]) {
        self.0.answers.lock().unwrap().insert(client.to_owned(), words.into());
    }

    fn asked(&self) -> Vec<String> {
        self.0.asked.lock().unwrap().clone()
    }

    /// Begins to log in as this client, at a desk of its own.
    fn begin(&self, client: &str) -> Login {
        let home = TempDir::new().unwrap();
        write_profile(home.path(), "grpc://127.0.0.1:1", &self.0.issuer, client);
        let mut command = Command::new(binary());
        command.args(["login", "--device"]).env_clear().env("HOME", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Login { child: command.spawn().unwrap(), home }
    }
}

struct Login {
    child: Child,
    home: TempDir,
}

impl Login {
    /// How it ended, and whether a login was kept.
    fn end(self) -> (Output, bool) {
        let output = self.child.wait_with_output().unwrap();
        let kept: &Path = ".local/state/sqe/login/lab.json".as_ref();
        (output, self.home.path().join(kept).exists())
    }

    fn succeeds(self) {
        let (output, kept) = self.end();
        assert!(output.status.success() && kept, "{}", stderr(&output));
        assert!(stderr(&output).contains("type the code WDJB-MJHT"), "{}", stderr(&output));
    }

    /// The last line of what it said.
    fn fails(self, code: i32) -> String {
        let (output, kept) = self.end();
        assert_eq!((output.status.code(), kept), (Some(code), false), "{}", stderr(&output));
        stderr(&output).lines().last().unwrap().to_owned()
    }
}

type Known = State<std::sync::Weak<Inner>>;

async fn metadata(State(inner): Known) -> Json<Value> {
    let issuer = &inner.upgrade().unwrap().issuer;
    Json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "device_authorization_endpoint": format!("{issuer}/device"),
    }))
}

fn field(form: &str, name: &str) -> String {
    url::form_urlencoded::parse(form.as_bytes()).find(|(found, _)| found == name).unwrap().1.into_owned()
}

async fn device(State(inner): Known, form: String) -> Json<Value> {
    let inner = inner.upgrade().unwrap();
    Json(json!({
        "device_code": format!("code of {}", field(&form, "client_id")),
        "user_code": "WDJB-MJHT",
        "verification_uri": format!("{}/go", inner.issuer),
        "expires_in": inner.expires_in,
        "interval": 1,
    }))
}

async fn token(State(inner): Known, form: String) -> (StatusCode, Json<Value>) {
    let inner = inner.upgrade().unwrap();
    let client = field(&form, "client_id");
    assert_eq!(field(&form, "grant_type"), "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(field(&form, "device_code"), format!("code of {client}"));
    inner.asked.lock().unwrap().push(client.clone());
    let mut answers = inner.answers.lock().unwrap();
    let words = answers.get_mut(&client).unwrap();
    let word = if words.len() > 1 { words.pop_front().unwrap() } else { words[0] };
    match word {
        GRANTED => {
            let tokens = json!({"access_token": "opaque", "token_type": "Bearer", "expires_in": 300});
            (StatusCode::OK, Json(tokens))
        }
        word => (StatusCode::BAD_REQUEST, Json(json!({ "error": word }))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_slow_down_asks_less_often_and_gets_in_all_the_same() {
    let provider = Provider::start(300).await;
    provider.answers("steady", [PENDING]);
    provider.answers("hasty", ["slow_down", GRANTED]);
    // Both ask once a second, until one of them is told to wait five seconds more. The other is the clock.
    let steady = provider.begin("steady");
    eventually("the clock runs", || !provider.asked().is_empty());
    provider.begin("hasty").succeeds();
    provider.answers("steady", [GRANTED]);
    steady.succeeds();
    let asked = provider.asked();
    let turns: Vec<_> = (0..asked.len()).filter(|turn| asked[*turn] == "hasty").collect();
    assert_eq!(turns.len(), 2, "{asked:?}");
    // Six on a machine that has nothing else to do, and one or two without the word.
    assert!(turns[1] - turns[0] > 3, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_has_expired_ends_the_login_with_clear_words() {
    let provider = Provider::start(300).await;
    provider.answers("late", [PENDING, "expired_token"]);
    assert_eq!(provider.begin("late").fails(3), "error: the code has expired; log in again");
    assert_eq!(provider.asked(), ["late"; 2], "it is over with that");
    provider.answers("late", [PENDING, GRANTED]);
    provider.begin("late").succeeds();

    // Nor is a provider asked about a code of which it is known that it has ended.
    let provider = Provider::start(1).await;
    provider.answers("late", [GRANTED]);
    assert_eq!(provider.begin("late").fails(3), "error: the code has expired; log in again");
    assert!(provider.asked().is_empty());
}
