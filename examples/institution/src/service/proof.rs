//! Who calls, and whether the call is whole.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use pos_protocol::institution::{InstitutionCode, MAX_REQUEST_OCTETS};
use pos_protocol::key::Signature;
use pos_protocol::sign::call::{self, CallParts, Received};
use pos_protocol::sign::{POS_INSTITUTION, SignError, header};
use tokio::time::timeout;

use super::{Institution, OnLine, Reply};
use crate::quirk::Quirk;

/// Longest wait for a body.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A call that an operator made.
pub(super) struct Proved {
    pub(super) body: Bytes,
    pub(super) idempotency_key: Option<String>,
}

impl Institution {
    /// Reads the body and proves the call: by a key that was registered here, now, and whole.
    pub(super) async fn prove<B>(
        &self,
        head: &Parts,
        received: &Received<'_>,
        signature: Option<Signature>,
        body: B,
    ) -> Result<Proved, Reply>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // A media type means nothing where nothing is sent.
        let has_body = head.headers.contains_key(header::CONTENT_DIGEST);
        let media_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let other = has_body && media_type != Some(b"application/json");
        if other || head.headers.contains_key(CONTENT_ENCODING) {
            let message = "bodies must be application/json, and not compressed";
            return Err(self.refuse(InstitutionCode::UnsupportedMediaType, message));
        }
        let claimed = call::parse(&POS_INSTITUTION, received).map_err(|error| {
            let code = if signature.is_none() {
                InstitutionCode::SignatureMissing
            } else {
                code_of(error)
            };
            self.refuse(code, error.to_string())
        })?;
        let reading = Limited::new(body, MAX_REQUEST_OCTETS).collect();
        let body = match timeout(BODY_TIME, reading).await {
            Ok(Ok(whole)) => whole.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = "the body may have 16384 octets";
                return Err(self.refuse(InstitutionCode::BodyTooLarge, message));
            }
            _ => return Err(Reply::on(OnLine::Cut)),
        };
        let Some(key) = self.operator(claimed.key_id()) else {
            let message = "the signing key is not registered here";
            return Err(self.refuse(InstitutionCode::KeyUnknown, message));
        };
        let idempotency_key = head
            .headers
            .get(header::IDEMPOTENCY_KEY)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let parts = CallParts {
            method: head.method.as_str(),
            authority: &self.authority,
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            body: &body,
            idempotency_key: idempotency_key.as_deref(),
        };
        let fresh = match claimed.check_fresh(self.clock.now()) {
            Err(_) if self.quirks.has(Quirk::IgnoresFreshness) => Ok(()),
            checked => checked.map(drop),
        };
        fresh
            .and_then(|()| claimed.verify(&parts, &key))
            .map_err(|error| self.refuse(code_of(error), error.to_string()))?;
        Ok(Proved { body, idempotency_key })
    }
}

const fn code_of(error: SignError) -> InstitutionCode {
    match error {
        SignError::Stale | SignError::Future | SignError::Expired => {
            InstitutionCode::SignatureStale
        }
        SignError::ContentType => InstitutionCode::UnsupportedMediaType,
        SignError::DigestMismatch => InstitutionCode::DigestMismatch,
        _ => InstitutionCode::SignatureInvalid,
    }
}
