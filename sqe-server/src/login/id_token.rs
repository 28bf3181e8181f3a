//! ID tokens (OpenID Connect Core 1.0, section 3.1.3.7).

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet},
};
use serde::{Deserialize, de::IgnoredAny};
use sqe_core::{Error, Result};

#[derive(Deserialize)]
struct Claims {
    sub: String,
    nonce: Option<String>,
    azp: Option<String>,
    aud: Audience,
}

/// Whom a token is for; `jsonwebtoken` has looked for this program among them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Several(Vec<String>),
    One(IgnoredAny),
}

/// Whose token it is: signed by a key of the issuer, for this client, not expired, and the answer to this nonce.
///
/// # Errors
/// `Unauthenticated` if anything of that is not so.
pub(super) fn verify(token: &str, keys: &JwkSet, issuer: &str, client_id: &str, nonce: Option<&str>) -> Result<String> {
    let refused = |why: &str| Error::unauthenticated(format!("the provider's ID token does not hold: {why}"));
    let header = decode_header(token).map_err(|error| refused("it is no JWT").with_source(error))?;
    let mut key_found = false;
    for key in keys.keys.iter().filter(|key| fits(key, header.kid.as_deref(), header.alg)) {
        key_found = true;
        let Ok(decoding) = DecodingKey::from_jwk(key) else { continue };
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let Ok(data) = decode::<Claims>(token, &decoding, &validation) else { continue };
        let claims = data.claims;
        if nonce.is_some() && claims.nonce.as_deref() != nonce {
            return Err(refused("it answers another login"));
        }
        let several = matches!(&claims.aud, Audience::Several(all) if all.len() > 1);
        if claims.azp.as_deref().map_or(several, |party| party != client_id) {
            return Err(refused("it was made for another program"));
        }
        return Ok(claims.sub);
    }
    Err(refused(if key_found {
        "signature, issuer, audience or time is wrong"
    } else {
        "no key of the provider's fits it"
    }))
}

/// Keys of one kind are never taken for another's, and shared secrets are no keys here.
fn fits(key: &Jwk, kid: Option<&str>, algorithm: Algorithm) -> bool {
    let named = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
    let kind = match (&key.algorithm, algorithm) {
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512,
        ) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDSA) => true,
        _ => false,
    };
    named && kind
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use rstest::rstest;
    use serde_json::{Value, json};
    use sqe_auth::DevIssuer;

    use super::*;

    const ISSUER: &str = "https://idp.example";

    struct Signer {
        keys: JwkSet,
        pem: Vec<u8>,
        kid: String,
    }

    fn signer() -> Signer {
        let folder = tempfile::tempdir().unwrap();
        let issuer = DevIssuer::open(folder.path()).unwrap();
        let keys: JwkSet = serde_json::from_str(&issuer.jwks()).unwrap();
        let kid = keys.keys[0].common.key_id.clone().unwrap();
        Signer { keys, kid, pem: std::fs::read(folder.path().join(DevIssuer::KEY_FILE)).unwrap() }
    }

    fn signed(signer: &Signer, change: impl FnOnce(&mut Value)) -> String {
        let now = chrono::Utc::now().timestamp();
        let mut claims = json!({"iss": ISSUER, "aud": "cli", "sub": "ann", "iat": now, "exp": now + 300, "nonce": "n"});
        change(&mut claims);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(signer.kid.clone());
        encode(&header, &claims, &EncodingKey::from_ec_pem(&signer.pem).unwrap()).unwrap()
    }

    #[test]
    fn a_good_token_tells_its_subject() {
        let signer = signer();
        let token = signed(&signer, |_| {});
        assert_eq!(verify(&token, &signer.keys, ISSUER, "cli", Some("n")).unwrap(), "ann");
        assert_eq!(verify(&token, &signer.keys, ISSUER, "cli", None).unwrap(), "ann");
        let several = signed(&signer, |claims| {
            claims["aud"] = json!(["cli", "other"]);
            claims["azp"] = "cli".into();
        });
        assert_eq!(verify(&several, &signer.keys, ISSUER, "cli", Some("n")).unwrap(), "ann");
    }

    #[rstest]
    #[case::another_issuer("iss", json!("https://evil.example"))]
    #[case::another_program("aud", json!("other"))]
    #[case::several_programs("aud", json!(["cli", "other"]))]
    #[case::for_another_program("azp", json!("other"))]
    #[case::another_login("nonce", json!("m"))]
    #[case::no_login("nonce", Value::Null)]
    #[case::expired("exp", json!(1_000_000))]
    #[case::not_yet("nbf", json!(4_000_000_000_u64))]
    fn a_token_that_is_wrong_in_one_thing_is_refused(#[case] claim: &str, #[case] value: Value) {
        let signer = signer();
        let token = signed(&signer, |claims| claims[claim] = value);
        verify(&token, &signer.keys, ISSUER, "cli", Some("n")).unwrap_err();
    }

    #[test]
    fn a_token_of_another_key_or_none_is_refused() {
        let (ours, theirs) = (signer(), signer());
        let token = signed(&theirs, |_| {});
        verify(&token, &ours.keys, ISSUER, "cli", Some("n")).unwrap_err();
        let mut same_name = theirs.keys.clone();
        same_name.keys[0].algorithm = ours.keys.keys[0].algorithm.clone();
        verify(&token, &same_name, ISSUER, "cli", Some("n")).unwrap_err();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap());
        verify(&unsigned, &theirs.keys, ISSUER, "cli", Some("n")).unwrap_err();
        verify("x", &theirs.keys, ISSUER, "cli", Some("n")).unwrap_err();
    }
}
