//! One error type: what to do next, the exact code, and the cause below it.

mod module_code;

use std::fmt;
use std::time::Duration;

use pos_protocol::code::{ErrorCode, Retry, WireCode};
use pos_protocol::id::{IdempotencyKey, RequestId};
use pos_protocol::seal::InvalidKeySet;
use pos_protocol::webhook::WebhookError;
use pos_protocol::wire::Problem;

use crate::config::{ConfigError, Language};
use crate::env::EnvironmentError;
use crate::exchange::Unverified;
use crate::journal::JournalError;
use crate::keys::KeyStoreError;
use crate::transport::SendFailure;

pub use module_code::ModuleCode;

/// What to do next. A new kind may come: treat one that you do not know as [`GiveUp`](Self::GiveUp).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The outcome of a payment is not known: it may have been made. Never pay again under another
    /// key; ask with [`Connection::resume`](crate::Connection::resume) and
    /// [`Error::idempotency_key`].
    AskForStatus,
    /// The call cannot succeed as it is; [`Error::field`] may say where. Nothing was moved.
    FixTheRequest,
    /// Neither waiting nor another call helps; tell the operator the code and the request id.
    /// Nothing was moved.
    GiveUp,
    /// The key or session is not good (any more): sign in, or register anew. Nothing was moved.
    SignInAgain,
    /// Nothing was moved, and a later try may succeed: after [`Error::retry_after`] under the same
    /// key where [`Error::retry`] says `SameKey` or `After`, under a new key where it says `Never`
    /// or `NewQuote`.
    Wait,
}

impl ErrorKind {
    /// The name that bindings carry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AskForStatus => "ask_for_status",
            Self::FixTheRequest => "fix_the_request",
            Self::GiveUp => "give_up",
            Self::SignInAgain => "sign_in_again",
            Self::Wait => "wait",
        }
    }
}

/// A code of the server, or of the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// The module's own finding.
    Module(ModuleCode),
    /// As the server gave it.
    Server(WireCode),
}

impl Code {
    /// The code's name; the two lists have no name in common.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Module(code) => code.as_str(),
            Self::Server(code) => code.as_str(),
        }
    }
}

/// Why a verb did not do what was asked. [`kind`](Self::kind) says what to do; match on it first.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: Code,
    request_id: Option<RequestId>,
    retry: Retry,
    retry_after: Option<Duration>,
    field: Option<String>,
    message: String,
    message_ja: String,
    language: Language,
    idempotency_key: Option<IdempotencyKey>,
    source: Option<Cause>,
}

