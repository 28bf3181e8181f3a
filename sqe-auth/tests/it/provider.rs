//! Configurations that are refused, and processes that cannot verify.

use std::{process::Command, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier as Backend, KeyUtils},
    errors::Result as BackendResult,
    signature::{Error as SignatureError, Verifier},
};
use rstest::rstest;
use serde_json::json;
use sqe_auth::{JwtVerifier, KeyFamily, KeySet, TokenType, self_test};
use sqe_core::ErrorKind;

use crate::forge::{AUDIENCE, Forge, ISSUER, builder, jwks};

#[test]
fn this_process_verifies_known_signatures() {
    self_test().unwrap();
}

#[test]
fn incomplete_or_careless_configurations_are_refused() {
    let forge = Forge::ec_a();
    let keys = || KeySet::from_jwks(&jwks(&[&forge])).unwrap();
    let ec = |issuer: &str| JwtVerifier::builder(issuer).family(KeyFamily::Ec);
    for refused in [
        ec(ISSUER).key_set(keys()),
        ec(ISSUER).audience("").key_set(keys()),
        ec(ISSUER).audience(AUDIENCE),
        ec("").audience(AUDIENCE).key_set(keys()),
        ec(ISSUER).audience(AUDIENCE).key_set(keys()).family(KeyFamily::Rsa),
        builder(&[&forge]).types([]),
        builder(&[&forge]).leeway(Duration::from_secs(61)),
        builder(&[&forge]).leeway(Duration::MAX),
        builder(&[&forge]).max_token_bytes(1 << 20),
        builder(&[&forge]).max_token_bytes(0),
        builder(&[&forge]).groups_claim(Some("")),
        builder(&[&forge]).attributes([""]),
    ] {
        assert_eq!(refused.build().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    builder(&[&forge]).leeway(Duration::from_secs(60)).types([TokenType::AccessToken]).build().unwrap();
}

#[test]
fn weak_secret_and_ambiguous_keys_are_refused_when_they_are_read() {
    let strong = Forge::rsa_a().jwk();
    let set = |key: serde_json::Value| json!({"keys": [strong, key]}).to_string();
    let mut private = Forge::rsa_b().jwk();
    private["d"] = json!("AQAB");
    let mut same_id = Forge::rsa_b().jwk();
    same_id["kid"] = json!("rsa-a");
    for (wrong, reason) in [
        (Forge::rsa_weak().jwk(), "1024 bits"),
        (private, "private"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "symmetric"),
        (same_id, "one id"),
        (json!({"kty": "RSA"}), "malformed"),
    ] {
        let error = KeySet::from_jwks(&set(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(reason), "{error}");
    }
    KeySet::from_jwks(&set(Forge::rsa_b().jwk())).unwrap();
    KeySet::from_jwks(&set(json!({"kty": "RSA", "use": "enc"}))).unwrap();
    KeySet::from_jwks("not json").unwrap_err();
    KeySet::from_jwks(&json!({"keys": vec![json!({"kty": "x"}); 101]}).to_string()).unwrap_err();
}

/// Runs one ignored test of this binary in a process of its own, because cryptography is chosen once a process.
#[rstest]
#[case::without_a_provider("provider::child_without_a_provider")]
#[case::with_one_that_accepts_everything("provider::child_with_a_provider_that_accepts_everything")]
#[case::with_one_that_accepts_nothing("provider::child_with_a_provider_that_accepts_nothing")]
fn a_process_that_cannot_verify_says_so_at_start(#[case] child: &str) {
    let tests = std::env::current_exe().unwrap();
    let output = Command::new(tests).args(["--exact", child, "--ignored", "--nocapture"]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

fn refuses_to_start(reason: &str) {
    let error = self_test().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.message().contains(reason), "{error}");
    let error = builder_without_keys().build().unwrap_err();
    assert!(error.message().contains(reason), "{error}");
}

fn builder_without_keys() -> sqe_auth::JwtVerifierBuilder {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]}).to_string();
    JwtVerifier::builder(ISSUER).audience(AUDIENCE).family(KeyFamily::Ed).key_set(KeySet::from_jwks(&keys).unwrap())
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> BackendResult<Box<dyn JwtSigner>> {
    panic!("no signer")
}

/// What jsonwebtoken itself uses if nothing was chosen.
#[test]
#[ignore = "run by a_process_that_cannot_verify_says_so_at_start"]
fn child_without_a_provider() {
    static NONE: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: |_, _| panic!("no provider"),
        key_utils: KeyUtils::new_unimplemented(),
    };
    NONE.install_default().unwrap();
    refuses_to_start("no cryptography");
}

struct Fixed(Algorithm, bool);

impl Verifier<Vec<u8>> for Fixed {
    fn verify(&self, _: &[u8], _: &Vec<u8>) -> Result<(), SignatureError> {
        if self.1 { Ok(()) } else { Err(SignatureError::new()) }
    }
}

impl Backend for Fixed {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

fn always(algorithm: &Algorithm, _: &DecodingKey) -> BackendResult<Box<dyn Backend>> {
    Ok(Box::new(Fixed(*algorithm, true)))
}

fn never(algorithm: &Algorithm, _: &DecodingKey) -> BackendResult<Box<dyn Backend>> {
    Ok(Box::new(Fixed(*algorithm, false)))
}

#[test]
#[ignore = "run by a_process_that_cannot_verify_says_so_at_start"]
fn child_with_a_provider_that_accepts_everything() {
    static ALWAYS: CryptoProvider = CryptoProvider {
        signer_factory: no_signer,
        verifier_factory: always,
        key_utils: KeyUtils::new_unimplemented(),
    };
    ALWAYS.install_default().unwrap();
    refuses_to_start("wrong answers");
}

#[test]
#[ignore = "run by a_process_that_cannot_verify_says_so_at_start"]
fn child_with_a_provider_that_accepts_nothing() {
    static NEVER: CryptoProvider =
        CryptoProvider { signer_factory: no_signer, verifier_factory: never, key_utils: KeyUtils::new_unimplemented() };
    NEVER.install_default().unwrap();
    refuses_to_start("wrong answers");
}
