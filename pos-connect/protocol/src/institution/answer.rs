//! What became of an operation: the answer to `POST /v1/operations` and to an inquiry.

use serde::{Deserialize, Serialize};

use super::private::Json;
use super::text::Word;
use super::{Contradiction, MAX_ANSWER_OCTETS, PlainText, contradiction};
use crate::Timestamp;
use crate::id::{OperationId, OrderId};
use crate::money::{Amount, Currency, Money};
use crate::reason::DeclineReason;

/// The institution's record of an operation, or that it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationAnswer {
    /// It is known; this is where it stands.
    Outcome(Outcome),
    /// It arrived after its `not_after` and was refused, for ever. Nothing moved.
    NotProcessed {
        /// The operation that was asked for, or about.
        operation_id: OperationId,
        /// The institution's time.
        time: Timestamp,
    },
    /// Only as the answer to an inquiry: nothing under this id has arrived by `time`. See
    /// [`Self::proves_not_processed`].
    NotFound {
        /// The operation that was asked about.
        operation_id: OperationId,
        /// The institution's time.
        time: Timestamp,
    },
}

/// An operation that the institution took in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The operation, echoed.
    pub operation_id: OperationId,
    /// The order, echoed.
    pub order_id: OrderId,
    /// What moved where it is done or was reversed, else what was asked for.
    pub amount: Amount,
    /// The currency, echoed.
    pub currency: Currency,
    /// Where it stands.
    pub state: OutcomeState,
    /// The institution's own number of it.
    pub reference: PlainText,
    /// A stable pseudonym of the instrument, for velocity rules; never the number or a part of it.
    pub card_reference: Option<PlainText>,
    /// The version of the shop's particulars that the institution worked with.
    pub shop_record_version: u64,
    /// The institution's time.
    pub time: Timestamp,
}

/// Where an operation stands at the institution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeState {
    /// It was done.
    Done {
        /// The approval code, where the scheme has one.
        approval_code: Option<PlainText>,
    },
    /// It was refused, finally.
    Declined {
        /// Why, from the shared list.
        reason: DeclineReason,
        /// The institution's own code, for the operator only.
        raw_code: Option<PlainText>,
    },
    /// It was taken; the result comes later. Ask again.
    Pending {
        /// When asking again makes sense, in milliseconds from now.
        next_look_ms: Option<u32>,
    },
    /// The shopper must open this page first.
    NeedsPayer {
        /// An https address.
        payer_url: String,
    },
    /// A reversal undid it. It counts for nothing.
    Reversed,
}

/// What was asked for, to compare an answer with (`payments.md` 1: an answer that differs is
/// unknown, and alarms).
#[derive(Clone, Copy, Debug)]
pub struct Echo<'a> {
    /// The operation.
    pub operation_id: OperationId,
    /// Its order.
    pub order_id: &'a OrderId,
    /// Amount and currency.
    pub money: Money,
    /// Whether less than the amount is an answer at all: only to a sale or authorise. Whether it
    /// is also welcome, `allow_partial` says.
    pub may_be_partial: bool,
}

/// An answer names something else than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the institution's answer has another `{field}` than the operation")]
pub struct EchoMismatch {
    /// The member that differs.
    pub field: &'static str,
}

impl OperationAnswer {
    /// The operation that the answer is about.
    pub const fn operation_id(&self) -> OperationId {
        match self {
            Self::Outcome(outcome) => outcome.operation_id,
            Self::NotProcessed { operation_id, .. } | Self::NotFound { operation_id, .. } => {
                *operation_id
            }
        }
    }

    /// The institution's time.
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Outcome(outcome) => outcome.time,
            Self::NotProcessed { time, .. } | Self::NotFound { time, .. } => *time,
        }
    }

    /// Whether this proves that the operation was not processed and never will be: it was refused
    /// as late, or it is not found although its `not_after` has passed by the institution's own
    /// time (`payments.md` 3.3).
    pub fn proves_not_processed(&self, not_after: Timestamp) -> bool {
        match self {
            Self::Outcome(_) => false,
            Self::NotProcessed { .. } => true,
            Self::NotFound { time, .. } => *time > not_after,
        }
    }

    /// Compares the answer with what was asked for.
    ///
    /// # Errors
    /// [`EchoMismatch`] naming the first member that differs: the operation is unknown then.
    pub fn check_echo(&self, echo: &Echo<'_>) -> Result<(), EchoMismatch> {
        let differs = |field| Err(EchoMismatch { field });
        if self.operation_id() != echo.operation_id {
            return differs("operation_id");
        }
        let Self::Outcome(outcome) = self else {
            return Ok(());
        };
        if outcome.order_id != *echo.order_id {
            return differs("order_id");
        }
        if outcome.currency != echo.money.currency {
            return differs("currency");
        }
        let moved = matches!(outcome.state, OutcomeState::Done { .. } | OutcomeState::Reversed);
        let partial = moved && echo.may_be_partial && outcome.amount < echo.money.amount;
        if outcome.amount != echo.money.amount && !partial {
            return differs("amount");
        }
        Ok(())
    }
}

/// The names of the states on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Done,
    Declined,
    Pending,
    NeedsPayer,
    Reversed,
    NotProcessed,
    NotFound,
}

