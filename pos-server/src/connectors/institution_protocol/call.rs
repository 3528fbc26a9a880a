//! Writing a signed call of the institution protocol.

use std::time::Duration;

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use pos_protocol::sign::call::{CallParts, Unsigned};
use pos_protocol::sign::{CONTENT_TYPE, InvalidPart, POS_INSTITUTION, Profile, header};
use pos_protocol::time::Timestamp;

use crate::connectors::connector::Request;
use crate::connectors::registry::CallKey;

/// How long a call is good for. Longer than any processing limit that lies in its body, so that a
/// late arrival is refused by the operation's own `not_after`, which is remembered.
const LIFE: Duration = Duration::from_secs(60);

/// A call before it is signed.
pub(super) struct Call {
    pub(super) method: Method,
    /// The path; no call of the protocol has a query.
    pub(super) target: String,
    /// Empty for a call without body.
    pub(super) body: Vec<u8>,
    /// The `Idempotency-Key` of a money movement.
    pub(super) key: Option<String>,
}

impl Call {
    pub(super) fn sign(
        self,
        authority: &str,
        now: Timestamp,
        call_key: &CallKey,
    ) -> Result<Request, InvalidPart> {
        self.sign_by(&POS_INSTITUTION, authority, now, call_key)
    }

    /// By another profile, too: a call that every institution must refuse.
    pub(super) fn sign_by(
        self,
        profile: &'static Profile,
        authority: &str,
        now: Timestamp,
        call_key: &CallKey,
    ) -> Result<Request, InvalidPart> {
        let parts = CallParts {
            method: self.method.as_str(),
            authority,
            path: &self.target,
            query: "",
            body: &self.body,
            idempotency_key: self.key.as_deref(),
        };
        let unsigned = Unsigned::new(profile, &parts, now, now.plus(LIFE), call_key.id())?;
        let signature = call_key.sign(unsigned.base());
        let signed = unsigned.into_headers(&signature);
        let mut headers = HeaderMap::with_capacity(6);
        let mut set = |name: &'static str, value: String| {
            let value = HeaderValue::try_from(value).expect("the profile writes visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        };
        set(header::SIGNATURE_INPUT, signed.signature_input);
        set(header::SIGNATURE, signed.signature);
        if let Some(digest) = signed.content_digest {
            set(header::CONTENT_DIGEST, digest);
            set(header::CONTENT_TYPE, CONTENT_TYPE.to_owned());
        }
        if let Some(key) = self.key {
            set(header::IDEMPOTENCY_KEY, key);
        }
        let body = Bytes::from(self.body);
        Ok(Request { method: self.method, target: self.target, headers, body, signature })
    }
}
