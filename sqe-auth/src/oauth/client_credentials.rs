//! Machines that log in with an id and a secret of their own (RFC 6749, 4.4).

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use chrono::Utc;
use parking_lot::Mutex;
use serde_json::Value;
use sqe_core::{Credentials, Error, ErrorKind, Identity, IdentityProvider, Result};

use super::{
    Endpoint,
    endpoint::{Unanswered, Which, unavailable},
};
use crate::{
    JwtVerifier, OAuthClient,
    jwt::Parts,
    rejection::{Rejection, Shown},
    remote::{Answer, Bounds, Digester, Failure, Kept},
};

/// Longer ids and secrets are nobody's.
const MAX_ID: usize = 255;
const MAX_SECRET: usize = 4096;
/// How long an issuer's word is believed at most, whatever the token's lifetime: a client that is removed there can log in
/// here for so long.
const KEPT: Duration = Duration::from_secs(10 * 60);
const REFUSED: Duration = Duration::from_secs(10);
const MOST: usize = 10_000;
const AT_ONCE: usize = 32;

/// Which user names are ids of clients of the issuer. Passwords of others are never shown to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientIds {
    /// These.
    Listed(BTreeSet<String>),
    /// Those that begin so.
    Prefix(String),
}

/// Logs machines in at their issuer, with the id and the secret that they bring as user name and password (the client
/// credentials grant, RFC 6749, 4.4).
///
/// The machine is its own principal: the token that the issuer gives to it is verified like everybody's by a
/// [`JwtVerifier`] of that issuer, and must be that client's (`client_id` of RFC 9068, or `azp`, or else `sub`). The engine
/// needs no client of its own. A user name that is not one of its [`ClientIds`], or a password that is a JWT, is not its
/// kind (`Ok(None)`); every refusal has the one message of all rejections.
///
/// An issuer's word is kept under a digest of id and secret as long as the token lives, for 10 minutes at most, so that
/// not every call asks again. After some failures ([`max_failures`](ClientCredentialsBuilder::max_failures)) of one id the
/// issuer is not asked about it for the rest of a minute; who is known already is not affected.
///
/// The password grant (RFC 6749, 4.3) is not offered: it would show people's passwords to this process, and OAuth itself
/// gave it up (RFC 9700, 2.4).
#[derive(Clone)]
pub struct ClientCredentials(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    verifier: Arc<JwtVerifier>,
    clients: ClientIds,
    parameters: Vec<(&'static str, String)>,
    digester: Digester,
    known: Arc<Kept<Identity>>,
    failures: Failures,
}

/// What a [`ClientCredentials`] is built of.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct ClientCredentialsBuilder {
    endpoint: Endpoint,
    verifier: Arc<JwtVerifier>,
    clients: ClientIds,
    parameters: Vec<(&'static str, String)>,
    max_failures: u32,
}

impl ClientCredentialsBuilder {
    /// `scope` that is asked for, with spaces between.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.parameter("scope", scope.into())
    }

    /// `resource` that is asked for (RFC 8707), where an issuer needs it to give a token for this engine.
    pub fn resource(self, resource: impl Into<String>) -> Self {
        self.parameter("resource", resource.into())
    }

    /// `audience` that is asked for, which some issuers want instead of a resource.
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.parameter("audience", audience.into())
    }

    /// How many wrong secrets for one id are shown to the issuer within a minute. 10 unless set.
    pub fn max_failures(mut self, failures: u32) -> Self {
        self.max_failures = failures;
        self
    }

    fn parameter(mut self, name: &'static str, value: String) -> Self {
        self.parameters.retain(|(other, _)| *other != name);
        self.parameters.push((name, value));
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// `InvalidInput` if the verifier is of another issuer, or an id, a prefix or a parameter is empty.
    pub fn build(self) -> Result<ClientCredentials> {
        if self.verifier.issuer() != self.endpoint.issuer() {
            return Err(Error::invalid("clients log in at one issuer and their tokens are of another; configure one"));
        }
        let empty = match &self.clients {
            ClientIds::Listed(ids) => ids.is_empty() || ids.contains(""),
            ClientIds::Prefix(prefix) => prefix.is_empty(),
        };
        if empty {
            return Err(Error::invalid("no ids of clients are configured; list them, or name their prefix"));
        }
        if self.parameters.iter().any(|(_, value)| value.is_empty()) || self.max_failures == 0 {
            return Err(Error::invalid("a parameter of the clients' log-in is empty; name it or leave it out"));
        }
        let bounds = Bounds { most: MOST, refused: REFUSED, at_once: AT_ONCE, patience: Duration::from_secs(5) };
        Ok(ClientCredentials(Arc::new(Inner {
            endpoint: self.endpoint,
            verifier: self.verifier,
            clients: self.clients,
            parameters: self.parameters,
            digester: Digester::new(),
            known: Kept::new(bounds),
            failures: Failures::new(self.max_failures),
        })))
    }
}

