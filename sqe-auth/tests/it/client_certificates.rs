//! Certificates of TLS clients.

use std::path::Path;

use chrono::{DateTime, Utc};
use rcgen::{Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, SerialNumber, date_time_ymd};
use rstest::rstest;
use sqe_auth::{CertificateSubject, Chain, ClientCertificateSettings, ClientCertificates, NOT_ACCEPTED};
use sqe_core::{
    CertificateChain, Credentials, ErrorKind, Identity, IdentityProvider as _, Principal, Secret,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};
use tempfile::TempDir;

use crate::{
    authority::{Authority, PERSON, Weak, dns, email, file, only_dns, shown, uri},
    forge::cause,
};

const ISSUER: &str = "urn:example:workloads";

fn settings(folder: &Path, authorities: &[&Certificate]) -> ClientCertificateSettings {
    let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
    ClientCertificateSettings::new(ISSUER, file(folder, "ca.pem", pem))
}

fn provider(authorities: &[&Certificate]) -> ClientCertificates {
    let folder = TempDir::new().unwrap();
    ClientCertificates::open(settings(folder.path(), authorities)).unwrap()
}

async fn accepted(provider: &ClientCertificates, credentials: &Credentials) -> Identity {
    provider.authenticate(credentials).await.unwrap_or_else(|error| panic!("{error:?}")).expect("it is recognised")
}

/// The reason of a rejection, after the certificate was rejected as it must be.
async fn rejected(provider: &ClientCertificates, credentials: &Credentials) -> String {
    let error = provider.authenticate(credentials).await.expect_err("it is rejected");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, NOT_ACCEPTED), "{error:?}");
    cause(&error)
}

#[tokio::test]
async fn a_good_certificate_says_who_its_holder_is_and_how_it_can_be_revoked() {
    let root = Authority::root("root");
    let client = root.client(|params| params.not_after = date_time_ymd(2100, 1, 1));
    let identity = accepted(&provider(&[&root.certificate]), &shown([&client])).await;
    assert_eq!(identity.principal, Principal::new(ISSUER, PERSON));
    assert_eq!(identity.expires_at.unwrap(), "2100-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(identity.credential.issued_at.unwrap(), "2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap());
    let id = identity.credential.id.unwrap();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert!(identity.proof.is_none() && identity.groups.is_empty() && identity.actors.is_empty());
}

#[tokio::test]
async fn it_passes_the_kit() {
    let (root, other, fake) = (Authority::root("root"), Authority::root("other"), Authority::root("root"));
    let provider = provider(&[&root.certificate]);
    let bob = "spiffe://example.org/bob";
    let fixture = IdentityFixture::new(shown([&root.client(|_| ())]), Principal::new(ISSUER, PERSON))
        .accepted(
            shown([&root.client(|params| params.subject_alt_names = vec![uri(bob)])]),
            Principal::new(ISSUER, bob),
        )
        .foreign(Credentials::Bearer(Secret::new("a token")))
        .foreign(shown([&other.client(|_| ())]))
        .rejected(EXPIRED, shown([&root.client(|params| params.not_after = date_time_ymd(2025, 2, 1))]))
        .rejected(FORGED, shown([&fake.client(|_| ())]))
        .rejected("not yet valid", shown([&root.client(|params| params.not_before = date_time_ymd(2124, 1, 1))]))
        .rejected(
            "for servers",
            shown([&root.client(|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            })]),
        )
        .rejected("empty", Credentials::ClientCertificate(CertificateChain::new([])))
        .rejected("garbage", Credentials::ClientCertificate(CertificateChain::new([vec![0x30, 3, 1, 2, 3]])))
        .without(WRONG_AUDIENCE);
    check(&provider, &fixture).await.unwrap();
}

type Change = fn(&mut CertificateParams);

#[rstest]
#[case::expired(|params: &mut CertificateParams| params.not_after = date_time_ymd(2025, 2, 1), "CertExpired")]
#[case::not_yet_valid(|params: &mut CertificateParams| params.not_before = date_time_ymd(2124, 1, 1), "CertNotValidYet")]
#[case::for_servers(|params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth], "")]
#[case::for_anything(|params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any], "")]
#[case::for_nothing_in_particular(|params: &mut CertificateParams| params.extended_key_usages = vec![], "clientAuth")]
#[case::of_an_authority(
    |params: &mut CertificateParams| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
    "CaUsedAsEndEntity"
)]
#[case::without_names(|params: &mut CertificateParams| params.subject_alt_names = vec![], "no URI")]
#[case::with_another_kind_of_name(|params: &mut CertificateParams| params.subject_alt_names = vec![dns("etl.example.org")], "no URI")]
#[case::with_two_names(|params: &mut CertificateParams| params.subject_alt_names.push(uri("spiffe://example.org/root")), "more than one URI")]
#[tokio::test]
async fn a_certificate_with_one_fault_is_rejected(#[case] change: Change, #[case] words: &str) {
    let root = Authority::root("root");
    let provider = provider(&[&root.certificate]);
    let reason = rejected(&provider, &shown([&root.client(change)])).await;
    assert!(reason.contains(words), "{reason}");
    accepted(&provider, &shown([&root.client(|_| ())])).await;
}

