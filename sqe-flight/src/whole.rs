//! What a client sends is there as a whole, or it is an error.
//!
//! A client that cancels a call resets its stream, and tonic takes a reset for the regular end of what is being sent. Half of
//! a table, or of the rows of an update, would then pass for all of it.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use arrow_flight::flight_service_server::FlightServiceServer;
use http_body::{Body, Frame, SizeHint};
use tonic::{
    Status,
    codegen::{BoxFuture, Service, StdError, http},
    server::NamedService,
};

use crate::server::FlightSqlServer;

/// Arrow's Flight service for tonic, and for whatever else serves HTTP by `tower`.
#[derive(Clone)]
pub struct FlightSqlService(FlightServiceServer<FlightSqlServer>);

impl FlightSqlService {
    pub(crate) fn new(service: FlightServiceServer<FlightSqlServer>) -> Self {
        Self(service)
    }
}

impl fmt::Debug for FlightSqlService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlightSqlService")
    }
}

impl NamedService for FlightSqlService {
    const NAME: &'static str = <FlightServiceServer<FlightSqlServer> as NamedService>::NAME;
}

impl<B> Service<http::Request<B>> for FlightSqlService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<http::Request<Whole<B>>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.0.call(request.map(|body| Whole(Box::pin(body))))
    }
}

/// A body whose end is its client's word that this was all.
struct Whole<B>(Pin<Box<B>>);

impl<B: Body> Body for Whole<B>
where
    B::Error: Into<StdError>,
{
    type Data = B::Data;
    type Error = StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, StdError>>> {
        Poll::Ready(match ready!(self.0.as_mut().poll_frame(context)) {
            Some(Err(error)) => {
                let status = Status::from_error(error.into());
                // Nobody is told, for the client has gone; but nothing that it began is taken for finished.
                let broken = format!("the client went away in the middle of a call: {}", status.message());
                Some(Err(Status::unavailable(broken).into()))
            }
            other => other.map(|frame| frame.map_err(Into::into)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A body that gives one frame and then breaks off.
    struct Broken(bool);

    impl Body for Broken {
        type Data = Bytes;
        type Error = StdError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StdError>>> {
            Poll::Ready(Some(match std::mem::replace(&mut self.0, true) {
                false => Ok(Frame::data(Bytes::from_static(b"x"))),
                true => Err(Status::cancelled("reset by the client").into()),
            }))
        }
    }

    #[tokio::test]
    async fn a_cancellation_is_no_end() {
        let mut body = Whole(Box::pin(Broken(false)));
        let mut next = async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        assert!(next().await.unwrap().is_ok());
        let error = next().await.unwrap().err().unwrap();
        assert_ne!(Status::from_error(error).code(), tonic::Code::Cancelled);
    }
}
