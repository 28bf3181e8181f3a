//! Reading JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use thiserror::Error as ThisError;

use super::{Key, KeyFamily};

/// Below this an RSA key can be factored (RFC 7518, 3.3).
const MIN_RSA_BITS: usize = 2048;
/// Above this a verification costs too much, and common implementations refuse.
const MAX_RSA_BITS: usize = 4096;
/// A longer key id is nobody's.
const MAX_ID: usize = 1024;

/// Why a text is not a key set.
#[derive(Debug, ThisError, PartialEq, Eq)]
pub(crate) enum BadSet {
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    #[error("it is not a JSON object with a list of keys")]
    NotASet,
    #[error("it has more than {0} keys")]
    TooManyKeys(usize),
}

/// Why a key is not used.
#[derive(Debug, ThisError, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Of an unknown kind, for encryption, or of an algorithm that we do not have: not an error of the issuer.
    #[error("it is not for signatures that this verifier checks")]
    NotForUs,
    #[error("it is a private or symmetric key; publish only public keys, and replace this one")]
    Secret,
    #[error("its member {0} is missing or malformed")]
    Malformed(&'static str),
    #[error("an RSA key of {0} bits; use 2048 to 4096")]
    RsaBits(usize),
    #[error("an Ed25519 key of small order, for which everybody can sign")]
    SmallOrder,
    #[error("an RSA key whose modulus or exponent is not odd, or whose exponent is 1 or too large")]
    RsaNumbers,
}

/// Reads all keys of a set. Each is a key or the reason why it is not one of ours.
pub(crate) fn read(json: &[u8], max_bytes: usize, max_keys: usize) -> Result<Vec<Result<Key, Refused>>, BadSet> {
    if json.len() > max_bytes {
        return Err(BadSet::TooLarge(max_bytes));
    }
    let set: Value = serde_json::from_slice(json).map_err(|_| BadSet::NotASet)?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or(BadSet::NotASet)?;
    if keys.len() > max_keys {
        return Err(BadSet::TooManyKeys(max_keys));
    }
    Ok(keys.iter().map(|key| key.as_object().ok_or(Refused::Malformed("kty")).and_then(read_one)).collect())
}

fn read_one(jwk: &Map<String, Value>) -> Result<Key, Refused> {
    let kind = text(jwk, "kty")?.ok_or(Refused::Malformed("kty"))?;
    if kind == "oct" || jwk.contains_key("d") || jwk.contains_key("k") {
        return Err(Refused::Secret);
    }
    if text(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(Refused::NotForUs);
    }
    if let Some(operations) = jwk.get("key_ops") {
        let operations = operations.as_array().ok_or(Refused::Malformed("key_ops"))?;
        if !operations.iter().any(|operation| operation == "verify") {
            return Err(Refused::NotForUs);
        }
    }
    let id = text(jwk, "kid")?;
    if id.is_some_and(|id| id.is_empty() || id.len() > MAX_ID) {
        return Err(Refused::Malformed("kid"));
    }
    let (family, mut algorithms, decoding) = match (kind, text(jwk, "crv")?) {
        ("RSA", _) => rsa(jwk)?,
        ("EC", Some("P-256")) => ec(jwk, Algorithm::ES256, 32)?,
        ("EC", Some("P-384")) => ec(jwk, Algorithm::ES384, 48)?,
        ("OKP", Some("Ed25519")) => ed(jwk)?,
        ("EC" | "OKP", None) => return Err(Refused::Malformed("crv")),
        _ => return Err(Refused::NotForUs),
    };
    if let Some(alg) = text(jwk, "alg")? {
        let only = family.algorithm(alg).ok_or(Refused::NotForUs)?;
        algorithms.retain(|algorithm| *algorithm == only);
        if algorithms.is_empty() {
            return Err(Refused::NotForUs);
        }
    }
    Ok(Key { id: id.map(str::to_owned), family, algorithms, decoding })
}

type Material = (KeyFamily, Vec<Algorithm>, DecodingKey);

fn rsa(jwk: &Map<String, Value>) -> Result<Material, Refused> {
    let modulus = number(jwk, "n")?;
    let exponent = number(jwk, "e")?;
    let bits = bits(&modulus);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(Refused::RsaBits(bits));
    }
    // With an exponent of 1 every message is its own signature. Above 2^33 verification becomes slow, and nobody
    // signs with it.
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(&modulus) || !odd(&exponent) || exponent == [1] || self::bits(&exponent) > 33 {
        return Err(Refused::RsaNumbers);
    }
    let algorithms = vec![
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
    ];
    Ok((KeyFamily::Rsa, algorithms, DecodingKey::from_rsa_raw_components(&modulus, &exponent)))
}

