//! Payments and their operations.

use pos_connect::journal::Entry;
use pos_connect::wire::{self, NotFoundEvidence, OperationView, PaymentView};
use pos_connect_macros::record;

use super::{
    OperationKind, OperationState, PaymentState, ShopperAdvice, money, ms, read, read_if, read_json,
};
use crate::error::Error;

/// An order to be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record(request)]
pub struct Order {
    /// The contract to pay by, from a quote or from the methods.
    pub contract_id: String,
    /// The shop's number of the order; it is paid once.
    pub order_id: String,
    /// What it comes to, in minor units: 1200 is ¥1,200 in JPY and €12.00 in EUR.
    pub amount: u64,
    /// The currency, by its ISO 4217 code.
    pub currency: String,
    /// The shopper's instrument, sealed for this order, operation, contract and amount: the JSON text
    /// that `seal` made in the shopper's page.
    pub envelope: String,
    /// Whether an approval of a smaller amount is welcome.
    pub allow_partial: bool,
    /// After so many seconds, from 1 to 604,800, the shop gives up: an approval that becomes known later
    /// is reversed. Without it a late approval is kept.
    pub give_up_after_s: Option<u32>,
}

impl Order {
    pub(crate) fn read(&self) -> Result<pos_connect::Order, Error> {
        let Self {
            contract_id,
            order_id,
            amount,
            currency,
            envelope,
            allow_partial,
            give_up_after_s,
        } = self;
        Ok(pos_connect::Order {
            contract_id: read("contract_id", contract_id)?,
            order_id: read("order_id", order_id)?,
            money: money(*amount, currency)?,
            envelope: read_json("envelope", envelope)?,
            allow_partial: *allow_partial,
            give_up_after_s: *give_up_after_s,
        })
    }
}

/// One operation: the answer to every verb that moves money, and a part of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Operation {
    /// Its id; the institution knows it by the same.
    pub operation_id: String,
    /// The payment it belongs to.
    pub payment_id: String,
    /// The shop's order.
    pub order_id: String,
    /// The key it was made with.
    pub idempotency_key: String,
    /// What it moves.
    pub operation: OperationKind,
    /// Where it stands.
    pub state: OperationState,
    /// What was asked for, in minor units; of a void, what it releases.
    pub amount: u64,
    /// The currency.
    pub currency: String,
    /// What was done; less than `amount` only for an allowed partial approval.
    pub done_amount: Option<u64>,
    /// Why the institution refused, with `Declined`.
    pub decline: Option<Decline>,
    /// The contract it runs under.
    pub contract_id: String,
    /// The institution that settles it.
    pub institution: String,
    /// The institution's own reference, once it gave one.
    pub institution_reference: Option<String>,
    /// When it was begun, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// When it ended, if it has.
    pub ended_at_ms: Option<u64>,
    /// With `NotSent`, where the shop's own envelope is the reason.
    pub refusal: Option<Rejection>,
    /// While it is open: after how many milliseconds asking again is worth it.
    pub ask_after_ms: Option<u64>,
}

impl From<OperationView> for Operation {
    fn from(operation: OperationView) -> Self {
        let OperationView {
            operation_id,
            payment_id,
            order_id,
            idempotency_key,
            operation,
            state,
            amount,
            currency,
            done_amount,
            decline,
            contract_id,
            institution,
            institution_reference,
            created_at_ms,
            ended_at_ms,
            refusal,
            // Said by the state: a new try after `NotSent` always takes a new quote.
            retry: _,
            // The module's own way to ask is `resume`, by the key.
            status_path: _,
            ask_after_ms,
        } = operation;
        Self {
            operation_id: operation_id.to_string(),
            payment_id: payment_id.to_string(),
            order_id: order_id.to_string(),
            idempotency_key: idempotency_key.to_string(),
            operation: operation.into(),
            state: state.into(),
            amount: amount.minor(),
            currency: currency.to_string(),
            done_amount: done_amount.map(pos_connect::Amount::minor),
            decline: decline.map(Into::into),
            contract_id: contract_id.to_string(),
            institution: institution.to_string(),
            institution_reference,
            created_at_ms: ms(created_at_ms),
            ended_at_ms: ended_at_ms.map(ms),
            refusal: refusal.map(Into::into),
            ask_after_ms,
        }
    }
}

