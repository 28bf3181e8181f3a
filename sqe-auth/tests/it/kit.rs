//! The conformance kit of identity providers.

use serde_json::json;
use sqe_auth::Chain;
use sqe_core::{
    IdentityProvider, Principal,
    conformance::identity::{EXPIRED, FORGED, IdentityFixture, WRONG_AUDIENCE, check},
};

use crate::forge::{Forge, ISSUER, bearer, now, verifier};

fn fixture(forge: &Forge, thief: &Forge) -> IdentityFixture {
    IdentityFixture::new(bearer(forge.good()), Principal::new(ISSUER, "alice"))
        .accepted(bearer(forge.with_claims(&json!({"sub": "bob"}))), Principal::new(ISSUER, "bob"))
        .foreign(bearer("an api token"))
        .foreign(bearer(forge.with_claims(&json!({"iss": "https://other.example"}))))
        .rejected(EXPIRED, bearer(forge.with_claims(&json!({"exp": now() - 120}))))
        .rejected(FORGED, bearer(thief.with_header(&json!({"kid": forge.kid}))))
        .rejected(WRONG_AUDIENCE, bearer(forge.with_claims(&json!({"aud": "other"}))))
        .rejected("unsecured", bearer(forge.with_header(&json!({"alg": "none"}))))
        .rejected(
            "an ID token",
            bearer(forge.token(&json!({"typ": "JWT", "alg": "ES256"}), &json!({"iss": ISSUER, "nonce": 1}))),
        )
}

#[tokio::test]
async fn the_verifier_passes() {
    for (forge, thief) in
        [(Forge::ec_a(), Forge::ec_b()), (Forge::rsa_a(), Forge::rsa_b()), (Forge::ed_a(), Forge::ed_b())]
    {
        check(&verifier(&[&forge]), &fixture(&forge, &thief)).await.unwrap();
    }
}

#[tokio::test]
async fn a_chain_passes_with_and_without_others_in_front() {
    let (forge, thief) = (Forge::ec_a(), Forge::ec_b());
    let chain = Chain::default().then(verifier(&[&forge]));
    check(&chain, &fixture(&forge, &thief)).await.unwrap();
    let chain: &dyn IdentityProvider = &Chain::default().then(Chain::default()).then(chain);
    check(chain, &fixture(&forge, &thief)).await.unwrap();
}
