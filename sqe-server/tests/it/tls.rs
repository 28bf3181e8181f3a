//! `[tls]`: a certificate that changes while the server runs, and clients that show theirs.

use std::{fs, net::Ipv4Addr, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use sqe_core::Secret;
use sqe_flight::client::{Client, ConnectOptions};
use sqe_testkit::process::Sqe;

use crate::site::{Site, eventually, sql_as, stderr};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("an authority")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for loopback and its key, as PEM.
    pub(crate) fn sign(&self, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        self.sign_names(usage, vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())])
    }

    /// The same for other names.
    pub(crate) fn sign_names(&self, usage: ExtendedKeyUsagePurpose, names: Vec<SanType>) -> (String, String) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "somebody");
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A site whose server speaks TLS.
pub(crate) struct Secure {
    pub(crate) site: Site,
    certificate: PathBuf,
    key: PathBuf,
}

impl Secure {
    pub(crate) fn new(authority: &Authority) -> Self {
        let site = Site::new();
        let (certificate, key) = (site.path().join("server.crt"), site.path().join("server.key"));
        let secure = Self { site, certificate, key };
        secure.put(authority);
        secure
    }

    pub(crate) fn put(&self, authority: &Authority) {
        let (certificate, key) = authority.sign(ExtendedKeyUsagePurpose::ServerAuth);
        fs::write(&self.certificate, certificate).unwrap();
        fs::write(&self.key, key).unwrap();
    }

    pub(crate) fn serve(&self, variables: &[(&str, &str)]) -> (Sqe, String) {
        let files = [("SQE__TLS__CERT_FILE", "server.crt"), ("SQE__TLS__KEY_FILE", "server.key")];
        let (server, uri) = self.site.serve(&[&files, variables].concat());
        assert!(uri.starts_with("grpc+tls://"), "{uri}");
        (server, uri)
    }

    /// `sqe sql`, trusting this authority.
    fn ask(&self, uri: &str, authority: &Authority) -> std::process::Output {
        let file = self.site.path().join("trusted.pem");
        fs::write(&file, authority.pem()).unwrap();
        let file = file.to_str().unwrap().to_owned();
        sql_as(uri, &self.site.token("ann"), &["--ca-file", &file, "-c", "SELECT 1 AS a"])
    }

    fn options(&self, uri: &str, authority: &Authority) -> ConnectOptions {
        let options = ConnectOptions::new(uri).with_token(Secret::new(self.site.token("ann")));
        options.with_ca_certificate(authority.pem())
    }
}

pub(crate) const TAKEN: &str = "is in force for new connections";
const KEPT: &str = "the old certificate stays in force";

pub(crate) fn said(server: &Sqe, words: &str) -> usize {
    server.log().matches(words).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_brings_a_new_certificate_into_force_and_a_broken_file_does_not() {
    let (first, second) = (Authority::new(), Authority::new());
    let secure = Secure::new(&first);
    let (server, uri) = secure.serve(&[("SQE__TLS__RELOAD_SECONDS", "3600")]);
    assert!(secure.ask(&uri, &first).status.success());
    assert_eq!(secure.ask(&uri, &second).status.code(), Some(6));
    let open = Client::connect(&secure.options(&uri, &first)).await.unwrap();

    secure.put(&second);
    server.signal("HUP").unwrap();
    eventually("the new certificate is in force", || said(&server, TAKEN) == 1);
    let output = secure.ask(&uri, &second);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(secure.ask(&uri, &first).status.code(), Some(6));
    open.execute("SELECT 1").await.unwrap().collect().await.unwrap();

    // A key without its certificate, half of a file, and none.
    for (file, text) in
        [(&secure.key, first.sign(ExtendedKeyUsagePurpose::ServerAuth).1), (&secure.certificate, "x".into())]
    {
        let (good, before) = (fs::read_to_string(file).unwrap(), said(&server, KEPT));
        fs::write(file, text).unwrap();
        server.signal("HUP").unwrap();
        eventually("the refusal is in the log", || said(&server, KEPT) == before + 1);
        fs::write(file, good).unwrap();
    }
    let before = said(&server, KEPT);
    let moved = secure.certificate.with_extension("away");
    fs::rename(&secure.certificate, &moved).unwrap();
    server.signal("HUP").unwrap();
    eventually("the missing file is in the log", || said(&server, KEPT) == before + 1);
    assert!(said(&server, "server.crt") > 0);
    assert!(!server.log().contains("PRIVATE KEY"));
    assert!(secure.ask(&uri, &second).status.success());
    fs::rename(&moved, &secure.certificate).unwrap();
    open.execute("SELECT 1").await.unwrap().collect().await.unwrap();
}

#[test]
fn a_renewed_certificate_is_found_without_a_signal() {
    let (first, second) = (Authority::new(), Authority::new());
    let secure = Secure::new(&first);
    let (server, uri) = secure.serve(&[("SQE__TLS__RELOAD_SECONDS", "1")]);
    assert!(secure.ask(&uri, &first).status.success());
    secure.put(&second);
    eventually("the new certificate is in force", || secure.ask(&uri, &second).status.success());
    assert_eq!(secure.ask(&uri, &first).status.code(), Some(6));
    assert!(said(&server, TAKEN) >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_clients_must_show_a_certificate_none_and_a_foreign_one_open_nothing() {
    let (own, clients) = (Authority::new(), Authority::new());
    let secure = Secure::new(&own);
    fs::write(secure.site.path().join("clients.pem"), clients.pem()).unwrap();
    let (_server, uri) = secure.serve(&[("SQE__TLS__CLIENT_CA_FILE", "clients.pem")]);
    let ask =
        async |options: ConnectOptions| Client::connect(&options).await?.execute("SELECT 1").await?.collect().await;
    let showing = |authority: &Authority| {
        let (certificate, key) = authority.sign(ExtendedKeyUsagePurpose::ClientAuth);
        secure.options(&uri, &own).with_client_certificate(certificate, Secret::new(key))
    };
    assert!(ask(secure.options(&uri, &own)).await.is_err());
    assert!(ask(showing(&Authority::new())).await.is_err());
    ask(showing(&clients)).await.unwrap();
}

#[test]
fn what_cannot_be_used_at_the_start_is_said_at_once() {
    let secure = Secure::new(&Authority::new());
    fs::write(&secure.key, "no key").unwrap();
    let mut command = std::process::Command::new(crate::site::binary());
    command.arg("serve").arg("--config").arg(secure.site.path().join("sqe.toml"));
    let command = command.env("SQE__TLS__CERT_FILE", "server.crt").env("SQE__TLS__KEY_FILE", "server.key");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("private key"), "{}", stderr(&output));
}
