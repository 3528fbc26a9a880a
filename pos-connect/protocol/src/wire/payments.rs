//! Payments and their operations.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::code::WireRetry;
use crate::id::{
    ContractId, IdempotencyKey, InstitutionId, OperationId, OrderId, PaymentId, PosId,
};
use crate::money::{Amount, Currency};
use crate::payment::{OperationKind, OperationState, PaymentState, WireOperation};
use crate::reason::{DeclineReason, WireAdvice, WireReason};
use crate::seal::Envelope;
use crate::wire::Rejection;

/// `POST /v1/payments`: a sale, or an authorisation to be captured later.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PayRequest {
    /// `sale` or `authorise`.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::openapi::beginning))]
    pub operation: OperationKind,
    /// From a quote, or from `methods`.
    pub contract_id: ContractId,
    /// The shop's order; it can be paid once.
    pub order_id: OrderId,
    /// In minor units.
    pub amount: Amount,
    /// Of the order.
    pub currency: Currency,
    /// The instrument, sealed for this order, operation and amount.
    pub envelope: Envelope,
    /// Whether an approval of a smaller amount is welcome; without it such an approval does not
    /// stand.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_partial: bool,
    /// After so many seconds, from 1 to 604,800, the shop gives up: an approval that becomes known later
    /// is reversed. Without it a late approval is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up_after_s: Option<u32>,
}

/// `POST /v1/payments/{payment_id}/captures`: takes the authorised amount or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CaptureRequest {
    /// In minor units.
    pub amount: Amount,
    /// Of the payment.
    pub currency: Currency,
}

/// `POST /v1/payments/{payment_id}/refunds`: pays back what was captured, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefundRequest {
    /// In minor units.
    pub amount: Amount,
    /// Of the payment.
    pub currency: Currency,
}

/// `POST /v1/payments/{payment_id}/voids`: releases all that was authorised and not captured.
/// The body is `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VoidRequest {}

/// Why the institution declined, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decline {
    /// From the shared list. For the shop alone; shoppers get `shopper_advice`.
    pub reason: WireReason,
    /// A sentence for the person at the shop.
    pub message: String,
    /// The same in Japanese.
    pub message_ja: String,
    /// What the shopper may be told.
    pub shopper_advice: WireAdvice,
}

impl From<DeclineReason> for Decline {
    fn from(reason: DeclineReason) -> Self {
        Self {
            reason: reason.into(),
            message: reason.english().into(),
            message_ja: reason.japanese().into(),
            shopper_advice: reason.shopper_advice().into(),
        }
    }
}

macro_rules! wire_states {
    ($($(#[$doc:meta])* $name:ident $wire:literal;)*) => {
        /// Where an operation stands, as a shop sees it.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum WireOperationState {
            $($(#[$doc])* $name,)*
            /// A state of a newer server: treat it as pending.
            Other(Box<str>),
        }

        impl WireOperationState {
            /// The name on the wire.
            pub fn wire(&self) -> &str {
                match self { $(Self::$name => $wire,)* Self::Other(name) => name }
            }

            fn from_wire(name: &str) -> Self {
                match name { $($wire => Self::$name,)* other => Self::Other(other.into()) }
            }
        }

        #[cfg(feature = "openapi")]
        crate::openapi::text_schema!(
            WireOperationState,
            crate::openapi::open_text(
                "Where an operation stands; a state that a client does not know is to be treated as pending.",
                [$($wire),*],
            )
        );
    };
}

wire_states! {
    /// Under way.
    Processing "processing";
    /// Done, for `done_amount`.
    Done "done";
    /// Refused by the institution; `decline` says why.
    Declined "declined";
    /// Certainly not processed. A new try takes a quote, a new key and a new envelope.
    NotSent "not_sent";
    /// Waits for the shopper.
    NeedsPayer "needs_payer";
    /// Taken by the institution; the result comes later.
    Pending "pending";
    /// No outcome that can be believed yet. Wait and ask; never charge again.
    Unknown "unknown";
    /// Being undone.
    Reversing "reversing";
    /// Undone.
    Reversed "reversed";
    /// A person of the operator has to decide.
    NeedsHuman "needs_human";
}

impl WireOperationState {
    /// Whether the outcome is final.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done | Self::Declined | Self::NotSent | Self::Reversed)
    }
}

impl From<OperationState> for WireOperationState {
    fn from(state: OperationState) -> Self {
        Self::from_wire(state.wire())
    }
}

impl Serialize for WireOperationState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.wire())
    }
}

