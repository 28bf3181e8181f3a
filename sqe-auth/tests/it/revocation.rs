//! Rights that end before their time.

use std::{fs, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rstest::rstest;
use sqe_auth::{NOT_ACCEPTED, NotRevoked, Revocation, RevocationFile, Revocations, Revoked};
use sqe_core::{
    CredentialRef, Credentials, Error, ErrorKind, Identity, IdentityProvider, Principal, Result,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use tempfile::TempDir;

use crate::forge::{bearer, cause};

const IDP: &str = "https://idp.example";

/// Knows tokens `NAME-secret`, whose id is `id-NAME` and which come from the log-in `login`.
#[derive(Debug)]
struct Inner;

#[async_trait]
impl IdentityProvider for Inner {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(token) = credentials else { return Ok(None) };
        match token.expose().strip_suffix("-secret") {
            None => Ok(None),
            Some("eve") => Err(Error::unauthenticated(NOT_ACCEPTED)),
            Some(name) => Ok(Some(person(name))),
        }
    }
}

fn issued() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn person(name: &str) -> Identity {
    let mut identity = Identity::new(Principal::new(IDP, name));
    let mut credential = CredentialRef::default();
    credential.id = Some(format!("id-{name}"));
    credential.session = Some("login".to_owned());
    credential.issued_at = Some(issued());
    identity.credential = credential;
    identity
}

fn token(id: &str) -> Revocation {
    Revocation::now(Revoked::Credential { id: id.to_owned(), issuer: Some(IDP.to_owned()) })
}

fn guarded(revocations: &Arc<Revocations>) -> NotRevoked {
    NotRevoked::new(Arc::new(Inner), Arc::clone(revocations))
}

async fn is_in(provider: &NotRevoked, name: &str) -> bool {
    match provider.authenticate(&bearer(format!("{name}-secret"))).await {
        Ok(Some(_)) => true,
        Err(error) => {
            assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, NOT_ACCEPTED));
            assert!(cause(&error).contains("withdrawn"), "{error:?}");
            false
        }
        Ok(None) => panic!("it is recognised"),
    }
}

#[tokio::test]
async fn it_passes_the_kit() {
    let revocations = Arc::new(Revocations::in_memory());
    let _ = revocations.add(&token("id-bob")).unwrap();
    let fixture = IdentityFixture::new(bearer("alice-secret"), Principal::new(IDP, "alice"))
        .foreign(bearer("not of this kind"))
        .rejected("revoked", bearer("bob-secret"))
        .rejected(FORGED, bearer("eve-secret"))
        .without(EXPIRED)
        .without(WRONG_AUDIENCE);
    check(&guarded(&revocations), &fixture).await.unwrap();
}

#[tokio::test]
async fn what_is_added_to_the_file_is_found_and_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.jsonl");
    assert_eq!(Revocations::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let file = RevocationFile::at(&path);
    file.create().unwrap();
    let revocations = Arc::new(Revocations::open(&path).unwrap());
    let provider = guarded(&revocations);
    assert!(revocations.is_empty() && is_in(&provider, "alice").await);
    assert!(revocations.reload_if_changed().unwrap().is_none());

    file.append(&token("id-alice").because("laptop lost")).unwrap();
    assert!(is_in(&provider, "alice").await, "nobody looked yet");
    let withdrawn = revocations.reload_if_changed().unwrap().expect("it changed");
    assert!(withdrawn.covers(&person("alice")) && !withdrawn.covers(&person("bob")));
    assert!(!is_in(&provider, "alice").await && is_in(&provider, "bob").await);
    assert!(revocations.reload_if_changed().unwrap().is_none(), "only once");

    // It outlives a restart.
    let again = Arc::new(Revocations::open(&path).unwrap());
    assert!(!is_in(&guarded(&again), "alice").await);

    // A line that is removed gives the right back.
    file.create().unwrap();
    fs::write(&path, "").unwrap();
    let _ = revocations.reload().unwrap();
    assert!(is_in(&provider, "alice").await);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_is_tried_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.jsonl");
    let file = RevocationFile::at(&path);
    file.append(&token("id-alice")).unwrap();
    let revocations = Arc::new(Revocations::open(&path).unwrap());
    let provider = guarded(&revocations);
    let good = fs::read_to_string(&path).unwrap();

    fs::write(&path, "garbage\n").unwrap();
    for _ in 0..2 {
        let error = revocations.reload_if_changed().unwrap_err();
        assert!(error.message().contains("line 1"), "{error}");
        assert!(!is_in(&provider, "alice").await && is_in(&provider, "bob").await);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(revocations.reload_if_changed().unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!is_in(&provider, "alice").await);

    fs::write(&path, &good).unwrap();
    file.append(&token("id-bob")).unwrap();
    assert!(revocations.reload_if_changed().unwrap().is_some());
    assert!(!is_in(&provider, "alice").await && !is_in(&provider, "bob").await);
}

#[tokio::test]
async fn what_a_program_adds_is_in_force_at_once_and_in_the_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.jsonl");
    RevocationFile::at(&path).create().unwrap();
    let revocations = Arc::new(Revocations::open(&path).unwrap());
    let session = Revoked::Session { id: "login".to_owned(), issuer: Some(IDP.to_owned()) };
    let withdrawn = revocations.add(&Revocation::now(session)).unwrap();
    assert!(withdrawn.covers(&person("alice")) && withdrawn.covers(&person("bob")));
    assert!(!is_in(&guarded(&revocations), "alice").await);
    assert_eq!(Revocations::open(&path).unwrap().len(), 1);
    let _ = revocations.reload_if_changed().unwrap();
    assert_eq!(revocations.len(), 1);
    // A file that cannot be written is an error, and the right is withdrawn all the same.
    fs::remove_dir_all(folder.path()).unwrap();
    let bob = Revoked::Principal { issuer: IDP.to_owned(), subject: "bob".to_owned(), up_to: Utc::now() };
    let memory = Arc::new(revocations);
    assert_eq!(memory.add(&Revocation::now(bob)).unwrap_err().kind(), ErrorKind::Unavailable);
    let mut elsewhere = person("bob");
    elsewhere.credential.session = None;
    assert!(memory.covers(&elsewhere));
}

