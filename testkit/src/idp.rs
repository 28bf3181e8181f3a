//! OpenID providers on loopback: one of ours with people in it, and a second issuer of another make.
//!
//! Their methods block. What a provider calls while it answers (a receiver of log-outs, a page that a browser is sent
//! to) must run on another thread.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::node::{Node, Service};

/// Tokens of a log-in.
#[derive(Clone, Deserialize)]
pub struct Tokens {
    /// The access token: a JWT (RFC 9068) with `jti`, `sid` and `groups`, or an opaque one.
    pub access_token: String,
    /// The ID token, which is no access token.
    pub id_token: Option<String>,
    /// The refresh token. Each can be used once; using it twice revokes what came from it.
    pub refresh_token: Option<String>,
    /// The access token's lifetime in seconds.
    pub expires_in: u64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(redacted)")
    }
}

/// Where a browser ended.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// The address.
    pub url: String,
    /// The status, if the page was opened.
    pub status: Option<u16>,
    /// The text, if the page was opened.
    pub text: Option<String>,
}

/// What the provider does instead of answering.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers as it should again.
    None,
    /// Never answers.
    Hang,
    /// Ends the connection.
    Close,
    /// Answers so much later.
    Delay(Duration),
    /// Answers this status and body.
    Answer(u16, String),
}

/// A certified OpenID provider, `oidc-provider`, with made-up people.
///
/// | who | kind | groups |
/// |---|---|---|
/// | `alice` | person | `analysts` |
/// | `bob` | person | `finance` |
/// | `mallory` | person | none |
/// | `job`, `job-secret` | client with the client credentials grant | `loaders` |
/// | `job:nightly/1`, `a+b %:~` | the same, of a name and a secret that need escaping | none |
/// | `cli` | public native client: code + PKCE to any loopback port at `/callback`, device flow, refresh | |
/// | `dashboard`, `dashboard-secret` | confidential application: code + PKCE, refresh | |
/// | `sqe`, `sqe-secret` | this engine: introspection and token exchange, nothing else | |
/// | `gateway`, `gateway-secret` | token exchange and client credentials | |
///
/// The audience of access tokens is `sqe`. Tokens for the resource `urn:sqe` are JWTs (RS256), those for
/// [`OPAQUE`](Self::OPAQUE) are opaque; for `urn:other` and `urn:other:opaque` they are the same with the audience `other`.
/// Exchange (RFC 8693) gives tokens for the audiences `sqe`, `catalog` and
/// `storage` to all, and for `ledger` to `bob`.
#[derive(Debug, Clone)]
pub struct Idp {
    service: Arc<Service>,
    issuer: String,
}

impl Idp {
    /// The resource (RFC 8707) for which access tokens are opaque.
    pub const OPAQUE: &'static str = "urn:sqe:opaque";
    /// The audience of access tokens.
    pub const AUDIENCE: &'static str = "sqe";
    /// The client that introspects and exchanges.
    pub const CLIENT: &'static str = "sqe";
    /// That client's secret.
    pub const SECRET: &'static str = "sqe-secret";

    /// Starts one on a free port. `None`: Node or its packages are missing, and this is not CI.
    ///
    /// # Errors
    /// It did not start, or Node is missing and this is CI.
    pub fn start() -> Result<Option<Self>> {
        let Some(node) = Node::find()? else { return Ok(None) };
        let service = node.start("idp/idp.mjs")?;
        let issuer = issuer(&service)?;
        Ok(Some(Self { service: Arc::new(service), issuer }))
    }

    /// Its issuer, an address such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Logs `user` in at a browser for the client `cli` and gives JWT tokens.
    ///
    /// # Errors
    /// The provider does not answer or refuses.
    pub fn login(&self, user: &str) -> Result<Tokens> {
        self.login_with(user, &json!({}))
    }

    /// The same with opaque access tokens.
    ///
    /// # Errors
    /// The provider does not answer or refuses.
    pub fn login_opaque(&self, user: &str) -> Result<Tokens> {
        self.login_with(user, &json!({"resource": Self::OPAQUE}))
    }

