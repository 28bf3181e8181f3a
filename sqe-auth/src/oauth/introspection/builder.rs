//! Configuration of introspection.

use std::{sync::Arc, time::Duration};

use sqe_core::{Error, Result};

use super::{Endpoint, Inner, Introspection, OpaqueTokens, live::Live};
use crate::{
    ClaimMapping, OAuthClient,
    claims::Expected,
    remote::{Bounds, Digester, Kept},
};

const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// How much is kept, and for how long.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IntrospectionSettings {
    /// How long an issuer's word that a token is good is believed; at most until the token ends. It is the time that a
    /// revoked token can still be used to log in. 30 seconds, at most 5 minutes.
    pub accepted_for: Duration,
    /// How long an issuer's word that a token is not good is believed. 10 seconds.
    pub rejected_for: Duration,
    /// The most answers of each kind that are kept. 10,000.
    pub most: usize,
    /// The most questions that are under way at once. 32.
    pub at_once: usize,
    /// The most tokens that are watched. More are refused with `ResourceExhausted`. 20,000.
    pub most_live: usize,
    /// The most tokens of one person that are watched. 1,000.
    pub most_live_of_one: usize,
    /// A watched token about which its issuer could not be asked for so long has ended. 15 minutes.
    pub unchecked_ceiling: Duration,
}

impl Default for IntrospectionSettings {
    fn default() -> Self {
        Self {
            accepted_for: Duration::from_secs(30),
            rejected_for: Duration::from_secs(10),
            most: 10_000,
            at_once: 32,
            most_live: 20_000,
            most_live_of_one: 1_000,
            unchecked_ceiling: Duration::from_secs(15 * 60),
        }
    }
}

/// What an [`Introspection`] is built of. An audience is required.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct IntrospectionBuilder {
    endpoint: Endpoint,
    client: OAuthClient,
    tokens: OpaqueTokens,
    audiences: Vec<String>,
    leeway: Duration,
    mapping: ClaimMapping,
    basic_password: bool,
    recheck: Option<Duration>,
    settings: IntrospectionSettings,
}

impl IntrospectionBuilder {
    pub(super) fn new(endpoint: Endpoint, client: OAuthClient, tokens: OpaqueTokens) -> Self {
        Self {
            endpoint,
            client,
            tokens,
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            mapping: ClaimMapping::default(),
            basic_password: false,
            recheck: None,
            settings: IntrospectionSettings::default(),
        }
    }

    /// Accepts tokens whose `aud` has this name; may be called for several.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// How far this machine's clock and the issuer's may differ: at most 60 seconds, 30 unless set.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Which members of the answer become groups, roles, attributes and a name to read.
    pub fn mapping(mut self, mapping: ClaimMapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// Whether a token may also come as the password of a user name. Off unless set. Passwords that have the form of such
    /// a token are then shown to the issuer.
    pub fn accept_basic_password_token(mut self, accept: bool) -> Self {
        self.basic_password = accept;
        self
    }

    /// Asks about tokens in use again, so often, while [`Introspection::watch`] runs. Never unless set.
    pub fn recheck(mut self, every: Duration) -> Self {
        self.recheck = Some(every);
        self
    }

    /// How much is kept, and for how long.
    pub fn settings(mut self, settings: IntrospectionSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// `InvalidInput` if there is no audience, a prefix or a name is empty, or a bound is out of range.
    pub fn build(self) -> Result<Introspection> {
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(Error::invalid("introspection needs an audience; name what tokens for this engine say"));
        }
        if matches!(&self.tokens, OpaqueTokens::Prefix(prefix) if prefix.is_empty()) {
            return Err(Error::invalid("the prefix of opaque tokens is empty; name one, or take all but JWTs"));
        }
        if self.leeway > MAX_LEEWAY {
            return Err(Error::invalid("the leeway for clocks is at most 60 seconds; set the clocks"));
        }
        self.mapping.check()?;
        let settings = &self.settings;
        if settings.accepted_for > Duration::from_secs(5 * 60) {
            return Err(Error::invalid("an issuer's word about a token is believed for at most 5 minutes"));
        }
        if [settings.most, settings.at_once, settings.most_live, settings.most_live_of_one].contains(&0) {
            return Err(Error::invalid("the bounds of introspection cannot be zero"));
        }
        if self.recheck.is_some_and(|every| every < Duration::from_millis(100)) {
            return Err(Error::invalid("tokens in use are asked about again every 100 milliseconds at most"));
        }
        let bounds = Bounds {
            most: settings.most,
            refused: settings.rejected_for,
            at_once: settings.at_once,
            patience: Duration::from_secs(5),
        };
        let live = self.recheck.map(|every| Live::new(every, settings));
        let expected = Expected {
            issuer: self.endpoint.issuer().to_owned(),
            audiences: self.audiences,
            leeway: chrono::Duration::from_std(self.leeway).unwrap_or_else(|_| chrono::Duration::zero()),
        };
        Ok(Introspection(Arc::new(Inner {
            endpoint: self.endpoint,
            client: self.client,
            tokens: self.tokens,
            expected,
            mapping: self.mapping,
            basic_password: self.basic_password,
            accepted: settings.accepted_for,
            digester: Digester::new(),
            kept: Kept::new(bounds),
            live,
        })))
    }
}
