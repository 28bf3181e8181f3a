//! What certificates are verified by: authorities and their lists of revoked certificates.

use std::path::{Path, PathBuf};

use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime,
    pem::{self, PemObject},
};
use sqe_core::Result;
use webpki::{
    ALL_VERIFICATION_ALGS, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use super::{Refused, certificate::Certificate};
use crate::operator_file::{OperatorFile, Protection};

/// The most authorities, and the most lists of revoked certificates.
const MAX_ENTRIES: usize = 1000;

/// Authorities, and whom they revoked.
#[derive(Debug)]
pub(super) struct Trust {
    anchors: Vec<TrustAnchor<'static>>,
    revoked: Vec<CertRevocationList<'static>>,
}

impl Trust {
    /// Reads the files. It blocks on the file system.
    ///
    /// # Errors
    /// Errors of reading them; `InvalidInput` if one holds nothing, or something that is no certificate of an authority
    /// or no list of revoked certificates.
    pub(super) fn read(authorities: &Path, lists: &[PathBuf]) -> Result<Self> {
        let file = OperatorFile {
            path: authorities.to_owned(),
            what: "file of authorities",
            protection: Protection::NotWritable,
            max_bytes: 4 << 20,
        };
        let anchors = parse_authorities(&file, &file.read_bytes()?.0)?;
        let mut revoked = Vec::new();
        for path in lists {
            let file = OperatorFile {
                path: path.clone(),
                what: "list of revoked certificates",
                protection: Protection::NotWritable,
                max_bytes: 64 << 20,
            };
            revoked.extend(parse_lists(&file, &file.read_bytes()?.0)?);
        }
        Ok(Self { anchors, revoked })
    }

    /// Whether one of these certificates says that it was issued by one of the authorities. Whether that is true is
    /// another question.
    pub(super) fn is_named_by(&self, chain: &[CertificateDer<'_>]) -> bool {
        chain.iter().filter_map(|der| EndEntityCert::try_from(der).ok()).any(|certificate| {
            let issuer = certificate.issuer();
            self.anchors.iter().any(|anchor| anchor.subject.as_ref() == issuer)
        })
    }

    /// Finds a path from the first of the certificates to an authority (RFC 5280, section 6) and gives those of the path,
    /// the first one first: each is signed by the next, valid now, used for what it may be used for, within the name
    /// constraints above it, and revoked by nobody. If there are lists of revoked certificates, each issuer of the path
    /// must have one that is not outdated.
    pub(super) fn verify<'a>(
        &self,
        chain: &'a [CertificateDer<'a>],
        now: UnixTime,
    ) -> Result<Vec<Certificate>, Refused> {
        let (own, others) = chain.split_first().ok_or(Refused::Empty)?;
        let end = EndEntityCert::try_from(own).map_err(Refused::Malformed)?;
        let lists: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let usage = KeyUsage::client_auth();
        let path = end
            .verify_for_usage(ALL_VERIFICATION_ALGS, &self.anchors, others, now, usage, revocation, None)
            .map_err(Refused::Path)?;
        let between = path.intermediate_certificates().map(|certificate| Certificate::read(certificate.der().as_ref()));
        std::iter::once(Certificate::read(own.as_ref())).chain(between).collect()
    }
}

fn parse_authorities(file: &OperatorFile, bytes: &[u8]) -> Result<Vec<TrustAnchor<'static>>> {
    let mut anchors = Vec::new();
    for (number, der) in CertificateDer::pem_slice_iter(bytes).enumerate() {
        let place = format!("certificate {}", number + 1);
        let der = der.map_err(|error| file.wrong(&place, unreadable(&error)))?;
        let certificate = Certificate::read(der.as_ref()).map_err(|_| file.wrong(&place, "it is no certificate"))?;
        if !certificate.is_authority() {
            return Err(
                file.wrong(&place, "it is not one of an authority; list those that issue, not those that are issued")
            );
        }
        let anchor = anchor_from_trusted_cert(&der).map_err(|error| file.wrong(&place, error))?;
        if anchors.len() == MAX_ENTRIES {
            return Err(file.wrong(&place, format!("there are more than {MAX_ENTRIES}")));
        }
        anchors.push(anchor.to_owned());
    }
    if anchors.is_empty() {
        return Err(file.wrong("all in all", "there is no certificate in PEM"));
    }
    Ok(anchors)
}

/// One list in DER, or any number in PEM.
fn parse_lists(file: &OperatorFile, bytes: &[u8]) -> Result<Vec<CertRevocationList<'static>>> {
    let read = |der: &[u8]| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from);
    if bytes.first() == Some(&0x30) {
        return Ok(vec![read(bytes).map_err(|error| file.wrong("all in all", error))?]);
    }
    let mut lists = Vec::new();
    for (number, der) in CertificateRevocationListDer::pem_slice_iter(bytes).enumerate() {
        let place = format!("list {}", number + 1);
        let der = der.map_err(|error| file.wrong(&place, unreadable(&error)))?;
        if lists.len() == MAX_ENTRIES {
            return Err(file.wrong(&place, format!("there are more than {MAX_ENTRIES}")));
        }
        lists.push(read(&der).map_err(|error| file.wrong(&place, error))?);
    }
    if lists.is_empty() {
        return Err(file.wrong("all in all", "there is no list in PEM or DER"));
    }
    Ok(lists)
}

fn unreadable(error: &pem::Error) -> String {
    format!("it is no PEM: {error}")
}

/// Reads both kinds of file from any bytes.
#[cfg(any(fuzzing, test))]
pub(crate) fn fuzz_files(bytes: &[u8]) {
    let file = OperatorFile {
        path: PathBuf::from("fuzz"),
        what: "fuzz file",
        protection: Protection::NotWritable,
        max_bytes: u64::MAX,
    };
    let _ = parse_authorities(&file, bytes);
    let _ = parse_lists(&file, bytes);
}
