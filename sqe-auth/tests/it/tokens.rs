//! The list of what is wrong with tokens, each beside a token that is right.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rstest::rstest;
use serde_json::{Value, json};
use sqe_auth::{KeyFamily, TokenType};

use crate::forge::{
    AUDIENCE, Forge, ISSUER, accepted, ask, builder, changed, good_claims, now, rejected, signed_part, verifier,
};

#[rstest]
#[case::rs256(Forge::rsa_a())]
#[case::rs384(Forge::rsa_a().with_algorithm(Algorithm::RS384))]
#[case::rs512(Forge::rsa_a().with_algorithm(Algorithm::RS512))]
#[case::ps256(Forge::rsa_a().with_algorithm(Algorithm::PS256))]
#[case::ps384(Forge::rsa_a().with_algorithm(Algorithm::PS384))]
#[case::ps512(Forge::rsa_a().with_algorithm(Algorithm::PS512))]
#[case::es256(Forge::ec_a())]
#[case::es384(Forge::ec_384())]
#[case::eddsa(Forge::ed_a())]
#[tokio::test]
async fn a_good_token_of_every_algorithm_is_accepted(#[case] forge: Forge) {
    let verifier = verifier(&[&forge]);
    let identity = accepted(&verifier, forge.good()).await;
    assert_eq!((identity.principal.issuer.as_str(), identity.principal.subject.as_str()), (ISSUER, "alice"));
}

#[tokio::test]
async fn the_name_of_rfc_9864_is_accepted_for_ed25519() {
    let forge = Forge::ed_a();
    accepted(&verifier(&[&forge]), forge.with_header(&json!({"alg": "Ed25519"}))).await;
}

#[rstest]
#[tokio::test]
async fn an_unsecured_token_is_rejected(
    #[values("none", "None", "NONE", "nOnE", "", " none", "none ")] alg: &str,
    #[values(false, true)] signed: bool,
    #[values(KeyFamily::Rsa, KeyFamily::Ec, KeyFamily::Ed)] family: KeyFamily,
) {
    let forge = of(family);
    let verifier = verifier(&[&forge]);
    let token = forge.with_header(&json!({ "alg": alg }));
    let token = if signed { token } else { format!("{}.", token.rsplit_once('.').unwrap().0) };
    assert!(rejected(&verifier, token).await.contains("algorithm"));
    accepted(&verifier, forge.good()).await;
}

fn of(family: KeyFamily) -> Forge {
    match family {
        KeyFamily::Ec => Forge::ec_a(),
        KeyFamily::Ed => Forge::ed_a(),
        _ => Forge::rsa_a(),
    }
}

/// The public key as the secret of an HMAC, in every form that a careless verifier might use.
#[rstest]
#[case::rsa(Forge::rsa_a(), "n")]
#[case::ec(Forge::ec_a(), "x")]
#[case::ed(Forge::ed_a(), "x")]
#[tokio::test]
async fn a_public_key_is_never_a_shared_secret(
    #[case] forge: Forge,
    #[case] member: &str,
    #[values(Algorithm::HS256, Algorithm::HS384, Algorithm::HS512)] algorithm: Algorithm,
) {
    let verifier = verifier(&[&forge]);
    let jwk = forge.jwk();
    let text = jwk[member].as_str().unwrap();
    for secret in [text.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(text).unwrap(), jwk.to_string().into_bytes()] {
        let mut header = forge.header();
        header["alg"] = json!(format!("{algorithm:?}"));
        let signed = signed_part(&header.to_string(), &good_claims().to_string());
        let key = EncodingKey::from_secret(&secret);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
        assert!(rejected(&verifier, format!("{signed}.{signature}")).await.contains("algorithm"));
    }
    accepted(&verifier, forge.good()).await;
}

