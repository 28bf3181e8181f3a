//! What every [`IdentityProvider`] must do.
//!
//! A test makes a fixture out of credentials that its provider accepts and credentials that it must not accept, and
//! asserts that [`check`] finds nothing to say.

use std::error::Error as StdError;

use futures::future::join_all;

use crate::{Credentials, Error, ErrorKind, Identity, IdentityProvider, Principal, Secret};

/// How often every credential is shown, at once and in turn.
const ROUNDS: usize = 4;

/// Credentials for one provider, by what it must answer.
///
/// The kit asks for an accepted, a foreign, an expired and a forged credential and for one that is meant for another
/// audience. A kind of credential that cannot expire, say, says so with [`without`](Self::without).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct IdentityFixture {
    /// Credentials that prove a principal.
    pub accepted: Vec<(Credentials, Principal)>,
    /// Credentials of a kind that the provider does not know.
    pub foreign: Vec<Credentials>,
    /// Credentials of the provider's kind that it must reject, and what is wrong with them.
    pub rejected: Vec<(String, Credentials)>,
    /// Faults that this kind of credential cannot have.
    pub without: Vec<String>,
    /// Further secrets that the provider holds and must not show.
    pub secrets: Vec<Secret>,
}

/// The fault of a credential whose time is over.
pub const EXPIRED: &str = "expired";
/// The fault of a credential that somebody else than its issuer made or changed.
pub const FORGED: &str = "forged";
/// The fault of a credential that was issued for somebody else to accept.
pub const WRONG_AUDIENCE: &str = "wrong audience";

impl IdentityFixture {
    /// A fixture whose one accepted credential proves `principal`.
    #[must_use]
    pub fn new(credentials: Credentials, principal: Principal) -> Self {
        Self { accepted: vec![(credentials, principal)], ..Self::default() }
    }

    /// Adds an accepted credential. Two principals show more than one.
    #[must_use]
    pub fn accepted(mut self, credentials: Credentials, principal: Principal) -> Self {
        self.accepted.push((credentials, principal));
        self
    }

    /// Adds a credential that is not of the provider's kind.
    #[must_use]
    pub fn foreign(mut self, credentials: Credentials) -> Self {
        self.foreign.push(credentials);
        self
    }

    /// Adds a credential that must be rejected because of `fault`: [`EXPIRED`], [`FORGED`], [`WRONG_AUDIENCE`], or
    /// whatever else can be wrong with it.
    #[must_use]
    pub fn rejected(mut self, fault: impl Into<String>, credentials: Credentials) -> Self {
        self.rejected.push((fault.into(), credentials));
        self
    }

    /// Says that this kind of credential cannot have the fault `fault`.
    #[must_use]
    pub fn without(mut self, fault: impl Into<String>) -> Self {
        self.without.push(fault.into());
        self
    }

    /// Adds a secret that the provider holds.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Every secret of the fixture.
    fn all_secrets(&self) -> Vec<&str> {
        let credentials = self.accepted.iter().map(|(credentials, _)| credentials);
        let credentials = credentials.chain(&self.foreign).chain(self.rejected.iter().map(|(_, rejected)| rejected));
        let shown = credentials.filter_map(secret_of);
        shown.chain(&self.secrets).map(Secret::expose).filter(|text| !text.is_empty()).collect()
    }
}

fn secret_of(credentials: &Credentials) -> Option<&Secret> {
    match credentials {
        Credentials::Bearer(token) => Some(token),
        Credentials::Basic { password, .. } => Some(password),
        Credentials::ActingAs { actor, .. } => secret_of(actor),
        Credentials::ClientCertificate(_) => None,
    }
}

