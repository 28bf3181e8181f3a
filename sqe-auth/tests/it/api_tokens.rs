//! Tokens that the operator hands out.

use std::{fs, path::Path, time::Duration};

use rstest::rstest;
use sqe_auth::{ApiTokenSettings, ApiTokens, Chain, NOT_ACCEPTED, NewApiToken, TokenFile};
use sqe_core::{
    Credentials, ErrorKind, Identity, IdentityProvider, Principal, Secret,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use tempfile::TempDir;

use crate::forge::{Forge, bearer, cause, verifier};

const ISSUER: &str = "urn:example:tokens";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn etl() -> Principal {
    Principal::new(ISSUER, "etl")
}

fn new_token() -> NewApiToken {
    NewApiToken::new(etl(), 30 * DAY, "nightly load")
}

fn folder() -> (TempDir, TokenFile) {
    let folder = TempDir::new().unwrap();
    let file = TokenFile::at(folder.path().join("tokens.jsonl"));
    (folder, file)
}

fn open(folder: &Path) -> ApiTokens {
    let mut settings = ApiTokenSettings::default();
    settings.at_once = 1;
    ApiTokens::open(folder.join("tokens.jsonl"), settings).unwrap()
}

async fn accepted(tokens: &ApiTokens, token: &Secret) -> Identity {
    let credentials = Credentials::Bearer(token.clone());
    tokens.authenticate(&credentials).await.unwrap_or_else(|error| panic!("{error:?}")).expect("it is recognised")
}

async fn rejected(tokens: &ApiTokens, token: &str) -> String {
    let error = tokens.authenticate(&bearer(token)).await.expect_err("the token is rejected");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, NOT_ACCEPTED), "{error:?}");
    assert!(!format!("{error:?}").contains(token), "an error shows the token");
    cause(&error)
}

/// A file of one token, which nobody has.
fn folder_with_a_line() -> (TempDir, TokenFile) {
    let (folder, file) = folder();
    let line = concat!(
        r#"{"token":{"id":"0123456789ab","issuer":"urn:example:tokens","subject":"etl","description":"nightly load","#,
        r#""created_at":"2026-01-01T00:00:00Z","expires_at":"2026-12-31T00:00:00Z"},"#,
        r#""hash":"$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"}"#,
    );
    let path = folder.path().join("tokens.jsonl");
    fs::write(&path, line).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (folder, file)
}

