//! `[[identity]]` → a chain of providers.

mod front;
mod own;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use sqe_auth::{
    Chain, ClaimMapping, ClientCredentials, ClientIds, DevIssuer, Discovery, DiscoverySettings, Endpoint,
    Introspection, JwksSettings, JwtVerifier, KeyFamily, KeySet, NotRevoked, OAuthClient, OpaqueTokens,
    WellKnown as Document,
};
use sqe_core::{Engine, IdentityProvider};
use tokio::task::JoinSet;

use super::{secret, text};
use crate::{
    config::{
        ClientCredentialsConfig, Config, ConfigError, IdentityConfig, IntrospectionConfig, Keys, OidcConfig, Profile,
        WellKnown,
    },
    reload,
};

pub(crate) use front::{Changing, Watched, files};
pub(crate) use own::login_limits;

/// How long issuers are waited for at start.
const WARM_UP: Duration = Duration::from_secs(15);

/// Who is asked about who somebody is.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Those that know a credential by what is in it, in the order of the configuration.
    first: Chain,
    /// Those that take what nobody else knows.
    last: Vec<Arc<dyn IdentityProvider>>,
    verifiers: Vec<Arc<JwtVerifier>>,
    introspections: Vec<Introspection>,
    /// Files that can be read again while the engine runs.
    changing: Vec<Changing>,
    /// Withdrawn rights, if there is a file of them.
    revoked: Option<Watched>,
}

impl Identity {
    /// The providers of the configuration.
    ///
    /// # Errors
    /// One cannot be built, or the profile does not accept it.
    pub(super) fn wire(configured: &[IdentityConfig], profile: Profile) -> Result<Self> {
        configured.iter().try_fold(Self::default(), |identity, provider| match provider {
            IdentityConfig::Dev { path } => identity.verifier(DevIssuer::open(path)?.verifier_builder()?, profile),
            IdentityConfig::Jwt {
                issuer,
                audience,
                jwks_url,
                jwks_file,
                ca_file,
                keys,
                groups_claim,
                roles_claim,
                attributes,
                rename_groups,
                roles_of_groups,
            } => {
                let mapping = mapping(groups_claim, roles_claim, attributes, rename_groups, roles_of_groups);
                let builder = JwtVerifier::builder(issuer).audience(audience).family(family(*keys)).mapping(mapping);
                let builder = match (jwks_url, jwks_file) {
                    (Some(url), _) => builder.jwks_url(url.as_str(), fetched(ca_file.as_deref())?),
                    (None, Some(path)) => builder.key_set(KeySet::from_jwks(&text(path)?)?),
                    (None, None) => builder,
                };
                identity.verifier(builder, profile)
            }
            IdentityConfig::Oidc(oidc) => identity.oidc(oidc, profile),
            IdentityConfig::ApiTokens(configured) => identity.own(|changing| own::api_tokens(configured, changing)),
            IdentityConfig::ClientCertificates(configured) => {
                identity.own(|changing| own::client_certificates(configured, changing))
            }
        })
    }

    /// A provider that needs no issuer, but files.
    fn own<P: IdentityProvider>(mut self, provider: impl FnOnce(&mut Vec<Changing>) -> Result<Arc<P>>) -> Result<Self> {
        self.first = self.first.then_shared(provider(&mut self.changing)?);
        Ok(self)
    }

    fn verifier(mut self, builder: sqe_auth::JwtVerifierBuilder, profile: Profile) -> Result<Self> {
        // Database drivers that know only a user name and a password send a token as the latter.
        let verifier = Arc::new(builder.accept_basic_password_token(true).build()?);
        if verifier.is_development() && profile == Profile::Production {
            let problem = "the production profile refuses the development issuer, wherever its keys are configured";
            return Err(ConfigError(problem.to_owned()).into());
        }
        self.first = self.first.then_shared(Arc::clone(&verifier) as _);
        self.verifiers.push(verifier);
        Ok(self)
    }

