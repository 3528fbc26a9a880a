//! A bare HTTP/1.1 client: it sends the octets it is given, neither tidies addresses nor follows,
//! repeats or verifies anything. What a shop would use is `pos-connect`.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::BedError;

/// Longer than any signed call lives.
const LIMIT: Duration = Duration::from_secs(70);

/// A request as it goes on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` or whatever a test wants.
    pub method: String,
    /// Path and query as in the request line.
    pub target: String,
    /// Every header field but `Host` and `Content-Length`, in order; a name may occur twice.
    pub headers: Vec<(String, String)>,
    /// The body's octets.
    pub body: Vec<u8>,
}

impl Request {
    /// A GET without headers.
    pub fn get(target: impl Into<String>) -> Self {
        let (method, target) = ("GET".into(), target.into());
        Self { method, target, headers: Vec::new(), body: Vec::new() }
    }

    /// A POST of JSON.
    pub fn post(target: impl Into<String>, body: &Value) -> Self {
        Self {
            method: "POST".into(),
            target: target.into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.to_string().into_bytes(),
        }
    }

    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Gives the field this one value instead of all that it has.
    pub fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.remove_header(name);
        self.headers.push((name.into(), value.into()));
    }

    /// Removes every field of this name.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| known != name);
    }
}

/// An answer as it came from the line.
#[derive(Clone, Debug)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The body's octets.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// Where to call: `http://127.0.0.1:80`, or `https://…` with the CA to believe.
#[derive(Clone)]
pub struct Place {
    url: String,
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Place {
    /// Reads an address without path; `ca_pem` is for `https`.
    ///
    /// # Errors
    /// [`BedError::Line`] for another scheme, or a CA that cannot be read.
    pub fn new(url: &str, ca_pem: &str) -> Result<Self, BedError> {
        let refuse = |cause: String| BedError::Line { url: url.into(), cause };
        let (address, tls) = match url.split_once("://") {
            Some(("http", address)) => (address, None),
            Some(("https", address)) => {
                (address, Some(crate::tls::client_config(ca_pem).map_err(refuse)?))
            }
            _ => return Err(refuse("is neither http nor https".into())),
        };
        Ok(Self { url: url.into(), address: address.into(), tls })
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`BedError::Line`].
    pub async fn connect(&self) -> Result<Line, BedError> {
        match timeout(LIMIT, self.try_connect()).await {
            Ok(Ok(sender)) => {
                Ok(Line { sender, url: self.url.clone(), host: self.address.clone() })
            }
            Ok(Err(cause)) => Err(BedError::Line { url: self.url.clone(), cause }),
            Err(_) => Err(BedError::Line { url: self.url.clone(), cause: "no line".into() }),
        }
    }

    /// One call on a connection of its own.
    ///
    /// # Errors
    /// [`BedError::Line`].
    pub async fn send(&self, request: &Request) -> Result<Response, BedError> {
        self.connect().await?.send(request).await
    }

    /// A call of a control address: JSON there and back.
    ///
    /// # Errors
    /// [`BedError::Line`], [`BedError::Refused`] for another status than 2xx.
    pub async fn json(&self, request: &Request) -> Result<Value, BedError> {
        let response = self.send(request).await?;
        let (status, body) = (response.status, response.json());
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(BedError::Refused { url: format!("{}{}", self.url, request.target), status, body })
    }

    async fn try_connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(&self.address).await.map_err(|cause| cause.to_string())?;
        stream.set_nodelay(true).map_err(|cause| cause.to_string())?;
        let Some(tls) = &self.tls else { return handshake(stream).await };
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        let name = ServerName::try_from(host.to_owned()).map_err(|cause| cause.to_string())?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
        handshake(stream.map_err(|cause| cause.to_string())?).await
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|cause| cause.to_string())?;
    // Ends with the sender; what breaks shows in the answer.
    tokio::spawn(connection);
    Ok(sender)
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.url).finish()
    }
}

/// A kept-alive connection.
#[derive(Debug)]
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    url: String,
    host: String,
}

impl Line {
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`BedError::Line`]; the connection is of no more use then.
    pub async fn send(&mut self, request: &Request) -> Result<Response, BedError> {
        let sent = match timeout(LIMIT, self.try_send(request)).await {
            Ok(sent) => sent,
            Err(_) => Err("no answer".into()),
        };
        let url = || format!("{}{}", self.url, request.target);
        sent.map_err(|cause| BedError::Line { url: url(), cause })
    }

    async fn try_send(&mut self, request: &Request) -> Result<Response, String> {
        let request = as_hyper(request, &self.host)?;
        self.sender.ready().await.map_err(|cause| cause.to_string())?;
        let sent = self.sender.send_request(request).await;
        let (head, body) = sent.map_err(|cause| cause.to_string())?.into_parts();
        let body = body.collect().await.map_err(|cause| cause.to_string())?.to_bytes().to_vec();
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }
}

fn as_hyper(request: &Request, host: &str) -> Result<hyper::Request<Full<Bytes>>, String> {
    let mut made = hyper::Request::new(Full::new(Bytes::from(request.body.clone())));
    let method = Method::from_bytes(request.method.as_bytes());
    *made.method_mut() = method.map_err(|cause| cause.to_string())?;
    *made.uri_mut() = request.target.parse::<Uri>().map_err(|cause| cause.to_string())?;
    for (name, value) in &request.headers {
        let name = name.parse::<HeaderName>().map_err(|cause| cause.to_string())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|cause| cause.to_string())?;
        made.headers_mut().append(name, value);
    }
    if !made.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(host).map_err(|cause| cause.to_string())?;
        made.headers_mut().insert(HOST, host);
    }
    Ok(made)
}
