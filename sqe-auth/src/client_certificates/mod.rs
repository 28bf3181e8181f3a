//! Certificates of TLS clients.

mod certificate;
mod trust;

use std::{
    collections::HashMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parking_lot::{Mutex, RwLock};
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use sqe_core::{CertificateChain, CredentialRef, Credentials, Error, Identity, IdentityProvider, Principal, Result};
use thiserror::Error as ThisError;

use crate::{
    Withdrawn,
    names::{check_issuer, is_name},
    people::People,
    rejection::NOT_ACCEPTED,
};
use trust::Trust;

/// The most certificates that a client may send, and the most bytes of them together.
const MAX_CERTIFICATES: usize = 10;
const MAX_BYTES: usize = 64 * 1024;
/// How many certificates are remembered, to find out after a change of the files whether they are still accepted.
const MAX_REMEMBERED: usize = 4096;

/// Where a certificate says who its holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum CertificateSubject {
    /// The URI among the subject's alternative names (RFC 5280, 4.2.1.6), as in an X.509-SVID of SPIFFE. The default.
    #[default]
    SanUri,
    /// The DNS name among them.
    SanDns,
    /// The e-mail address among them. Addresses are reassigned: choose it only where yours are not.
    SanEmail,
    /// The common name (CN) of the subject itself.
    CommonName,
}

impl std::fmt::Display for CertificateSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SanUri => "URI",
            Self::SanDns => "DNS name",
            Self::SanEmail => "e-mail address",
            Self::CommonName => "common name",
        })
    }
}

/// What a [`ClientCertificates`] is built of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientCertificateSettings {
    /// The issuer of its principals: a URI of the operator's choice. The authorities vouch under this one name.
    pub issuer: String,
    /// The certificates of the authorities that are believed, in PEM.
    pub ca_file: PathBuf,
    /// The authorities' lists of revoked certificates (RFC 5280, section 5), in PEM or DER. None: nobody is asked. If
    /// there are any, every issuer between a client and an authority must have one, and one that is outdated, or lacks,
    /// refuses all of its certificates.
    pub crl_files: Vec<PathBuf>,
    /// Where a certificate says who its holder is.
    pub subject: CertificateSubject,
    /// What a URI must begin with, such as `spiffe://example.org/`; it ends with a `/`. For authorities that vouch for
    /// more than is meant here.
    pub uri_prefix: Option<String>,
    /// People with their groups, roles and attributes, since certificates have none: TOML with a list `people`. Whoever is
    /// not on it has no groups.
    pub people_file: Option<PathBuf>,
}

impl ClientCertificateSettings {
    /// Certificates of the authorities of a file, whose holders are named by a URI.
    pub fn new(issuer: impl Into<String>, ca_file: impl Into<PathBuf>) -> Self {
        Self {
            issuer: issuer.into(),
            ca_file: ca_file.into(),
            crl_files: Vec::new(),
            subject: CertificateSubject::default(),
            uri_prefix: None,
            people_file: None,
        }
    }
}

/// Verifies certificates of TLS clients (RFC 5280), for programs that have a key instead of a token.
///
/// Only [`Credentials::ClientCertificate`] is its kind, and of these only chains in which one certificate names one of the
/// configured authorities as its issuer; others may be another provider's (`Ok(None)`). Such a chain is accepted only if
/// *everything* below holds; otherwise it is `Unauthenticated`, with one message for every reason.
///
/// - There is a path to an authority: signatures (RSA from 2048 bits on, ECDSA on P-256 and P-384, Ed25519, nothing with
///   SHA-1), validity, basic constraints, path lengths, name constraints and critical extensions are as `webpki`
///   demands, at this moment.
/// - If there are lists of revoked certificates, nothing on the path is revoked, and that is known: each issuer has a list
///   that is not outdated.
/// - The client's own certificate names `clientAuth` among its purposes, and its key is strong: RSA from 2048 bits on, a
///   NIST curve, Ed25519.
/// - It has exactly one name of the configured kind ([`CertificateSubject`]), and a URI has the configured beginning.
///
/// Whether the client holds the certificate's key is proven in the TLS handshake, before this is asked.
///
/// The SHA-256 fingerprint in lower-case hexadecimal is the credential's [`id`](sqe_core::CredentialRef::id), the
/// beginning of its validity the time of issue; the identity ends when the first certificate of the path does. It has no
/// proof, so a catalog that wants to see the person's own token refuses it.
pub struct ClientCertificates {
    settings: ClientCertificateSettings,
    rules: RwLock<Arc<Rules>>,
    /// Who was accepted, by fingerprint.
    accepted: Mutex<HashMap<String, Accepted>>,
}

