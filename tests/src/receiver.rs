//! What shops have at the other end of notices: a receiver of webhooks that speaks TLS, and a mail
//! server (aiosmtpd) that keeps what it takes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::LOCATION;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::NamedTempFile;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::error::BedError;
use crate::process::free_ports;
use crate::tls::{Certificates, server_config};
use crate::wait;

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Path and query.
    pub path: String,
    /// Its head.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Arrived {
    /// The value of a header field.
    ///
    /// # Panics
    /// When there is none, or not exactly one.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let only = values.next().and_then(|value| value.to_str().ok());
        assert!(values.next().is_none(), "{name} is there twice");
        only.unwrap_or_else(|| panic!("{name} is missing"))
    }
}

#[derive(Debug, Default)]
struct State {
    arrived: Vec<Arrived>,
    answers: VecDeque<u16>,
}

/// A receiver of webhooks on `localhost`.
#[derive(Debug)]
pub struct Receiver {
    port: u16,
    certificates: Certificates,
    ca: NamedTempFile,
    state: Arc<Mutex<State>>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Receiver {
    /// One that listens and takes everything.
    ///
    /// # Errors
    /// [`BedError`] when there is no port or no certificate.
    pub async fn start() -> Result<Self, BedError> {
        let [port] = free_ports()?;
        let certificates = Certificates::new()?;
        let mut ca = NamedTempFile::new().map_err(BedError::system("making a file"))?;
        ca.write_all(certificates.ca_pem.as_bytes()).map_err(BedError::system("writing a CA"))?;
        let receiver =
            Self { port, certificates, ca, state: Arc::default(), serving: Mutex::default() };
        receiver.listen().await?;
        Ok(receiver)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/hook?of=shop", self.port)
    }

    /// The settings of a server that may call it. The CA's file lasts as long as this.
    pub fn settings(&self) -> String {
        let (port, ca) = (self.port, self.ca.path().display());
        format!("[webhooks]\nca = \"{ca}\"\nalso_allow = [\"localhost:{port}\"]\n")
    }

    /// What arrived about a shop, once it is so many.
    ///
    /// # Errors
    /// [`BedError::Unknown`] when fewer came in time.
    pub async fn of_shop(&self, shop_id: &str, count: usize) -> Result<Vec<Arrived>, BedError> {
        let found = wait::within(wait::LIMIT, async || {
            let mut arrived = self.arrived();
            arrived.retain(|one| one.body.contains(&format!("\"shop_id\":\"{shop_id}\"")));
            (arrived.len() >= count).then_some(arrived)
        });
        found.await.ok_or_else(|| BedError::Unknown(format!("{count} webhooks of {shop_id}")))
    }

    /// What it answers to the next webhooks instead of 204, in this order.
    pub fn answer(&self, statuses: &[u16]) {
        self.state().answers.extend(statuses);
    }

    /// Everything that arrived so far.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.state().arrived.clone()
    }

    /// Waits until so many have arrived.
    pub async fn until(&self, count: usize) -> Vec<Arrived> {
        wait::until(&format!("{count} webhooks have arrived"), async || {
            let arrived = self.arrived();
            (arrived.len() >= count).then_some(arrived)
        })
        .await
    }

    /// Is not there any more: connections are refused.
    pub async fn stop(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
            // It has let its port go once it has ended.
            let _ = serving.await;
        }
    }

    /// Is there again, on the same port.
    ///
    /// # Errors
    /// [`BedError`] when the port is taken.
    pub async fn listen(&self) -> Result<(), BedError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await;
        let listener = listener.map_err(BedError::system("listening for webhooks"))?;
        let Certificates { certificate_pem, key_pem, .. } = &self.certificates;
        let tls = server_config(certificate_pem, key_pem).map_err(BedError::Unknown)?;
        let (acceptor, state) = (TlsAcceptor::from(tls), Arc::clone(&self.state));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&state)));
            }
        });
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, state: Arc<Mutex<State>>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| take(request, Arc::clone(&state)));
    // A caller that hangs up is none of the receiver's business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn take(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.arrived.push(Arrived {
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let status = state.answers.pop_front().unwrap_or(204);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    if answer.status().is_redirection() {
        let to = "/elsewhere".parse().expect("a path is a header's value");
        answer.headers_mut().insert(LOCATION, to);
    }
    Ok(answer)
}

/// How the line to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first octet.
    Implicit,
    /// TLS after a command, and no mail without it.
    Starttls,
}

/// A mail server that keeps what it takes.
#[derive(Debug)]
pub struct MailServer {
    port: u16,
    protection: Protection,
    ca: PathBuf,
    mailbox: PathBuf,
    _child: Child,
}

impl MailServer {
    /// Starts it, with its files in this folder.
    ///
    /// # Errors
    /// [`BedError`] when it does not come up: install Debian's `python3-aiosmtpd`.
    pub async fn start(folder: &Path, protection: Protection) -> Result<Self, BedError> {
        let [port] = free_ports()?;
        let Certificates { ca_pem, certificate_pem, key_pem } = Certificates::new()?;
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(BedError::system("writing a file"))?;
            Ok::<_, BedError>(path)
        };
        let ca = write("mail-ca.pem", &ca_pem)?;
        let certificate = write("mail.pem", &certificate_pem)?;
        let key = write("mail.key", &key_pem)?;
        let mailbox = folder.join("mailbox");
        let option = match protection {
            Protection::Implicit => "smtps",
            Protection::Starttls => "tls",
        };
        let child = Command::new("aiosmtpd")
            .args(["--nosetuid", "--listen", &format!("127.0.0.1:{port}")])
            .arg(format!("--{option}cert"))
            .arg(certificate)
            .arg(format!("--{option}key"))
            .arg(key)
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(&mailbox)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(BedError::system("starting aiosmtpd (Debian's python3-aiosmtpd)"))?;
        let up = wait::within(Duration::from_secs(30), async || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()
        });
        up.await.ok_or_else(|| BedError::Unknown("mail server: it does not come up".into()))?;
        Ok(Self { port, protection, ca, mailbox, _child: child })
    }

    /// The settings of a server that hands its mail in there.
    pub fn settings(&self) -> String {
        let (port, ca) = (self.port, self.ca.display());
        let tls = match self.protection {
            Protection::Implicit => "implicit",
            Protection::Starttls => "starttls",
        };
        format!(
            "[mail]\nserver = \"localhost:{port}\"\ntls = \"{tls}\"\nca = \"{ca}\"\n\
             from = \"Example POS <pos@operator.example>\"\n"
        )
    }

    /// Every mail that it took so far, as it lies in the mailbox (RFC 5322), in no order.
    pub fn mails(&self) -> Vec<String> {
        let files = fs::read_dir(self.mailbox.join("new")).into_iter().flatten().flatten();
        files.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
    }

    /// Waits until it has taken so many.
    pub async fn until(&self, count: usize) -> Vec<String> {
        wait::until(&format!("{count} mails have arrived"), async || {
            let mails = self.mails();
            (mails.len() >= count).then_some(mails)
        })
        .await
    }
}
