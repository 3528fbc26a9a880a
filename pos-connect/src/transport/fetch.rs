//! Sending by the browser's `fetch`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use super::timer::Timer;
use super::{MAX_ANSWER, SendFailure};
use crate::config::{Config, ConfigError};
use crate::exchange::{Header, Request, Response};

// The few names of the Fetch standard that are used; a crate that has all of them is not needed.
#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn fetch(url: &str, init: &Object) -> Promise;

    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);

    #[wasm_bindgen(js_name = Response)]
    type Answer;
    #[wasm_bindgen(method, getter)]
    fn status(this: &Answer) -> u16;
    #[wasm_bindgen(method, getter)]
    fn headers(this: &Answer) -> AnswerHeaders;
    #[wasm_bindgen(method, getter)]
    fn body(this: &Answer) -> Option<Stream>;

    #[wasm_bindgen(js_name = Headers)]
    type AnswerHeaders;
    #[wasm_bindgen(method)]
    fn get(this: &AnswerHeaders, name: &str) -> Option<String>;

    #[wasm_bindgen(js_name = ReadableStream)]
    type Stream;
    #[wasm_bindgen(method, js_name = getReader)]
    fn reader(this: &Stream) -> Reader;

    #[wasm_bindgen(js_name = ReadableStreamDefaultReader)]
    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader) -> Promise;

    #[wasm_bindgen(js_name = Object)]
    type Piece;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Piece) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Piece) -> Uint8Array;
}

/// What the browser says of a failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct JsFailure(String);

impl From<JsValue> for JsFailure {
    fn from(thrown: JsValue) -> Self {
        let text = Reflect::get(&thrown, &JsValue::from_str("message"));
        Self(text.ok().and_then(|text| text.as_string()).unwrap_or_default())
    }
}

/// The address of one server; the browser keeps the connections.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    origin: Rc<str>,
}

impl Sender {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self { origin: config.origin.as_str().into() })
    }

    pub(crate) async fn send(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Response, SendFailure> {
        let abort = Aborting::after(timeout);
        let url = format!("{}{}", self.origin, request.target);
        let init = init(request, &abort.controller).map_err(broken)?;
        let sent = async {
            let answer = JsFuture::from(fetch(&url, &init)).await.map_err(unanswered)?;
            read(&answer.unchecked_into()).await
        };
        let sent = sent.await;
        abort.is_over.set(sent.is_ok());
        sent.map_err(|failure| match failure {
            SendFailure::Broken(_) if abort.timed_out.get() => SendFailure::Timeout,
            other => other,
        })
    }
}

/// Ends the request when time is over or nobody waits for it any more.
struct Aborting {
    controller: Rc<AbortController>,
    timed_out: Rc<Cell<bool>>,
    /// Whether all has come: the exception that tells of an end is not for nothing.
    is_over: Cell<bool>,
    _timer: Timer,
}

impl Aborting {
    fn after(timeout: Duration) -> Self {
        let controller = Rc::new(AbortController::new());
        let timed_out = Rc::new(Cell::new(false));
        let (told, aborted) = (Rc::clone(&timed_out), Rc::clone(&controller));
        let timer = Timer::new(timeout, move || {
            told.set(true);
            aborted.abort();
        });
        Self { controller, timed_out, is_over: Cell::default(), _timer: timer }
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        if !self.is_over.get() {
            self.controller.abort();
        }
    }
}

fn init(request: &Request, abort: &AbortController) -> Result<Object, JsValue> {
    let headers = Object::new();
    for (name, value) in &request.headers {
        set(&headers, name, &value.into())?;
    }
    let init = Object::new();
    let fixed = [
        ("method", request.method),
        ("cache", "no-store"),
        ("credentials", "omit"),
        ("redirect", "error"),
        ("referrerPolicy", "no-referrer"),
    ];
    for (name, value) in fixed {
        set(&init, name, &value.into())?;
    }
    set(&init, "headers", &headers)?;
    set(&init, "signal", &abort.signal())?;
    if !request.body.is_empty() {
        set(&init, "body", &Uint8Array::from(&*request.body))?;
    }
    Ok(init)
}

fn set(object: &Object, name: &str, value: &JsValue) -> Result<(), JsValue> {
    Reflect::set(object, &name.into(), value).map(drop)
}

async fn read(answer: &Answer) -> Result<Response, SendFailure> {
    let fields = answer.headers();
    let mut headers = Vec::new();
    for header in Header::ALL {
        // The browser joins doubled fields with a comma, which no value of ours survives.
        if let Some(value) = fields.get(header.name()) {
            headers.push((header, value.into_bytes()));
        }
    }
    let mut body = Vec::new();
    if let Some(stream) = answer.body() {
        let reader = stream.reader();
        loop {
            let piece = JsFuture::from(reader.read()).await.map_err(broken)?;
            let piece: Piece = piece.unchecked_into();
            if piece.done() {
                break;
            }
            let octets = piece.value();
            let length = usize::try_from(octets.length()).unwrap_or(usize::MAX);
            if body.len().saturating_add(length) > MAX_ANSWER {
                return Err(SendFailure::TooLarge);
            }
            body.extend(octets.to_vec());
        }
    }
    Ok(Response { status: answer.status(), headers, body })
}

fn broken(thrown: JsValue) -> SendFailure {
    SendFailure::Broken(thrown.into())
}

/// Node tells by `cause.code` that nobody listens at the address; a browser tells nothing.
fn unanswered(thrown: JsValue) -> SendFailure {
    let code = Reflect::get(&thrown, &"cause".into())
        .and_then(|cause| Reflect::get(&cause, &"code".into()))
        .ok()
        .and_then(|code| code.as_string());
    match code.as_deref() {
        Some("ECONNREFUSED") => SendFailure::Connect(thrown.into()),
        _ => broken(thrown),
    }
}
