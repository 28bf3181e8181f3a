//! Why a token is not accepted: for operators, behind one message for everybody else.

use sqe_core::Error;
use thiserror::Error as ThisError;

/// What a client is told about credentials that are not accepted, of whatever kind and for whatever reason.
///
/// One message for all: whoever tries tokens learns nothing from the answer. The reason is the error's source, which
/// operators log and front ends do not send.
pub const NOT_ACCEPTED: &str = "the credentials were not accepted; log in again";

/// The reason. Values out of the token are quoted, escaped and cut short, because whoever sent it chose them.
#[derive(Debug, ThisError)]
pub(crate) enum Rejection {
    #[error("the token is longer than {0} bytes")]
    TooLong(usize),
    #[error("the token's {0} names something twice")]
    Duplicate(&'static str),
    #[error("the token's header parameter {0} has the wrong form")]
    Header(&'static str),
    #[error("the token has critical extensions, and this verifier knows none")]
    Critical,
    #[error("the token's type is {0}, which is not accepted")]
    Type(Shown),
    #[error("the token has no type, and this verifier asks for one")]
    NoType,
    #[error("the token is not an access token: it has the claim {0}")]
    NotAccess(&'static str),
    #[error("the token is bound to a key that its bearer did not show")]
    Bound,
    #[error("the token's algorithm is {0}, which is not one of this issuer's")]
    Algorithm(Shown),
    #[error("the token's key does not fit its algorithm {0}")]
    KeyAlgorithm(Shown),
    #[error("the token names the key {0}, which its issuer does not publish")]
    UnknownKey(Shown),
    #[error("the token names no key, and its issuer does not have exactly one for its algorithm")]
    NoKeyNamed,
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token lacks the claim {0}")]
    Missing(&'static str),
    #[error("the token's claim {0} has the wrong form")]
    Claim(Shown),
    #[error("the token expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
    #[error("the token was issued in the future; compare the clocks")]
    IssuedInFuture,
    #[error("the token is meant for another audience")]
    Audience,
    #[error("the token leaves out the names of its claim {0}, so groups or roles are unknown")]
    LeftOut(Shown),
    #[error("the token's actors are too many or name one of them twice")]
    Actors,
    #[cfg(feature = "oauth")]
    #[error("the token's issuer says that it is not active")]
    Inactive,
    #[cfg(feature = "oauth")]
    #[error("the id or the secret of the client {0} is empty or too long")]
    ClientForm(Shown),
    #[cfg(feature = "oauth")]
    #[error("the issuer does not let the client {0} log in with this secret: {1}")]
    Client(Shown, String),
    #[cfg(feature = "oauth")]
    #[error("the token that the client {0} got from the issuer is another client's")]
    AnotherClient(Shown),
    #[cfg(feature = "oauth")]
    #[error("the client {0} failed too often; its issuer is not asked again within this minute")]
    TooManyFailures(Shown),
}

impl From<Rejection> for Error {
    fn from(reason: Rejection) -> Self {
        Error::unauthenticated(NOT_ACCEPTED).with_source(reason)
    }
}

/// A text that a stranger chose, made safe for a log line: escaped, and at most [`Shown::LENGTH`] characters of it.
#[derive(Debug, Clone)]
pub(crate) struct Shown(String);

impl Shown {
    const LENGTH: usize = 64;

    pub(crate) fn new(text: &str) -> Self {
        let mut shown: String = text.chars().take(Self::LENGTH).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        Self(shown)
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn a_client_sees_one_message_and_an_operator_the_reason() {
        let error = Error::from(Rejection::Expired);
        assert_eq!(error.message(), NOT_ACCEPTED);
        assert_eq!(error.source().unwrap().to_string(), "the token expired");
    }

    #[test]
    fn a_strangers_text_cannot_break_a_log_line_or_flood_it() {
        let shown = Shown::new(&format!("a\nb\u{1b}[31m{}", "x".repeat(10_000))).to_string();
        assert!(shown.starts_with("\"a\\nb\\u{1b}[31m"), "{shown}");
        assert!(shown.len() < 100, "{shown}");
    }
}
