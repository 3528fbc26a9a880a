//! Kept-alive lines to one institution.
//!
//! The task that uses a line also drives it: nothing is handed between tasks for one exchange, and
//! a line that the other side closed while it lay idle shows so before anything is written to it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::DriverSettings;
use crate::connectors::answer::Fault;
use crate::connectors::connector::{Reply, Request};
use crate::connectors::record::Target;
use crate::env::{Network, Socket};

/// The lines to one institution: a bounded number, the most recently used one first, so that those
/// which are not needed grow old and are closed.
#[derive(Debug)]
pub(in crate::connectors) struct Lines {
    target: Target,
    host: HeaderValue,
    idle: Mutex<Vec<Line>>,
    /// Made with the bound at the first use; a bound that is changed later needs a restart.
    places: std::sync::OnceLock<Semaphore>,
}

type Io = TokioIo<Box<dyn Socket>>;

type Connection = Pin<Box<http1::Connection<Io, Full<Bytes>>>>;

/// One HTTP/1.1 connection, driven by whoever holds it.
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    /// None once it has ended: only its drop gives a request back that it had not begun to write.
    connection: Option<Connection>,
    last_used: Instant,
}

impl Lines {
    pub(in crate::connectors) fn new(target: Target) -> Self {
        let host = HeaderValue::from_str(&target.authority)
            .expect("an authority that can be signed is visible ASCII");
        Self { target, host, idle: Mutex::default(), places: std::sync::OnceLock::new() }
    }

    pub(super) fn close_idle(&self, longest: Duration) {
        self.idle().retain(|line| line.last_used.elapsed() < longest);
    }

    /// Sends `request` on a line and reads the whole reply. `permitted` is asked directly before
    /// the write; `begun` becomes true when a byte may have left, and stays so.
    pub(super) async fn send(
        &self,
        network: &dyn Network,
        settings: &DriverSettings,
        request: &Request,
        permitted: impl Fn() -> Result<(), Fault>,
        begun: &mut bool,
    ) -> Result<Reply, Fault> {
        let places = self.places.get_or_init(|| Semaphore::new(settings.lines));
        let waited = timeout(settings.connect, places.acquire()).await;
        let _place = waited.ok().and_then(Result::ok).ok_or(Fault::Busy)?;
        let mut http = self.http_request(request);
        loop {
            // Every round uses up one idle line, and the round without one is the last.
            let kept = self.take_idle(settings.idle);
            let fresh = kept.is_none();
            let mut line = match kept {
                Some(line) => line,
                None => self.connect(network, settings.connect).await?,
            };
            if let Err(fault) = line.ready().await {
                if fresh {
                    return Err(fault);
                }
                continue;
            }
            permitted()?;
            *begun = true;
            match line.exchange(http, settings.answer_octets).await {
                Ok(reply) => {
                    if line.is_reusable() {
                        self.idle().push(line);
                    }
                    return Ok(reply);
                }
                Err(Broken::Unsent(unsent, fault)) => {
                    *begun = false;
                    if fresh {
                        return Err(fault);
                    }
                    http = *unsent;
                }
                Err(Broken::Lost(fault)) => return Err(fault),
            }
        }
    }

    fn http_request(&self, request: &Request) -> hyper::Request<Full<Bytes>> {
        let mut http = hyper::Request::new(Full::new(request.body.clone()));
        *http.method_mut() = request.method.clone();
        *http.uri_mut() =
            request.target.parse().expect("a connector writes an absolute path of visible ASCII");
        *http.headers_mut() = request.headers.clone();
        http.headers_mut().insert(HOST, self.host.clone());
        http
    }

    fn take_idle(&self, longest: Duration) -> Option<Line> {
        let mut idle = self.idle();
        let line = idle.pop()?;
        if line.last_used.elapsed() < longest {
            return Some(line);
        }
        idle.clear(); // The rest is older still.
        None
    }

    async fn connect(&self, network: &dyn Network, longest: Duration) -> Result<Line, Fault> {
        let connecting = async {
            let socket = network.connect(&self.target.host, self.target.port).await?;
            Ok(match &self.target.tls {
                None => socket,
                Some(tls) => {
                    let connector = TlsConnector::from(Arc::clone(&tls.config));
                    Box::new(connector.connect(tls.name.clone(), socket).await?)
                }
            })
        };
        let socket = timeout(longest, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|cause| Fault::Connect(Arc::new(cause)))?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(socket)).await.map_err(line_fault)?;
        Ok(Line { sender, connection: Some(Box::pin(connection)), last_used: Instant::now() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an exchange broke.
enum Broken {
    /// The request is back, untouched.
    Unsent(Box<hyper::Request<Full<Bytes>>>, Fault),
    /// It may have left.
    Lost(Fault),
}

impl Line {
    /// Waits until the line takes a request, and finds out if it was closed meanwhile.
    async fn ready(&mut self) -> Result<(), Fault> {
        let Self { sender, connection, .. } = self;
        poll_fn(|cx| {
            drive(connection, cx);
            sender.poll_ready(cx)
        })
        .await
        .map_err(line_fault)
    }

    async fn exchange(
        &mut self,
        http: hyper::Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Reply, Broken> {
        let Self { sender, connection, last_used } = self;
        let answering = async {
            let answer = match sender.try_send_request(http).await {
                Ok(answer) => answer,
                Err(mut error) => {
                    return Err(match error.take_message() {
                        Some(unsent) => {
                            Broken::Unsent(Box::new(unsent), line_fault(error.into_error()))
                        }
                        None => Broken::Lost(line_fault(error.into_error())),
                    });
                }
            };
            let (head, body) = answer.into_parts();
            let body = whole(body, most).await.map_err(Broken::Lost)?;
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
        };
        let mut answering = Box::pin(answering);
        let reply = poll_fn(|cx| {
            drive(connection, cx);
            answering.as_mut().poll(cx)
        })
        .await;
        drop(answering);
        *last_used = Instant::now();
        reply
    }

    /// Whether the line takes another request. hyper learns that the exchange is over, and whether
    /// the other side closes, only when the connection is driven once more.
    fn is_reusable(&mut self) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        drive(&mut self.connection, &mut cx);
        self.connection.is_some() && self.sender.is_ready()
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("open", &self.connection.is_some()).finish_non_exhaustive()
    }
}

/// Drives a connection as far as it goes. What went wrong with it shows at the sender.
fn drive(connection: &mut Option<Connection>, cx: &mut std::task::Context<'_>) {
    if connection.as_mut().is_some_and(|running| running.as_mut().poll(cx).is_ready()) {
        *connection = None;
    }
}

/// Reads a body of at most `most` octets.
async fn whole(mut body: Incoming, most: usize) -> Result<Bytes, Fault> {
    let too_large = Fault::TooLarge { most };
    if usize::try_from(body.size_hint().lower()).is_ok_and(|announced| announced > most) {
        return Err(too_large);
    }
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(octets) = frame.map_err(line_fault)?.into_data() else { continue };
        // Answers come in one piece as a rule, and that piece is not copied.
        if first.is_empty() && all.is_empty() {
            first = octets;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&octets);
        }
        if first.len().max(all.len()) > most {
            return Err(too_large);
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}

fn line_fault(cause: hyper::Error) -> Fault {
    Fault::Line(Arc::new(cause))
}
