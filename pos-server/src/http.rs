//! The server's HTTP side: the accept loop under everything, and what every route shares.

pub mod admission;
pub mod body;
pub mod health;
pub mod listener;
pub mod request;
pub mod tls;
pub mod v1;

use std::sync::Arc;

use axum::{Router, middleware};

use crate::app::App;
use request::{Observer, observe};

/// Every route of the listeners that shops call.
pub fn routes(app: &Arc<App>) -> Router {
    let observer = Observer {
        clock: Arc::clone(&app.clock),
        entropy: Arc::clone(&app.entropy),
        metrics: Arc::clone(&app.metrics),
    };
    Router::new()
        .merge(health::routes(Arc::clone(&app.readiness)))
        .merge(v1::router(app))
        .layer(middleware::from_fn_with_state(observer, observe))
}
