//! What a call asked for, as 32 octets: the same idempotency key with another fingerprint is a
//! misuse (`payments.md` 4.3). Made of parsed business fields, never of raw octets.

use pos_protocol::id::{ContractId, OrderId, PaymentId};
use pos_protocol::key::KeyId;
use pos_protocol::money::{Amount, Currency, Money};
use pos_protocol::payment::OperationKind;
use pos_protocol::wire::SetNoticesRequest;
use sha2::{Digest as _, Sha256};

/// Grows with every change of what is digested, so that a stored one is never compared with
/// another reading.
const VERSION: u8 = 1;

/// A fingerprint in the making: fields are length-prefixed, so that none runs into the next.
struct Fields(Sha256);

impl Fields {
    fn of(call: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update([VERSION]);
        Self(digest).and(call.as_bytes())
    }

    fn and(mut self, field: &[u8]) -> Self {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field);
        self
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Of a sale or authorisation.
pub(super) fn of_payment(
    kind: OperationKind,
    contract: ContractId,
    order: &OrderId,
    money: Money,
    envelope: &[u8; 32],
    allow_partial: bool,
    give_up_after_s: Option<u32>,
) -> [u8; 32] {
    let fields = Fields::of("POST /v1/payments")
        .and(kind.wire().as_bytes())
        .and(contract.octets())
        .and(order.as_str().as_bytes())
        .and(&money.amount.minor().to_be_bytes())
        .and(money.currency.code().as_bytes())
        .and(envelope)
        .and(&[u8::from(allow_partial)]);
    match give_up_after_s {
        Some(seconds) => fields.and(&seconds.to_be_bytes()).finish(),
        None => fields.finish(),
    }
}

/// Of a capture, void or refund.
pub(super) fn of_movement(
    kind: OperationKind,
    payment: PaymentId,
    money: Option<(Amount, Currency)>,
) -> [u8; 32] {
    let fields = Fields::of("POST /v1/payments/{}/").and(kind.wire().as_bytes());
    let fields = fields.and(payment.octets());
    match money {
        Some((amount, currency)) => {
            fields.and(&amount.minor().to_be_bytes()).and(currency.code().as_bytes()).finish()
        }
        None => fields.finish(),
    }
}

/// Of a check.
pub(super) fn of_check(
    contract: ContractId,
    order: &OrderId,
    amount: Amount,
    currency: Currency,
    envelope: &[u8; 32],
) -> [u8; 32] {
    Fields::of("POST /v1/checks")
        .and(contract.octets())
        .and(order.as_str().as_bytes())
        .and(&amount.minor().to_be_bytes())
        .and(currency.code().as_bytes())
        .and(envelope)
        .finish()
}

/// Of a management call on a key: `call` is method and path template.
pub fn of_key_call(call: &str, key: KeyId) -> [u8; 32] {
    Fields::of(call).and(key.octets()).finish()
}

/// Of setting where a shop is told.
pub fn of_notices(request: &SetNoticesRequest) -> [u8; 32] {
    let fields = Fields::of("POST /v1/notices");
    let fields = match &request.mail {
        None => fields.and(&[0]),
        Some(mail) => fields
            .and(&[1])
            .and(mail.address.as_str().as_bytes())
            .and(mail.language.as_str().as_bytes()),
    };
    match &request.webhook {
        None => fields.and(&[0]).finish(),
        Some(webhook) => {
            fields.and(&[1]).and(webhook.url.as_bytes()).and(&[u8::from(webhook.new_key)]).finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let contract = ContractId::from_octets([1; 16]);
        let amount = |minor| Amount::new(minor).unwrap();
        let base = |order: &str, minor, currency, envelope, partial, give_up| {
            let order = order.parse().unwrap();
            let money = Money { amount: amount(minor), currency };
            let kind = OperationKind::Sale;
            of_payment(kind, contract, &order, money, &[envelope; 32], partial, give_up)
        };
        let first = base("order-1", 100, Currency::JPY, 7, false, None);
        assert_eq!(first, base("order-1", 100, Currency::JPY, 7, false, None));
        for other in [
            base("order-2", 100, Currency::JPY, 7, false, None),
            base("order-1", 101, Currency::JPY, 7, false, None),
            base("order-1", 100, Currency::EUR, 7, false, None),
            base("order-1", 100, Currency::JPY, 8, false, None),
            base("order-1", 100, Currency::JPY, 7, true, None),
            base("order-1", 100, Currency::JPY, 7, false, Some(60)),
        ] {
            assert_ne!(first, other);
        }
        let payment = PaymentId::from_octets([1; 16]);
        let money = Some((amount(1), Currency::JPY));
        assert_ne!(
            of_movement(OperationKind::Capture, payment, money),
            of_movement(OperationKind::Refund, payment, money)
        );
    }
}
