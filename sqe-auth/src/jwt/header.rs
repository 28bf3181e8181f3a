//! The header of a token, and what kind of token it is.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::Rules;
use crate::{
    claims::check_is_access,
    rejection::{Rejection, Shown},
};

/// What a token's `typ` may be (RFC 7515, 4.1.9; RFC 9068, 2.1).
///
/// An ID token tells an application who logged in; it is no permission to call anybody, and a verifier that takes one
/// for an access token lets every application act as its users. `at+jwt` rules that out. Many issuers write `JWT` on
/// both kinds, so a token that is typed [`Jwt`](Self::Jwt) or not at all is rejected if it has
///
/// - a claim `at_hash`, `c_hash` or `s_hash`, which only ID tokens have (OpenID Connect Core 1.0, 3.3.2.11; FAPI 1.0);
/// - a claim `nonce` (Core, 2), unless its claim `typ` is `Bearer`: older Keycloak releases repeat the nonce there;
/// - a claim `typ` other than `Bearer` (Keycloak: `ID`, `Refresh`, `Offline`, `Logout`);
/// - a claim `token_use` other than `access` (Cognito) or `access_token` (Hydra);
/// - a claim `events`: a security event or logout token (RFC 8417).
///
/// An ID token without any of these marks still differs in its audience, which is the application. So give an engine
/// an audience that no application has as its client id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenType {
    /// `at+jwt` or `application/at+jwt`, in any case: a JWT access token (RFC 9068).
    AccessToken,
    /// `JWT`, in any case: some JWT.
    Jwt,
    /// No `typ` at all. Some issuers, such as Okta and Kubernetes, write none.
    Missing,
}

/// What a header says, after all of it was found acceptable.
pub(super) struct Header<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<&'a str>,
}

pub(super) fn check<'a>(header: &'a Value, claims: &Value, rules: &Rules) -> Result<Header<'a>, Rejection> {
    // RFC 7515, 4.1.11: what is critical must be understood, and this verifier understands no extension.
    if header.get("crit").is_some() {
        return Err(Rejection::Critical);
    }
    check_type(header, claims, &rules.types)?;
    let alg = text(header, "alg")?.ok_or(Rejection::Header("alg"))?;
    let algorithm = rules.family.algorithm(alg).ok_or_else(|| Rejection::Algorithm(Shown::new(alg)))?;
    Ok(Header { algorithm, kid: text(header, "kid")? })
}

fn text<'a>(header: &'a Value, name: &'static str) -> Result<Option<&'a str>, Rejection> {
    header.get(name).map(|value| value.as_str().ok_or(Rejection::Header(name))).transpose()
}

fn check_type(header: &Value, claims: &Value, accepted: &[TokenType]) -> Result<(), Rejection> {
    let typ = text(header, "typ")?;
    let kind = match typ {
        None => TokenType::Missing,
        Some(typ) if typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt") => {
            TokenType::AccessToken
        }
        Some(typ) if typ.eq_ignore_ascii_case("jwt") => TokenType::Jwt,
        Some(typ) => return Err(Rejection::Type(Shown::new(typ))),
    };
    if !accepted.contains(&kind) {
        return Err(typ.map_or(Rejection::NoType, |typ| Rejection::Type(Shown::new(typ))));
    }
    if kind == TokenType::AccessToken {
        return Ok(());
    }
    check_is_access(claims)
}
