//! `POST /v1/reversals`: undo a sale or authorise whose outcome must not stand.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::private::Json;
use super::text::Word;
use super::{Contradiction, MAX_ANSWER_OCTETS, MAX_REQUEST_OCTETS, PlainText, contradiction};
use crate::Timestamp;
use crate::id::{ContractNumber, OperationId, OrderId};
use crate::money::{Amount, Currency, Money};
use crate::reason::DeclineReason;
use crate::sign::length_prefixed;

/// Undoes whatever the original did, or will do when it arrives late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReversalRequest {
    /// The reversal, also the call's `Idempotency-Key`; the same for every repeat.
    pub operation_id: OperationId,
    /// The sale or authorise to undo.
    pub original: OperationId,
    /// That of the original.
    pub contract_number: ContractNumber,
    /// That of the original.
    pub order_id: OrderId,
    /// What the original asked for.
    pub amount: Amount,
    /// That of the original.
    pub currency: Currency,
    /// Whether this reversal was sent before.
    pub repeat: bool,
    /// An arrival after this is refused; a repeat carries a later one.
    #[serde(rename = "not_after_ms")]
    pub not_after: Timestamp,
}

impl ReversalRequest {
    /// What makes two requests the same reversal: every field but `repeat` and `not_after`.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(length_prefixed(&[
            b"pos-institution/1 reversal",
            self.operation_id.to_string().as_bytes(),
            self.original.to_string().as_bytes(),
            self.contract_number.as_str().as_bytes(),
            self.order_id.as_str().as_bytes(),
            self.amount.minor().to_string().as_bytes(),
            self.currency.code().as_bytes(),
        ]))
        .into()
    }
}

super::plain_body!(ReversalRequest, MAX_REQUEST_OCTETS, |body| {
    if body.original == body.operation_id {
        contradiction("original", "must be another operation than this")
    } else {
        Ok(())
    }
});

/// What became of a reversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReversalAnswer {
    /// The reversal, echoed.
    pub operation_id: OperationId,
    /// The original, echoed.
    pub original: OperationId,
    /// The order, echoed.
    pub order_id: OrderId,
    /// The amount and currency, echoed.
    pub money: Money,
    /// What became of it.
    pub state: ReversalState,
    /// The institution's own number of it, where it made one.
    pub reference: Option<PlainText>,
    /// The institution's time.
    pub time: Timestamp,
}

/// What became of a reversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReversalState {
    /// The original counts for nothing: it was undone, or had been declined or refused anyway.
    Reversed,
    /// No such original has arrived. The institution remembers the reversal and refuses the
    /// original should it still come; final when `time` is past the original's `not_after`.
    OriginalNotFound,
    /// Too late: captured, settled or paid out. Refund instead.
    AlreadySettled,
    /// It arrived after its own `not_after`. Nothing was changed; repeat it.
    NotProcessed,
    /// Refused for another reason; repeating is useless.
    Declined {
        /// Why, from the shared list.
        reason: DeclineReason,
        /// The institution's own code, for the operator only.
        raw_code: Option<PlainText>,
    },
}

impl ReversalAnswer {
    /// Whether the original certainly counts for nothing now and for ever, given the original's
    /// `not_after` (`payments.md` 3.4).
    pub fn is_final(&self, original_not_after: Timestamp) -> bool {
        match self.state {
            ReversalState::Reversed => true,
            ReversalState::OriginalNotFound => self.time > original_not_after,
            ReversalState::AlreadySettled
            | ReversalState::NotProcessed
            | ReversalState::Declined { .. } => false,
        }
    }

    /// Whether the answer speaks of this request.
    pub fn echoes(&self, request: &ReversalRequest) -> bool {
        self.operation_id == request.operation_id
            && self.original == request.original
            && self.order_id == request.order_id
            && self.money == (Money { amount: request.amount, currency: request.currency })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Reversed,
    OriginalNotFound,
    AlreadySettled,
    NotProcessed,
    Declined,
}

/// The JSON members, in the order of the document. Members that are not known are ignored.
#[derive(Serialize, Deserialize)]
pub struct Members {
    operation_id: OperationId,
    original: OperationId,
    state: State,
    order_id: OrderId,
    amount: Amount,
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Word<DeclineReason>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw_code: Option<PlainText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<PlainText>,
    time_ms: Timestamp,
}

impl Json for ReversalAnswer {
    type Members = Members;

    const MOST_OCTETS: usize = MAX_ANSWER_OCTETS;

    fn from_members(members: Members) -> Result<Self, Contradiction> {
        let declined = members.state == State::Declined;
        if members.raw_code.is_some() && !declined {
            return contradiction("raw_code", "does not belong to this state");
        }
        let state = match (members.state, members.reason) {
            (State::Declined, Some(word)) => {
                let (reason, raw_code) = word.reason(members.raw_code);
                ReversalState::Declined { reason, raw_code }
            }
            (State::Declined, None) => {
                return contradiction("reason", "is missing: a decline has one");
            }
            (_, Some(_)) => return contradiction("reason", "does not belong to this state"),
            (State::Reversed, None) => ReversalState::Reversed,
            (State::OriginalNotFound, None) => ReversalState::OriginalNotFound,
            (State::AlreadySettled, None) => ReversalState::AlreadySettled,
            (State::NotProcessed, None) => ReversalState::NotProcessed,
        };
        Ok(Self {
            operation_id: members.operation_id,
            original: members.original,
            order_id: members.order_id,
            money: Money { amount: members.amount, currency: members.currency },
            state,
            reference: members.reference,
            time: members.time_ms,
        })
    }

    fn to_members(&self) -> Members {
        let (state, reason, raw_code) = match &self.state {
            ReversalState::Reversed => (State::Reversed, None, None),
            ReversalState::OriginalNotFound => (State::OriginalNotFound, None, None),
            ReversalState::AlreadySettled => (State::AlreadySettled, None, None),
            ReversalState::NotProcessed => (State::NotProcessed, None, None),
            ReversalState::Declined { reason, raw_code } => {
                (State::Declined, Some(Word::Known(*reason)), raw_code.clone())
            }
        };
        Members {
            operation_id: self.operation_id,
            original: self.original,
            state,
            order_id: self.order_id.clone(),
            amount: self.money.amount,
            currency: self.money.currency,
            reason,
            raw_code,
            reference: self.reference.clone(),
            time_ms: self.time,
        }
    }
}