/// Why the institution declined, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Decline {
    /// From the list in `docs/ERRORS.md`. For the shop alone; shoppers get `shopper_advice`.
    pub reason: String,
    /// A sentence for the person at the shop.
    pub text_en: String,
    /// The same in Japanese.
    pub text_ja: String,
    /// What the shopper may be told.
    pub shopper_advice: ShopperAdvice,
}

impl From<wire::Decline> for Decline {
    fn from(decline: wire::Decline) -> Self {
        let wire::Decline { reason, message, message_ja, shopper_advice } = decline;
        Self {
            reason: reason.as_str().to_owned(),
            text_en: message,
            text_ja: message_ja,
            shopper_advice: shopper_advice.into(),
        }
    }
}

/// Why something cannot be used for what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Rejection {
    /// The code that `pay` would answer.
    pub code: String,
    /// The sentence for the person at the shop.
    pub text_en: String,
    /// The same in Japanese.
    pub text_ja: String,
}

impl From<wire::Rejection> for Rejection {
    fn from(rejection: wire::Rejection) -> Self {
        let wire::Rejection { code, message, message_ja } = rejection;
        Self { code: code.as_str().to_owned(), text_en: message, text_ja: message_ja }
    }
}

/// One payment with all its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Payment {
    /// Its id.
    pub payment_id: String,
    /// The shop's order.
    pub order_id: String,
    /// The POS whose contract pays.
    pub pos_id: String,
    /// The contract.
    pub contract_id: String,
    /// The institution.
    pub institution: String,
    /// What people see.
    pub state: PaymentState,
    /// What the order comes to, in minor units.
    pub amount: u64,
    /// The currency.
    pub currency: String,
    /// Approved so far, in minor units.
    pub authorised: u64,
    /// Captured so far.
    pub captured: u64,
    /// Released so far.
    pub released: u64,
    /// Refunded so far.
    pub refunded: u64,
    /// When it was begun, in milliseconds since 1970.
    pub created_at_ms: u64,
    /// Its operations, oldest first.
    pub operations: Vec<Operation>,
}

impl From<PaymentView> for Payment {
    fn from(payment: PaymentView) -> Self {
        let PaymentView {
            payment_id,
            order_id,
            pos_id,
            contract_id,
            institution,
            state,
            amount,
            currency,
            authorised,
            captured,
            released,
            refunded,
            created_at_ms,
            operations,
        } = payment;
        Self {
            payment_id: payment_id.to_string(),
            order_id: order_id.to_string(),
            pos_id: pos_id.to_string(),
            contract_id: contract_id.to_string(),
            institution: institution.to_string(),
            state: state.into(),
            amount: amount.minor(),
            currency: currency.to_string(),
            authorised,
            captured,
            released,
            refunded,
            created_at_ms: ms(created_at_ms),
            operations: operations.into_iter().map(Into::into).collect(),
        }
    }
}

/// Which part of the history is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[record(request)]
pub struct HistoryQuery {
    /// Only payments older than this one: `next` of the page before.
    pub after: Option<String>,
    /// How many at most, 1 to 100; 50 unless told.
    pub limit: Option<u8>,
    /// Only payments of this POS.
    pub pos_id: Option<String>,
}

impl HistoryQuery {
    pub(crate) fn read(&self) -> Result<pos_connect::HistoryQuery, Error> {
        let Self { after, limit, pos_id } = self;
        Ok(pos_connect::HistoryQuery {
            after: read_if("after", after.as_deref())?,
            limit: *limit,
            pos_id: read_if("pos_id", pos_id.as_deref())?,
        })
    }
}

/// One page of the history, newest payments first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct HistoryPage {
    /// The payments.
    pub payments: Vec<Payment>,
    /// Pass it as `after` for the next page; none on the last.
    pub next: Option<String>,
}

impl From<wire::HistoryPage> for HistoryPage {
    fn from(page: wire::HistoryPage) -> Self {
        let wire::HistoryPage { payments, next } = page;
        Self {
            payments: payments.into_iter().map(Into::into).collect(),
            next: next.map(|id| id.to_string()),
        }
    }
}

