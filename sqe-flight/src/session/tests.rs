use base64::Engine as _;
use rstest::rstest;
use sqe_core::{CertificateChain, Credentials, ErrorKind};
use tonic::metadata::MetadataMap;

use super::registry::{ACT_AS, Presented, act_as, presented};

fn with(headers: &[&str]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for header in headers {
        metadata.append("authorization", header.parse().unwrap());
    }
    metadata
}

#[rstest]
#[case("Bearer abc.def", "abc.def")]
#[case("bearer   abc.def  ", "abc.def")]
fn a_bearer_token_goes_to_the_identity_provider(#[case] header: &str, #[case] expected: &str) {
    match presented(&with(&[header]), None).unwrap() {
        Presented::Foreign(Credentials::Bearer(token)) => assert_eq!(token.expose(), expected),
        _ => panic!("not a foreign bearer token"),
    }
}

#[test]
fn a_token_of_our_own_never_goes_to_the_identity_provider() {
    assert!(matches!(presented(&with(&["Bearer sqe_session_x"]), None).unwrap(), Presented::Own(_)));
}

#[rstest]
#[case(base64::engine::general_purpose::STANDARD.encode("alice:pass:word"))]
#[case(base64::engine::general_purpose::STANDARD_NO_PAD.encode("alice:pass:word"))]
fn basic_is_read_with_and_without_padding_and_splits_at_the_first_colon(#[case] encoded: String) {
    match presented(&with(&[&format!("Basic {encoded}")]), None).unwrap() {
        Presented::Foreign(Credentials::Basic { username, password }) => {
            assert_eq!((username.as_str(), password.expose()), ("alice", "pass:word"));
        }
        _ => panic!("not a user name and a password"),
    }
}

#[rstest]
#[case(&[])]
#[case(&["abc"])]
#[case(&["Bearer "])]
#[case(&["Digest abc"])]
#[case(&["Basic !!!"])]
#[case(&["Basic YWxpY2U="])]
#[case(&["Bearer one", "Bearer two"])]
fn everything_else_is_refused_in_the_same_words(#[case] headers: &[&str]) {
    let refused = presented(&with(headers), None).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    assert_eq!(refused.message(), presented(&MetadataMap::new(), None).err().unwrap().message());
}

#[test]
fn a_certificate_speaks_for_who_shows_no_header_and_for_nobody_else() {
    let chain = CertificateChain::new([vec![1, 2, 3]]);
    match presented(&MetadataMap::new(), Some(&chain)).unwrap() {
        Presented::Foreign(Credentials::ClientCertificate(shown)) => assert_eq!(shown, chain),
        _ => panic!("not the certificate"),
    }
    let beside = presented(&with(&["Bearer abc"]), Some(&chain)).unwrap();
    assert!(matches!(beside, Presented::Foreign(Credentials::Bearer(_))));
    // A header that is none does not fall back to the certificate.
    for headers in [&[""][..], &["Digest abc"], &["Bearer one", "Bearer two"]] {
        let refused = presented(&with(headers), Some(&chain)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{headers:?}");
    }
}

#[rstest]
#[case::nobody(&[], Ok(None))]
#[case::somebody(&["alice"], Ok(Some("alice")))]
#[case::somebody_of_an_issuer(&["https://idp.example#alice b"], Ok(Some("https://idp.example#alice b")))]
#[case::nobody_in_particular(&[""], Err(()))]
#[case::two(&["alice", "bob"], Err(()))]
#[case::one_twice(&["alice", "alice"], Err(()))]
fn one_person_is_named_or_none(#[case] headers: &[&str], #[case] expected: Result<Option<&str>, ()>) {
    let mut metadata = MetadataMap::new();
    for header in headers {
        metadata.append(ACT_AS, header.parse().unwrap());
    }
    match (act_as(&metadata), expected) {
        (Ok(found), Ok(expected)) => assert_eq!(found, expected),
        (Err(error), Err(())) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
        (found, _) => panic!("{found:?}"),
    }
}

#[test]
fn a_name_has_a_longest_length() {
    let named = |length: usize| {
        let mut metadata = MetadataMap::new();
        metadata.append(ACT_AS, "x".repeat(length).parse().unwrap());
        act_as(&metadata).map(|name| name.map(str::len)).map_err(|error| error.kind())
    };
    assert_eq!(named(1024), Ok(Some(1024)));
    assert_eq!(named(1025), Err(ErrorKind::InvalidInput));
}
