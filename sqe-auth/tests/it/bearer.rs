//! What a good token becomes.

use serde_json::json;
use sqe_core::{Credentials, IdentityProvider as _, Principal, Secret};

use crate::forge::{Forge, ISSUER, accepted, ask, builder, now, verifier};

#[tokio::test]
async fn claims_become_an_identity() {
    let forge = Forge::ec_a();
    let verifier = builder(&[&forge])
        .groups_claim(Some("/realm/groups"))
        .roles_claim(Some("scope"))
        .attributes(["department", "level", "tags", "absent", "nothing"])
        .build()
        .unwrap();
    let exp = now() + 600;
    let token = forge.with_claims(&json!({
        "exp": exp,
        "name": "Alice A.",
        "realm": {"groups": ["eu", "finance"]},
        "groups": ["not these"],
        "scope": "analyst  reader",
        "department": "risk",
        "level": 7,
        "tags": ["a", "b"],
        "act": {"sub": "notebook", "act": {"sub": "gateway", "iss": "https://mesh.example"}},
    }));
    let identity = accepted(&verifier, token.clone()).await;
    assert_eq!(identity.principal, Principal::new(ISSUER, "alice"));
    assert_eq!(identity.display_name.as_deref(), Some("Alice A."));
    assert_eq!(identity.groups.iter().collect::<Vec<_>>(), ["eu", "finance"]);
    assert_eq!(identity.roles.iter().collect::<Vec<_>>(), ["analyst", "reader"]);
    let attributes: Vec<_> = identity.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(attributes, [("department", "risk"), ("level", "7"), ("tags", r#"["a","b"]"#)]);
    assert_eq!(identity.expires_at.unwrap().timestamp(), exp + 30, "with the leeway");
    assert_eq!(
        identity.actors,
        [Principal::new(ISSUER, "notebook"), Principal::new("https://mesh.example", "gateway")]
    );
    assert_eq!(identity.proof, Some(Secret::new(token)));
}

#[tokio::test]
async fn groups_and_roles_are_only_those_of_the_configured_claims() {
    let forge = Forge::ec_a();
    let token = forge.with_claims(&json!({"groups": ["g"], "roles": ["r"]}));
    let by_default = accepted(&verifier(&[&forge]), token.clone()).await;
    assert!(by_default.groups.contains("g") && by_default.roles.contains("r"));
    let none = builder(&[&forge]).groups_claim(None).roles_claim(None).build().unwrap();
    let none = accepted(&none, token).await;
    assert!(none.groups.is_empty() && none.roles.is_empty());
}

#[tokio::test]
async fn a_token_as_a_password_is_accepted_only_where_configured() {
    let forge = Forge::ec_a();
    let basic = |password: String| Credentials::Basic { username: "mallory".into(), password: Secret::new(password) };
    let bearer_only = verifier(&[&forge]);
    assert_eq!(bearer_only.authenticate(&basic(forge.good())).await.unwrap(), None);
    let both = builder(&[&forge]).accept_basic_password_token(true).build().unwrap();
    let identity = both.authenticate(&basic(forge.good())).await.unwrap().unwrap();
    assert_eq!(identity.principal.subject, "alice", "the user name decides nothing");
    assert_eq!(both.authenticate(&basic("hunter2".into())).await.unwrap(), None);
    both.authenticate(&basic(forge.with_claims(&json!({"exp": 1})))).await.unwrap_err();
    accepted(&both, forge.good()).await;
}

#[tokio::test]
async fn nothing_prints_a_token() {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    let (good, bad) = (forge.good(), forge.with_claims(&json!({"aud": "other"})));
    let identity = accepted(&verifier, good.clone()).await;
    let error = ask(&verifier, bad.clone()).await.unwrap_err();
    let printed = format!("{verifier:?} {identity:?} {error:?} {error} {:?}", crate::forge::bearer(good.clone()));
    for token in [good, bad] {
        for part in token.split('.') {
            assert!(!printed.contains(part), "{part} in {printed}");
        }
    }
    assert!(printed.contains("alice"), "the permitted control");
}
