//! What a shop can be paid by, and which contract a payment would use.

use serde::{Deserialize, Serialize};

use crate::code::ErrorCode;
use crate::code::WireCode;
use crate::id::{ContractId, ContractNumber, InstitutionId, Method, OrderId, PosId};
use crate::key::PublicKey;
use crate::money::{Amount, Currency};
use crate::payment::WireOperation;
use crate::reason::DeclineReason;
use crate::seal::{Envelope, SignedSealKeySet};
use crate::word::{Open, words};

/// One contract that can be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContractView {
    /// Names the contract in `pay`.
    pub contract_id: ContractId,
    /// The POS that it is registered on.
    pub pos_id: PosId,
    /// Who settles.
    pub institution: InstitutionId,
    /// The institution's name for people.
    pub institution_name: String,
    /// The same in Japanese.
    pub institution_name_ja: String,
    /// The institution's root key, which signs its seal key sets. A module remembers the first one
    /// that it was told, or has it from the shop's contract, and refuses another.
    pub seal_root: PublicKey,
    /// The shop's number there; the envelope is bound to it.
    pub contract_number: ContractNumber,
    /// By what shoppers pay.
    pub methods: Vec<Method>,
    /// In which currencies, and how much of each.
    pub currencies: Vec<CurrencyLimits>,
    /// What the institution offers; anything else is refused as `operation_unsupported`.
    pub operations: Vec<WireOperation>,
    /// Whether `check` can be asked before paying.
    pub can_check: bool,
}

/// What a contract takes in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CurrencyLimits {
    /// The currency.
    pub currency: Currency,
    /// The least amount of a payment, in minor units.
    pub least: Amount,
    /// The largest amount, in minor units.
    pub most: Amount,
}

/// `GET /v1/methods?pos=`: everything that can be used now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MethodsAnswer {
    /// Every usable contract.
    pub contracts: Vec<ContractView>,
    /// The seal key set of every institution among them, signed by the institution's root key.
    pub seal_keys: Vec<SignedSealKeySet>,
    /// How long the answer may be kept, in milliseconds.
    pub keep_ms: u64,
}

/// `POST /v1/quotes`: which contract would a payment use? Nothing is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuoteRequest {
    /// The shop's order, so that an order that was paid already is told before paying.
    pub order_id: OrderId,
    /// What the shopper chose.
    pub method: Method,
    /// In minor units.
    pub amount: Amount,
    /// Of the order.
    pub currency: Currency,
    /// Only contracts of this POS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos_id: Option<PosId>,
    /// Only this contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_id: Option<ContractId>,
}

/// Answer to a quote: the contract, or why none can be used.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuoteAnswer {
    /// The contract to name in `pay`; absent when none can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractView>,
    /// The seal key set of its institution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_keys: Option<SignedSealKeySet>,
    /// Every contract that was looked at, in order of preference.
    pub considered: Vec<Candidate>,
}

/// One contract that routing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Candidate {
    /// The contract.
    pub contract_id: ContractId,
    /// Its POS.
    pub pos_id: PosId,
    /// Its institution.
    pub institution: InstitutionId,
    /// Why it cannot be used; absent for those that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection: Option<Rejection>,
}

/// Why a contract cannot be used for what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rejection {
    /// The code that `pay` would answer.
    pub code: WireCode,
    /// The sentence for the person at the shop.
    pub message: String,
    /// The same in Japanese.
    pub message_ja: String,
}

impl From<ErrorCode> for Rejection {
    fn from(code: ErrorCode) -> Self {
        let (message, message_ja) = (code.english().into(), code.japanese().into());
        Self { code: WireCode::Known(code), message, message_ja }
    }
}

/// `POST /v1/checks`: would this instrument do? Needs an idempotency key, because it counts for
/// the shop's velocity; `pay` takes a new envelope.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// The contract to ask through.
    pub contract_id: ContractId,
    /// The order that would be paid.
    pub order_id: OrderId,
    /// In minor units.
    pub amount: Amount,
    /// Of the order.
    pub currency: Currency,
    /// The instrument, sealed for operation `check`.
    pub envelope: Envelope,
}

/// What an institution says of an instrument, never the balance itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// A payment of this amount would pass now.
    Sufficient,
    /// It would not; `reason` says why.
    Refused,
}

words!(CheckState,
    "Whether a payment of this amount would pass; an answer that a client does not know is `refused`.",
    Sufficient "sufficient", Refused "refused");

/// The result of a check as it arrived.
pub type WireCheckState = Open<CheckState>;

/// Answer to a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckAnswer {
    /// Whether it would pass.
    pub state: WireCheckState,
    /// Why not, with the sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline: Option<super::Decline>,
}

impl CheckAnswer {
    /// The answer for a reason, or for none.
    pub fn from_reason(reason: Option<DeclineReason>) -> Self {
        let state = if reason.is_some() { CheckState::Refused } else { CheckState::Sufficient };
        Self { state: state.into(), decline: reason.map(Into::into) }
    }
}