impl<'de> Deserialize<'de> for WireOperationState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_wire(&String::deserialize(deserializer)?))
    }
}

/// One operation: the answer to every mutation, and a part of a payment. Once its state is final
/// the same key is answered with the same octets for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperationView {
    /// Its id; the institution knows it by the same.
    pub operation_id: OperationId,
    /// The payment it belongs to.
    pub payment_id: PaymentId,
    /// The shop's order.
    pub order_id: OrderId,
    /// The key it was made with.
    pub idempotency_key: IdempotencyKey,
    /// What it moves.
    pub operation: WireOperation,
    /// Where it stands.
    pub state: WireOperationState,
    /// What was asked for, in minor units; of a void, what it releases.
    pub amount: Amount,
    /// Of the payment.
    pub currency: Currency,
    /// What was done; less than `amount` only for an allowed partial approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_amount: Option<Amount>,
    /// With `declined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline: Option<Decline>,
    /// The contract it runs under.
    pub contract_id: ContractId,
    /// The institution that settles it.
    pub institution: InstitutionId,
    /// The institution's own reference, once it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub institution_reference: Option<String>,
    /// When it was begun.
    pub created_at_ms: Timestamp,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<Timestamp>,
    /// With `not_sent`, where the shop's own envelope is the reason: the institution found that it
    /// was sealed for something else, altered, used or too old, and would not process the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Rejection>,
    /// With `not_sent`: `new_quote`, for a new try takes a quote, a new key and a new envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<WireRetry>,
    /// While it is open: where to ask (a path), and after how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_path: Option<String>,
    /// While it is open: when asking again is worth it, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_after_ms: Option<u64>,
}

/// One payment with all its operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentView {
    /// Its id.
    pub payment_id: PaymentId,
    /// The shop's order.
    pub order_id: OrderId,
    /// The POS whose contract pays.
    pub pos_id: PosId,
    /// The contract.
    pub contract_id: ContractId,
    /// The institution.
    pub institution: InstitutionId,
    /// What people see.
    pub state: PaymentState,
    /// What the order comes to, in minor units.
    pub amount: Amount,
    /// Of the order.
    pub currency: Currency,
    /// Approved so far, in minor units.
    pub authorised: u64,
    /// Captured so far.
    pub captured: u64,
    /// Released so far.
    pub released: u64,
    /// Refunded so far.
    pub refunded: u64,
    /// When it was begun.
    pub created_at_ms: Timestamp,
    /// Its operations, oldest first.
    pub operations: Vec<OperationView>,
}

/// `GET /v1/payments?after=&limit=&pos=`: history, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryPage {
    /// At most `limit` (1 to 100, 50 unless told) payments.
    pub payments: Vec<PaymentView>,
    /// Pass it as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<PaymentId>,
}

/// `GET /v1/operations/{idempotency_key}`: what became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    target_pointer_width = "64",
    expect(clippy::large_enum_variant, reason = "one is made for each answer, and none is kept")
)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum KeyStatus {
    /// The key belongs to this operation.
    Operation(OperationView),
    /// The key was answered with this refusal, and stays so.
    Refusal(super::Problem),
    /// No call with this key has arrived. Only past the last attempt's `expires` does that mean
    /// that none will.
    Nothing(NotFoundEvidence),
}

/// What "nothing under this key" is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotFoundEvidence {
    /// The server's time, also in the answer's signature.
    pub server_time_ms: Timestamp,
    /// Times of which the server lost its memory (restores from a backup). An attempt within one
    /// needs a person.
    pub gaps: Vec<TimeGap>,
}

/// A span of time, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TimeGap {
    /// First millisecond.
    pub from_ms: Timestamp,
    /// Last millisecond.
    pub to_ms: Timestamp,
}
