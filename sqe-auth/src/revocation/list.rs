//! Withdrawn rights, so that whom they cover is found at once.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqe_core::{Identity, Principal};

use super::entry::{Revocation, Revoked};

/// An id, and whose it is. `None`: everybody's.
type Scoped = (String, Option<String>);

/// Withdrawn rights that are still to be remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct List {
    credentials: HashSet<Scoped>,
    sessions: HashSet<Scoped>,
    principals: HashMap<Principal, DateTime<Utc>>,
}

impl List {
    /// Adds one, unless everything it covers has ended by itself.
    pub(super) fn add(&mut self, revocation: &Revocation, now: DateTime<Utc>) {
        if revocation.forget_at.is_some_and(|at| at <= now) {
            return;
        }
        match revocation.of.clone().normalised() {
            Revoked::Credential { id, issuer } => drop(self.credentials.insert((id, issuer))),
            Revoked::Session { id, issuer } => drop(self.sessions.insert((id, issuer))),
            Revoked::Principal { issuer, subject, up_to } => {
                let latest = self.principals.entry(Principal::new(issuer, subject)).or_insert(up_to);
                *latest = up_to.max(*latest);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.credentials.len() + self.sessions.len() + self.principals.len()
    }

    /// Whether the right of an identity, or of somebody who acts for it, is withdrawn.
    pub(super) fn covers(&self, identity: &Identity) -> bool {
        let named = |ids: &HashSet<Scoped>, id: &Option<String>| {
            let Some(id) = id else { return false };
            // Whose credential it is, the identity does not say where somebody acts as another: one of these.
            let mut issuers = parties(identity).map(|party| Some(party.issuer.clone())).chain([None]);
            !ids.is_empty() && issuers.any(|issuer| ids.contains(&(id.clone(), issuer)))
        };
        let until = |party: &Principal| {
            let up_to = self.principals.get(party);
            up_to.is_some_and(|up_to| identity.credential.issued_at.is_none_or(|issued| issued <= *up_to))
        };
        named(&self.credentials, &identity.credential.id)
            || named(&self.sessions, &identity.credential.session)
            || parties(identity).any(until)
    }
}

/// The principal, and those who act for it.
fn parties(identity: &Identity) -> impl Iterator<Item = &Principal> {
    std::iter::once(&identity.principal).chain(&identity.actors)
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use rstest::rstest;
    use sqe_core::CredentialRef;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    /// alice of `idp`, with token `t` of log-in `s`, issued at second 100; `app` of `apps` acts for her.
    fn alice() -> Identity {
        let mut alice = Identity::new(Principal::new("idp", "alice"));
        alice.actors = vec![Principal::new("apps", "app")];
        let mut credential = CredentialRef::default();
        credential.id = Some("t".into());
        credential.session = Some("s".into());
        credential.issued_at = Some(at(100));
        alice.credential = credential;
        alice
    }

    fn credential(id: &str, issuer: Option<&str>) -> Revoked {
        Revoked::Credential { id: id.into(), issuer: issuer.map(Into::into) }
    }

    fn session(id: &str, issuer: Option<&str>) -> Revoked {
        Revoked::Session { id: id.into(), issuer: issuer.map(Into::into) }
    }

    fn principal(issuer: &str, subject: &str, up_to: i64) -> Revoked {
        Revoked::Principal { issuer: issuer.into(), subject: subject.into(), up_to: at(up_to) }
    }

    #[rstest]
    #[case::token(credential("t", None), true)]
    #[case::token_of_the_issuer(credential("t", Some("idp")), true)]
    #[case::token_of_the_actors_issuer(credential("t", Some("apps")), true)]
    #[case::token_of_another_issuer(credential("t", Some("other")), false)]
    #[case::another_token(credential("t2", None), false)]
    #[case::a_log_in_of_the_tokens_name(session("t", None), false)]
    #[case::log_in(session("s", None), true)]
    #[case::log_in_of_the_issuer(session("s", Some("idp")), true)]
    #[case::log_in_of_another_issuer(session("s", Some("other")), false)]
    #[case::a_token_of_the_log_ins_name(credential("s", None), false)]
    #[case::person_later(principal("idp", "alice", 101), true)]
    #[case::person_in_that_second(principal("idp", "alice", 100), true)]
    #[case::person_before(principal("idp", "alice", 99), false)]
    #[case::actor(principal("apps", "app", 100), true)]
    #[case::actor_before(principal("apps", "app", 99), false)]
    #[case::another_person(principal("idp", "bob", 200), false)]
    #[case::a_person_of_another_issuer(principal("apps", "alice", 200), false)]
    fn a_right_is_withdrawn_by_every_name_it_has(#[case] revoked: Revoked, #[case] covers: bool) {
        let mut list = List::default();
        list.add(&Revocation::now(revoked), Utc::now());
        assert_eq!(list.covers(&alice()), covers);
    }

    #[test]
    fn who_does_not_say_when_is_one_of_those_before() {
        let mut list = List::default();
        list.add(&Revocation::now(principal("idp", "alice", 0)), Utc::now());
        let mut undated = alice();
        assert!(!list.covers(&undated));
        undated.credential.issued_at = None;
        assert!(list.covers(&undated));
        // Without names nothing but the person can be withdrawn.
        undated.credential = CredentialRef::default();
        undated.principal = Principal::new("idp", "bob");
        assert!(!list.covers(&undated));
    }

    #[test]
    fn the_latest_moment_counts_and_what_is_over_is_forgotten() {
        let mut list = List::default();
        for up_to in [50, 150, 80] {
            list.add(&Revocation::now(principal("idp", "alice", up_to)), Utc::now());
        }
        assert_eq!((list.len(), list.covers(&alice())), (1, true));
        let mut list = List::default();
        let now = Utc::now();
        let over = Revocation::now(credential("t", None)).forgotten_at(now - Duration::seconds(1));
        list.add(&over, now);
        assert_eq!((list.len(), list.covers(&alice())), (0, false));
        list.add(&Revocation::now(credential("t", None)).forgotten_at(now + Duration::seconds(1)), now);
        assert!(list.covers(&alice()));
    }

    #[test]
    fn a_fingerprint_may_be_spelled_as_tools_print_it() {
        let printed = ["AB"; 32].join(":");
        let mut list = List::default();
        let mut by_hand = Revocation::now(credential("t", None));
        by_hand.of = credential(&printed, None);
        list.add(&by_hand, Utc::now());
        let mut alice = alice();
        alice.credential.id = Some("ab".repeat(32));
        assert!(list.covers(&alice));
        let Revoked::Credential { id, .. } = Revocation::now(credential(&printed, None)).of else { panic!() };
        assert_eq!(id, "ab".repeat(32));
        for other in ["AB:CD", "t", &format!("{printed}:AB")] {
            let Revoked::Credential { id, .. } = Revocation::now(credential(other, None)).of else { panic!() };
            assert_eq!(id, other);
        }
    }
}