/// What the server has under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
#[cfg_attr(
    not(target_arch = "wasm32"),
    expect(clippy::large_enum_variant, reason = "one is made for each answer, and none is kept")
)]
pub enum KeyStatus {
    /// The key belongs to this operation.
    Found {
        /// It.
        operation: Operation,
    },
    /// The key was answered with this refusal, and stays so.
    Refused {
        /// Why.
        rejection: Rejection,
        /// Names the call in the operator's log.
        request_id: String,
        /// The field that was wrong, as a JSON path.
        field: Option<String>,
    },
    /// No call with this key has arrived so far, which is no proof that none will: `resume` knows.
    Nothing {
        /// The server's time, in milliseconds since 1970.
        server_time_ms: u64,
    },
}

impl From<wire::KeyStatus> for KeyStatus {
    fn from(status: wire::KeyStatus) -> Self {
        match status {
            wire::KeyStatus::Operation(operation) => Self::Found { operation: operation.into() },
            wire::KeyStatus::Refusal(problem) => {
                let wire::Problem {
                    code,
                    message,
                    message_ja,
                    request_id,
                    field,
                    // What was refused and kept is never tried again under its key.
                    retry: _,
                    retry_after_ms: _,
                } = problem;
                let rejection = wire::Rejection { code, message, message_ja }.into();
                Self::Refused { rejection, request_id: request_id.to_string(), field }
            }
            // The times of which the server lost its memory are judged by `resume`.
            wire::KeyStatus::Nothing(NotFoundEvidence { server_time_ms, gaps: _ }) => {
                Self::Nothing { server_time_ms: ms(server_time_ms) }
            }
        }
    }
}

/// What the journal holds of this shop at this server: payments under way, or under way when an
/// earlier process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct InFlight {
    /// The payment calls under way, in no order: settle each with `resume`.
    pub open: Vec<OpenCall>,
    /// The entries that cannot be read, whosever they are.
    pub unreadable: Vec<UnreadableCall>,
}

impl From<pos_connect::InFlight> for InFlight {
    fn from(found: pos_connect::InFlight) -> Self {
        let pos_connect::InFlight { open, unreadable } = found;
        Self {
            open: open.into_iter().map(Into::into).collect(),
            unreadable: unreadable.iter().map(Into::into).collect(),
        }
    }
}

/// One payment call under way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct OpenCall {
    /// Names the call: give it to `resume`.
    pub idempotency_key: String,
    /// What it moves, by its name on the wire.
    pub operation: String,
    /// The order, for a sale or authorisation.
    pub order_id: Option<String>,
    /// The payment, for a capture, void or refund.
    pub payment_id: Option<String>,
    /// How much in minor units, but for a void.
    pub amount: Option<u64>,
    /// Of what, but for a void.
    pub currency: Option<String>,
}

impl From<Entry> for OpenCall {
    fn from(entry: Entry) -> Self {
        let Entry {
            key,
            // Entries of others are left out.
            owner: _,
            operation,
            order_id,
            payment_id,
            amount,
            currency,
            // For the module's own judgement.
            digest: _,
            attempts: _,
        } = entry;
        Self {
            idempotency_key: key.to_string(),
            operation,
            order_id: order_id.map(|id| id.to_string()),
            payment_id: payment_id.map(|id| id.to_string()),
            amount: amount.map(pos_connect::Amount::minor),
            currency: currency.map(|currency| currency.to_string()),
        }
    }
}

/// A payment call whose entry cannot be read. Where its key is known, `operation` tells what the
/// server has under it; once a person has seen to it, `dismiss` takes it out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct UnreadableCall {
    /// Its key, where at least that is known.
    pub idempotency_key: Option<String>,
    /// What was wrong, for the log.
    pub cause: Option<String>,
}

impl From<&pos_connect::Error> for UnreadableCall {
    fn from(error: &pos_connect::Error) -> Self {
        Self {
            idempotency_key: error.idempotency_key().map(ToString::to_string),
            cause: std::error::Error::source(error).map(crate::error::causes),
        }
    }
}
