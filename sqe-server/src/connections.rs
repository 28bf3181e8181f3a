//! Counts connections for as long as they live.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use crate::metrics::Sources;

/// The same connections, counted.
pub(crate) fn counted<C>(
    connections: impl Stream<Item = io::Result<C>>,
    sources: Arc<Sources>,
) -> impl Stream<Item = io::Result<Counted<C>>> {
    connections.map(move |connection| {
        let stream = connection?;
        sources.connections.fetch_add(1, Ordering::Relaxed);
        sources.connected.fetch_add(1, Ordering::Relaxed);
        Ok(Counted { stream, sources: Arc::clone(&sources) })
    })
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted<C> {
    stream: C,
    sources: Arc<Sources>,
}

impl<C> Drop for Counted<C> {
    fn drop(&mut self) {
        self.sources.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<C: Connected> Connected for Counted<C> {
    type ConnectInfo = C::ConnectInfo;

    fn connect_info(&self) -> C::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
