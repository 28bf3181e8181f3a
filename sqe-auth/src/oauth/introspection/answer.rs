//! What an issuer says about a token.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqe_core::Identity;

use super::super::endpoint::Unanswered;
use crate::{
    ClaimMapping,
    claims::{self, Expected, check_is_access},
    rejection::Rejection,
};

/// An introspection response (RFC 7662, 2.2): whom it stands for, why it is not accepted, or that it is no such response.
pub(super) fn read(
    answer: &Value,
    expected: &Expected,
    mapping: &ClaimMapping,
    now: DateTime<Utc>,
) -> Result<Result<Identity, Rejection>, Unanswered> {
    let active = answer.get("active").and_then(Value::as_bool).ok_or(Unanswered::Wrong("active"))?;
    Ok(if active { identity(answer, expected, mapping, now) } else { Err(Rejection::Inactive) })
}

fn identity(
    answer: &Value,
    expected: &Expected,
    mapping: &ClaimMapping,
    now: DateTime<Utc>,
) -> Result<Identity, Rejection> {
    // The type as in a token response. Refresh tokens have none, or the marks below, or no audience.
    let bearer = |kind: &Value| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if answer.get("token_type").is_some_and(|kind| !bearer(kind)) {
        return Err(Rejection::NotAccess("token_type"));
    }
    check_is_access(answer)?;
    let registered = claims::check(answer, expected, now)?;
    mapping.identity(answer, registered)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn good() -> Value {
        json!({
            "active": true, "iss": "https://idp.example", "sub": "alice", "aud": ["sqe", "x"], "exp": NOW + 60,
            "iat": NOW - 5, "token_type": "Bearer", "client_id": "cli", "groups": ["eu"], "scope": "sql",
        })
    }

    fn read_with(name: &str, value: Value) -> Result<Result<Identity, Rejection>, Unanswered> {
        let mut answer = good();
        answer[name] = value;
        let expected = Expected {
            issuer: "https://idp.example".into(),
            audiences: vec!["sqe".into()],
            leeway: chrono::Duration::seconds(30),
        };
        read(&answer, &expected, &ClaimMapping::default(), DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn what_it_says_becomes_an_identity() {
        let alice = read_with("jti", json!("t-1")).unwrap().unwrap();
        assert_eq!(alice.principal, sqe_core::Principal::new("https://idp.example", "alice"));
        assert!(alice.groups.contains("eu") && alice.credential.id.as_deref() == Some("t-1"));
        assert_eq!(alice.expires_at.map(|at| at.timestamp()), Some(NOW + 90));
    }

    #[rstest]
    #[case("active", json!(false))]
    #[case("iss", json!("https://other.example"))]
    #[case("iss", json!(null))]
    #[case("sub", json!(null))]
    #[case("sub", json!(""))]
    #[case("aud", json!("other"))]
    #[case("aud", json!(null))]
    #[case("exp", json!(null))]
    #[case("exp", json!(NOW - 31))]
    #[case("exp", json!((NOW + 60).to_string()))]
    #[case("nbf", json!(NOW + 31))]
    #[case("iat", json!(NOW + 31))]
    #[case("cnf", json!({"jkt": "a"}))]
    #[case("token_type", json!("DPoP"))]
    #[case("token_type", json!(7))]
    #[case::keycloak_refresh("typ", json!("Refresh"))]
    #[case::hydra_refresh("token_use", json!("refresh_token"))]
    #[case("nonce", json!("n"))]
    #[case("groups", json!(7))]
    #[case("act", json!({"sub": "alice"}))]
    fn what_a_token_must_not_say_is_rejected(#[case] name: &str, #[case] value: Value) {
        assert!(read_with(name, value).unwrap().is_err());
        assert!(read_with("x", json!(1)).unwrap().is_ok(), "the permitted control");
    }

    #[rstest]
    #[case("token_type", json!("bearer"))]
    #[case("typ", json!("Bearer"))]
    #[case("token_use", json!("access_token"))]
    #[case("exp", json!(NOW - 29))]
    fn what_issuers_write_on_access_tokens_is_accepted(#[case] name: &str, #[case] value: Value) {
        assert!(read_with(name, value).unwrap().is_ok());
    }

    #[rstest]
    #[case(json!(null))]
    #[case(json!("true"))]
    #[case(json!(1))]
    fn an_answer_that_does_not_say_whether_it_is_active_is_none(#[case] active: Value) {
        assert!(read_with("active", active).is_err());
    }
}
