//! Tokens for other systems, in a person's name (RFC 8693).

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqe_core::{
    Error, Identity, Principal, Result, Secret,
    credentials::{AccessToken, TokenExchange},
};

use super::{
    Endpoint,
    endpoint::{Unanswered, Which, unavailable},
    token::Granted,
};
use crate::{
    OAuthClient,
    jwt::Parts,
    rejection::Shown,
    remote::{Answer, Bounds, Digester, Failure, Kept},
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// A token of unknown lifetime is used for so long.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(60);
/// A token that ends sooner is of no use: it would end on its way.
const MIN_LIFETIME: Duration = Duration::from_secs(2);

/// How the token for one audience is asked for. By default `audience` is the name that the engine gives to it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExchangeTarget {
    /// `audience`: the other system's name at the issuer. If neither this nor `resource` is set: the engine's name for it.
    pub audience: Option<String>,
    /// `resource`: the other system's address (RFC 8707).
    pub resource: Option<String>,
    /// `scope`: what the token is for, with spaces between.
    pub scope: Option<String>,
}

/// How long tokens are kept, and how many.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExchangeSettings {
    /// So long before its end a token is exchanged anew; at most a quarter of its lifetime. 60 seconds.
    pub refresh_before: Duration,
    /// How long a refusal is believed. 10 seconds.
    pub refused_for: Duration,
    /// The most tokens that are kept. 10,000.
    pub most: usize,
    /// The most exchanges that are under way at once. 32.
    pub at_once: usize,
}

impl Default for ExchangeSettings {
    fn default() -> Self {
        Self {
            refresh_before: Duration::from_secs(60),
            refused_for: Duration::from_secs(10),
            most: 10_000,
            at_once: 32,
        }
    }
}

/// Exchanges people's tokens for tokens of other systems at the issuer that vouches for them (RFC 8693).
///
/// The subject token is the identity's proof; without one nobody stands in, and a proof is shown to no issuer but its own.
/// What comes back is used only if it is a bearer access token that has not expired and, if it is a JWT, names the same
/// subject and the audience that was asked for. It is kept under a digest of principal, proof and audience, and exchanged
/// anew before it ends.
///
/// A client secret for the exchange makes everybody's tokens usable elsewhere: the client must not be able to read
/// anything by itself.
#[derive(Clone)]
pub struct OAuthExchange(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    client: OAuthClient,
    targets: BTreeMap<String, ExchangeTarget>,
    actor_token: bool,
    refresh_before: Duration,
    digester: Digester,
    tokens: Arc<Kept<AccessToken>>,
    /// The client's own token, if it shows one.
    own: Arc<Kept<AccessToken>>,
}

/// What an [`OAuthExchange`] is built of.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct OAuthExchangeBuilder {
    endpoint: Endpoint,
    client: OAuthClient,
    targets: BTreeMap<String, ExchangeTarget>,
    actor_token: bool,
    settings: ExchangeSettings,
}

impl OAuthExchangeBuilder {
    /// How tokens for `audience`, as the engine names it, are asked for.
    pub fn target(mut self, audience: impl Into<String>, target: ExchangeTarget) -> Self {
        self.targets.insert(audience.into(), target);
        self
    }

    /// Whether the client shows who it is with an access token of its own (`actor_token`), which it gets with the client
    /// credentials grant. Off unless set: most issuers take the client that authenticates for the actor.
    pub fn show_actor_token(mut self, show: bool) -> Self {
        self.actor_token = show;
        self
    }

    /// How long tokens are kept, and how many.
    pub fn settings(mut self, settings: ExchangeSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// `InvalidInput` if an audience is empty or a bound is out of range.
    pub fn build(self) -> Result<OAuthExchange> {
        let ExchangeSettings { refresh_before, refused_for, most, at_once } = self.settings;
        let empty = |(name, target): (&String, &ExchangeTarget)| {
            let ExchangeTarget { audience, resource, scope } = target;
            [Some(name), audience.as_ref(), resource.as_ref(), scope.as_ref()]
                .into_iter()
                .flatten()
                .any(String::is_empty)
        };
        if self.targets.iter().any(empty) {
            return Err(Error::invalid("an audience, resource or scope of token exchange is empty; name it"));
        }
        if most == 0 || at_once == 0 {
            return Err(Error::invalid("the bounds of token exchange cannot be zero"));
        }
        let bounds = Bounds { most, refused: refused_for, at_once, patience: Duration::from_secs(5) };
        Ok(OAuthExchange(Arc::new(Inner {
            endpoint: self.endpoint,
            client: self.client,
            targets: self.targets,
            actor_token: self.actor_token,
            refresh_before,
            digester: Digester::new(),
            tokens: Kept::new(bounds.clone()),
            own: Kept::new(bounds),
        })))
    }
}

impl OAuthExchange {
    /// Configures one that asks at `endpoint` as `client`.
    pub fn builder(endpoint: Endpoint, client: OAuthClient) -> OAuthExchangeBuilder {
        OAuthExchangeBuilder {
            endpoint,
            client,
            targets: BTreeMap::new(),
            actor_token: false,
            settings: ExchangeSettings::default(),
        }
    }

