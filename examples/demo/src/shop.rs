//! The shop of the story: a connection, a number for the next order, and the shopper's page that
//! seals what the shopper gives.

use std::time::Duration;

use pos_connect::wire::{OperationView, QuoteRequest, WireOperationState};
use pos_connect::{
    Binding, Connection, Currency, IdempotencyKey, Method, Money, Order, OrderId, SealedOperation,
};
use pos_tests::bed::{LedgerOperation, ShopKit};
use pos_tests::{Bed, BedError, raw};

use crate::tell::Failure;

/// What the shopper does: by which method, with which test instrument, for how much.
#[derive(Clone, Copy)]
pub(crate) struct Purchase {
    /// What was chosen on the shop's page.
    pub(crate) method: &'static str,
    /// Which of the institution's test instruments is given.
    pub(crate) instrument: &'static str,
    /// How much, in yen.
    pub(crate) yen: u64,
    /// A sale, or an authorisation to be captured later.
    pub(crate) operation: SealedOperation,
}

impl Purchase {
    /// A sale.
    pub(crate) const fn sale(method: &'static str, instrument: &'static str, yen: u64) -> Self {
        Self { method, instrument, yen, operation: SealedOperation::Sale }
    }
}

/// The shop's software.
pub(crate) struct Shop<'a> {
    bed: &'a Bed,
    /// Its line to the operator.
    pub(crate) connection: Connection,
}

impl<'a> Shop<'a> {
    /// Opens the line of a registered shop.
    pub(crate) async fn open(bed: &'a Bed, kit: &ShopKit) -> Result<Self, Failure> {
        // Short, so that a silent institution does not hold up the story.
        let config = bed.config()?;
        let config = config.with_attempt_timeout(Duration::from_secs(5));
        let config = config.and_then(|config| config.with_total_timeout(Duration::from_secs(6)));
        let config = config.map_err(|error| Failure::Claim(error.to_string()))?;
        let connection = Connection::open(bed.setup(kit, config)).await?;
        Ok(Self { bed, connection })
    }

    /// Asks which contract to use, lets the shopper's page seal, and gives the order to be paid.
    pub(crate) async fn order(&self, purchase: Purchase) -> Result<Order, Failure> {
        let order_id: OrderId = raw::fresh_order("demo");
        let money = yen(purchase.yen)?;
        let quote = QuoteRequest {
            order_id: order_id.clone(),
            method: method(purchase.method)?,
            amount: money.amount,
            currency: money.currency,
            pos_id: None,
            contract_id: None,
        };
        let quote = self.connection.quote(&quote).await?;
        let (Some(contract), Some(keys)) = (quote.contract, quote.seal_keys) else {
            return Err(Failure::Claim(format!("a contract takes {}", purchase.method)));
        };
        let binding = Binding {
            institution: contract.institution.clone(),
            contract_number: contract.contract_number,
            operation: purchase.operation,
            order_id: order_id.clone(),
            money,
        };
        let given = self.bed.instrument(contract.institution.as_str(), purchase.instrument)?;
        let envelope = pos_connect::seal(&given, &binding, &keys, &contract.seal_root)?;
        Ok(Order::new(contract.contract_id, order_id, money, envelope))
    }

    /// A purchase from choice to answer.
    pub(crate) async fn buy(&self, purchase: Purchase) -> Result<OperationView, Failure> {
        let order = self.order(purchase).await?;
        let paid = match purchase.operation {
            SealedOperation::Authorise => self.connection.authorise(&order, None).await?,
            SealedOperation::Sale | SealedOperation::Check => {
                self.connection.pay(&order, None).await?
            }
        };
        Ok(paid)
    }

    /// What the institution's own books say of an operation.
    pub(crate) async fn booked(&self, view: &OperationView) -> Result<LedgerOperation, Failure> {
        let found = self.bed.institutions.operation(&view.institution, view.operation_id).await?;
        let missing = || BedError::Unknown(format!("{} in the ledger", view.operation_id));
        Ok(found.ok_or_else(missing)?)
    }

    /// Asks by the key until the outcome is final.
    pub(crate) async fn outcome(&self, key: &IdempotencyKey) -> Result<OperationView, Failure> {
        let found = pos_tests::wait::within(pos_tests::wait::LIMIT, || async {
            let found = self.connection.resume(key).await;
            found.ok().filter(|found| found.state.is_final())
        });
        found.await.ok_or_else(|| Failure::Claim("the outcome is found by inquiry".to_owned()))
    }
}

/// An amount of yen.
pub(crate) fn yen(minor: u64) -> Result<Money, Failure> {
    Money::new(minor, Currency::JPY).map_err(|error| Failure::Claim(error.to_string()))
}

/// Whether the state is one that tells the shop to wait.
pub(crate) fn is_open(view: &OperationView) -> bool {
    matches!(view.state, WireOperationState::Processing | WireOperationState::Unknown)
}

fn method(text: &str) -> Result<Method, Failure> {
    text.parse().map_err(|error: pos_connect::protocol::id::InvalidId| {
        Failure::Claim(format!("the method {text} {error}"))
    })
}
