use base64::Engine as _;
use rstest::rstest;
use sqe_core::{CertificateChain, Credentials, ErrorKind};
use tonic::metadata::MetadataMap;

use super::registry::{Presented, presented};

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
