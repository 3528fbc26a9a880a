//! A proxy in front of the server, as a hostile or merely clumsy one in between would be: it passes
//! everything on, and spoils the next answers as it was told.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::TokioIo;
use pos_protocol::key::{Signature, SigningKey};
use pos_protocol::sign::{self, POS_CONNECT, answer, call};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::BedError;
use crate::line::{Place, Request, Response};
use crate::raw;

/// How the proxy spoils an answer. In every case but `lost` and `refused_by_proxy` the server has
/// done what the call asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgery {
    /// The body says the opposite (`declined` for `done` and the other way round); the signature is
    /// the server's, over what it had said.
    Altered,
    /// The same, signed anew by a key that is not the server's answer key.
    ForeignKey,
    /// A proxy's own 502 page, unsigned, in place of the answer.
    BadGateway,
    /// The server's body without its signature.
    Unsigned,
    /// The server's answer to an earlier call.
    Replayed,
    /// The line is cut in place of the answer.
    Cut,
    /// The call is not passed on, and the line is cut.
    Lost,
    /// The call is not passed on, and a signed-looking refusal (404, by a foreign key) is answered.
    RefusedByProxy,
}

impl Forgery {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Altered,
        Self::ForeignKey,
        Self::BadGateway,
        Self::Unsigned,
        Self::Replayed,
        Self::Cut,
        Self::Lost,
        Self::RefusedByProxy,
    ];

    /// Whether the server never sees the call.
    pub const fn withholds_the_call(self) -> bool {
        matches!(self, Self::Lost | Self::RefusedByProxy)
    }
}

/// The running proxy. Ends when it is dropped.
#[derive(Debug)]
pub struct Forge {
    url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

struct State {
    server: Place,
    planned: Mutex<VecDeque<Forgery>>,
    earlier: Mutex<Option<Response>>,
    foreign: SigningKey,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("planned", &self.planned).finish_non_exhaustive()
    }
}

impl Forge {
    /// Starts a proxy in front of `server`.
    ///
    /// # Errors
    /// [`BedError::System`].
    pub async fn start(server: Place) -> Result<Self, BedError> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = bound.map_err(BedError::system("binding the forging proxy"))?;
        let address = listener.local_addr().map_err(BedError::system("binding the proxy"))?;
        let state = Arc::new(State {
            server,
            planned: Mutex::default(),
            earlier: Mutex::default(),
            foreign: raw::fresh_signing_key(),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Self { url: format!("http://{address}"), state, serving })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Spoils one more answer, after those that are planned already.
    pub fn plan(&self, forgery: Forgery) {
        self.state.planned().push_back(forgery);
    }

    /// Spoils nothing any more.
    pub fn clear(&self) {
        self.state.planned().clear();
    }

    /// How many are still planned.
    pub fn left(&self) -> usize {
        self.state.planned().len()
    }
}

impl Drop for Forge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn planned(&self) -> std::sync::MutexGuard<'_, VecDeque<Forgery>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn earlier(&self) -> std::sync::MutexGuard<'_, Option<Response>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { pass_on(&state, request).await }
        });
        // A line that breaks is what some of the forgeries are for.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The line is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct CutOff;

async fn pass_on(
    state: &State,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, CutOff> {
    // A browser asks first whether it may call. That is no call: nothing of it is spoilt.
    let is_call = request.method() != Method::OPTIONS;
    let forgery = if is_call { state.planned().pop_front() } else { None };
    let call = signature_of(request.headers());
    let answered = if forgery.is_some_and(Forgery::withholds_the_call) {
        refusal()
    } else {
        match state.server.send(&read(request).await?).await {
            Ok(answered) => answered,
            Err(_) => bad_gateway(),
        }
    };
    let told = match forgery {
        None => answered.clone(),
        Some(Forgery::Cut | Forgery::Lost) => return Err(CutOff),
        Some(Forgery::BadGateway) => bad_gateway(),
        Some(Forgery::Altered) => Response { body: opposite(&answered.body), ..answered.clone() },
        Some(Forgery::Unsigned) => unsigned(answered.clone()),
        Some(Forgery::Replayed) => state.earlier().clone().unwrap_or_else(bad_gateway),
        Some(Forgery::ForeignKey) => {
            let body = opposite(&answered.body);
            resigned(Response { body, ..answered.clone() }, call.as_ref(), &state.foreign)
        }
        Some(Forgery::RefusedByProxy) => resigned(answered.clone(), call.as_ref(), &state.foreign),
    };
    if forgery.is_none() && is_call {
        *state.earlier() = Some(answered);
    }
    Ok(written(told))
}

async fn read(request: hyper::Request<Incoming>) -> Result<Request, CutOff> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().filter(|(name, _)| **name != CONTENT_LENGTH);
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let body = body.collect().await.map_err(|_| CutOff)?.to_bytes().to_vec();
    Ok(Request { method: head.method.to_string(), target, headers, body })
}

fn written(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut made = hyper::Response::new(Full::new(Bytes::from(response.body)));
    *made.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in &response.headers {
        if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
            made.headers_mut().append(name.clone(), value.clone());
        }
    }
    made
}

fn bad_gateway() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    Response { status: 502, headers, body: b"<html><h1>502 Bad Gateway</h1></html>".to_vec() }
}

/// What a client would like to believe: nothing happened.
fn refusal() -> Response {
    let body = serde_json::json!({
        "code": "not_found", "message": "There is nothing here.", "message_ja": "",
        "request_id": "req_00000000000000000000000000", "retry": "never",
    });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sign::CONTENT_TYPE));
    Response { status: 404, headers, body: body.to_string().into_bytes() }
}

fn opposite(body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body);
    let (done, declined) = (r#""state":"done""#, r#""state":"declined""#);
    let swapped = if text.contains(done) {
        text.replace(done, declined)
    } else if text.contains(declined) {
        text.replace(declined, done)
    } else {
        text.replacen('{', r#"{"forged":true,"#, 1)
    };
    swapped.into_bytes()
}

fn unsigned(mut response: Response) -> Response {
    for name in [sign::header::SIGNATURE, sign::header::SIGNATURE_INPUT] {
        response.headers.remove(name);
    }
    response
}

/// Signs an answer as the server would, with another key.
fn resigned(mut response: Response, call: Option<&Signature>, key: &SigningKey) -> Response {
    let Some(call) = call else { return response };
    let (status, body, id) = (response.status, &response.body, key.public().id());
    let made = answer::Unsigned::new(&POS_CONNECT, status, body, call, raw::now(), id);
    let signature = key.sign(made.base());
    let signed = made.into_headers(&signature);
    for (name, value) in [
        (sign::header::SIGNATURE_INPUT, signed.signature_input),
        (sign::header::SIGNATURE, signed.signature),
        (sign::header::CONTENT_DIGEST, signed.content_digest),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

fn signature_of(headers: &HeaderMap) -> Option<Signature> {
    let received =
        call::Received::read(|name| headers.get_all(name).iter().map(|value| value.as_bytes()));
    received.well_formed_signature(&POS_CONNECT)
}
