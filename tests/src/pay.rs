//! Payments of a bed's shops, for the module and bare.

use pos_connect::Order;
use pos_protocol::id::{OperationId, OrderId};
use pos_protocol::money::{Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::{Envelope, SealedOperation};
use pos_protocol::wire::{PayRequest, route};

use crate::bed::{Bed, ContractKit, LedgerOperation, ShopKit};
use crate::error::BedError;
use crate::raw::{self, Draft};

/// A payment to be made: by which institution, with which test instrument, of how much.
#[derive(Clone, Debug)]
pub struct Pay {
    /// Who settles.
    pub institution: &'static str,
    /// The name of the test instrument.
    pub instrument: String,
    /// Sale or authorise.
    pub operation: SealedOperation,
    /// The order; a fresh one for each.
    pub order_id: OrderId,
    /// In minor units.
    pub minor: u64,
    /// Of the order.
    pub currency: Currency,
    /// Whether a part would do.
    pub allow_partial: bool,
    /// After how many seconds the shop gives up.
    pub give_up_after_s: Option<u32>,
}

impl Pay {
    /// A sale in yen on a fresh order.
    pub fn sale(institution: &'static str, instrument: &str, yen: u64) -> Self {
        Self {
            institution,
            instrument: instrument.into(),
            operation: SealedOperation::Sale,
            order_id: raw::fresh_order("order"),
            minor: yen,
            currency: Currency::JPY,
            allow_partial: false,
            give_up_after_s: None,
        }
    }

    /// An authorisation in yen on a fresh order.
    pub fn authorise(institution: &'static str, instrument: &str, yen: u64) -> Self {
        let operation = SealedOperation::Authorise;
        Self { operation, ..Self::sale(institution, instrument, yen) }
    }

    /// For this order.
    #[must_use]
    pub fn order(self, order_id: OrderId) -> Self {
        Self { order_id, ..self }
    }

    /// The amount with its currency.
    ///
    /// # Panics
    /// For an amount that is none.
    pub fn money(&self) -> Money {
        Money::new(self.minor, self.currency).expect("an amount")
    }

    /// What the institution's books say of its order: of each operation the amount that moved, and how
    /// often.
    ///
    /// # Panics
    /// When the institution does not tell.
    pub async fn effects(&self, bed: &Bed) -> Vec<(u64, u64)> {
        let all = bed.institutions.operations(self.institution).await.expect("the books are open");
        let of_order = all.iter().filter(|one| one.order_id == self.order_id.as_str());
        of_order.map(|one| (one.moved, one.effects)).collect()
    }

    /// Its instrument, sealed for exactly this.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn envelope(&self, bed: &Bed, shop: &ShopKit) -> Result<Envelope, BedError> {
        self.envelope_for(bed, shop.contract(self.institution)?)
    }

    /// The same for another contract.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn envelope_for(&self, bed: &Bed, contract: &ContractKit) -> Result<Envelope, BedError> {
        let binding = contract.binding(self.operation, &self.order_id, self.minor, self.currency);
        bed.seal(&self.instrument, &binding)
    }

    /// For the module.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn module_order(&self, bed: &Bed, shop: &ShopKit) -> Result<Order, BedError> {
        let contract = shop.contract(self.institution)?;
        let envelope = self.envelope(bed, shop)?;
        let order = Order::new(contract.contract_id, self.order_id.clone(), self.money(), envelope);
        Ok(Order {
            allow_partial: self.allow_partial,
            give_up_after_s: self.give_up_after_s,
            ..order
        })
    }

    /// As the body of a call.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn request(&self, bed: &Bed, shop: &ShopKit) -> Result<PayRequest, BedError> {
        let Order { contract_id, order_id, money, envelope, allow_partial, give_up_after_s } =
            self.module_order(bed, shop)?;
        let operation = match self.operation {
            SealedOperation::Authorise => OperationKind::Authorise,
            SealedOperation::Sale | SealedOperation::Check => OperationKind::Sale,
        };
        let (amount, currency) = (money.amount, money.currency);
        Ok(PayRequest {
            operation,
            contract_id,
            order_id,
            amount,
            currency,
            envelope,
            allow_partial,
            give_up_after_s,
        })
    }

    /// As a bare call under a fresh key.
    ///
    /// # Errors
    /// [`BedError::Unknown`].
    pub fn draft(&self, bed: &Bed, shop: &ShopKit) -> Result<Draft, BedError> {
        let body = serde_json::to_value(self.request(bed, shop)?);
        let body = body.map_err(BedError::answer("the body"))?;
        Ok(Draft::post(route::PAYMENTS, &body).keyed(raw::fresh_key()))
    }
}

/// Everything that a shop has in the institutions' books, and what the server says of it: equal
/// before and after whatever must not move money.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    /// In the books, by institution.
    pub ledger: Vec<LedgerOperation>,
    /// The history that the shop reads, as JSON.
    pub history: Vec<serde_json::Value>,
}

/// The money in a footprint, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What moved in the books: operation, amount, how often.
    pub effects: Vec<(OperationId, u64, u64)>,
    /// Authorised, captured, released and refunded of each payment that is not declined.
    pub sums: Vec<[u64; 4]>,
}

impl Footprint {
    /// Only what moved money.
    pub fn money(&self) -> Moved {
        let moved = self.ledger.iter().filter(|one| one.moved > 0 || one.effects > 0);
        let effects = moved.map(|one| (one.operation_id, one.moved, one.effects)).collect();
        let sums = self.history.iter().map(|payment| {
            ["authorised", "captured", "released", "refunded"]
                .map(|name| payment[name].as_u64().unwrap_or(u64::MAX))
        });
        Moved { effects, sums: sums.filter(|sums| *sums != [0; 4]).collect() }
    }
}

impl Bed {
    /// What a shop has moved so far.
    ///
    /// # Errors
    /// What an institution or the server said.
    pub async fn footprint(&self, shop: &ShopKit) -> Result<Footprint, BedError> {
        let mut ledger = Vec::new();
        for institution in self.institutions.ids() {
            let all = self.institutions.operations(institution.as_str()).await?;
            let contracts = || shop.poses.iter().flat_map(|pos| &pos.contracts);
            ledger.extend(all.into_iter().filter(|one| {
                contracts().any(|contract| {
                    contract.institution == institution && contract.number == one.contract
                })
            }));
        }
        let mut history = Vec::new();
        let mut pages = self.connection(shop).await?.pages(pos_connect::HistoryQuery::default());
        while let Some(page) = pages.next().await? {
            for payment in page.payments {
                let json = serde_json::to_value(payment);
                history.push(json.map_err(BedError::answer("a payment"))?);
            }
        }
        Ok(Footprint { ledger, history })
    }
}
