//! The JSON bodies of the calls between a shop and the server (`docs/PROTOCOL.md`).
//!
//! Requests refuse unknown and doubled fields; answers are read tolerantly, so that a newer server
//! may say more. Money is an integer of minor units, time an integer of milliseconds.

mod access;
mod notices;
mod offers;
mod payments;
mod problem;
mod strict;

pub use access::{
    AnswerKeys, KeyAnswer, KeyList, KeyRole, LoginRequest, RegisterRequest, RegistrationAnswer,
    RevokeKeyRequest, RollKeyRequest, SessionAnswer, SignOutRequest, WireKeyRole,
};
pub use notices::{
    InvalidMailAddress, MailAddress, MailLanguage, MailSettings, Notice, NoticeData,
    NoticeSettings, SetNoticesRequest, SetWebhook, WebhookSettings, WireMailLanguage,
};
pub use offers::{
    Candidate, CheckAnswer, CheckRequest, CheckState, ContractView, CurrencyLimits, MethodsAnswer,
    QuoteAnswer, QuoteRequest, Rejection, WireCheckState,
};
pub use payments::{
    CaptureRequest, Decline, HistoryPage, KeyStatus, NotFoundEvidence, OperationView, PayRequest,
    PaymentView, RefundRequest, TimeGap, VoidRequest, WireOperationState,
};
pub use problem::{Problem, ReadError, read_body};

/// The only content type of requests and answers.
pub const CONTENT_TYPE: &str = "application/json";

/// The largest request body that the server reads, in octets.
pub const MAX_BODY: usize = 16 * 1024;

/// The routes, as templates. `{…}` is one path segment.
pub mod route {
    /// POST: initial registration. Signed by the key in its own body.
    pub const REGISTRATIONS: &str = "/v1/registrations";
    /// POST: sign in with a fresh session key. Signed by the key in its own body.
    pub const SESSIONS: &str = "/v1/sessions";
    /// POST: end the session whose key signs the call.
    pub const SIGN_OUT: &str = "/v1/sessions/end";
    /// GET: the shop's keys.
    pub const KEYS: &str = "/v1/keys";
    /// POST: register the successor of the key that signs the call.
    pub const KEY_ROLL: &str = "/v1/keys/roll";
    /// POST: revoke a key.
    pub const KEY_REVOKE: &str = "/v1/keys/{key_id}/revoke";
    /// GET: where the shop is told of what happens. POST: set that.
    pub const NOTICES: &str = "/v1/notices";
    /// GET: usable contracts by method.
    pub const METHODS: &str = "/v1/methods";
    /// POST, a read: which contract would be used.
    pub const QUOTES: &str = "/v1/quotes";
    /// POST: ask the institution whether an instrument would do.
    pub const CHECKS: &str = "/v1/checks";
    /// POST: sale or authorise. GET: history.
    pub const PAYMENTS: &str = "/v1/payments";
    /// GET: one payment.
    pub const PAYMENT: &str = "/v1/payments/{payment_id}";
    /// POST: capture.
    pub const CAPTURES: &str = "/v1/payments/{payment_id}/captures";
    /// POST: void.
    pub const VOIDS: &str = "/v1/payments/{payment_id}/voids";
    /// POST: refund.
    pub const REFUNDS: &str = "/v1/payments/{payment_id}/refunds";
    /// GET: the payment of an order.
    pub const ORDER: &str = "/v1/orders/{order_id}";
    /// GET: the operation under an idempotency key.
    pub const OPERATION: &str = "/v1/operations/{idempotency_key}";
    /// GET, unsigned: every answer-key succession statement.
    pub const ANSWER_KEYS: &str = "/v1/answer-keys";
    /// GET, unsigned: the OpenAPI 3.1 document.
    pub const OPENAPI: &str = "/v1/openapi.json";
}