/// Each issuer has one family, even if it publishes keys of others and tokens name them rightly.
#[rstest]
#[tokio::test]
async fn families_are_not_swapped(
    #[values(KeyFamily::Rsa, KeyFamily::Ec, KeyFamily::Ed)] ours: KeyFamily,
    #[values(KeyFamily::Rsa, KeyFamily::Ec, KeyFamily::Ed)] theirs: KeyFamily,
) {
    let verifier =
        builder(&[&of(KeyFamily::Rsa), &of(KeyFamily::Ec), &of(KeyFamily::Ed)]).family(ours).build().unwrap();
    if ours == theirs {
        accepted(&verifier, of(theirs).good()).await;
    } else {
        assert!(rejected(&verifier, of(theirs).good()).await.contains("algorithm"));
        // Nor may a token say one family and name a key of another.
        let token = of(theirs).with_header(&json!({"alg": of(ours).header()["alg"]}));
        assert!(rejected(&verifier, token).await.contains("does not publish"));
    }
}

#[tokio::test]
async fn a_key_is_used_with_its_own_algorithm_only() {
    let forge = Forge::rsa_a();
    let mut jwk = forge.jwk();
    jwk["alg"] = json!("PS256");
    let keys = sqe_auth::KeySet::from_jwks(&json!({"keys": [jwk]}).to_string()).unwrap();
    let verifier = sqe_auth::JwtVerifier::builder(ISSUER).audience(AUDIENCE).key_set(keys).build().unwrap();
    assert!(rejected(&verifier, forge.good()).await.contains("does not fit"));
    accepted(&verifier, forge.with_algorithm(Algorithm::PS256).good()).await;
    // And a curve with its own hash.
    let (p256, p384) = (Forge::ec_a(), Forge::ec_384());
    let verifier = self::verifier(&[&p256, &p384]);
    assert!(rejected(&verifier, p256.with_header(&json!({"kid": p384.kid}))).await.contains("does not fit"));
    accepted(&verifier, p256.good()).await;
    accepted(&verifier, p384.good()).await;
}

#[rstest]
#[tokio::test]
async fn a_signature_that_is_not_the_keys_own_is_rejected(
    #[values(KeyFamily::Rsa, KeyFamily::Ec, KeyFamily::Ed)] family: KeyFamily,
) {
    let forge = of(family);
    let verifier = verifier(&[&forge]);
    let good = forge.good();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let mut wrong = vec![
        String::new(),
        encode(&bytes[..bytes.len() - 1]),
        encode(&bytes[..1]),
        encode(&bytes[1..]),
        encode(&[&bytes[..], &[0]].concat()),
        encode(&vec![0; bytes.len()]),
        encode(&vec![0xff; bytes.len()]),
        encode(&flipped),
        format!("{signature}="),
        format!("{signature} "),
        "!".repeat(86),
    ];
    if family == KeyFamily::Ec {
        let one = [&[0; 31][..], &[1]].concat();
        let zero = vec![0; 32];
        // The order of P-256 (SEC 2, 2.4.2), which counts as zero.
        let order = URL_SAFE_NO_PAD.decode("_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE").unwrap();
        for (r, s) in [(&zero, &one), (&one, &zero), (&order, &one), (&one, &order), (&order, &order)] {
            wrong.push(encode(&[&r[..], &s[..]].concat()));
        }
        // The same numbers in DER, which JWS does not use (RFC 7518, 3.4).
        let der = [&[0x30, 0x44, 0x02, 0x20][..], &bytes[..32], &[0x02, 0x20], &bytes[32..]].concat();
        wrong.push(encode(&der));
    }
    for signature in wrong {
        assert!(rejected(&verifier, format!("{signed}.{signature}")).await.contains("signature"), "{signature}");
    }
    accepted(&verifier, good).await;
}

#[tokio::test]
async fn changed_claims_and_another_persons_signature_are_rejected() {
    let (forge, other) = (Forge::ec_a(), Forge::ec_b());
    let verifier = verifier(&[&forge]);
    let alice = forge.good();
    let bob = forge.with_claims(&json!({"sub": "bob"}));
    let mixed = format!("{}.{}", bob.rsplit_once('.').unwrap().0, alice.rsplit_once('.').unwrap().1);
    assert!(rejected(&verifier, mixed).await.contains("signature"));
    // A key that the issuer does not have, under the name of one that it has.
    assert!(rejected(&verifier, other.with_header(&json!({"kid": forge.kid}))).await.contains("signature"));
    assert_eq!(accepted(&verifier, bob).await.principal.subject, "bob");
}

