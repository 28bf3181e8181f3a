//! What OAuth says about clients and errors (RFC 6749).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::HeaderValue;
use sqe_core::{Error, Result, Secret};

/// This engine as a client of an issuer: its id there and its secret (`client_secret_basic`, RFC 6749, 2.3.1).
///
/// Such a client should be allowed to introspect or exchange tokens, and nothing else: it must not be able to read
/// anything by itself.
#[derive(Clone)]
pub struct OAuthClient {
    id: String,
    secret: Secret,
}

impl OAuthClient {
    /// A client.
    ///
    /// # Errors
    /// `InvalidInput` if the id or the secret is empty.
    pub fn new(id: impl Into<String>, secret: Secret) -> Result<Self> {
        let id = id.into();
        if id.is_empty() || secret.expose().is_empty() {
            return Err(Error::invalid("a client of an issuer needs an id and a secret; configure both"));
        }
        Ok(Self { id, secret })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn basic(&self) -> HeaderValue {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = zeroize::Zeroizing::new(format!("{}:{}", encoded(&self.id), encoded(self.secret.expose())));
        let text = zeroize::Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        // Base64 is always a header's value; if it were not, the issuer would refuse the client.
        let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The `error` of an error response (RFC 6749, 5.2), if it looks like one: short, and of letters and underscores. Nothing
/// else of the body is looked at.
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = answer.get("error")?.as_str()?;
    let plain =
        |code: &str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit());
    (!code.is_empty() && code.len() <= 40 && plain(code)).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn id_and_secret_are_encoded_before_they_are_joined() {
        let client = OAuthClient::new("job:nightly/1", Secret::new("a+b %:~")).unwrap();
        let value = client.basic();
        let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        let pair = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        assert_eq!(pair, "job%3Anightly%2F1:a%2Bb+%25%3A%7E");
        assert!(value.is_sensitive() && !format!("{client:?} {value:?}").contains(text));
    }

    #[rstest]
    #[case(r#"{"error": "invalid_grant", "error_description": "the token eyJ"}"#, Some("invalid_grant"))]
    #[case(r#"{"error": "the token eyJ is wrong"}"#, None)]
    #[case(r#"{"error": ""}"#, None)]
    #[case(r#"{"error": 7}"#, None)]
    #[case(r#"{}"#, None)]
    #[case("<html>", None)]
    fn of_an_error_only_its_code_is_read(#[case] body: &str, #[case] code: Option<&str>) {
        assert_eq!(error_code(body.as_bytes()).as_deref(), code);
    }

    #[test]
    fn a_client_without_an_id_or_a_secret_is_refused() {
        OAuthClient::new("", Secret::new("s")).unwrap_err();
        OAuthClient::new("c", Secret::new("")).unwrap_err();
    }
}
