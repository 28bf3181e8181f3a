//! Configuration of a verifier.

use std::time::Duration;

use sqe_core::{Error, Result};

use super::{JwtVerifier, Rules, TokenType};
use crate::{ClaimMapping, KeyFamily, KeySet, claims::Expected, keys::KeySource, self_test};

/// The longest leeway. Clocks that differ more are broken, and each second is one in which a stolen token lives on.
const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// Below this no real token fits, above it parsing one costs too much.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 256..=64 * 1024;

/// What a [`JwtVerifier`] is built of. An audience and keys are required.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct JwtVerifierBuilder {
    issuer: String,
    audiences: Vec<String>,
    family: KeyFamily,
    types: Vec<TokenType>,
    leeway: Duration,
    max_bytes: usize,
    mapping: ClaimMapping,
    basic_password: bool,
    keys: Option<Keys>,
}

#[derive(Debug)]
enum Keys {
    Fixed(KeySet),
    #[cfg(feature = "jwks")]
    Remote(crate::keys::Location, crate::JwksSettings),
}

impl JwtVerifierBuilder {
    pub(super) fn new(issuer: String) -> Self {
        Self {
            issuer,
            audiences: Vec::new(),
            family: KeyFamily::default(),
            types: vec![TokenType::AccessToken, TokenType::Jwt],
            leeway: Duration::from_secs(30),
            max_bytes: 16 * 1024,
            mapping: ClaimMapping::default(),
            basic_password: false,
            keys: None,
        }
    }

    /// Accepts tokens whose `aud` has this name; may be called for several. Choose one that no application has as its
    /// client id, see [`TokenType`].
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The algorithms that the issuer signs with. [`KeyFamily::Rsa`] unless set.
    pub fn family(mut self, family: KeyFamily) -> Self {
        self.family = family;
        self
    }

    /// The issuer's keys, configured.
    pub fn key_set(mut self, keys: KeySet) -> Self {
        self.keys = Some(Keys::Fixed(keys));
        self
    }

    /// The issuer's keys, fetched from the URL of its JSON Web Key Set: https, or http on a loopback address.
    #[cfg(feature = "jwks")]
    pub fn jwks_url(mut self, url: impl Into<String>, settings: crate::JwksSettings) -> Self {
        self.keys = Some(Keys::Remote(crate::keys::Location::Configured(url.into()), settings));
        self
    }

    /// The issuer's keys, fetched from where the issuer says in its metadata. `discovery` must be of the same issuer.
    #[cfg(feature = "jwks")]
    pub fn discover(mut self, discovery: &crate::Discovery, settings: crate::JwksSettings) -> Self {
        self.keys = Some(Keys::Remote(crate::keys::Location::Discovered(discovery.clone()), settings));
        self
    }

    /// The types of token that are accepted. [`TokenType::AccessToken`] and [`TokenType::Jwt`] unless set; if the
    /// issuer writes `at+jwt`, the former alone is stricter.
    pub fn types(mut self, types: impl IntoIterator<Item = TokenType>) -> Self {
        self.types = types.into_iter().collect();
        self
    }

    /// How far this machine's clock and the issuer's may differ: at most 60 seconds, 30 unless set.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// The longest token in bytes, 16 KiB unless set. In a chain of several issuers set all alike: a text of the shape
    /// of a JWT that is longer is rejected before anybody looks for its issuer.
    pub fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Which claims become groups, roles, attributes and a name to read.
    pub fn mapping(mut self, mapping: ClaimMapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// Sets [`ClaimMapping::groups_claim`].
    pub fn groups_claim(mut self, claim: Option<&str>) -> Self {
        self.mapping = self.mapping.groups_claim(claim);
        self
    }

    /// Sets [`ClaimMapping::roles_claim`].
    pub fn roles_claim(mut self, claim: Option<&str>) -> Self {
        self.mapping = self.mapping.roles_claim(claim);
        self
    }

    /// Sets [`ClaimMapping::attributes`].
    pub fn attributes<S: Into<String>>(mut self, claims: impl IntoIterator<Item = S>) -> Self {
        self.mapping = self.mapping.attributes(claims);
        self
    }

    /// Sets [`ClaimMapping::display_name_claims`].
    pub fn display_name_claims<S: Into<String>>(mut self, claims: impl IntoIterator<Item = S>) -> Self {
        self.mapping = self.mapping.display_name_claims(claims);
        self
    }

    /// Whether a token may also come as the password of a user name, as database drivers send it that know nothing
    /// else. Off unless set. The user name is then ignored: only the token says who somebody is.
    pub fn accept_basic_password_token(mut self, accept: bool) -> Self {
        self.basic_password = accept;
        self
    }

    /// Builds it, and checks that this process can verify signatures of the family (see [`crate::self_test`]).
    ///
    /// # Errors
    /// `InvalidInput` if the issuer, an audience or a claim's name is empty, if there is no audience, token type or
    /// key, or a bound is out of range; `Internal` if signatures cannot be verified.
    pub fn build(self) -> Result<JwtVerifier> {
        if self.issuer.is_empty() {
            return Err(Error::invalid("a token verifier needs an issuer; name the one whose tokens it verifies"));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(Error::invalid("a token verifier needs an audience; name what tokens for this engine say"));
        }
        if self.types.is_empty() {
            return Err(Error::invalid("a token verifier needs at least one type of token that it accepts"));
        }
        self.mapping.check()?;
        if self.leeway > MAX_LEEWAY {
            return Err(Error::invalid("the leeway for clocks is at most 60 seconds; set the clocks"));
        }
        if !TOKEN_BYTES.contains(&self.max_bytes) {
            return Err(Error::invalid("the longest token is between 256 bytes and 64 KiB"));
        }
        self_test::check(self.family)?;
        let keys = match self.keys {
            None => {
                return Err(Error::invalid("a token verifier needs its issuer's keys; configure them or their url"));
            }
            Some(Keys::Fixed(set)) => {
                let set = set.of(self.family);
                if set.is_empty() {
                    let family = self.family;
                    return Err(Error::invalid(format!(
                        "the key set has no {family} key; configure the family it has"
                    )));
                }
                KeySource::Fixed(set)
            }
            #[cfg(feature = "jwks")]
            Some(Keys::Remote(location, settings)) => {
                if matches!(&location, crate::keys::Location::Discovered(discovery) if discovery.issuer() != self.issuer)
                {
                    return Err(Error::invalid(
                        "a token verifier's metadata is that of another issuer; configure its own",
                    ));
                }
                KeySource::Remote(crate::keys::RemoteKeys::new(location, self.family, settings)?)
            }
        };
        Ok(JwtVerifier {
            rules: Rules {
                claims: Expected {
                    issuer: self.issuer,
                    audiences: self.audiences,
                    leeway: chrono::Duration::from_std(self.leeway).unwrap_or_else(|_| chrono::Duration::zero()),
                },
                family: self.family,
                types: self.types,
                max_bytes: self.max_bytes,
            },
            mapping: self.mapping,
            keys,
            basic_password: self.basic_password,
        })
    }
}
