//! An identity provider of one's own: API tokens, of which only hashes are kept.

use anyhow::{Context, Error, Result, ensure};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use sqe_core::{
    Credentials, ErrorKind, Identity, IdentityProvider, Principal, Secret,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

// ANCHOR: provider
/// What tokens begin with, so that others' are told apart without a look at the table.
const PREFIX: &str = "shop_";

#[derive(Debug)]
struct Entry {
    subject: String,
    groups: Vec<String>,
    expires_at: DateTime<Utc>,
    // A plain hash is enough for what nobody can guess. A password would need a slow, salted one.
    hash: [u8; 32],
}

#[derive(Debug, Default)]
struct ApiTokens(Vec<Entry>);

impl ApiTokens {
    /// A new token, which nobody can be told again: only its hash stays here.
    fn issue(&mut self, subject: &str, groups: &[&str], lifetime: TimeDelta) -> Secret {
        let token = Secret::new(format!("{PREFIX}{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
        self.0.push(Entry {
            subject: subject.to_owned(),
            groups: groups.iter().map(ToString::to_string).collect(),
            expires_at: Utc::now() + lifetime,
            hash: Sha256::digest(token.expose()).into(),
        });
        token
    }
}

#[async_trait]
impl IdentityProvider for ApiTokens {
    async fn authenticate(&self, credentials: &Credentials) -> sqe_core::Result<Option<Identity>> {
        // Not of this kind: in a chain the next provider is asked.
        let Credentials::Bearer(token) = credentials else { return Ok(None) };
        if !token.expose().starts_with(PREFIX) {
            return Ok(None);
        }
        // Of this kind and wrong: the end. Whoever shows it is not told what is wrong; the log is.
        let rejected = |reason: &'static str| {
            sqe_core::Error::unauthenticated("the token was not accepted; log in again").with_source(reason)
        };
        let hash: [u8; 32] = Sha256::digest(token.expose()).into();
        // All entries are compared, each in constant time: how long it takes says nothing about any of them.
        let mut found = None;
        for entry in &self.0 {
            if bool::from(entry.hash.ct_eq(&hash)) {
                found = Some(entry);
            }
        }
        let entry = found.ok_or_else(|| rejected("nobody has this token"))?;
        if entry.expires_at <= Utc::now() {
            return Err(rejected("the token has expired"));
        }
        // The expiry goes along, so that a session ends when its token does.
        let identity = Identity::new(Principal::new("shop-tokens", &entry.subject));
        Ok(Some(identity.with_groups(&entry.groups).with_expiry(entry.expires_at)))
    }
}
// ANCHOR_END: provider

#[tokio::main]
async fn main() -> Result<()> {
    let mut tokens = ApiTokens::default();
    let ana = tokens.issue("ana", &["clerk"], TimeDelta::hours(8));
    let ben = tokens.issue("ben", &[], TimeDelta::hours(8));
    let old = tokens.issue("ana", &["clerk"], TimeDelta::hours(-1));

    let known = tokens.authenticate(&Credentials::Bearer(ana.clone())).await?.context("ana is not known")?;
    println!("{known:?}");
    ensure!(known.principal.subject == "ana" && known.groups.contains("clerk"), "the token of ana proves {known:?}");

    let refused = tokens.authenticate(&Credentials::Bearer(old.clone())).await.err().context("an old token is good")?;
    println!("{refused}");
    ensure!(refused.kind() == ErrorKind::Unauthenticated, "an old token is {}", refused.kind());

    // ANCHOR: kit
    let principal = |subject: &str| Principal::new("shop-tokens", subject);
    let basic = Credentials::Basic { username: "ana".to_owned(), password: "a password".into() };
    let fixture = IdentityFixture::new(Credentials::Bearer(ana), principal("ana"))
        .accepted(Credentials::Bearer(ben), principal("ben"))
        .foreign(basic)
        .foreign(Credentials::Bearer("eyJhbGciOi.somebody.elses".into()))
        .rejected(EXPIRED, Credentials::Bearer(old))
        .rejected(FORGED, Credentials::Bearer(format!("{PREFIX}{}", Uuid::new_v4().simple()).into()))
        .without(WRONG_AUDIENCE);
    check(&tokens, &fixture).await.map_err(Error::msg)
    // ANCHOR_END: kit
}
