//! The calls of shops, version 1 (`docs/PROTOCOL.md`): the route table, thin handlers, and the
//! layer that verifies calls and signs answers.

pub mod cors;
pub mod error;
mod handlers;
pub mod identity;
mod openapi;
mod routes;
pub mod signed;

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use axum::{Router, middleware};
use pos_protocol::{ErrorCode, sign};

pub use openapi::document;
pub use routes::{Caller, Route, table};

use crate::app::App;
use error::ApiError;
use identity::Call;
use signed::Refusal;

/// Every route of the table, verified and signed, with the two that need no signature beside them.
pub fn router(app: &Arc<App>) -> Router {
    let (open, signed): (Vec<_>, Vec<_>) =
        table().into_iter().partition(|route| route.caller == Caller::Anybody);
    let mount = |routes: Vec<Route>| {
        routes.into_iter().fold(Router::new(), |router, route| {
            let (keyed, bodied) = (route.mutation, route.takes.is_some());
            let fits = middleware::from_fn(move |call: Request, next: Next| async move {
                match surplus(&call, keyed, bodied) {
                    Some(refusal) => Refusal::from(refusal).into_response(),
                    None => next.run(call).await,
                }
            });
            router.route(route.path, route.handler.route_layer(fits))
        })
    };
    let verified = middleware::from_fn_with_state(Arc::clone(app), signed::layer);
    let from_pages = middleware::from_fn(cors::layer);
    // The fallbacks come before the layers: "no such route" is a signed answer too.
    let signed = mount(signed).fallback(handlers::no_route).layer((from_pages.clone(), verified));
    let open = mount(open).method_not_allowed_fallback(handlers::wrong_method).layer(from_pages);
    open.merge(signed).with_state(Arc::clone(app))
}

/// What a verified call brings that its route does not take: signed and covered, it is still added
/// (`wire.md` 2), and a caller that sends it expects something of it.
fn surplus(request: &Request, keyed: bool, bodied: bool) -> Option<ApiError> {
    let call = request.extensions().get::<Call>()?;
    let refusal = |message: &str| ApiError::with_message(ErrorCode::InvalidField, message);
    if call.idempotency_key.is_some() && !keyed {
        let refusal = refusal("This call changes nothing under a key: leave Idempotency-Key out.");
        return Some(refusal.field(sign::header::IDEMPOTENCY_KEY));
    }
    if !call.body.is_empty() && !bodied {
        return Some(refusal("This call takes no body.").field(sign::header::CONTENT_DIGEST));
    }
    None
}
