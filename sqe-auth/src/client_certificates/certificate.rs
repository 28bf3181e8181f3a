//! What a certificate says (RFC 5280, section 4.1).

use std::time::Duration;

use chrono::{DateTime, Utc};
use x509_cert::{
    der::{
        Decode as _, Reader as _, SliceReader, Tag, Tagged as _,
        asn1::{ObjectIdentifier, UintRef},
    },
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName, name::GeneralName},
    spki::SubjectPublicKeyInfoOwned,
};

use super::{CertificateSubject, Refused};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const CURVES: [ObjectIdentifier; 3] = [
    // P-256, P-384, P-521.
    ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
    ObjectIdentifier::new_unwrap("1.3.132.0.34"),
    ObjectIdentifier::new_unwrap("1.3.132.0.35"),
];
/// Below this an RSA key can be factored.
const MIN_RSA_BITS: usize = 2048;

/// A certificate that was read. Whether it is to be believed is another question.
#[derive(Debug)]
pub(super) struct Certificate(x509_cert::Certificate);

impl Certificate {
    pub(super) fn read(der: &[u8]) -> Result<Self, Refused> {
        x509_cert::Certificate::from_der(der).map(Self).map_err(|_| Refused::Unreadable)
    }

    /// From when to when it is valid.
    pub(super) fn validity(&self) -> Result<(DateTime<Utc>, DateTime<Utc>), Refused> {
        let validity = self.0.tbs_certificate.validity;
        let time = |since: Duration| {
            let seconds = i64::try_from(since.as_secs()).ok();
            seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or(Refused::Unreadable)
        };
        Ok((time(validity.not_before.to_unix_duration())?, time(validity.not_after.to_unix_duration())?))
    }

    /// Whether it says that its holder issues others. Certificates of version 1, which cannot say so, do not.
    pub(super) fn is_authority(&self) -> bool {
        self.0.tbs_certificate.get::<BasicConstraints>().is_ok_and(|found| found.is_some_and(|(_, basic)| basic.ca))
    }

    /// Whether it says that it is for clients. One that names no purpose at all does not.
    pub(super) fn is_for_clients(&self) -> bool {
        let usage = self.0.tbs_certificate.get::<ExtendedKeyUsage>();
        usage.is_ok_and(|found| found.is_some_and(|(_, usage)| usage.0.contains(&CLIENT_AUTH)))
    }

    /// Whether its key is of a kind and size that nobody is known to break.
    pub(super) fn has_strong_key(&self) -> bool {
        let key = &self.0.tbs_certificate.subject_public_key_info;
        match key.algorithm.oid {
            RSA => rsa_bits(key).is_some_and(|bits| bits >= MIN_RSA_BITS),
            EC => {
                let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
                curve.is_some_and(|curve: ObjectIdentifier| CURVES.contains(&curve))
            }
            ED25519 => true,
            _ => false,
        }
    }

    /// The one name of this kind. None and several are both refused: which of several is meant, nobody could say.
    pub(super) fn subject(&self, kind: CertificateSubject) -> Result<String, Refused> {
        let mut names = match kind {
            CertificateSubject::CommonName => self.common_names()?,
            _ => self.alternative_names(kind)?,
        };
        match (names.pop(), names.is_empty()) {
            (Some(name), true) => Ok(name),
            (Some(_), false) => Err(Refused::SeveralNames(kind)),
            (None, _) => Err(Refused::NoName(kind)),
        }
    }

    fn alternative_names(&self, kind: CertificateSubject) -> Result<Vec<String>, Refused> {
        let found = self.0.tbs_certificate.get::<SubjectAltName>().map_err(|_| Refused::Unreadable)?;
        let names = found.map(|(_, names)| names.0).unwrap_or_default();
        let wanted = names.iter().filter_map(|name| match (name, kind) {
            (GeneralName::UniformResourceIdentifier(name), CertificateSubject::SanUri)
            | (GeneralName::DnsName(name), CertificateSubject::SanDns)
            | (GeneralName::Rfc822Name(name), CertificateSubject::SanEmail) => Some(name.as_str().to_owned()),
            _ => None,
        });
        Ok(wanted.collect())
    }

    fn common_names(&self) -> Result<Vec<String>, Refused> {
        let parts = self.0.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
        let names = parts.filter(|part| part.oid == COMMON_NAME).map(|part| {
            // The others of its kinds (RFC 5280, 4.1.2.4) are not UTF-8, and not to be used any more.
            let is_text = matches!(part.value.tag(), Tag::Utf8String | Tag::PrintableString);
            let name = std::str::from_utf8(part.value.value()).ok().filter(|_| is_text);
            name.map(str::to_owned).ok_or(Refused::Unreadable)
        });
        names.collect()
    }
}

/// The size of an RSA key's modulus (RFC 8017, A.1.1).
fn rsa_bits(key: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    let mut reader = SliceReader::new(key.subject_public_key.as_bytes()?).ok()?;
    let read = reader.sequence(|numbers| {
        let modulus = UintRef::decode(numbers)?;
        UintRef::decode(numbers)?;
        let bytes = modulus.as_bytes();
        Ok(bytes.first().map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize))
    });
    read.ok()
}

/// Reads everything that is read of a certificate, from any bytes.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(der: &[u8]) {
    let Ok(certificate) = Certificate::read(der) else { return };
    let _ = certificate.validity();
    let _ = (certificate.is_authority(), certificate.is_for_clients(), certificate.has_strong_key());
    for kind in [
        CertificateSubject::SanUri,
        CertificateSubject::SanDns,
        CertificateSubject::SanEmail,
        CertificateSubject::CommonName,
    ] {
        let _ = certificate.subject(kind);
    }
}
