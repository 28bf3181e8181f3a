//! Makes tokens, good ones and others.

use std::error::Error as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};
use sqe_auth::{JwtVerifier, JwtVerifierBuilder, KeyFamily, KeySet, NOT_ACCEPTED};
use sqe_core::{Credentials, Error, ErrorKind, Identity, IdentityProvider as _, Result, Secret};

pub(crate) const ISSUER: &str = "https://idp.example/realms/a";
pub(crate) const AUDIENCE: &str = "sqe";

/// A key pair of an issuer.
pub(crate) struct Forge {
    key: EncodingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: &'static str,
}

impl Forge {
    pub(crate) fn rsa_a() -> Self {
        Self::rsa(include_bytes!("keys/rsa-a.pem"), "rsa-a")
    }

    pub(crate) fn rsa_b() -> Self {
        Self::rsa(include_bytes!("keys/rsa-b.pem"), "rsa-b")
    }

    pub(crate) fn rsa_weak() -> Self {
        Self::rsa(include_bytes!("keys/rsa-weak.pem"), "rsa-weak")
    }

    pub(crate) fn ec_a() -> Self {
        Self::ec(include_bytes!("keys/ec-a.pem"), "ec-a", Algorithm::ES256)
    }

    pub(crate) fn ec_b() -> Self {
        Self::ec(include_bytes!("keys/ec-b.pem"), "ec-b", Algorithm::ES256)
    }

    pub(crate) fn ec_384() -> Self {
        Self::ec(include_bytes!("keys/ec-384.pem"), "ec-384", Algorithm::ES384)
    }

    pub(crate) fn ed_a() -> Self {
        Self::ed(include_bytes!("keys/ed-a.pem"), "ed-a")
    }

    pub(crate) fn ed_b() -> Self {
        Self::ed(include_bytes!("keys/ed-b.pem"), "ed-b")
    }

    fn rsa(pem: &[u8], kid: &'static str) -> Self {
        Self { key: EncodingKey::from_rsa_pem(pem).unwrap(), algorithm: Algorithm::RS256, kid }
    }

    fn ec(pem: &[u8], kid: &'static str, algorithm: Algorithm) -> Self {
        Self { key: EncodingKey::from_ec_pem(pem).unwrap(), algorithm, kid }
    }

    fn ed(pem: &[u8], kid: &'static str) -> Self {
        Self { key: EncodingKey::from_ed_pem(pem).unwrap(), algorithm: Algorithm::EdDSA, kid }
    }

    pub(crate) fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The public key, without `alg`.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "typ": "at+jwt", "kid": self.kid})
    }

    /// A token that is good in every respect.
    pub(crate) fn good(&self) -> String {
        self.token(&self.header(), &good_claims())
    }

    /// A good token but for some claims; `null` removes one.
    pub(crate) fn with_claims(&self, changes: &Value) -> String {
        self.token(&self.header(), &changed(good_claims(), changes))
    }

    /// A good token but for some header parameters; `null` removes one.
    pub(crate) fn with_header(&self, changes: &Value) -> String {
        self.token(&changed(self.header(), changes), &good_claims())
    }

    pub(crate) fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }

    /// A token of these texts, rightly signed.
    pub(crate) fn raw(&self, header: &str, claims: &str) -> String {
        let signed = signed_part(header, claims);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

pub(crate) fn signed_part(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

pub(crate) fn now() -> i64 {
    Utc::now().timestamp()
}

pub(crate) fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now(), "nbf": now() - 5, "exp": now() + 600})
}

/// `object` with the members of `changes`, less those that are null there.
pub(crate) fn changed(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}

pub(crate) fn jwks(forges: &[&Forge]) -> String {
    json!({ "keys": forges.iter().map(|forge| forge.jwk()).collect::<Vec<_>>() }).to_string()
}

pub(crate) fn family(forge: &Forge) -> KeyFamily {
    match forge.algorithm {
        Algorithm::ES256 | Algorithm::ES384 => KeyFamily::Ec,
        Algorithm::EdDSA => KeyFamily::Ed,
        _ => KeyFamily::Rsa,
    }
}

/// A verifier of the issuer with these keys, to be configured further.
pub(crate) fn builder(forges: &[&Forge]) -> JwtVerifierBuilder {
    let keys = KeySet::from_jwks(&jwks(forges)).unwrap();
    JwtVerifier::builder(ISSUER).audience(AUDIENCE).family(family(forges[0])).key_set(keys)
}

pub(crate) fn verifier(forges: &[&Forge]) -> JwtVerifier {
    builder(forges).build().unwrap()
}

pub(crate) fn bearer(token: impl Into<String>) -> Credentials {
    Credentials::Bearer(Secret::new(token))
}

pub(crate) async fn ask(verifier: &JwtVerifier, token: impl Into<String>) -> Result<Option<Identity>> {
    verifier.authenticate(&bearer(token)).await
}

pub(crate) async fn accepted(verifier: &JwtVerifier, token: impl Into<String>) -> Identity {
    ask(verifier, token).await.unwrap_or_else(|error| panic!("{error:?}")).expect("the token is recognised")
}

/// The reason of a rejection, after the token was rejected as it must be.
pub(crate) async fn rejected(verifier: &JwtVerifier, token: impl Into<String>) -> String {
    let token = token.into();
    let error = ask(verifier, token.clone()).await.expect_err("the token is rejected");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unauthenticated, NOT_ACCEPTED), "{error:?}");
    let reason = cause(&error);
    assert!(!format!("{error:?} {error} {reason}").contains(&token), "an error shows the token");
    reason
}

pub(crate) fn cause(error: &Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}
