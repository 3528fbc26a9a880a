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
use signed::{Layered, Takes};

/// Every route of the table, those of shops verified and signed.
pub fn router(app: &Arc<App>) -> Router {
    let from_pages = middleware::from_fn(cors::layer);
    // One layer: each that a request passes copies the whole stack below it.
    let verified =
        |takes| middleware::from_fn_with_state(Layered { app: app.clone(), takes }, signed::layer);
    let mut open = Router::new();
    let mut shops = Router::new();
    for route in table() {
        if route.caller == Caller::Anybody {
            open = open.route(route.path, route.handler);
        } else {
            let takes = Takes { key: route.mutation, body: route.takes.is_some() };
            shops = shops.route(route.path, route.handler.route_layer(verified(takes)));
        }
    }
    let open = open.method_not_allowed_fallback(handlers::wrong_method).layer(from_pages);
    // That there is no such route, or that it takes another method, is a signed answer too.
    let shops = shops
        .method_not_allowed_fallback(handlers::no_method.layer(verified(Takes::ANYTHING)))
        .fallback(handlers::no_route.layer(verified(Takes::ANYTHING)));
    open.merge(shops).with_state(Arc::clone(app))
}
