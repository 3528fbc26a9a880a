//! What an institution can do, as data (`institutions.md` H.3).

use std::time::Duration;

use pos_protocol::id::Method;
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::{Means, OperationKind};
use pos_protocol::reason::DeclineReason;
use pos_protocol::sign::InvalidPart;
use serde::{Deserialize, Serialize};

use super::order::OperationOrder;

/// What an institution can do and how far. Kept with its record, so that the core routes and
/// refuses without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What can be asked at all.
    pub operations: Vec<OperationKind>,
    /// How an unknown outcome is found out.
    pub way_out: WayOut,
    /// Operations for which the same id has the same effect, so that one may be sent again as long as
    /// it may still be processed. A sale or authorise never is: its envelope is gone.
    #[serde(default)]
    pub repeats: Vec<OperationKind>,
    /// How shoppers can pay.
    pub methods: Vec<Method>,
    /// In which currencies, each once.
    pub currencies: Vec<CurrencyTerms>,
    /// The decline reasons that it tells apart.
    pub reasons: Vec<DeclineReason>,
    /// A capture may take less than what is held.
    pub partial_capture: bool,
    /// One authorise may be captured more than once.
    pub several_captures: bool,
    /// A refund may pay back less than what was captured.
    pub partial_refund: bool,
    /// An approval may be for less than was asked.
    pub partial_approval: bool,
    /// Whether it answers a check before paying.
    pub can_check: bool,
    /// Whether it undoes a sale or authorise whose outcome must not stand.
    pub can_reverse: bool,
    /// Days after capture in which a refund is taken; none where there is no end.
    pub refund_window_days: Option<u16>,
    /// Days that an authorise holds; none where nothing can be authorised.
    pub hold_days: Option<u16>,
    /// In milliseconds: later than this after its begin, an operation is no longer processed.
    pub processing_limit_ms: u32,
}

/// How an unknown outcome is found out, in the order of preference of `payments.md` 3.2. What may be
/// repeated is said apart, for each kind: [`Capabilities::repeats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WayOut {
    /// The institution tells what became of an operation id.
    Inquiry,
    /// Nothing tells, but a sale or authorise can be undone, whatever it did.
    Reversal,
    /// None: a person has to ask.
    Person,
}

/// What an institution takes in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrencyTerms {
    /// The currency.
    pub currency: Currency,
    /// How many decimals the institution counts in; some differ from ISO 4217.
    pub exponent: u8,
    /// The least amount of a new payment, in minor units of ISO 4217.
    pub least: Amount,
    /// The most.
    pub most: Amount,
}

/// Why an operation cannot be asked of this institution. Nothing was sent, and nothing ever will
/// be for this order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The amount lies outside what the institution takes.
    #[error("the institution takes {least} to {most}")]
    AmountOutOfRange {
        /// The least it takes.
        least: Money,
        /// The most it takes.
        most: Money,
    },
    /// It does not answer checks.
    #[error("the institution does not answer checks")]
    CheckUnsupported,
    /// It does not deal in this currency.
    #[error("the institution does not take {currency}")]
    CurrencyUnsupported {
        /// The currency asked for.
        currency: Currency,
    },
    /// The amount cannot be written in the institution's own minor units without rounding.
    #[error("{money} cannot be written with the institution's {exponent} decimals")]
    Inexact {
        /// What was to be paid.
        money: Money,
        /// The decimals the institution has for it.
        exponent: u8,
    },
    /// The order lacks a part that its kind needs, or has one that it must not have. A mistake of
    /// ours, not of the shop.
    #[error("the order of a {kind} is not whole: `{part}`")]
    Malformed {
        /// The kind of operation.
        kind: OperationKind,
        /// The part that is missing or too much.
        part: &'static str,
    },
    /// It undoes nothing.
    #[error("the institution does not reverse")]
    ReversalUnsupported,
    /// It has no such operation.
    #[error("the institution has no {kind}")]
    OperationUnsupported {
        /// The kind asked for.
        kind: OperationKind,
    },
    /// The request cannot be signed.
    #[error("the request cannot be written: {0}")]
    Unwritable(#[from] InvalidPart),
}

