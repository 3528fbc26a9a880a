//! The three houses of this example: who they are and what they can do.

use pos_protocol::id::{InstitutionId, Method};
use pos_protocol::institution::{Capabilities, CurrencyLimits, InstitutionInfo, Names, PROTOCOL};
use pos_protocol::money::{Amount, Currency};
use pos_protocol::payment::OperationKind;
use pos_protocol::reason::DeclineReason;
use pos_protocol::time::Timestamp;

/// What kind of institution one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum House {
    /// `sakura-card`, a card acquirer: every operation, in yen and euro.
    Card,
    /// `aozora-bank`, a bank: money leaves the account at once, so there is nothing to authorise.
    Bank,
    /// `momiji-prepaid`, an issuer of prepaid cards; it approves a part where the shop takes one.
    Prepaid,
}

impl House {
    /// Every house.
    pub const ALL: [Self; 3] = [Self::Card, Self::Bank, Self::Prepaid];

    /// The word for it on the command line and in the announcement.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Bank => "bank",
            Self::Prepaid => "prepaid",
        }
    }

    /// The id that operators are told to give it.
    pub fn id(self) -> InstitutionId {
        let id = match self {
            Self::Card => "sakura-card",
            Self::Bank => "aozora-bank",
            Self::Prepaid => "momiji-prepaid",
        };
        id.parse().expect("the names of the houses are ids")
    }

    /// How shoppers can pay with it.
    pub fn methods(self) -> Vec<Method> {
        let methods: &[&str] = match self {
            Self::Card => &["card:visa", "card:master", "card:jcb"],
            Self::Bank => &["bank:aozora"],
            Self::Prepaid => &["prepaid:momiji"],
        };
        methods.iter().map(|method| method.parse().expect("the methods are methods")).collect()
    }

    /// In which currencies, and how much.
    pub fn currencies(self) -> Vec<CurrencyLimits> {
        let limits = |currency: Currency, most| CurrencyLimits {
            currency,
            exponent: currency.exponent(),
            least: Amount::new(1).expect("1 is an amount"),
            most: Amount::new(most).expect("the limits are amounts"),
        };
        match self {
            Self::Card => vec![limits(Currency::JPY, 9_999_999), limits(Currency::EUR, 9_999_999)],
            Self::Bank => vec![limits(Currency::JPY, 9_999_999_999)],
            Self::Prepaid => vec![limits(Currency::JPY, 300_000)],
        }
    }

    /// What it can do.
    pub fn operations(self) -> Vec<OperationKind> {
        match self {
            Self::Card => OperationKind::ASKED.to_vec(),
            Self::Bank | Self::Prepaid => vec![OperationKind::Sale, OperationKind::Refund],
        }
    }

    /// How far it goes.
    pub fn capabilities(self) -> Capabilities {
        let card = matches!(self, Self::Card);
        Capabilities {
            partial_capture: card,
            several_captures: card,
            partial_refund: true,
            partial_approval: matches!(self, Self::Prepaid),
            check: !matches!(self, Self::Bank),
            reversal: true,
            refund_window_days: None,
            hold_days: card.then_some(30),
        }
    }

    /// What it says of itself.
    pub fn info(self, processing_limit_ms: u32, time: Timestamp) -> InstitutionInfo {
        let (en, ja) = match self {
            Self::Card => ("Sakura Card", "さくらカード"),
            Self::Bank => ("Aozora Example Bank", "あおぞら見本銀行"),
            Self::Prepaid => ("Momiji Prepaid", "もみじプリペイド"),
        };
        InstitutionInfo {
            protocol: PROTOCOL.into(),
            institution: self.id(),
            names: Names { en: en.into(), ja: ja.into() },
            methods: self.methods(),
            currencies: self.currencies(),
            operations: self.operations(),
            capabilities: self.capabilities(),
            reasons: DeclineReason::ALL.to_vec(),
            processing_limit_ms,
            time,
        }
    }
}

#[cfg(test)]
mod tests {
    use pos_protocol::institution::{parse, to_json};

    use super::*;

    #[test]
    fn every_house_says_of_itself_what_the_protocol_allows() {
        for house in House::ALL {
            let info = house.info(10_000, Timestamp::from_ms(1));
            assert_eq!(parse::<InstitutionInfo>(&to_json(&info)).unwrap(), info);
        }
    }
}
