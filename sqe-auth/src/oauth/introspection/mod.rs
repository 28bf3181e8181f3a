//! Opaque tokens, about which their issuer is asked (RFC 7662).

mod answer;
mod builder;
mod live;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::Utc;
use sqe_core::{Credentials, Error, ErrorKind, Identity, IdentityProvider, Result, Secret};
use tokio::task::JoinSet;

pub use builder::{IntrospectionBuilder, IntrospectionSettings};

use super::{
    Endpoint,
    endpoint::{Which, unavailable},
};
use crate::{
    ClaimMapping, OAuthClient,
    claims::Expected,
    jwt::Parts,
    rejection::Rejection,
    remote::{Answer, Digest, Digester, Kept},
};
use live::{Live, Token};

/// The longest token that is asked about, in bytes.
const MAX_BYTES: usize = 4096;
/// How many live tokens are asked about at once.
const RECHECKS_AT_ONCE: usize = 8;

/// Which bearer tokens are an issuer's opaque ones. There is nothing in them to tell by, so an operator says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpaqueTokens {
    /// Those that begin so.
    Prefix(String),
    /// All that are not JWTs. Only for the last provider of a chain: it knows all that others do not.
    AllButJwts,
}

/// Asks an issuer about opaque tokens (RFC 7662).
///
/// A credential that is not one of its [`OpaqueTokens`] is not its kind (`Ok(None)`). Of the others one is accepted only
/// if the issuer says that it is `active`, and what it says is what a JWT would have to say: `iss`, `sub`, `aud` and `exp`
/// are there and right, `nbf` and `iat` do not lie ahead, nothing marks another kind of token, and it is not bound to a
/// key (`cnf`). If the issuer does not answer, or answers nonsense, that is `Unavailable`, and nobody is let in.
///
/// What it said is believed for a short while, under a digest of the token; each token is asked about once at a time.
/// With [`IntrospectionBuilder::recheck`] tokens that are in use are asked about again, see [`watch`](Self::watch).
#[derive(Clone)]
pub struct Introspection(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    client: OAuthClient,
    tokens: OpaqueTokens,
    expected: Expected,
    mapping: ClaimMapping,
    basic_password: bool,
    accepted: Duration,
    digester: Digester,
    kept: Arc<Kept<Identity>>,
    live: Option<Live>,
}

impl Introspection {
    /// Configures one that asks at `endpoint` as `client`.
    pub fn builder(endpoint: Endpoint, client: OAuthClient, tokens: OpaqueTokens) -> IntrospectionBuilder {
        IntrospectionBuilder::new(endpoint, client, tokens)
    }

    /// The issuer that it asks.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.endpoint.issuer()
    }

    /// Finds the endpoint now, so that a wrong address shows at start.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be found. It is tried again with the next token.
    pub async fn warm_up(&self) -> Result<()> {
        self.0.endpoint.warm_up(Which::Introspection).await
    }

    /// Asks again and again about the tokens that were accepted and have not expired, and calls `ended` with whom a token
    /// stood for, that token as its proof, when
    ///
    /// - its issuer says that it is no longer active, or for us;
    /// - its issuer now says something else about the person: other groups, roles, attributes or actors;
    /// - its issuer could not be asked for longer than [`IntrospectionSettings::unchecked_ceiling`].
    ///
    /// It never ends, unless there is nothing to do because the configuration does not ask for it. One call is enough; a
    /// server spawns it and ends the sessions that `ended` tells of.
    pub async fn watch(&self, ended: impl Fn(&Identity)) {
        let Some(live) = &self.0.live else { return };
        loop {
            let mut due = live.due().into_iter();
            let mut asked = JoinSet::new();
            loop {
                while asked.len() < RECHECKS_AT_ONCE
                    && let Some((key, token)) = due.next()
                {
                    let inner = Arc::clone(&self.0);
                    asked.spawn(async move { (key, inner.ask_again(key, token).await) });
                }
                match asked.join_next().await {
                    Some(Ok((key, answer))) => {
                        if let Some(identity) = live.settle(key, answer) {
                            ended(&identity);
                        }
                    }
                    // A defect while asking: the token stays due, and its ceiling comes.
                    Some(Err(_)) => {}
                    None => break,
                }
            }
            tokio::time::sleep(live.until_due()).await;
        }
    }
}

impl Inner {
    fn is_ours(&self, text: &str) -> bool {
        // RFC 6750, 2.1. What has other characters is no bearer token, and perhaps a password: nobody else's to see.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let shaped = !text.is_empty() && text.bytes().all(plain);
        shaped
            && match &self.tokens {
                OpaqueTokens::Prefix(prefix) => text.starts_with(prefix.as_str()),
                OpaqueTokens::AllButJwts => Parts::of(text).and_then(|parts| parts.decode()).is_none(),
            }
    }

    async fn verify(self: &Arc<Self>, token: &Secret) -> Result<Option<Identity>> {
        let text = token.expose();
        if !self.is_ours(text) {
            return Ok(None);
        }
        if text.len() > MAX_BYTES {
            return Err(Rejection::TooLong(MAX_BYTES).into());
        }
        let key = self.digester.of(&[text]);
        let mut identity = self.look_up(key, token.clone()).await?;
        if identity.expires_at.is_some_and(|at| at <= Utc::now()) {
            return Err(Rejection::Expired.into());
        }
        if let Some(live) = &self.live {
            live.add(key, || Token { secret: token.clone(), identity: identity.clone() })?;
        }
        identity.proof = Some(token.clone());
        Ok(Some(identity))
    }

    async fn look_up(self: &Arc<Self>, key: Digest, token: Secret) -> Result<Identity> {
        let inner = Arc::clone(self);
        self.kept.get(key, || async move { inner.ask(&token).await }).await
    }

    async fn ask_again(self: &Arc<Self>, key: Digest, token: Secret) -> Result<Identity> {
        self.kept.forget(key);
        self.look_up(key, token).await
    }

    async fn ask(&self, token: &Secret) -> Result<Answer<Identity>> {
        let form = [("token", token.expose()), ("token_type_hint", "access_token")];
        let answer = self.endpoint.ask(Which::Introspection, &self.client, &form).await;
        let answer = answer.and_then(|answer| answer::read(&answer, &self.expected, &self.mapping, Utc::now()));
        let identity = match answer {
            Ok(verdict) => verdict?,
            Err(reason) => {
                tracing::warn!(issuer = self.endpoint.issuer(), %reason, "an issuer could not be asked about a token");
                return Err(unavailable(&reason));
            }
        };
        let left = identity.expires_at.and_then(|at| (at - Utc::now()).to_std().ok()).unwrap_or_default();
        let fresh = self.accepted.min(left);
        // No longer: an issuer that does not answer lets nobody in.
        Ok(Answer { value: identity, fresh, good: fresh })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for Introspection {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        match credentials {
            Credentials::Bearer(token) => self.0.verify(token).await,
            Credentials::Basic { password, .. } if self.0.basic_password => self.0.verify(password).await,
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("issuer", &self.issuer())
            .field("tokens", &self.0.tokens)
            .finish_non_exhaustive()
    }
}

fn too_many() -> Error {
    Error::new(
        ErrorKind::ResourceExhausted,
        "too many tokens are in use at once; use one for longer, or wait until some end",
    )
}