/// What lies below an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    KeySet(#[from] InvalidKeySet),
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// The server's refusal, where it is not the last word.
    #[error("the server answered {}: {}", .0.code.as_str(), .0.message)]
    Refused(Box<Problem>),
    #[error(transparent)]
    Sending(#[from] SendFailure),
    #[error("the answer is not the JSON that was expected")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Unverified(#[from] Unverified),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}

impl Error {
    /// What to do next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The exact code, for logs and for cases that need more than the kind.
    pub fn code(&self) -> &Code {
        &self.0.code
    }

    /// Names the call in the operator's log, where the server answered.
    pub fn request_id(&self) -> Option<RequestId> {
        self.0.request_id
    }

    /// Whether and how the same call may be made again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// How long to wait before that, where the server said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The field that was wrong, as a JSON path.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The sentence for people, in English.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The same in Japanese.
    pub fn message_ja(&self) -> &str {
        &self.0.message_ja
    }

    /// The key of the payment that this is about: what to ask by.
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.0.idempotency_key.as_ref()
    }

    pub(crate) fn module(code: ModuleCode, source: Option<Cause>) -> Self {
        Self(Box::new(Inner {
            kind: code.kind(),
            code: Code::Module(code),
            request_id: None,
            retry: code.retry(),
            retry_after: None,
            field: None,
            message: code.english().into(),
            message_ja: code.japanese().into(),
            language: Language::default(),
            idempotency_key: None,
            source,
        }))
    }

    /// A refusal that is the last word.
    pub(crate) fn refused(problem: Problem) -> Self {
        let kind = match &problem.code {
            WireCode::Known(code) => kind_of(*code),
            // A code of a newer server is not retryable.
            WireCode::Unknown(_) => ErrorKind::GiveUp,
        };
        Self(Box::new(Inner {
            kind,
            code: Code::Server(problem.code),
            request_id: Some(problem.request_id),
            retry: problem.retry.known().unwrap_or(Retry::Never),
            retry_after: problem.retry_after_ms.map(Duration::from_millis),
            field: problem.field,
            message: problem.message,
            message_ja: problem.message_ja,
            language: Language::default(),
            idempotency_key: None,
            source: None,
        }))
    }

    /// The key in the journal belongs to another call: refused here as the server would.
    pub(crate) fn key_reused() -> Self {
        let code = ErrorCode::IdempotencyKeyReused;
        let mut error = Self::module(ModuleCode::Journal, None);
        error.0.kind = kind_of(code);
        error.0.code = Code::Server(WireCode::Known(code));
        error.0.retry = code.retry();
        error.0.field = Some("idempotency-key".into());
        error.0.message = code.english().into();
        error.0.message_ja = code.japanese().into();
        error
    }

    /// Something kept an answer from being had, for a call of which nothing is in doubt.
    pub(crate) fn without_answer(cause: Cause) -> Self {
        let code = match &cause {
            Cause::Config(_) => ModuleCode::Configuration,
            Cause::Environment(_) => ModuleCode::Environment,
            Cause::Journal(_) => ModuleCode::Journal,
            Cause::KeySet(_) => ModuleCode::SealKeysRefused,
            Cause::KeyStore(_) => ModuleCode::KeyStore,
            Cause::Refused(problem) => return Self::refused((**problem).clone()),
            Cause::Sending(failure) if failure.is_untrusted() => ModuleCode::ServerNotTrusted,
            Cause::Sending(failure) if failure.nothing_was_sent() => ModuleCode::ServerUnreachable,
            Cause::Sending(_) => ModuleCode::ServerSilent,
            Cause::Unreadable(_) => ModuleCode::AnswerUnreadable,
            Cause::Unverified(Unverified::Succession(_)) => ModuleCode::ServerNotProved,
            Cause::Unverified(_) => ModuleCode::AnswerUnverified,
            Cause::Webhook(_) => ModuleCode::WebhookUnverified,
        };
        Self::module(code, Some(cause))
    }

    /// The outcome of a payment is not known; the cause, if there is one, says why.
    pub(crate) fn outcome_unknown(cause: Option<Cause>) -> Self {
        let mut error = Self::module(ModuleCode::OutcomeUnknown, None);
        if let Some(Cause::Refused(problem)) = &cause {
            error.0.request_id = Some(problem.request_id);
            error.0.retry_after = problem.retry_after_ms.map(Duration::from_millis);
        }
        error.0.source = cause;
        error
    }

    /// The same, where an earlier call under the key may have moved money.
    #[must_use]
    pub(crate) fn in_doubt(mut self) -> Self {
        self.0.kind = ErrorKind::AskForStatus;
        // Never by another key, whatever the code would advise.
        self.0.retry = Retry::SameKey;
        self
    }

    #[must_use]
    pub(crate) fn about(mut self, key: Option<&IdempotencyKey>) -> Self {
        self.0.idempotency_key = key.cloned();
        self
    }

    #[must_use]
    pub(crate) fn in_language(mut self, language: Language) -> Self {
        self.0.language = language;
        self
    }

    /// With other advice than the code's.
    #[must_use]
    pub(crate) fn retried_by(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    pub(crate) fn says(&self, code: ErrorCode) -> bool {
        self.0.code == Code::Server(WireCode::Known(code))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.language {
            Language::English => &self.0.message,
            Language::Japanese => &self.0.message_ja,
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code.as_str())
            .field("message", &self.0.message)
            .field("field", &self.0.field)
            .field("request_id", &self.0.request_id)
            .field("idempotency_key", &self.0.idempotency_key)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|cause| cause as _)
    }
}

impl From<ConfigError> for Error {
    fn from(cause: ConfigError) -> Self {
        Self::without_answer(cause.into())
    }
}

impl From<EnvironmentError> for Error {
    fn from(cause: EnvironmentError) -> Self {
        Self::without_answer(cause.into())
    }
}

impl From<JournalError> for Error {
    fn from(cause: JournalError) -> Self {
        Self::without_answer(cause.into())
    }
}

impl From<KeyStoreError> for Error {
    fn from(cause: KeyStoreError) -> Self {
        Self::without_answer(cause.into())
    }
}

