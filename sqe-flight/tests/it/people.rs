//! Who may log in, and what they may do.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use sqe_core::{
    Action, Credentials, Decision, Error, Identity, IdentityProvider, PolicyEngine, PolicyRequest, Principal, Resource,
    Result,
};
use std::sync::Arc;

/// Knows tokens, passwords and certificates: `alice-token`, `alice` with `alice-password`, a certificate in which the name
/// `alice` stands, and so on. Counts how often it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct People {
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    pub(crate) ends: Arc<Mutex<BTreeMap<String, DateTime<Utc>>>>,
}

const PEOPLE: [&str; 3] = ["alice", "bob", "mallory"];

#[async_trait]
impl IdentityProvider for People {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let subject = match credentials {
            Credentials::Bearer(token) => token.expose().split_once("-token").map(|(name, _)| name.to_owned()),
            Credentials::Basic { username, password } => {
                (password.expose() == format!("{username}-password")).then(|| username.clone())
            }
            Credentials::ClientCertificate(chain) => {
                let own = chain.certificates().next().unwrap_or_default();
                let named = |name: &&str| own.windows(name.len()).any(|bytes| bytes == name.as_bytes());
                PEOPLE.iter().find(|name| named(name)).map(|name| (*name).to_owned())
            }
            _ => None,
        };
        self.asked.lock().push(subject.clone().unwrap_or_default());
        let subject = subject
            .filter(|subject| PEOPLE.contains(&subject.as_str()))
            .ok_or_else(|| Error::unauthenticated("a reason that nobody may see"))?;
        let mut identity = Identity::new(Principal::new("test", &subject));
        identity.expires_at = self.ends.lock().get(&subject).copied();
        Ok(Some(identity))
    }
}

/// bob may do everything; alice too, but may only know of `secret`; mallory may do nothing. What alice may select of
/// `words` and of `gated` can change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) words: Arc<Mutex<Option<Decision>>>,
    pub(crate) gated: Arc<Mutex<Option<Decision>>>,
}

#[async_trait]
impl PolicyEngine for Rules {
    async fn decide(&self, request: &PolicyRequest<'_>) -> Result<Vec<Decision>> {
        let subject = request.identity.principal.subject.as_str();
        let decide = |action: Action, resource: &Resource| {
            let secret = matches!(resource, Resource::Table(table) if table.id.name.table == "secret");
            let knows = matches!(action, Action::Discover | Action::Describe);
            let named = |name: &str| matches!(resource, Resource::Table(table) if table.id.name.table == name);
            match subject {
                "bob" => Decision::permit(),
                "alice" if named("words") && action == Action::Select => {
                    self.words.lock().clone().unwrap_or_else(Decision::permit)
                }
                "alice" if named("gated") && action == Action::Select => {
                    self.gated.lock().clone().unwrap_or_else(Decision::permit)
                }
                "alice" if !secret || knows => Decision::permit(),
                _ => Decision::deny(),
            }
        };
        Ok(request.accesses.iter().map(|access| decide(access.action, &access.resource)).collect())
    }
}