#[tokio::test]
async fn an_authority_is_known_by_its_key_and_not_by_its_name() {
    let (root, fake, other) = (Authority::root("root"), Authority::root("root"), Authority::root("other"));
    let provider = provider(&[&root.certificate]);
    let reason = rejected(&provider, &shown([&fake.client(|_| ())])).await;
    assert!(reason.contains("no valid path"), "{reason}");
    // The fake may send its own certificate along: it is no authority for that.
    rejected(&provider, &shown([&fake.client(|_| ()), &fake.certificate])).await;
    // Somebody else's certificate may be somebody else's to judge, and is nobody's here.
    assert_eq!(provider.authenticate(&shown([&other.client(|_| ())])).await.unwrap(), None);
    accepted(&provider, &shown([&root.client(|_| ())])).await;
}

#[tokio::test]
async fn two_providers_of_two_authorities_can_be_asked_in_turn() {
    let (a, b) = (Authority::root("a"), Authority::root("b"));
    let folder = TempDir::new().unwrap();
    let mut of_b = settings(folder.path(), &[&b.certificate]);
    of_b.issuer = "urn:example:others".to_owned();
    let chain = Chain::default().then(provider(&[&a.certificate])).then(ClientCertificates::open(of_b).unwrap());
    for (authority, issuer) in [(&a, ISSUER), (&b, "urn:example:others")] {
        let identity = chain.authenticate(&shown([&authority.client(|_| ())])).await.unwrap().unwrap();
        assert_eq!(identity.principal.issuer, issuer);
    }
}

#[tokio::test]
async fn an_intermediate_authority_must_be_shown_and_may_not_exceed_its_limits() {
    let root = Authority::root("root");
    let provider = provider(&[&root.certificate]);
    let middle = root.below("middle", |params| params.not_after = date_time_ymd(2090, 1, 1));
    let client = middle.client(|_| ());
    let identity = accepted(&provider, &shown([&client, &middle.certificate])).await;
    assert_eq!(identity.expires_at.unwrap().to_rfc3339(), "2090-01-01T00:00:00+00:00", "the first of the path to end");
    // Without it nothing says that it comes from the root.
    assert_eq!(provider.authenticate(&shown([&client])).await.unwrap(), None);

    let expired = root.below("middle", |params| params.not_after = date_time_ymd(2025, 2, 1));
    rejected(&provider, &shown([&expired.client(|_| ()), &expired.certificate])).await;
    let no_authority = root.below("middle", |params| params.is_ca = IsCa::ExplicitNoCa);
    rejected(&provider, &shown([&no_authority.client(|_| ()), &no_authority.certificate])).await;
    let short = root.below("short", |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    });
    accepted(&provider, &shown([&short.client(|_| ()), &short.certificate])).await;
    let below = short.below("below", |_| ());
    rejected(&provider, &shown([&below.client(|_| ()), &below.certificate, &short.certificate])).await;
}

#[tokio::test]
async fn name_constraints_of_an_authority_hold() {
    let root = Authority::root("root");
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), &[&root.certificate]);
    settings.subject = CertificateSubject::SanDns;
    let provider = ClientCertificates::open(settings).unwrap();
    let middle = root.below("middle", |params| params.name_constraints = Some(only_dns("inside.example.org")));
    let client = |name: &str| middle.client(|params| params.subject_alt_names = vec![dns(name)]);
    let inside = accepted(&provider, &shown([&client("etl.inside.example.org"), &middle.certificate])).await;
    assert_eq!(inside.principal.subject, "etl.inside.example.org");
    let reason = rejected(&provider, &shown([&client("etl.example.org"), &middle.certificate])).await;
    assert!(reason.contains("NameConstraint"), "{reason}");
}

#[tokio::test]
async fn weak_keys_are_rejected_wherever_they_are_in_the_path() {
    let root = Authority::root("root");
    let provider = provider(&[&root.certificate]);
    let reason = rejected(&provider, &shown([&root.client_with(&Weak::new(), |_| ())])).await;
    assert!(reason.contains("weak"), "{reason}");
    let middle = root.below_with(Weak::new(), "middle", |_| ());
    let reason = rejected(&provider, &shown([&middle.client(|_| ()), &middle.certificate])).await;
    assert!(reason.contains("path"), "{reason}");
}