#[tokio::test]
async fn everything_issued_up_to_a_moment_ends_and_what_comes_later_does_not() {
    let revocations = Arc::new(Revocations::in_memory());
    let up_to = |second: &str| Revoked::Principal {
        issuer: IDP.to_owned(),
        subject: "alice".to_owned(),
        up_to: second.parse().unwrap(),
    };
    let _ = revocations.add(&Revocation::now(up_to("2025-12-31T23:59:59Z"))).unwrap();
    assert!(is_in(&guarded(&revocations), "alice").await, "her token is younger");
    let _ = revocations.add(&Revocation::now(up_to("2026-01-01T00:00:00Z"))).unwrap();
    assert!(!is_in(&guarded(&revocations), "alice").await);
    assert!(is_in(&guarded(&revocations), "bob").await);
}

#[rstest]
#[case::no_json("garbage")]
#[case::half_a_line(r#"{"of":{"credential":{"id":"t"}},"at":"2026-01-01T00:00"#)]
#[case::an_unknown_kind(r#"{"of":{"group":{"id":"t"}},"at":"2026-01-01T00:00:00Z"}"#)]
#[case::an_unknown_member(r#"{"of":{"credential":{"id":"t","until":1}},"at":"2026-01-01T00:00:00Z"}"#)]
#[case::without_id(r#"{"of":{"credential":{"issuer":"t"}},"at":"2026-01-01T00:00:00Z"}"#)]
#[case::an_empty_id(r#"{"of":{"credential":{"id":""}},"at":"2026-01-01T00:00:00Z"}"#)]
#[case::no_moment(r#"{"of":{"principal":{"issuer":"urn:a","subject":"b"}},"at":"2026-01-01T00:00:00Z"}"#)]
#[case::two_in_a_line(r#"{"of":{"credential":{"id":"t"}},"at":"2026-01-01T00:00:00Z"} {}"#)]
fn a_line_that_is_wrong_is_refused_as_a_whole(#[case] line: &str) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revoked.jsonl");
    let good = r#"{"of":{"credential":{"id":"t"}},"at":"2026-01-01T00:00:00Z"}"#;
    fs::write(&path, format!("{good}\n\n{good}\n")).unwrap();
    assert_eq!(Revocations::open(&path).unwrap().len(), 1);
    fs::write(&path, format!("{good}\n\n{line}\n")).unwrap();
    let error = Revocations::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("line 3"), "{error}");
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let folder = TempDir::new().unwrap();
    let file = RevocationFile::at(folder.path().join("revoked.jsonl"));
    for wrong in [token(""), token("a\nb"), token(&"x".repeat(2000)), token("t").because("a\nb")] {
        assert_eq!(file.append(&wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(Revocations::in_memory().add(&wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    file.append(&token("t")).unwrap();
}
