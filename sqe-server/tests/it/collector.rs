//! A receiver of OTLP logs and spans in this process, which remembers what it got.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::any_value::Value,
    logs::v1::LogRecord,
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, transport::Server};

#[derive(Debug, Clone, Default)]
struct Received(Arc<Mutex<Vec<LogRecord>>>, Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
        self.1.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.log_records));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    received: Received,
    _stop: DropGuard,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let received = Received::default();
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let (logs, spans) = (LogsServiceServer::new(received.clone()), TraceServiceServer::new(received.clone()));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let listener = TcpListener::bind(address).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                let server = Server::builder().add_service(logs).add_service(spans);
                tokio::select! {
                    served = server.serve_with_incoming(incoming) => served.unwrap(),
                    () = stopped.cancelled() => {}
                }
            });
        });
        let endpoint = format!("http://{}", told.recv().unwrap());
        Self { endpoint, received, _stop: stop.drop_guard() }
    }

    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.received.0.lock().unwrap().clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.1.lock().unwrap().clone()
    }

    /// Sequence numbers that came, and how often.
    pub(crate) fn sequence(&self) -> BTreeMap<i64, usize> {
        let mut counts = BTreeMap::new();
        for record in self.records() {
            let Some(Value::IntValue(seq)) = value(&record, "sqe.audit.seq") else { panic!("no record: {record:?}") };
            *counts.entry(seq).or_default() += 1;
        }
        counts
    }
}

fn value(record: &LogRecord, key: &str) -> Option<Value> {
    record.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}