/// The file with one member of its only record changed.
fn change(folder: &Path, from: &str, to: &str) {
    let path = folder.join("tokens.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_token_proves_what_its_file_says() {
    let (folder, file) = folder();
    let mut new = new_token();
    new.groups.insert("loaders".to_owned());
    new.roles.insert("writer".to_owned());
    new.attributes.insert("team".to_owned(), "data".to_owned());
    let (made, token) = file.create(new).unwrap();
    let identity = accepted(&open(folder.path()), &token).await;
    assert_eq!(identity.principal, etl());
    assert!(identity.groups.contains("loaders") && identity.roles.contains("writer"));
    assert_eq!(identity.attributes["team"], "data");
    assert_eq!(identity.expires_at, Some(made.expires_at));
    assert_eq!((identity.credential.id, identity.credential.issued_at), (Some(made.id), Some(made.created_at)));
    assert!(identity.proof.is_none() && identity.credential.session.is_none());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(folder.path().join("tokens.jsonl")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
    // The token is nowhere on disk, and neither is its secret.
    let text = fs::read_to_string(folder.path().join("tokens.jsonl")).unwrap();
    let secret = token.expose().rsplit('_').next().unwrap();
    assert!(!text.contains(secret) && text.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
}

#[tokio::test]
async fn it_passes_the_kit() {
    let (folder, file) = folder();
    let (_, token) = file.create(new_token()).unwrap();
    let mut short = new_token();
    short.lifetime = Duration::from_secs(1);
    let (_, expired) = file.create(short).unwrap();
    let (listed, revoked) = file.create(new_token()).unwrap();
    file.revoke(&listed.id).unwrap();
    let (gone, unknown) = {
        let (folder, file) = self::folder();
        (folder, file.create(new_token()).unwrap().1)
    };
    drop(gone);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let mistyped = token.expose().replacen("sqe_pat_", "sqe_pat_x", 1);
    let fixture = IdentityFixture::new(Credentials::Bearer(token), etl())
        .foreign(bearer(Forge::ec_a().good()))
        .foreign(bearer("sqe_pa"))
        .foreign(Credentials::Basic { username: "etl".to_owned(), password: unknown.clone() })
        .rejected(EXPIRED, Credentials::Bearer(expired))
        .rejected(FORGED, Credentials::Bearer(unknown))
        .rejected("revoked", Credentials::Bearer(revoked))
        .rejected("mistyped", bearer(mistyped))
        .without(WRONG_AUDIENCE);
    check(&open(folder.path()), &fixture).await.unwrap();
}

#[tokio::test]
async fn a_secret_fits_its_own_id_alone() {
    let (folder, file) = folder();
    let (one, token) = file.create(new_token()).unwrap();
    let (two, _) = file.create(new_token()).unwrap();
    let tokens = open(folder.path());
    // The file of an attacker who can exchange hashes, but not compute one of their own.
    let path = folder.path().join("tokens.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let exchanged = text.replace(&one.id, "000000000000").replace(&two.id, &one.id);
    fs::write(&path, exchanged).unwrap();
    let _ = tokens.reload().unwrap();
    let reason = rejected(&tokens, token.expose()).await;
    assert!(reason.contains("its secret is another"), "{reason}");
    fs::write(&path, text).unwrap();
    let _ = tokens.reload().unwrap();
    accepted(&tokens, &token).await;
}

#[tokio::test]
async fn reloading_ends_revoked_removed_and_changed_tokens_and_no_others() {
    let (folder, file) = folder();
    let mut all = Vec::new();
    for subject in ["kept", "revoked", "changed"] {
        let mut new = new_token();
        new.principal.subject = subject.to_owned();
        all.push(file.create(new).unwrap());
    }
    let tokens = open(folder.path());
    assert_eq!((tokens.len(), tokens.is_empty()), (3, false));
    let mut identities = Vec::new();
    for (_, token) in &all {
        identities.push(accepted(&tokens, token).await);
    }
    let nothing = tokens.reload().unwrap();
    assert!(!identities.iter().any(|identity| nothing.covers(identity)));

    file.revoke(&all[1].0.id).unwrap();
    change(folder.path(), "\"changed\"", "\"somebody else\"");
    // A file alone changes nothing.
    accepted(&tokens, &all[1].1).await;
    let withdrawn = tokens.reload().unwrap();
    let covered: Vec<bool> = identities.iter().map(|identity| withdrawn.covers(identity)).collect();
    assert_eq!(covered, [false, true, true]);
    assert_eq!(accepted(&tokens, &all[2].1).await.principal.subject, "somebody else");
    // It was verified a moment ago, and is remembered; that does not help it.
    let reason = rejected(&tokens, all[1].1.expose()).await;
    assert!(reason.contains("revoked"), "{reason}");

    // Who acts as somebody with a token is found by the token, and nobody by another's token of the same id.
    let mut acting = Identity::new(Principal::new("https://idp.example", "alice"));
    acting.actors = vec![identities[1].principal.clone()];
    acting.credential = identities[1].credential.clone();
    assert!(withdrawn.covers(&acting));
    acting.actors.clear();
    assert!(!withdrawn.covers(&acting));

    // Removing the line is as good as revoking.
    let path = folder.path().join("tokens.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("kept")).collect();
    fs::write(&path, without.join("\n")).unwrap();
    assert!(tokens.reload().unwrap().covers(&identities[0]));
    rejected(&tokens, all[0].1.expose()).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let (folder, file) = folder();
    let (_, token) = file.create(new_token()).unwrap();
    let tokens = open(folder.path());
    accepted(&tokens, &token).await;
    let path = folder.path().join("tokens.jsonl");
    fs::write(&path, "garbage").unwrap();
    assert_eq!(tokens.reload().unwrap_err().kind(), ErrorKind::InvalidInput);
    fs::remove_file(&path).unwrap();
    assert_eq!(tokens.reload().unwrap_err().kind(), ErrorKind::NotFound);
    accepted(&tokens, &token).await;
    // A start is no change: without the file there is none.
    let settings = ApiTokenSettings::default();
    assert_eq!(ApiTokens::open(&path, settings).unwrap_err().kind(), ErrorKind::NotFound);
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, file) = folder_with_a_line();
    let path = folder.path().join("tokens.jsonl");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    for refused in [file.list().unwrap_err(), file.create(new_token()).unwrap_err()] {
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    }
    let refused = ApiTokens::open(&path, ApiTokenSettings::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(file.list().unwrap().len(), 1);
}

#[rstest]
#[case::another_issuer_form("\"urn:example:tokens\"", "\"tokens\"", "URI")]
#[case::the_development_issuer("urn:example:tokens", "urn:sqe:development", "development")]
#[case::no_subject("\"etl\"", "\"\"", "subject")]
#[case::a_weak_hash("m=19456,t=2", "m=1024,t=2", "weaker")]
#[case::an_endless_hash("m=19456,t=2", "m=19456,t=200", "costs more")]
#[case::a_plain_hash("$argon2id$", "$argon2d$", "argon2id")]
#[case::an_unknown_member("\"etl\"", "\"etl\",\"admin\":true", "not a token")]
#[case::a_member_twice("\"etl\"", "\"etl\",\"subject\":\"root\"", "not a token")]
#[case::no_end("\"expires_at\"", "\"ends\"", "not a token")]
fn a_line_that_is_wrong_is_refused_and_named(#[case] from: &str, #[case] to: &str, #[case] words: &str) {
    let (folder, file) = folder_with_a_line();
    file.list().unwrap();
    change(folder.path(), from, to);
    let error = file.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("line 1") && error.message().contains(words), "{error}");
}

#[test]
fn a_token_ends_and_not_too_late() {
    let (folder, file) = folder();
    for lifetime in [Duration::ZERO, 367 * DAY, Duration::MAX] {
        let refused = file.create(NewApiToken::new(etl(), lifetime, "")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{lifetime:?}");
    }
    assert!(!folder.path().join("tokens.jsonl").exists(), "nothing was written");
    for (issuer, subject) in [("tokens", "etl"), (ISSUER, ""), (ISSUER, "a\nb"), ("urn:sqe:development", "alice")] {
        let refused = file.create(NewApiToken::new(Principal::new(issuer, subject), DAY, "")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
    file.create(NewApiToken::new(etl(), 366 * DAY, "a year")).unwrap();
    // Who permits less refuses a file that has more.
    let mut settings = ApiTokenSettings::default();
    settings.max_lifetime = 90 * DAY;
    let refused = ApiTokens::open(folder.path().join("tokens.jsonl"), settings).unwrap_err();
    assert!(refused.message().contains("90 days"), "{refused}");
}

#[test]
fn tokens_are_listed_without_hashes_and_revoked_once() {
    let (_folder, file) = folder();
    assert_eq!(file.list().unwrap_err().kind(), ErrorKind::NotFound);
    let (one, secret) = file.create(new_token()).unwrap();
    let listed = file.list().unwrap();
    assert_eq!(listed, std::slice::from_ref(&one));
    let shown = format!("{listed:?} {}", serde_json::to_string(&listed).unwrap());
    assert!(!shown.contains("argon2") && !shown.contains(secret.expose()), "{shown}");
    let first = file.revoke(&one.id).unwrap();
    assert!(first.revoked_at.is_some());
    assert_eq!(file.revoke(&one.id).unwrap(), first, "the moment stays the first");
    let error = file.revoke("nobody").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_token_may_come_as_a_password_where_that_is_configured() {
    let (folder, file) = folder();
    let (_, token) = file.create(new_token()).unwrap();
    let basic = Credentials::Basic { username: "anybody".to_owned(), password: token };
    assert_eq!(open(folder.path()).authenticate(&basic).await.unwrap(), None);
    let mut settings = ApiTokenSettings::default();
    settings.basic_password = true;
    let tokens = ApiTokens::open(folder.path().join("tokens.jsonl"), settings).unwrap();
    assert_eq!(tokens.authenticate(&basic).await.unwrap().unwrap().principal, etl());
}

#[tokio::test]
async fn a_rejected_token_is_never_tried_on_the_next_provider() {
    /// Accepts every token that it sees.
    #[derive(Debug)]
    struct Everybody;

    #[async_trait::async_trait]
    impl IdentityProvider for Everybody {
        async fn authenticate(&self, _: &Credentials) -> sqe_core::Result<Option<Identity>> {
            Ok(Some(Identity::new(Principal::new("anybody", "anybody"))))
        }
    }

    let (folder, _) = folder_with_a_line();
    let chain = Chain::default().then(open(folder.path())).then(verifier(&[&Forge::ec_a()])).then(Everybody);
    let error = chain.authenticate(&bearer("sqe_pat_0123456789ab_x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(chain.authenticate(&bearer("something else")).await.unwrap().unwrap().principal.subject, "anybody");
}
