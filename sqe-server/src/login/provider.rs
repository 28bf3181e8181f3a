//! What a provider says about itself (OpenID Connect Discovery 1.0; RFC 8414), and the tokens it gives.

use serde::Deserialize;
use sqe_core::{Error, Result, Secret};
use url::Url;
use zeroize::Zeroize;

use super::{
    http::{Answer, Http, Refusal},
    id_token,
};
use crate::profile::LoginConfig;

/// A provider, and this program's name there.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) http: Http,
    pub(super) config: LoginConfig,
    pub(super) metadata: Metadata,
}

/// As much of the metadata as a login needs.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: Option<String>,
    token_endpoint: String,
    jwks_uri: String,
    pub(super) device_authorization_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    /// RFC 9207, section 3.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    code_challenge_methods_supported: Option<Vec<String>>,
}

/// Tokens as they came (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct RawTokens {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

impl Drop for RawTokens {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.id_token.zeroize();
    }
}

/// Tokens of one person.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access: Secret,
    /// Seconds since 1970.
    pub(super) expires_at: Option<i64>,
    pub(super) refresh: Option<Secret>,
    /// Whose they are, by a verified ID token, if one came.
    pub(super) subject: Option<String>,
}

impl Provider {
    /// Asks the issuer about itself.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer; `InvalidInput` if what answers is another issuer.
    pub(super) async fn discover(config: LoginConfig) -> Result<Self> {
        let http = Http::new(config.ca_file.as_deref())?;
        // OpenID Connect Discovery 1.0, section 4.1.
        let address = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
        let metadata: Metadata = http.json(&address).await?;
        // Section 4.3: exactly the same, or somebody else speaks in its name.
        if metadata.issuer != config.issuer {
            return Err(Error::invalid(format!(
                "{address} speaks for the issuer {:.200}, and the profile names {}; write it as the provider does",
                metadata.issuer, config.issuer
            )));
        }
        if metadata.code_challenge_methods_supported.as_ref().is_some_and(|all| !all.iter().any(|one| one == "S256")) {
            return Err(Error::unsupported("the provider knows no PKCE with S256, and without it no login is safe"));
        }
        Ok(Self { http, config, metadata })
    }

    /// The scopes as the provider wants them, `openid` among them.
    pub(super) fn scope(&self) -> String {
        let asked = self.config.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
        std::iter::once("openid").chain(asked).collect::<Vec<_>>().join(" ")
    }

    /// Redeems a grant. With a `nonce` an ID token has to come that repeats it.
    ///
    /// # Errors
    /// `Unauthenticated` if the provider refuses, or what it gives does not hold; `Unavailable` if it does not answer.
    pub(super) async fn redeem(&self, grant: &[(&str, &str)], nonce: Option<&str>) -> Result<Tokens> {
        match self.ask(grant).await? {
            Answer::Granted(raw) => self.accept(raw, nonce).await,
            Answer::Refused(refusal) => {
                Err(Error::unauthenticated(format!("the provider refuses the login ({})", refusal.words())))
            }
        }
    }

    /// The same, where a refusal means something by its name.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem), but for refusals.
    pub(super) async fn try_redeem(&self, grant: &[(&str, &str)]) -> Result<Result<Tokens, Refusal>> {
        match self.ask(grant).await? {
            Answer::Granted(raw) => Ok(Ok(self.accept(raw, None).await?)),
            Answer::Refused(refusal) => Ok(Err(refusal)),
        }
    }

    /// Asks for the refresh token to be taken back (RFC 7009). `false`: the provider does not offer that.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer.
    pub(super) async fn revoke(&self, refresh: &Secret) -> Result<bool> {
        let Some(endpoint) = &self.metadata.revocation_endpoint else { return Ok(false) };
        let fields = [
            ("token", refresh.expose()),
            ("token_type_hint", "refresh_token"),
            ("client_id", self.config.client_id.as_str()),
        ];
        self.http.tell(endpoint, &fields).await?;
        Ok(true)
    }

    async fn ask(&self, grant: &[(&str, &str)]) -> Result<Answer<RawTokens>> {
        let mut fields = grant.to_vec();
        fields.push(("client_id", &self.config.client_id));
        if let Some(resource) = &self.config.resource {
            fields.push(("resource", resource));
        }
        self.http.form(&self.metadata.token_endpoint, &fields).await
    }

    async fn accept(&self, mut raw: RawTokens, nonce: Option<&str>) -> Result<Tokens> {
        if !raw.token_type.eq_ignore_ascii_case("bearer") {
            return Err(Error::unsupported("the provider gives tokens of a kind that cannot be used here"));
        }
        let subject = match (&raw.id_token, nonce) {
            (Some(token), nonce) => {
                let keys = self.http.json(&self.metadata.jwks_uri).await?;
                Some(id_token::verify(token, &keys, &self.metadata.issuer, &self.config.client_id, nonce)?)
            }
            (None, Some(_)) => return Err(Error::unauthenticated("the provider gave no ID token")),
            (None, None) => None,
        };
        let lifetime = raw.expires_in.and_then(|seconds| i64::try_from(seconds).ok());
        Ok(Tokens {
            access: Secret::new(std::mem::take(&mut raw.access_token)),
            expires_at: lifetime.map(|seconds| chrono::Utc::now().timestamp().saturating_add(seconds)),
            refresh: raw.refresh_token.take().map(Secret::new),
            subject,
        })
    }

    /// Where a browser is sent.
    ///
    /// # Errors
    /// `Unsupported` if the provider has no such page.
    pub(super) fn authorization(&self, fields: &[(&str, &str)]) -> Result<Url> {
        let endpoint = self.metadata.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| Error::unsupported("the provider offers no login by a browser"))?;
        let mut url = Url::parse(endpoint)
            .map_err(|error| Error::unavailable("the provider's login page has no address").with_source(error))?;
        // It goes to a program of the person's desktop, which would start others for other schemes.
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Error::invalid("the provider's login page is no web page"));
        }
        let mut query = url.query_pairs_mut();
        query.extend_pairs(fields);
        query.append_pair("client_id", &self.config.client_id);
        query.append_pair("scope", &self.scope());
        if let Some(resource) = &self.config.resource {
            query.append_pair("resource", resource);
        }
        drop(query);
        Ok(url)
    }
}
