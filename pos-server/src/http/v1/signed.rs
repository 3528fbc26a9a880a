//! The layer under every signed route: a call is verified before a handler sees it, and every
//! answer to a call with a well-formed signature is signed, refusals included (`wire.md` 2).

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pos_protocol::id::{IdempotencyKey, RequestId};
use pos_protocol::key::{KeyId, PublicKey, Signature};
use pos_protocol::sign::call::{self, CallParts, Claimed};
use pos_protocol::sign::{self, POS_CONNECT, answer};
use pos_protocol::wire::{self, KeyRole, route};
use pos_protocol::{ErrorCode, Timestamp};
use serde::{Deserialize, Serialize};
use tracing::field::display;
use tracing::{Span, error};

use super::cors;
use super::error::ApiError;
use super::identity::{Call, Shop, Unproven};
use crate::app::App;
use crate::crash;
use crate::http::admission::{Place, Refused};
use crate::http::body::{self, BodyError};
use crate::pos::login;
use crate::readiness::Fault;
use crate::store::rows::KeyRow;
use crate::store::verbs::TouchKey;
use crate::telemetry::logs::chain;

/// A refusal as a handler returns it; the layer turns it into a signed problem body.
#[derive(Debug)]
pub struct Refusal(ApiError);

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self.0));
        response
    }
}

/// An answer as a handler returns it.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    /// 200 with this body.
    ///
    /// # Errors
    /// `internal` when the body cannot be written as JSON, which no wire type does.
    pub fn ok(body: &impl Serialize) -> Result<Self, Refusal> {
        Self::with_status(StatusCode::OK, body)
    }

    /// This status with this body.
    ///
    /// # Errors
    /// As [`Answer::ok`].
    pub fn with_status(status: StatusCode, body: &impl Serialize) -> Result<Self, Refusal> {
        Ok(Self { status, body: serde_json::to_vec(body).map_err(ApiError::internal)? })
    }

    /// 200 with octets that are JSON already.
    pub fn ok_octets(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        response
    }
}

/// What a route takes beside its path and query.
#[derive(Clone, Copy, Debug)]
pub struct Takes {
    /// An idempotency key.
    pub key: bool,
    /// A body.
    pub body: bool,
}

impl Takes {
    /// For what is refused anyway, by its own name.
    pub const ANYTHING: Self = Self { key: true, body: true };

    /// What a verified call brings that its route does not take: signed and covered, it is still
    /// added (`wire.md` 2), and a caller that sends it expects something of it.
    fn check(self, call: &Call) -> Result<(), ApiError> {
        let refusal = |message: &str| ApiError::with_message(ErrorCode::InvalidField, message);
        if call.idempotency_key.is_some() && !self.key {
            let message = "This call changes nothing under a key: leave Idempotency-Key out.";
            return Err(refusal(message).field(sign::header::IDEMPOTENCY_KEY));
        }
        if !call.body.is_empty() && !self.body {
            return Err(refusal("This call takes no body.").field(sign::header::CONTENT_DIGEST));
        }
        Ok(())
    }
}

/// What the layer of one route needs.
#[derive(Clone)]
pub struct Layered {
    /// The server.
    pub app: Arc<App>,
    /// What its calls may bring.
    pub takes: Takes,
}

/// Verifies the call, lets the handler answer, signs the answer; pages of any origin may call.
pub async fn layer(State(layered): State<Layered>, request: Request, next: Next) -> Response {
    cors::around(request, async move |request| answer_to(&layered, request, next).await).await
}

async fn answer_to(layered: &Layered, request: Request, next: Next) -> Response {
    let app = &*layered.app;
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .copied()
        .unwrap_or_else(|| RequestId::fresh(app.clock.now(), app.entropy.array()));
    let claimed = call::parse(&POS_CONNECT, &received(request.headers()));
    let signature = match &claimed {
        Ok(claimed) => Some(*claimed.signature()),
        Err(_) => received(request.headers()).well_formed_signature(&POS_CONNECT),
    };
    let key_id = claimed.as_ref().ok().map(Claimed::key_id);
    let answered = match claimed {
        Ok(claimed) => work_on(layered, claimed, request, next).await,
        Err(error) => Err(error.into()),
    };
    if let Err(refusal) = &answered
        && refusal.code().status() == 401
    {
        app.metrics.signature_refused(refusal.code().wire());
    }
    let (told, (status, body)) = match answered {
        Ok(response) => finish(response, request_id).await,
        Err(refusal) => (Some(refusal.code()), problem(&refusal, request_id)),
    };
    let mut response = seal_answer(app, status, body, signature.as_ref());
    if let Some(code) = told {
        response.extensions_mut().insert(Told { code, key_id });
    }
    response
}

