//! Sending by hyper over rustls with ring.

use std::error::Error;
use std::fmt::{self, Display};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Uri;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{self, Client};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::ring;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::{Lower, MAX_ANSWER, SendFailure};
use crate::config::{Config, ConfigError};
use crate::env::Task;
use crate::exchange::{Header, Request, Response};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How often the system asks whether a silent connection is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Senders that connections of the same settings share: for a host that opens a connection for each of its pages,
/// and would read the system's certificates and shake hands with the server each time. They are good for the process
/// that made them: a child that was forked makes others.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<Vec<Sender>>>);

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's address may hold a password.
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}

/// Carries messages in place of this crate's own sockets: for a host that has an HTTP stack, and for a
/// simulation that has none. What it brings is proved by its signature like everything else.
pub trait Carrier: Send + Sync {
    /// Brings a request to the server and its whole answer back. No longer than it is waited for: it is
    /// dropped then.
    ///
    /// # Errors
    /// There is no answer; the request may have arrived all the same.
    fn carry(
        &self,
        request: hyper::Request<Bytes>,
    ) -> Task<'_, Result<hyper::Response<Bytes>, Box<dyn Error + Send + Sync>>>;
}

/// Of how many settings senders are kept: more than one program has.
const KEPT: usize = 16;

impl Sockets {
    pub(crate) fn sender(&self, config: &Config) -> Result<Sender, ConfigError> {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = Settings::of(config);
        let found =
            |kept: &[Sender]| kept.iter().find(|sender| *sender.settings == settings).cloned();
        if let Some(sender) = found(&kept()) {
            return Ok(sender);
        }
        let sender = Sender::new(config)?;
        let mut kept = kept();
        // Another thread may have been faster.
        if let Some(sender) = found(&kept) {
            return Ok(sender);
        }
        // Who uses the oldest has it still.
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(sender.clone());
        Ok(sender)
    }
}

/// What a sender is made of.
#[derive(PartialEq, Eq)]
struct Settings {
    origin: String,
    ca_pem: Option<String>,
    proxy: Option<String>,
    connect_timeout: Duration,
    user_agent: String,
}

impl Settings {
    fn of(config: &Config) -> Self {
        let Config { origin, ca_pem, proxy, connect_timeout, user_agent, .. } = config.clone();
        Self { origin, ca_pem, proxy, connect_timeout, user_agent }
    }
}

/// What brings messages to one server.
#[derive(Clone)]
pub(crate) struct Sender {
    means: Means,
    settings: Arc<Settings>,
    user_agent: HeaderValue,
}

#[derive(Clone)]
enum Means {
    /// A pool of connections.
    Sockets(Box<Client<Dial, Full<Bytes>>>),
    Carrier(Arc<dyn Carrier>),
}

impl Sender {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls(config.ca_pem.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Way::new(config.proxy.as_deref())?);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(Dial { https, patience: config.connect_timeout });
        Self::by(Means::Sockets(Box::new(client)), config)
    }

    pub(crate) fn carried(carrier: Arc<dyn Carrier>, config: &Config) -> Result<Self, ConfigError> {
        Self::by(Means::Carrier(carrier), config)
    }

    fn by(means: Means, config: &Config) -> Result<Self, ConfigError> {
        let user_agent =
            HeaderValue::from_str(&config.user_agent).map_err(|_| ConfigError::UserAgent)?;
        Ok(Self { means, settings: Arc::new(Settings::of(config)), user_agent })
    }

    pub(crate) async fn send(
        &self,
        request: &Request,
        patience: Duration,
    ) -> Result<Response, SendFailure> {
        let answer = async {
            let message = self.message(request)?;
            match &self.means {
                Means::Sockets(client) => read(client.request(message.map(Full::new)).await).await,
                Means::Carrier(carrier) => match carrier.carry(message).await {
                    Ok(answer) => read_body(answer.map(Full::new)).await,
                    Err(cause) => Err(SendFailure::Broken(cause)),
                },
            }
        };
        timeout(patience, answer).await.unwrap_or(Err(SendFailure::Timeout))
    }

    fn message(&self, request: &Request) -> Result<hyper::Request<Bytes>, SendFailure> {
        let mut message = hyper::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.settings.origin, request.target))
            .header(header::ACCEPT, "*/*")
            .header(header::USER_AGENT, &self.user_agent);
        for (name, value) in &request.headers {
            message = message.header(*name, value);
        }
        let body = Bytes::from(request.body.to_vec());
        // What could not be made was not sent.
        message.body(body).map_err(|cause| SendFailure::Connect(cause.into()))
    }
}

async fn read(
    answer: Result<hyper::Response<Incoming>, legacy::Error>,
) -> Result<Response, SendFailure> {
    read_body(answer.map_err(failure)?).await
}

