//! What moves money, and what asks whether it could.

use pos_protocol::id::{ContractId, IdempotencyKey, OrderId, PaymentId};
use pos_protocol::money::Money;
use pos_protocol::payment::OperationKind;
use pos_protocol::seal::Envelope;
use pos_protocol::wire::{
    CaptureRequest, CheckAnswer, CheckRequest, OperationView, PayRequest, RefundRequest,
    VoidRequest, route,
};

use super::Connection;
use super::drive::json;
use crate::error::Error;
use crate::exchange::{Call, Effect, Expected};

/// An order to be paid.
#[derive(Clone, Debug)]
pub struct Order {
    /// The contract to pay by, from [`Connection::quote`] or [`Connection::methods`].
    pub contract_id: ContractId,
    /// The shop's number of the order; it is paid once.
    pub order_id: OrderId,
    /// What it comes to.
    pub money: Money,
    /// The shopper's instrument, sealed for this order, operation, contract and amount.
    pub envelope: Envelope,
    /// Whether an approval of a smaller amount is welcome.
    pub allow_partial: bool,
    /// After so many seconds, from 1 to 604,800, the shop gives up: an approval that becomes known later
    /// is reversed. Without it a late approval is kept.
    pub give_up_after_s: Option<u32>,
}

impl Order {
    /// An order that is paid in full or not at all.
    pub const fn new(
        contract_id: ContractId,
        order_id: OrderId,
        money: Money,
        envelope: Envelope,
    ) -> Self {
        Self { contract_id, order_id, money, envelope, allow_partial: false, give_up_after_s: None }
    }
}

/// All of these return an operation whose [`state`](OperationView::state) says what became of it: a
/// decline is one of them, and so is an outcome that is not known yet. Within the total time-out
/// they wait for an open one; after that it is `processing` or `unknown`, stays in the journal, and
/// [`resume`](Self::resume) asks again.
///
/// `key` is the idempotency key: the same key never acts twice, and of two callers in one process the
/// second hears what became of the first's. Store it with the order before the call: whoever
/// crashes between the order and the answer then repeats the call under the same key. Without one a
/// fresh key is made; it is in the operation and in every error, and after a crash only in the
/// journal.
///
/// # Errors
/// An error of kind `AskForStatus` means that money may have moved: ask, never pay again under
/// another key. Every other kind means that nothing moved. Where the key has an open call of an
/// earlier process, that call's outcome is found out first, and `open_under_key` says that it is
/// another call than this one: resume it.
impl Connection {
    /// Takes the whole amount at once.
    ///
    /// # Errors
    /// As above. `FixTheRequest` with retry advice `NewQuote` when the contract cannot be used
    /// after all; `FixTheRequest` (`order_taken`) when the order has a payment already.
    pub async fn pay(
        &self,
        order: &Order,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        self.begin_payment(OperationKind::Sale, order, key).await
    }

    /// Holds the amount, to be captured later.
    ///
    /// # Errors
    /// As for [`pay`](Self::pay).
    pub async fn authorise(
        &self,
        order: &Order,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        self.begin_payment(OperationKind::Authorise, order, key).await
    }

    /// Takes what was authorised, or a part of it; there may be several captures.
    ///
    /// # Errors
    /// As above. `FixTheRequest` (`amount_exceeded`, `nothing_left`); `Wait` (`busy`) while another
    /// operation of the payment is open: then try again with a new key.
    pub async fn capture(
        &self,
        payment_id: PaymentId,
        money: Money,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        let Money { amount, currency } = money;
        let body = json(&CaptureRequest { amount, currency });
        let change = Change { kind: OperationKind::Capture, template: route::CAPTURES, body };
        self.change_payment(payment_id, change, Some(money), key).await
    }

    /// Releases all that was authorised and not captured.
    ///
    /// # Errors
    /// As for [`capture`](Self::capture).
    pub async fn void(
        &self,
        payment_id: PaymentId,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        let body = json(&VoidRequest {});
        let change = Change { kind: OperationKind::Void, template: route::VOIDS, body };
        self.change_payment(payment_id, change, None, key).await
    }

