//! TLS: whose certificate is shown, whose is accepted, and what becomes of open connections when one is replaced.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use sqe_core::{Error, ErrorKind, Secret};
use sqe_flight::{
    ConnectionLimits, Incoming, Settings,
    client::{Client, ConnectOptions},
    tls::{ClientCertificates, ServerTls},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    certificates::{Authority, Signed},
    harness::{Server, server_on},
};

/// A server with a certificate of an authority, and what replaces it.
struct Secure {
    server: Server,
    tls: ServerTls,
    authority: Authority,
    clients: Authority,
}

async fn secure(demand: Option<ClientCertificates>, limits: ConnectionLimits) -> Secure {
    let (authority, clients) = (Authority::new(), Authority::new());
    let mut material = authority.server().material();
    if let Some(demand) = demand {
        material = material.with_client_authorities(clients.pem(), demand);
    }
    let tls = ServerTls::new(&material).unwrap();
    let server =
        server_on(Settings::default(), |listener| Incoming::new(listener, &limits).with_tls(tls.clone())).await;
    Secure { server, tls, authority, clients }
}

impl Secure {
    fn options(&self, authority: &Authority) -> ConnectOptions {
        let uri = format!("grpc+tls://{}", self.server.address);
        ConnectOptions::new(uri).with_ca_certificate(authority.pem())
    }

    fn as_alice(&self) -> ConnectOptions {
        self.options(&self.authority).with_token(Secret::new("alice-token"))
    }

    /// A connection that shows this certificate and no other credentials.
    fn showing(&self, shown: Option<&Signed>) -> ConnectOptions {
        match shown {
            Some(Signed { certificate, key }) => {
                self.options(&self.authority).with_client_certificate(certificate.clone(), Secret::new(&**key))
            }
            None => self.options(&self.authority),
        }
    }
}

async fn ask(options: &ConnectOptions) -> sqe_core::Result<i64> {
    let client = Client::connect(options).await?;
    count(&client).await
}

async fn count(client: &Client) -> sqe_core::Result<i64> {
    let rows = client.execute("SELECT count(*) AS n FROM words").await?.collect().await?;
    Ok(crate::harness::numbers(&rows, 0)[0])
}

fn plain() -> ConnectionLimits {
    ConnectionLimits::default()
}

