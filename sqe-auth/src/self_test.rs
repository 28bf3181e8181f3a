//! Known answers, so that a missing or broken cryptography is found at start and not by the first person who logs in.

use std::panic::catch_unwind;

use sqe_core::{Error, Result};

use crate::keys::{KeyFamily, KeySet};

/// Checks that this process can verify tokens: a known signature of every [`KeyFamily`] is accepted, and the same
/// signature over another message is not.
///
/// The cryptography behind `jsonwebtoken` is chosen once a process, by whoever builds the binary: exactly one of its
/// features `rust_crypto` and `aws_lc_rs`, or `CryptoProvider::install_default` before the first use. A library cannot
/// choose, because features add up and two of them are as bad as none. Without a choice `jsonwebtoken` panics when it
/// is used first; this function turns that into an error (and, as panics do, a line on standard error). Call it at
/// start, after a provider was installed and before the first verifier is built. A verifier checks the same for its
/// own family when it is built.
///
/// # Errors
/// `Internal` if tokens cannot be verified.
pub fn self_test() -> Result<()> {
    [KeyFamily::Rsa, KeyFamily::Ec, KeyFamily::Ed].into_iter().try_for_each(check)
}

/// The self-test of one family.
pub(crate) fn check(family: KeyFamily) -> Result<()> {
    match catch_unwind(|| known_answer(family)) {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(Error::internal(format!(
            "the cryptography of this binary gives wrong answers about {family} signatures; build it with another one"
        ))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::internal(
            "this binary has no cryptography for tokens; build it with exactly one of jsonwebtoken's features \
             rust_crypto and aws_lc_rs, or install a provider before the first verifier is built",
        )),
    }
}

/// Whether the family's known answers come out.
fn known_answer(family: KeyFamily) -> Result<bool> {
    let vector = match family {
        KeyFamily::Rsa => &RS256,
        KeyFamily::Ec => &ES256,
        KeyFamily::Ed => &ED25519,
    };
    let Some(algorithm) = family.algorithm(vector.algorithm) else { return Ok(false) };
    let set = KeySet::from_jwks(&format!(r#"{{"keys": [{}]}}"#, vector.key))?.of(family);
    Ok(set.only().is_some_and(|key| {
        let other = vector.message.replacen("eyJ", "eyK", 1);
        key.verify(algorithm, vector.message, vector.signature).is_ok()
            && key.verify(algorithm, &other, vector.signature).is_err()
    }))
}

struct Vector {
    algorithm: &'static str,
    key: &'static str,
    message: &'static str,
    signature: &'static str,
}

/// RFC 7515, A.2.
const RS256: Vector = Vector {
    algorithm: "RS256",
    key: concat!(
        r#"{"kty": "RSA", "e": "AQAB", "n": "#,
        r#""ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"#,
        "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2",
        "CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9g",
        r#"b54h4FRWyuXpoQ"}"#
    ),
    message: concat!(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0",
        "cnVlfQ"
    ),
    signature: concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr",
        "7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x",
        "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy",
        "pGlUPQGe77Rw"
    ),
};

/// RFC 7515, A.3.
const ES256: Vector = Vector {
    algorithm: "ES256",
    key: concat!(
        r#"{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "#,
        r#""y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    ),
    message: concat!(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0",
        "cnVlfQ"
    ),
    signature: "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
};

/// RFC 8037, A.4.
const ED25519: Vector = Vector {
    algorithm: "EdDSA",
    key: r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    message: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    signature: "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
};