    /// The same with another `client`, `scope` or `resource`.
    ///
    /// # Errors
    /// The provider does not answer or refuses.
    pub fn login_with(&self, user: &str, how: &Value) -> Result<Tokens> {
        let mut arguments = how.clone();
        arguments.as_object_mut().context("how to log in is an object")?.insert("user".into(), json!(user));
        self.call("login", &arguments)
    }

    /// Uses a refresh token of the client `cli`, which is then used up.
    ///
    /// # Errors
    /// The provider does not answer or refuses.
    pub fn refresh(&self, refresh_token: &str) -> Result<Tokens> {
        self.call("refresh", &json!({ "token": refresh_token }))
    }

    /// Has `user` open an address of the provider, such as one that a program shows, and do what its pages ask for: sign
    /// in, agree, confirm a device. Follows redirects away from the provider, as the browser of a person would.
    ///
    /// # Errors
    /// The provider does not answer.
    pub fn browse(&self, user: &str, url: &str) -> Result<Page> {
        self.call("browse", &json!({"user": user, "url": url}))
    }

    /// The same, but `user` declines.
    ///
    /// # Errors
    /// The provider does not answer.
    pub fn decline(&self, user: &str, url: &str) -> Result<Page> {
        self.call("browse", &json!({"user": user, "url": url, "cancel": true}))
    }

    /// Has `user` type a device's code at the verification address.
    ///
    /// # Errors
    /// The provider does not answer.
    pub fn enter_code(&self, user: &str, url: &str, code: &str) -> Result<Page> {
        self.call("browse", &json!({"user": user, "url": url, "code": code}))
    }

    /// Logs `user` out at the provider. It tells the receiver of log-outs, and revokes opaque and refresh tokens.
    ///
    /// # Errors
    /// The provider does not answer.
    pub fn logout(&self, user: &str) -> Result<()> {
        self.call("logout", &json!({ "user": user }))
    }

    /// Where log-out tokens (OpenID Connect Back-Channel Logout 1.0) go from now on.
    ///
    /// # Errors
    /// The service ended.
    pub fn send_logouts_to(&self, url: &str) -> Result<()> {
        self.call("logout_receiver", &json!({ "url": url }))
    }

    /// Forgets all log-ins and tokens of `user`; JWTs do not notice.
    ///
    /// # Errors
    /// The service ended.
    pub fn revoke(&self, user: &str) -> Result<u64> {
        self.call("revoke", &json!({ "user": user }))
    }

    /// Signs with a new key from now on, and gives its id. The old keys stay published if `keep`.
    ///
    /// # Errors
    /// The service ended.
    pub fn rotate(&self, keep: bool) -> Result<String> {
        self.call("rotate", &json!({ "keep": keep }))
    }

    /// What happens to requests for all paths that begin with `path`, such as `/jwks`, `/token`, `/token/introspection`,
    /// `/.well-known`, or `/` for all.
    ///
    /// # Errors
    /// The service ended.
    pub fn fault(&self, path: &str, fault: &Fault) -> Result<()> {
        let mut wish = match fault {
            Fault::None => json!({"kind": "none"}),
            Fault::Hang => json!({"kind": "hang"}),
            Fault::Close => json!({"kind": "close"}),
            Fault::Delay(time) => json!({"kind": "delay", "ms": u64::try_from(time.as_millis())?}),
            Fault::Answer(status, body) => json!({"kind": "answer", "status": status, "body": body}),
        };
        wish.as_object_mut().context("a fault is an object")?.insert("path".into(), json!(path));
        self.call("fault", &wish)
    }

    /// Stops listening and ends all connections.
    ///
    /// # Errors
    /// The service ended.
    pub fn down(&self) -> Result<()> {
        self.call("down", &json!({}))
    }

    /// Listens on the same port again.
    ///
    /// # Errors
    /// The service ended, or somebody else has the port now.
    pub fn up(&self) -> Result<()> {
        self.call("up", &json!({}))
    }

    /// How often `path` was asked for.
    ///
    /// # Errors
    /// The service ended.
    pub fn requests(&self, path: &str) -> Result<u64> {
        let counts: BTreeMap<String, u64> = self.call("counts", &json!({}))?;
        Ok(counts.get(path).copied().unwrap_or(0))
    }