    fn oidc(self, oidc: &OidcConfig, profile: Profile) -> Result<Self> {
        let keys = fetched(oidc.ca_file.as_deref())?;
        let mut settings = DiscoverySettings::default();
        settings.remote.root_certificates.clone_from(&keys.root_certificates);
        settings.well_known = match oidc.well_known {
            WellKnown::OpenidConfiguration => Document::OpenIdConfiguration,
            WellKnown::OauthAuthorizationServer => Document::OAuthAuthorizationServer,
        };
        let discovery = Discovery::new(&oidc.issuer, settings)?;
        let OidcConfig { groups_claim, roles_claim, attributes, rename_groups, roles_of_groups, .. } = oidc;
        let mapping = mapping(groups_claim, roles_claim, attributes, rename_groups, roles_of_groups);
        let builder = JwtVerifier::builder(&oidc.issuer).audience(&oidc.audience).family(family(oidc.keys));
        let mut identity = self.verifier(builder.mapping(mapping.clone()).discover(&discovery, keys), profile)?;
        let endpoint = Endpoint::discovered(&discovery);
        if let (Some(machines), Some(verifier)) = (&oidc.client_credentials, identity.verifiers.last()) {
            identity.first = identity.first.then(machines_of(machines, endpoint.clone(), Arc::clone(verifier))?);
        }
        if let Some(configured) = &oidc.introspection {
            let introspection = introspection(configured, endpoint, &oidc.audience, mapping)?;
            match configured.prefix {
                Some(_) => identity.first = identity.first.then(introspection.clone()),
                None => identity.last.push(Arc::new(introspection.clone())),
            }
            identity.introspections.push(introspection);
        }
        Ok(identity)
    }

    /// All of them, in the order in which they are asked; in front of them acting as others; and in front of all that
    /// revocation, so that also those are found who act for somebody.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn provider(&mut self, config: &Config) -> Result<Arc<dyn IdentityProvider>> {
        let chain =
            self.last.iter().fold(self.first.clone(), |chain, provider| chain.then_shared(Arc::clone(provider)));
        let mut provider: Arc<dyn IdentityProvider> = Arc::new(chain);
        if let Some(configured) = &config.impersonation {
            provider = front::impersonation(provider, configured, &mut self.changing)?;
        }
        if let Some(configured) = &config.revocation {
            let watched = Watched::open(configured, &mut self.changing)?;
            provider = Arc::new(NotRevoked::new(provider, Arc::clone(&watched.revocations)));
            self.revoked = Some(watched);
        }
        Ok(provider)
    }

    /// The files that can be read again while the engine runs.
    pub(super) fn changing(&self) -> Vec<Changing> {
        self.changing.clone()
    }

    /// Asks the issuers for what is needed of them, behind the start: one that is down or whose address is wrong is told
    /// now, and nobody waits for it. From then on watches the tokens in use and the file of withdrawn rights, and ends the
    /// sessions of those that ended.
    pub(super) fn watch(self, engine: &Engine) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some(watched) = self.revoked {
            tasks.spawn(reload::watch(watched, engine.clone()));
        }
        for verifier in self.verifiers {
            tasks.spawn(async move { told(verifier.issuer(), verifier.warm_up()).await });
        }
        for introspection in self.introspections {
            let engine = engine.clone();
            tasks.spawn(async move {
                told(introspection.issuer(), introspection.warm_up()).await;
                introspection.watch(|ended| end(&engine, ended)).await;
            });
        }
        tasks
    }
}

/// Asks each issuer for what the server needs of it and reads the files of the others, and says what is wrong with each.
/// Nothing is said of development issuers.
pub(crate) async fn ask(configured: &[IdentityConfig], profile: Profile) -> Vec<(String, Result<()>)> {
    let mut answers = Vec::new();
    for provider in configured {
        let who = match provider {
            IdentityConfig::Jwt { issuer, .. } => format!("issuer {issuer}"),
            IdentityConfig::Oidc(oidc) => format!("issuer {}", oidc.issuer),
            IdentityConfig::ApiTokens(tokens) => format!("API tokens {}", tokens.path.display()),
            IdentityConfig::ClientCertificates(certificates) => {
                format!("client certificates of {}", certificates.issuer)
            }
            IdentityConfig::Dev { .. } => continue,
        };
        let ready = async {
            let identity = Identity::wire(std::slice::from_ref(provider), profile)?;
            for verifier in &identity.verifiers {
                problem(verifier.warm_up()).await.map_err(anyhow::Error::msg)?;
            }
            for introspection in &identity.introspections {
                problem(introspection.warm_up()).await.map_err(anyhow::Error::msg)?;
            }
            Ok(())
        };
        answers.push((who, ready.await));
    }
    answers
}