    /// Pays back what was captured, or a part of it; there may be several refunds.
    ///
    /// # Errors
    /// As for [`capture`](Self::capture).
    pub async fn refund(
        &self,
        payment_id: PaymentId,
        money: Money,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        let Money { amount, currency } = money;
        let body = json(&RefundRequest { amount, currency });
        let change = Change { kind: OperationKind::Refund, template: route::REFUNDS, body };
        self.change_payment(payment_id, change, Some(money), key).await
    }

    /// Finds out what became of a payment call of this or an earlier process. Only asks: should no
    /// call have arrived, none is made.
    ///
    /// # Errors
    /// As above. `Wait` (`not_made`) once it is proved that nothing was and will be made: a new try
    /// takes a new key. `AskForStatus` (`needs_human`) when the server lost its memory of the time:
    /// the operator has to look, and [`dismiss`](Self::dismiss) closes it then. `AskForStatus`
    /// (`foreign_entry`) when the call was another shop's, or made at another server: nobody else is
    /// told what became of it. `FixTheRequest` (`not_in_journal`) where neither the journal nor the
    /// server has such a key.
    pub async fn resume(&self, key: &IdempotencyKey) -> Result<OperationView, Error> {
        let settled = self.settle_entry(key).await;
        settled.map_err(|error| self.told(error.about(Some(key))))
    }

    /// Takes a payment call out of the journal without knowing what became of it: for one that
    /// `needs_human` or cannot be read, once a person has cleared it up with the operator. What the
    /// server has under the key stays as it is.
    ///
    /// # Errors
    /// `AskForStatus` (`foreign_entry`) for another shop's; `GiveUp` (`journal`) where it cannot be
    /// removed. It is no error where the journal has no such key.
    pub async fn dismiss(&self, key: &IdempotencyKey) -> Result<(), Error> {
        let dismissed = self.dismiss_entry(key).await;
        dismissed.map_err(|error| self.told(error.about(Some(key))))
    }

    /// Asks the institution whether the instrument would do, where the contract can tell. Nothing
    /// is paid or held; paying takes a new envelope.
    ///
    /// # Errors
    /// As for every call; no money can have moved. `Wait` (`institution_unavailable`) when the
    /// institution cannot be asked now.
    pub async fn check(
        &self,
        request: &CheckRequest,
        key: Option<IdempotencyKey>,
    ) -> Result<CheckAnswer, Error> {
        let effect = Effect::Repeatable(Some(self.key_or_fresh(key)?));
        self.ask(Call::post(route::CHECKS, json(request), effect)).await
    }

    async fn begin_payment(
        &self,
        operation: OperationKind,
        order: &Order,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        let Order { contract_id, order_id, money, envelope, allow_partial, give_up_after_s } =
            order.clone();
        let is_fresh = key.is_none();
        let expected = Expected {
            key: self.key_or_fresh(key)?,
            operation: operation.wire().into(),
            money: Some(money),
            order_id: Some(order_id.clone()),
            payment_id: None,
        };
        let Money { amount, currency } = money;
        let body = PayRequest {
            operation,
            contract_id,
            order_id,
            amount,
            currency,
            envelope,
            allow_partial,
            give_up_after_s,
        };
        self.told_of(route::PAYMENTS.into(), json(&body), expected, is_fresh).await
    }

    async fn change_payment(
        &self,
        payment_id: PaymentId,
        change: Change,
        money: Option<Money>,
        key: Option<IdempotencyKey>,
    ) -> Result<OperationView, Error> {
        let is_fresh = key.is_none();
        let expected = Expected {
            key: self.key_or_fresh(key)?,
            operation: change.kind.wire().into(),
            money,
            order_id: None,
            payment_id: Some(payment_id),
        };
        let path = change.template.replace("{payment_id}", &payment_id.to_string());
        self.told_of(path, change.body, expected, is_fresh).await
    }

    async fn told_of(
        &self,
        path: String,
        body: Vec<u8>,
        expected: Expected,
        is_fresh: bool,
    ) -> Result<OperationView, Error> {
        let key = expected.key.clone();
        let settled = self.settle(path, body, expected, is_fresh).await;
        settled.map_err(|error| self.told(error.about(Some(&key))))
    }

    fn key_or_fresh(&self, key: Option<IdempotencyKey>) -> Result<IdempotencyKey, Error> {
        key.map_or_else(|| self.fresh_key(), Ok)
    }
}

/// A movement of a payment that exists.
struct Change {
    kind: OperationKind,
    template: &'static str,
    body: Vec<u8>,
}
