//! The server's certificate, from its files, and again whenever they change.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sqe_core::Secret;
use sqe_flight::tls::{ClientCertificates, ServerTls, TlsMaterial};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};
use x509_cert::der::Decode;

use crate::config::{Demand, TlsConfig};

/// TLS as the files say now; from now on it follows them. SIGHUP has them read at once, and every
/// [`TlsConfig::reload_seconds`] they are looked at anyway, for whoever renews certificates need not know of this process.
///
/// Files that cannot be used change nothing: what was in force stays in force, and the log says why. A key that is not there
/// yet for a certificate that is gets another chance at the next look.
///
/// # Errors
/// The files cannot be read or used, or the system takes no handler.
pub(crate) fn follow(config: &TlsConfig) -> Result<ServerTls> {
    let read = Read::files(config)?;
    let mut seen = read.digest;
    let tls = ServerTls::new(&read.material).context("the certificate and its key cannot be used")?;
    let mut hangups = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
    let (config, followed) = (config.clone(), tls.clone());
    tokio::spawn(async move {
        let period = Duration::from_secs(config.reload_seconds.max(1));
        loop {
            let asked = tokio::select! {
                hangup = hangups.recv() => hangup.is_some(),
                () = tokio::time::sleep(period) => false,
            };
            let files = config.clone();
            let read = spawn_blocking(move || Read::files(&files)).await.context("the files were not read");
            match read.and_then(std::convert::identity) {
                Ok(read) if read.digest != seen || asked => {
                    seen = read.digest;
                    match followed.replace(&read.material) {
                        Ok(()) => tracing::info!("the certificate was read again and is in force for new connections"),
                        Err(error) => kept(&error.into()),
                    }
                }
                Ok(_) => {}
                Err(error) => kept(&error),
            }
        }
    });
    Ok(tls)
}

/// Whether the files can be used together, and the certificates that the server shows, its own first.
///
/// # Errors
/// The files cannot be read or used.
pub(crate) fn check(config: &TlsConfig) -> Result<Vec<x509_cert::Certificate>> {
    let read = Read::files(config)?;
    ServerTls::new(&read.material).context("the certificate and its key cannot be used")?;
    let pem = std::fs::read(&config.cert_file)?;
    CertificateDer::pem_slice_iter(&pem)
        .map(|der| x509_cert::Certificate::from_der(&der.map_err(|_| unreadable())?).map_err(|_| unreadable()))
        .collect()
}

fn unreadable() -> anyhow::Error {
    anyhow::anyhow!("the certificate cannot be read")
}

fn kept(error: &anyhow::Error) {
    tracing::error!("the old certificate stays in force: {error:#}");
}

/// What the files held at one moment.
struct Read {
    material: TlsMaterial,
    /// Tells a change of any of them.
    digest: u64,
}

impl Read {
    fn files(config: &TlsConfig) -> Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let (certificate, key) = (read(&config.cert_file)?, read(&config.key_file)?);
        let authorities = config.client_ca_file.as_deref().map(read).transpose()?;
        let mut hasher = DefaultHasher::new();
        (&certificate, &key, &authorities).hash(&mut hasher);
        let key = String::from_utf8(key).ok().context("the private key is no text")?;
        let mut material = TlsMaterial::new(certificate, Secret::new(key));
        if let Some(authorities) = authorities {
            let demand = match config.client_certificates {
                Demand::Optional => ClientCertificates::Optional,
                Demand::Required => ClientCertificates::Required,
            };
            material = material.with_client_authorities(authorities, demand);
        }
        Ok(Self { material, digest: hasher.finish() })
    }
}
