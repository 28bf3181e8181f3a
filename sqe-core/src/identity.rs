//! Who asks: credentials, the identities they prove, and the trait that turns one into the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Deref,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Result, Secret};

/// What a client shows to prove who it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// A bearer token (RFC 6750), without the word `Bearer`.
    Bearer(Secret),
    /// A user name and a password (RFC 7617).
    Basic {
        /// The user name, which may hold the empty string.
        username: String,
        /// The password; clients also put tokens here.
        password: Secret,
    },
    /// The certificate of a TLS peer that proved to hold its private key (RFC 8446, 4.4.3). Only a front end that
    /// finished the handshake may say so.
    ClientCertificate(CertificateChain),
    /// Somebody's own credentials, and whom they ask to act as. Who may act as whom is an operator's word, given to a
    /// provider; one that knows no such word answers `None`.
    ActingAs {
        /// What proves the one who asks.
        actor: Box<Credentials>,
        /// The person to act as, in the spelling that the provider knows.
        subject: String,
    },
}

/// X.509 certificates in DER (RFC 5280), the peer's own first.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateChain {
    certificates: Vec<Vec<u8>>,
}

impl CertificateChain {
    /// A chain that begins with the peer's own certificate.
    pub fn new(certificates: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { certificates: certificates.into_iter().collect() }
    }

    /// The certificates in DER, the peer's own first.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(Vec::as_slice)
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({} certificates)", self.certificates.len())
    }
}

/// A person or program: the issuer that vouches for it and its name there. Never an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Principal {
    /// Who vouches for the subject, `iss` of a JWT.
    pub issuer: String,
    /// The stable name of the subject at this issuer, `sub` of a JWT.
    pub subject: String,
}

impl Principal {
    /// A principal of `issuer`.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into() }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.issuer, self.subject)
    }
}

/// By what names a credential can be revoked. None of them is a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialRef {
    /// The credential's own name: `jti` of a JWT (RFC 7519, 4.1.7), the id of an API token, a certificate's fingerprint.
    pub id: Option<String>,
    /// The log-in that it came from, with others: `sid` (OpenID Connect Front-Channel Logout 1.0, section 3).
    pub session: Option<String>,
    /// When it was issued: `iat`. What revokes all of a person's credentials up to a moment needs it.
    pub issued_at: Option<DateTime<Utc>>,
}

/// What an [`IdentityProvider`] says about who holds some credentials.
///
/// A plain `Identity` opens nothing: only the engine makes it a [`Verified`] one, by asking a provider itself.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The principal that acts. Policies, leases and the audit trail bind to it.
    pub principal: Principal,
    /// A name for people to read. Never used to decide anything.
    pub display_name: Option<String>,
    /// Groups that the issuer asserts.
    pub groups: BTreeSet<String>,
    /// Roles that the issuer asserts or a mapping derives.
    pub roles: BTreeSet<String>,
    /// Further claims that policies may use, by name.
    pub attributes: BTreeMap<String, String>,
    /// When the credentials end. `None` if they do not end by themselves.
    pub expires_at: Option<DateTime<Utc>>,
    /// Who acts on behalf of the principal, nearest first (`act` of RFC 8693).
    pub actors: Vec<Principal>,
    /// A proof that may be exchanged for other systems' tokens. It never prints.
    pub proof: Option<Secret>,
    /// By what names the credentials can be revoked.
    pub credential: CredentialRef,
}

impl Identity {
    /// An identity without groups, roles, attributes, end or proof.
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self {
            principal,
            display_name: None,
            groups: BTreeSet::new(),
            roles: BTreeSet::new(),
            attributes: BTreeMap::new(),
            expires_at: None,
            actors: Vec::new(),
            proof: None,
            credential: CredentialRef::default(),
        }
    }

    /// Replaces the groups.
    #[must_use]
    pub fn with_groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.groups = groups.into_iter().map(Into::into).collect();
        self
    }

    /// Replaces the roles.
    #[must_use]
    pub fn with_roles<S: Into<String>>(mut self, roles: impl IntoIterator<Item = S>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets one further claim.
    #[must_use]
    pub fn with_attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Sets when the credentials end.
    #[must_use]
    pub fn with_expiry(mut self, at: DateTime<Utc>) -> Self {
        self.expires_at = Some(at);
        self
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("principal", &self.principal)
            .field("groups", &self.groups)
            .field("roles", &self.roles)
            .field("expires_at", &self.expires_at)
            .field("actors", &self.actors)
            .field("delegable", &self.proof.is_some())
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

/// Proof that the engine itself verified a `T`. There is no public constructor.
///
/// Catalogs are opened with one:
///
/// ```no_run
/// use sqe_core::{Identity, Verified};
/// fn verified(claimed: Identity, opened_with: Verified<Identity>) -> Verified<Identity> {
///     opened_with
/// }
/// ```
///
/// To make one out of what somebody claims does not compile, in no spelling.
///
/// ```compile_fail,E0423
/// use sqe_core::{Identity, Verified};
/// fn verified(claimed: Identity, opened_with: Verified<Identity>) -> Verified<Identity> {
///     Verified(claimed)
/// }
/// ```
///
///
/// ```compile_fail,E0624
/// use sqe_core::{Identity, Verified};
/// fn verified(claimed: Identity, opened_with: Verified<Identity>) -> Verified<Identity> {
///     Verified::new(claimed)
/// }
/// ```
///
///
/// ```compile_fail,E0451
/// use sqe_core::{Identity, Verified};
/// fn verified(claimed: Identity, opened_with: Verified<Identity>) -> Verified<Identity> {
///     Verified { 0: claimed }
/// }
/// ```
///
///
/// ```compile_fail,E0277
/// use sqe_core::{Identity, Verified};
/// fn verified(claimed: Identity, opened_with: Verified<Identity>) -> Verified<Identity> {
///     claimed.into()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    #[cfg(feature = "engine")]
    pub(crate) fn new(inner: T) -> Self {
        Self(inner)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Turns credentials into an [`Identity`].
#[async_trait]
pub trait IdentityProvider: fmt::Debug + Send + Sync + 'static {
    /// Verifies `credentials`.
    ///
    /// `Ok(None)` says "not my kind of credential", and a chain asks its next provider. A credential of this provider's
    /// kind that is expired, forged or meant for somebody else is an [`ErrorKind::Unauthenticated`] and ends the chain.
    /// The message is the same for every reason; the reason is the error's source.
    ///
    /// [`ErrorKind::Unauthenticated`]: crate::ErrorKind::Unauthenticated
    ///
    /// # Errors
    /// `Unauthenticated` for a rejected credential, `Unavailable` when the provider cannot decide now, `PermissionDenied` for
    /// good credentials of somebody who may not act as whom they ask for ([`Credentials::ActingAs`]).
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>>;
}
