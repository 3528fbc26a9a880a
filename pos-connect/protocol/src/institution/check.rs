//! `POST /v1/checks`: would this be paid? Nothing moves, and the balance is never told.

use serde::{Deserialize, Serialize};

use super::private::Json;
use super::text::Word;
use super::{Contradiction, MAX_ANSWER_OCTETS, MAX_REQUEST_OCTETS, contradiction};
use crate::Timestamp;
use crate::id::{ContractNumber, InstitutionId, OrderId};
use crate::money::{Amount, Currency, Money};
use crate::reason::DeclineReason;
use crate::seal::{Binding, Envelope, SealedOperation};

/// Asks whether a sale of this order with this instrument would pass now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The number under which the institution keeps the shop.
    pub contract_number: ContractNumber,
    /// The shop's number of the order.
    pub order_id: OrderId,
    /// How much, in minor units of ISO 4217.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// The instrument, sealed for `check`. Its `rand` is taken by the first check.
    pub envelope: Envelope,
}

impl CheckRequest {
    /// What the envelope must have been sealed for, as the institution of this id sees it.
    pub fn binding(&self, institution: &InstitutionId) -> Binding {
        Binding {
            institution: institution.clone(),
            contract_number: self.contract_number.clone(),
            operation: SealedOperation::Check,
            order_id: self.order_id.clone(),
            money: Money { amount: self.amount, currency: self.currency },
        }
    }
}

super::plain_body!(CheckRequest, MAX_REQUEST_OCTETS, |body| Ok::<(), Contradiction>(()));

/// The answer to a check: a promise of nothing, true at `time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckAnswer {
    /// The order, echoed.
    pub order_id: OrderId,
    /// The amount and currency, echoed.
    pub money: Money,
    /// What a sale would meet.
    pub state: CheckState,
    /// The institution's time.
    pub time: Timestamp,
}

/// What a sale would meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// It would pass.
    Sufficient,
    /// Balance or limit is lower than the amount.
    TooLow,
    /// The instrument is past its date.
    Expired,
    /// It would be declined for another reason.
    Refused(DeclineReason),
}

impl CheckAnswer {
    /// Whether the answer speaks of this request.
    pub fn echoes(&self, request: &CheckRequest) -> bool {
        self.order_id == request.order_id
            && self.money == (Money { amount: request.amount, currency: request.currency })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Sufficient,
    TooLow,
    Expired,
    Refused,
}

/// The JSON members, in the order of the document. Members that are not known are ignored.
#[derive(Serialize, Deserialize)]
pub struct Members {
    state: State,
    order_id: OrderId,
    amount: Amount,
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Word<DeclineReason>>,
    time_ms: Timestamp,
}

impl Json for CheckAnswer {
    type Members = Members;

    const MOST_OCTETS: usize = MAX_ANSWER_OCTETS;

    fn from_members(members: Members) -> Result<Self, Contradiction> {
        let state = match (members.state, members.reason) {
            (State::Refused, Some(word)) => CheckState::Refused(word.reason(None).0),
            (State::Refused, None) => {
                return contradiction("reason", "is missing: a refusal has one");
            }
            (_, Some(_)) => return contradiction("reason", "does not belong to this state"),
            (State::Sufficient, None) => CheckState::Sufficient,
            (State::TooLow, None) => CheckState::TooLow,
            (State::Expired, None) => CheckState::Expired,
        };
        Ok(Self {
            order_id: members.order_id,
            money: Money { amount: members.amount, currency: members.currency },
            state,
            time: members.time_ms,
        })
    }

    fn to_members(&self) -> Members {
        let (state, reason) = match self.state {
            CheckState::Sufficient => (State::Sufficient, None),
            CheckState::TooLow => (State::TooLow, None),
            CheckState::Expired => (State::Expired, None),
            CheckState::Refused(reason) => (State::Refused, Some(Word::Known(reason))),
        };
        Members {
            state,
            order_id: self.order_id.clone(),
            amount: self.money.amount,
            currency: self.money.currency,
            reason,
            time_ms: self.time,
        }
    }
}
