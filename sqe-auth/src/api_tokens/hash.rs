//! Argon2id (RFC 9106), with parameters by which a stolen file is of no use.

use std::hint::black_box;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString},
};
use sqe_core::{Error, Result};

use super::text::random_bytes;

/// OWASP's recommendation (Password Storage Cheat Sheet): 19 MiB, two passes, one lane. That is about 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What other settings must not fall below. OWASP's list trades memory for passes, down to 7 MiB with five of them; their
/// product is about the same in every line.
const MIN_MEMORY_KIB: u32 = 7 * 1024;
const MIN_PRODUCT: u64 = 7 * 1024 * 5;
/// What they must not exceed, so that no entry of a file takes the machine's memory or minutes of its time.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 4;
/// In bytes (RFC 9106, 4).
const MIN_SALT: usize = 16;
const MIN_OUTPUT: usize = 32;

/// The hash of a token, as a PHC string.
///
/// # Errors
/// `Internal`: a defect, or no random numbers.
pub(super) fn make(token: &str) -> Result<String> {
    let mut salt = [0; MIN_SALT];
    random_bytes(&mut salt)?;
    let broken = |error: argon2::password_hash::Error| {
        Error::internal("the token cannot be hashed").with_source(error.to_string())
    };
    let salt = SaltString::encode_b64(&salt).map_err(broken)?;
    Ok(argon2().hash_password(token.as_bytes(), &salt).map_err(broken)?.to_string())
}

/// Whether `hash` is the hash of `token`. Its outputs are compared in constant time.
pub(super) fn verify(token: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| argon2().verify_password(token.as_bytes(), &hash).is_ok())
}

/// Takes as long as [`verify`] does, for a token that has no hash.
pub(super) fn verify_nothing(token: &str) {
    let mut output = [0; MIN_OUTPUT];
    let done = argon2().hash_password_into(token.as_bytes(), &[0; MIN_SALT], &mut output);
    // What is not used would not need to be computed.
    let _ = black_box((done.is_ok(), output));
}

/// Why a hash is not one of ours, or is too weak or too strong.
pub(super) fn check(hash: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(hash).map_err(|_| "its hash is no PHC string")?;
    if hash.algorithm.as_str() != "argon2id" || hash.version != Some(0x13) {
        return Err("its hash is not one of argon2id in version 19");
    }
    let params = Params::try_from(&hash).map_err(|_| "its hash has wrong parameters")?;
    let product = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() < MIN_MEMORY_KIB || product < MIN_PRODUCT {
        return Err("its hash is weaker than m=19456,t=2,p=1; create the token anew");
    }
    if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES || params.p_cost() > MAX_LANES {
        return Err("its hash costs more than m=262144,t=16,p=4; create the token anew");
    }
    let mut buffer = [0; 64];
    let salt = hash.salt.and_then(|salt| salt.decode_b64(&mut buffer).ok().map(<[u8]>::len));
    if salt.is_none_or(|length| length < MIN_SALT) || hash.hash.is_none_or(|output| output.len() < MIN_OUTPUT) {
        return Err("its hash has too short a salt or output; create the token anew");
    }
    Ok(())
}

fn argon2() -> Argon2<'static> {
    // These parameters are in range, as the tests show; the defaults are the same numbers.
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(MIN_OUTPUT)).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SALT: &str = "MDEyMzQ1Njc4OWFiY2RlZg";
    const OUTPUT: &str = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    #[test]
    fn a_hash_is_that_of_its_token_alone_and_says_its_parameters() {
        let hash = make("token").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        check(&hash).unwrap();
        assert!(verify("token", &hash));
        assert!(!verify("token2", &hash));
        assert!(!verify("token", "$argon2id$v=19$m=19456,t=2,p=1"));
    }

    #[rstest]
    #[case::owasp("$argon2id$v=19$m=19456,t=2,p=1", true)]
    #[case::owasp_with_less_memory("$argon2id$v=19$m=7168,t=5,p=1", true)]
    #[case::owasp_with_more_memory("$argon2id$v=19$m=47104,t=1,p=1", true)]
    #[case::too_few_passes("$argon2id$v=19$m=19456,t=1,p=1", false)]
    #[case::too_little_memory("$argon2id$v=19$m=4096,t=16,p=1", false)]
    #[case::far_too_much_memory("$argon2id$v=19$m=4194304,t=2,p=1", false)]
    #[case::endless("$argon2id$v=19$m=19456,t=100000,p=1", false)]
    #[case::of_another_kind("$argon2i$v=19$m=19456,t=2,p=1", false)]
    #[case::of_an_old_version("$argon2id$v=16$m=19456,t=2,p=1", false)]
    #[case::without_version("$argon2id$m=19456,t=2,p=1", false)]
    fn parameters_are_checked(#[case] start: &str, #[case] good: bool) {
        assert_eq!(check(&format!("{start}${SALT}${OUTPUT}")).is_ok(), good);
    }

    #[rstest]
    #[case("")]
    #[case("secret")]
    #[case("$argon2id$v=19$m=19456,t=2,p=1")]
    #[case("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg")]
    #[case("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")]
    #[case("$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$CTFhFdXPJO1aFaMaO6Mm5Q")]
    fn what_is_no_whole_hash_is_refused(#[case] hash: &str) {
        assert!(check(hash).is_err());
    }
}
