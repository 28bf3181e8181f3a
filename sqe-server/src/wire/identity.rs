//! `[[identity]]` → a chain of providers.

mod front;
mod own;

use anyhow::Result;
use sqe_auth::{Chain, DevIssuer, JwksSettings, JwtVerifier, KeyFamily, KeySet};

use super::text;
use crate::config::{ConfigError, IdentityConfig, Keys, Profile};

pub(crate) use front::{Changing, Identities, Watched, wire};
pub(crate) use own::login_limits;

/// The providers in the order of the configuration. Files of theirs that can change are added to `changing`.
///
/// # Errors
/// One cannot be built, or the profile does not accept it.
fn chain(configured: &[IdentityConfig], profile: Profile, changing: &mut Vec<Changing>) -> Result<Chain> {
    let mut chain = Chain::default();
    for provider in configured {
        let verifier = match provider {
            IdentityConfig::Dev { path } => DevIssuer::open(path)?.verifier_builder()?,
            IdentityConfig::Jwt {
                issuer,
                audience,
                jwks_url,
                jwks_file,
                keys,
                groups_claim,
                roles_claim,
                attributes,
            } => {
                let builder = JwtVerifier::builder(issuer)
                    .audience(audience)
                    .family(match keys {
                        Keys::Rsa => KeyFamily::Rsa,
                        Keys::Ec => KeyFamily::Ec,
                        Keys::Ed => KeyFamily::Ed,
                    })
                    .groups_claim(Some(groups_claim))
                    .roles_claim(Some(roles_claim))
                    .attributes(attributes);
                match (jwks_url, jwks_file) {
                    (Some(url), _) => builder.jwks_url(url.as_str(), JwksSettings::default()),
                    (None, Some(path)) => builder.key_set(KeySet::from_jwks(&text(path)?)?),
                    (None, None) => builder,
                }
            }
            IdentityConfig::ApiTokens(configured) => {
                chain = chain.then(own::api_tokens(configured, changing)?);
                continue;
            }
            IdentityConfig::ClientCertificates(configured) => {
                chain = chain.then(own::client_certificates(configured, changing)?);
                continue;
            }
        };
        // Database drivers that know only a user name and a password send a token as the latter.
        let verifier = verifier.accept_basic_password_token(true).build()?;
        if verifier.is_development() && profile == Profile::Production {
            let problem = "the production profile refuses the development issuer, wherever its keys are configured";
            return Err(ConfigError(problem.to_owned()).into());
        }
        chain = chain.then(verifier);
    }
    Ok(chain)
}
