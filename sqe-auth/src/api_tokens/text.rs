//! The text of a token: `sqe_pat_`, an id, `_`, a secret, a checksum.

use rand::{TryRngCore as _, rngs::OsRng};
use sqe_core::{Error, Result, Secret};

/// What every token begins with, for scanners of repositories and logs, and for us.
pub(super) const PREFIX: &str = "sqe_pat_";

/// Letters and digits: a double click selects all of a token.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 71 bits: ids do not meet by chance.
const ID: usize = 12;
/// 62^43 is more than 2^256.
const SECRET: usize = 43;
/// 62^6 is more than 2^32.
const CHECKSUM: usize = 6;

/// The parts of a text that is a token in form. The whole text is what is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    /// The public part, by which its record is found.
    pub(super) id: &'a str,
}

/// Begins like a token, and is none: mistyped, cut off, or made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What a text is: `None` if it does not begin like a token.
///
/// The checksum keeps nobody out, for everybody can compute it. It tells a typing error from a guess before that costs
/// anything.
pub(super) fn parse(text: &str) -> Option<Result<Parts<'_>, Malformed>> {
    let rest = text.strip_prefix(PREFIX)?;
    Some(parts(text, rest).ok_or(Malformed))
}

fn parts<'a>(text: &'a str, rest: &'a str) -> Option<Parts<'a>> {
    let (id, secret) = rest.split_once('_')?;
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if id.len() != ID || secret.len() != SECRET + CHECKSUM || !letters(id) || !letters(secret) {
        return None;
    }
    // Letters are bytes here, so this is the border between two of them.
    let (signed, claimed) = text.split_at_checked(text.len() - CHECKSUM)?;
    (checksum(signed) == claimed).then_some(Parts { id })
}

/// Whether a text can be an id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A new token, and its id.
///
/// # Errors
/// `Internal` if the operating system gives no random numbers.
pub(super) fn generate() -> Result<(String, Secret)> {
    let id = random(ID)?;
    let mut text = format!("{PREFIX}{id}_{}", random(SECRET)?);
    text.push_str(&checksum(&text));
    Ok((id, Secret::new(text)))
}

/// CRC-32 (ISO 3309) in base 62.
fn checksum(text: &str) -> String {
    let mut number = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = letter(number % 62);
        number /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

fn letter(number: u32) -> u8 {
    ALPHABET.get(number as usize).copied().unwrap_or(b'0')
}

/// So many letters and digits, each as likely as any other.
fn random(length: usize) -> Result<String> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = zeroize::Zeroizing::new([0; 64]);
        random_bytes(&mut *bytes)?;
        // 248 is four times 62: without the rest of a byte's values no letter is more likely than another.
        let fair = bytes.iter().filter(|byte| **byte < 248).map(|byte| char::from(letter(u32::from(*byte) % 62)));
        text.extend(fair.take(length - text.len()));
    }
    Ok(text)
}

/// Random bytes of the operating system.
///
/// # Errors
/// `Internal` if it gives none.
pub(super) fn random_bytes(bytes: &mut [u8]) -> Result<()> {
    OsRng
        .try_fill_bytes(bytes)
        .map_err(|error| Error::internal("the operating system gave no random numbers").with_source(error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_new_token_is_one_and_no_two_are_alike() {
        let (id, token) = generate().unwrap();
        assert_eq!(parse(token.expose()), Some(Ok(Parts { id: &id })));
        assert_eq!(token.expose().len(), 70);
        let (other_id, other) = generate().unwrap();
        assert_ne!((id, token.expose()), (other_id, other.expose()));
        assert!(62_f64.log2() * SECRET as f64 >= 256.0);
    }

    #[test]
    fn every_letter_comes_up() {
        let text = random(10_000).unwrap();
        let mut counts = [0_u32; 62];
        text.bytes().for_each(|byte| counts[ALPHABET.iter().position(|letter| *letter == byte).unwrap()] += 1);
        // 161 each on average, with a deviation of 13.
        assert!(counts.iter().all(|count| (80..260).contains(count)), "{counts:?}");
    }

    /// The form is public and may not change: tokens outlive releases.
    #[test]
    fn an_old_token_is_still_one() {
        let text = concat!("sqe_pat_0123456789ab_", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg", "2CbnYU");
        assert_eq!(parse(text), Some(Ok(Parts { id: "0123456789ab" })), "{}", checksum(&text[..64]));
    }

    #[rstest]
    #[case("")]
    #[case("sqe_session_x")]
    #[case("SQE_PAT_0123456789ab_x")]
    #[case(" sqe_pat_0123456789ab_x")]
    fn other_texts_are_not_of_this_kind(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }

    proptest! {
        #[test]
        fn what_begins_like_a_token_is_one_or_malformed(rest in "[0-9A-Za-z_é]{0,80}") {
            let text = format!("{PREFIX}{rest}");
            prop_assert_eq!(parse(&text), Some(Err(Malformed)));
        }

        #[test]
        fn one_changed_character_is_noticed(place in any::<prop::sample::Index>(), to in "[0-9A-Za-z_]") {
            let (id, token) = generate().unwrap();
            let good = token.expose();
            let place = place.index(good.len());
            let changed = format!("{}{to}{}", &good[..place], &good[place + 1..]);
            let parsed = parse(&changed);
            if changed == *good {
                prop_assert_eq!(parsed, Some(Ok(Parts { id: &id })));
            } else {
                prop_assert!(!matches!(parsed, Some(Ok(_))));
            }
        }
    }
}
