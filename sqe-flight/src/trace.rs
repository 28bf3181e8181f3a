//! Which trace a call is in: the header `traceparent` (W3C Trace Context, level 1).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use sqe_core::{engine::in_trace, trace::TraceContext};
use tower::{Layer, Service};

/// Lets what a call asks the engine for be a part of the caller's trace. Give it to the tonic server that the service is
/// mounted in: `Server::builder().layer(TraceLayer)`.
///
/// A header that is not well-formed, or that is there twice, is not looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Traced { inner }
    }
}

/// A service whose calls are parts of their callers' traces. [`TraceLayer`] makes it.
#[derive(Debug, Clone)]
pub struct Traced<S> {
    inner: S,
}

impl<S, B> Service<tonic::codegen::http::Request<B>> for Traced<S>
where
    S: Service<tonic::codegen::http::Request<B>>,
    S::Future: Send + 'static,
    S::Response: 'static,
    S::Error: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: tonic::codegen::http::Request<B>) -> Self::Future {
        let context = caller(request.headers());
        let call = self.inner.call(request);
        match context {
            Some(context) => Box::pin(in_trace(context, call)),
            None => Box::pin(call),
        }
    }
}

fn caller(headers: &tonic::codegen::http::HeaderMap) -> Option<TraceContext> {
    let mut all = headers.get_all("traceparent").iter();
    let header = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    TraceContext::from_traceparent(header)
}

#[cfg(test)]
mod tests {
    use tonic::codegen::http::{HeaderMap, HeaderValue};

    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn one_header_is_the_callers_trace_and_two_are_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(caller(&headers), None);
        headers.append("traceparent", HeaderValue::from_static(HEADER));
        assert_eq!(caller(&headers).unwrap().to_string(), HEADER);
        headers.append("traceparent", HeaderValue::from_static(HEADER));
        assert_eq!(caller(&headers), None);
    }

    #[test]
    fn what_is_no_text_is_no_trace() {
        let mut headers = HeaderMap::new();
        headers.append("traceparent", HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert_eq!(caller(&headers), None);
    }
}