/// What a refusal was, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The code.
    pub code: ErrorCode,
    /// The key that the call named, proved or not.
    pub key_id: Option<KeyId>,
}

fn received(headers: &HeaderMap) -> call::Received<'_> {
    call::Received::read(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes))
}

/// Everything between a parsed signature and the handler's answer. A place is taken only when the
/// whole call is there: before that a caller costs no more than its connection.
async fn work_on(
    layered: &Layered,
    claimed: Claimed,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Layered { app, takes } = layered;
    let arrived = receive(app, claimed, request).await?;
    match app.admission.run(|place| admit(app, *takes, arrived, place, next)).await {
        Ok(answered) => answered,
        Err(Refused::Full) => Err(ErrorCode::Overloaded.into()),
        Err(Refused::TooSlow) => Err(ErrorCode::NotReady.into()),
    }
}

/// A call whose body is there and whose signature is still to be verified.
struct Arrived {
    claimed: Claimed,
    parts: Parts,
    body: Bytes,
    /// None where the key is in the body.
    known: Option<KeyRow>,
    now: Timestamp,
    deadline: Duration,
}

async fn receive(app: &App, claimed: Claimed, request: Request) -> Result<Arrived, ApiError> {
    // A clock that was set back would let calls of then count again.
    if app.readiness.has(Fault::Clock) {
        return Err(ErrorCode::NotReady.into());
    }
    let now = app.clock.now();
    let deadline = app.clock.monotonic().saturating_add(claimed.check_fresh(now)?);
    if request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(ApiError::new(ErrorCode::UnsupportedMediaType).field("content-encoding"));
    }
    let (parts, body) = request.into_parts();
    let unproven = matches!(parts.uri.path(), route::REGISTRATIONS | route::SESSIONS);
    // A key that is not known is refused before its body is read.
    // A repeated sign-out is answered as done.
    let may_have_ended = parts.uri.path() == route::SIGN_OUT;
    let known = if unproven {
        None
    } else {
        Some(known_key(app, claimed.key_id(), now, may_have_ended).await?)
    };
    let body = read_body(body).await?;
    Ok(Arrived { claimed, parts, body, known, now, deadline })
}

async fn admit(
    app: &App,
    takes: Takes,
    arrived: Arrived,
    place: Place,
    next: Next,
) -> Result<Response, ApiError> {
    let Arrived { claimed, mut parts, body, known, now, deadline } = arrived;
    let public = match &known {
        Some(key) => key.public,
        None => key_in_body(&body)?,
    };
    let idempotency_key = verify(app, &claimed, &parts, &body, &public)?;
    app.metrics.clock_offset_ms(ahead_ms(claimed.created(), now));
    match known {
        Some(key) => {
            let shop = Shop::verified(&key, claimed.key_id());
            // From here on every line of this request says whose it is.
            Span::current().record("shop_id", display(shop.id()));
            touch(app, &key, &shop, now).await?;
            parts.extensions.insert(shop);
        }
        None => {
            parts.extensions.insert(Unproven::holder_of(public));
        }
    }
    let expires = claimed.expires();
    let call = Call { deadline, expires, place, body, idempotency_key };
    takes.check(&call)?;
    parts.extensions.insert(call);
    Ok(next.run(Request::from_parts(parts, Body::empty())).await)
}

async fn known_key(
    app: &App,
    id: KeyId,
    now: Timestamp,
    may_have_ended: bool,
) -> Result<KeyRow, ApiError> {
    let found = app.store.read(move |reader| reader.key(id)).await?;
    let key = found.ok_or(ErrorCode::KeyUnknown)?;
    if key.is_live(now) || (may_have_ended && key.role == KeyRole::Session) {
        return Ok(key);
    }
    Err(ApiError::new(match key.role {
        KeyRole::Module => ErrorCode::KeyRevoked,
        KeyRole::Session => ErrorCode::SessionEnded,
    }))
}

async fn read_body(body: Body) -> Result<Bytes, ApiError> {
    body::read(body).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => ApiError::with_message(
            ErrorCode::BodyTooLarge,
            format!("The body must have at most {limit} octets."),
        ),
        BodyError::TooSlow { .. } => ErrorCode::BodyTooSlow.into(),
        BodyError::Broken(_) => ApiError::new(ErrorCode::DigestMismatch).field("content-digest"),
    })
}