/// What to do about a refusal that is the last word on a call.
fn kind_of(code: ErrorCode) -> ErrorKind {
    use ErrorCode as C;
    match code {
        C::AmountExceeded
        | C::AmountOutOfLimits
        | C::BodyTooLarge
        | C::ContractDisabled
        | C::CurrencyMismatch
        | C::CurrencyNotAccepted
        | C::EnvelopeExpired
        | C::EnvelopeInvalid
        | C::EnvelopeUsed
        | C::IdempotencyKeyInvalid
        | C::IdempotencyKeyMissing
        | C::IdempotencyKeyReused
        | C::InstitutionDisabled
        | C::InvalidField
        | C::InvalidJson
        | C::NotFound
        | C::NothingLeft
        | C::OperationUnsupported
        | C::OrderTaken => ErrorKind::FixTheRequest,
        // A call of ours that the server takes for malformed was altered on its way, or the two
        // are set up or built differently; the shop's code cannot mend that.
        C::DigestMismatch
        | C::MethodNotAllowed
        | C::NotPermitted
        | C::SignatureInvalid
        | C::SignatureMissing
        | C::UnsupportedMediaType => ErrorKind::GiveUp,
        C::CredentialRefused | C::KeyRevoked | C::KeyUnknown | C::SessionEnded => {
            ErrorKind::SignInAgain
        }
        C::BodyTooSlow
        | C::Busy
        | C::DeadlineTooShort
        | C::InstitutionUnavailable
        | C::Internal
        | C::LoginLocked
        | C::NotReady
        | C::Overloaded
        | C::SignatureStale
        | C::TooManyRequests => ErrorKind::Wait,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn problem(code: WireCode) -> Problem {
        Problem {
            code,
            message: "en".into(),
            message_ja: "ja".into(),
            request_id: "req_014d2pf2dbzzzzzzzzzzzzzzzz".parse().unwrap(),
            field: Some("amount".into()),
            retry: Retry::After.into(),
            retry_after_ms: Some(1_500),
        }
    }

    /// The whole table, as literals: a code that is added must be entered here too.
    #[test]
    fn every_code_of_the_server_has_its_kind() {
        let table = [
            ("invalid_json", "fix_the_request"),
            ("invalid_field", "fix_the_request"),
            ("idempotency_key_missing", "fix_the_request"),
            ("idempotency_key_invalid", "fix_the_request"),
            ("idempotency_key_reused", "fix_the_request"),
            ("deadline_too_short", "wait"),
            ("body_too_large", "fix_the_request"),
            ("body_too_slow", "wait"),
            ("unsupported_media_type", "give_up"),
            ("not_found", "fix_the_request"),
            ("method_not_allowed", "give_up"),
            ("signature_missing", "give_up"),
            ("signature_invalid", "give_up"),
            ("signature_stale", "wait"),
            ("digest_mismatch", "give_up"),
            ("key_unknown", "sign_in_again"),
            ("key_revoked", "sign_in_again"),
            ("session_ended", "sign_in_again"),
            ("credential_refused", "sign_in_again"),
            ("login_locked", "wait"),
            ("not_permitted", "give_up"),
            ("order_taken", "fix_the_request"),
            ("busy", "wait"),
            ("amount_exceeded", "fix_the_request"),
            ("nothing_left", "fix_the_request"),
            ("currency_mismatch", "fix_the_request"),
            ("operation_unsupported", "fix_the_request"),
            ("currency_not_accepted", "fix_the_request"),
            ("amount_out_of_limits", "fix_the_request"),
            ("contract_disabled", "fix_the_request"),
            ("institution_disabled", "fix_the_request"),
            ("envelope_invalid", "fix_the_request"),
            ("envelope_expired", "fix_the_request"),
            ("envelope_used", "fix_the_request"),
            ("institution_unavailable", "wait"),
            ("too_many_requests", "wait"),
            ("overloaded", "wait"),
            ("not_ready", "wait"),
            ("internal", "wait"),
        ];
        let found: Vec<(&str, &str)> = ErrorCode::ALL
            .iter()
            .map(|code| {
                let error = Error::refused(problem(WireCode::Known(*code)));
                assert_eq!(error.code().as_str(), code.wire());
                (code.wire(), error.kind().as_str())
            })
            .collect();
        assert_eq!(found, table);
    }

    #[test]
    fn every_code_of_the_module_has_its_kind_and_a_name_of_its_own() {
        let table = [
            ("already_open", "fix_the_request"),
            ("already_registered", "fix_the_request"),
            ("answer_unreadable", "give_up"),
            ("answer_unverified", "wait"),
            ("closed", "fix_the_request"),
            ("configuration", "fix_the_request"),
            ("environment", "give_up"),
            ("foreign_entry", "ask_for_status"),
            ("journal", "give_up"),
            ("key_store", "give_up"),
            ("needs_human", "ask_for_status"),
            ("nested", "fix_the_request"),
            ("not_a_module_key", "fix_the_request"),
            ("not_in_journal", "fix_the_request"),
            ("not_made", "wait"),
            ("not_registered", "sign_in_again"),
            ("open_under_key", "ask_for_status"),
            ("outcome_unknown", "ask_for_status"),
            ("seal_keys_refused", "give_up"),
            ("seal_root_changed", "give_up"),
            ("server_not_proved", "give_up"),
            ("server_not_trusted", "give_up"),
            ("server_silent", "wait"),
            ("server_unreachable", "wait"),
            ("webhook_unverified", "fix_the_request"),
        ];
        let found: Vec<(&str, &str)> = ModuleCode::ALL
            .iter()
            .map(|code| {
                let error = Error::module(*code, None);
                assert!(ErrorCode::from_wire(code.as_str()).is_none(), "{}", code.as_str());
                assert!(!error.message().is_empty() && !error.message_ja().is_ascii());
                (code.as_str(), error.kind().as_str())
            })
            .collect();
        assert_eq!(found, table);
    }

    /// What to do next and how to repeat must not contradict each other: a refusal that is kept under
    /// its key, and "not made", ask for a new one.
    #[test]
    fn what_may_succeed_later_says_under_which_key() {
        let mut found = Vec::new();
        for code in ErrorCode::ALL {
            let refused = Problem { retry: code.retry().into(), ..problem(WireCode::Known(*code)) };
            let error = Error::refused(refused);
            if error.kind() == ErrorKind::Wait {
                found.push((code.wire(), error.retry()));
            }
            let is_same_key = matches!(error.retry(), Retry::SameKey | Retry::After);
            assert!(!(code.is_kept() && is_same_key), "{}", code.wire());
        }
        for code in ModuleCode::ALL.iter().filter(|code| code.kind() == ErrorKind::Wait) {
            found.push((code.as_str(), Error::module(*code, None).retry()));
        }
        let table = [
            ("deadline_too_short", Retry::SameKey),
            ("body_too_slow", Retry::SameKey),
            ("signature_stale", Retry::SameKey),
            ("login_locked", Retry::After),
            ("busy", Retry::Never),
            ("institution_unavailable", Retry::After),
            ("too_many_requests", Retry::After),
            ("overloaded", Retry::After),
            ("not_ready", Retry::After),
            ("internal", Retry::After),
            ("answer_unverified", Retry::SameKey),
            ("not_made", Retry::NewQuote),
            ("server_silent", Retry::SameKey),
            ("server_unreachable", Retry::SameKey),
        ];
        assert_eq!(found, table);
    }

    #[test]
    fn a_code_of_a_newer_server_is_not_retried() {
        let error = Error::refused(problem(WireCode::Unknown("from_the_future".into())));
        assert_eq!((error.kind(), error.code().as_str()), (ErrorKind::GiveUp, "from_the_future"));
    }

    #[test]
    fn an_error_carries_what_the_server_said() {
        let error = Error::refused(problem(WireCode::Known(ErrorCode::Busy)));
        assert_eq!(error.retry(), Retry::After);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1_500)));
        assert_eq!(error.field(), Some("amount"));
        assert_eq!(error.to_string(), "en");
        assert_eq!(error.in_language(Language::Japanese).to_string(), "ja");
    }

    #[test]
    fn a_refusal_that_is_not_the_last_word_stays_a_cause() {
        let refused = Cause::Refused(Box::new(problem(WireCode::Known(ErrorCode::Overloaded))));
        let error = Error::outcome_unknown(Some(refused));
        assert_eq!(error.kind(), ErrorKind::AskForStatus);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(1_500)));
        assert_eq!(error.source().unwrap().to_string(), "the server answered overloaded: en");
    }
}