async fn read_body<B>(answer: hyper::Response<B>) -> Result<Response, SendFailure>
where
    B: Body<Data = Bytes> + Unpin,
    Lower: From<B::Error>,
{
    let status = answer.status().as_u16();
    let mut headers = Vec::new();
    for header in Header::ALL {
        let values = answer.headers().get_all(header.name());
        headers.extend(values.iter().map(|value| (header, value.as_bytes().to_vec())));
    }
    let mut answer = answer.into_body();
    let mut body = Vec::new();
    while let Some(frame) = answer.frame().await {
        let frame = frame.map_err(|cause| SendFailure::Broken(cause.into()))?;
        // Trailers say nothing that is signed.
        let piece = frame.into_data().unwrap_or_default();
        if body.len().saturating_add(piece.len()) > MAX_ANSWER {
            return Err(SendFailure::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response { status, headers, body })
}

/// Makes connections, each with TCP, the proxy's consent and TLS in one time.
#[derive(Clone, Debug)]
struct Dial {
    https: HttpsConnector<Way>,
    patience: Duration,
}

impl Service<Uri> for Dial {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = Lower;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lower>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let (connecting, patience) = (self.https.call(server), self.patience);
        Box::pin(async move {
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            timeout(patience, connecting).await.map_err(late)?
        })
    }
}

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Lower>> + Send>>;

/// How TCP gets to the server.
#[derive(Clone, Debug)]
enum Way {
    Straight(HttpConnector),
    Proxy(Tunnel<HttpConnector>),
}

impl Way {
    fn new(proxy: Option<&str>) -> Result<Self, ConfigError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEP_ALIVE));
        tcp.set_keepalive_interval(Some(KEEP_ALIVE));
        tcp.set_keepalive_retries(Some(3));
        let Some(url) = proxy else { return Ok(Self::Straight(tcp)) };
        let proxy = Matcher::builder().all(url).build();
        let proxy = proxy.intercept(&Uri::from_static("https://server"));
        let is_http = |scheme: Option<&str>| scheme == Some("http");
        let Some(proxy) = proxy.filter(|proxy| is_http(proxy.uri().scheme_str())) else {
            return Err(ConfigError::Proxy);
        };
        let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        Ok(Self::Proxy(match proxy.basic_auth() {
            Some(secret) => tunnel.with_auth(secret.clone()),
            None => tunnel,
        }))
    }
}

impl Service<Uri> for Way {
    type Response = TokioIo<TcpStream>;
    type Error = Lower;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lower>> {
        match self {
            Self::Straight(tcp) => tcp.poll_ready(context).map_err(Into::into),
            Self::Proxy(tunnel) => tunnel.poll_ready(context).map_err(Into::into),
        }
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        match self {
            Self::Straight(tcp) => {
                let connecting = tcp.call(server);
                Box::pin(async { Ok(connecting.await?) })
            }
            Self::Proxy(tunnel) => {
                let connecting = tunnel.call(server);
                Box::pin(async { Ok(connecting.await?) })
            }
        }
    }
}

/// TLS 1.3 with ring, chosen here so that nothing is installed for the whole process.
fn tls(ca_pem: Option<&str>) -> Result<ClientConfig, ConfigError> {
    let provider = CryptoProvider {
        cipher_suites: vec![TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256],
        key_provider: &NoKeys,
        ..ring::default_provider()
    };
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|cause| unusable(&cause))?
        .with_root_certificates(match ca_pem {
            Some(pem) => given_roots(pem)?,
            None => roots_of_the_system()?,
        })
        .with_no_client_auth())
}

fn given_roots(pem: &str) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|cause| unusable(&cause))?;
        roots.add(certificate).map_err(|cause| unusable(&cause))?;
    }
    if roots.is_empty() { Err(unusable(&"the PEM text holds none")) } else { Ok(roots) }
}

/// One that cannot be read is left out, as every program does with the system's.
fn roots_of_the_system() -> Result<RootCertStore, ConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match found.errors.first() {
        _ if !roots.is_empty() => Ok(roots),
        Some(cause) => Err(unusable(cause)),
        None => Err(unusable(&"the system has none")),
    }
}

fn unusable(cause: &dyn Display) -> ConfigError {
    ConfigError::Certificates { reason: cause.to_string() }
}

/// The module proves itself by its signatures, never by a certificate: it has no keys for TLS.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("the module has no key for TLS".to_owned()))
    }
}

fn failure(cause: legacy::Error) -> SendFailure {
    if !cause.is_connect() {
        return SendFailure::Broken(cause.into());
    }
    match tls_below(&cause) {
        // TLS itself refused the server.
        Some(rustls::Error::InvalidCertificate(_)) => SendFailure::Untrusted(cause.into()),
        _ => SendFailure::Connect(cause.into()),
    }
}

/// The error of TLS in a chain. An I/O error tells of what it wraps by another way than as its
/// source, and several may lie within each other.
fn tls_below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error
        .downcast_ref::<rustls::Error>()
        .or_else(|| wrapped.and_then(|wrapped| tls_below(wrapped)))
        .or_else(|| error.source().and_then(tls_below))
}
