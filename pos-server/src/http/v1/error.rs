//! A refusal on its way out: what the caller is told, and what only the log learns.

use std::error::Error;
use std::fmt;

use pos_protocol::code::WireCode;
use pos_protocol::id::RequestId;
use pos_protocol::sign::SignError;
use pos_protocol::wire::{Problem, ReadError};
use pos_protocol::{ErrorCode, Retry};

use crate::pos::password::PasswordError;
use crate::store::StoreError;

/// Why a call was refused: a code of the closed list, a sentence that may be shown to anybody, and
/// the cause, which is logged once and never sent.
#[derive(Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: Option<String>,
    field: Option<String>,
    retry_after_ms: Option<u64>,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// How long a caller waits that is told to come later, unless the refusal knows better.
const RETRY_AFTER_MS: u64 = 1_000;

impl ApiError {
    /// A refusal with the general sentence of its code.
    pub fn new(code: ErrorCode) -> Self {
        Self { code, message: None, field: None, retry_after_ms: None, cause: None }
    }

    /// One with a sentence of its own, in English; the Japanese one stays the general one.
    pub fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::new(code) }
    }

    /// Names the offending field, header or path part.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to come again, in milliseconds.
    #[must_use]
    pub fn after_ms(mut self, after_ms: u64) -> Self {
        self.retry_after_ms = Some(after_ms);
        self
    }

    /// A fault of the server, whose cause goes to the log.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..Self::new(ErrorCode::Internal) }
    }

    /// A refusal of what a payment asks for, naming the field of the request that it is about.
    pub fn of_payment(code: ErrorCode) -> Self {
        let field = match code {
            ErrorCode::AmountOutOfLimits => "amount",
            ErrorCode::ContractDisabled | ErrorCode::InstitutionDisabled => "contract_id",
            ErrorCode::CurrencyNotAccepted => "currency",
            ErrorCode::EnvelopeUsed => "envelope",
            ErrorCode::OperationUnsupported => "operation",
            ErrorCode::OrderTaken => "order_id",
            _ => return Self::new(code),
        };
        Self::new(code).field(field)
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The field that is named, if one is.
    pub fn named_field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// What the log learns and the caller does not.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// The body that is sent.
    pub fn problem(&self, request_id: RequestId) -> Problem {
        let retry = self.code.retry();
        let message = self.message.clone().unwrap_or_else(|| self.code.english().to_owned());
        Problem {
            code: WireCode::Known(self.code),
            message,
            message_ja: self.code.japanese().to_owned(),
            request_id,
            field: self.field.clone(),
            retry: retry.into(),
            retry_after_ms: (retry == Retry::After)
                .then(|| self.retry_after_ms.unwrap_or(RETRY_AFTER_MS)),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.wire())
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        // A type's own rule begins with what the field "must be".
        let message = match &error.field {
            Some(field) if error.message.starts_with("must ") => {
                format!("`{field}` {}.", error.message)
            }
            None if error.code == ErrorCode::InvalidJson => {
                format!("The body is not JSON: {}.", error.message)
            }
            _ => sentence(&error.message),
        };
        let refusal = Self::with_message(error.code, message);
        match error.field {
            Some(field) => refusal.field(field),
            None => refusal,
        }
    }
}

impl From<SignError> for ApiError {
    fn from(error: SignError) -> Self {
        use SignError as E;
        let (code, field) = match error {
            E::Missing { field } => (ErrorCode::SignatureMissing, Some(field)),
            E::Expired | E::Future | E::Stale => (ErrorCode::SignatureStale, None),
            E::DigestMismatch => (ErrorCode::DigestMismatch, Some("content-digest")),
            E::Doubled { field } | E::Label { field } | E::Malformed { field } => {
                (ErrorCode::SignatureInvalid, Some(field))
            }
            E::Parameter { name } => (ErrorCode::SignatureInvalid, Some(name)),
            E::Components
            | E::ContentType
            | E::KeyId
            | E::Lifetime
            | E::Tag
            | E::WrongSignature => (ErrorCode::SignatureInvalid, None),
        };
        let refusal = Self::with_message(code, sentence(&error.to_string()));
        match field {
            Some(field) => refusal.field(field),
            None => refusal,
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::new(ErrorCode::Overloaded),
            PasswordError::Damaged => Self::internal(error),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Full => ErrorCode::Overloaded,
            StoreError::Away { .. } | StoreError::Behind | StoreError::Stopped => {
                ErrorCode::NotReady
            }
            StoreError::Corrupt { .. }
            | StoreError::Crossed
            | StoreError::Engine { .. }
            | StoreError::Unknown { .. } => ErrorCode::Internal,
        };
        Self { cause: Some(Box::new(error)), ..Self::new(code) }
    }
}

/// An error's text as a sentence for people.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use pos_protocol::Timestamp;

    use super::*;

    #[test]
    fn a_refusal_says_what_was_wrong_and_keeps_its_cause_to_itself() {
        let id = RequestId::fresh(Timestamp::from_ms(0), [0; 10]);
        let error = ApiError::internal("the disk is on fire");
        let body = serde_json::to_string(&error.problem(id)).expect("a problem is JSON");
        assert!(!body.contains("fire"), "{body}");
        assert!(body.contains(r#""code":"internal""#), "{body}");
        assert!(body.contains(r#""retry":"after","retry_after_ms":1000"#), "{body}");
        let stale = ApiError::from(SignError::Future).problem(id);
        assert_eq!(stale.code.as_str(), "signature_stale");
        assert_eq!(
            stale.message,
            "The signature was created more than 10 s in the future: check the clock."
        );
        assert_eq!(stale.retry_after_ms, None);
    }

    #[test]
    fn only_a_full_queue_of_passwords_is_a_reason_to_come_again() {
        assert_eq!(ApiError::from(PasswordError::Busy).code().wire(), "overloaded");
        assert_eq!(ApiError::from(PasswordError::Damaged).code().wire(), "internal");
    }

    #[test]
    fn what_cannot_be_read_is_told_as_a_sentence() {
        let told = |body: &str| {
            let read = pos_protocol::wire::read_body::<pos_protocol::wire::CaptureRequest>;
            let error = ApiError::from(read(body.as_bytes()).expect_err("a bad body"));
            let id = RequestId::fresh(Timestamp::from_ms(0), [0; 10]);
            error.problem(id).message
        };
        assert_eq!(
            told(r#"{"amount":1,"currency":"YEN"}"#),
            "`currency` must be an ISO 4217 code of three capital letters that is in use, such as JPY."
        );
        assert_eq!(told(r#"{"amount":1,"amount":1}"#), "Duplicate field `amount`.");
        assert_eq!(
            told(r#"{"amount":1,"currency":"JPY"} {}"#),
            "The body is not JSON: there is something behind the end of the JSON value."
        );
    }
}
