//! Tokens from a token endpoint (RFC 6749, 3.2).

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqe_core::{Secret, credentials::AccessToken};

use super::{
    Endpoint,
    endpoint::{Unanswered, Which},
};
use crate::{OAuthClient, jwt::Parts};

/// What a token endpoint grants (RFC 6749, 5.1): an answer with a bearer token.
pub(super) struct Granted {
    token: Secret,
    answer: Value,
}

impl Endpoint {
    /// Asks for a token, as `client`.
    pub(super) async fn token(&self, client: &OAuthClient, form: &[(&str, &str)]) -> Result<Granted, Unanswered> {
        Granted::read(self.ask(Which::Token, client, form).await?)
    }
}

impl Granted {
    fn read(answer: Value) -> Result<Self, Unanswered> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        let token = text("access_token").filter(|token| !token.is_empty()).map(Secret::new);
        let token = token.ok_or(Unanswered::Wrong("access_token"))?;
        if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
            return Err(Unanswered::Wrong("token_type"));
        }
        Ok(Self { token, answer })
    }

    /// The token itself.
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// What kind of token the issuer says that it is (RFC 8693, 2.2.1).
    pub(super) fn issued_token_type(&self) -> Option<&str> {
        self.answer.get("issued_token_type").and_then(Value::as_str)
    }

    /// When the token ends: by the answer, or if it is a JWT by itself, whichever is sooner. `None`: nobody says.
    pub(super) fn expires_at(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Unanswered> {
        let by_answer = match self.answer.get("expires_in") {
            None | Some(Value::Null) => None,
            Some(seconds) => {
                let seconds = seconds.as_i64().filter(|seconds| (0..=i64::from(u32::MAX)).contains(seconds));
                Some(now + chrono::Duration::seconds(seconds.ok_or(Unanswered::Wrong("expires_in"))?))
            }
        };
        let parts = Parts::of(self.token.expose()).and_then(|parts| parts.decode());
        let claims = parts.and_then(|raw| raw.without_duplicates().ok());
        let exp = claims.and_then(|token| token.claims.get("exp")?.as_i64());
        let by_claim = exp.and_then(|exp| DateTime::from_timestamp(exp, 0));
        Ok([by_answer, by_claim].into_iter().flatten().min())
    }

    /// The token and when it ends.
    pub(super) fn into_access_token(self, now: DateTime<Utc>) -> Result<AccessToken, Unanswered> {
        let expires_at = self.expires_at(now)?;
        Ok(AccessToken::new(self.token, expires_at))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::good(json!({"access_token": "t", "token_type": "Bearer"}), None)]
    #[case::in_small_letters(json!({"access_token": "t", "token_type": "bearer"}), None)]
    #[case::no_token(json!({"token_type": "Bearer"}), Some("access_token"))]
    #[case::an_empty_token(json!({"access_token": "", "token_type": "Bearer"}), Some("access_token"))]
    #[case::a_number(json!({"access_token": 7, "token_type": "Bearer"}), Some("access_token"))]
    #[case::no_type(json!({"access_token": "t"}), Some("token_type"))]
    #[case::bound_to_a_key(json!({"access_token": "t", "token_type": "DPoP"}), Some("token_type"))]
    fn a_grant_is_a_bearer_token(#[case] answer: Value, #[case] wrong: Option<&str>) {
        match (Granted::read(answer), wrong) {
            (Ok(granted), None) => assert_eq!(granted.token().expose(), "t"),
            (Err(Unanswered::Wrong(what)), Some(wrong)) => assert_eq!(what, wrong),
            (outcome, _) => panic!("{wrong:?}: {}", outcome.is_ok()),
        }
    }

    #[rstest]
    #[case::unknown(json!(null), Some(None))]
    #[case::an_hour(json!(3600), Some(Some(3600)))]
    #[case::at_once(json!(0), Some(Some(0)))]
    #[case::text(json!("3600"), None)]
    #[case::negative(json!(-1), None)]
    #[case::endless(json!(u64::MAX), None)]
    fn a_lifetime_is_a_number_of_seconds(#[case] seconds: Value, #[case] expected: Option<Option<i64>>) {
        let now = Utc::now();
        let granted = json!({"access_token": "t", "token_type": "Bearer", "expires_in": seconds});
        let ends = Granted::read(granted).unwrap().expires_at(now);
        let expected = expected.map(|seconds| seconds.map(|seconds| now + chrono::Duration::seconds(seconds)));
        assert_eq!(ends.ok(), expected);
    }
}
