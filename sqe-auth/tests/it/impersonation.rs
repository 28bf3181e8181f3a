//! Acting as somebody else.

use std::{fs, path::Path, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rstest::rstest;
use sqe_auth::{Impersonation, MAY_NOT_ACT, NOT_ACCEPTED};
use sqe_core::{
    CredentialRef, Credentials, Error, ErrorKind, Identity, IdentityProvider, Principal, Result, Secret,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use tempfile::TempDir;

use crate::forge::{bearer, cause};

const APPS: &str = "urn:apps";
const IDP: &str = "https://idp.example";

const PEOPLE: &str = r#"
    people = [
        { issuer = "https://idp.example", subject = "alice", groups = ["analysts"], roles = ["r"], display_name = "Alice" },
        { issuer = "https://idp.example", subject = "bob", groups = ["analysts"] },
        { issuer = "https://idp.example", subject = "root", groups = ["analysts", "admins"] },
        { issuer = "https://idp.example", subject = "carol" },
        { issuer = "https://idp.example", subject = "dana", groups = ["analysts"] },
        { issuer = "urn:apps", subject = "dashboard", groups = ["analysts"] },
        { issuer = "urn:apps", subject = "gateway", groups = ["analysts"] },
    ]
"#;

const RULES: &str = r#"
    administrators = ["admins"]
    [[rules]]
    actor = { issuer = "urn:apps", subject = "dashboard" }
    groups = ["analysts"]
    [[rules]]
    actor = { issuer = "urn:apps", subject = "gateway" }
    people = ["carol"]
    [[rules]]
    actor = { issuer = "https://idp.example", subject = "dana" }
    people = ["bob", "dashboard"]
    [[rules]]
    actor = { issuer = "urn:apps", subject = "portal" }
    people = ["dana"]
"#;

/// Knows apps and people by the tokens `NAME-secret`; `delegated-secret` is dana, for whom `dashboard` acts.
#[derive(Debug)]
struct Inner;

fn expiry() -> DateTime<Utc> {
    "2100-01-01T00:00:00Z".parse().unwrap()
}

#[async_trait]
impl IdentityProvider for Inner {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        let Credentials::Bearer(token) = credentials else { return Ok(None) };
        let Some(name) = token.expose().strip_suffix("-secret") else { return Ok(None) };
        let (issuer, subject) = match name {
            "dashboard" | "gateway" | "portal" => (APPS, name),
            "alice" | "carol" | "dana" => (IDP, name),
            "delegated" => (IDP, "dana"),
            _ => return Err(Error::unauthenticated(NOT_ACCEPTED)),
        };
        let mut identity = Identity::new(Principal::new(issuer, subject)).with_groups(["of the token"]);
        if name == "delegated" {
            identity.actors = vec![Principal::new(APPS, "dashboard")];
        }
        identity.expires_at = Some(expiry());
        identity.proof = Some(Secret::new("the actor's own proof"));
        let mut credential = CredentialRef::default();
        credential.id = Some(format!("id of {name}"));
        identity.credential = credential;
        Ok(Some(identity))
    }
}

fn open(folder: &Path) -> Impersonation {
    Impersonation::open(Arc::new(Inner), folder.join("people.toml"), folder.join("rules.toml")).unwrap()
}

fn provider() -> (TempDir, Impersonation) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("people.toml"), PEOPLE).unwrap();
    fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let provider = open(folder.path());
    (folder, provider)
}

fn acting(actor: &str, subject: &str) -> Credentials {
    let actor = Box::new(bearer(format!("{actor}-secret")));
    Credentials::ActingAs { actor, subject: subject.to_owned() }
}

async fn accepted(provider: &Impersonation, credentials: &Credentials) -> Identity {
    provider.authenticate(credentials).await.unwrap_or_else(|error| panic!("{error:?}")).expect("it is recognised")
}

#[tokio::test]
async fn the_identity_is_the_persons_and_the_credential_the_actors() {
    let (_folder, provider) = provider();
    let alice = accepted(&provider, &acting("dashboard", "alice")).await;
    assert_eq!(alice.principal, Principal::new(IDP, "alice"));
    assert_eq!(alice.actors, [Principal::new(APPS, "dashboard")]);
    assert!(alice.groups.contains("analysts") && !alice.groups.contains("of the token"));
    assert!(alice.roles.contains("r") && alice.display_name.as_deref() == Some("Alice"));
    assert_eq!(alice.expires_at, Some(expiry()));
    assert_eq!(alice.credential.id.as_deref(), Some("id of dashboard"));
    assert!(alice.proof.is_none(), "nobody showed a proof of hers");
    // Without asking for anybody, everybody is who they are.
    let dashboard = accepted(&provider, &bearer("dashboard-secret")).await;
    assert_eq!(dashboard.principal, Principal::new(APPS, "dashboard"));
    assert!(dashboard.actors.is_empty() && dashboard.proof.is_some());
}