#[rstest]
#[case::path(json!("../../../../etc/passwd"), "does not publish")]
#[case::sql(json!("' or 1=1 --"), "does not publish")]
#[case::url(json!("http://127.0.0.1:1/keys"), "does not publish")]
#[case::empty(json!(""), "does not publish")]
#[case::other_case(json!("EC-A"), "does not publish")]
#[case::line_break(json!("ec-a\nec-a"), "does not publish")]
#[case::long(json!("k".repeat(8000)), "does not publish")]
#[case::a_number(json!(7), "kid")]
#[case::a_list(json!(["ec-a"]), "kid")]
#[case::an_object(json!({"kid": "ec-a"}), "kid")]
#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else(#[case] kid: Value, #[case] reason: &str) {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    let found = rejected(&verifier, forge.with_header(&json!({ "kid": kid }))).await;
    assert!(found.contains(reason) && found.len() < 300 && !found.contains('\n'), "{found}");
    accepted(&verifier, forge.good()).await;
}

#[tokio::test]
async fn without_a_key_id_the_issuer_must_have_one_key() {
    let (one, two) = (Forge::ec_a(), Forge::ec_b());
    let token = one.with_header(&json!({"kid": null}));
    accepted(&verifier(&[&one]), token.clone()).await;
    assert!(rejected(&verifier(&[&one, &two]), token).await.contains("names no key"));
    // A key of another curve is no rival.
    accepted(&verifier(&[&one, &Forge::ec_384()]), one.with_header(&json!({"kid": null}))).await;
}

/// A thief's key in the token itself, rightly signed with it, changes nothing; nor does it harm a good token.
#[rstest]
#[case("jwk")]
#[case("jku")]
#[case("x5u")]
#[case("x5c")]
#[tokio::test]
async fn keys_in_the_header_are_ignored(#[case] parameter: &str) {
    let (forge, thief) = (Forge::ec_a(), Forge::ec_b());
    let verifier = verifier(&[&forge]);
    let value = match parameter {
        "jwk" => thief.jwk(),
        "x5c" => json!(["MIIB"]),
        _ => json!("http://127.0.0.1:1/keys"),
    };
    assert!(rejected(&verifier, thief.with_header(&json!({ parameter: value }))).await.contains("does not publish"));
    let with_our_kid = thief.with_header(&json!({ parameter: value, "kid": forge.kid }));
    assert!(rejected(&verifier, with_our_kid).await.contains("signature"));
    assert!(
        rejected(&verifier, thief.with_header(&json!({ parameter: value, "kid": null }))).await.contains("signature")
    );
    accepted(&verifier, forge.with_header(&json!({ parameter: value }))).await;
}

#[rstest]
#[case(json!(["exp"]))]
#[case(json!(["b64"]))]
#[case(json!([]))]
#[case(json!("exp"))]
#[case(json!(7))]
#[tokio::test]
async fn critical_extensions_are_rejected(#[case] crit: Value) {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    assert!(rejected(&verifier, forge.with_header(&json!({"crit": crit, "b64": true}))).await.contains("critical"));
    accepted(&verifier, forge.with_header(&json!({"unknown": true}))).await;
}

