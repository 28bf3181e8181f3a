//! A server on loopback and clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_flight::{FlightInfo, error::FlightError, sql::client::FlightSqlServiceClient};
use async_trait::async_trait;
use futures::TryStreamExt;
use parking_lot::Mutex;
use sqe_core::{
    Engine, Secret,
    audit::{AuditEvent, AuditSink, EventKind},
};
use sqe_flight::{
    FlightSqlServer, Incoming, Settings,
    client::{Client, ConnectOptions},
};
use tokio::net::TcpListener;
use tonic::{Code, Status, transport::Channel};

use crate::{lake::Lake, people::People, people::Rules};

/// Keeps events in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Vec<AuditEvent>>>);

#[async_trait]
impl AuditSink for Trail {
    async fn record(&self, event: AuditEvent) -> sqe_core::Result<()> {
        self.0.lock().push(event);
        Ok(())
    }
}

impl Trail {
    /// How many statements began to run.
    pub(crate) fn intents(&self) -> usize {
        self.0.lock().iter().filter(|event| matches!(event.kind, EventKind::Intent)).count()
    }

    /// How many statements ended that had begun.
    pub(crate) fn ends(&self) -> usize {
        self.0.lock().iter().filter(|event| matches!(event.kind, EventKind::Effect(_))).count()
    }

    /// How many of those did what they were to do.
    pub(crate) fn completed(&self) -> usize {
        let completed = |event: &&AuditEvent| matches!(&event.kind, EventKind::Effect(effect) if effect.outcome == sqe_core::audit::Outcome::Completed);
        self.0.lock().iter().filter(completed).count()
    }

    /// How many statements were refused.
    pub(crate) fn refusals(&self) -> usize {
        self.0.lock().iter().filter(|event| matches!(event.kind, EventKind::Refused(_))).count()
    }

    /// Where the last event came from.
    pub(crate) fn last_client(&self) -> sqe_core::audit::ClientInfo {
        self.0.lock().last().unwrap().query.client.clone()
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) lake: Lake,
    pub(crate) people: People,
    pub(crate) rules: Rules,
    pub(crate) trail: Trail,
    pub(crate) flight: FlightSqlServer,
}

pub(crate) async fn server() -> Server {
    server_with(Settings::default()).await
}

pub(crate) async fn server_with(settings: Settings) -> Server {
    server_on(settings, sqe_flight::incoming).await
}

/// A server whose connections come as `connections` says.
pub(crate) async fn server_on(settings: Settings, connections: impl FnOnce(TcpListener) -> Incoming) -> Server {
    let (lake, people, trail) = (Lake::sample(), People::default(), Trail::default());
    let rules = Rules::default();
    let engine = Engine::builder()
        .identity(people.clone())
        .policy(rules.clone())
        .audit(trail.clone())
        .catalog("lake", lake.clone())
        .defaults("lake", "main")
        .build()
        .unwrap();
    let flight = FlightSqlServer::new(engine, settings).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(flight.clone().router().serve_with_incoming(connections(listener)));
    Server { address, lake, people, rules, trail, flight }
}

pub(crate) type Raw = FlightSqlServiceClient<Channel>;

impl Server {
    pub(crate) fn uri(&self) -> String {
        format!("grpc://{}", self.address)
    }

    /// Our own client, showing a token with every call.
    pub(crate) async fn client(&self, person: &str) -> Client {
        let options = ConnectOptions::new(self.uri()).with_token(Secret::new(format!("{person}-token")));
        Client::connect(&options).await.unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// arrow-flight's client, showing nothing yet.
    pub(crate) async fn nobody(&self) -> Raw {
        FlightSqlServiceClient::new(self.channel().await)
    }

    /// arrow-flight's client, showing a token with every call.
    pub(crate) async fn raw(&self, person: &str) -> Raw {
        let mut client = self.nobody().await;
        client.set_token(format!("{person}-token"));
        client
    }
}

/// Fetches what an info announces, and checks that the stream has the announced schema.
pub(crate) async fn fetch(client: &mut Raw, info: FlightInfo) -> Result<Vec<RecordBatch>, FlightError> {
    assert_eq!(info.endpoint.len(), 1, "clients read only the first endpoint");
    assert!(info.endpoint[0].location.is_empty());
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let announced = info.try_decode_schema().unwrap();
    let mut stream = client.do_get(ticket).await?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        batches.push(batch);
    }
    assert_eq!(**stream.schema().expect("a schema even without rows"), announced);
    assert!(batches.iter().all(|batch| *batch.schema() == announced));
    Ok(batches)
}

pub(crate) async fn query(client: &mut Raw, sql: &str) -> Result<Vec<RecordBatch>, FlightError> {
    let info = client.execute(sql.to_owned(), None).await?;
    fetch(client, info).await
}

/// The numbers of one column, over all batches.
pub(crate) fn numbers(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(column).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// The texts of one column, over all batches.
pub(crate) fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let column = |batch: &RecordBatch| {
        let texts = batch.column_by_name(column).unwrap().as_string::<i32>().clone();
        (0..texts.len()).map(|row| texts.value(row).to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(column).collect()
}

/// The status inside of an error.
pub(crate) fn status(error: &FlightError) -> &Status {
    match error {
        FlightError::Tonic(status) => status,
        other => panic!("not a status: {other:?}"),
    }
}

pub(crate) fn code<T>(result: Result<T, FlightError>) -> Code {
    match result {
        Ok(_) => Code::Ok,
        Err(error) => status(&error).code(),
    }
}

/// Waits until something is so, or fails.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never so: {what}");
}
