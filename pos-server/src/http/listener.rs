//! The accept loop: hyper's own HTTP/1.1 connection with timers, bounded at every step.
//!
//! `axum::serve` sets no timers, so a client that trickles a request head would hold its
//! connection for ever. Here each wait of a connection has an end: for the TLS handshake, for a
//! request head (the silence of a kept-alive connection included), for a body, for a client that
//! does not take its answer. At the cap on connections the loop stops accepting, so that further
//! clients wait in the system's backlog instead of being told a fault that is none of theirs.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tower::Service as _;
use tracing::{debug, warn};

use super::body::{CappedBody, Unread};
use super::tls::TlsIdentity;
use crate::config::LimitSettings;
use crate::shutdown::Shutdown;

/// What one connection may take, and how many there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; at the cap the loop stops accepting.
    pub connections: usize,
    /// Octets of start line and headers (at least 8192); more is answered 431. hyper reads at
    /// most 100 headers.
    pub header_bytes: usize,
    /// Octets of a body; see [`super::body::read`] for what a handler sees of it.
    pub body_bytes: usize,
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest wait for a whole request head, counted from when the connection became idle.
    pub head: Duration,
    /// Longest wait for a whole request body.
    pub body: Duration,
    /// Longest wait for a client that takes nothing of its answer.
    pub stall: Duration,
    /// Longest wait for requests under way once a shutdown was asked for.
    pub drain: Duration,
}

