//! All providers together: nobody outside can tell why they are not let in, or by whom.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use sqe_auth::{
    ApiTokenSettings, ApiTokens, Chain, ClientCertificateSettings, ClientCertificates, Impersonation, NewApiToken,
    NotRevoked, Revocation, Revocations, Revoked, TokenFile,
};
use sqe_core::{CertificateChain, Credentials, ErrorKind, IdentityProvider, Principal};
use tempfile::TempDir;

use crate::{
    authority::{Authority, file, shown},
    forge::{Forge, bearer, now, verifier},
};

#[tokio::test]
async fn every_rejection_of_every_provider_is_answered_in_the_same_words() {
    let folder = TempDir::new().unwrap();
    let (root, fake) = (Authority::root("root"), Authority::root("root"));
    let certificates =
        ClientCertificateSettings::new("urn:example:workloads", file(folder.path(), "ca.pem", root.certificate.pem()));
    let tokens = TokenFile::at(folder.path().join("tokens.jsonl"));
    let day = Duration::from_secs(24 * 60 * 60);
    let new = || NewApiToken::new(Principal::new("urn:example:tokens", "etl"), day, "");
    let (revoked, revoked_token) = tokens.create(new()).unwrap();
    tokens.revoke(&revoked.id).unwrap();
    let (listed, listed_token) = tokens.create(new()).unwrap();
    let (_, good) = tokens.create(new()).unwrap();
    let forge = Forge::ec_a();
    let chain = Chain::default()
        .then(verifier(&[&forge]))
        .then(ApiTokens::open(folder.path().join("tokens.jsonl"), ApiTokenSettings::default()).unwrap())
        .then(ClientCertificates::open(certificates).unwrap());
    let (people, rules) = (file(folder.path(), "people.toml", ""), file(folder.path(), "rules.toml", ""));
    let acting = Impersonation::open(Arc::new(chain), people, rules).unwrap();
    let revocations = Arc::new(Revocations::in_memory());
    let _ = revocations.add(&Revocation::now(Revoked::Credential { id: listed.id, issuer: None })).unwrap();
    let provider = NotRevoked::new(Arc::new(acting), revocations);

    let as_alice = |actor| Credentials::ActingAs { actor: Box::new(actor), subject: "alice".to_owned() };
    let all = [
        bearer(forge.with_claims(&json!({"exp": now() - 60}))),
        bearer(forge.with_claims(&json!({"aud": "other"}))),
        bearer(forge.with_header(&json!({"alg": "none"}))),
        bearer("sqe_pat_0123456789ab_x"),
        Credentials::Bearer(revoked_token.clone()),
        Credentials::Bearer(listed_token),
        Credentials::ClientCertificate(CertificateChain::new([])),
        shown([&fake.client(|_| ())]),
        shown([&root.client(|params| params.not_after = rcgen::date_time_ymd(2025, 2, 1))]),
        as_alice(Credentials::Bearer(revoked_token)),
        as_alice(as_alice(Credentials::Bearer(good.clone()))),
    ];
    let mut words = BTreeSet::new();
    for credentials in &all {
        let error = provider.authenticate(credentials).await.expect_err("it is rejected");
        words.insert((error.kind().as_str(), error.message().to_owned()));
    }
    assert_eq!(words.len(), 1, "{words:?}");
    assert_eq!(words.first().unwrap().0, ErrorKind::Unauthenticated.as_str());
    assert!(provider.authenticate(&Credentials::Bearer(good)).await.unwrap().is_some());
}
