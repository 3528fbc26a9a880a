//! `/healthz`: the process answers. `/readyz`: it may be sent calls.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::readiness::Readiness;
use crate::telemetry::metrics::{CONTENT_TYPE, Metrics};

/// `/healthz` and `/readyz`; neither is signed, neither needs a signature.
pub fn routes(readiness: Arc<Readiness>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { json(StatusCode::OK, r#"{"status":"alive"}"#.into()) }))
        .route("/readyz", get(ready).with_state(readiness))
}

/// `/metrics`, for the listener of its own.
pub fn metrics_routes(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(scrape).with_state(metrics))
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> Response {
    let faults: Vec<_> = readiness.faults().into_iter().map(|fault| fault.word()).collect();
    if faults.is_empty() {
        return json(StatusCode::OK, r#"{"status":"ready"}"#.into());
    }
    let body = serde_json::json!({ "status": "not_ready", "faults": faults });
    json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn json(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        // A kept answer to "are you ready" is worse than none.
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}
