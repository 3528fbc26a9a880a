//! What every request gets before its route sees it: an id, a span, a place in the metrics.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use pos_protocol::id::RequestId;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, debug, error, info, warn};

use super::v1::signed::Told;
use crate::env::{Clock, Entropy};
use crate::telemetry::metrics::Metrics;

/// What [`observe`] needs.
#[derive(Clone)]
pub struct Observer {
    /// Dates the ids and times the answers.
    pub clock: Arc<dyn Clock>,
    /// Makes the ids unpredictable.
    pub entropy: Arc<dyn Entropy>,
    /// Where answers are counted.
    pub metrics: Arc<Metrics>,
}

/// A layer for [`axum::middleware::from_fn_with_state`], outermost of all: gives the request a
/// [`RequestId`] as an extension and its log lines a `request_id`, counts the answer and times it.
/// Refusals are logged at info, those that are none of the caller's doing at warn, faults at error,
/// the rest at debug: a payment logs itself.
pub async fn observe(
    State(observer): State<Observer>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = RequestId::fresh(observer.clock.now(), observer.entropy.array());
    let began = observer.clock.monotonic();
    let method = known_method(&request);
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(id);

    let span = tracing::info_span!("request", request_id = %id, shop_id = Empty);
    let answer = next.run(request).instrument(span.clone()).await;

    let took = observer.clock.monotonic().saturating_sub(began);
    // A path that no route knows is the caller's text and would make endless labels.
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    let status = answer.status().as_u16();
    observer.metrics.request(route, method, status, took);
    let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let told = answer.extensions().get::<Told>();
    let (code, key_id) = (told.map(|told| told.code.wire()), told.and_then(|told| told.key_id));
    let key_id = key_id.map(display);
    span.in_scope(|| match status {
        503 => warn!(route, method, status, duration_us, code, key_id, "not served"),
        500.. => error!(route, method, status, duration_us, code, key_id, "failed"),
        400.. => info!(route, method, status, duration_us, code, key_id, "refused"),
        _ => debug!(route, method, status, duration_us, "answered"),
    });
    answer
}

/// The method as a label; a caller can invent others without end.
fn known_method(request: &Request) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"];
    let method = request.method().as_str();
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("other")
}
