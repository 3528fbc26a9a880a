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

use axum::{Router, middleware};

pub use openapi::document;
pub use routes::{Caller, Route, table};

use crate::app::App;

/// Every route of the table, verified and signed, with the two that need no signature beside them.
pub fn router(app: &Arc<App>) -> Router {
    let (open, signed): (Vec<_>, Vec<_>) =
        table().into_iter().partition(|route| route.caller == Caller::Anybody);
    let mount = |routes: Vec<Route>| {
        routes
            .into_iter()
            .fold(Router::new(), |router, route| router.route(route.path, route.handler))
    };
    let verified = middleware::from_fn_with_state(Arc::clone(app), signed::layer);
    // The fallbacks come before the layer: "no such route" is a signed answer too.
    let signed = mount(signed).fallback(handlers::no_route).layer(verified);
    mount(open).merge(signed).layer(middleware::from_fn(cors::layer)).with_state(Arc::clone(app))
}