/// How far a caller's clock is ahead of ours; whole seconds, as the signature has them.
fn ahead_ms(created: Timestamp, now: Timestamp) -> i64 {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    ms(created.since(now)).saturating_sub(ms(now.since(created)))
}

/// The key of a registration or a sign-in, read leniently: the body is read strictly later. Without
/// one the signature cannot be verified, and no other refusal may come before that
/// ([`ErrorCode::comes_after_verification`]).
fn key_in_body(body: &[u8]) -> Result<PublicKey, ApiError> {
    #[derive(Deserialize)]
    struct OnlyKey {
        key: PublicKey,
    }
    wire::read_body::<OnlyKey>(body).map(|body| body.key).map_err(|_| {
        let message = "The body must have the public key that signs the call, in `key`.";
        ApiError::with_message(ErrorCode::SignatureInvalid, message).field("key")
    })
}

fn verify(
    app: &App,
    claimed: &Claimed,
    parts: &Parts,
    body: &[u8],
    public: &PublicKey,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let header = parts.headers.get(sign::header::IDEMPOTENCY_KEY);
    let text = header.map(|value| value.to_str().unwrap_or_default());
    let call = CallParts {
        method: parts.method.as_str(),
        authority: &app.authority,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        body,
        idempotency_key: text,
    };
    claimed.verify(&call, public)?;
    // Only now, so that a forged call learns nothing about its key.
    text.map(str::parse).transpose().map_err(|_| {
        ApiError::new(ErrorCode::IdempotencyKeyInvalid).field(sign::header::IDEMPOTENCY_KEY)
    })
}

/// Notes a key's first call and moves a session's silence limit on, at most once a minute.
async fn touch(app: &App, key: &KeyRow, shop: &Shop, now: Timestamp) -> Result<(), ApiError> {
    let idle_at = key.idle_at.map(|_| now.plus(login::IDLE));
    let moves = match (key.idle_at, idle_at) {
        (Some(old), Some(new)) => new.since(old).as_secs() >= 60,
        _ => false,
    };
    if key.first_used_at.is_some() && !moves {
        return Ok(());
    }
    let touch = TouchKey { shop: key.shop, key: shop.key(), now, idle_at };
    Ok(app.store.touch_key(touch).await?)
}

/// The octets of a handler's answer; what the router itself answers becomes a problem body. With the
/// code, where it is a refusal.
async fn finish(
    response: Response,
    request_id: RequestId,
) -> (Option<ErrorCode>, (StatusCode, Bytes)) {
    let refused = |refusal: &ApiError| (Some(refusal.code()), problem(refusal, request_id));
    let status = response.status();
    if let Some(refusal) = response.extensions().get::<Arc<ApiError>>() {
        return refused(refusal);
    }
    // An extractor that could not decode a piece of the path: there is nothing under such a name.
    if status == StatusCode::NOT_FOUND || status == StatusCode::BAD_REQUEST {
        return refused(&ErrorCode::NotFound.into());
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return refused(&ErrorCode::MethodNotAllowed.into());
    }
    match axum::body::to_bytes(response.into_body(), usize::MAX).await {
        Ok(body) => (None, (status, body)),
        Err(error) => refused(&ApiError::internal(error)),
    }
}

pub(super) fn problem(refusal: &ApiError, request_id: RequestId) -> (StatusCode, Bytes) {
    if let Some(cause) = refusal.cause() {
        error!(code = refusal.code().wire(), cause = %chain(cause), "the call failed");
    }
    let status = StatusCode::from_u16(refusal.code().status());
    let body = serde_json::to_vec(&refusal.problem(request_id)).unwrap_or_default();
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body.into())
}

fn seal_answer(app: &App, status: StatusCode, body: Bytes, call: Option<&Signature>) -> Response {
    crash::point("answer.before_write");
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::CONTENT_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(call) = call {
        let key = &app.keys.answer;
        let now = app.clock.now();
        let unsigned =
            answer::Unsigned::new(&POS_CONNECT, status.as_u16(), &body, call, now, key.id());
        let signature = key.sign(unsigned.base());
        let signed = unsigned.into_headers(&signature);
        let fields = [
            (sign::header::SIGNATURE_INPUT, signed.signature_input),
            (sign::header::SIGNATURE, signed.signature),
            (sign::header::CONTENT_DIGEST, signed.content_digest),
        ];
        for (name, value) in fields {
            // The profile writes visible ASCII alone.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
    (status, headers, body).into_response()
}
