//! What a browser needs to call the server from a shop's page (`docs/PROTOCOL.md`, browsers).
//!
//! Any origin may call: no cookie is read and nothing is proved by the caller's address, so the
//! signature alone decides.

use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const ALLOWED_HEADERS: &str =
    "content-type, content-digest, idempotency-key, signature, signature-input";
const EXPOSED_HEADERS: &str = "content-digest, signature, signature-input";

/// [`around`] as a layer.
pub async fn layer(request: Request, next: Next) -> Response {
    around(request, async |request| next.run(request).await).await
}

/// Answers preflights, and lets pages read the signature of every other answer.
pub async fn around(request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
    if request.method() == Method::OPTIONS {
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        ];
        return (StatusCode::NO_CONTENT, headers).into_response();
    }
    let from_page = request.headers().contains_key(header::ORIGIN);
    let mut response = answer(request).await;
    if from_page {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}
