//! Acting as somebody else, where an operator permits it.

mod rules;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::RwLock;
use sqe_core::{Credentials, Error, Identity, IdentityProvider, Result};
use thiserror::Error as ThisError;

use crate::{
    Withdrawn,
    operator_file::OperatorFile,
    people::People,
    rejection::{NOT_ACCEPTED, Shown},
};
use rules::Rules;

/// What somebody is told who may not act as whom they ask for: the same whether there is such a person or not.
pub const MAY_NOT_ACT: &str = "you may not act as this person; ask the operator for a rule";

/// The longest chain of actors. Nobody needs more, and each costs every audit record.
const MAX_ACTORS: usize = 8;

/// Lets programs act as people, where a rule of the operator permits it: a dashboard that shows each of its visitors what
/// *they* may see.
///
/// It asks the provider inside of it about every credential. For [`Credentials::ActingAs`] it has the provider prove the
/// one who asks, and then gives the identity of the person they ask for, as the file of people describes it, if a rule
/// permits that. Everything that runs then runs as that person: policies, leases and the audit trail bind to them, and
/// the trail names the one who asked among the actors.
///
/// - The actors are the one who asked, then whoever acts on their behalf.
/// - The identity ends when the asking credential does, and is revoked by that credential's names.
/// - It has no proof: a catalog that wants to see the person's own token refuses it. Nobody has that token.
/// - It is never transitive: what may be done as somebody does not contain acting as a third person.
/// - Nobody acts as themselves, which could give them other groups than their token does, nor as one of their own actors.
/// - Rules name people, or groups of which they may be members. Whoever may act as others, and the members of the groups
///   that are said to be administrators, are reached by name alone.
///
/// ```toml
/// # people.toml: those whom others may act as
/// [[people]]
/// issuer = "https://idp.example"
/// subject = "alice"
/// groups = ["analysts"]
/// ```
///
/// ```toml
/// # may-act.toml
/// administrators = ["admins"]              # groups
///
/// [[rules]]
/// actor = { issuer = "urn:example:tokens", subject = "dashboard" }
/// groups = ["analysts"]                    # everybody in one of these
/// people = ["https://idp.example#bob"]     # or `bob`, if only one issuer has one
/// ```
///
/// Whoever is proven and may not act so is `PermissionDenied`, with [`MAY_NOT_ACT`] for every reason, one of which is that
/// there is no such person. It is not `Unauthenticated`: the credentials are good, and logging in again would not help.
#[derive(Debug)]
pub struct Impersonation {
    inner: Arc<dyn IdentityProvider>,
    people: OperatorFile,
    rules: OperatorFile,
    known: RwLock<Arc<Known>>,
}

/// What the files say.
#[derive(Debug, Default)]
struct Known {
    people: People,
    rules: Rules,
}

/// Why somebody may not act as somebody.
#[derive(Debug, ThisError)]
enum Refused {
    #[error("{actor} asked to act as {subject}, and nobody, or nobody alone, has this name in the file of people")]
    Nobody { actor: String, subject: Shown },
    #[error("{actor} asked to act as {subject}, and no rule permits it")]
    NoRule { actor: String, subject: Shown },
    #[error("{actor} asked to act as {subject}, who is one of those that act on their behalf, or there are too many")]
    Chain { actor: String, subject: Shown },
}

impl From<Refused> for Error {
    fn from(reason: Refused) -> Self {
        Error::denied(MAY_NOT_ACT).with_source(reason)
    }
}

/// Why credentials are not accepted before anybody is asked.
#[derive(Debug, ThisError)]
#[error("somebody who acts as another asked to act as a third")]
struct Transitive;

impl Impersonation {
    /// Lets those whom `inner` proves act as people of a file by the rules of another. It blocks on the file system.
    ///
    /// # Errors
    /// `InvalidInput` if a file's contents cannot be used; `NotFound`, `PermissionDenied` (somebody else could change it)
    /// or `Unavailable` if it cannot be read.
    pub fn open(
        inner: Arc<dyn IdentityProvider>,
        people: impl Into<PathBuf>,
        rules: impl Into<PathBuf>,
    ) -> Result<Self> {
        let (people, rules): (PathBuf, PathBuf) = (people.into(), rules.into());
        let (people, rules) = (People::file(Path::new(&people)), Rules::file(Path::new(&rules)));
        let known = RwLock::new(Arc::new(Known::read(&people, &rules)?));
        Ok(Self { inner, people, rules, known })
    }

    /// Reads both files again, and says who may no longer act as somebody, or as somebody with other groups. It blocks on
    /// the file system.
    ///
    /// # Errors
    /// As [`open`](Self::open). What was read before then stays in force.
    pub fn reload(&self) -> Result<Withdrawn> {
        let new = Arc::new(Known::read(&self.people, &self.rules)?);
        let old = std::mem::replace(&mut *self.known.write(), Arc::clone(&new));
        Ok(Withdrawn::new(move |identity| old.gives(identity) && !new.gives(identity)))
    }

    async fn act(&self, actor: &Credentials, subject: &str) -> Result<Option<Identity>> {
        if matches!(actor, Credentials::ActingAs { .. }) {
            return Err(Error::unauthenticated(NOT_ACCEPTED).with_source(Transitive));
        }
        let Some(actor) = self.inner.authenticate(actor).await? else { return Ok(None) };
        let known = Arc::clone(&self.known.read());
        let asked = || (actor.principal.to_string(), Shown::new(subject));
        let refused = match known.people.spelled(subject) {
            None => {
                let (actor, subject) = asked();
                Refused::Nobody { actor, subject }
            }
            Some(person) if !known.rules.permit(&actor.principal, person) => {
                let (actor, subject) = asked();
                Refused::NoRule { actor, subject }
            }
            Some(person) if actor.actors.contains(&person.principal()) || actor.actors.len() >= MAX_ACTORS => {
                let (actor, subject) = asked();
                Refused::Chain { actor, subject }
            }
            Some(person) => {
                let mut identity = Identity::new(person.principal());
                person.complete(&mut identity);
                identity.expires_at = actor.expires_at;
                identity.credential = actor.credential;
                identity.actors = std::iter::once(actor.principal).chain(actor.actors).collect();
                return Ok(Some(identity));
            }
        };
        // Nobody else sees it: the trail begins with the first statement.
        tracing::warn!(reason = %refused, "somebody may not act as another");
        Err(refused.into())
    }
}

impl Known {
    fn read(people: &OperatorFile, rules: &OperatorFile) -> Result<Self> {
        let people = People::read(people)?;
        let (text, _) = rules.read()?;
        let rules = Rules::parse(rules, &text, &people)?;
        Ok(Self { people, rules })
    }

    /// Whether this is what somebody gets who asks to act as this person.
    fn gives(&self, identity: &Identity) -> bool {
        let (Some(actor), Some(person)) = (identity.actors.first(), self.people.of(&identity.principal)) else {
            return false;
        };
        let mut given = identity.clone();
        person.complete(&mut given);
        given == *identity && self.rules.permit(actor, person)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for Impersonation {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        match credentials {
            Credentials::ActingAs { actor, subject } => self.act(actor, subject).await,
            _ => self.inner.authenticate(credentials).await,
        }
    }
}

/// Reads both files from any text, and asks for somebody of any name.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(text: &str) {
    let path = Path::new("fuzz");
    let people = People::parse(&People::file(path), text).unwrap_or_default();
    let rules = Rules::parse(&Rules::file(path), text, &people).unwrap_or_default();
    if let Some(person) = people.spelled(text.lines().next().unwrap_or_default()) {
        let _ = rules.permit(&person.principal(), person);
    }
}
