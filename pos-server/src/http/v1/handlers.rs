//! One thin handler a route: reads what the call brought, calls the use case, writes its answer.

use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use axum::body::Bytes;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pos_protocol::ErrorCode;
use pos_protocol::id::{IdempotencyKey, OrderId, PaymentId, PosId, RequestId};
use pos_protocol::key::KeyId;
use pos_protocol::payment::OperationKind;
use pos_protocol::wire::{self, route};

use super::error::ApiError;
use super::identity::{Call, Shop, Unproven};
use super::signed::{self, Answer, Refusal};
use crate::app::App;
use crate::payments::movement::Movement;
use crate::payments::{
    begin, check as checking, fingerprint, history as reading, movement, pay, routing,
};
use crate::pos::{keys as keyring, login, notices as telling, registration};
use crate::store::verbs::Claim;

type Answered = Result<Answer, Refusal>;

pub(super) async fn no_route() -> StatusCode {
    StatusCode::NOT_FOUND
}

pub(super) async fn no_method() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
    caller: Unproven,
    call: Call,
) -> Answered {
    Answer::ok(&registration::register(&app, caller.key(), call.read()?).await?)
}

pub(super) async fn sign_in(State(app): State<Arc<App>>, caller: Unproven, call: Call) -> Answered {
    Answer::ok(&login::sign_in(&app, caller.key(), call.read()?).await?)
}

pub(super) async fn sign_out(State(app): State<Arc<App>>, shop: Shop, call: Call) -> Answered {
    call.read::<wire::SignOutRequest>()?;
    let claim = key_claim(&call, route::SIGN_OUT, shop.key())?;
    Answer::ok(&keyring::sign_out(&app, &shop, claim).await?)
}

pub(super) async fn keys(State(app): State<Arc<App>>, shop: Shop) -> Answered {
    Answer::ok(&keyring::list(&app, &shop).await?)
}

pub(super) async fn roll_key(State(app): State<Arc<App>>, shop: Shop, call: Call) -> Answered {
    let request: wire::RollKeyRequest = call.read()?;
    let claim = key_claim(&call, route::KEY_ROLL, request.key.id())?;
    Answer::ok(&keyring::roll(&app, &shop, claim, request).await?)
}

pub(super) async fn revoke_key(
    State(app): State<Arc<App>>,
    shop: Shop,
    Path(key): Path<String>,
    call: Call,
) -> Answered {
    call.read::<wire::RevokeKeyRequest>()?;
    let key: KeyId = in_path("key_id", &key)?;
    let claim = key_claim(&call, route::KEY_REVOKE, key)?;
    Answer::ok(&keyring::revoke(&app, &shop, claim, key).await?)
}

fn key_claim(call: &Call, route: &str, key: KeyId) -> Result<Claim, ApiError> {
    let fingerprint = fingerprint::of_key_call(route, key);
    Ok(Claim { key: call.mutation_key()?, fingerprint })
}

pub(super) async fn notices(State(app): State<Arc<App>>, shop: Shop) -> Answered {
    Answer::ok(&telling::settings(&app, &shop).await?)
}

pub(super) async fn set_notices(State(app): State<Arc<App>>, shop: Shop, call: Call) -> Answered {
    let request: wire::SetNoticesRequest = call.read()?;
    let fingerprint = fingerprint::of_notices(&request);
    let claim = Claim { key: call.mutation_key()?, fingerprint };
    Answer::ok(&telling::set(&app, &shop, claim, request).await?)
}

pub(super) async fn methods(
    State(app): State<Arc<App>>,
    shop: Shop,
    RawQuery(query): RawQuery,
) -> Answered {
    let query = Query::read(query.as_deref(), &["pos"])?;
    Answer::ok(&routing::methods(&app, &shop, query.value::<PosId>("pos")?).await?)
}

pub(super) async fn quote(State(app): State<Arc<App>>, shop: Shop, call: Call) -> Answered {
    Answer::ok(&routing::quote(&app, &shop, &call.read()?).await?)
}

pub(super) async fn check(State(app): State<Arc<App>>, shop: Shop, call: Call) -> Answered {
    let request = call.read()?;
    let mutation = mutation(shop, &call)?;
    // Most of what follows is the institution's time.
    call.place.give_back();
    Ok(Answer::ok_octets(checking::check(&app, mutation, request).await?))
}

pub(super) async fn pay(State(app): State<Arc<App>>, shop: Shop, call: Call) -> Answered {
    let request = call.read()?;
    let (status, view) = pay::pay(&app, mutation(shop, &call)?, request).await?;
    Answer::with_status(status, &view)
}

pub(super) async fn capture(
    State(app): State<Arc<App>>,
    shop: Shop,
    Path(payment): Path<String>,
    call: Call,
) -> Answered {
    let wire::CaptureRequest { amount, currency } = call.read()?;
    moved(&app, shop, &call, &payment, OperationKind::Capture, Some((amount, currency))).await
}

