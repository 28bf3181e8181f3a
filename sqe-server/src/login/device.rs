//! Login by another device (RFC 8628): where there is no browser.

use std::time::{Duration, Instant};

use serde::Deserialize;
use sqe_core::{Error, ErrorKind, Result};
use zeroize::Zeroize;

use super::{
    http::{Answer, Refusal},
    provider::{Provider, Tokens},
};
use crate::sql::write::visible::visible;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Section 3.2: the time between two questions where the provider names none; section 3.5: what `slow_down` adds.
const INTERVAL: Duration = Duration::from_secs(5);
/// So often in a row the provider may not answer.
const SILENCES: u32 = 3;

/// Section 3.2.
#[derive(Deserialize)]
struct Authorization {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

impl Drop for Authorization {
    fn drop(&mut self) {
        self.device_code.zeroize();
    }
}

/// Tells the person where to go, and waits until they have been there.
///
/// # Errors
/// `Unauthenticated` if the person declines or takes too long; `Unsupported` if the provider has no such login;
/// `Unavailable`.
pub(super) async fn login(provider: &Provider) -> Result<Tokens> {
    let endpoint = provider.metadata.device_authorization_endpoint.as_deref();
    let endpoint = endpoint
        .ok_or_else(|| Error::unsupported("the provider offers no login by another device; leave out --device"))?;
    let scope = provider.scope();
    let mut fields = vec![("client_id", provider.config.client_id.as_str()), ("scope", scope.as_str())];
    if let Some(resource) = &provider.config.resource {
        fields.push(("resource", resource));
    }
    let authorization: Authorization = match provider.http.form(endpoint, &fields).await? {
        Answer::Granted(authorization) => authorization,
        Answer::Refused(refusal) => {
            return Err(Error::unauthenticated(format!("the provider refuses the login ({})", refusal.words())));
        }
    };
    eprintln!(
        "to log in, go to {} on any device and type the code {}",
        visible(&authorization.verification_uri),
        visible(&authorization.user_code)
    );
    if let Some(uri) = &authorization.verification_uri_complete {
        eprintln!("or go to {}", visible(uri));
    }
    wait(provider, &authorization).await
}

async fn wait(provider: &Provider, authorization: &Authorization) -> Result<Tokens> {
    let end = Instant::now() + Duration::from_secs(authorization.expires_in.min(3600));
    let mut pace = Pace::new(authorization.interval);
    loop {
        tokio::time::sleep(pace.interval).await;
        if Instant::now() >= end {
            return Err(too_late());
        }
        let grant = [("grant_type", GRANT), ("device_code", authorization.device_code.as_str())];
        if let Some(tokens) = pace.hear(provider.try_redeem(&grant).await)? {
            return Ok(tokens);
        }
    }
}

fn too_late() -> Error {
    Error::unauthenticated("the code has expired; log in again")
}

/// How often the provider is asked (section 3.5).
#[derive(Debug)]
struct Pace {
    /// The time until the next question.
    interval: Duration,
    /// How often in a row the provider did not answer.
    silences: u32,
}

impl Pace {
    fn new(seconds: Option<u64>) -> Self {
        let interval = seconds.map_or(INTERVAL, |seconds| Duration::from_secs(seconds.clamp(1, 60)));
        Self { interval, silences: 0 }
    }

    /// The tokens that an answer brings; `None`: ask again after the interval.
    ///
    /// # Errors
    /// There is nothing left to ask for.
    fn hear<T>(&mut self, answer: Result<Result<T, Refusal>>) -> Result<Option<T>> {
        let refusal = match answer {
            Ok(Ok(tokens)) => return Ok(Some(tokens)),
            Ok(Err(refusal)) => refusal,
            // Ask less often while there is no connection.
            Err(error) if error.kind() == ErrorKind::Unavailable && self.silences < SILENCES => {
                self.silences += 1;
                self.interval *= 2;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.silences = 0;
        match refusal.error.as_str() {
            "authorization_pending" => Ok(None),
            "slow_down" => {
                self.interval += INTERVAL;
                Ok(None)
            }
            "access_denied" => Err(Error::unauthenticated("the login was declined")),
            "expired_token" => Err(too_late()),
            _ => Err(Error::unauthenticated(format!("the provider refuses the login ({})", refusal.words()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn refusal(word: &str) -> Result<Result<(), Refusal>> {
        Ok(Err(Refusal { error: word.to_owned(), error_description: None }))
    }

    fn silence() -> Result<Result<(), Refusal>> {
        Err(Error::unavailable("nobody answers"))
    }

    #[rstest]
    #[case::named(Some(2), 2)]
    #[case::unnamed(None, 5)]
    #[case::none_at_all(Some(0), 1)]
    #[case::far_too_long(Some(86_400), 60)]
    fn a_provider_says_how_often_it_is_asked_within_reason(#[case] named: Option<u64>, #[case] seconds: u64) {
        assert_eq!(Pace::new(named).interval, Duration::from_secs(seconds));
    }

    #[test]
    fn each_word_to_slow_down_adds_five_seconds_for_good() {
        let mut pace = Pace::new(Some(2));
        let mut waits = Vec::new();
        for word in ["authorization_pending", "slow_down", "authorization_pending", "slow_down", "slow_down"] {
            assert_eq!(pace.hear(refusal(word)).unwrap(), None, "{word}");
            waits.push(pace.interval.as_secs());
        }
        assert_eq!(waits, [2, 7, 7, 12, 17]);
        assert_eq!(pace.hear(Ok(Ok(7))).unwrap(), Some(7), "the tokens");
    }

    #[test]
    fn a_provider_that_does_not_answer_is_asked_half_as_often_each_time_and_not_for_ever() {
        let mut pace = Pace::new(Some(1));
        for seconds in [2, 4, 8] {
            assert_eq!(pace.hear(silence()).unwrap(), None);
            assert_eq!(pace.interval.as_secs(), seconds);
        }
        let mut given_up = Pace { interval: pace.interval, silences: pace.silences };
        assert_eq!(given_up.hear(silence()).unwrap_err().kind(), ErrorKind::Unavailable);
        // An answer in between, and patience begins anew.
        assert_eq!(pace.hear(refusal("authorization_pending")).unwrap(), None);
        assert_eq!(pace.hear(silence()).unwrap(), None);
    }

    #[rstest]
    #[case("expired_token", "the code has expired; log in again")]
    #[case("access_denied", "the login was declined")]
    #[case("invalid_grant", "the provider refuses the login (invalid_grant)")]
    fn a_word_that_ends_the_login_is_told_in_clear_words(#[case] word: &str, #[case] told: &str) {
        let error = Pace::new(None).hear(refusal(word)).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, told));
    }
}
