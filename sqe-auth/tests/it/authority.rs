//! Makes certificates, good ones and others.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, RevokedCertParams, SanType,
    SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use sqe_core::{CertificateChain, Credentials};

use crate::forge::Forge;

pub(crate) const PERSON: &str = "spiffe://example.org/etl";

/// An authority that issues certificates.
pub(crate) struct Authority<S: SigningKey = KeyPair> {
    issuer: Issuer<'static, S>,
    pub(crate) certificate: Certificate,
}

impl Authority {
    pub(crate) fn root(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }
}

impl<S: SigningKey> Authority<S> {
    /// An authority below this one.
    pub(crate) fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Authority {
        self.below_with(KeyPair::generate().unwrap(), name, change)
    }

    pub(crate) fn below_with<T: SigningKey>(
        &self,
        key: T,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Authority<T> {
        let mut params = authority(name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate of a client that is good in every respect but for what is changed.
    pub(crate) fn client(&self, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        self.client_with(&KeyPair::generate().unwrap(), change)
    }

    pub(crate) fn client_with(
        &self,
        key: &impl PublicKeyData,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = date_time_ymd(2125, 1, 1);
        params.distinguished_name.push(DnType::CommonName, "etl");
        params.subject_alt_names = vec![uri(PERSON)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// A list of revoked certificates that is good until the end of a year.
    pub(crate) fn revoke(&self, serials: &[u64], until: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2025, 2, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(until, 12, 31),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2125, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub(crate) fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

/// Constraints by which only DNS names of `domain` are permitted.
pub(crate) fn only_dns(domain: &str) -> NameConstraints {
    let permitted_subtrees = vec![GeneralSubtree::DnsName(domain.to_owned())];
    NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() }
}

/// What a TLS handshake gives when a client shows these, its own first.
pub(crate) fn shown<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Credentials {
    let ders = certificates.into_iter().map(|certificate| certificate.der().to_vec());
    Credentials::ClientCertificate(CertificateChain::new(ders))
}

/// A file in a folder.
pub(crate) fn file(folder: &Path, name: &str, text: impl AsRef<str>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text.as_ref()).unwrap();
    path
}

/// An RSA key of 1024 bits.
pub(crate) struct Weak {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Weak {
    pub(crate) fn new() -> Self {
        let jwk = Forge::rsa_weak().jwk();
        let number = |name: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            // A leading zero keeps a number positive.
            der(2, &if bytes[0] & 0x80 == 0 { bytes } else { [&[0], &bytes[..]].concat() })
        };
        let public = der(0x30, &[number("n"), number("e")].concat());
        Self { key: EncodingKey::from_rsa_pem(include_bytes!("keys/rsa-weak.pem")).unwrap(), public }
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![u8::try_from(short).unwrap()],
        long @ 128..=255 => vec![0x81, u8::try_from(long).unwrap()],
        longer => [&[0x82][..], &u16::try_from(longer).unwrap().to_be_bytes()].concat(),
    };
    [&[tag], &length[..], content].concat()
}

impl PublicKeyData for Weak {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

impl SigningKey for Weak {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = jsonwebtoken::crypto::sign(message, &self.key, Algorithm::RS256).unwrap();
        Ok(URL_SAFE_NO_PAD.decode(signature).unwrap())
    }
}
