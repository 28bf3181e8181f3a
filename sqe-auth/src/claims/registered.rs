//! The registered claims (RFC 7519, 4.1).

use chrono::{DateTime, Utc};
use serde_json::{Number, Value};
use sqe_core::CredentialRef;

use crate::rejection::{Rejection, Shown};

/// The last second of the year 9999. Later times are mistakes, or attempts to overflow something.
const LAST_SECOND: i64 = 253_402_300_799;
/// OpenID Connect allows 255 characters; nobody needs more than this.
const MAX_NAME: usize = 1024;

/// What registered claims must say.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) issuer: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) leeway: chrono::Duration,
}

/// What the registered claims say, after all of them were found acceptable.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) expires_at: DateTime<Utc>,
    pub(super) credential: CredentialRef,
}

pub(crate) fn check(claims: &Value, rules: &Expected, now: DateTime<Utc>) -> Result<Registered, Rejection> {
    let issuer = name(claims, "iss")?;
    if issuer != rules.issuer {
        return Err(claim("iss"));
    }
    let subject = name(claims, "sub")?.to_owned();
    check_audience(claims, &rules.audiences)?;
    if claims.get("cnf").is_some() {
        return Err(Rejection::Bound);
    }
    // Fractions of a second count against the token: it ends with its second, and begins after it.
    // The leeway is part of the identity's end, so that engine and verifier agree to the second on when it comes.
    let expires_at = time(claims, "exp", f64::floor)?.ok_or(Rejection::Missing("exp"))? + rules.leeway;
    if now >= expires_at {
        return Err(Rejection::Expired);
    }
    if time(claims, "nbf", f64::ceil)?.is_some_and(|begin| now + rules.leeway < begin) {
        return Err(Rejection::NotYet);
    }
    if time(claims, "iat", f64::ceil)?.is_some_and(|issued| now + rules.leeway < issued) {
        return Err(Rejection::IssuedInFuture);
    }
    let mut credential = CredentialRef::default();
    credential.id = optional_name(claims, "jti")?;
    credential.session = optional_name(claims, "sid")?;
    // The earliest second that it may mean: what is revoked "up to" a moment must not slip through by a fraction.
    credential.issued_at = time(claims, "iat", f64::floor)?;
    Ok(Registered { issuer: issuer.to_owned(), subject, expires_at, credential })
}

/// A name by which something is revoked: if it cannot be read, it could not be revoked either.
fn optional_name(claims: &Value, which: &'static str) -> Result<Option<String>, Rejection> {
    if claims.get(which).is_some() { name(claims, which).map(|text| Some(text.to_owned())) } else { Ok(None) }
}

/// A name as principals have it: some text, of bounded length, that cannot break a line.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

pub(super) fn claim(name: &str) -> Rejection {
    Rejection::Claim(Shown::new(name))
}

pub(crate) fn name<'a>(claims: &'a Value, which: &'static str) -> Result<&'a str, Rejection> {
    let value = claims.get(which).ok_or(Rejection::Missing(which))?;
    value.as_str().filter(|text| is_name(text)).ok_or_else(|| claim(which))
}

/// `aud` is one text or a list of texts, and one of them is ours (RFC 7519, 4.1.3).
pub(crate) fn check_audience(claims: &Value, ours: &[String]) -> Result<(), Rejection> {
    let named: Vec<&str> = match claims.get("aud").ok_or(Rejection::Missing("aud"))? {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(|| claim("aud"))?,
        _ => return Err(claim("aud")),
    };
    if named.iter().any(|audience| ours.iter().any(|our| our == audience)) { Ok(()) } else { Err(Rejection::Audience) }
}

/// A NumericDate (RFC 7519, 2): seconds since 1970, which may have a fraction.
pub(crate) fn time(
    claims: &Value,
    which: &'static str,
    round: fn(f64) -> f64,
) -> Result<Option<DateTime<Utc>>, Rejection> {
    let Some(value) = claims.get(which) else { return Ok(None) };
    let Value::Number(number) = value else { return Err(claim(which)) };
    let seconds = seconds(number, round).filter(|seconds| (0..=LAST_SECOND).contains(seconds));
    seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).map(Some).ok_or_else(|| claim(which))
}

