//! The client that asks, and the addresses it may ask.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::{Client, redirect::Policy};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use sqe_core::{Error, Result};
use url::{Host, Url};

/// The address of an issuer's `what`. What an issuer says decides who everybody is, and what is sent to it are secrets,
/// so whoever can change or read them on their way can be anybody: https, or this machine.
pub(crate) fn address(what: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        Error::invalid(format!("the address of the issuer's {what} is not a url; configure one that begins with https"))
            .with_source(error)
    })?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Error::invalid(format!(
            "the address of the issuer's {what} has a user, password or fragment; remove it"
        )));
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(Error::invalid(format!(
            "the issuer's {what} must be reached over https, or over http on this machine itself; change the address"
        ))),
    }
}

/// A client that follows nothing and reads no environment: no redirects, no proxies, and the roots that are configured
/// instead of what happens to be installed. TLS is configured here, so that this crate neither needs nor sets a
/// process-wide provider.
pub(super) fn client(root_certificates: Option<&str>) -> Result<Client> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("the client that asks issuers has no version of TLS").with_source(error))?
        .with_root_certificates(roots(root_certificates)?)
        .with_no_client_auth();
    let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    Client::builder()
        .use_preconfigured_tls(tls)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        // The name is allowed over http because it is this machine, so no resolver may say otherwise.
        .resolve_to_addrs("localhost", &here)
        .user_agent(concat!("sqe-auth/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| Error::internal("the client that asks issuers cannot be built").with_source(error))
}

fn roots(pem: Option<&str>) -> Result<RootCertStore> {
    let Some(pem) = pem else { return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }) };
    let refused = "the root certificates for an issuer cannot be read; configure certificates in pem";
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| Error::invalid(refused).with_source(error))?;
        roots.add(certificate).map_err(|error| Error::invalid(refused).with_source(error))?;
    }
    if roots.is_empty() { Err(Error::invalid(refused)) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://idp.example/keys", true)]
    #[case("https://10.0.0.1:8443/keys?tenant=a", true)]
    #[case("http://127.0.0.1:8080/keys", true)]
    #[case("http://127.9.9.9/keys", true)]
    #[case("http://[::1]/keys", true)]
    #[case("http://localhost/keys", true)]
    #[case("http://idp.example/keys", false)]
    #[case("http://localhost.evil.example/keys", false)]
    #[case("http://127.0.0.1.evil.example/keys", false)]
    #[case("http://10.0.0.1/keys", false)]
    #[case("http://0.0.0.0/keys", false)]
    #[case("http://169.254.169.254/keys", false)]
    #[case("http://127.0.0.1@evil.example/keys", false)]
    #[case("https://user:secret@idp.example/keys", false)]
    #[case("https://idp.example/keys#a", false)]
    #[case("file:///etc/keys", false)]
    #[case("ftp://127.0.0.1/keys", false)]
    #[case("keys", false)]
    fn issuers_are_asked_over_https_or_on_this_machine(#[case] url: &str, #[case] permitted: bool) {
        assert_eq!(address("keys", url).is_ok(), permitted);
    }
}