#[tokio::test]
async fn a_client_that_knows_the_authority_asks_and_one_that_does_not_sends_nothing() {
    let secure = secure(None, plain()).await;
    assert_eq!(ask(&secure.as_alice()).await.unwrap(), 3);
    let stranger = secure.options(&Authority::new()).with_token(Secret::new("alice-token"));
    assert_eq!(ask(&stranger).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(*secure.server.people.asked.lock(), ["alice"], "the stranger's token went nowhere");
    // No certificate is asked for, so one that is shown is nobody's.
    let shown = secure.showing(Some(&secure.clients.client("alice")));
    assert_eq!(ask(&shown).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn plaintext_to_a_port_of_tls_and_the_other_way_round_are_refused() {
    let secure = secure(None, plain()).await;
    let plaintext = ConnectOptions::new(format!("grpc://{}", secure.server.address));
    assert!(ask(&plaintext.with_token(Secret::new("alice-token"))).await.is_err());
    assert!(secure.server.people.asked.lock().is_empty());
    assert_eq!(ask(&secure.as_alice()).await.unwrap(), 3);

    let server = crate::harness::server().await;
    let tls = ConnectOptions::new(format!("grpc+tls://{}", server.address)).with_ca_certificate(secure.authority.pem());
    assert_eq!(ask(&tls).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(count(&server.client("alice").await).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_for_new_connections_and_open_ones_notice_nothing() {
    let secure = secure(None, plain()).await;
    let open = Client::connect(&secure.as_alice()).await.unwrap();
    let mut running = Vec::new();
    let (stop, _) = tokio::sync::watch::channel(false);
    for _ in 0..4 {
        let (client, stop) = (open.clone(), stop.subscribe());
        running.push(tokio::spawn(async move {
            let mut asked = 0;
            while !*stop.borrow() {
                assert_eq!(count(&client).await?, 3);
                asked += 1;
            }
            Ok::<_, Error>(asked)
        }));
    }
    let next = Authority::new();
    for round in 0..6 {
        let authority = if round % 2 == 0 { &next } else { &secure.authority };
        secure.tls.replace(&authority.server().material()).unwrap();
        let trusting = |authority: &Authority| secure.options(authority).with_token(Secret::new("alice-token"));
        assert_eq!(ask(&trusting(authority)).await.unwrap(), 3, "a new connection sees the new certificate");
        let other = if round % 2 == 0 { &secure.authority } else { &next };
        assert_eq!(ask(&trusting(other)).await.unwrap_err().kind(), ErrorKind::Unavailable, "and not the old one");
    }
    // One that cannot be used changes nothing.
    let broken = Signed { certificate: "no certificate".into(), ..next.server() };
    assert_eq!(secure.tls.replace(&broken.material()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(ask(&secure.as_alice()).await.unwrap(), 3);
    stop.send(true).unwrap();
    for running in running {
        assert!(running.await.unwrap().unwrap() > 0, "the open connection worked all the time");
    }
}

#[rstest]
#[case(ClientCertificates::Required)]
#[case(ClientCertificates::Optional)]
#[tokio::test]
async fn a_certificate_of_the_right_authority_says_who_its_client_is(#[case] demand: ClientCertificates) {
    let secure = secure(Some(demand), plain()).await;
    assert_eq!(ask(&secure.showing(Some(&secure.clients.client("alice")))).await.unwrap(), 3);
    assert_eq!(ask(&secure.showing(Some(&secure.clients.client("bob")))).await.unwrap(), 3);
    assert_eq!(*secure.server.people.asked.lock(), ["alice", "bob"]);
    // Somebody whom nobody knows is not let in by a certificate that is good; what mallory may not see is not there.
    let unknown = ask(&secure.showing(Some(&secure.clients.client("eve")))).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Unauthenticated);
    let mallory = ask(&secure.showing(Some(&secure.clients.client("mallory")))).await.unwrap_err();
    assert_eq!(mallory.kind(), ErrorKind::NotFound);
    // A header wins: alice's certificate carries bob's token.
    let client = secure.showing(Some(&secure.clients.client("alice"))).with_token(Secret::new("bob-token"));
    let client = Client::connect(&client).await.unwrap();
    client.execute("SELECT id FROM secret").await.unwrap();
    assert_eq!(secure.server.people.asked.lock().last().unwrap(), "bob");
    // And a header that opens nothing does not fall back to the certificate.
    let wrong = secure.showing(Some(&secure.clients.client("alice"))).with_token(Secret::new("eve-token"));
    assert_eq!(ask(&wrong).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_certificate_of_another_authority_and_none_where_one_is_required_open_no_connection() {
    let secure = secure(Some(ClientCertificates::Required), plain()).await;
    let foreign = Authority::new().client("alice");
    let with_token = |options: ConnectOptions| options.with_token(Secret::new("alice-token"));
    for options in [secure.showing(Some(&foreign)), secure.showing(None)] {
        assert!(ask(&options).await.is_err());
        assert!(ask(&with_token(options)).await.is_err(), "a token does not stand in for a certificate");
    }
    // Nor does one that is for servers.
    assert!(ask(&secure.showing(Some(&secure.clients.server()))).await.is_err());
    assert!(secure.server.people.asked.lock().is_empty());
    assert_eq!(ask(&with_token(secure.showing(Some(&secure.clients.client("bob"))))).await.unwrap(), 3);
}

#[tokio::test]
async fn where_certificates_are_optional_a_foreign_one_is_refused_and_none_is_nobody() {
    let secure = secure(Some(ClientCertificates::Optional), plain()).await;
    assert!(ask(&secure.showing(Some(&Authority::new().client("alice")))).await.is_err());
    assert_eq!(ask(&secure.showing(None)).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert_eq!(ask(&secure.as_alice()).await.unwrap(), 3);
}

#[tokio::test]
async fn other_authorities_of_clients_are_for_new_connections() {
    let secure = secure(Some(ClientCertificates::Required), plain()).await;
    let alice = secure.clients.client("alice");
    let open = Client::connect(&secure.showing(Some(&alice))).await.unwrap();
    assert_eq!(count(&open).await.unwrap(), 3);
    let next = Authority::new();
    let material = secure.authority.server().material();
    secure.tls.replace(&material.with_client_authorities(next.pem(), ClientCertificates::Required)).unwrap();
    assert!(ask(&secure.showing(Some(&alice))).await.is_err());
    assert_eq!(ask(&secure.showing(Some(&next.client("alice")))).await.unwrap(), 3);
    assert_eq!(count(&open).await.unwrap(), 3);
}

#[tokio::test]
async fn a_session_of_a_certificate_is_shared_by_its_connections_and_with_nobody_else() {
    let secure = secure(Some(ClientCertificates::Required), plain()).await;
    let alice = secure.clients.client("alice");
    for _ in 0..3 {
        ask(&secure.showing(Some(&alice))).await.unwrap();
    }
    assert_eq!(*secure.server.people.asked.lock(), ["alice"]);
    ask(&secure.showing(Some(&secure.clients.client("alice")))).await.unwrap();
    assert_eq!(
        *secure.server.people.asked.lock(),
        ["alice", "alice"],
        "another certificate of hers is another session"
    );
    // A handshake exchanges it for a token.
    let mut client = Client::connect(&secure.showing(Some(&alice))).await.unwrap();
    client.login().await.unwrap();
    assert_eq!(count(&client).await.unwrap(), 3);
    client.close().await;
}

fn connector(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn both_versions_of_tls_lead_to_http2_and_to_nothing_else() {
    let secure = secure(None, plain()).await;
    let name = || ServerName::try_from("localhost").unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let socket = TcpStream::connect(secure.server.address).await.unwrap();
        let stream = connector(&secure.authority, &[version], &[b"h2"]).connect(name(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
    }
    let socket = TcpStream::connect(secure.server.address).await.unwrap();
    let http1 = connector(&secure.authority, &[&rustls::version::TLS13], &[b"http/1.1"]).connect(name(), socket).await;
    assert!(http1.is_err());
}

#[tokio::test]
async fn who_never_ends_a_handshake_holds_up_nobody_and_is_closed() {
    let mut limits = ConnectionLimits::default();
    limits.max_handshakes = 8;
    limits.handshake_timeout = Duration::from_secs(2);
    let secure = secure(None, limits).await;
    let mut silent = Vec::new();
    for number in 0..40 {
        let mut socket = TcpStream::connect(secure.server.address).await.unwrap();
        if number % 2 == 0 {
            // The beginning of a ClientHello that never goes on.
            socket.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await.unwrap();
        }
        silent.push(socket);
        if number % 10 == 9 {
            assert_eq!(ask(&secure.as_alice()).await.unwrap(), 3);
        }
    }
    for mut socket in silent {
        let mut rest = Vec::new();
        // Ends by itself, with or without an alert.
        let _closed = socket.read_to_end(&mut rest).await;
    }
    assert_eq!(ask(&secure.as_alice()).await.unwrap(), 3);
}