fn seconds(number: &Number, round: fn(f64) -> f64) -> Option<i64> {
    if let Some(whole) = number.as_i64() {
        return Some(whole);
    }
    let exact = number.as_f64()?;
    // Within this range every whole number is exact in both types, so the casts change nothing.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the range is checked")]
    (0.0..=LAST_SECOND as f64).contains(&exact).then_some(round(exact) as i64)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn rules() -> Expected {
        Expected {
            issuer: "https://idp.example".into(),
            audiences: vec!["sqe".into()],
            leeway: chrono::Duration::seconds(30),
        }
    }

    fn checked(name: &str, value: Value) -> Result<Registered, Rejection> {
        let mut claims = json!({"iss": "https://idp.example", "aud": "sqe", "sub": "alice", "exp": NOW + 100});
        claims[name] = value;
        check(&claims, &rules(), DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn the_identity_ends_when_the_token_would_be_rejected() {
        let ends = checked("exp", json!(NOW + 5)).unwrap().expires_at;
        assert_eq!(ends.timestamp(), NOW + 35);
    }

    #[test]
    fn a_credential_has_the_names_by_which_it_is_revoked() {
        let id = checked("jti", json!("token-1")).unwrap().credential;
        assert_eq!((id.id.as_deref(), id.session.as_deref(), id.issued_at), (Some("token-1"), None, None));
        assert_eq!(checked("sid", json!("s")).unwrap().credential.session.as_deref(), Some("s"));
        let issued = checked("iat", json!(NOW as f64 - 0.5)).unwrap().credential.issued_at;
        assert_eq!(issued.map(|at| at.timestamp()), Some(NOW - 1), "the fraction counts against the token");
    }

    #[rstest]
    #[case(json!(7))]
    #[case(json!(""))]
    #[case(json!(null))]
    #[case(json!(["a"]))]
    #[case(json!("a\nb"))]
    #[case(json!("a".repeat(1025)))]
    fn a_credential_that_could_not_be_revoked_is_rejected(#[case] value: Value) {
        assert!(checked("jti", value.clone()).is_err());
        assert!(checked("sid", value).is_err());
    }

    #[rstest]
    #[case("exp", NOW - 29, true)]
    #[case("exp", NOW - 30, false)]
    #[case("nbf", NOW + 30, true)]
    #[case("nbf", NOW + 31, false)]
    #[case("iat", NOW + 30, true)]
    #[case("iat", NOW + 31, false)]
    fn the_leeway_ends_to_the_second(#[case] name: &str, #[case] at: i64, #[case] accepted: bool) {
        assert_eq!(checked(name, json!(at)).is_ok(), accepted);
    }

    #[rstest]
    #[case("exp", json!(NOW as f64 - 29.0), true)]
    #[case("exp", json!(NOW as f64 - 29.5), false)]
    #[case("nbf", json!(NOW as f64 + 29.5), true)]
    #[case("nbf", json!(NOW as f64 + 30.5), false)]
    #[case("exp", json!(253_402_300_799_i64), true)]
    #[case("exp", json!(253_402_300_800_i64), false)]
    #[case("exp", json!(u64::MAX), false)]
    #[case("exp", json!(i64::MAX), false)]
    #[case("exp", json!(1e300), false)]
    #[case("exp", json!(-1), false)]
    #[case("exp", json!(-1.5), false)]
    #[case("nbf", json!(-0.5), false)]
    #[case("iat", json!(-0.5), false)]
    #[case("exp", json!((NOW + 100).to_string()), false)]
    #[case("exp", json!(null), false)]
    #[case("exp", json!([NOW + 100]), false)]
    #[case("nbf", json!("0"), false)]
    #[case("nbf", json!(-1), false)]
    #[case("nbf", json!(0), true)]
    #[case("nbf", json!(u64::MAX), false)]
    #[case("iat", json!("0"), false)]
    #[case("iat", json!(-1), false)]
    #[case("iat", json!(null), false)]
    #[case("iat", json!(u64::MAX), false)]
    fn times_are_numbers_in_range_and_fractions_count_against_the_token(
        #[case] name: &str,
        #[case] value: Value,
        #[case] accepted: bool,
    ) {
        assert_eq!(checked(name, value).is_ok(), accepted);
    }
}