#[rstest]
#[case(CertificateSubject::SanUri, "spiffe://example.org/etl")]
#[case(CertificateSubject::SanDns, "etl.example.org")]
#[case(CertificateSubject::SanEmail, "etl@example.org")]
#[case(CertificateSubject::CommonName, "etl")]
#[tokio::test]
async fn the_configured_name_is_the_subject(#[case] kind: CertificateSubject, #[case] subject: &str) {
    let root = Authority::root("root");
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), &[&root.certificate]);
    settings.subject = kind;
    let provider = ClientCertificates::open(settings).unwrap();
    let names = vec![email("etl@example.org"), uri(PERSON), dns("etl.example.org")];
    let identity = accepted(&provider, &shown([&root.client(|params| params.subject_alt_names = names)])).await;
    assert_eq!(identity.principal.subject, subject);
}

#[tokio::test]
async fn a_uri_must_have_the_configured_beginning() {
    let root = Authority::root("root");
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), &[&root.certificate]);
    settings.uri_prefix = Some("spiffe://example.org/".to_owned());
    let provider = ClientCertificates::open(settings.clone()).unwrap();
    accepted(&provider, &shown([&root.client(|_| ())])).await;
    for other in ["spiffe://example.org.evil/etl", "spiffe://other.org/etl", "https://example.org/etl"] {
        rejected(&provider, &shown([&root.client(|params| params.subject_alt_names = vec![uri(other)])])).await;
    }
    settings.uri_prefix = Some("spiffe://example.org".to_owned());
    assert_eq!(ClientCertificates::open(settings.clone()).unwrap_err().kind(), ErrorKind::InvalidInput);
    settings.uri_prefix = Some("spiffe://example.org/".to_owned());
    settings.subject = CertificateSubject::CommonName;
    assert_eq!(ClientCertificates::open(settings).unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn serial(number: u64) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.serial_number = Some(SerialNumber::from(number))
}

#[tokio::test]
async fn revoked_certificates_are_rejected_and_so_are_those_of_which_nobody_knows() {
    let root = Authority::root("root");
    let middle = root.below("middle", serial(7));
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), &[&root.certificate]);
    settings.crl_files = vec![file(folder.path(), "root.crl", root.revoke(&[2], 2120))];
    let provider = ClientCertificates::open(settings.clone()).unwrap();
    accepted(&provider, &shown([&root.client(serial(1))])).await;
    let reason = rejected(&provider, &shown([&root.client(serial(2))])).await;
    assert!(reason.contains("CertRevoked"), "{reason}");
    // The authority in the middle has no list.
    let reason = rejected(&provider, &shown([&middle.client(serial(1)), &middle.certificate])).await;
    assert!(reason.contains("UnknownRevocationStatus"), "{reason}");

    settings.crl_files.push(file(folder.path(), "middle.crl", middle.revoke(&[2], 2120)));
    let provider = ClientCertificates::open(settings.clone()).unwrap();
    accepted(&provider, &shown([&middle.client(serial(1)), &middle.certificate])).await;
    rejected(&provider, &shown([&middle.client(serial(2)), &middle.certificate])).await;

    // An authority can be revoked itself.
    file(folder.path(), "root.crl", root.revoke(&[7], 2120));
    let provider = ClientCertificates::open(settings.clone()).unwrap();
    rejected(&provider, &shown([&middle.client(serial(1)), &middle.certificate])).await;
    accepted(&provider, &shown([&root.client(serial(1))])).await;

    // A list that is outdated says nothing about today.
    file(folder.path(), "root.crl", root.revoke(&[2], 2025));
    let provider = ClientCertificates::open(settings.clone()).unwrap();
    let reason = rejected(&provider, &shown([&root.client(serial(1))])).await;
    assert!(reason.contains("CrlExpired"), "{reason}");

    // One that somebody else signed in the authority's name neither.
    file(folder.path(), "root.crl", Authority::root("root").revoke(&[], 2120));
    let provider = ClientCertificates::open(settings).unwrap();
    rejected(&provider, &shown([&root.client(serial(1))])).await;
}

#[tokio::test]
async fn groups_come_from_the_file_of_people() {
    let root = Authority::root("root");
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), &[&root.certificate]);
    let people = format!(
        "[[people]]\nissuer = \"{ISSUER}\"\nsubject = \"{PERSON}\"\ngroups = [\"loaders\"]\n\
         [[people]]\nissuer = \"urn:other\"\nsubject = \"spiffe://example.org/bob\"\ngroups = [\"admins\"]\n"
    );
    settings.people_file = Some(file(folder.path(), "people.toml", people));
    let provider = ClientCertificates::open(settings).unwrap();
    let etl = accepted(&provider, &shown([&root.client(|_| ())])).await;
    assert!(etl.groups.contains("loaders"));
    let bob = root.client(|params| params.subject_alt_names = vec![uri("spiffe://example.org/bob")]);
    assert!(accepted(&provider, &shown([&bob])).await.groups.is_empty(), "that bob is another issuer's");
}

