//! An issuer's server that says whatever a test wants, and remembers what it was asked.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, Uri, header},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A request: the `Authorization` header and the form.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) authorization: String,
    pub(crate) form: HashMap<String, String>,
}

#[derive(Debug, Default)]
struct Said {
    answers: HashMap<String, (u16, String, Option<String>)>,
    asked: Vec<(String, Asked)>,
}

pub(crate) struct Fake {
    said: Arc<Mutex<Said>>,
    pub(crate) issuer: String,
    task: JoinHandle<()>,
}

impl Fake {
    /// One that knows nothing but its own metadata, with all endpoints at the paths `/jwks`, `/token` and `/introspect`.
    pub(crate) async fn start() -> Self {
        let said = Arc::new(Mutex::new(Said::default()));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&said));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let fake = Self { said, issuer, task };
        fake.answers("/.well-known/openid-configuration", 200, &fake.metadata());
        fake
    }

    pub(crate) fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/jwks"),
            "token_endpoint": format!("{issuer}/token"),
            "introspection_endpoint": format!("{issuer}/introspect"),
        })
    }

    pub(crate) fn answers(&self, path: &str, status: u16, body: &Value) {
        self.says(path, status, &body.to_string());
    }

    pub(crate) fn says(&self, path: &str, status: u16, body: &str) {
        self.said.lock().answers.insert(path.into(), (status, body.into(), None));
    }

    pub(crate) fn redirects(&self, path: &str, to: &str) {
        self.said.lock().answers.insert(path.into(), (302, String::new(), Some(to.into())));
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let said = self.said.lock();
        said.asked.iter().filter(|(asked, _)| asked == path).map(|(_, asked)| asked.clone()).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(said): State<Arc<Mutex<Said>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let form = url::form_urlencoded::parse(&body).into_owned().collect();
    let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let mut said = said.lock();
    said.asked.push((uri.path().into(), Asked { authorization: authorization.unwrap_or_default(), form }));
    let (status, body, location) = said.answers.get(uri.path()).cloned().unwrap_or((404, String::new(), None));
    let response = Response::builder().status(status);
    let response = match location {
        Some(to) => response.header(header::LOCATION, to),
        None => response,
    };
    response.body(Body::from(body)).unwrap()
}
