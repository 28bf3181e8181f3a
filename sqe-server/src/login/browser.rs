//! Login by a browser: authorization code (RFC 6749, section 4.1) with PKCE (RFC 7636), as RFC 8252 has it for programs of
//! a desktop.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use base64::Engine as _;
use rand::{TryRngCore, rngs::OsRng};
use sha2::{Digest, Sha256};
use sqe_core::{Error, Result, Secret};

use super::{
    loopback::Loopback,
    provider::{Provider, Tokens},
};
use crate::sql::write::visible::visible;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Sends the person to the provider and waits for them to come back.
///
/// # Errors
/// `Unauthenticated` if the provider refuses, the person declines, or the answer is not the one to this question;
/// `DeadlineExceeded` if nobody comes; `Unavailable`.
pub(super) async fn login(provider: &Provider, open: bool) -> Result<Tokens> {
    let loopback = Loopback::open().await?;
    let redirect_uri = loopback.redirect_uri();
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let challenge = encoded(&Sha256::digest(verifier.expose().as_bytes()));
    let mut fields = vec![
        ("response_type", "code"),
        ("redirect_uri", redirect_uri.as_str()),
        ("state", state.expose()),
        ("nonce", nonce.expose()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    if provider.config.scopes.iter().any(|scope| scope == "offline_access") {
        // OpenID Connect Core 1.0, section 11: without it offline_access is ignored.
        fields.push(("prompt", "consent"));
    }
    let url = provider.authorization(&fields)?;
    if open && start_browser(url.as_str()) {
        eprintln!("a browser opens; if it does not, go to\n{}", visible(url.as_str()));
    } else {
        eprintln!("to log in, go to\n{}", visible(url.as_str()));
    }
    let visit = loopback.visit(PATIENCE).await?;
    let redeemed = match code(&visit.parameters, provider, &state) {
        Err(error) => Err(error),
        Ok(code) => {
            let grant = [
                ("grant_type", "authorization_code"),
                ("code", code.expose()),
                ("redirect_uri", redirect_uri.as_str()),
                ("code_verifier", verifier.expose()),
            ];
            provider.redeem(&grant, Some(nonce.expose())).await
        }
    };
    visit.answer(&redeemed.as_ref().map(|_| ()).map_err(Clone::clone)).await;
    redeemed
}

/// The code, if this is the provider's answer to this login.
fn code(parameters: &BTreeMap<String, String>, provider: &Provider, state: &Secret) -> Result<Secret> {
    let metadata = &provider.metadata;
    check(parameters, state, &provider.config.issuer, metadata.authorization_response_iss_parameter_supported)
}

fn check(parameters: &BTreeMap<String, String>, state: &Secret, issuer: &str, names_issuer: bool) -> Result<Secret> {
    let answered = parameters.get("state").map(|answered| Secret::new(answered.as_str()));
    if answered.as_ref() != Some(state) {
        return Err(Error::unauthenticated("what came back answers another login; nothing was accepted, try again"));
    }
    // RFC 9207, section 2.4: an answer of another provider must not be redeemed at this one.
    match parameters.get("iss") {
        Some(named) if named != issuer => {
            return Err(Error::unauthenticated("another provider answered; nothing was accepted"));
        }
        None if names_issuer => {
            return Err(Error::unauthenticated(
                "the answer does not say which provider it is of; nothing was accepted",
            ));
        }
        _ => {}
    }
    if let Some(error) = parameters.get("error") {
        let described = parameters.get("error_description").map(|words| format!(": {words:.300}")).unwrap_or_default();
        return Err(Error::unauthenticated(format!("the provider did not log you in ({error:.100}{described})")));
    }
    let code = parameters.get("code").filter(|code| !code.is_empty());
    code.map(|code| Secret::new(code.as_str())).ok_or_else(|| Error::unauthenticated("the provider gave no code"))
}

/// 256 bits from the operating system, as text that needs no escaping.
fn random() -> Result<Secret> {
    let mut bytes = [0; 32];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Error::internal("the operating system gave no random numbers").with_source(error))?;
    Ok(Secret::new(encoded(&bytes)))
}

fn encoded(bytes: &[u8]) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Whether something was started that may be a browser. It belongs to the desktop and outlives this program.
fn start_browser(url: &str) -> bool {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ISSUER: &str = "https://idp.example";

    fn checked(parameters: &[(&str, &str)], names_issuer: bool) -> Result<Secret> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(&parameters, &Secret::new("s"), ISSUER, names_issuer)
    }

    #[test]
    fn the_answer_to_this_login_gives_its_code() {
        assert_eq!(checked(&[("state", "s"), ("code", "c")], false).unwrap(), Secret::new("c"));
        assert_eq!(checked(&[("state", "s"), ("code", "c"), ("iss", ISSUER)], true).unwrap(), Secret::new("c"));
    }

    #[rstest]
    #[case::no_state(&[("code", "c")], false, "another login")]
    #[case::another_login(&[("state", "t"), ("code", "c")], false, "another login")]
    #[case::another_provider(&[("state", "s"), ("code", "c"), ("iss", "https://evil.example")], false, "another provider")]
    #[case::no_provider(&[("state", "s"), ("code", "c")], true, "which provider")]
    #[case::declined(&[("state", "s"), ("error", "access_denied")], false, "access_denied")]
    #[case::an_error_of_another_login(&[("state", "t"), ("error", "access_denied")], false, "another login")]
    #[case::nothing(&[("state", "s")], false, "no code")]
    fn any_other_answer_is_refused(#[case] parameters: &[(&str, &str)], #[case] names_issuer: bool, #[case] why: &str) {
        let error = checked(parameters, names_issuer).unwrap_err();
        assert_eq!(error.kind(), sqe_core::ErrorKind::Unauthenticated);
        assert!(error.message().contains(why), "{error}");
    }

    #[test]
    fn the_challenge_is_that_of_the_specification() {
        // RFC 7636, appendix B.
        let challenge = encoded(&Sha256::digest(b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn what_nobody_may_guess_is_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 43);
    }
}
