//! Clients that hang, read slowly, or disappear; and that nothing is left of any of them.

use std::{process::Command, sync::atomic::Ordering, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use sqe_core::Secret;
use sqe_flight::{
    ConnectionLimits, Incoming, Settings,
    client::{Client, ConnectOptions, Rows},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tonic::Code;

use crate::harness::{Server, eventually, query, server_on, server_with, status};

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_query_and_nobody_else_theirs() {
    let mut settings = Settings::default();
    settings.stream_idle_timeout = Duration::from_millis(300);
    let server = server_with(settings).await;
    let mut slow = server.raw("alice").await;
    let info = slow.execute("SELECT id FROM endless".into(), None).await.unwrap();
    let mut rows = slow.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    rows.try_next().await.unwrap().unwrap();
    let mut quick = server.raw("bob").await;
    let mut turns = 0;
    while server.lake.open.load(Ordering::SeqCst) > 0 {
        query(&mut quick, "SELECT id FROM words").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        turns += 1;
        assert!(turns < 1_000, "the scan is never closed");
    }
    // What was on its way still comes, and then an error: it is not the end of the rows.
    let mut left = 0;
    let end = loop {
        match rows.try_next().await {
            Ok(Some(batch)) => left += batch.num_rows(),
            Ok(None) => panic!("{left} rows passed for all"),
            Err(error) => break error,
        }
    };
    assert_eq!(status(&end).code(), Code::DeadlineExceeded, "{end}");
    // Connections have windows; what was held for the reader is bounded by them, not by the answer.
    assert!(left < 10_000_000, "{left} rows were kept");
}

#[tokio::test]
async fn a_client_that_reads_now_and_then_keeps_its_query() {
    let mut settings = Settings::default();
    settings.stream_idle_timeout = Duration::from_secs(30);
    settings.target_message_bytes = 64 << 10;
    let server = server_with(settings).await;
    let mut client = server.raw("alice").await;
    let info = client.execute("SELECT id FROM endless LIMIT 2000000".into(), None).await.unwrap();
    let mut rows = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let mut read = 0;
    for turn in 0.. {
        let Some(batch) = rows.try_next().await.unwrap() else { break };
        read += batch.num_rows();
        if turn % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(read, 2_000_000);
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many this process may have open.
fn most_descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// Runs a test of this program in a process of its own, with more descriptors if they can be had: other tests come and go in
/// this one.
fn alone(test: &str) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 8192 2>/dev/null; exec \"$0\" \"$@\""]).arg(program);
    let output = command.args(["--exact", test, "--ignored", "--nocapture"]).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    println!("{text}");
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn nothing_is_left_of_many_clients_half_of_which_hang() {
    alone("resilience::many_clients_half_of_which_hang");
}

async fn connect(server: &Server) -> Client {
    let options = ConnectOptions::new(server.uri()).with_token(Secret::new("alice-token"));
    let mut options = options;
    options.timeout = Duration::from_secs(120);
    Client::connect(&options).await.unwrap()
}

async fn asks(client: &Client) {
    let rows = client.execute("SELECT id FROM words").await.unwrap().collect().await.unwrap();
    assert_eq!(rows[0].num_rows(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by nothing_is_left_of_many_clients_half_of_which_hang"]
async fn many_clients_half_of_which_hang() {
    let mut limits = ConnectionLimits::default();
    limits.handshake_timeout = Duration::from_secs(300);
    let server = server_on(Settings::default(), |listener| Incoming::new(listener, &limits)).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // What is made once and stays, such as the sweeper of sessions and its session, is there before anything is counted.
    asks(&connect(&server).await).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = (descriptors(), tasks());

    // Both ends of each connection are in this process.
    let connections = 1_000.min((most_descriptors() - before.0 - 100) / 2);
    let half = connections / 2;
    let mut silent = Vec::new();
    for number in 0..half {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        if number % 3 == 1 {
            socket.write_all(b"PRI * HT").await.unwrap();
        } else if number % 3 == 2 {
            // Speaks and then says nothing more.
            socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        }
        silent.push(socket);
    }
    let clients: Vec<Client> = stream::iter(0..half).map(|_| connect(&server)).buffer_unordered(32).collect().await;
    stream::iter(&clients).for_each_concurrent(16, asks).await;
    // Some of them are in the middle of an answer.
    let mut running: Vec<Rows> = Vec::new();
    for client in clients.iter().take(8) {
        let mut rows = client.execute("SELECT id FROM endless").await.unwrap();
        rows.try_next().await.unwrap().unwrap();
        running.push(rows);
    }
    assert_eq!(server.lake.open.load(Ordering::SeqCst), running.len());
    assert!(descriptors() >= before.0 + 2 * (half + half / 3), "they really are open");
    // One more comes and goes as if it were alone.
    asks(&connect(&server).await).await;

    drop((silent, running, clients));
    eventually("every scan was closed", || server.lake.open.load(Ordering::SeqCst) == 0).await;
    eventually("every descriptor was given back", || descriptors() <= before.0).await;
    eventually("every task ended", || tasks() <= before.1).await;
    asks(&connect(&server).await).await;
    println!("{connections} connections");
}
