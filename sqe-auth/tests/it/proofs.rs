//! Properties over random input.

use proptest::prelude::*;
use sqe_auth::JwtVerifier;
use sqe_core::Identity;

use crate::forge::{Forge, ISSUER, ask, good_claims, signed_part, verifier};

fn ask_now(verifier: &JwtVerifier, token: &str) -> sqe_core::Result<Option<Identity>> {
    futures::executor::block_on(ask(verifier, token))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_accepted_and_none_panics(text in ".{0,200}") {
        prop_assert!(ask_now(&verifier(&[&Forge::ed_a()]), &text).unwrap().is_none());
    }

    #[test]
    fn no_header_and_claims_are_accepted_without_a_signature(header in ".{0,60}", claims in ".{0,60}") {
        let header = format!(r#"{{"alg": "EdDSA", "kid": "ed-a", {header:?}: {claims:?}}}"#);
        let claims = format!(r#"{{"iss": "{ISSUER}", {claims:?}: {header:?}}}"#);
        let token = format!("{}.AAAA", signed_part(&header, &claims));
        prop_assert!(!matches!(ask_now(&verifier(&[&Forge::ed_a()]), &token), Ok(Some(_))));
    }

    /// Whichever one character of a good token is changed, it is no longer accepted as somebody.
    #[test]
    fn one_changed_character_is_enough(place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let forge = Forge::ed_a();
        let verifier = verifier(&[&forge]);
        let good = forge.token(&forge.header(), &good_claims());
        let place = place.index(good.len());
        let changed = format!("{}{to}{}", &good[..place], &good[place + 1..]);
        prop_assume!(changed != good);
        prop_assert!(!matches!(ask_now(&verifier, &changed), Ok(Some(_))));
        prop_assert!(ask_now(&verifier, &good).unwrap().is_some());
    }
}