impl From<&LimitSettings> for Limits {
    fn from(settings: &LimitSettings) -> Self {
        Self {
            connections: settings.connections,
            header_bytes: settings.header_bytes,
            body_bytes: settings.body_bytes,
            handshake: settings.handshake,
            head: settings.head,
            body: settings.body,
            stall: settings.stall,
            drain: settings.drain,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::from(&LimitSettings::default())
    }
}

/// An address was not free to listen on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; choose another address or stop what uses it")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// A bound address, plain or TLS.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<TlsIdentity>>,
    open: Gauge,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one. Speaks TLS when an identity is given.
    ///
    /// # Errors
    /// [`ListenError`] when the address is taken or not this machine's.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<TlsIdentity>>,
    ) -> Result<Self, ListenError> {
        let refused = |cause| ListenError { address, cause };
        let tcp = TcpListener::bind(address).await.map_err(refused)?;
        let address = tcp.local_addr().map_err(refused)?;
        Ok(Self { tcp, address, tls, open: Gauge::default() })
    }

    /// Counts open connections in this gauge.
    #[must_use]
    pub fn counted_in(self, open: Gauge) -> Self {
        Self { open, ..self }
    }

    /// The address that was really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as a URL without a path: `https://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok(accepted) => return accepted,
                // A client that is gone already, or no free file descriptor: the latter needs
                // time, and a busy loop would take the processor from what could give one back.
                Err(cause) => {
                    warn!(cause = %cause, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections cut because their requests outlasted [`Limits::drain`].
    pub cut: usize,
}

/// Serves `router` on `listener` until `shutdown` is asked for, then stops accepting, lets
/// requests under way finish, and cuts what is left after [`Limits::drain`]. Dropping the future
/// cuts everything at once.
pub async fn serve(
    listener: Listener,
    router: Router,
    limits: Limits,
    mut shutdown: Shutdown,
) -> Drained {
    let server = Arc::new(Server { http: limits.http(), limits, router });
    let permits = Arc::new(Semaphore::new(server.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // A semaphore that nobody closes always gives a permit.
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, (tcp, peer)) = tokio::select! {
            biased;
            () = shutdown.asked() => break,
            next = next => next,
        };
        while connections.try_join_next().is_some() {}
        let open = OpenConnection::begin(&listener.open);
        let tls = listener.tls.clone();
        let connection = Arc::clone(&server).connection(tcp, tls, peer, shutdown.clone());
        connections.spawn(async move {
            connection.await;
            drop((permit, open));
        });
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    let in_time = timeout(server.limits.drain, all_ended).await.is_ok();
    let cut = if in_time { 0 } else { connections.len() };
    connections.shutdown().await;
    Drained { cut }
}

struct Server {
    http: http1::Builder,
    limits: Limits,
    router: Router,
}

impl Limits {
    fn http(&self) -> http1::Builder {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_header_size(self.header_bytes)
            .max_buf_size(self.header_bytes.max(8192));
        http
    }
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        tcp: TcpStream,
        tls: Option<Arc<TlsIdentity>>,
        peer: SocketAddr,
        shutdown: Shutdown,
    ) {
        // Answers are written whole; waiting for more to put into a packet only delays them.
        if tcp.set_nodelay(true).is_err() {
            return; // The connection is gone already.
        }
        let Some(identity) = tls else {
            return self.http(tcp, peer, shutdown).await;
        };
        match timeout(self.limits.handshake, identity.acceptor().accept(tcp)).await {
            Ok(Ok(stream)) => self.http(stream, peer, shutdown).await,
            Ok(Err(cause)) => debug!(%peer, cause = %cause, "a TLS handshake failed"),
            Err(_) => debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn http<IO>(&self, io: IO, peer: SocketAddr, mut shutdown: Shutdown)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let (unread, limits) = (Unread::default(), &self.limits);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            unread.clear();
            let (octets, time) = (limits.body_bytes, limits.body);
            let request = request
                .map(|incoming| Body::new(CappedBody::new(incoming, octets, time, unread.clone())));
            // A router is always ready, so it needs no `poll_ready` first.
            self.router.clone().call(request)
        });
        let lingering = Lingering { unread: unread.clone(), limit: limits.body, left: None };
        let io = TokioIo::new(Stalling { io, limit: limits.stall, timer: None, lingering });
        let mut connection = pin!(self.http.serve_connection(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.asked() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(cause) = ended {
            debug!(%peer, cause = %cause, "a connection ended early");
        }
    }
}

/// Counts a connection while it lives, whatever ends it.
struct OpenConnection(Gauge);

impl OpenConnection {
    fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Ends a write that makes no progress for `limit`. hyper has no timer for it, and a client that
/// asks and never reads would keep its place among the connections for ever.
struct Stalling<IO> {
    io: IO,
    limit: Duration,
    /// Made only when a write has to wait, which small answers never do.
    timer: Option<Pin<Box<Sleep>>>,
    lingering: Lingering,
}

/// The end of a connection on which a body was left unread. A socket that is closed then is reset, and the
/// reset overtakes the answer (RFC 9112, section 9.6): the client, still sending, would never
/// learn why it was refused. So what it still sends is taken and dropped until it has seen the answer
/// and closes, as long as the body itself might have taken.
struct Lingering {
    unread: Unread,
    limit: Duration,
    /// Since our side was closed: how long more, and how many octets.
    left: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Octets that are dropped: as much as the largest body that a configuration can allow.
const LINGERING_OCTETS: usize = 16 << 20;

impl Lingering {
    fn poll<IO: AsyncRead + Unpin>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let (timer, left) =
            self.left.get_or_insert_with(|| (Box::pin(sleep(limit)), LINGERING_OCTETS));
        let mut octets = [0; 4096];
        while *left > 0 {
            let mut buffer = ReadBuf::new(&mut octets);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *left = left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => {
                    ready!(timer.as_mut().poll(cx));
                    break;
                }
            }
        }
        Poll::Ready(())
    }
}

impl<IO> Stalling<IO> {
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.timer = None;
            return progress;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Stalling<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stalling<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.io).poll_write(cx, octets);
        self.watch(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, progress)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.left.is_none() {
            let progress = Pin::new(&mut this.io).poll_shutdown(cx);
            ready!(this.watch(cx, progress))?;
        }
        if this.lingering.unread.is_set() {
            ready!(this.lingering.poll(&mut this.io, cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