    /// The issuer whose people's tokens it exchanges.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.0.endpoint.issuer()
    }

    /// Finds the endpoint now, so that a wrong address shows at start.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be found. It is tried again with the next exchange.
    pub async fn warm_up(&self) -> Result<()> {
        self.0.endpoint.warm_up(Which::Token).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TokenExchange for OAuthExchange {
    async fn exchange(&self, identity: &Identity, audience: &str) -> Result<AccessToken> {
        let issuer = self.issuer();
        let proof = identity.proof.as_ref().filter(|_| identity.principal.issuer == issuer);
        let Some(proof) = proof.cloned() else {
            return Err(Error::unauthenticated(format!(
                "your log-in cannot be exchanged for a token for {audience}; log in with a token of {issuer}"
            )));
        };
        if identity.expires_at.is_some_and(|at| at <= Utc::now()) {
            return Err(Error::unauthenticated("your credentials have expired; log in again"));
        }
        let Principal { issuer, subject } = &identity.principal;
        let key = self.0.digester.of(&[issuer, subject, proof.expose(), audience]);
        let (inner, subject, audience) = (Arc::clone(&self.0), subject.clone(), audience.to_owned());
        self.0.tokens.get(key, || async move { inner.ask(&subject, &proof, &audience).await }).await
    }
}

impl Inner {
    async fn ask(&self, subject: &str, proof: &Secret, audience: &str) -> Result<Answer<AccessToken>> {
        let own = if self.actor_token { Some(self.own_token().await?) } else { None };
        let by_name = ExchangeTarget { audience: Some(audience.to_owned()), ..ExchangeTarget::default() };
        let mut target = self.targets.get(audience).unwrap_or(&by_name).clone();
        if target.audience.is_none() && target.resource.is_none() {
            target.audience = by_name.audience;
        }
        let mut form = vec![
            ("grant_type", GRANT),
            ("subject_token", proof.expose()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        form.extend(target.audience.as_deref().map(|audience| ("audience", audience)));
        form.extend(target.resource.as_deref().map(|resource| ("resource", resource)));
        form.extend(target.scope.as_deref().map(|scope| ("scope", scope)));
        if let Some(own) = &own {
            form.extend([("actor_token", own.secret.expose()), ("actor_token_type", ACCESS_TOKEN)]);
        }
        let now = Utc::now();
        let granted = self.endpoint.token(&self.client, &form).await;
        let token = granted.and_then(|granted| read(granted, now)).map_err(|reason| self.refused(audience, &reason))?;
        if let Err(reason) = fits(&token.secret, self.endpoint.issuer(), subject, target.audience.as_deref()) {
            tracing::error!(issuer = self.endpoint.issuer(), audience, %reason, "an exchanged token is not used");
            return Err(Error::unavailable("the issuer gave a token that cannot be used; tell its operator")
                .with_source(reason));
        }
        Ok(self.keep(token, now))
    }

    /// The client's own token.
    async fn own_token(&self) -> Result<AccessToken> {
        let (endpoint, client, refresh_before) = (self.endpoint.clone(), self.client.clone(), self.refresh_before);
        let ask = || async move {
            let now = Utc::now();
            let granted = endpoint.token(&client, &[("grant_type", "client_credentials")]).await;
            let token = granted.and_then(|granted| usable(granted, now)).map_err(|reason| {
                tracing::error!(issuer = endpoint.issuer(), %reason, "the exchanging client gets no token of its own");
                unavailable(&reason)
            })?;
            Ok(keep(token, now, refresh_before))
        };
        self.own.get(self.digester.of(&["own"]), ask).await
    }

    fn keep(&self, token: AccessToken, now: DateTime<Utc>) -> Answer<AccessToken> {
        keep(token, now, self.refresh_before)
    }

    /// What the issuer's refusal means for the person (RFC 8693, 2.2.2; RFC 6749, 5.2).
    fn refused(&self, audience: &str, reason: &Unanswered) -> Error {
        if let Unanswered::Failure(Failure::Refused(_, code)) = reason {
            match code.as_str() {
                // A bad subject token is an `invalid_request` to RFC 8693 and an `invalid_grant` to most issuers.
                "invalid_grant" | "invalid_request" | "invalid_token" => {
                    let message = "the issuer no longer accepts your token; log in again";
                    return Error::unauthenticated(message).with_source(reason.clone());
                }
                "invalid_target" | "invalid_scope" | "unauthorized_client" | "access_denied" => {
                    let message = format!("the issuer gives you no token for {audience}; ask whoever manages it");
                    return Error::denied(message).with_source(reason.clone());
                }
                // The client's secret is wrong, or it may not exchange: nobody can help themselves.
                _ => {}
            }
        }
        tracing::warn!(issuer = self.endpoint.issuer(), audience, %reason, "a token could not be exchanged");
        unavailable(reason)
    }
}

fn keep(token: AccessToken, now: DateTime<Utc>, refresh_before: Duration) -> Answer<AccessToken> {
    let good = match token.expires_at {
        Some(at) => (at - now).to_std().unwrap_or_default(),
        None => UNKNOWN_LIFETIME,
    };
    let fresh = good.saturating_sub(refresh_before.min(good / 4));
    Answer { value: token, fresh, good: good.saturating_sub(MIN_LIFETIME).max(fresh) }
}

/// A token exchange response (RFC 8693, 2.2.1).
fn read(granted: Granted, now: DateTime<Utc>) -> Result<AccessToken, Unanswered> {
    if !granted.issued_token_type().is_some_and(|kind| [ACCESS_TOKEN, JWT].contains(&kind)) {
        return Err(Unanswered::Wrong("issued_token_type"));
    }
    usable(granted, now)
}

/// A token that does not end on its way.
fn usable(granted: Granted, now: DateTime<Utc>) -> Result<AccessToken, Unanswered> {
    let token = granted.into_access_token(now)?;
    let soon = chrono::Duration::from_std(MIN_LIFETIME).unwrap_or_else(|_| chrono::Duration::zero());
    if token.expires_at.is_some_and(|at| at <= now + soon) {
        return Err(Unanswered::Wrong("a lifetime that is long enough"));
    }
    Ok(token)
}

/// Whether a token is the one that was asked for, as far as it says. It came straight from its issuer, so its signature
/// adds nothing; an opaque one says nothing.
fn fits(token: &Secret, issuer: &str, subject: &str, audience: Option<&str>) -> Result<(), String> {
    let Some(raw) = Parts::of(token.expose()).and_then(|parts| parts.decode()) else { return Ok(()) };
    let claims = raw.without_duplicates().map_err(|reason| reason.to_string())?.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let shown = |name: &str| text(name).map_or_else(|| "nobody".to_owned(), |text| Shown::new(text).to_string());
    if text("iss") != Some(issuer) {
        return Err(format!("it is of the issuer {}", shown("iss")));
    }
    if text("sub") != Some(subject) {
        return Err(format!("it names {} as its subject, and that is somebody else", shown("sub")));
    }
    let named = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if audience.is_some_and(|audience| !named.contains(&audience)) {
        return Err("it is meant for another audience".to_owned());
    }
    Ok(())
}

impl fmt::Debug for OAuthExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthExchange").field("issuer", &self.issuer()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[rstest]
    #[case::long(Some(3600), 3540, 3598)]
    #[case::short(Some(100), 75, 98)]
    #[case::very_short(Some(4), 3, 3)]
    #[case::unknown(None, 45, 58)]
    fn a_token_is_renewed_before_its_end_and_not_used_at_its_very_end(
        #[case] lifetime: Option<i64>,
        #[case] fresh: u64,
        #[case] good: u64,
    ) {
        let now = Utc::now();
        let token = AccessToken::new(Secret::new("t"), lifetime.map(|life| now + chrono::Duration::seconds(life)));
        let answer = keep(token, now, seconds(60));
        assert_eq!((answer.fresh, answer.good), (seconds(fresh), seconds(good)));
    }
}
