//! Connections: from a listener to what a server answers.
//!
//! A connection is handed over once its client has begun to speak HTTP/2, over TLS or not. Until then it costs a socket and
//! a task, for a bounded time, and there is a bounded number of such connections: whoever opens connections and says nothing
//! keeps nobody else out.

mod connection;
mod preface;

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, Stream};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{AbortHandle, JoinSet},
    time::Sleep,
};
use tonic::transport::server::TcpIncoming;

pub use connection::{Connection, Peer};

use crate::tls::ServerTls;

/// How long nothing is accepted after the system refused to hand over a connection, as it does when descriptors run out.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections a server holds, and for how long they may say nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// Connections that are open at once; one more is closed as soon as it comes. Default: 4,096.
    pub max_connections: usize,
    /// Connections that are open and whose clients have not begun to speak, as a part of the former; when there is one more,
    /// the one that said nothing for longest is closed. Default: 512.
    pub max_handshakes: usize,
    /// How long a client may take until it speaks, its handshake included. Default: ten seconds.
    pub handshake_timeout: Duration,
    /// How long a connection may be silent before the system asks whether the other machine is still there. What a server
    /// asks by HTTP/2 comes on top, see [`transport`](crate::transport). Default: one minute.
    pub keepalive: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 4_096,
            max_handshakes: 512,
            handshake_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(60),
        }
    }
}

/// The connections of a listener in plaintext, for [`Router::serve_with_incoming`] and its like.
///
/// Small messages leave at once. Tonic sees to that only for addresses that it listens on by itself, and where nobody does
/// each answer to a small statement waits some forty milliseconds for an acknowledgement that the client holds back.
///
/// [`Router::serve_with_incoming`]: tonic::transport::server::Router::serve_with_incoming
#[must_use]
pub fn incoming(listener: TcpListener) -> Incoming {
    Incoming::new(listener, &ConnectionLimits::default())
}

