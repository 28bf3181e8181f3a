//! Tokens by which an issuer says that somebody logged out (OpenID Connect Back-Channel Logout 1.0).

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Duration, Utc};
use parking_lot::Mutex;
use serde_json::Value;
use sqe_core::{Error, Principal, Result, Secret};
use thiserror::Error as ThisError;

use super::{
    JwtVerifier, Rules,
    token::{Parts, Token},
};
use crate::{
    Revocation, Revoked, claims,
    rejection::{NOT_ACCEPTED, Rejection, Shown},
};

/// The member of `events` that says what the token is about (section 2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// The longest that a logout token may still live. Section 4 recommends two minutes; ids are remembered for so long.
const MAX_LIFETIME: Duration = Duration::minutes(15);
/// How many ids are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Verifies logout tokens of one issuer (OpenID Connect Back-Channel Logout 1.0, section 2.6), for an HTTP endpoint that
/// the issuer calls.
///
/// A token is accepted only if *everything* below holds; otherwise it is `Unauthenticated`, with one message for every
/// reason. The endpoint answers such a call with status 400, and an accepted one with 200, both with
/// `cache-control: no-store` (section 2.8).
///
/// - Its form, its signature and its key are as a [`JwtVerifier`] demands; the keys are that verifier's.
/// - `typ` is `logout+jwt`, so that no other token of the issuer passes for one (section 4.2).
/// - `iss` is the issuer; `aud` names one of the configured client ids, which are those of applications and not the
///   audience of access tokens.
/// - `exp` lies ahead, and at most 15 minutes; `iat` does not.
/// - `events` has the member of this specification, an object; there is no `nonce`.
/// - It names a person, a log-in or both, `sub` and `sid`.
/// - Its `jti` was not seen before.
///
/// What follows from it is the caller's part: withdraw [`Logout::revocation`], then end the sessions it covers.
#[derive(Debug)]
pub struct LogoutVerifier {
    verifier: Arc<JwtVerifier>,
    clients: Vec<String>,
    /// When the tokens end whose ids were seen.
    seen: Mutex<HashMap<String, DateTime<Utc>>>,
}

/// That somebody logged out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logout {
    /// The issuer who says so.
    pub issuer: String,
    /// Who logged out, if that is said.
    pub subject: Option<String>,
    /// The log-in that ended, if that is said: `sid` of the tokens that came from it.
    pub session: Option<String>,
    /// When it is said to have happened.
    pub at: DateTime<Utc>,
}

/// Why a token is not accepted.
#[derive(Debug, ThisError)]
enum Refused {
    #[error(transparent)]
    Token(#[from] Rejection),
    #[error("the logout token is no JWT")]
    NotAToken,
    #[error("the logout token names another issuer")]
    Issuer,
    #[error("the logout token's type is not logout+jwt")]
    Type,
    #[error("the logout token lives for too long")]
    Lifetime,
    #[error("the logout token is about another event")]
    Event,
    #[error("the logout token has a nonce, so it is an ID token")]
    Nonce,
    #[error("the logout token names neither a person nor a log-in")]
    Nobody,
    #[error("the logout token was shown before")]
    Replayed,
}

impl From<Refused> for Error {
    fn from(reason: Refused) -> Self {
        Error::unauthenticated(NOT_ACCEPTED).with_source(reason)
    }
}

impl LogoutVerifier {
    /// Verifies by the keys of `verifier`, for applications of these client ids.
    ///
    /// # Errors
    /// `InvalidInput` if there is no client id, or an empty one.
    pub fn new<S: Into<String>>(verifier: Arc<JwtVerifier>, clients: impl IntoIterator<Item = S>) -> Result<Self> {
        let clients: Vec<String> = clients.into_iter().map(Into::into).collect();
        if clients.is_empty() || clients.iter().any(String::is_empty) {
            return Err(Error::invalid("logout tokens need the client id of the application that they are sent to"));
        }
        Ok(Self { verifier, clients, seen: Mutex::default() })
    }

    /// Verifies the parameter `logout_token` of a call.
    ///
    /// # Errors
    /// `Unauthenticated` if it is not accepted, `Unavailable` if the issuer's keys cannot be had now, `ResourceExhausted` if
    /// too many were accepted in a short while.
    pub async fn verify(&self, token: &Secret) -> Result<Logout> {
        let text = token.expose();
        let rules = &self.verifier.rules;
        let parts = Parts::of(text).ok_or(Refused::NotAToken)?;
        if text.len() > rules.max_bytes {
            return Err(Refused::Token(Rejection::TooLong(rules.max_bytes)).into());
        }
        let token = parts.decode().ok_or(Refused::NotAToken)?;
        if !token.names_issuer(&rules.claims.issuer) {
            return Err(Refused::Issuer.into());
        }
        let Token { header, claims } = token.without_duplicates().map_err(Refused::Token)?;
        let (kid, alg) = check_header(&header)?;
        let algorithm = rules.family.algorithm(alg).ok_or_else(|| Rejection::Algorithm(Shown::new(alg)))?;
        let key = self.verifier.keys.find(kid, algorithm).await?;
        key.verify(algorithm, parts.signed, parts.signature).map_err(Refused::Token)?;
        let now = Utc::now();
        let Said { id, ends, logout } = check_claims(&claims, rules, &self.clients, now)?;
        self.see(id, ends, now)?;
        Ok(logout)
    }

