//! What a shop can be paid by.

use pos_connect::wire::{self, CheckAnswer, ContractView, MethodsAnswer, QuoteAnswer};
use pos_connect_macros::record;

use super::{CheckState, Decline, OperationKind, Rejection, json, money, read, read_if, read_json};
use crate::error::Error;

/// One contract that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Contract {
    /// Names the contract in an order.
    pub contract_id: String,
    /// The POS that it is registered on.
    pub pos_id: String,
    /// Who settles.
    pub institution: String,
    /// The institution's name for people.
    pub institution_name: String,
    /// The same in Japanese.
    pub institution_name_ja: String,
    /// The institution's root key (the `x` of a JWK), which signs its seal keys: for `seal`.
    pub seal_root: String,
    /// The shop's number there, which an envelope is bound to: for `seal`.
    pub contract_number: String,
    /// By what shoppers pay, such as `card:visa`.
    pub methods: Vec<String>,
    /// In which currencies, and how much of each.
    pub currencies: Vec<CurrencyLimits>,
    /// What the institution offers.
    pub operations: Vec<OperationKind>,
    /// Whether `check` can be asked before paying.
    pub can_check: bool,
}

impl From<ContractView> for Contract {
    fn from(contract: ContractView) -> Self {
        let ContractView {
            contract_id,
            pos_id,
            institution,
            institution_name,
            institution_name_ja,
            seal_root,
            contract_number,
            methods,
            currencies,
            operations,
            can_check,
        } = contract;
        Self {
            contract_id: contract_id.to_string(),
            pos_id: pos_id.to_string(),
            institution: institution.to_string(),
            institution_name,
            institution_name_ja,
            seal_root: pos_connect::protocol::text::base64url(seal_root.octets()),
            contract_number: contract_number.to_string(),
            methods: methods.iter().map(ToString::to_string).collect(),
            currencies: currencies.into_iter().map(Into::into).collect(),
            operations: operations.into_iter().map(Into::into).collect(),
            can_check,
        }
    }
}

/// What a contract takes in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct CurrencyLimits {
    /// The currency, by its ISO 4217 code.
    pub currency: String,
    /// The least amount of a payment, in minor units.
    pub least: u64,
    /// The largest amount, in minor units.
    pub most: u64,
}

impl From<wire::CurrencyLimits> for CurrencyLimits {
    fn from(limits: wire::CurrencyLimits) -> Self {
        let wire::CurrencyLimits { currency, least, most } = limits;
        Self { currency: currency.to_string(), least: least.minor(), most: most.minor() }
    }
}

/// Everything that can be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Methods {
    /// Every usable contract.
    pub contracts: Vec<Contract>,
    /// The seal keys of every institution among them, each as JSON text: for `seal`.
    pub seal_keys: Vec<String>,
    /// How long the answer may be kept, in milliseconds.
    pub keep_ms: u64,
}

impl From<MethodsAnswer> for Methods {
    fn from(answer: MethodsAnswer) -> Self {
        let MethodsAnswer { contracts, seal_keys, keep_ms } = answer;
        Self {
            contracts: contracts.into_iter().map(Into::into).collect(),
            seal_keys: seal_keys.iter().map(json).collect(),
            keep_ms,
        }
    }
}

/// Which contract would a payment use?
#[derive(Clone, Debug, PartialEq, Eq)]
#[record(request)]
pub struct QuoteRequest {
    /// The shop's order, so that an order that was paid already is told before paying.
    pub order_id: String,
    /// What the shopper chose, such as `card:visa`.
    pub method: String,
    /// In minor units.
    pub amount: u64,
    /// The currency, by its ISO 4217 code.
    pub currency: String,
    /// Only contracts of this POS.
    pub pos_id: Option<String>,
    /// Only this contract.
    pub contract_id: Option<String>,
}

impl QuoteRequest {
    pub(crate) fn read(&self) -> Result<wire::QuoteRequest, Error> {
        let Self { order_id, method, amount, currency, pos_id, contract_id } = self;
        let money = money(*amount, currency)?;
        Ok(wire::QuoteRequest {
            order_id: read("order_id", order_id)?,
            method: read("method", method)?,
            amount: money.amount,
            currency: money.currency,
            pos_id: read_if("pos_id", pos_id.as_deref())?,
            contract_id: read_if("contract_id", contract_id.as_deref())?,
        })
    }
}

/// The contract that a payment would use, or why none can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Quote {
    /// The contract to name in the order; none when none can be used.
    pub contract: Option<Contract>,
    /// The seal keys of its institution, as JSON text: for `seal`.
    pub seal_keys: Option<String>,
    /// Every contract that was looked at, in order of preference.
    pub considered: Vec<Candidate>,
}

impl From<QuoteAnswer> for Quote {
    fn from(answer: QuoteAnswer) -> Self {
        let QuoteAnswer { contract, seal_keys, considered } = answer;
        Self {
            contract: contract.map(Into::into),
            seal_keys: seal_keys.as_ref().map(json),
            considered: considered.into_iter().map(Into::into).collect(),
        }
    }
}

/// One contract that routing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Candidate {
    /// The contract.
    pub contract_id: String,
    /// Its POS.
    pub pos_id: String,
    /// Its institution.
    pub institution: String,
    /// Why it cannot be used; none for those that can.
    pub rejection: Option<Rejection>,
}

impl From<wire::Candidate> for Candidate {
    fn from(candidate: wire::Candidate) -> Self {
        let wire::Candidate { contract_id, pos_id, institution, rejection } = candidate;
        Self {
            contract_id: contract_id.to_string(),
            pos_id: pos_id.to_string(),
            institution: institution.to_string(),
            rejection: rejection.map(Into::into),
        }
    }
}

/// Would this instrument do?
#[derive(Clone, Debug, PartialEq, Eq)]
#[record(request)]
pub struct CheckRequest {
    /// The contract to ask through.
    pub contract_id: String,
    /// The order that would be paid.
    pub order_id: String,
    /// In minor units.
    pub amount: u64,
    /// The currency, by its ISO 4217 code.
    pub currency: String,
    /// The instrument, sealed for a check: JSON text.
    pub envelope: String,
}

impl CheckRequest {
    pub(crate) fn read(&self) -> Result<wire::CheckRequest, Error> {
        let Self { contract_id, order_id, amount, currency, envelope } = self;
        let money = money(*amount, currency)?;
        Ok(wire::CheckRequest {
            contract_id: read("contract_id", contract_id)?,
            order_id: read("order_id", order_id)?,
            amount: money.amount,
            currency: money.currency,
            envelope: read_json("envelope", envelope)?,
        })
    }
}

/// What an institution says of an instrument, never the balance itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record]
pub struct Check {
    /// Whether a payment of the amount would pass.
    pub state: CheckState,
    /// Why not.
    pub decline: Option<Decline>,
}

impl From<CheckAnswer> for Check {
    fn from(answer: CheckAnswer) -> Self {
        let CheckAnswer { state, decline } = answer;
        Self { state: state.into(), decline: decline.map(Into::into) }
    }
}
