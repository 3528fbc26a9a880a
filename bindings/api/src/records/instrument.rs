//! What a shopper pays with, and what it is sealed for.

use pos_connect::{Account, Binding, Card, Expiry, Prepaid};
use pos_connect_macros::record;

use super::{AccountKind, SealedOperation, money, read};
use crate::error::Error;

/// What a shopper pays with: for the shopper's page, wallets and tests. Only the institution that it
/// is sealed to ever sees it again; it must not reach a shop's server.
#[derive(Clone)]
#[record(request)]
pub enum Instrument {
    /// A payment card.
    Card {
        /// 12 to 19 digits with a right check digit.
        number: String,
        /// The year of the last good month, four digits.
        expiry_year: u16,
        /// The last good month, 1 to 12.
        expiry_month: u8,
        /// 3 or 4 digits, where the card's rules ask for it.
        security_code: Option<String>,
        /// As it stands on the card.
        holder: Option<String>,
    },
    /// A bank account in the form of the Japanese banks' network (Zengin).
    Account {
        /// 4 digits.
        bank: String,
        /// 3 digits.
        branch: String,
        /// The kind of account.
        kind: AccountKind,
        /// 7 digits.
        number: String,
        /// The holder's name in katakana.
        holder_kana: Option<String>,
        /// The secret by which the holder approves a payment at this bank.
        secret: Option<String>,
    },
    /// A prepaid card or code.
    Prepaid {
        /// The number.
        number: String,
        /// Its PIN.
        pin: Option<String>,
    },
}

impl Instrument {
    pub(crate) fn read(self) -> Result<pos_connect::Instrument, Error> {
        let wrong = |rule: pos_connect::protocol::seal::InvalidInstrument| {
            Error::argument(rule.field, &rule.rule)
        };
        Ok(match self {
            Self::Card { number, expiry_year, expiry_month, security_code, holder } => {
                let expiry = Expiry { year: expiry_year, month: expiry_month };
                let mut card = Card::new(&number, expiry).map_err(wrong)?;
                if let Some(code) = security_code {
                    card = card.with_security_code(&code).map_err(wrong)?;
                }
                if let Some(holder) = holder {
                    card = card.with_holder(&holder).map_err(wrong)?;
                }
                pos_connect::Instrument::Card(card)
            }
            Self::Account { bank, branch, kind, number, holder_kana, secret } => {
                let account = Account::new(&bank, &branch, kind.into(), &number);
                let mut account = account.map_err(wrong)?;
                if let Some(holder) = holder_kana {
                    account = account.with_holder_kana(&holder).map_err(wrong)?;
                }
                if let Some(secret) = secret {
                    account = account.with_secret(&secret).map_err(wrong)?;
                }
                pos_connect::Instrument::Account(account)
            }
            Self::Prepaid { number, pin } => {
                let mut prepaid = Prepaid::new(&number).map_err(wrong)?;
                if let Some(pin) = pin {
                    prepaid = prepaid.with_pin(&pin).map_err(wrong)?;
                }
                pos_connect::Instrument::Prepaid(prepaid)
            }
        })
    }
}

/// What an envelope is good for, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[record(request)]
pub struct SealBinding {
    /// The institution of the contract.
    pub institution: String,
    /// The number under which the institution keeps the shop, from the contract.
    pub contract_number: String,
    /// What is to be done.
    pub operation: SealedOperation,
    /// The shop's number of the order.
    pub order_id: String,
    /// The amount, in minor units.
    pub amount: u64,
    /// The currency, by its ISO 4217 code.
    pub currency: String,
}

impl SealBinding {
    pub(crate) fn read(&self) -> Result<Binding, Error> {
        let Self { institution, contract_number, operation, order_id, amount, currency } = self;
        Ok(Binding {
            institution: read("institution", institution)?,
            contract_number: read("contract_number", contract_number)?,
            operation: (*operation).into(),
            order_id: read("order_id", order_id)?,
            money: money(*amount, currency)?,
        })
    }
}