impl Capabilities {
    /// Those of an institution before its first connection test: nothing can be asked of it.
    pub const fn none() -> Self {
        Self {
            operations: Vec::new(),
            way_out: WayOut::Person,
            repeats: Vec::new(),
            methods: Vec::new(),
            currencies: Vec::new(),
            reasons: Vec::new(),
            partial_capture: false,
            several_captures: false,
            partial_refund: false,
            partial_approval: false,
            can_check: false,
            can_reverse: false,
            refund_window_days: None,
            hold_days: None,
            processing_limit_ms: 10_000,
        }
    }

    /// How a success is undone here.
    pub fn means(&self) -> Means {
        Means {
            reverse: self.can_reverse,
            void: self.operations.contains(&OperationKind::Void),
            refund: self.operations.contains(&OperationKind::Refund),
        }
    }

    /// How long after its begin an operation may still be processed; also how long its answer is
    /// waited for.
    pub const fn processing_limit(&self) -> Duration {
        Duration::from_millis(self.processing_limit_ms as u64)
    }

    /// What it takes in this currency.
    pub fn terms(&self, currency: Currency) -> Option<&CurrencyTerms> {
        self.currencies.iter().find(|terms| terms.currency == currency)
    }

    /// Whether this order can be asked at all: for the core to refuse before anything is begun.
    /// [`prepare`](super::Connector::prepare) asks the same again.
    ///
    /// # Errors
    /// [`PrepareError`] says what the institution lacks.
    pub fn allows(&self, order: &OperationOrder) -> Result<(), PrepareError> {
        let kind = order.kind;
        if !self.operations.contains(&kind) {
            return Err(PrepareError::OperationUnsupported { kind });
        }
        let begins = kind.begins_payment();
        let malformed = |part| Err(PrepareError::Malformed { kind, part });
        if order.original.is_some() == begins {
            return malformed("original");
        }
        if order.allow_partial && !begins {
            return malformed("allow_partial");
        }
        self.allows_money(order.money, begins)
    }

    /// Whether an amount can be asked; limits hold for `new` payments, not for parts of one.
    pub(crate) fn allows_money(&self, money: Money, new: bool) -> Result<(), PrepareError> {
        let currency = money.currency;
        let terms = self.terms(currency).ok_or(PrepareError::CurrencyUnsupported { currency })?;
        if new && !(terms.least..=terms.most).contains(&money.amount) {
            let of = |amount| Money { amount, currency };
            return Err(PrepareError::AmountOutOfRange {
                least: of(terms.least),
                most: of(terms.most),
            });
        }
        terms.to_line(money.amount).map(drop)
    }
}

impl CurrencyTerms {
    /// The amount in the institution's own minor units.
    ///
    /// # Errors
    /// [`PrepareError::Inexact`] where it would have to be rounded, or has too many digits.
    pub fn to_line(&self, amount: Amount) -> Result<u64, PrepareError> {
        let money = Money { amount, currency: self.currency };
        let inexact = PrepareError::Inexact { money, exponent: self.exponent };
        rescale(amount.minor(), self.currency.exponent(), self.exponent).ok_or(inexact)
    }
}

/// `units` with `from` decimals as units with `to` decimals, exactly or not at all.
fn rescale(units: u64, from: u8, to: u8) -> Option<u64> {
    let factor = 10_u64.checked_pow(from.abs_diff(to).into())?;
    if to >= from {
        units.checked_mul(factor)
    } else {
        (units.checked_rem(factor)? == 0).then_some(units.checked_div(factor)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(currency: Currency, exponent: u8) -> CurrencyTerms {
        let least = Amount::new(1).unwrap();
        CurrencyTerms { currency, exponent, least, most: Amount::new(999_999_999_999).unwrap() }
    }

    #[test]
    fn foreign_exponents_convert_exactly_or_not_at_all() {
        // Some providers count ISK in hundredths, and MGA (two decimals in ISO 4217) in units.
        let isk = terms(Currency::ISK, 2);
        let mga = terms(Currency::MGA, 0);
        let amount = |minor| Amount::new(minor).unwrap();
        assert_eq!(isk.to_line(amount(1_200)), Ok(120_000));
        assert_eq!(mga.to_line(amount(1_200)), Ok(12));
        assert!(matches!(mga.to_line(amount(1_250)), Err(PrepareError::Inexact { .. })));
        assert_eq!(terms(Currency::JPY, 0).to_line(amount(7)), Ok(7));
        assert!(terms(Currency::JPY, 9).to_line(amount(999_999_999_999)).is_err());
    }
}
