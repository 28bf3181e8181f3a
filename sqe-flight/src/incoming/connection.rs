//! One connection, as tonic wants it: bytes, and who is at the other end.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use sqe_core::CertificateChain;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use super::preface::{self, PREFACE};

/// Who is at the other end of a connection. It stands in the extensions of each request.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Peer {
    /// The address, if the system tells it.
    pub address: Option<SocketAddr>,
    /// The certificates that it showed and whose key it proved to hold; they come from an authority that the server accepts.
    pub certificates: Option<Arc<CertificateChain>>,
}

/// A connection whose client speaks HTTP/2.
#[derive(Debug)]
pub struct Connection {
    bytes: Bytes,
    /// How much of the preface was handed on. It was read already.
    given: usize,
    peer: Peer,
    /// The connection's place among those that may be open.
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Waits until the client speaks.
    pub(super) async fn shake(
        socket: TcpStream,
        acceptor: Option<TlsAcceptor>,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let mut peer = Peer { address: socket.peer_addr().ok(), certificates: None };
        let mut bytes = match acceptor {
            None => Bytes::Plain(socket),
            Some(acceptor) => {
                let stream = acceptor.accept(socket).await?;
                let chain = stream.get_ref().1.peer_certificates();
                peer.certificates = chain.filter(|chain| !chain.is_empty()).map(|chain| {
                    Arc::new(CertificateChain::new(chain.iter().map(|certificate| certificate.as_ref().to_vec())))
                });
                Bytes::Tls(Box::new(stream))
            }
        };
        preface::read(&mut bytes).await?;
        Ok(Self { bytes, given: 0, peer, _permit: permit })
    }

    #[cfg(test)]
    pub(super) fn nodelay(&self) -> io::Result<bool> {
        match &self.bytes {
            Bytes::Plain(socket) => socket.nodelay(),
            Bytes::Tls(stream) => stream.get_ref().0.nodelay(),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = PREFACE.get(self.given..).filter(|left| !left.is_empty());
        if let Some(now) = left.and_then(|left| left.get(..left.len().min(buffer.remaining()))) {
            buffer.put_slice(now);
            self.given += now.len();
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.bytes).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.bytes).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.bytes.is_write_vectored()
    }
}

impl AsyncRead for Bytes {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