fn ec(jwk: &Map<String, Value>, algorithm: Algorithm, length: usize) -> Result<Material, Refused> {
    let x = bytes(jwk, "x", length)?;
    let y = bytes(jwk, "y", length)?;
    // An uncompressed point (SEC 1, 2.3.3). Whether it is on its curve is checked with every signature.
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    Ok((KeyFamily::Ec, vec![algorithm], DecodingKey::from_ec_der(&point)))
}

fn ed(jwk: &Map<String, Value>) -> Result<Material, Refused> {
    // jsonwebtoken takes the first 32 bytes of whatever it gets, and panics on fewer: the length is checked here.
    let x = bytes(jwk, "x", 32)?;
    if small_order(&x) {
        return Err(Refused::SmallOrder);
    }
    Ok((KeyFamily::Ed, vec![Algorithm::EdDSA], DecodingKey::from_ed_der(&x)))
}

/// Whether the bytes are one of the points of Curve25519 whose order divides 8. Under such a "key" one signature fits
/// many messages, and common implementations accept it (RFC 8032, 5.1.7 checks with the cofactor).
fn small_order(point: &[u8]) -> bool {
    // The y coordinates of those points, low byte first, and the encodings of the same that exceed the prime. The sign
    // of x is the highest bit, and any will do.
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let [first, middle @ .., last] = point else { return true };
    let last = last & 0x7f;
    let all = |value: u8| middle.iter().all(|byte| *byte == value);
    let zero_or_one = *first <= 1 && all(0) && last == 0;
    let near_the_prime = (0xec..=0xee).contains(first) && all(0xff) && last == 0x7f;
    let of_order_8 = ORDER_8.iter().any(|y| matches!(y, [f, m @ .., l] if f == first && m == middle && *l == last));
    zero_or_one || near_the_prime || of_order_8
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &'static str) -> Result<Option<&'a str>, Refused> {
    jwk.get(member).map(|value| value.as_str().ok_or(Refused::Malformed(member))).transpose()
}

fn decode(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, Refused> {
    let encoded = text(jwk, member)?.ok_or(Refused::Malformed(member))?;
    URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Refused::Malformed(member))
}

fn bytes(jwk: &Map<String, Value>, member: &'static str, length: usize) -> Result<Vec<u8>, Refused> {
    Some(decode(jwk, member)?).filter(|bytes| bytes.len() == length).ok_or(Refused::Malformed(member))
}

/// A big-endian number without leading zeros. Some issuers write them against RFC 7518, 6.3.1.1; they change nothing.
fn number(jwk: &Map<String, Value>, member: &'static str) -> Result<Vec<u8>, Refused> {
    let number: Vec<u8> = decode(jwk, member)?.into_iter().skip_while(|byte| *byte == 0).collect();
    if number.is_empty() { Err(Refused::Malformed(member)) } else { Ok(number) }
}

fn bits(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn one(jwk: Value) -> Result<Key, Refused> {
        let set = json!({ "keys": [jwk] }).to_string();
        read(set.as_bytes(), 1 << 20, 10).unwrap().remove(0)
    }

    fn rsa_of(bytes: usize, exponent: &[u8]) -> Value {
        json!({"kty": "RSA", "n": encoded(&vec![0xff; bytes]), "e": encoded(exponent)})
    }

    #[rstest]
    #[case::of_2048_bits(rsa_of(256, &[1, 0, 1]))]
    #[case::of_4096_bits(rsa_of(512, &[3]))]
    #[case::with_leading_zero(json!({"kty": "RSA", "n": encoded(&[&[0u8][..], &[0xff; 256]].concat()), "e": "AQAB"}))]
    #[case::p256(json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 32]), "y": encoded(&[2; 32])}))]
    #[case::p384(json!({"kty": "EC", "crv": "P-384", "x": encoded(&[1; 48]), "y": encoded(&[2; 48])}))]
    #[case::ed25519(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 32]), "use": "sig", "key_ops": ["verify"]}))]
    fn a_public_key_is_read(#[case] jwk: Value) {
        assert!(one(jwk).is_ok());
    }

    #[rstest]
    #[case::weak(rsa_of(128, &[1, 0, 1]), Refused::RsaBits(1024))]
    #[case::almost_2048(json!({"kty": "RSA", "n": encoded(&[&[0x7fu8][..], &[0xff; 255]].concat()), "e": "AQAB"}), Refused::RsaBits(2047))]
    #[case::weak_behind_zeros(json!({"kty": "RSA", "n": encoded(&[&[0u8; 200][..], &[0xff; 128]].concat()), "e": "AQAB"}), Refused::RsaBits(1024))]
    #[case::huge(rsa_of(1024, &[1, 0, 1]), Refused::RsaBits(8192))]
    #[case::exponent_one(rsa_of(256, &[1]), Refused::RsaNumbers)]
    #[case::exponent_even(rsa_of(256, &[2]), Refused::RsaNumbers)]
    #[case::exponent_zero(rsa_of(256, &[0]), Refused::Malformed("e"))]
    #[case::exponent_huge(rsa_of(256, &[9; 8]), Refused::RsaNumbers)]
    #[case::symmetric(json!({"kty": "oct", "k": "c2VjcmV0"}), Refused::Secret)]
    #[case::private(json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 32]), "y": encoded(&[2; 32]), "d": "AA"}), Refused::Secret)]
    #[case::short_point(json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 31]), "y": encoded(&[2; 32])}), Refused::Malformed("x"))]
    #[case::short_ed25519(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 31])}), Refused::Malformed("x"))]
    #[case::long_ed25519(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 33])}), Refused::Malformed("x"))]
    #[case::for_encryption(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 32]), "use": "enc"}), Refused::NotForUs)]
    #[case::for_signing_only(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 32]), "key_ops": ["sign"]}), Refused::NotForUs)]
    #[case::unknown_kind(json!({"kty": "AKP", "pub": "AA"}), Refused::NotForUs)]
    #[case::unknown_curve(json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}), Refused::NotForUs)]
    #[case::algorithm_of_another_family(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 32]), "alg": "HS256"}), Refused::NotForUs)]
    #[case::algorithm_of_another_curve(json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 32]), "y": encoded(&[2; 32]), "alg": "ES384"}), Refused::NotForUs)]
    #[case::id_is_a_number(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 32]), "kid": 7}), Refused::Malformed("kid"))]
    #[case::not_an_object(json!("key"), Refused::Malformed("kty"))]
    fn a_key_that_is_weak_secret_or_strange_is_refused(#[case] jwk: Value, #[case] expected: Refused) {
        assert_eq!(one(jwk).err(), Some(expected));
    }

    /// Why such keys are refused: the neutral point "signs" everything with the same signature.
    #[test]
    fn a_key_of_small_order_would_accept_everything() {
        let neutral = [&[1][..], &[0; 31]].concat();
        let signature = encoded(&[&neutral[..], &[0; 32]].concat());
        let key = DecodingKey::from_ed_der(&neutral);
        for message in ["one", "another"] {
            let accepted = jsonwebtoken::crypto::verify(&signature, message.as_bytes(), &key, Algorithm::EdDSA);
            assert!(accepted.unwrap(), "if this is no longer so, the check is no longer needed");
        }
        let mut points = vec![neutral];
        points.push(vec![0; 32]);
        for low in 0xec..=0xee {
            points.push([&[low][..], &[0xff; 30], &[0x7f]].concat());
        }
        points.push(URL_SAFE_NO_PAD.decode("JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU").unwrap());
        points.push(URL_SAFE_NO_PAD.decode("xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o").unwrap());
        for mut point in points {
            for sign in [0, 0x80] {
                point[31] = point[31] & 0x7f | sign;
                let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&point)});
                assert_eq!(one(jwk).err(), Some(Refused::SmallOrder), "{point:?}");
            }
        }
    }

    #[rstest]
    #[case::off_its_curve(json!({"kty": "EC", "crv": "P-256", "x": encoded(&[1; 32]), "y": encoded(&[2; 32])}), Algorithm::ES256)]
    #[case::no_coordinate(json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[2; 32])}), Algorithm::EdDSA)]
    #[case::composite(rsa_of(256, &[1, 0, 1]), Algorithm::RS256)]
    fn a_key_that_is_no_key_accepts_nothing(#[case] jwk: Value, #[case] algorithm: Algorithm) {
        let key = one(jwk).unwrap();
        for signature in [vec![], vec![0; 64], vec![1; 64], vec![0; 256], vec![1; 256]] {
            assert!(key.verify(algorithm, "message", &encoded(&signature)).is_err());
        }
    }

    #[test]
    fn caps_hold_for_bytes_and_keys() {
        let three = json!({"keys": [{}, {}, {}]}).to_string();
        assert_eq!(read(three.as_bytes(), three.len(), 3).unwrap().len(), 3);
        assert_eq!(read(three.as_bytes(), three.len() - 1, 3).err(), Some(BadSet::TooLarge(three.len() - 1)));
        assert_eq!(read(three.as_bytes(), three.len(), 2).err(), Some(BadSet::TooManyKeys(2)));
        assert_eq!(read(b"<html>", 100, 2).err(), Some(BadSet::NotASet));
        assert_eq!(read(b"{\"keys\": {}}", 100, 2).err(), Some(BadSet::NotASet));
    }
}
