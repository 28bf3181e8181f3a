//! Where the browser comes back to (RFC 8252, section 7.3): a port of this machine that takes one answer.

use std::{collections::BTreeMap, time::Duration};

use sqe_core::{Error, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use url::form_urlencoded;

/// Where in the address the answer comes.
const PATH: &str = "/callback";
/// How long one connection may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest request that is read, in bytes.
const LONGEST: usize = 16 << 10;

/// A port that waits for a browser.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    host: String,
}

/// The browser that came, which still waits for its page.
#[derive(Debug)]
pub(super) struct Visit {
    /// The parameters of the address. Each came once.
    pub(super) parameters: BTreeMap<String, String>,
    stream: TcpStream,
}

impl Loopback {
    /// Waits on a port that nobody chose. The address is that of the machine itself, and no name: a name could be led
    /// elsewhere (RFC 8252, section 8.3).
    ///
    /// # Errors
    /// `Unavailable` if the machine gives no port.
    pub(super) async fn open() -> Result<Self> {
        let no_port = |error| Error::unavailable("no port of this machine waits for the browser").with_source(error);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(no_port)?;
        let host = listener.local_addr().map_err(no_port)?.to_string();
        Ok(Self { listener, host })
    }

    /// Where the provider is to send the browser.
    pub(super) fn redirect_uri(&self) -> String {
        format!("http://{}{PATH}", self.host)
    }

    /// Waits for the one answer. What else is asked for is not there.
    ///
    /// # Errors
    /// `DeadlineExceeded` if nobody comes in time.
    pub(super) async fn visit(self, patience: Duration) -> Result<Visit> {
        let (sender, mut visits) = mpsc::channel(1);
        // Browsers open connections that they may never use, so one must not keep another waiting.
        let accepting = async {
            loop {
                if let Ok((stream, _)) = self.listener.accept().await {
                    let (sender, host) = (sender.clone(), self.host.clone());
                    tokio::spawn(async move {
                        if let Ok(Some(visit)) = timeout(PATIENCE, read(stream, &host)).await {
                            // The first one counts; the channel has room for it.
                            let _later = sender.try_send(visit);
                        }
                    });
                }
            }
        };
        tokio::select! {
            visit = visits.recv() => visit.ok_or_else(|| Error::internal("nobody waits for the browser")),
            () = accepting => Err(Error::internal("nobody waits for the browser")),
            () = tokio::time::sleep(patience) => Err(Error::new(
                sqe_core::ErrorKind::DeadlineExceeded,
                format!("nobody logged in within {} seconds; try again", patience.as_secs()),
            )),
        }
    }
}

impl Visit {
    /// Shows the person how it went. They may have closed the page.
    pub(super) async fn answer(mut self, outcome: &Result<()>) {
        let (status, title, text) = match outcome {
            Ok(()) => ("200 OK", "You are logged in", "You can close this page and go back to the terminal."),
            Err(_) => ("400 Bad Request", "You are not logged in", "The terminal says why."),
        };
        send(&mut self.stream, status, title, text).await;
    }
}

/// The visit, if it is one; anything else is answered here.
async fn read(mut stream: TcpStream, host: &str) -> Option<Visit> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > LONGEST || stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    match parameters(&String::from_utf8_lossy(&request), host) {
        Ok(parameters) => Some(Visit { parameters, stream }),
        Err(status) => {
            send(&mut stream, status, "Nothing is here", "This address is for a login alone.").await;
            None
        }
    }
}

/// The parameters of a request for the one address, or the status of the answer to any other.
fn parameters(request: &str, host: &str) -> Result<BTreeMap<String, String>, &'static str> {
    let mut lines = request.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // A page elsewhere may have had its name led here; then the browser says that name.
    let named = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let mut hosts = named.filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.trim());
    if hosts.next() != Some(host) || hosts.next().is_some() {
        return Err("400 Bad Request");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != PATH {
        return Err("404 Not Found");
    }
    if method != "GET" {
        return Err("405 Method Not Allowed");
    }
    let mut found = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // RFC 6749, section 3.1: not more than once.
        if found.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err("400 Bad Request");
        }
    }
    Ok(found)
}

/// A page without script, style or picture from anywhere.
async fn send(stream: &mut TcpStream, status: &str, title: &str, text: &str) {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><h1>{title}</h1><p>{text}</p></body></html>\n"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         content-security-policy: default-src 'none'; frame-ancestors 'none'\r\nx-content-type-options: nosniff\r\n\
         referrer-policy: no-referrer\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let _closed = stream.write_all(answer.as_bytes()).await;
    let _closed = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::io::AsyncReadExt;

    use super::*;

    const HOST: &str = "127.0.0.1:4321";

    #[rstest]
    #[case("GET /callback?code=a%20b&state=s HTTP/1.1", HOST, Ok(vec![("code", "a b"), ("state", "s")]))]
    #[case("GET /callback HTTP/1.1", HOST, Ok(vec![]))]
    #[case("GET /favicon.ico HTTP/1.1", HOST, Err("404 Not Found"))]
    #[case("GET /callback/?code=a HTTP/1.1", HOST, Err("404 Not Found"))]
    #[case("POST /callback?code=a HTTP/1.1", HOST, Err("405 Method Not Allowed"))]
    #[case("GET /callback?code=a&code=b HTTP/1.1", HOST, Err("400 Bad Request"))]
    #[case::a_name_that_was_led_here("GET /callback?code=a HTTP/1.1", "evil.example:4321", Err("400 Bad Request"))]
    #[case("", HOST, Err("404 Not Found"))]
    fn only_the_one_address_is_there(
        #[case] line: &str,
        #[case] said: &str,
        #[case] expected: Result<Vec<(&str, &str)>, &str>,
    ) {
        let request = format!("{line}\r\nAccept: */*\r\nHost: {said}\r\n\r\n");
        let found = parameters(&request, HOST);
        let expected = expected.map(|all| all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect());
        assert_eq!(found, expected);
    }

    async fn get(address: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn one_answer_is_taken_whatever_else_a_browser_asks_for_and_then_the_port_is_closed() {
        let loopback = Loopback::open().await.unwrap();
        let address = loopback.host.clone();
        assert_eq!(loopback.redirect_uri(), format!("http://{address}/callback"));
        let idle = TcpStream::connect(&address).await.unwrap();
        let waiting = tokio::spawn(loopback.visit(Duration::from_secs(60)));
        assert!(get(&address, "/favicon.ico").await.starts_with("HTTP/1.1 404 "));
        let page = tokio::spawn({
            let address = address.clone();
            async move { get(&address, "/callback?state=s").await }
        });
        let visit = waiting.await.unwrap().unwrap();
        assert_eq!(visit.parameters["state"], "s");
        TcpStream::connect(&address).await.unwrap_err();
        visit.answer(&Ok(())).await;
        let page = page.await.unwrap();
        assert!(page.contains("You are logged in") && page.contains("default-src 'none'"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        drop(idle);
    }

    #[tokio::test]
    async fn nobody_is_waited_for_for_ever() {
        let error = Loopback::open().await.unwrap().visit(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.kind(), sqe_core::ErrorKind::DeadlineExceeded);
    }
}
