//! What goes in and comes out: plain records, the same in every language. Conversions name every
//! field of the module's types, so that one which the module gains does not compile until it has
//! its place here.

mod access;
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-seal"))]
mod instrument;
mod notices;
mod offers;
mod payments;
mod sealed;
mod settings;
mod words;

use std::fmt::Display;
use std::str::FromStr;

pub use access::{KeyInfo, Registration, Session};
#[cfg(any(not(target_arch = "wasm32"), feature = "wasm-seal"))]
pub use instrument::{Instrument, SealBinding};
pub use notices::{Notice, NoticeSettings, SetNotices};
pub use offers::{
    Candidate, Check, CheckRequest, Contract, CurrencyLimits, Methods, Quote, QuoteRequest,
};
pub use payments::{
    Decline, HistoryPage, HistoryQuery, InFlight, KeyStatus, OpenCall, Operation, Order, Payment,
    Rejection, UnreadableCall,
};
pub use settings::Config;
pub use words::{
    AccountKind, CheckState, KeyRole, Language, OperationKind, OperationState, PaymentState,
    SealedOperation, ShopperAdvice,
};

use pos_connect::{Amount, Currency, Money};
use serde::Serialize;

use crate::error::Error;
use crate::given::{FromJson, Json};

/// Reads a text argument.
pub(crate) fn read<T>(field: &str, text: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|rule| Error::argument(field, &rule))
}

/// The same where it may be left out.
pub(crate) fn read_if<T>(field: &str, text: Option<&str>) -> Result<Option<T>, Error>
where
    T: FromStr,
    T::Err: Display,
{
    text.map(|text| read(field, text)).transpose()
}

/// Reads a value that travels as JSON text: an envelope, a set of seal keys.
pub(crate) fn read_json<T: FromJson>(field: &str, text: &str) -> Result<T, Error> {
    Json::read(text).and_then(T::from_json).map_err(|wrong| {
        let wrong = wrong.within(field);
        Error::argument(wrong.path(), &wrong.rule())
    })
}

/// Writes one; no type of the module fails to.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a wire type is JSON")
}

/// Reads an amount in minor units and its currency.
pub(crate) fn money(amount: u64, currency: &str) -> Result<Money, Error> {
    let amount = Amount::new(amount).map_err(|rule| Error::argument("amount", &rule))?;
    Ok(Money { amount, currency: read::<Currency>("currency", currency)? })
}

/// Milliseconds since 1970.
fn ms(time: pos_connect::Timestamp) -> u64 {
    time.as_ms()
}