async fn told(issuer: &str, ready: impl Future<Output = sqe_core::Result<()>>) {
    match problem(ready).await {
        Ok(()) => tracing::debug!(issuer, "the issuer answers"),
        Err(problem) => {
            tracing::warn!(
                issuer,
                problem,
                "an issuer of tokens does not answer; it is asked again when somebody logs in"
            );
        }
    }
}

/// Why an issuer is not ready, for operators.
async fn problem(ready: impl Future<Output = sqe_core::Result<()>>) -> Result<(), String> {
    match tokio::time::timeout(WARM_UP, ready).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)),
        Err(_) => Err(format!("no answer within {} seconds", WARM_UP.as_secs())),
    }
}

/// Ends the sessions that one token began, and no others of that person.
fn end(engine: &Engine, ended: &sqe_core::Identity) {
    let sessions = engine.end_sessions(|open| open.principal == ended.principal && open.proof == ended.proof);
    tracing::info!(principal = %ended.principal, sessions, "a token in use is no longer good at its issuer");
}

fn machines_of(
    configured: &ClientCredentialsConfig,
    endpoint: Endpoint,
    verifier: Arc<JwtVerifier>,
) -> Result<ClientCredentials> {
    let ClientCredentialsConfig { client_ids, prefix, scope, resource, request_audience } = configured;
    let clients = match prefix {
        Some(prefix) => ClientIds::Prefix(prefix.clone()),
        None => ClientIds::Listed(client_ids.iter().cloned().collect()),
    };
    let mut builder = ClientCredentials::builder(endpoint, verifier, clients);
    if let Some(scope) = scope {
        builder = builder.scope(scope);
    }
    if let Some(resource) = resource {
        builder = builder.resource(resource);
    }
    if let Some(audience) = request_audience {
        builder = builder.audience(audience);
    }
    Ok(builder.build()?)
}

fn introspection(
    configured: &IntrospectionConfig,
    endpoint: Endpoint,
    audience: &str,
    mapping: ClaimMapping,
) -> Result<Introspection> {
    let client = OAuthClient::new(&configured.client_id, secret(&configured.secret_file)?)?;
    let tokens = match &configured.prefix {
        Some(prefix) => OpaqueTokens::Prefix(prefix.clone()),
        None => OpaqueTokens::AllButJwts,
    };
    Ok(Introspection::builder(endpoint, client, tokens)
        .audience(audience)
        .mapping(mapping)
        // A password without a prefix that tells it apart could be anything: it is shown to no issuer.
        .accept_basic_password_token(configured.prefix.is_some())
        .recheck(Duration::from_secs(configured.recheck_seconds))
        .build()?)
}

fn mapping(
    groups_claim: &str,
    roles_claim: &str,
    attributes: &[String],
    rename_groups: &BTreeMap<String, String>,
    roles_of_groups: &BTreeMap<String, Vec<String>>,
) -> ClaimMapping {
    let roles = roles_of_groups.iter().flat_map(|(group, roles)| roles.iter().map(move |role| (group, role)));
    ClaimMapping::default()
        .groups_claim(Some(groups_claim))
        .roles_claim(Some(roles_claim))
        .attributes(attributes)
        .rename_groups(rename_groups)
        .roles_of_groups(roles)
}

fn fetched(ca_file: Option<&Path>) -> Result<JwksSettings> {
    let mut settings = JwksSettings::default();
    settings.root_certificates = ca_file.map(text).transpose()?;
    Ok(settings)
}

fn family(keys: Keys) -> KeyFamily {
    match keys {
        Keys::Rsa => KeyFamily::Rsa,
        Keys::Ec => KeyFamily::Ec,
        Keys::Ed => KeyFamily::Ed,
    }
}