    fn see(&self, id: String, ends: DateTime<Utc>, now: DateTime<Utc>) -> Result<()> {
        let mut seen = self.seen.lock();
        if seen.len() >= MAX_REMEMBERED {
            seen.retain(|_, ends| *ends > now);
        }
        if seen.contains_key(&id) {
            return Err(Refused::Replayed.into());
        }
        if seen.len() >= MAX_REMEMBERED {
            return Err(Error::exhausted("too many log-outs in a short while; try again in a few minutes"));
        }
        seen.insert(id, ends);
        Ok(())
    }
}

impl Logout {
    /// What it withdraws: the log-in, if it names one; otherwise everything that was issued to the person until then.
    ///
    /// A log-in reaches tokens that say `sid`. For an issuer whose access tokens do not, see
    /// [`of_person`](Self::of_person).
    #[must_use]
    pub fn revocation(&self) -> Option<Revocation> {
        match &self.session {
            Some(id) => {
                let of = Revoked::Session { id: id.clone(), issuer: Some(self.issuer.clone()) };
                Some(Revocation::now(of).because("back-channel logout"))
            }
            None => self.of_person(),
        }
    }

    /// Withdraws everything that was issued to the person until then, in all of their log-ins. `None` if it names nobody.
    #[must_use]
    pub fn of_person(&self) -> Option<Revocation> {
        let Principal { issuer, subject } = Principal::new(&self.issuer, self.subject.as_ref()?);
        let of = Revoked::Principal { issuer, subject, up_to: self.at };
        Some(Revocation::now(of).because("back-channel logout"))
    }
}

/// What the claims say, after all of them were found acceptable.
#[derive(Debug)]
struct Said {
    id: String,
    /// The second from which on the same token would be rejected.
    ends: DateTime<Utc>,
    logout: Logout,
}

/// The key's id, if there is one, and the algorithm.
fn check_header(header: &Value) -> Result<(Option<&str>, &str), Refused> {
    if header.get("crit").is_some() {
        return Err(Rejection::Critical.into());
    }
    let text =
        |name: &'static str| header.get(name).map(|value| value.as_str().ok_or(Rejection::Header(name))).transpose();
    let typ = text("typ")?.unwrap_or_default();
    if !typ.eq_ignore_ascii_case("logout+jwt") && !typ.eq_ignore_ascii_case("application/logout+jwt") {
        return Err(Refused::Type);
    }
    Ok((text("kid")?, text("alg")?.ok_or(Rejection::Header("alg"))?))
}

fn check_claims(claims: &Value, rules: &Rules, clients: &[String], now: DateTime<Utc>) -> Result<Said, Refused> {
    let issuer = claims::name(claims, "iss")?;
    if issuer != rules.claims.issuer {
        return Err(Refused::Issuer);
    }
    claims::check_audience(claims, clients)?;
    let ends = claims::time(claims, "exp", f64::floor)?.ok_or(Rejection::Missing("exp"))? + rules.claims.leeway;
    if now >= ends {
        return Err(Rejection::Expired.into());
    }
    if ends - now > MAX_LIFETIME + rules.claims.leeway {
        return Err(Refused::Lifetime);
    }
    let at = claims::time(claims, "iat", f64::ceil)?.ok_or(Rejection::Missing("iat"))?;
    if now + rules.claims.leeway < at {
        return Err(Rejection::IssuedInFuture.into());
    }
    if claims.get("nonce").is_some() {
        return Err(Refused::Nonce);
    }
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(Refused::Event);
    }
    let id = claims::name(claims, "jti")?.to_owned();
    let optional = |which: &'static str| {
        claims.get(which).is_some().then(|| claims::name(claims, which).map(str::to_owned)).transpose()
    };
    let (subject, session) = (optional("sub")?, optional("sid")?);
    if subject.is_none() && session.is_none() {
        return Err(Refused::Nobody);
    }
    Ok(Said { id, ends, logout: Logout { issuer: issuer.to_owned(), subject, session, at } })
}

/// Checks any header and claims, as if they were signed.
#[cfg(any(fuzzing, test))]
pub(super) fn fuzz(header: &Value, claims: &Value, rules: &Rules) {
    let _ = check_header(header);
    let _ = check_claims(claims, rules, &["client".to_owned()], Utc::now());
}
