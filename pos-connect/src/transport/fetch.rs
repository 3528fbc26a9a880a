//! Sending by the browser's `fetch`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Promise, Reflect, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, ReferrerPolicy, RequestCache,
    RequestCredentials, RequestInit, RequestRedirect,
};

use super::timer::Timer;
use super::{MAX_ANSWER, SendFailure};
use crate::config::{Config, ConfigError};
use crate::exchange::{Header, Request, Response};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn fetch(url: &str, init: &RequestInit) -> Promise;
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
        let abort = Aborting::after(timeout).map_err(broken)?;
        let url = format!("{}{}", self.origin, request.target);
        let init = init(request, &abort.controller).map_err(broken)?;
        let sent = async {
            let answer = JsFuture::from(fetch(&url, &init)).await.map_err(broken)?;
            read(answer.dyn_into().map_err(broken)?).await
        };
        sent.await.map_err(|failure| match failure {
            SendFailure::Broken(_) if abort.timed_out.get() => SendFailure::Timeout,
            other => other,
        })
    }
}

/// Ends the request when time is over or nobody waits for it any more.
struct Aborting {
    controller: AbortController,
    timed_out: Rc<Cell<bool>>,
    _timer: Timer,
}

impl Aborting {
    fn after(timeout: Duration) -> Result<Self, JsValue> {
        let controller = AbortController::new()?;
        let timed_out = Rc::new(Cell::new(false));
        let (told, aborted) = (Rc::clone(&timed_out), controller.clone());
        let timer = Timer::new(timeout, move || {
            told.set(true);
            aborted.abort();
        });
        Ok(Self { controller, timed_out, _timer: timer })
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        self.controller.abort();
    }
}

fn init(request: &Request, abort: &AbortController) -> Result<RequestInit, JsValue> {
    let headers = Headers::new()?;
    for (name, value) in &request.headers {
        headers.append(name, value)?;
    }
    let init = RequestInit::new();
    init.set_method(request.method);
    init.set_headers(&headers);
    init.set_signal(Some(&abort.signal()));
    init.set_cache(RequestCache::NoStore);
    init.set_credentials(RequestCredentials::Omit);
    init.set_redirect(RequestRedirect::Error);
    init.set_referrer_policy(ReferrerPolicy::NoReferrer);
    if !request.body.is_empty() {
        init.set_body(&Uint8Array::from(&*request.body));
    }
    Ok(init)
}

async fn read(answer: web_sys::Response) -> Result<Response, SendFailure> {
    let mut headers = Vec::new();
    for header in Header::ALL {
        // The browser joins doubled fields with a comma, which no value of ours survives.
        if let Some(value) = answer.headers().get(header.name()).map_err(broken)? {
            headers.push((header, value.into_bytes()));
        }
    }
    let mut body = Vec::new();
    if let Some(stream) = answer.body() {
        let reader: ReadableStreamDefaultReader =
            stream.get_reader().dyn_into().map_err(|reader| broken(reader.into()))?;
        while let Some(piece) = next_piece(&reader).await.map_err(broken)? {
            let length = usize::try_from(piece.length()).unwrap_or(usize::MAX);
            if body.len().saturating_add(length) > MAX_ANSWER {
                return Err(SendFailure::TooLarge);
            }
            body.extend(piece.to_vec());
        }
    }
    Ok(Response { status: answer.status(), headers, body })
}

async fn next_piece(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let piece = JsFuture::from(reader.read()).await?;
    if Reflect::get(&piece, &JsValue::from_str("done"))?.is_truthy() {
        return Ok(None);
    }
    Reflect::get(&piece, &JsValue::from_str("value"))?.dyn_into().map(Some)
}

fn broken(thrown: JsValue) -> SendFailure {
    SendFailure::Broken(thrown.into())
}