#[tokio::test]
async fn what_is_named_twice_is_rejected() {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    let (header, claims) = (forge.header().to_string(), good_claims().to_string());
    let also = |object: &str, more: &str| format!("{}, {more}}}", object.strip_suffix('}').unwrap());
    for more in [
        r#""sub": "bob""#.to_owned(),
        r#""sub": "alice""#.to_owned(),
        r#""\u0073ub": "bob""#.to_owned(),
        r#""exp": 9999999999"#.to_owned(),
        r#""aud": "other""#.to_owned(),
        r#""iss": "https://other.example""#.to_owned(),
        format!(r#""iss": "{ISSUER}""#),
        r#""a": {"b": 1, "b": 2}"#.to_owned(),
    ] {
        assert!(rejected(&verifier, forge.raw(&header, &also(&claims, &more))).await.contains("twice"), "{more}");
    }
    // Ours in the first place, another's in the last, which is the one that careless readers see.
    let other = claims.replacen(ISSUER, "https://other.example", 1);
    let token = forge.raw(&header, &also(&other, &format!(r#""iss": "{ISSUER}""#)));
    assert!(rejected(&verifier, token).await.contains("twice"));
    for more in [r#""alg": "none""#, r#""kid": "ec-a""#, r#""typ": "at+jwt""#] {
        assert!(rejected(&verifier, forge.raw(&also(&header, more), &claims)).await.contains("twice"), "{more}");
    }
    accepted(&verifier, forge.raw(&also(&header, r#""x": 1"#), &also(&claims, r#""x": 1"#))).await;
}

#[rstest]
#[case::exp_missing(json!({"exp": null}), "exp")]
#[case::exp_passed(json!({"exp": now() - 31}), "expired")]
#[case::exp_text(json!({"exp": (now() + 600).to_string()}), "exp")]
#[case::exp_passed_float(json!({"exp": now() as f64 - 31.5}), "expired")]
#[case::exp_negative(json!({"exp": -1}), "exp")]
#[case::exp_max(json!({"exp": u64::MAX}), "exp")]
#[case::exp_huge(json!({"exp": 1e300}), "exp")]
#[case::exp_zero(json!({"exp": 0}), "expired")]
#[case::nbf_ahead(json!({"nbf": now() + 35}), "not valid yet")]
#[case::nbf_text(json!({"nbf": "0"}), "nbf")]
#[case::nbf_negative(json!({"nbf": -1}), "nbf")]
#[case::nbf_max(json!({"nbf": u64::MAX}), "nbf")]
#[case::nbf_list(json!({"nbf": [0]}), "nbf")]
#[case::iat_ahead(json!({"iat": now() + 35}), "future")]
#[case::iat_text(json!({"iat": "0"}), "iat")]
#[case::iat_negative(json!({"iat": -0.5}), "iat")]
#[case::iat_max(json!({"iat": u64::MAX}), "iat")]
#[case::sub_missing(json!({"sub": null}), "sub")]
#[case::sub_empty(json!({"sub": ""}), "sub")]
#[case::sub_number(json!({"sub": 7}), "sub")]
#[case::sub_list(json!({"sub": ["alice"]}), "sub")]
#[case::sub_line_break(json!({"sub": "alice\nbob"}), "sub")]
#[case::sub_long(json!({"sub": "a".repeat(1025)}), "sub")]
#[case::aud_missing(json!({"aud": null}), "aud")]
#[case::aud_other(json!({"aud": "other"}), "audience")]
#[case::aud_empty(json!({"aud": ""}), "audience")]
#[case::aud_none(json!({"aud": []}), "audience")]
#[case::aud_others(json!({"aud": ["other", "another"]}), "audience")]
#[case::aud_prefix(json!({"aud": "sq"}), "audience")]
#[case::aud_longer(json!({"aud": "sqe2"}), "audience")]
#[case::aud_case(json!({"aud": "SQE"}), "audience")]
#[case::aud_space(json!({"aud": "other sqe"}), "audience")]
#[case::aud_number(json!({"aud": 7}), "aud")]
#[case::aud_object(json!({"aud": {"sqe": true}}), "aud")]
#[case::aud_nested(json!({"aud": [["sqe"]]}), "aud")]
#[case::aud_mixed(json!({"aud": ["sqe", 7]}), "aud")]
#[case::iss_list(json!({"iss": [ISSUER]}), "iss")]
#[case::bound_to_a_certificate(json!({"cnf": {"x5t#S256": "AA"}}), "bound")]
#[case::bound_to_a_key(json!({"cnf": {"jkt": "AA"}}), "bound")]
#[case::groups_number(json!({"groups": 7}), "groups")]
#[case::roles_object(json!({"roles": {"admin": true}}), "roles")]
#[case::groups_elsewhere(json!({"_claim_names": {"groups": "src1"}}), "groups")]
#[case::act_loop(json!({"act": {"sub": "a", "act": {"sub": "b", "act": {"sub": "a"}}}}), "actors")]
#[case::act_self(json!({"act": {"sub": "alice"}}), "actors")]
#[case::act_text(json!({"act": "app"}), "act")]
#[tokio::test]
async fn wrong_claims_are_rejected(#[case] changes: Value, #[case] reason: &str) {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    let found = rejected(&verifier, forge.with_claims(&changes)).await;
    assert!(found.contains(reason), "{found}");
    accepted(&verifier, forge.good()).await;
}

#[rstest]
#[case::exp_within_leeway(json!({"exp": now() - 20}))]
#[case::exp_float(json!({"exp": now() as f64 + 600.25}))]
#[case::nbf_within_leeway(json!({"nbf": now() + 20}))]
#[case::nbf_missing(json!({"nbf": null}))]
#[case::iat_missing(json!({"iat": null}))]
#[case::aud_list(json!({"aud": ["other", "sqe"]}))]
#[case::aud_second(json!({"aud": "sqe-too"}))]
#[case::sub_unicode(json!({"sub": "älïcé 🦀"}))]
#[tokio::test]
async fn unusual_but_right_claims_are_accepted(#[case] changes: Value) {
    let forge = Forge::ec_a();
    let verifier = builder(&[&forge]).audience("sqe-too").build().unwrap();
    accepted(&verifier, forge.with_claims(&changes)).await;
}

/// A token of another issuer is another provider's to judge, and its issuer's name is compared letter by letter.
#[rstest]
#[case::other(json!({"iss": "https://other.example"}))]
#[case::missing(json!({"iss": null}))]
#[case::prefix(json!({"iss": "https://idp.example/realms/"}))]
#[case::longer(json!({"iss": "https://idp.example/realms/ab"}))]
#[case::slash(json!({"iss": "https://idp.example/realms/a/"}))]
#[case::case(json!({"iss": "https://IDP.example/realms/a"}))]
#[case::number(json!({"iss": 7}))]
#[case::list_of_others(json!({"iss": ["https://other.example"]}))]
#[case::object(json!({"iss": {ISSUER: true}}))]
#[tokio::test]
async fn a_token_of_another_issuer_is_not_ours(#[case] changes: Value) {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    assert_eq!(ask(&verifier, forge.with_claims(&changes)).await.unwrap(), None);
    accepted(&verifier, forge.good()).await;
}

/// One machine signs for two issuers with one key. Neither verifier takes the other's tokens.
#[tokio::test]
async fn issuers_that_share_a_key_do_not_share_people() {
    let forge = Forge::ec_a();
    let keys = sqe_auth::KeySet::from_jwks(&crate::forge::jwks(&[&forge])).unwrap();
    let other = sqe_auth::JwtVerifier::builder("https://idp.example/realms/b").audience(AUDIENCE).key_set(keys);
    let other = other.family(KeyFamily::Ec).build().unwrap();
    assert_eq!(ask(&other, forge.good()).await.unwrap(), None);
    accepted(&other, forge.with_claims(&json!({"iss": "https://idp.example/realms/b"}))).await;
}

#[rstest]
#[case("")]
#[case("password")]
#[case("sk_live_0123456789")]
#[case("a.b")]
#[case("a.b.c")]
#[case("..")]
#[case("e30.e30.")]
#[case("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0")]
#[case("a.b.c.d.e")]
#[case("e30.W10.AA")]
#[case("Bearer e30.e30.AA")]
#[tokio::test]
async fn what_is_not_a_token_is_not_ours(#[case] text: &str) {
    assert_eq!(ask(&verifier(&[&Forge::ec_a()]), text).await.unwrap(), None);
}

#[tokio::test]
async fn an_oversized_token_is_rejected_unread() {
    let forge = Forge::ec_a();
    let verifier = builder(&[&forge]).max_token_bytes(4096).build().unwrap();
    let of_length = |wanted: usize| {
        let mut padding = wanted / 2;
        loop {
            let token = forge.with_claims(&json!({"padding": "x".repeat(padding)}));
            if token.len() >= wanted {
                return token;
            }
            padding += 1;
        }
    };
    let fits = of_length(4090);
    assert!(fits.len() <= 4096);
    accepted(&verifier, fits).await;
    assert!(rejected(&verifier, of_length(4097)).await.contains("4096 bytes"));
    // Nobody looks into it, so whose it is does not matter.
    let garbage = format!("{}.{}.{}", "a".repeat(2_000_000), "b".repeat(2_000_000), "c".repeat(2_000_000));
    assert!(rejected(&verifier, garbage).await.contains("4096 bytes"));
}

/// What each kind of issuer writes on its access tokens, and on what is not an access token.
#[rstest]
#[case::at_jwt(json!("at+jwt"), json!({}), true)]
#[case::at_jwt_long(json!("application/AT+JWT"), json!({}), true)]
#[case::at_jwt_with_nonce(json!("at+jwt"), json!({"nonce": "n"}), true)]
#[case::jwt(json!("JWT"), json!({}), true)]
#[case::jwt_lower(json!("jwt"), json!({"azp": "app", "scope": "openid"}), true)]
#[case::keycloak_access(json!("JWT"), json!({"typ": "Bearer", "nonce": "n"}), true)]
#[case::cognito_access(json!("JWT"), json!({"token_use": "access"}), true)]
#[case::missing(json!(null), json!({}), false)]
#[case::id_token_nonce(json!("JWT"), json!({"nonce": "n"}), false)]
#[case::id_token_at_hash(json!("JWT"), json!({"at_hash": "h"}), false)]
#[case::id_token_c_hash(json!("JWT"), json!({"c_hash": "h"}), false)]
#[case::id_token_s_hash(json!("JWT"), json!({"s_hash": "h"}), false)]
#[case::id_token_that_says_bearer(json!("JWT"), json!({"typ": "Bearer", "at_hash": "h"}), false)]
#[case::keycloak_id(json!("JWT"), json!({"typ": "ID"}), false)]
#[case::keycloak_refresh(json!("JWT"), json!({"typ": "Refresh"}), false)]
#[case::keycloak_offline(json!("JWT"), json!({"typ": "Offline"}), false)]
#[case::keycloak_type_is_a_number(json!("JWT"), json!({"typ": 7}), false)]
#[case::cognito_id(json!("JWT"), json!({"token_use": "id"}), false)]
#[case::logout(json!("JWT"), json!({"events": {}}), false)]
#[case::logout_typed(json!("logout+jwt"), json!({}), false)]
#[case::security_event(json!("secevent+jwt"), json!({}), false)]
#[case::dpop(json!("dpop+jwt"), json!({}), false)]
#[case::id_typed(json!("id_token+jwt"), json!({}), false)]
#[case::prefix(json!("at"), json!({}), false)]
#[case::empty(json!(""), json!({}), false)]
#[case::number(json!(7), json!({}), false)]
#[case::list(json!(["at+jwt"]), json!({}), false)]
#[tokio::test]
async fn only_access_tokens_are_accepted(#[case] typ: Value, #[case] claims: Value, #[case] permitted: bool) {
    let forge = Forge::ec_a();
    let verifier = verifier(&[&forge]);
    let token = forge.token(&changed(forge.header(), &json!({ "typ": typ })), &changed(good_claims(), &claims));
    assert_eq!(ask(&verifier, token).await.is_ok(), permitted);
}

#[rstest]
#[case::only_at_jwt(&[TokenType::AccessToken], [true, false, false])]
#[case::only_jwt(&[TokenType::Jwt], [false, true, false])]
#[case::untyped_too(&[TokenType::AccessToken, TokenType::Jwt, TokenType::Missing], [true, true, true])]
#[tokio::test]
async fn accepted_types_are_configured(#[case] types: &[TokenType], #[case] permitted: [bool; 3]) {
    let forge = Forge::ec_a();
    let verifier = builder(&[&forge]).types(types.iter().copied()).build().unwrap();
    for (typ, permitted) in [json!("at+jwt"), json!("JWT"), json!(null)].into_iter().zip(permitted) {
        assert_eq!(ask(&verifier, forge.with_header(&json!({ "typ": typ }))).await.is_ok(), permitted, "{typ}");
    }
    // An ID token stays one without its type.
    let untyped_id =
        forge.token(&changed(forge.header(), &json!({"typ": null})), &changed(good_claims(), &json!({"nonce": "n"})));
    assert!(ask(&verifier, untyped_id).await.is_err());
}