/// The connections of a listener. Dropping it closes the listener and those whose clients have not begun to speak.
#[derive(Debug)]
pub struct Incoming {
    accepted: TcpIncoming,
    tls: Option<ServerTls>,
    room: Arc<Semaphore>,
    full: bool,
    max_handshakes: usize,
    handshake_timeout: Duration,
    shaking: JoinSet<io::Result<Connection>>,
    /// Those of `shaking`, oldest first.
    order: VecDeque<AbortHandle>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// The connections of `listener`, in plaintext.
    #[must_use]
    pub fn new(listener: TcpListener, limits: &ConnectionLimits) -> Self {
        let accepted = TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(limits.keepalive));
        Self {
            accepted,
            tls: None,
            room: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
            full: false,
            max_handshakes: limits.max_handshakes.max(1),
            handshake_timeout: limits.handshake_timeout,
            shaking: JoinSet::new(),
            order: VecDeque::new(),
            pause: None,
        }
    }

    /// Speaks TLS, and nothing but TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Takes what waits in the listener. It always ends with a wake-up arranged for what comes next.
    fn accept(&mut self, context: &mut Context<'_>) {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.poll_unpin(context).is_pending() {
                    return;
                }
                self.pause = None;
            }
            match Pin::new(&mut self.accepted).poll_next(context) {
                Poll::Pending | Poll::Ready(None) => return,
                Poll::Ready(Some(Ok(socket))) => match Arc::clone(&self.room).try_acquire_owned() {
                    Ok(permit) => self.begin(socket, permit),
                    // Dropping the socket closes it: the client learns at once that there is no room.
                    Err(_) => {
                        if !std::mem::replace(&mut self.full, true) {
                            tracing::warn!("as many connections are open as may be: new ones are closed");
                        }
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
            }
        }
    }

    fn begin(&mut self, socket: tokio::net::TcpStream, permit: OwnedSemaphorePermit) {
        self.full = false;
        while self.order.front().is_some_and(AbortHandle::is_finished) {
            self.order.pop_front();
        }
        if self.order.len() >= self.max_handshakes {
            self.order.retain(|task| !task.is_finished());
        }
        if self.order.len() >= self.max_handshakes
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
            tracing::debug!("a connection that said nothing made room for another");
        }
        let acceptor = self.tls.as_ref().map(ServerTls::acceptor);
        let limit = self.handshake_timeout;
        self.order.push_back(self.shaking.spawn(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "the client did not begin to speak in time");
            let shaken = Connection::shake(socket, acceptor, permit);
            tokio::time::timeout(limit, shaken).await.unwrap_or_else(|_| Err(late()))
        }));
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    /// Never ends, and never gives an error: what becomes of one connection is nothing to the others.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.accept(context);
        loop {
            // An empty set is at its end, and wakes nobody: `accept` does.
            match ready!(self.shaking.poll_join_next(context)) {
                None => return Poll::Pending,
                Some(Ok(Ok(connection))) => return Poll::Ready(Some(Ok(connection))),
                Some(Ok(Err(error))) => tracing::debug!(%error, "a connection came to nothing"),
                // It made room for another.
                Some(Err(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::{preface::PREFACE, *};

    async fn listening(limits: &ConnectionLimits) -> (std::net::SocketAddr, Incoming) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (listener.local_addr().unwrap(), Incoming::new(listener, limits))
    }

    async fn is_closed(client: &mut TcpStream) -> bool {
        let mut byte = [0];
        matches!(client.read(&mut byte).await, Ok(0) | Err(_))
    }

    #[tokio::test]
    async fn connections_send_small_messages_at_once_and_lose_none_of_their_first_bytes() {
        let (address, mut connections) = listening(&ConnectionLimits::default()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(PREFACE).await.unwrap();
        client.write_all(b"more").await.unwrap();
        let mut connection = connections.next().await.unwrap().unwrap();
        assert!(connection.nodelay().unwrap());
        let mut read = vec![0; PREFACE.len() + 4];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [&PREFACE[..], b"more"].concat());
        connection.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
    }

    #[tokio::test]
    async fn who_speaks_something_else_or_nothing_is_closed() {
        let limits = ConnectionLimits { handshake_timeout: Duration::from_millis(50), ..ConnectionLimits::default() };
        let (address, mut connections) = listening(&limits).await;
        let mut wrong = TcpStream::connect(address).await.unwrap();
        wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&PREFACE[..10]).await.unwrap();
        let both = async { (is_closed(&mut wrong).await, is_closed(&mut silent).await, is_closed(&mut half).await) };
        tokio::select! {
            closed = both => assert_eq!(closed, (true, true, true)),
            _ = connections.next() => panic!("nobody began to speak"),
        }
    }

    #[tokio::test]
    async fn the_longest_silent_makes_room_when_there_are_too_many() {
        let limits = ConnectionLimits {
            max_handshakes: 2,
            handshake_timeout: Duration::from_secs(3600),
            ..ConnectionLimits::default()
        };
        let (address, mut connections) = listening(&limits).await;
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut speaking = TcpStream::connect(address).await.unwrap();
        speaking.write_all(PREFACE).await.unwrap();
        let _connection = connections.next().await.unwrap().unwrap();
        let (first, last) = (is_closed(&mut silent[0]).await, &mut silent[3]);
        assert!(first, "the oldest made room");
        tokio::select! {
            biased;
            _ = is_closed(last) => panic!("the newest had to go"),
            _ = connections.next() => panic!("nobody began to speak"),
            () = tokio::task::yield_now() => {}
        }
    }

    #[tokio::test]
    async fn one_more_than_there_is_room_for_is_closed_and_room_comes_back() {
        let limits = ConnectionLimits { max_connections: 1, ..ConnectionLimits::default() };
        let (address, mut connections) = listening(&limits).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(PREFACE).await.unwrap();
        let held = connections.next().await.unwrap().unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        tokio::select! {
            closed = is_closed(&mut second) => assert!(closed),
            _ = connections.next() => panic!("there was no room"),
        }
        drop(held);
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(PREFACE).await.unwrap();
        connections.next().await.unwrap().unwrap();
    }
}
