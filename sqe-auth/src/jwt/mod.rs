//! JSON Web Tokens as access tokens.

mod builder;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzz;
mod header;
mod logout;
mod token;

use async_trait::async_trait;
use chrono::Utc;
use serde_json::Value;
use sqe_core::{Credentials, Identity, IdentityProvider, Result, Secret};

pub use builder::JwtVerifierBuilder;
pub use header::TokenType;
pub use logout::{Logout, LogoutVerifier};

use crate::{
    ClaimMapping, DEVELOPMENT_ISSUER,
    claims::{self, Expected},
    keys::KeySource,
    rejection::Rejection,
};
pub(crate) use token::Parts;
use token::Token;

/// What one issuer's tokens must be like.
#[derive(Debug)]
struct Rules {
    claims: Expected,
    family: crate::KeyFamily,
    types: Vec<TokenType>,
    max_bytes: usize,
}

/// Verifies JWT access tokens of one issuer (RFC 7519, RFC 8725, RFC 9068).
///
/// A credential that is not a JWT, or names another issuer, is not its kind (`Ok(None)`). A token that names this
/// issuer is accepted only if *everything* below holds; otherwise it is `Unauthenticated`, with one message for every
/// reason and the reason as the error's source.
///
/// - At most 16 KiB (configurable), three parts, no name twice in any object of its header or claims.
/// - `alg` is one of the issuer's one [`KeyFamily`](crate::KeyFamily); `none` and shared secrets are in no family.
/// - No `crit`. `jku`, `jwk`, `x5u`, `x5c` are never looked at: keys come from the configuration only.
/// - `typ` is one of the accepted [`TokenType`]s, and nothing marks an ID token (see there).
/// - The key that `kid` names verifies the signature. Without `kid` the issuer must have exactly one fitting key.
/// - `exp` lies ahead, `nbf` and `iat`, if there, do not (RFC 7519, 4.1.4 to 4.1.6), give or take a leeway of at most
///   60 seconds; they are numbers between 0 and the year 9999.
/// - `iss` is the issuer and `aud` names one of the configured audiences, letter by letter; `sub` is a text without
///   control characters, neither empty nor longer than 1024 bytes.
/// - `jti` and `sid`, if there, are texts like `sub`: by them the token is revoked.
/// - No `cnf`: a token that is bound to a key (RFC 7800, RFC 8705, RFC 9449) is not a bearer token.
///
/// Then `sub` becomes the subject, `act` the actors (RFC 8693, 4.1), configured claims become groups, roles and
/// attributes, `exp` and the leeway the expiry (the second from which the same token would be rejected), and the token
/// itself the proof that may be exchanged for other systems' tokens.
#[derive(Debug)]
pub struct JwtVerifier {
    rules: Rules,
    mapping: ClaimMapping,
    keys: KeySource,
    basic_password: bool,
}

impl JwtVerifier {
    /// Configures a verifier of tokens whose `iss` is exactly `issuer`.
    pub fn builder(issuer: impl Into<String>) -> JwtVerifierBuilder {
        JwtVerifierBuilder::new(issuer.into())
    }

    /// The issuer whose tokens it verifies.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.rules.claims.issuer
    }

    /// Whether the issuer is the local [`DEVELOPMENT_ISSUER`]. A production profile refuses such a verifier.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.rules.claims.issuer.starts_with(DEVELOPMENT_ISSUER)
    }

    /// Fetches the issuer's keys now if they come from a URL, so that a wrong address shows at start and not when the
    /// first person logs in. Without this the first token fetches them.
    ///
    /// # Errors
    /// `Unavailable` if the keys cannot be fetched. The verifier stays usable and tries again with the next tokens.
    #[cfg(feature = "jwks")]
    pub async fn warm_up(&self) -> Result<()> {
        match &self.keys {
            KeySource::Fixed(_) => Ok(()),
            KeySource::Remote(keys) => keys.warm_up().await,
        }
    }

    /// How far clocks may differ.
    #[cfg(feature = "oauth")]
    pub(crate) fn leeway(&self) -> chrono::Duration {
        self.rules.claims.leeway
    }

    /// Whom a token stands for, and its claims.
    pub(crate) async fn verify(&self, credential: &Secret) -> Result<Option<(Identity, Value)>> {
        let text = credential.expose();
        let Some(parts) = Parts::of(text) else { return Ok(None) };
        if text.len() > self.rules.max_bytes {
            return Err(Rejection::TooLong(self.rules.max_bytes).into());
        }
        let Some(token) = parts.decode() else { return Ok(None) };
        if !token.names_issuer(&self.rules.claims.issuer) {
            return Ok(None);
        }
        // From here on the token claims to be this issuer's, and every way out but the last is a rejection.
        let Token { header, claims } = token.without_duplicates()?;
        let header = header::check(&header, &claims, &self.rules)?;
        let key = self.keys.find(header.kid, header.algorithm).await?;
        key.verify(header.algorithm, parts.signed, parts.signature)?;
        let registered = claims::check(&claims, &self.rules.claims, Utc::now())?;
        let mut identity = self.mapping.identity(&claims, registered)?;
        identity.proof = Some(credential.clone());
        Ok(Some((identity, claims)))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for JwtVerifier {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let verified = match credentials {
            Credentials::Bearer(token) => self.verify(token).await?,
            Credentials::Basic { password, .. } if self.basic_password => self.verify(password).await?,
            _ => None,
        };
        Ok(verified.map(|(identity, _)| identity))
    }
}
