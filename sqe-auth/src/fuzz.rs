//! The places where this crate reads what others wrote, each as a function of any bytes. Fuzzers call them (see the folder
//! `fuzz`), and so do property tests, so that they are tried also where no fuzzer runs.
//!
//! They are there under `cfg(fuzzing)` and in this crate's own tests, and nowhere else.

use crate::{KeySet, impersonation, jwt, revocation};

/// The text of a bearer token.
pub fn token(bytes: &[u8]) {
    jwt::fuzz::token(&text(bytes));
}

/// The header and the claims of a token whose signature fits: JSON in two lines.
pub fn signed_token(bytes: &[u8]) {
    jwt::fuzz::signed(&text(bytes));
}

/// A JSON Web Key Set.
pub fn key_set(bytes: &[u8]) {
    let _ = KeySet::from_jwks(&text(bytes));
}

/// The text of an API token, and the file that they are kept in.
#[cfg(feature = "api-tokens")]
pub fn api_token(bytes: &[u8]) {
    crate::api_tokens::fuzz(&text(bytes));
}

/// A file of revocations.
pub fn revocations(bytes: &[u8]) {
    revocation::fuzz(&text(bytes));
}

/// A file of people, and one of rules about who may act as whom.
pub fn people(bytes: &[u8]) {
    impersonation::fuzz(&text(bytes));
}

/// A certificate in DER, and files of authorities and of revoked certificates.
#[cfg(feature = "client-certificates")]
pub fn certificate(bytes: &[u8]) {
    crate::client_certificates::fuzz(bytes);
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    type Target = fn(&[u8]);

    /// Every target and the folder of its corpus.
    const TARGETS: &[(&str, Target)] = &[
        ("token", token),
        ("signed_token", signed_token),
        ("key_set", key_set),
        #[cfg(feature = "api-tokens")]
        ("api_token", api_token),
        ("revocations", revocations),
        ("people", people),
        #[cfg(feature = "client-certificates")]
        ("certificate", certificate),
    ];

    fn corpus(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    #[test]
    fn every_target_has_a_corpus_and_reads_it() {
        for (name, target) in TARGETS {
            let seeds = corpus(name);
            assert!(!seeds.is_empty(), "{name}");
            seeds.iter().for_each(|seed| target(seed));
        }
    }

    /// One change of a seed: bytes cut, put in, exchanged, doubled or turned.
    #[derive(Debug, Clone)]
    enum Change {
        Cut(prop::sample::Index, usize),
        Insert(prop::sample::Index, Vec<u8>),
        Replace(prop::sample::Index, Vec<u8>),
        Double(prop::sample::Index, usize),
        Flip(prop::sample::Index, u8),
    }

    impl Change {
        fn apply(&self, bytes: &mut Vec<u8>) {
            let place = |index: &prop::sample::Index| index.index(bytes.len() + 1);
            match self {
                Self::Cut(index, length) => {
                    let from = place(index);
                    bytes.drain(from..(from + length).min(bytes.len()));
                }
                Self::Insert(index, text) => {
                    let at = place(index);
                    bytes.splice(at..at, text.iter().copied());
                }
                Self::Replace(index, text) => {
                    let from = place(index);
                    bytes.splice(from..(from + text.len()).min(bytes.len()), text.iter().copied());
                }
                Self::Double(index, length) => {
                    let from = place(index);
                    let part = bytes[from..(from + length).min(bytes.len())].to_vec();
                    bytes.splice(from..from, part);
                }
                Self::Flip(index, mask) => {
                    let at = place(index);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= mask;
                    }
                }
            }
        }
    }

    fn change() -> impl Strategy<Value = Change> {
        let index = any::<prop::sample::Index>;
        // What means something to one of the readers.
        let words = prop::sample::select(vec![
            "\"",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            ".",
            "\n",
            "null",
            "-1",
            "1e400",
            "18446744073709551616",
            "\\ud800",
            "_",
            "=",
            "\u{0}",
            "\u{30}\u{80}",
            "\u{7f}\u{ff}",
        ]);
        let bytes =
            prop_oneof![prop::collection::vec(any::<u8>(), 0..8), words.prop_map(|word| word.as_bytes().to_vec()),];
        prop_oneof![
            (index(), 0_usize..40).prop_map(|(place, length)| Change::Cut(place, length)),
            (index(), bytes.clone()).prop_map(|(place, bytes)| Change::Insert(place, bytes)),
            (index(), bytes).prop_map(|(place, bytes)| Change::Replace(place, bytes)),
            (index(), 0_usize..200).prop_map(|(place, length)| Change::Double(place, length)),
            (index(), 1_u8..).prop_map(|(place, mask)| Change::Flip(place, mask)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            TARGETS.iter().for_each(|(_, target)| target(&bytes));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in "\\PC{0,300}") {
            TARGETS.iter().for_each(|(_, target)| target(text.as_bytes()));
        }

        #[test]
        fn no_change_of_something_good_makes_a_reader_panic(
            seed in any::<prop::sample::Index>(),
            changes in prop::collection::vec(change(), 1..6),
        ) {
            for (name, target) in TARGETS {
                let mut seeds = corpus(name);
                let place = seed.index(seeds.len());
                let mut bytes = seeds.swap_remove(place);
                changes.iter().for_each(|change| change.apply(&mut bytes));
                target(&bytes);
            }
        }
    }
}
