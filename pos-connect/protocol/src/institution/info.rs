//! `GET /v1/institution`: who the institution is and what it can do, as data.

use serde::{Deserialize, Deserializer, Serialize};

use super::text::Word;
use super::{Contradiction, MAX_ANSWER_OCTETS, PROTOCOL, contradiction};
use crate::Timestamp;
use crate::id::{InstitutionId, Method};
use crate::money::{Amount, Currency};
use crate::payment::OperationKind;
use crate::reason::DeclineReason;

/// Who the institution is and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstitutionInfo {
    /// Always `pos-institution/1`.
    pub protocol: String,
    /// Its id, the one that the operator gave it and that envelopes are bound to.
    pub institution: InstitutionId,
    /// Its name for people.
    pub names: Names,
    /// How shoppers can pay with it; at least one.
    pub methods: Vec<Method>,
    /// In which currencies, and how much; at least one, each once. Currencies that this build does
    /// not know are left out when it is read, and so are operations and reasons.
    #[serde(deserialize_with = "known_currencies")]
    pub currencies: Vec<CurrencyLimits>,
    /// What it can do; at least one, each once. An operation that is missing here is never sent.
    #[serde(deserialize_with = "known_words")]
    pub operations: Vec<OperationKind>,
    /// How far these operations go.
    pub capabilities: Capabilities,
    /// The decline reasons that it can tell apart; the rest arrive as `do_not_honour` or `other`.
    #[serde(deserialize_with = "known_words")]
    pub reasons: Vec<DeclineReason>,
    /// What the server adds to the present to make an operation's `not_after_ms`, 1000 to 60000.
    pub processing_limit_ms: u32,
    /// The institution's time.
    #[serde(rename = "time_ms")]
    pub time: Timestamp,
}

/// A name in both languages of the terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// English, 1 to 80 characters.
    pub en: String,
    /// Japanese, 1 to 80 characters.
    pub ja: String,
}

/// What an institution takes in one currency, per operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyLimits {
    /// The currency.
    pub currency: Currency,
    /// How many decimals amounts on this line have. The envelope binds the shop's own amount, so
    /// it must be the exponent of ISO 4217; it is said so that a difference shows before money
    /// moves.
    pub exponent: u8,
    /// The least amount, in minor units.
    pub least: Amount,
    /// The most, in minor units.
    pub most: Amount,
}

/// How far the operations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// A capture may take less than what is held.
    pub partial_capture: bool,
    /// One authorise may be captured more than once.
    pub several_captures: bool,
    /// A refund may pay back less than what was captured.
    pub partial_refund: bool,
    /// An approval may be for less than the amount where `allow_partial` says so.
    pub partial_approval: bool,
    /// `/v1/checks` answers.
    pub check: bool,
    /// `/v1/reversals` undoes sales and authorises.
    pub reversal: bool,
    /// Days after capture in which a refund is taken; absent where there is no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_window_days: Option<u16>,
    /// Days that an authorise holds; absent where nothing can be authorised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_days: Option<u16>,
}

/// The words of a closed list that this build knows.
fn known_words<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let words: Vec<Word<T>> = Vec::deserialize(deserializer)?;
    Ok(words.into_iter().filter_map(Word::known).collect())
}

/// The currencies that this build knows, with their limits.
fn known_currencies<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<CurrencyLimits>, D::Error> {
    #[derive(Deserialize)]
    struct Members {
        currency: Word<Currency>,
        exponent: u8,
        least: Amount,
        most: Amount,
    }
    let all: Vec<Members> = Vec::deserialize(deserializer)?;
    let known = all.into_iter().filter_map(|Members { currency, exponent, least, most }| {
        Some(CurrencyLimits { currency: currency.known()?, exponent, least, most })
    });
    Ok(known.collect())
}

super::plain_body!(InstitutionInfo, MAX_ANSWER_OCTETS, |body| body.check());

impl InstitutionInfo {
    fn check(&self) -> Result<(), Contradiction> {
        const ONCE: &str = "must name at least one, each once";
        if self.protocol != PROTOCOL {
            return contradiction("protocol", "must be pos-institution/1");
        }
        let named = |name: &str| (1..=80).contains(&name.chars().count());
        if !named(&self.names.en) || !named(&self.names.ja) {
            return contradiction("names", "must have 1 to 80 characters each");
        }
        if !once(&self.methods) {
            return contradiction("methods", ONCE);
        }
        if !once(&self.operations) {
            return contradiction("operations", ONCE);
        }
        if self.operations.contains(&OperationKind::Reverse) {
            return contradiction("operations", "must not name `reverse`: `reversal` tells of it");
        }
        if !self.reasons.is_empty() && !once(&self.reasons) {
            return contradiction("reasons", "must name each once");
        }
        let currencies: Vec<Currency> = self.currencies.iter().map(|one| one.currency).collect();
        if !once(&currencies) {
            return contradiction("currencies", ONCE);
        }
        if self.currencies.iter().any(|one| one.exponent != one.currency.exponent()) {
            return contradiction("currencies", "must have the exponents of ISO 4217");
        }
        if self.currencies.iter().any(|one| one.least > one.most) {
            return contradiction("currencies", "must not have a least amount above the most");
        }
        if !(1_000..=60_000).contains(&self.processing_limit_ms) {
            return contradiction("processing_limit_ms", "must be from 1000 to 60000");
        }
        Ok(())
    }
}

fn once<T: PartialEq>(list: &[T]) -> bool {
    !list.is_empty()
        && list
            .iter()
            .enumerate()
            .all(|(at, one)| list.iter().position(|other| other == one) == Some(at))
}