    /// The groups of a person or client in tokens from now on.
    ///
    /// # Errors
    /// The service ended.
    pub fn set_groups(&self, user: &str, groups: &[&str]) -> Result<()> {
        self.call("groups", &json!({"user": user, "groups": groups}))
    }

    /// How many seconds access tokens live from now on; 300 at first.
    ///
    /// # Errors
    /// The service ended.
    pub fn set_lifetime(&self, seconds: u64) -> Result<()> {
        self.call("lifetime", &json!({ "seconds": seconds }))
    }

    /// How many seconds the provider's clock is ahead of this machine's.
    ///
    /// # Errors
    /// The service ended.
    pub fn set_clock_ahead(&self, seconds: i64) -> Result<()> {
        self.call("clock", &json!({ "ahead": seconds }))
    }

    /// What it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.service.log()
    }

    fn call<T: DeserializeOwned>(&self, name: &str, arguments: &Value) -> Result<T> {
        let answer = self.service.call(name, arguments)?;
        serde_json::from_value(answer).with_context(|| format!("{name} gave something else"))
    }
}

/// A second issuer: `oauth2-mock-server`, which signs (RS256) whatever it is told to.
#[derive(Debug, Clone)]
pub struct Issuer2 {
    service: Arc<Service>,
    issuer: String,
}

impl Issuer2 {
    /// Starts one on a free port. `None`: Node or its packages are missing, and this is not CI.
    ///
    /// # Errors
    /// It did not start, or Node is missing and this is CI.
    pub fn start() -> Result<Option<Self>> {
        let Some(node) = Node::find()? else { return Ok(None) };
        let service = node.start("issuer2/issuer2.mjs")?;
        let issuer = issuer(&service)?;
        Ok(Some(Self { service: Arc::new(service), issuer }))
    }

    /// Its issuer, an address such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A token with these claims over its own (`iss`, `iat`, `exp`, `nbf`); `null` takes one away.
    ///
    /// # Errors
    /// The service ended.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        self.sign_with(&json!({}), claims)
    }

    /// The same with header parameters over its own (`alg`, `kid`).
    ///
    /// # Errors
    /// The service ended.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> Result<String> {
        let token = self.service.call("sign", &json!({"header": header, "claims": claims}))?;
        token.as_str().map(str::to_owned).context("sign gave no token")
    }
}

fn issuer(service: &Service) -> Result<String> {
    service.ready()["issuer"].as_str().map(str::to_owned).context("the service named no issuer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_log_in_and_out_and_keys_rotate() {
        let Some(idp) = Idp::start().unwrap() else { return };
        let first = idp.login("alice").unwrap();
        assert_eq!(first.access_token.split('.').count(), 3);
        assert!(first.refresh_token.is_some() && first.id_token.is_some() && first.expires_in == 300);
        idp.rotate(true).unwrap();
        let second = idp.login("alice").unwrap();
        let header = |token: &str| token.split('.').next().unwrap().to_owned();
        assert_ne!(header(&first.access_token), header(&second.access_token), "another key id");
        assert_ne!(idp.login_opaque("bob").unwrap().access_token.split('.').count(), 3);
        let once = second.refresh_token.unwrap();
        idp.refresh(&once).unwrap();
        assert!(idp.refresh(&once).is_err(), "used twice");
        idp.logout("alice").unwrap();
        assert!(idp.login("nobody").is_err());
        idp.down().unwrap();
        assert!(idp.login("alice").is_err());
        idp.up().unwrap();
        idp.login("alice").unwrap();
    }

    #[test]
    fn the_second_issuer_signs_what_it_is_told() {
        let Some(issuer) = Issuer2::start().unwrap() else { return };
        assert!(issuer.issuer().starts_with("http://127.0.0.1:"));
        assert_eq!(issuer.sign(&json!({"sub": "alice"})).unwrap().split('.').count(), 3);
    }

    #[test]
    fn what_a_service_cannot_do_is_an_error_with_its_reason() {
        let Some(issuer) = Issuer2::start().unwrap() else { return };
        let error = issuer.service.call("dance", &json!({})).unwrap_err();
        assert!(format!("{error:#}").contains("there is no command dance"), "{error:#}");
    }
}
