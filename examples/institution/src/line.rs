//! The accept loop of an institution, with lines that can go wrong below HTTP.
//!
//! The server's own listener keeps every line in order, as it must. Here an answer may be written
//! twice, replaced by octets that are no HTTP, or never come, so the socket itself is wrapped.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pos_server::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Lines that may be open at once.
const LINES: usize = 4096;

/// Longest TLS handshake, and longest end of calls under way when the service stops.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest silence between two calls; operators close their idle lines sooner.
const IDLE: Duration = Duration::from_secs(120);

/// What happens to an answer on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLine {
    /// It is written.
    Written,
    /// It is written twice.
    Twice,
    /// Other octets are written in its place.
    Garbage,
    /// Nothing is written, and the line stays open.
    Silent,
    /// Nothing is written, and the line is cut.
    Cut,
}

/// An answer and its fate.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The answer.
    pub response: Response<Full<Bytes>>,
    /// What becomes of it.
    pub on_line: OnLine,
}

/// What answers calls.
pub(crate) trait Service: Send + Sync + 'static {
    /// Answers one call.
    fn answer(
        self: &Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> impl Future<Output = Answered> + Send;
}

/// Serves until the shutdown is asked for, then lets calls under way finish for a few seconds.
pub(crate) async fn serve<S: Service>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Arc<S>,
    mut shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(LINES));
    let mut lines = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = shutdown.asked() => break,
            next = next => next,
        };
        while lines.try_join_next().is_some() {}
        let Ok((tcp, _)) = accepted else {
            sleep(Duration::from_millis(100)).await; // No free file descriptor: give it time.
            continue;
        };
        let (tls, service, shutdown) = (tls.clone(), Arc::clone(&service), shutdown.clone());
        lines.spawn(async move {
            line(tcp, tls, service, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while lines.join_next().await.is_some() {} };
    let _ = timeout(PATIENCE, ended).await; // What is left is cut.
    lines.shutdown().await;
}

async fn line<S: Service>(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    service: Arc<S>,
    shutdown: Shutdown,
) {
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => http(tcp, service, shutdown).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(tcp)).await {
                http(stream, service, shutdown).await;
            }
        }
    }
}

async fn http<IO, S>(io: IO, service: Arc<S>, mut shutdown: Shutdown)
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    let fate = Arc::new(AtomicU8::new(WRITTEN));
    let io = TokioIo::new(FaultyIo { io, fate: Arc::clone(&fate), again: Vec::new(), at: 0 });
    let asked = shutdown.clone();
    let service = service_fn(|request| {
        let (service, fate, asked) = (Arc::clone(&service), Arc::clone(&fate), asked.clone());
        async move { answer(&service, request, &fate, asked).await }
    });
    let mut connection = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .serve_connection(io, service),
    );
    tokio::select! {
        _ended = connection.as_mut() => {}
        () = shutdown.asked() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
}

async fn answer<S: Service>(
    service: &Arc<S>,
    request: hyper::Request<Incoming>,
    fate: &AtomicU8,
    mut shutdown: Shutdown,
) -> io::Result<Response<Full<Bytes>>> {
    // On a task of its own: what has arrived is taken in, also when its caller hangs up.
    let service = Arc::clone(service);
    let answering = tokio::spawn(async move { service.answer(request).await });
    let Answered { response, on_line } = answering.await.map_err(io::Error::other)?;
    match on_line {
        OnLine::Written => {}
        OnLine::Twice => fate.store(TWICE, Ordering::Relaxed),
        OnLine::Garbage => fate.store(GARBAGE, Ordering::Relaxed),
        OnLine::Cut => return Err(io::Error::other("cut on purpose")),
        OnLine::Silent => {
            // hyper drops this future when the caller hangs up.
            tokio::select! {
                never = pending::<Infallible>() => match never {},
                () = shutdown.asked() => return Err(io::Error::other("silent to the end")),
            }
        }
    }
    Ok(response)
}

const WRITTEN: u8 = 0;
const TWICE: u8 = 1;
const GARBAGE: u8 = 2;

/// What is written in the place of an answer.
const RUBBISH: &[u8] = b"\x16\x00\xff\xfenot http at all\r\n\r\n{\"state\":\"done\"}";

/// A socket whose next answer may be written twice or replaced.
struct FaultyIo<IO> {
    io: IO,
    fate: Arc<AtomicU8>,
    /// What is still to be written at the next flush, from `at` on.
    again: Vec<u8>,
    at: usize,
}

impl<IO: AsyncRead + Unpin> AsyncRead for FaultyIo<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for FaultyIo<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.fate.load(Ordering::Relaxed) {
            GARBAGE => {
                if self.again.is_empty() {
                    self.again.extend_from_slice(RUBBISH);
                }
                Poll::Ready(Ok(octets.len()))
            }
            TWICE => {
                let written = ready!(Pin::new(&mut self.io).poll_write(cx, octets))?;
                let octets = octets.get(..written).unwrap_or_default();
                self.again.extend_from_slice(octets);
                Poll::Ready(Ok(written))
            }
            _ => Pin::new(&mut self.io).poll_write(cx, octets),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while let Some(rest) = this.again.get(this.at..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut this.io).poll_write(cx, rest))?;
            this.at = this.at.saturating_add(written);
        }
        if !this.again.is_empty() {
            this.again.clear();
            this.at = 0;
            this.fate.store(WRITTEN, Ordering::Relaxed);
        }
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