#[tokio::test]
async fn it_passes_the_kit() {
    let (_folder, provider) = provider();
    let fixture = IdentityFixture::new(acting("dashboard", "alice"), Principal::new(IDP, "alice"))
        .accepted(acting("dashboard", "https://idp.example#bob"), Principal::new(IDP, "bob"))
        .accepted(bearer("gateway-secret"), Principal::new(APPS, "gateway"))
        .foreign(bearer("not of this kind"))
        .foreign(Credentials::ActingAs { actor: Box::new(bearer("not of this kind")), subject: "alice".to_owned() })
        .rejected(FORGED, acting("eve", "alice"))
        .rejected(
            "transitive",
            Credentials::ActingAs { actor: Box::new(acting("dashboard", "alice")), subject: "bob".to_owned() },
        )
        .without(EXPIRED)
        .without(WRONG_AUDIENCE)
        .secret("the actor's own proof");
    check(&provider, &fixture).await.unwrap();
}

#[rstest]
#[case::nobody_of_that_name("dashboard", "nobody")]
#[case::somebody_in_no_group("dashboard", "carol")]
#[case::an_administrator("dashboard", "root")]
#[case::another_actor("dashboard", "gateway")]
#[case::oneself("dashboard", "dashboard")]
#[case::another_person_who_is_an_actor("dashboard", "dana")]
#[case::oneself_with_the_groups_of_the_file("dana", "dana")]
#[case::without_a_rule("carol", "alice")]
#[case::one_of_ones_actors("delegated", "dashboard")]
#[case::empty("dashboard", "")]
#[tokio::test]
async fn who_may_not_is_told_the_same_whether_there_is_such_a_person_or_not(
    #[case] actor: &str,
    #[case] subject: &str,
) {
    let (_folder, provider) = provider();
    let error = provider.authenticate(&acting(actor, subject)).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::PermissionDenied, MAY_NOT_ACT), "{error:?}");
    assert!(!cause(&error).is_empty(), "the operator learns why");
    accepted(&provider, &acting("dashboard", "alice")).await;
    accepted(&provider, &acting("gateway", "carol")).await;
    accepted(&provider, &acting("dana", "dashboard")).await;
}

#[tokio::test]
async fn acting_is_never_transitive() {
    let (_folder, provider) = provider();
    // portal may act as dana, and dana may act as bob.
    accepted(&provider, &acting("portal", "dana")).await;
    accepted(&provider, &acting("dana", "bob")).await;
    assert_eq!(provider.authenticate(&acting("portal", "bob")).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let twice = Credentials::ActingAs { actor: Box::new(acting("portal", "dana")), subject: "bob".to_owned() };
    let error = provider.authenticate(&twice).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, NOT_ACCEPTED));
}

#[tokio::test]
async fn those_who_act_for_the_actor_stay_in_the_chain() {
    let (_folder, provider) = provider();
    let bob = accepted(&provider, &acting("delegated", "bob")).await;
    assert_eq!(bob.principal, Principal::new(IDP, "bob"));
    assert_eq!(bob.actors, [Principal::new(IDP, "dana"), Principal::new(APPS, "dashboard")]);
}

#[tokio::test]
async fn a_reload_ends_those_whose_rule_or_person_changed() {
    let (folder, provider) = provider();
    let alice = accepted(&provider, &acting("dashboard", "alice")).await;
    let bob = accepted(&provider, &acting("dashboard", "bob")).await;
    let carol = accepted(&provider, &acting("gateway", "carol")).await;
    let herself = accepted(&provider, &bearer("alice-secret")).await;
    let all = [&alice, &bob, &carol, &herself];
    let covered = |provider: &Impersonation| {
        let withdrawn = provider.reload().unwrap();
        all.map(|identity| withdrawn.covers(identity))
    };
    assert_eq!(covered(&provider), [false; 4]);

    // bob left, alice changed groups, carol's rule goes on.
    let people = PEOPLE.replace("subject = \"bob\", groups = [\"analysts\"]", "subject = \"bob\"");
    fs::write(folder.path().join("people.toml"), people.replace("roles = [\"r\"]", "roles = [\"s\"]")).unwrap();
    assert_eq!(covered(&provider), [true, true, false, false]);
    assert_eq!(
        provider.authenticate(&acting("dashboard", "bob")).await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    assert!(accepted(&provider, &acting("dashboard", "alice")).await.roles.contains("s"));

    fs::write(folder.path().join("rules.toml"), "").unwrap();
    assert_eq!(covered(&provider), [false, false, true, false], "the others ended before");
    assert_eq!(
        provider.authenticate(&acting("gateway", "carol")).await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );

    // Files that cannot be read leave the rules as they are: nobody may.
    fs::write(folder.path().join("people.toml"), "garbage").unwrap();
    fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    assert_eq!(provider.reload().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(
        provider.authenticate(&acting("gateway", "carol")).await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
}

#[cfg(unix)]
#[test]
fn files_that_others_can_write_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, _provider) = provider();
    for name in ["people.toml", "rules.toml"] {
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let refused =
            Impersonation::open(Arc::new(Inner), folder.path().join("people.toml"), folder.path().join("rules.toml"));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied, "{name}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    open(folder.path());
}
