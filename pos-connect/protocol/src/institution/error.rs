//! Refusals: the closed list of codes, and which of them prove that nothing was processed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Contradiction, MAX_ANSWER_OCTETS, contradiction};
use crate::Timestamp;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $wire:literal $status:literal $proof:literal;)*) => {
        /// Every refusal that an institution can give in place of an answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum InstitutionCode { $($(#[$doc])* $name,)* }

        impl InstitutionCode {
            /// Every code, in the order of `docs/INSTITUTION.md`.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name on the wire.
            pub const fn wire(self) -> &'static str {
                match self { $(Self::$name => $wire),* }
            }

            /// The HTTP status that carries it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// Whether this refusal, signed, proves that the call it answers moved nothing and
            /// will move nothing. It says so of that one sending: an operation that was sent
            /// before may have been processed by the earlier one.
            ///
            /// Only what the content of a proved call brings about is such a proof. Whoever
            /// stands on the way can bend or repeat a copy of a call, so that the copy is refused
            /// with a signed answer that is bound to the call's own signature, and then forward
            /// the call itself.
            pub const fn proves_not_processed(self) -> bool {
                match self { $(Self::$name => $proof),* }
            }
        }
    };
}

codes! {
    /// The body is not one JSON object.
    InvalidJson "invalid_json" 400 true;
    /// A member is missing, unknown, doubled, out of range or contradicts others; `field` names it.
    InvalidField "invalid_field" 400 true;
    /// The `Idempotency-Key` is not the body's operation id.
    IdempotencyKeyInvalid "idempotency_key_invalid" 400 true;
    /// The envelope does not open, was altered, or was sealed for something else.
    EnvelopeInvalid "envelope_invalid" 400 true;
    /// The signature does not verify, or is not made as the profile says.
    SignatureInvalid "signature_invalid" 401 false;
    /// The call has no well-formed `Signature` field; only to such a call is a refusal not signed.
    SignatureMissing "signature_missing" 401 false;
    /// Signed too long ago, too far ahead, or past its `expires`.
    SignatureStale "signature_stale" 401 false;
    /// `Content-Digest` is not the digest of the body.
    DigestMismatch "digest_mismatch" 401 false;
    /// The signing key is not the operator's.
    KeyUnknown "key_unknown" 401 false;
    /// No such route.
    NotFound "not_found" 404 false;
    /// The route exists with another HTTP method.
    MethodNotAllowed "method_not_allowed" 405 false;
    /// The envelope's end has passed or lies too far ahead.
    EnvelopeExpired "envelope_expired" 409 true;
    /// The envelope's `rand` was taken by another operation or check.
    EnvelopeUsed "envelope_used" 409 true;
    /// The institution does not offer this; its `GET /v1/institution` says so.
    OperationUnsupported "operation_unsupported" 409 true;
    /// The body is longer than 16384 octets.
    BodyTooLarge "body_too_large" 413 false;
    /// The body is not `application/json`, or is compressed.
    UnsupportedMediaType "unsupported_media_type" 415 false;
    /// The operation id was used for another request, which may have been processed.
    OperationIdReused "operation_id_reused" 422 false;
    /// Too many calls; nothing of this one was done. `retry_after_ms` says when to come again.
    TooManyRequests "too_many_requests" 429 false;
    /// A fault of the institution.
    Internal "internal" 500 false;
    /// The institution cannot work now.
    NotReady "not_ready" 503 false;
}

impl InstitutionCode {
    /// The code of this name, if this build knows it.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.wire() == name)
    }
}

/// A code as it arrived: one this build knows, or a newer one, which proves nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstitutionWireCode {
    /// A code of [`InstitutionCode::ALL`].
    Known(InstitutionCode),
    /// A code that a newer institution gave.
    Unknown(String),
}

impl InstitutionWireCode {
    /// The name as it stood on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(code) => code.wire(),
            Self::Unknown(name) => name,
        }
    }
}

impl Serialize for InstitutionWireCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for InstitutionWireCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(InstitutionCode::from_wire(&name).map_or(Self::Unknown(name), Self::Known))
    }
}

/// The body of every refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstitutionError {
    /// What is wrong, from the closed list.
    pub code: InstitutionWireCode,
    /// The same as a sentence, for the operator; 1 to 500 characters, never a secret.
    pub message: String,
    /// The member of the request at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// When to come again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The institution's time.
    #[serde(rename = "time_ms")]
    pub time: Timestamp,
}

super::plain_body!(InstitutionError, MAX_ANSWER_OCTETS, |body| body.check());

impl InstitutionError {
    /// A refusal with this code and sentence.
    pub fn new(code: InstitutionCode, message: impl Into<String>, time: Timestamp) -> Self {
        let code = InstitutionWireCode::Known(code);
        Self { code, message: message.into(), field: None, retry_after_ms: None, time }
    }

    /// Names the member at fault.
    #[must_use]
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// Whether this refusal, signed and carried by `status`, proves that the call that it answers
    /// moved nothing and will move nothing. A code under another status than its own, and a code
    /// that is not known, prove nothing.
    pub fn proves_not_processed(&self, status: u16) -> bool {
        match &self.code {
            InstitutionWireCode::Known(code) => {
                code.status() == status && code.proves_not_processed()
            }
            InstitutionWireCode::Unknown(_) => false,
        }
    }

    fn check(&self) -> Result<(), Contradiction> {
        let length = |text: &str| (1..=500).contains(&text.chars().count());
        if !length(&self.message) {
            return contradiction("message", "must have 1 to 500 characters");
        }
        if self.field.as_deref().is_some_and(|field| !length(field)) {
            return contradiction("field", "must have 1 to 500 characters");
        }
        if !length(self.code.as_str()) {
            return contradiction("code", "must have 1 to 500 characters");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_fault_proves_anything() {
        for (at, code) in InstitutionCode::ALL.iter().enumerate() {
            assert!((400..=599).contains(&code.status()), "{code:?}");
            assert!(!(code.proves_not_processed() && code.status() >= 500), "{code:?}");
            let first = InstitutionCode::ALL.iter().position(|one| one.wire() == code.wire());
            assert_eq!(first, Some(at), "{code:?}");
            assert_eq!(InstitutionCode::from_wire(code.wire()), Some(*code));
        }
    }

    /// What is said before the call's signature has been verified may be said of a bent copy.
    #[test]
    fn only_the_content_of_a_proved_call_is_a_proof() {
        let proofs: Vec<_> = InstitutionCode::ALL
            .iter()
            .filter(|code| code.proves_not_processed())
            .map(|code| code.wire())
            .collect();
        let expected = [
            "invalid_json",
            "invalid_field",
            "idempotency_key_invalid",
            "envelope_invalid",
            "envelope_expired",
            "envelope_used",
            "operation_unsupported",
        ];
        assert_eq!(proofs, expected);
    }

    #[test]
    fn proof_needs_a_known_code_under_its_own_status() {
        let read = |json: &[u8]| super::super::parse::<InstitutionError>(json).unwrap();
        let invalid = read(br#"{"code":"invalid_json","message":"no","time_ms":1}"#);
        assert!(invalid.proves_not_processed(400));
        assert!(!invalid.proves_not_processed(502));
        let reused = read(br#"{"code":"operation_id_reused","message":"no","time_ms":1}"#);
        assert!(!reused.proves_not_processed(422));
        let newer = read(br#"{"code":"from_the_future","message":"no","time_ms":1}"#);
        assert!(!newer.proves_not_processed(400));
    }
}