/// The JSON members, in the order of the document. Members that are not known are ignored.
#[derive(Serialize, Deserialize)]
pub struct Members {
    operation_id: OperationId,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Word<DeclineReason>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw_code: Option<PlainText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval_code: Option<PlainText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_look_ms: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payer_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<PlainText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    card_reference: Option<PlainText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shop_record_version: Option<u64>,
    time_ms: Timestamp,
}

impl Members {
    fn bare(operation_id: OperationId, state: State, time_ms: Timestamp) -> Self {
        Self {
            operation_id,
            state,
            order_id: None,
            amount: None,
            currency: None,
            reason: None,
            raw_code: None,
            approval_code: None,
            next_look_ms: None,
            payer_url: None,
            reference: None,
            card_reference: None,
            shop_record_version: None,
            time_ms,
        }
    }

    /// What belongs to one state must not stand beside another.
    fn belong(&self) -> Result<(), Contradiction> {
        let members = [
            ("reason", self.reason.is_some(), State::Declined),
            ("raw_code", self.raw_code.is_some(), State::Declined),
            ("approval_code", self.approval_code.is_some(), State::Done),
            ("next_look_ms", self.next_look_ms.is_some(), State::Pending),
            ("payer_url", self.payer_url.is_some(), State::NeedsPayer),
        ];
        match members.iter().find(|(_, given, owner)| *given && *owner != self.state) {
            Some((field, ..)) => contradiction(field, "does not belong to this state"),
            None => Ok(()),
        }
    }

    fn outcome(self, state: OutcomeState) -> Result<OperationAnswer, Contradiction> {
        const MISSING: &str = "is missing: the outcome of an operation has it";
        let Some(order_id) = self.order_id else {
            return contradiction("order_id", MISSING);
        };
        let Some(amount) = self.amount else {
            return contradiction("amount", MISSING);
        };
        let Some(currency) = self.currency else {
            return contradiction("currency", MISSING);
        };
        let Some(reference) = self.reference else {
            return contradiction("reference", MISSING);
        };
        let Some(shop_record_version) = self.shop_record_version else {
            return contradiction("shop_record_version", MISSING);
        };
        Ok(OperationAnswer::Outcome(Outcome {
            operation_id: self.operation_id,
            order_id,
            amount,
            currency,
            state,
            reference,
            card_reference: self.card_reference,
            shop_record_version,
            time: self.time_ms,
        }))
    }
}

impl Json for OperationAnswer {
    type Members = Members;

    const MOST_OCTETS: usize = MAX_ANSWER_OCTETS;

    fn from_members(mut members: Members) -> Result<Self, Contradiction> {
        members.belong()?;
        let (operation_id, time) = (members.operation_id, members.time_ms);
        let state = match members.state {
            State::Done => OutcomeState::Done { approval_code: members.approval_code.take() },
            State::Declined => {
                let Some(word) = members.reason.take() else {
                    return contradiction("reason", "is missing: a decline has one");
                };
                let (reason, raw_code) = word.reason(members.raw_code.take());
                OutcomeState::Declined { reason, raw_code }
            }
            State::Pending => OutcomeState::Pending { next_look_ms: members.next_look_ms },
            State::NeedsPayer => match members.payer_url.take() {
                Some(payer_url) if is_https(&payer_url) => OutcomeState::NeedsPayer { payer_url },
                _ => return contradiction("payer_url", "must be an https address"),
            },
            State::Reversed => OutcomeState::Reversed,
            State::NotProcessed => return Ok(Self::NotProcessed { operation_id, time }),
            State::NotFound => return Ok(Self::NotFound { operation_id, time }),
        };
        members.outcome(state)
    }

    fn to_members(&self) -> Members {
        let outcome = match self {
            Self::NotProcessed { operation_id, time } => {
                return Members::bare(*operation_id, State::NotProcessed, *time);
            }
            Self::NotFound { operation_id, time } => {
                return Members::bare(*operation_id, State::NotFound, *time);
            }
            Self::Outcome(outcome) => outcome,
        };
        let bare = |state| Members::bare(outcome.operation_id, state, outcome.time);
        let stated = match &outcome.state {
            OutcomeState::Done { approval_code } => {
                Members { approval_code: approval_code.clone(), ..bare(State::Done) }
            }
            OutcomeState::Declined { reason, raw_code } => Members {
                reason: Some(Word::Known(*reason)),
                raw_code: raw_code.clone(),
                ..bare(State::Declined)
            },
            OutcomeState::Pending { next_look_ms } => {
                Members { next_look_ms: *next_look_ms, ..bare(State::Pending) }
            }
            OutcomeState::NeedsPayer { payer_url } => {
                Members { payer_url: Some(payer_url.clone()), ..bare(State::NeedsPayer) }
            }
            OutcomeState::Reversed => bare(State::Reversed),
        };
        Members {
            order_id: Some(outcome.order_id.clone()),
            amount: Some(outcome.amount),
            currency: Some(outcome.currency),
            reference: Some(outcome.reference.clone()),
            card_reference: outcome.card_reference.clone(),
            shop_record_version: Some(outcome.shop_record_version),
            ..stated
        }
    }
}

/// An https address of at most 2048 printable characters: what a page may safely be sent to.
fn is_https(url: &str) -> bool {
    url.len() <= 2048
        && url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
        && url.bytes().all(|octet| (b'!'..=b'~').contains(&octet))
}
