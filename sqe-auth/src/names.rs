//! Names in files of an operator, by the same rules as in tokens.

use sqe_core::Principal;

use crate::DEVELOPMENT_ISSUER;

/// Longer names are mistakes.
const MAX_NAME: usize = 1024;

/// A name as principals, groups and roles have it: some text, of bounded length, that cannot break a line.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

/// Why somebody's name cannot be used, if it cannot.
pub(crate) fn check_principal(principal: &Principal) -> Result<(), &'static str> {
    check_issuer(&principal.issuer)?;
    if is_name(&principal.subject) { Ok(()) } else { Err("the subject is empty, too long, or has control characters") }
}

/// Why an issuer's name cannot be used, if it cannot. It is a URI (RFC 3986), as `iss` of an OpenID provider is.
pub(crate) fn check_issuer(issuer: &str) -> Result<(), &'static str> {
    let scheme = issuer.split_once(':').map(|(scheme, rest)| (scheme, !rest.is_empty()));
    let is_uri = scheme.is_some_and(|(scheme, rest)| {
        rest && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if !is_uri || !is_name(issuer) || issuer.contains(char::is_whitespace) {
        return Err("the issuer is not a URI; choose one of your own, such as urn:example:sqe-tokens");
    }
    if issuer.starts_with(DEVELOPMENT_ISSUER) {
        return Err("the issuer is that of development tokens, which vouches for nobody; choose one of your own");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("urn:example:tokens", true)]
    #[case("https://idp.example/realms/a", true)]
    #[case("spiffe://example.org", true)]
    #[case("", false)]
    #[case("tokens", false)]
    #[case("urn:", false)]
    #[case(":x", false)]
    #[case("1:x", false)]
    #[case("urn:with space", false)]
    #[case("urn:a\nb", false)]
    #[case("urn:sqe:development", false)]
    #[case("urn:sqe:development:2", false)]
    fn an_issuer_is_a_uri_and_not_that_of_development(#[case] issuer: &str, #[case] good: bool) {
        assert_eq!(check_issuer(issuer).is_ok(), good);
    }
}