impl ClientCredentials {
    /// Configures one that asks at `endpoint`; `verifier` is that of the same issuer.
    pub fn builder(endpoint: Endpoint, verifier: Arc<JwtVerifier>, clients: ClientIds) -> ClientCredentialsBuilder {
        ClientCredentialsBuilder { endpoint, verifier, clients, parameters: Vec::new(), max_failures: 10 }
    }

    /// The issuer that it asks.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.endpoint.issuer()
    }

    /// Finds the endpoint now, so that a wrong address shows at start.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be found. It is tried again with the next log-in.
    pub async fn warm_up(&self) -> Result<()> {
        self.0.endpoint.warm_up(Which::Token).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for ClientCredentials {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Basic { username: id, password: secret } = credentials else { return Ok(None) };
        let ours = match &self.0.clients {
            ClientIds::Listed(ids) => ids.contains(id),
            ClientIds::Prefix(prefix) => id.starts_with(prefix.as_str()),
        };
        // A token as a password is another provider's, and nobody else's to see.
        if !ours || Parts::of(secret.expose()).is_some_and(|parts| parts.decode().is_some()) {
            return Ok(None);
        }
        if id.len() > MAX_ID || secret.expose().is_empty() || secret.expose().len() > MAX_SECRET {
            return Err(Rejection::ClientForm(Shown::new(id)).into());
        }
        let key = self.0.digester.of(&[id, secret.expose()]);
        let client = OAuthClient::new(id, secret.clone())?;
        let inner = Arc::clone(&self.0);
        let identity = self.0.known.get(key, || async move { inner.log_in(&client).await }).await?;
        match identity.expires_at {
            Some(at) if at <= Utc::now() => Err(Rejection::Expired.into()),
            _ => Ok(Some(identity)),
        }
    }
}

impl Inner {
    async fn log_in(&self, client: &OAuthClient) -> Result<Answer<Identity>> {
        if self.failures.too_many(client.id()) {
            return Err(Rejection::TooManyFailures(Shown::new(client.id())).into());
        }
        let outcome = self.ask(client).await;
        match &outcome {
            Ok(_) => self.failures.forget(client.id()),
            Err(error) if error.kind() == ErrorKind::Unauthenticated => self.failures.add(client.id()),
            Err(_) => {}
        }
        outcome
    }

    async fn ask(&self, client: &OAuthClient) -> Result<Answer<Identity>> {
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.parameters.iter().map(|(name, value)| (*name, value.as_str())));
        let granted = self.endpoint.token(client, &form).await.map_err(|reason| self.refused(client, &reason))?;
        let Some((identity, claims)) = self.verifier.verify(granted.token()).await? else {
            return Err(self.refused(client, &Unanswered::Wrong("an access token that is a JWT of this issuer")));
        };
        let named = ["client_id", "azp", "sub"].into_iter().find_map(|name| claims.get(name));
        if named.and_then(Value::as_str) != Some(client.id()) {
            return Err(Rejection::AnotherClient(Shown::new(client.id())).into());
        }
        // The identity ends with the leeway; the token itself is no longer used elsewhere by then.
        let left = identity.expires_at.and_then(|at| (at - self.verifier.leeway() - Utc::now()).to_std().ok());
        let good = left.unwrap_or_default().min(KEPT);
        // Renewed before its end, so that a session that begins now has some time.
        Ok(Answer { value: identity, fresh: good - good / 4, good })
    }

    fn refused(&self, client: &OAuthClient, reason: &Unanswered) -> Error {
        // What the issuer says about this client (RFC 6749, 5.2). Some say `invalid_request` to one that may not do this.
        // Other codes are about what the operator configured for all clients.
        let about_client =
            ["invalid_client", "unauthorized_client", "invalid_grant", "access_denied", "invalid_request"];
        if let Unanswered::Failure(Failure::Refused(_, code)) = reason
            && about_client.contains(&code.as_str())
        {
            return Rejection::Client(Shown::new(client.id()), code.clone()).into();
        }
        tracing::warn!(issuer = self.endpoint.issuer(), client = client.id(), %reason, "a client could not be logged in");
        unavailable(reason)
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

/// How often each id was refused within a minute.
struct Failures {
    most: u32,
    counts: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Failures {
    const WINDOW: Duration = Duration::from_secs(60);

    fn new(most: u32) -> Self {
        Self { most, counts: Mutex::default() }
    }

    fn too_many(&self, id: &str) -> bool {
        let counts = self.counts.lock();
        counts.get(id).is_some_and(|(count, since)| *count >= self.most && since.elapsed() < Self::WINDOW)
    }

    fn add(&self, id: &str) {
        let mut counts = self.counts.lock();
        if counts.len() >= MOST && !counts.contains_key(id) {
            counts.retain(|_, (_, since)| since.elapsed() < Self::WINDOW);
            // More ids than that within a minute: counting begins anew rather than growing.
            if counts.len() >= MOST {
                counts.clear();
            }
        }
        let (count, since) = counts.entry(id.to_owned()).or_insert_with(|| (0, Instant::now()));
        if since.elapsed() >= Self::WINDOW {
            (*count, *since) = (0, Instant::now());
        }
        *count = count.saturating_add(1);
    }

    fn forget(&self, id: &str) {
        self.counts.lock().remove(id);
    }
}
