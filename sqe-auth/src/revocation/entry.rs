//! One withdrawn right, as a line of a file.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqe_core::Principal;

use crate::names::{check_principal, is_name};

/// A right that is withdrawn before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Revocation {
    /// Whose right it is.
    pub of: Revoked,
    /// When it was withdrawn.
    pub at: DateTime<Utc>,
    /// From when on it need not be remembered, because everything that it covers has ended by itself. `None`: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_at: Option<DateTime<Utc>>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whose right is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Revoked {
    /// That of one credential.
    Credential {
        /// Its id: `jti` of a JWT, the id of an API token, a certificate's SHA-256 fingerprint.
        id: String,
        /// Whose id it is. `None`: everybody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// That of all credentials of one log-in, `sid`.
    Session {
        /// Its id.
        id: String,
        /// Whose id it is. `None`: everybody's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// That of all credentials of somebody that were issued up to a moment, also of those with which they act as others
    /// and of those with which others act for them. A credential that does not say when it was issued is one of them.
    Principal {
        /// Who vouches for them.
        issuer: String,
        /// Their name there.
        subject: String,
        /// The moment.
        up_to: DateTime<Utc>,
    },
}

impl Revocation {
    /// A right that is withdrawn now, for good.
    #[must_use]
    pub fn now(of: Revoked) -> Self {
        Self { of: of.normalised(), at: Utc::now(), forget_at: None, reason: None }
    }

    /// Sets from when on it need not be remembered.
    #[must_use]
    pub fn forgotten_at(mut self, at: DateTime<Utc>) -> Self {
        self.forget_at = Some(at);
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Why it cannot be used, if it cannot.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.reason.as_ref().is_some_and(|reason| reason.len() > 1024 || reason.chars().any(char::is_control)) {
            return Err("its reason is too long, or has control characters");
        }
        match &self.of {
            Revoked::Principal { issuer, subject, .. } => {
                // Also of the development issuer: withdrawing a right gives none.
                let plain = is_name(issuer) && is_name(subject);
                if plain { Ok(()) } else { check_principal(&Principal::new(issuer, subject)) }
            }
            Revoked::Credential { id, issuer } | Revoked::Session { id, issuer } => {
                let good = is_name(id) && issuer.as_ref().is_none_or(|issuer| is_name(issuer));
                if good { Ok(()) } else { Err("its id or issuer is empty, too long, or has control characters") }
            }
        }
    }
}

impl Revoked {
    /// A certificate's fingerprint as tools print it, `AB:CD:…`, in the spelling that identities have.
    pub(super) fn normalised(self) -> Self {
        match self {
            Self::Credential { id, issuer } => {
                let pairs = id.split(':');
                let is_printed = id.len() == 95
                    && pairs.clone().all(|pair| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let id = if is_printed { pairs.collect::<String>().to_ascii_lowercase() } else { id };
                Self::Credential { id, issuer }
            }
            other => other,
        }
    }
}
