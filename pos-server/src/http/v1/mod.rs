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

use axum::handler::Handler as _;
use axum::{Router, middleware};

pub use openapi::document;
pub use routes::{Caller, Route, table};

use crate::app::App;
use signed::{Signed, Takes};

/// Every route of the table, those of shops verified and signed.
pub fn router(app: &Arc<App>) -> Router {
    let from_pages = middleware::from_fn(cors::layer);
    let verified = |takes| {
        let signed = Signed { app: Arc::clone(app), takes };
        middleware::from_fn_with_state(signed, signed::layer)
    };
    let mut open = Router::new();
    let mut signed = Router::new();
    for Route { path, caller, mutation, takes, handler, .. } in table() {
        if caller == Caller::Anybody {
            open = open.route(path, handler);
        } else {
            let takes = Takes { key: mutation, body: takes.is_some() };
            // One layer: each that a request passes copies the whole stack below it.
            signed = signed.route(path, handler.layer(verified(takes)));
        }
    }
    let open = open.method_not_allowed_fallback(handlers::wrong_method).layer(from_pages);
    // "No such route" is a signed answer too, whatever came with the call.
    let no_route = handlers::no_route.layer(verified(Takes { key: true, body: true }));
    open.merge(signed.fallback(no_route)).with_state(Arc::clone(app))
}
