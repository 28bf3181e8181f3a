//! TLS of a server's connections: a certificate that can be replaced while connections are open, and the certificates of
//! clients.
//!
//! tonic's own TLS takes its certificate once and for all. Here each new connection is given what is in force at that
//! moment, and those that are open keep what they began with.

use std::{fmt, sync::Arc};

use parking_lot::RwLock;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use sqe_core::{Error, Result, Secret};
use tokio_rustls::TlsAcceptor;

/// What HTTP/2 is called in the handshake (RFC 7301; RFC 9113, section 3.2).
const HTTP2: &[u8] = b"h2";

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// One that it shows must come from the authority; it may show none.
    Optional,
    /// Without one from the authority there is no connection.
    Required,
}

/// What a server shows, and whose certificates it accepts. All of it is text in the form of PEM (RFC 7468).
#[derive(Clone)]
pub struct TlsMaterial {
    certificates: Vec<u8>,
    key: Secret,
    clients: Option<(Vec<u8>, ClientCertificates)>,
}

impl TlsMaterial {
    /// The server's own certificate, followed by those of its authorities, and its private key (PKCS #8, PKCS #1 or SEC1).
    pub fn new(certificates: impl Into<Vec<u8>>, key: Secret) -> Self {
        Self { certificates: certificates.into(), key, clients: None }
    }

    /// Lets clients show certificates of these authorities.
    #[must_use]
    pub fn with_client_authorities(mut self, authorities: impl Into<Vec<u8>>, demand: ClientCertificates) -> Self {
        self.clients = Some((authorities.into(), demand));
        self
    }
}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.clients.as_ref().map(|(_, demand)| demand);
        f.debug_struct("TlsMaterial").field("clients", &clients).finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 for [`Incoming`](crate::Incoming). Clones are the same: what replaces the certificate of one does so for
/// all.
///
/// A certificate that a client shows is checked against the authorities, its own signature included, in the handshake;
/// whose it is and what it opens is for an identity provider to say, which is given
/// [`Credentials::ClientCertificate`](sqe_core::Credentials::ClientCertificate). Where clients may show certificates,
/// connections are not resumed: a resumed one would not be asked again.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// # Errors
    /// `InvalidInput` if something of it is no PEM or not what it should be, or if key and certificate do not fit.
    pub fn new(material: &TlsMaterial) -> Result<Self> {
        Ok(Self { config: Arc::new(RwLock::new(Arc::new(configure(material)?))) })
    }

    /// Puts other material into force for connections that come from now on. Those that are open stay as they are.
    ///
    /// # Errors
    /// As [`new`](Self::new); what was in force then stays in force.
    pub fn replace(&self, material: &TlsMaterial) -> Result<()> {
        let config = Arc::new(configure(material)?);
        *self.config.write() = config;
        Ok(())
    }

    /// What is in force now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config.read()))
    }
}

fn configure(material: &TlsMaterial) -> Result<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&material.certificates, "the server's certificate")?;
    // Without the reader's own words, which could hold a line of what it read.
    let key = PrivateKeyDer::from_pem_slice(material.key.expose().as_bytes())
        .map_err(|_| Error::invalid("the server's private key is no key in PEM; PKCS #8, PKCS #1 and SEC1 are read"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Error::internal("this TLS cannot speak its own versions").with_source(error))?;
    let builder = match &material.clients {
        None => builder.with_no_client_auth(),
        Some((authorities, demand)) => builder.with_client_cert_verifier(verifier(authorities, *demand, provider)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        Error::invalid("the server's certificate and its private key do not fit together").with_source(error)
    })?;
    config.alpn_protocols = vec![HTTP2.to_vec()];
    if material.clients.is_some() {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn verifier(
    authorities: &[u8],
    demand: ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>> {
    let what = "the authorities of client certificates";
    let unusable = |error| Error::invalid(format!("{what} cannot be used")).with_source(error);
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities, what)? {
        roots.add(authority).map_err(|error| unusable(Box::new(error) as Box<dyn std::error::Error + Send + Sync>))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match demand {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    builder.build().map_err(|error| unusable(Box::new(error)))
}

/// # Errors
/// `InvalidInput` if there is none, or something that is none.
fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(Error::invalid(format!("{what}: there is no certificate in PEM"))),
        Err(error) => Err(Error::invalid(format!("{what}: this is no PEM")).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use sqe_core::ErrorKind;

    use super::*;

    fn pair() -> (String, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn material(certificate: &str, key: &str) -> TlsMaterial {
        TlsMaterial::new(certificate, Secret::new(key))
    }

    #[test]
    fn what_does_not_fit_together_or_is_nothing_is_refused_and_changes_nothing() {
        let ((certificate, key), (other, other_key)) = (pair(), pair());
        let tls = ServerTls::new(&material(&certificate, &key)).unwrap();
        let before = Arc::clone(&tls.config.read());
        let broken = |certificate: &str, key: &str| material(certificate, key);
        for (material, word) in [
            (broken("", &key), "no certificate"),
            (broken("-----BEGIN CERTIFICATE-----\nAA", &key), "no PEM"),
            (broken(&certificate, ""), "no key"),
            (broken(&certificate, &certificate), "no key"),
            (broken(&certificate, &other_key), "do not fit"),
            (broken(&certificate, &key).with_client_authorities("", ClientCertificates::Required), "client"),
            (broken(&certificate, &key).with_client_authorities("x", ClientCertificates::Required), "client"),
        ] {
            let refused = tls.replace(&material).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
            assert!(refused.message().contains(word), "{refused} does not say {word:?}");
            assert!(Arc::ptr_eq(&before, &tls.config.read()), "what was in force stays in force");
        }
        tls.replace(&material(&other, &other_key)).unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.config.read()));
    }

    #[test]
    fn no_key_is_shown() {
        let (certificate, key) = pair();
        let material = material(&certificate, &key);
        let tls = ServerTls::new(&material).unwrap();
        let shown = format!("{material:?} {tls:?}");
        assert!(!shown.contains("PRIVATE") && !shown.contains(&key[30..60]), "{shown}");
    }

    #[test]
    fn connections_with_client_certificates_are_never_resumed() {
        let (certificate, key) = pair();
        let plain = ServerTls::new(&material(&certificate, &key)).unwrap();
        assert!(plain.config.read().session_storage.can_cache());
        let asking = material(&certificate, &key).with_client_authorities(certificate, ClientCertificates::Optional);
        let asking = ServerTls::new(&asking).unwrap();
        assert!(!asking.config.read().session_storage.can_cache());
        assert_eq!(asking.config.read().send_tls13_tickets, 0);
    }
}