/// What the files say.
#[derive(Debug)]
struct Rules {
    trust: Trust,
    people: People,
}

#[derive(Debug)]
struct Accepted {
    chain: CertificateChain,
    until: DateTime<Utc>,
}

/// Why certificates are not accepted.
#[derive(Debug, ThisError)]
enum Refused {
    #[error("the client sent no certificate")]
    Empty,
    #[error("the client sent more than {MAX_CERTIFICATES} certificates, or more than {MAX_BYTES} bytes")]
    TooMany,
    #[error("the client's certificate is malformed: {0}")]
    Malformed(webpki::Error),
    #[error("a certificate cannot be read")]
    Unreadable,
    #[error("there is no valid path to an authority: {0}")]
    Path(webpki::Error),
    #[error("the certificate is not for clients: its extended key usage does not name clientAuth")]
    NotForClients,
    #[error("the certificate's key is weak, or of an unknown kind")]
    WeakKey,
    #[error("the certificate has no {0}, by which its holder would be named")]
    NoName(CertificateSubject),
    #[error("the certificate has more than one {0}; which one names its holder cannot be known")]
    SeveralNames(CertificateSubject),
    #[error("the certificate's {0} is empty, too long, or has characters that no name has")]
    BadName(CertificateSubject),
    #[error("the certificate's URI does not have the configured beginning")]
    Prefix,
}

impl From<Refused> for Error {
    fn from(reason: Refused) -> Self {
        Error::unauthenticated(NOT_ACCEPTED).with_source(reason)
    }
}

impl ClientCertificates {
    /// Reads the files. It blocks on the file system.
    ///
    /// # Errors
    /// `InvalidInput` if the settings or a file's contents cannot be used; `NotFound`, `PermissionDenied` or `Unavailable`
    /// if a file cannot be read.
    pub fn open(settings: ClientCertificateSettings) -> Result<Self> {
        check_issuer(&settings.issuer).map_err(Error::invalid)?;
        if let Some(prefix) = &settings.uri_prefix {
            if settings.subject != CertificateSubject::SanUri {
                return Err(Error::invalid("a beginning of URIs is of use only where a URI names the holder"));
            }
            if !prefix.ends_with('/') {
                return Err(Error::invalid(
                    "the beginning of URIs has to end with a /: without it, others begin with it too",
                ));
            }
        }
        let rules = Rules::read(&settings)?;
        Ok(Self { settings, rules: RwLock::new(Arc::new(rules)), accepted: Mutex::default() })
    }

    /// Reads the files again, and says whose certificates are accepted no longer, or otherwise. It blocks on the file
    /// system.
    ///
    /// # Errors
    /// As [`open`](Self::open). What was read before then stays in force.
    pub fn reload(&self) -> Result<Withdrawn> {
        let rules = Arc::new(Rules::read(&self.settings)?);
        *self.rules.write() = Arc::clone(&rules);
        // Sessions know their certificate's fingerprint alone, so whoever was accepted is verified once more.
        let now = Utc::now();
        let mut accepted = self.accepted.lock();
        accepted.retain(|_, known| known.until > now);
        let mut still: HashMap<String, Identity> = HashMap::with_capacity(accepted.len());
        accepted.retain(|fingerprint, known| match self.identify(&rules, &known.chain) {
            Ok(Some(identity)) => still.insert(fingerprint.clone(), identity).is_none(),
            Ok(None) | Err(_) => false,
        });
        drop(accepted);
        let issuer = self.settings.issuer.clone();
        // A session whose certificate is not remembered may have lost its right, so it has.
        Ok(Withdrawn::new(move |identity| {
            let mut holders = std::iter::once(&identity.principal).chain(&identity.actors);
            let Some(holder) = holders.find(|who| who.issuer == issuer) else { return false };
            // Other providers may vouch under the same name, for other kinds of credentials.
            let Some(id) = identity.credential.id.as_ref().filter(|id| is_fingerprint(id)) else { return false };
            let same = still.get(id).is_some_and(|now| {
                now.principal == *holder
                    // Who acts as somebody else has the other's groups.
                    && (now.principal != identity.principal || same_rights(now, identity))
            });
            !same
        }))
    }