pub(super) async fn void(
    State(app): State<Arc<App>>,
    shop: Shop,
    Path(payment): Path<String>,
    call: Call,
) -> Answered {
    call.read::<wire::VoidRequest>()?;
    moved(&app, shop, &call, &payment, OperationKind::Void, None).await
}

pub(super) async fn refund(
    State(app): State<Arc<App>>,
    shop: Shop,
    Path(payment): Path<String>,
    call: Call,
) -> Answered {
    let wire::RefundRequest { amount, currency } = call.read()?;
    moved(&app, shop, &call, &payment, OperationKind::Refund, Some((amount, currency))).await
}

async fn moved(
    app: &Arc<App>,
    shop: Shop,
    call: &Call,
    payment: &str,
    kind: OperationKind,
    money: Option<(pos_protocol::Amount, pos_protocol::Currency)>,
) -> Answered {
    let asked = Movement { kind, payment: in_path("payment_id", payment)?, money };
    let (status, view) = movement::begin(app, mutation(shop, call)?, asked).await?;
    Answer::with_status(status, &view)
}

fn mutation(shop: Shop, call: &Call) -> Result<begin::Call, ApiError> {
    Ok(begin::Call {
        shop,
        key: call.mutation_key()?,
        deadline: call.deadline,
        expires: call.expires,
        place: call.place.clone(),
    })
}

pub(super) async fn payment(
    State(app): State<Arc<App>>,
    shop: Shop,
    Path(payment): Path<String>,
) -> Answered {
    let id = in_path("payment_id", &payment)?;
    Answer::ok(&reading::payment(&app, &shop, id).await?)
}

pub(super) async fn order(
    State(app): State<Arc<App>>,
    shop: Shop,
    Path(order): Path<String>,
) -> Answered {
    let order: OrderId = in_path("order_id", &order)?;
    Answer::ok(&reading::order(&app, &shop, order).await?)
}

pub(super) async fn operation(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
    shop: Shop,
    Path(key): Path<String>,
) -> Answered {
    let key: IdempotencyKey = in_path("idempotency_key", &key)?;
    Answer::ok(&reading::by_key(&app, &shop, key, request_id).await?)
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
    shop: Shop,
    RawQuery(query): RawQuery,
) -> Answered {
    let query = Query::read(query.as_deref(), &["after", "limit", "pos"])?;
    let limit = query.value::<u32>("limit")?.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        let message = "The limit must be 1 to 100.";
        return Err(ApiError::with_message(ErrorCode::InvalidField, message).field("limit").into());
    }
    let (pos, after) = (query.value::<PosId>("pos")?, query.value::<PaymentId>("after")?);
    Answer::ok(&reading::page(&app, &shop, pos, after, limit).await?)
}

pub(super) async fn answer_keys(
    State(app): State<Arc<App>>,
    Extension(request_id): Extension<RequestId>,
) -> Response {
    let keys =
        wire::AnswerKeys { current: app.keys.answer.public(), statements: app.succession.clone() };
    match serde_json::to_vec(&keys) {
        Ok(body) => unsigned(StatusCode::OK, body.into()),
        Err(cause) => refused_unsigned(&ApiError::internal(cause), request_id),
    }
}

pub(super) async fn openapi() -> Response {
    // Anybody may ask for it, so it is made once.
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| super::document().into());
    unsigned(StatusCode::OK, DOCUMENT.clone())
}

/// The open routes take one method each.
pub(super) async fn wrong_method(Extension(request_id): Extension<RequestId>) -> Response {
    refused_unsigned(&ErrorCode::MethodNotAllowed.into(), request_id)
}

fn refused_unsigned(refusal: &ApiError, request_id: RequestId) -> Response {
    let (status, body) = signed::problem(refusal, request_id);
    unsigned(status, body)
}

fn unsigned(status: StatusCode, body: Bytes) -> Response {
    let headers = [(header::CONTENT_TYPE, wire::CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// A part of the path. What is no id at all is answered like an id that is not there.
fn in_path<T: FromStr>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::NotFound).field(name))
}

/// The query, strictly: known names, each at most once, plain values.
struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    fn read(query: Option<&'a str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) || pairs.iter().any(|(other, _)| *other == name) {
                let message = format!("The query takes only {}, each once.", known.join(", "));
                let name: String = name.chars().take(64).collect();
                return Err(ApiError::with_message(ErrorCode::InvalidField, message).field(name));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    fn value<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.parse()).transpose().map_err(|error: T::Err| {
            let message = format!("`{name}` {error}.");
            ApiError::with_message(ErrorCode::InvalidField, message).field(name)
        })
    }
}
