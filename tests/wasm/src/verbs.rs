//! The exports.

use std::fmt::Display;
use std::sync::Arc;

use pos_connect::journal::MemoryJournal;
use pos_connect::keys::{MemoryKeyStore, StoredKeys};
use pos_connect::wire::{CheckRequest, ContractView, PayRequest, QuoteRequest};
use pos_connect::{
    Binding, Config, Connection, EnrolmentCode, HistoryQuery, IdempotencyKey, Instrument, Money,
    Order, SealedOperation, SecretText, Setup,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

type Told<T> = Result<T, JsError>;

/// A connection.
#[wasm_bindgen]
pub struct Probe(Connection);

#[wasm_bindgen]
impl Probe {
    /// Registers the shop, and gives a connection.
    pub async fn register(url: &str, user: &str, password: &str, code: &str) -> Told<Self> {
        let code = EnrolmentCode::parse(code).map_err(told)?;
        let setup = setup(url, MemoryKeyStore::default())?;
        let made = Connection::register(setup, parsed(user)?, SecretText::from(password), &code);
        Ok(Self(made.await.map_err(told)?.0))
    }

    /// Opens a connection with stored keys.
    pub async fn open(url: &str, keys: &str) -> Told<Self> {
        let keys: StoredKeys = read(keys)?;
        let setup = setup(url, MemoryKeyStore::holding(keys))?;
        Ok(Self(Connection::open(setup).await.map_err(told)?))
    }

    /// Signs a person in.
    pub async fn login(url: &str, user: &str, password: &str, keys: &str) -> Told<Self> {
        let setup = setup(url, MemoryKeyStore::holding(read(keys)?))?;
        let made = Connection::login(setup, parsed(user)?, SecretText::from(password)).await;
        Ok(Self(made.map_err(told)?.0))
    }

    /// What the shop can be paid by.
    pub async fn methods(&self, pos: Option<String>) -> Told<String> {
        text(self.0.methods(maybe(pos)?).await)
    }

    /// Which contract would be used.
    pub async fn quote(&self, request: &str) -> Told<String> {
        text(self.0.quote(&read::<QuoteRequest>(request)?).await)
    }

    /// Whether an instrument would do.
    pub async fn check(&self, request: &str, key: Option<String>) -> Told<String> {
        text(self.0.check(&read::<CheckRequest>(request)?, maybe(key)?).await)
    }

    /// A sale.
    pub async fn pay(&self, order: &str, key: Option<String>) -> Told<String> {
        text(self.0.pay(&order_of(order)?, maybe(key)?).await)
    }

    /// An authorisation.
    pub async fn authorise(&self, order: &str, key: Option<String>) -> Told<String> {
        text(self.0.authorise(&order_of(order)?, maybe(key)?).await)
    }

    /// A capture.
    pub async fn capture(&self, payment: &str, minor: u64, currency: &str) -> Told<String> {
        text(self.0.capture(parsed(payment)?, money(minor, currency)?, None).await)
    }

    /// A void.
    pub async fn void(&self, payment: &str) -> Told<String> {
        text(self.0.void(parsed(payment)?, None).await)
    }

    /// A refund.
    pub async fn refund(&self, payment: &str, minor: u64, currency: &str) -> Told<String> {
        text(self.0.refund(parsed(payment)?, money(minor, currency)?, None).await)
    }

    /// The outcome of a call that was interrupted.
    pub async fn resume(&self, key: &str) -> Told<String> {
        text(self.0.resume(&parsed::<IdempotencyKey>(key)?).await)
    }

    /// What is under way.
    pub async fn in_flight(&self) -> Told<String> {
        text(self.0.in_flight().await.map(|found| found.open))
    }

    /// One payment.
    pub async fn payment(&self, payment: &str) -> Told<String> {
        text(self.0.payment(parsed(payment)?).await)
    }

    /// The payment of an order.
    pub async fn payment_of_order(&self, order: &str) -> Told<String> {
        text(self.0.payment_of_order(&parsed(order)?).await)
    }

    /// What stands under a key.
    pub async fn operation(&self, key: &str) -> Told<String> {
        text(self.0.operation(&parsed(key)?).await)
    }

    /// The next page of the history.
    pub async fn history(&self, after: Option<String>) -> Told<String> {
        let query = HistoryQuery { after: maybe(after)?, ..HistoryQuery::default() };
        text(self.0.pages(query).next().await)
    }

    /// The shop's keys.
    pub async fn list_keys(&self) -> Told<String> {
        text(self.0.list_keys().await)
    }

    /// A fresh module key.
    pub async fn roll_key(&self) -> Told<String> {
        text(self.0.roll_key().await)
    }

    /// The end of a key.
    pub async fn revoke_key(&self, key: &str) -> Told<String> {
        text(self.0.revoke_key(&parsed(key)?).await)
    }

    /// The end of the session.
    pub async fn sign_out(&self) -> Told<()> {
        self.0.sign_out().await.map_err(told)
    }

    /// The end of the connection.
    pub fn close(&self) {
        self.0.close();
    }
}

/// Seals an instrument for a sale by a contract, given as the JSON of a quote.
#[wasm_bindgen]
pub fn seal(
    instrument: &str,
    contract: &str,
    order: &str,
    minor: u64,
    currency: &str,
    keys: &str,
) -> Told<String> {
    let contract: ContractView = read(contract)?;
    let binding = Binding {
        institution: contract.institution,
        contract_number: contract.contract_number,
        operation: SealedOperation::Sale,
        order_id: parsed(order)?,
        money: money(minor, currency)?,
    };
    let instrument = Instrument::from_json(instrument.as_bytes()).map_err(told)?;
    text(pos_connect::seal(&instrument, &binding, &read(keys)?, &contract.seal_root))
}

fn setup(url: &str, keys: MemoryKeyStore) -> Told<Setup> {
    let config = Config::new(url).map_err(told)?;
    Ok(Setup::new(config, Arc::new(keys), Arc::new(MemoryJournal::default())))
}

/// An order from the JSON of the call that pays it.
fn order_of(json: &str) -> Told<Order> {
    let request: PayRequest = read(json)?;
    let money = Money { amount: request.amount, currency: request.currency };
    Ok(Order::new(request.contract_id, request.order_id, money, request.envelope))
}

fn money(minor: u64, currency: &str) -> Told<Money> {
    Money::new(minor, parsed(currency)?).map_err(told)
}

fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Told<T> {
    text.parse().map_err(told)
}

fn maybe<T: std::str::FromStr<Err: Display>>(text: Option<String>) -> Told<Option<T>> {
    text.map(|text| parsed(&text)).transpose()
}

fn read<T: DeserializeOwned>(json: &str) -> Told<T> {
    serde_json::from_str(json).map_err(told)
}

fn text<T: Serialize, E: Display>(result: Result<T, E>) -> Told<String> {
    serde_json::to_string(&result.map_err(told)?).map_err(told)
}

fn told(error: impl Display) -> JsError {
    JsError::new(&error.to_string())
}