/// Checks a provider against the contract of [`IdentityProvider`]:
///
/// - an accepted credential proves its principal, every time alike, also while others are asked about;
/// - a foreign one is `Ok(None)`;
/// - an expired, forged, misdirected or otherwise wrong one is `Unauthenticated`, and no message tells one from another;
/// - nothing that prints shows a secret: not the provider, not an identity, not an error, not what caused it;
/// - rejections leave the provider as it was.
///
/// # Errors
/// What the provider does wrong, or what the fixture lacks to tell.
pub async fn check(provider: &dyn IdentityProvider, fixture: &IdentityFixture) -> Result<(), String> {
    check_fixture(fixture)?;
    let secrets = fixture.all_secrets();
    redacted("the provider's Debug", &format!("{provider:?}"), &secrets)?;
    let before = accepted(provider, fixture, &secrets).await?;
    for (place, credentials) in fixture.foreign.iter().enumerate() {
        match provider.authenticate(credentials).await {
            Ok(None) => {}
            Ok(Some(_)) => return Err(format!("foreign credential {place} proved an identity")),
            Err(error) => {
                return Err(format!("foreign credential {place} was an error ({}) instead of unknown", error.kind()));
            }
        }
    }
    rejected(provider, fixture, &secrets).await?;
    if accepted(provider, fixture, &secrets).await? != before {
        return Err("the same credentials prove other identities after some were rejected".into());
    }
    redacted("the provider's Debug after use", &format!("{provider:?}"), &secrets)
}

fn check_fixture(fixture: &IdentityFixture) -> Result<(), String> {
    if fixture.accepted.is_empty() || fixture.foreign.is_empty() {
        return Err("the fixture needs an accepted and a foreign credential".into());
    }
    for fault in [EXPIRED, FORGED, WRONG_AUDIENCE] {
        let shown = fixture.rejected.iter().any(|(name, _)| name == fault);
        if !shown && !fixture.without.iter().any(|name| name == fault) {
            return Err(format!("the fixture needs a credential that is {fault}, or says that there is none"));
        }
    }
    Ok(())
}

/// The identities that the accepted credentials prove, after all of them came out alike in every round.
async fn accepted(
    provider: &dyn IdentityProvider,
    fixture: &IdentityFixture,
    secrets: &[&str],
) -> Result<Vec<Identity>, String> {
    let mut first: Option<Vec<Identity>> = None;
    let all = (0..ROUNDS).flat_map(|_| &fixture.accepted);
    let mut answers = join_all(all.map(|(credentials, _)| provider.authenticate(credentials))).await.into_iter();
    for _ in 0..ROUNDS {
        let mut round = Vec::with_capacity(fixture.accepted.len());
        for (place, ((_, principal), answer)) in fixture.accepted.iter().zip(answers.by_ref()).enumerate() {
            let identity = match answer {
                Ok(Some(identity)) => identity,
                Ok(None) => return Err(format!("accepted credential {place} was not recognised")),
                Err(error) => {
                    return Err(format!("accepted credential {place} was refused ({})", reason(&error)));
                }
            };
            if identity.principal != *principal {
                return Err(format!(
                    "accepted credential {place} proves {} instead of {principal}",
                    identity.principal
                ));
            }
            redacted("an identity's Debug", &format!("{identity:?}"), secrets)?;
            round.push(identity);
        }
        match &first {
            None => first = Some(round),
            Some(first) if *first != round => {
                return Err("the same credentials prove different identities at different times".into());
            }
            Some(_) => {}
        }
    }
    Ok(first.unwrap_or_default())
}