    fn verify(&self, chain: &CertificateChain) -> Result<Option<Identity>> {
        let rules = Arc::clone(&self.rules.read());
        let Some(identity) = self.identify(&rules, chain)? else { return Ok(None) };
        if let (Some(id), Some(until)) = (&identity.credential.id, identity.expires_at) {
            self.remember(id, chain, until);
        }
        Ok(Some(identity))
    }

    fn identify(&self, rules: &Rules, chain: &CertificateChain) -> Result<Option<Identity>, Refused> {
        let certificates: Vec<CertificateDer<'_>> =
            chain.certificates().take(MAX_CERTIFICATES + 1).map(CertificateDer::from).collect();
        let bytes: usize = certificates.iter().map(|certificate| certificate.len()).sum();
        if certificates.len() > MAX_CERTIFICATES || bytes > MAX_BYTES {
            return Err(Refused::TooMany);
        }
        let own = certificates.first().ok_or(Refused::Empty)?;
        if let Err(error) = webpki::EndEntityCert::try_from(own) {
            return Err(Refused::Malformed(error));
        }
        if !rules.trust.is_named_by(&certificates) {
            return Ok(None);
        }
        let path = rules.trust.verify(&certificates, UnixTime::now())?;
        let client = path.first().ok_or(Refused::Empty)?;
        if !client.is_for_clients() {
            return Err(Refused::NotForClients);
        }
        if !client.has_strong_key() {
            return Err(Refused::WeakKey);
        }
        let kind = self.settings.subject;
        let subject = client.subject(kind)?;
        if !is_name(&subject) {
            return Err(Refused::BadName(kind));
        }
        if self.settings.uri_prefix.as_ref().is_some_and(|prefix| !subject.starts_with(prefix.as_str())) {
            return Err(Refused::Prefix);
        }
        let mut ends = path.iter().map(|certificate| certificate.validity().map(|(_, end)| end));
        let end = ends.try_fold(DateTime::<Utc>::MAX_UTC, |first, end| Ok(first.min(end?)))?;
        let mut identity = Identity::new(Principal::new(&self.settings.issuer, subject)).with_expiry(end);
        if let Some(person) = rules.people.of(&identity.principal) {
            person.complete(&mut identity);
        }
        let mut credential = CredentialRef::default();
        credential.id = Some(fingerprint(own));
        credential.issued_at = Some(client.validity()?.0);
        identity.credential = credential;
        Ok(Some(identity))
    }

    fn remember(&self, fingerprint: &str, chain: &CertificateChain, until: DateTime<Utc>) {
        let mut accepted = self.accepted.lock();
        if accepted.contains_key(fingerprint) {
            return;
        }
        if accepted.len() >= MAX_REMEMBERED {
            let now = Utc::now();
            accepted.retain(|_, known| known.until > now);
        }
        if accepted.len() < MAX_REMEMBERED {
            accepted.insert(fingerprint.to_owned(), Accepted { chain: chain.clone(), until });
        }
    }
}

impl Rules {
    fn read(settings: &ClientCertificateSettings) -> Result<Self> {
        let people = |path: &PathBuf| People::read(&People::file(Path::new(path)));
        Ok(Self {
            trust: Trust::read(&settings.ca_file, &settings.crl_files)?,
            people: settings.people_file.as_ref().map(people).transpose()?.unwrap_or_default(),
        })
    }
}

impl std::fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificates").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl IdentityProvider for ClientCertificates {
    async fn authenticate(&self, credentials: &Credentials) -> Result<Option<Identity>> {
        match credentials {
            Credentials::ClientCertificate(chain) => self.verify(chain),
            _ => Ok(None),
        }
    }
}

fn same_rights(one: &Identity, other: &Identity) -> bool {
    (&one.groups, &one.roles, &one.attributes) == (&other.groups, &other.roles, &other.attributes)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(certificate) {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn is_fingerprint(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reads certificates and their files from any bytes.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz(bytes: &[u8]) {
    certificate::fuzz(bytes);
    trust::fuzz_files(bytes);
    let _ = webpki::EndEntityCert::try_from(&CertificateDer::from(bytes));
}
