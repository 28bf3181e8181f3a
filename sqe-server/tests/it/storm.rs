//! A server that meets everything at once, again and again: clients that ask, fail, hang and die while its certificate
//! changes. Those who ask properly notice nothing, and nothing is left of the others.

use std::{
    io::Write as _,
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use futures::{TryStreamExt, future::join_all};
use sqe_core::{ErrorKind, Secret};
use sqe_flight::client::{Client, ConnectOptions};
use sqe_testkit::process::Sqe;

use crate::{
    site::{binary, eventually},
    tls::{Authority, Secure, TAKEN, said},
};

const ENDLESS: &str = "SELECT count(*) AS n FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(y) \
                       WHERE x + y = 7";
const HUNGRY: &str = "SELECT count(*) AS n FROM generate_series(1, 9000000) AS a(x) JOIN generate_series(1, 9000000) AS b(y) \
                      ON x = y";
const LONG: &str = "SELECT value FROM generate_series(1, 80000000) AS t(value)";

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    descriptors: usize,
    threads: usize,
    resident_kib: u64,
}

impl Footprint {
    fn of(server: &Sqe) -> Self {
        let process = format!("/proc/{}", server.id());
        let count = |folder: &str| std::fs::read_dir(format!("{process}/{folder}")).unwrap().count();
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident_kib = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self { descriptors: count("fd"), threads: count("task"), resident_kib }
    }
}

struct Storm {
    uri: String,
    token: String,
    /// The authorities of both certificates.
    trusted: String,
    file: String,
}

impl Storm {
    async fn connect(&self, token: &str) -> sqe_core::Result<Client> {
        let options = ConnectOptions::new(&self.uri).with_token(Secret::new(token));
        let mut options = options.with_ca_certificate(self.trusted.clone());
        options.timeout = Duration::from_secs(120);
        Client::connect(&options).await
    }

    async fn answer(&self, token: &str, sql: &str) -> sqe_core::Result<usize> {
        let rows = self.connect(token).await?.execute(sql).await?.collect().await?;
        Ok(rows.iter().map(|batch| batch.num_rows()).sum())
    }

    /// Who asks properly is answered, every time.
    async fn asks(&self) {
        for _ in 0..10 {
            assert_eq!(self.answer(&self.token, "SELECT * FROM lake.s.t WHERE id < 3").await.unwrap(), 2);
        }
    }

    async fn fails(&self) {
        let kind = async |token: &str, sql: &str| self.answer(token, sql).await.unwrap_err().kind();
        assert_eq!(kind(&self.token, "SELECT nothing FROM lake.s.t").await, ErrorKind::InvalidInput);
        assert_eq!(kind(&self.token, "SELECT 1 / (id - id) FROM lake.s.t").await, ErrorKind::InvalidInput);
        assert_eq!(kind(&self.token, HUNGRY).await, ErrorKind::ResourceExhausted);
        assert_eq!(kind(&self.token, ENDLESS).await, ErrorKind::DeadlineExceeded);
        assert_eq!(kind("no token at all", "SELECT 1").await, ErrorKind::Unauthenticated);
    }

    /// Reads a little and goes away.
    async fn leaves(&self) {
        let client = self.connect(&self.token).await.unwrap();
        let mut rows = client.execute(LONG).await.unwrap();
        rows.try_next().await.unwrap().unwrap();
    }

    /// Is killed in the middle of an answer.
    async fn dies(&self) {
        let mut command = Command::new(binary());
        command.args(["sql", "--uri", &self.uri, "--ca-file", &self.file, "-o", "csv", "-c", LONG]);
        command.env("SQE_TOKEN", &self.token).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Says nothing, or something that is no TLS.
    async fn hangs(&self) {
        let address = self.uri.rsplit('/').find(|part| !part.is_empty()).unwrap();
        let mut sockets = Vec::new();
        for number in 0..40 {
            let mut socket = TcpStream::connect(address).unwrap();
            if number % 2 == 1 {
                socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            }
            sockets.push(socket);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    async fn rage(&self) {
        let mut people: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
        for _ in 0..6 {
            people.push(Box::pin(self.asks()));
            people.push(Box::pin(self.leaves()));
        }
        people.push(Box::pin(self.fails()));
        people.push(Box::pin(self.dies()));
        people.push(Box::pin(self.hangs()));
        join_all(people).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_ask_properly_notice_nothing_and_nothing_is_left_of_the_others() {
    let authorities = [Authority::new(), Authority::new()];
    let secure = Secure::new(&authorities[0]);
    let settings = [
        ("SQE__TLS__RELOAD_SECONDS", "3600"),
        ("SQE__LIMITS__STATEMENT_SECONDS", "5"),
        ("SQE__LIMITS__MEMORY_BYTES", "64000000"),
    ];
    let (server, uri) = secure.serve(&settings);
    let trusted = authorities.each_ref().map(Authority::pem).concat();
    let path = secure.site.path().join("both.pem");
    std::fs::write(&path, &trusted).unwrap();
    let token = secure.site.token("ann");
    let storm = Storm { uri, token, trusted, file: path.to_str().unwrap().to_owned() };
    storm.answer(&storm.token, "CREATE SCHEMA lake.s").await.unwrap();
    let numbers = "CREATE TABLE lake.s.t AS SELECT value AS id FROM generate_series(1, 1000)";
    storm.answer(&storm.token, numbers).await.unwrap();

    // What is made once and stays, such as connections to the catalog, is there before anything is counted.
    storm.rage().await;
    let quiet = || {
        let mut last = Footprint::of(&server);
        // Threads of the runtime that have nothing to do end after ten seconds.
        for _ in 0..60 {
            std::thread::sleep(Duration::from_millis(250));
            let now = Footprint::of(&server);
            last = Footprint {
                descriptors: now.descriptors.min(last.descriptors),
                threads: now.threads.min(last.threads),
                ..now
            };
        }
        last
    };
    let before = quiet();

    for round in 0..3 {
        let reload = async {
            for turn in 1..=4 {
                tokio::time::sleep(Duration::from_millis(400)).await;
                let taken = said(&server, TAKEN);
                secure.put(&authorities[turn % 2]);
                server.signal("HUP").unwrap();
                while said(&server, TAKEN) == taken {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        tokio::join!(storm.rage(), reload);
        println!("round {round}: {:?}", Footprint::of(&server));
    }

    eventually("every descriptor was given back", || Footprint::of(&server).descriptors <= before.descriptors);
    eventually("every thread ended", || Footprint::of(&server).threads <= before.threads);
    let after = quiet();
    println!("before {before:?}, after {after:?}");
    // An allocator keeps some of what it was given; what grows with every round would pass this.
    assert!(after.resident_kib < before.resident_kib + before.resident_kib / 4 + (32 << 10), "{before:?} {after:?}");
    let running = "SELECT count(*) AS n FROM system.audit.access WHERE outcome = 'running'";
    let client = storm.connect(&storm.token).await.unwrap();
    let batches = client.execute(running).await.unwrap().collect().await.unwrap();
    let counted = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(batches[0].column(0)).value(0);
    assert_eq!(counted, 0, "a statement never ended");
}
