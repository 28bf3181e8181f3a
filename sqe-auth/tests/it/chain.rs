//! Several issuers.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use sqe_auth::Chain;
use sqe_core::{Credentials, Error, ErrorKind, Identity, IdentityProvider, Principal, Result};

use crate::forge::{AUDIENCE, Forge, bearer, builder, jwks, verifier};

/// Knows everybody, or fails.
#[derive(Debug)]
struct Always(Result<&'static str, ErrorKind>);

#[async_trait]
impl IdentityProvider for Always {
    async fn authenticate(&self, _: &Credentials) -> Result<Option<Identity>> {
        match self.0 {
            Ok(name) => Ok(Some(Identity::new(Principal::new("always", name)))),
            Err(kind) => Err(Error::new(kind, "always")),
        }
    }
}

fn of_issuer(issuer: &str, forge: &Forge) -> sqe_auth::JwtVerifier {
    sqe_auth::JwtVerifier::builder(issuer)
        .audience(AUDIENCE)
        .family(crate::forge::family(forge))
        .key_set(sqe_auth::KeySet::from_jwks(&jwks(&[forge])).unwrap())
        .build()
        .unwrap()
}

#[tokio::test]
async fn each_issuers_people_are_found_whatever_the_order() {
    let (a, b) = (Forge::ec_a(), Forge::ed_a());
    let other = "https://other.example";
    let forwards = Chain::default().then(verifier(&[&a])).then(of_issuer(other, &b));
    let backwards = Chain::default().then(of_issuer(other, &b)).then(verifier(&[&a]));
    for chain in [forwards, backwards] {
        let alice = chain.authenticate(&bearer(a.good())).await.unwrap().unwrap();
        assert_eq!(alice.principal.issuer, crate::forge::ISSUER);
        let alice = chain.authenticate(&bearer(b.with_claims(&json!({"iss": other})))).await.unwrap().unwrap();
        assert_eq!(alice.principal.issuer, other);
        // The keys of one issuer are worth nothing for the other.
        chain.authenticate(&bearer(a.with_claims(&json!({"iss": other})))).await.unwrap_err();
    }
}

#[tokio::test]
async fn nobody_knows_a_strangers_credential() {
    let chain = Chain::default().then(verifier(&[&Forge::ec_a()])).then(verifier(&[&Forge::ed_a()]));
    assert_eq!((chain.len(), chain.is_empty()), (2, false));
    assert_eq!(chain.authenticate(&bearer("password")).await.unwrap(), None);
    assert_eq!(Chain::default().authenticate(&bearer("password")).await.unwrap(), None);
}

#[tokio::test]
async fn a_rejection_or_an_outage_ends_the_chain_and_a_shrug_does_not() {
    let forge = Forge::ec_a();
    let everybody: Arc<dyn IdentityProvider> = Arc::new(Always(Ok("anybody")));
    let chain = Chain::new([Arc::new(verifier(&[&forge])) as Arc<dyn IdentityProvider>, Arc::clone(&everybody)]);
    let rejected = chain.authenticate(&bearer(forge.with_claims(&json!({"exp": 1})))).await.unwrap_err();
    assert_eq!(rejected.kind(), ErrorKind::Unauthenticated);
    let next = chain.authenticate(&bearer("password")).await.unwrap().unwrap();
    assert_eq!(next.principal.subject, "anybody");

    let down = Chain::default().then(Always(Err(ErrorKind::Unavailable))).then(Always(Ok("anybody")));
    assert_eq!(down.authenticate(&bearer("password")).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn chains_nest() {
    let forge = Forge::ec_a();
    let inner = Chain::default().then(builder(&[&forge]).build().unwrap());
    let outer = Chain::default().then(Chain::default()).then(inner).then(Always(Ok("anybody")));
    assert_eq!(outer.authenticate(&bearer(forge.good())).await.unwrap().unwrap().principal.subject, "alice");
    assert_eq!(outer.authenticate(&bearer("x")).await.unwrap().unwrap().principal.subject, "anybody");
}