async fn rejected(provider: &dyn IdentityProvider, fixture: &IdentityFixture, secrets: &[&str]) -> Result<(), String> {
    let mut message: Option<String> = None;
    for (fault, credentials) in &fixture.rejected {
        let error = match provider.authenticate(credentials).await {
            Err(error) if error.kind() == ErrorKind::Unauthenticated => error,
            Err(error) => return Err(format!("the credential that is {fault} was {} instead", error.kind())),
            Ok(None) => return Err(format!("the credential that is {fault} was not recognised, so a chain goes on")),
            Ok(Some(identity)) => {
                return Err(format!("the credential that is {fault} proved {}", identity.principal));
            }
        };
        redacted("a rejection", &format!("{error} {error:?} {}", reason(&error)), secrets)?;
        match &message {
            None => message = Some(error.message().to_owned()),
            Some(message) if message != error.message() => {
                return Err(format!("the message for {fault} differs from others, so it tells what is wrong"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The error and everything that caused it.
fn reason(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner} {inner:?}");
        cause = inner.source();
    }
    text
}

fn redacted(what: &str, text: &str, secrets: &[&str]) -> Result<(), String> {
    if secrets.iter().any(|secret| text.contains(secret)) {
        return Err(format!("{what} shows a secret"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use rstest::rstest;

    use super::*;
    use crate::Result;

    /// A provider of credentials that say what is to be done with them, and its defect.
    #[derive(Debug)]
    struct Toy(&'static str);

    #[async_trait]
    impl IdentityProvider for Toy {
        async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
            let Credentials::Bearer(token) = credentials else { return Ok(None) };
            let mut alice = Identity::new(Principal::new("toy", "alice"));
            match (token.expose(), self.0) {
                ("alice-secret", "stranger") => Ok(Some(Identity::new(Principal::new("toy", "bob")))),
                ("alice-secret", "leaks in debug") => {
                    alice.groups.insert("alice-secret".into());
                    Ok(Some(alice))
                }
                ("alice-secret", "refuses all") => Err(Error::unauthenticated("no")),
                ("alice-secret", _) => Ok(Some(alice)),
                ("old-secret", "accepts expired") => Ok(Some(alice)),
                ("old-secret", "expired is foreign") => Ok(None),
                ("old-secret", "expired is unavailable") => Err(Error::unavailable("no")),
                ("old-secret", "tells reasons") => Err(Error::unauthenticated("expired")),
                ("old-secret", "leaks in source") => Err(Error::unauthenticated("no").with_source("old-secret")),
                ("old-secret" | "forged-secret" | "theirs-secret", _) => Err(Error::unauthenticated("no")),
                (_, "knows all") => Ok(Some(alice)),
                (_, "rejects foreign") => Err(Error::unauthenticated("no")),
                _ => Ok(None),
            }
        }
    }

    fn fixture() -> IdentityFixture {
        let bearer = |text: &str| Credentials::Bearer(Secret::new(text));
        IdentityFixture::new(bearer("alice-secret"), Principal::new("toy", "alice"))
            .foreign(bearer("something else"))
            .rejected(EXPIRED, bearer("old-secret"))
            .rejected(FORGED, bearer("forged-secret"))
            .rejected(WRONG_AUDIENCE, bearer("theirs-secret"))
    }

    #[test]
    fn a_sound_provider_passes() {
        futures::executor::block_on(check(&Toy(""), &fixture())).unwrap();
    }

    #[rstest]
    #[case("stranger")]
    #[case("leaks in debug")]
    #[case("refuses all")]
    #[case("accepts expired")]
    #[case("expired is foreign")]
    #[case("expired is unavailable")]
    #[case("tells reasons")]
    #[case("leaks in source")]
    #[case("knows all")]
    #[case("rejects foreign")]
    // The name of a defect is in the toy's own Debug, so this one shows a secret there.
    #[case("alice-secret")]
    fn every_defect_is_found(#[case] defect: &'static str) {
        futures::executor::block_on(check(&Toy(defect), &fixture())).unwrap_err();
    }

    #[test]
    fn a_fixture_that_shows_too_little_fails() {
        let mut without_forged = fixture();
        without_forged.rejected.retain(|(fault, _)| fault != FORGED);
        futures::executor::block_on(check(&Toy(""), &without_forged)).unwrap_err();
        futures::executor::block_on(check(&Toy(""), &without_forged.without(FORGED))).unwrap();
    }
}