#[tokio::test]
async fn a_reload_ends_those_who_are_revoked_or_changed_and_nobody_else() {
    let root = Authority::root("root");
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), &[&root.certificate]);
    settings.crl_files = vec![file(folder.path(), "root.crl", root.revoke(&[], 2120))];
    let people =
        |group: &str| format!("[[people]]\nissuer = \"{ISSUER}\"\nsubject = \"{PERSON}\"\ngroups = [\"{group}\"]");
    settings.people_file = Some(file(folder.path(), "people.toml", people("loaders")));
    let provider = ClientCertificates::open(settings).unwrap();
    let named = |name: &'static str, number: u64| {
        root.client(move |params| {
            params.subject_alt_names = vec![uri(name)];
            params.serial_number = Some(SerialNumber::from(number));
        })
    };
    let certificates = [named(PERSON, 1), named("spiffe://example.org/bob", 2), named("spiffe://example.org/eve", 3)];
    let mut identities = Vec::new();
    for certificate in &certificates {
        identities.push(accepted(&provider, &shown([certificate])).await);
    }
    let [etl, bob, eve] = identities.try_into().unwrap();
    let stranger = Identity::new(Principal::new("https://idp.example", "alice"));
    let mut acting = Identity::new(Principal::new("https://idp.example", "alice"));
    acting.actors = vec![eve.principal.clone()];
    acting.credential = eve.credential.clone();

    let nothing = provider.reload().unwrap();
    assert!(![&etl, &bob, &eve, &stranger, &acting].into_iter().any(|identity| nothing.covers(identity)));

    file(folder.path(), "root.crl", root.revoke(&[3], 2120));
    file(folder.path(), "people.toml", people("readers"));
    let withdrawn = provider.reload().unwrap();
    assert!(withdrawn.covers(&eve), "revoked");
    assert!(withdrawn.covers(&acting), "acts for somebody with a revoked certificate");
    assert!(withdrawn.covers(&etl), "has other groups now");
    assert!(!withdrawn.covers(&bob) && !withdrawn.covers(&stranger));
    rejected(&provider, &shown([&certificates[2]])).await;

    // What cannot be read changes nothing.
    file(folder.path(), "root.crl", "garbage");
    assert_eq!(provider.reload().unwrap_err().kind(), ErrorKind::InvalidInput);
    accepted(&provider, &shown([&certificates[1]])).await;
}

#[rstest]
#[case::nothing("", "no certificate")]
#[case::no_pem("garbage", "no certificate")]
#[case::no_der("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate")]
#[case::no_base64("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "PEM")]
fn files_of_authorities_that_cannot_be_used_are_refused(#[case] text: &str, #[case] words: &str) {
    let folder = TempDir::new().unwrap();
    let settings = ClientCertificateSettings::new(ISSUER, file(folder.path(), "ca.pem", text));
    let error = ClientCertificates::open(settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains(words), "{error}");
}

#[test]
fn a_clients_own_certificate_is_no_authority() {
    let root = Authority::root("root");
    let client = root.client(|_| ());
    let folder = TempDir::new().unwrap();
    let error = ClientCertificates::open(settings(folder.path(), &[&root.certificate, &client])).unwrap_err();
    assert!(error.message().contains("certificate 2") && error.message().contains("authority"), "{error}");
    let missing = ClientCertificateSettings::new(ISSUER, folder.path().join("missing.pem"));
    assert_eq!(ClientCertificates::open(missing).unwrap_err().kind(), ErrorKind::NotFound);
    let mut nameless = settings(folder.path(), &[&root.certificate]);
    nameless.issuer = "workloads".to_owned();
    assert_eq!(ClientCertificates::open(nameless).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn too_many_certificates_are_not_looked_at() {
    let root = Authority::root("root");
    let provider = provider(&[&root.certificate]);
    let client = root.client(|_| ());
    let many: Vec<&Certificate> = std::iter::once(&client).chain(std::iter::repeat_n(&root.certificate, 10)).collect();
    let reason = rejected(&provider, &shown(many.iter().copied())).await;
    assert!(reason.contains("more than 10"), "{reason}");
    accepted(&provider, &shown(many.into_iter().take(10))).await;
    let huge = Credentials::ClientCertificate(CertificateChain::new([client.der().to_vec(), vec![0; 64 * 1024]]));
    rejected(&provider, &huge).await;
}
