//! The development issuer.

use std::{fs, time::Duration};

use sqe_auth::{DEVELOPMENT_ISSUER, DevIssuer, DevPerson};
use sqe_core::{
    Credentials, ErrorKind, Principal,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};

use crate::forge::{Forge, accepted, bearer, rejected, verifier};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn it_vouches_for_people_with_groups_and_roles() {
    let issuer = DevIssuer::generate();
    let alice = DevPerson::new("alice").with_groups(["eu"]).with_roles(["analyst"]).with_display_name("Alice A.");
    let identity = accepted(&issuer.verifier().unwrap(), issuer.issue(&alice, HOUR).unwrap().expose()).await;
    assert_eq!(identity.principal, Principal::new(DEVELOPMENT_ISSUER, "alice"));
    assert!(identity.groups.contains("eu") && identity.roles.contains("analyst"));
    assert_eq!(identity.display_name.as_deref(), Some("Alice A."));
}

#[tokio::test]
async fn it_passes_the_kit() {
    let (issuer, thief) = (DevIssuer::generate(), DevIssuer::generate());
    let alice = DevPerson::new("alice");
    let issue = |issuer: &DevIssuer, lifetime| Credentials::Bearer(issuer.issue(&alice, lifetime).unwrap());
    let verifier = issuer.verifier_builder().unwrap().leeway(Duration::ZERO).build().unwrap();
    let fixture = IdentityFixture::new(issue(&issuer, HOUR), Principal::new(DevIssuer::ISSUER, "alice"))
        .foreign(bearer(Forge::ec_a().good()))
        .rejected(EXPIRED, issue(&issuer, Duration::ZERO))
        .rejected(FORGED, issue(&thief, HOUR))
        .without(WRONG_AUDIENCE);
    check(&verifier, &fixture).await.unwrap();
}

#[test]
fn it_is_marked_and_others_are_not() {
    assert!(DevIssuer::generate().verifier().unwrap().is_development());
    assert!(!verifier(&[&Forge::ec_a()]).is_development());
}

#[tokio::test]
async fn its_tokens_outlive_a_restart_in_the_same_directory_only() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let token = DevIssuer::open(here.path()).unwrap().issue(&DevPerson::new("alice"), HOUR).unwrap();
    let again = DevIssuer::open(here.path()).unwrap().verifier().unwrap();
    accepted(&again, token.expose()).await;
    let elsewhere = DevIssuer::open(there.path()).unwrap().verifier().unwrap();
    rejected(&elsewhere, token.expose()).await;
    let files: Vec<_> = fs::read_dir(here.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, [DevIssuer::KEY_FILE], "no drafts are left");
}

#[test]
fn processes_that_open_a_directory_at_once_get_one_issuer() {
    let directory = tempfile::tempdir().unwrap();
    let sets: Vec<String> = std::thread::scope(|scope| {
        let open = || DevIssuer::open(directory.path()).unwrap().jwks();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]), "{sets:?}");
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    DevIssuer::open(directory.path()).unwrap();
    let path = directory.path().join(DevIssuer::KEY_FILE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(DevIssuer::open(directory.path()).unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    DevIssuer::open(directory.path()).unwrap();
}

#[test]
fn what_is_not_a_key_is_an_error_and_not_a_new_key() {
    let directory = tempfile::tempdir().unwrap();
    DevIssuer::open(directory.path()).unwrap();
    let path = directory.path().join(DevIssuer::KEY_FILE);
    fs::write(&path, "garbage").unwrap();
    assert_eq!(DevIssuer::open(directory.path()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(fs::read_to_string(&path).unwrap(), "garbage");
    let missing = DevIssuer::open(&directory.path().join("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unavailable);
}

#[test]
fn impossible_tokens_are_refused_and_keys_do_not_print() {
    let issuer = DevIssuer::generate();
    issuer.issue(&DevPerson::new(""), HOUR).unwrap_err();
    issuer.issue(&DevPerson::new("alice"), Duration::MAX).unwrap_err();
    let directory = tempfile::tempdir().unwrap();
    let kept = DevIssuer::open(directory.path()).unwrap();
    let pem = fs::read_to_string(directory.path().join(DevIssuer::KEY_FILE)).unwrap();
    let printed = format!("{kept:?} {}", kept.jwks());
    assert!(pem.lines().filter(|line| !line.starts_with('-')).all(|line| !printed.contains(line)));
    assert!(!kept.jwks().contains("\"d\""));
}
